"""The image benchmark: Pixmill's transformations against Pillow's, libvips', sharp's and libjpeg-turbo's, without the rest of
the program.

    ./run bench image                 everything, about half an hour; writes its sections of bench/RESULTS.md
    ./run bench image --quick         few pictures and one round, about three minutes; writes nothing
    ./run bench image --only thumbnails --photos 8 --rounds 3

The photographs are made once, in build/photos, out of Debian packages. See bench/image/README.md.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "bench"))

import contenders  # noqa: E402
import equal_looks  # noqa: E402
import formats  # noqa: E402
import photo_set  # noqa: E402
import results  # noqa: E402
import same_size  # noqa: E402
import thumbnails  # noqa: E402

PARTS = {"same-size": same_size.report, "equal-looks": equal_looks.report, "thumbnails": thumbnails.report, "formats": formats.report}


def _options():
    parser = argparse.ArgumentParser(prog="./run bench image", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*PARTS], help="one part")
    parser.add_argument("--quick", action="store_true", help="3 pictures of each kind, 1 round, short; nothing is written")
    parser.add_argument("--photos", type=int, help="so many pictures of each kind; default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="CPU time of each contender in each round")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release",
                        help="a CMake build folder with the targets contender and judge built")
    parser.add_argument("--photo-folder", type=pathlib.Path, default=ROOT / "build" / "photos")
    parser.add_argument("--reference", type=pathlib.Path, default=os.environ.get("PIXMILL_BENCH_REFERENCE"),
                        help="source of a JPEG requantiser to compare with: one C++ file that needs libjpeg alone")
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.photos, options.rounds, options.seconds = options.photos or 3, 1, 0.2
    return options


def _compiled(source, work):
    """The reference, for this very processor."""
    program = work / "reference"
    subprocess.run(["g++", "-O3", "-march=native", "-std=c++20", source, "-o", program, "-ljpeg"], check=True)
    return program


def _versions(runner):
    from PIL import Image, features
    vips = subprocess.run(["pkg-config", "--modversion", "vips"], capture_output=True, text=True, check=True).stdout.strip()
    turbo = features.version("libjpeg_turbo") or features.version("jpg")
    return f"Pillow {Image.__version__}, libjpeg-turbo {turbo}, libvips {vips}, {runner.sharp_version()}"


def _introduction(options):
    sizes = ", ".join(f"{len(list((options.photo_folder / name).iterdir()))} of {width}×{height} (mean "
                      f"{contenders.mean(path.stat().st_size for path in (options.photo_folder / name).iterdir()) / 1000:.0f} kB)"
                      for name, (width, height, _) in photo_set.SETS.items())
    return "\n".join([
        "## Pictures alone", "",
        "    ./run bench image", "",
        "Transformations in one thread and in memory, without the rest of the program. Sources: photographs out of the Debian packages",
        f"`plasma-workspace-wallpapers`, `mate-backgrounds` and `lomiri-wallpapers-16.04`, quality 90, 4:2:0, baseline: {sizes}.",
        "Contenders take turns in every round, each a process of its own on one core. CPU is user and system time of all threads, in milliseconds a picture: the",
        "median of the rounds, with the lowest and the highest. Every output decoded without a warning of libjpeg's. Machines are shared, and ratios within a table",
        "say more than milliseconds. Scores are means over the pictures."])


def _circumstances(name, options, runner, load):
    command = f"./run bench image --only {name}" + (f" --photos {options.photos}" if options.photos else "")
    command += (f" --rounds {options.rounds}" if options.rounds != 3 else "") + (" --reference PROGRAM.cpp" if options.reference else "")
    return (f"`{command}`, {options.rounds} rounds, load average {load:.1f} at the beginning and {os.getloadavg()[0]:.1f} at the end · "
            f"{results.machine()} · {_versions(runner)}")


def _run_part(name, runner, photos, options):
    load = os.getloadavg()[0]
    text = PARTS[name](runner, photos, options)
    if not (options.quick or options.no_write):
        results.write_section("image", _introduction(options))
        results.write_section(f"image {name}", f"{text}\n\n{_circumstances(name, options, runner, load)}")
        contenders.say(f"written to bench/RESULTS.md: {name}")


def main():
    options = _options()
    photo_set.make(options.photo_folder)
    with tempfile.TemporaryDirectory(prefix="pixmill-bench-") as work:
        work = pathlib.Path(work)
        if options.reference:
            options.reference = _compiled(options.reference, work)
        runner = contenders.Runner(options.build, work)
        photos = {name: runner.some_of(options.photo_folder / name, options.photos) for name in (*photo_set.SETS, photo_set.CUT_OUTS)}
        contenders.say(f"The machine may be shared (load average {os.getloadavg()[0]:.1f}): trust ratios within a table more than milliseconds.")
        for name in PARTS:
            if not options.only or options.only == name:
                _run_part(name, runner, photos, options)


if __name__ == "__main__":
    main()
