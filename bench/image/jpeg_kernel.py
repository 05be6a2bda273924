#!/usr/bin/python3
"""One JPEG to JPEG of quality 50: CPU milliseconds a picture and kB out, for the transcoder, libjpeg and Pillow.

    bench/image/photo_set.py FOLDER
    bench/image/jpeg_kernel.py --photos FOLDER --kernel build/release/src/image/jpeg_kernel [--reference PROGRAM]

Contenders take turns, each a process of its own, in every round; the figure is the median of the rounds, and ratios are of
medians. --reference is a program that is called as PROGRAM FOLDER QUALITY opt -r SECONDS and prints "... N ms/img ...
out N kB". Written for Debian's python3 with python3-pil; prints Markdown.
"""
import argparse
import io
import pathlib
import re
import statistics
import subprocess
import sys
import time

QUALITY = 50
MODES = ["plain", "baseline", "default", "best", "libjpeg"]


def run_pillow(folder, seconds):
    """The original platform's way: open, save as JPEG with optimize off."""
    from PIL import Image

    sources = [path.read_bytes() for path in sorted(folder.iterdir())]

    def convert(source):
        out = io.BytesIO()
        with Image.open(io.BytesIO(source)) as picture:
            picture.convert("RGB").save(out, "JPEG", quality=QUALITY)
        return out.getbuffer().nbytes

    size = sum(convert(source) for source in sources)
    done, start = 0, time.process_time()
    while done == 0 or time.process_time() - start < seconds:
        for source in sources:
            convert(source)
        done += len(sources)
    print(f"{(time.process_time() - start) * 1e3 / done:.4f} ms {size / len(sources):.1f} bytes")


def measure(name, folder, options):
    if name == "Pillow":
        command = [sys.executable, __file__, "--pillow", str(folder), "--seconds", str(options.seconds)]
    elif name == "reference":
        command = [options.reference, str(folder), str(QUALITY), "opt", "-r", str(options.seconds)]
    else:
        command = [options.kernel, str(folder), name, str(options.seconds), str(QUALITY)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    milliseconds = float(re.search(r"([0-9.]+) ms", text)[1])
    out = re.search(r"([0-9.]+) bytes", text)
    return milliseconds, float(out[1]) / 1000 if out else float(re.search(r"out ([0-9.]+) kB", text)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=pathlib.Path)
    parser.add_argument("--kernel")
    parser.add_argument("--reference")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="CPU per contender and round")
    parser.add_argument("--pillow", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pillow:
        return run_pillow(options.pillow, options.seconds)
    names = MODES + ["Pillow"] + (["reference"] if options.reference else [])
    for size in ("400", "1600", "4000"):
        results = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                results[name].append(measure(name, options.photos / size, options))
        medians = {name: statistics.median(r[0] for r in results[name]) for name in names}
        print(f"\n### {size}\n\n| | CPU ms | kB | × Pillow | × libjpeg |" + (" × reference |" if options.reference else ""))
        print("|---|---|---|---|---|" + ("---|" if options.reference else ""))
        for name in names:
            times = [r[0] for r in results[name]]
            ratios = [medians[name] / medians[peer] for peer in ["Pillow", "libjpeg", "reference"] if peer in medians]
            cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"| {name} | {medians[name]:.3g} ({min(times):.3g}–{max(times):.3g}) | {results[name][0][1]:.1f} | {cells} |")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
