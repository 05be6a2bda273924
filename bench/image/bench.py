"""The image benchmark: Pixmill's transformations against Pillow's, libvips', sharp's and libjpeg-turbo's, without the rest of
the program.

    ./run bench image                 everything, about an hour; writes the section of bench/RESULTS.md
    ./run bench image --quick         few pictures and one round, about three minutes; writes nothing
    bench/image/bench.py --only thumbnails --build build/release --photos 8 --rounds 3

The parts are thumbnails, same-size, equal-looks and formats. --build is any CMake build folder in which the targets
`contender` and `judge` are built. The photographs are made once, in build/photos, out of Debian packages.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile

import contenders
import photo_set
import thumbnails

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = {"thumbnails": thumbnails.report}


def _some_of(folder, count, target):
    """`count` pictures of the folder, spread over it, as links in `target`."""
    paths = sorted(folder.iterdir())
    if not count or count >= len(paths):
        return folder
    target.mkdir()
    for number in range(count):
        path = paths[number * len(paths) // count]
        (target / path.name).symlink_to(path)
    return target


def _options():
    parser = argparse.ArgumentParser(prog="./run bench image", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*PARTS], help="one part; nothing is written")
    parser.add_argument("--quick", action="store_true", help="4 pictures of each size, 1 round, short; nothing is written")
    parser.add_argument("--photos", type=int, help="so many pictures of each size; default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="CPU time of each contender in each round")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--photo-folder", type=pathlib.Path, default=ROOT / "build" / "photos")
    options = parser.parse_args()
    if options.quick:
        options.photos, options.rounds, options.seconds = options.photos or 4, 1, 0.2
    return options


def main():
    options = _options()
    photo_set.make(options.photo_folder)
    with tempfile.TemporaryDirectory(prefix="pixmill-bench-") as work:
        work = pathlib.Path(work)
        photos = {size: _some_of(options.photo_folder / size, options.photos, work / size) for size in photo_set.SETS}
        runner = contenders.Runner(options.build, work)
        for name, part in PARTS.items():
            if not options.only or options.only == name:
                part(runner, photos, options)


if __name__ == "__main__":
    main()
