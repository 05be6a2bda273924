"""Times `pixmill run` against a sequential Pillow loop: same files, same local nginx, same machine, in turns.

`./run bench [--rounds N] [--set NAME] [--images N] [--no-write]` prints a table and writes it to its section of
bench/RESULTS.md.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "bench" / "bulk"))

import measure  # noqa: E402
import results  # noqa: E402
from local_origin import Nginx, make_pictures, write_table  # noqa: E402

SETS = {"1600×1200": (300, 1600, 1200), "400×400": (1000, 400, 400)}
TARGETS = {"1600×1200": {"cpu": 0.8, "rate": 2.3}}
MEMORY_TARGET_MB = 300


def run_pixmill(binary, table, out, folder):
    argv = [binary, "run", str(table), "-o", str(out), "--allow", "127.0.0.1/32", "--progress", "none", "--json"]
    done = measure.run(argv, folder)
    if done.exit_code != 0:
        sys.exit(f"pixmill run ended with {done.exit_code}:\n{done.stderr[-3000:]}")
    job = json.loads(done.stdout)
    return done, job["succeeded"], job["bytes_in"], job["bytes_out"]


# /usr/bin/python3 has Debian's Pillow.
def run_pillow(_, table, out, folder):
    done = measure.run(["/usr/bin/python3", str(ROOT / "bench" / "bulk" / "pillow_loop.py"), str(table), str(out)], folder)
    if done.exit_code != 0:
        sys.exit(f"the Pillow loop ended with {done.exit_code}:\n{done.stderr[-3000:]}")
    totals = json.loads(done.stdout)
    return done, totals["images"], totals["bytes_in"], totals["bytes_out"]


def measure_set(binary, table, count, rounds, folder):
    """{program: [figures of each round]}, the programs in turns."""
    figures = {"pixmill run": [], "Pillow loop": []}
    for round_number in range(rounds):
        for program, runner in (("pixmill run", run_pixmill), ("Pillow loop", run_pillow)):
            # A new folder each time: deleting the last one would be work that the file system does during this round. All of
            # them go with `folder`.
            out = folder / f"out-{round_number}-{program.split()[0]}"
            done, images, bytes_in, bytes_out = runner(binary, table, out, folder)
            if images != count:
                sys.exit(f"{program} did {images} of {count} pictures")
            figures[program].append({"rate": images / done.wall_s, "cpu_ms": done.cpu_s * 1000 / images,
                                     "memory_mb": done.memory_peak_bytes / 1e6, "share": bytes_out / bytes_in})
            last = figures[program][-1]
            print(f"  round {round_number + 1}  {program:12} {last['rate']:7.1f} images/s {last['cpu_ms']:7.2f} ms CPU "
                  f"{last['memory_mb']:6.0f} MB", file=sys.stderr, flush=True)
    return figures


def middle(figures, key):
    return statistics.median(entry[key] for entry in figures)


def spread(figures, key, form):
    values = sorted(entry[key] for entry in figures)
    return f"{format(middle(figures, key), form)} ({format(values[0], form)}–{format(values[-1], form)})"


def table_of(name, count, figures):
    lines = [f"### {count} JPEGs of {name}", "",
             "| | images/s | CPU ms per image | peak memory (PSS, all processes) | output / input |", "|---|---|---|---|---|"]
    for program, entries in figures.items():
        lines.append(f"| {program} | {spread(entries, 'rate', '.1f')} | {spread(entries, 'cpu_ms', '.2f')} "
                     f"| {spread(entries, 'memory_mb', '.0f')} MB | {middle(entries, 'share') * 100:.1f} % |")
    ours, theirs = figures["pixmill run"], figures["Pillow loop"]
    rate, cpu = middle(ours, "rate") / middle(theirs, "rate"), middle(ours, "cpu_ms") / middle(theirs, "cpu_ms")
    line = f"Pixmill against the loop: **{rate:.2f} × the images/s, {cpu:.2f} × the CPU per image**."
    target = TARGETS.get(name)
    if target:
        verdict = ("reached" if cpu <= target["cpu"] and rate >= target["rate"] and middle(ours, "memory_mb") < MEMORY_TARGET_MB
                   else "not reached")
        line += f" Target: ≥ {target['rate']} × and ≤ {target['cpu']} ×, below {MEMORY_TARGET_MB} MB: {verdict}."
    return "\n".join([*lines, "", line, ""])


def report(options, tables, binary):
    from PIL import Image, features
    version = subprocess.run([binary, "version"], capture_output=True, text=True, check=False).stdout.strip().splitlines()
    turbo = features.version("libjpeg_turbo") or features.version("jpg")
    return "\n".join([
        "## Bulk compression, end to end", "",
        "A CSV of addresses goes in, every picture is downloaded from an nginx on the same machine,",
        "decoded, saved as JPEG of quality 50 and written to disk. The loop is the original platform's way of doing it, one picture",
        "after the other (`bench/bulk/pillow_loop.py`). Both get the same files in the same minute, in turns; start-up counts.",
        "CPU is user and system time of all processes; nginx's is left out. Figures are medians, with the lowest and the highest.", "",
        f"    ./run bench --rounds {options.rounds}", "",
        f"{results.machine()} · {version[0] if version else 'pixmill'} · Pillow {Image.__version__} with "
        f"libjpeg-turbo {turbo}", "", *tables])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", choices=[*SETS], help="only this one")
    parser.add_argument("--images", type=int, help="so many pictures instead; nothing is written")
    parser.add_argument("--binary", default=str(ROOT / "build" / "release" / "pixmill"))
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    root = ROOT / "build" / "bench-pictures"
    tables = []
    for name, (count, width, height) in SETS.items():
        if options.set and name != options.set:
            continue
        count = options.images or count
        names = make_pictures(root, name, count, width, height)
        with tempfile.TemporaryDirectory(prefix="pixmill-bench-") as temporary:
            folder = pathlib.Path(temporary)
            with Nginx(root, folder) as nginx:
                write_table(folder / "urls.csv", f"http://127.0.0.1:{nginx.port}", names)
                figures = measure_set(options.binary, folder / "urls.csv", count, options.rounds, folder)
        tables.append(table_of(name, count, figures))
        print("\n" + tables[-1], flush=True)
    if not options.no_write and not options.images and not options.set:
        results.write_section("bulk", report(options, tables, options.binary))
        print("written to bench/RESULTS.md", file=sys.stderr)


main()
