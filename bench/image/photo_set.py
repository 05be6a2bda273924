#!/usr/bin/python3
"""Builds the photo set of the image benchmarks: real photographs out of Debian packages, as shops and phones send them.

    bench/image/photo_set.py FOLDER

downloads three packages with apt (156 MB), unpacks them in FOLDER/packages, and writes FOLDER/400, FOLDER/1600 and
FOLDER/4000: at most 60 JPEGs of 400 x 400, 60 of 1600 x 1200 and 16 of 4000 x 3000, cut from the middle and resized with
Pillow, quality 90, 4:2:0, baseline. What is there already is left as it is.
"""
import pathlib
import subprocess
import sys

from PIL import Image

PACKAGES = ["plasma-workspace-wallpapers", "mate-backgrounds", "lomiri-wallpapers-16.04"]
SETS = {"400": (400, 400, 60), "1600": (1600, 1200, 60), "4000": (4000, 3000, 16)}
PIXELS_MIN = 1_500_000  # a source must be worth looking at


def unpack(folder):
    packages = folder / "packages"
    if packages.exists():
        return packages
    packages.mkdir(parents=True)
    subprocess.run(["apt-get", "download", *PACKAGES], cwd=packages, check=True)
    for package in sorted(packages.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, packages], check=True)
    return packages


def sources(packages):
    """The largest picture of every folder of sizes, and every other picture; by name."""
    by_theme = {}
    for path in sorted(packages.rglob("*")):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png") or path.is_symlink():
            continue
        with Image.open(path) as picture:
            pixels = picture.width * picture.height
        if pixels < PIXELS_MIN:
            continue
        theme = path.parent if path.parent.name.startswith("images") else path
        best = by_theme.get(theme)
        if best is None or pixels > best[0]:
            by_theme[theme] = (pixels, path)
    return [by_theme[theme] for theme in sorted(by_theme)]


def cut(path, width, height):
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    scale = min(picture.width / width, picture.height / height)
    wide, high = width * scale, height * scale
    left, top = max(0, (picture.width - wide) / 2), max(0, (picture.height - high) / 2)
    box = (left, top, min(picture.width, left + wide), min(picture.height, top + high))
    return picture.resize((width, height), Image.LANCZOS, box=box)


def make(folder):
    if all((folder / name).exists() for name in SETS):
        return
    found = sources(unpack(folder))
    for name, (width, height, count) in SETS.items():
        target = folder / name
        if target.exists():
            continue
        chosen = sorted(found, reverse=True)[:count] if name == "4000" else found[:count]
        partial = folder / (name + ".part")
        partial.mkdir(exist_ok=True)
        for number, (_, path) in enumerate(chosen):
            cut(path, width, height).save(partial / f"{number:03d}.jpg", quality=90, subsampling=2)
        partial.rename(target)
        files = list(target.iterdir())
        print(f"{name}: {len(files)} files, mean {sum(f.stat().st_size for f in files) / len(files) / 1000:.0f} kB", file=sys.stderr)


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]))
