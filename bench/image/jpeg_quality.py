#!/usr/bin/python3
"""What a quality looks like, and bytes at equal looks: the transcoder's modes against libjpeg's decoding and encoding.

    bench/image/jpeg_quality.py --photos FOLDER --kernel build/release/src/image/jpeg_kernel --judge ssimulacra2

The judge is called as JUDGE ORIGINAL.png PICTURE.png and prints a score (github.com/cloudinary/ssimulacra2); the original is
the source JPEG, decoded. Prints, for every set and mode, the mean score at each quality, and the mean over pictures and
qualities of bytes against libjpeg's at the same score, found between libjpeg's own points on a logarithmic scale.
"""
import argparse
import math
import pathlib
import subprocess
import sys
import tempfile

from PIL import Image

QUALITIES = [40, 50, 60, 70, 80]
CURVE = [20, 30, 40, 50, 60, 70, 80, 86, 90, 93]  # libjpeg's points, which enclose the others


def as_png(path):
    png = path.with_suffix(".png")
    with Image.open(path) as picture:
        picture.save(png, compress_level=0)
    path.unlink()
    return png


def score_files(options, folder, originals):
    scores = {}
    for path in sorted(folder.glob("*.jpg")):
        size = path.stat().st_size
        png = as_png(path)
        text = subprocess.run([options.judge, originals[path.name], png], check=True, capture_output=True, text=True)
        png.unlink()
        scores[path.name] = (float(text.stdout.split()[0]), size)
    return scores


def run(options, photos, mode, quality, originals, folder):
    subprocess.run([options.kernel, photos, mode, "0", str(quality), folder], check=True, capture_output=True)
    return score_files(options, folder, originals)


def size_at(curve, score):
    """libjpeg's bytes at this score; None outside of its points."""
    points = sorted(curve)
    for (s0, b0), (s1, b1) in zip(points, points[1:]):
        if s0 <= score <= s1 and s1 > s0:
            return math.exp(math.log(b0) + (math.log(b1) - math.log(b0)) * (score - s0) / (s1 - s0))
    return None


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def report(options, size, work):
    photos = work / f"photos{size}"
    photos.mkdir()
    originals = {}
    for path in sorted((options.photos / size).iterdir())[:: options.every]:
        (photos / path.name).write_bytes(path.read_bytes())
        original = work / f"original-{size}-{path.name}"
        original.write_bytes(path.read_bytes())
        originals[path.name] = as_png(original)
    curve = {quality: run(options, photos, "libjpeg", quality, originals, work / "libjpeg") for quality in CURVE}
    print(f"\n### {size}: {len(originals)} pictures\n\n| | " + " | ".join(map(str, QUALITIES)) + " | bytes at equal score |")
    print("|---|" + "---|" * (len(QUALITIES) + 1))
    print("| libjpeg | " + " | ".join(f"{mean(s for s, _ in curve[q].values()):.1f}" for q in QUALITIES) + " | 1 |")
    for mode in options.modes.split(","):
        points = {quality: run(options, photos, mode, quality, originals, work / mode) for quality in QUALITIES}
        ratios = []
        for quality in QUALITIES:
            for name, (score, size_bytes) in points[quality].items():
                equal = size_at([curve[q][name] for q in CURVE], score)
                if equal:
                    ratios.append(size_bytes / equal)
        scores = " | ".join(f"{mean(s for s, _ in points[q].values()):.1f}" for q in QUALITIES)
        print(f"| {mode} | {scores} | {mean(ratios):.3f} of {len(ratios)} |")
        sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=pathlib.Path, required=True)
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--judge", required=True)
    parser.add_argument("--modes", default="plain,baseline,default,best")
    parser.add_argument("--sizes", default="400,1600")
    parser.add_argument("--every", type=int, default=3, help="take every n-th picture")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes.split(","):
            report(options, size, pathlib.Path(folder))


if __name__ == "__main__":
    main()
