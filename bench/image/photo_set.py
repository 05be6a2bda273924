#!/usr/bin/python3
"""Builds the photo set of the image benchmarks: real photographs out of Debian packages, as shops and phones send them.

    bench/image/photo_set.py FOLDER

downloads packages with apt (317 MB), unpacks them beside the sets, and writes FOLDER/400, FOLDER/1600 and FOLDER/4000: at most 60
JPEGs of 400 x 400, 60 of 1600 x 1200 and 16 of 4000 x 3000, cut from the middle and resized with Pillow, quality 90, 4:2:0,
baseline; and FOLDER/cut-outs: 40 PNGs with transparency, as they are. What is there already is left as it is.
"""

import os
import pathlib
import shutil
import subprocess
import sys

from PIL import Image

_PHOTOS = ["plasma-workspace-wallpapers", "mate-backgrounds", "lomiri-wallpapers-16.04"]
_CUT_OUTS = ["tuxpaint-stamps-default"]
SETS = {"400": (400, 400, 60), "1600": (1600, 1200, 60), "4000": (4000, 3000, 16)}
CUT_OUTS = "cut-outs"
_CUT_OUTS_MAX = 40
_PIXELS_MIN = 1_500_000  # a source must be worth looking at


def _download(names, folder):
    def download():
        return subprocess.run(["apt-get", "download", "-qq", *names], cwd=folder, capture_output=True, text=True, check=False)

    # The lists of a fresh system are empty or old.
    if download().returncode != 0:
        subprocess.run([*([] if os.geteuid() == 0 else ["sudo"]), "apt-get", "update", "-qq"], check=True)
        done = download()
        if done.returncode != 0:
            sys.exit(f"apt-get download {' '.join(names)}: {done.stderr.strip()}")


def _unpacked(names, folder):
    if folder.exists():
        return folder
    print(f"downloading {', '.join(names)} …", file=sys.stderr, flush=True)
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _download(names, partial)
    for package in sorted(partial.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, partial], check=True)
        package.unlink()
    return partial.rename(folder)


def _sources(packages):
    """The largest picture of every folder of sizes, and every other picture; by name."""
    by_theme = {}
    for path in sorted(packages.rglob("*")):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png") or path.is_symlink():
            continue
        with Image.open(path) as picture:
            pixels = picture.width * picture.height
        if pixels < _PIXELS_MIN:
            continue
        theme = path.parent if path.parent.name.startswith("images") else path
        best = by_theme.get(theme)
        if best is None or pixels > best[0]:
            by_theme[theme] = (pixels, path)
    return [by_theme[theme] for theme in sorted(by_theme)]


def _cut(path, width, height):
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    scale = min(picture.width / width, picture.height / height)
    wide, high = width * scale, height * scale
    left, top = max(0, (picture.width - wide) / 2), max(0, (picture.height - high) / 2)
    box = (left, top, min(picture.width, left + wide), min(picture.height, top + high))
    return picture.resize((width, height), Image.LANCZOS, box=box)


def _make(folder, name, fill):
    """Fills a folder under a name that says that it is not finished, and renames it."""
    partial = folder / (name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    fill(partial)
    partial.rename(folder / name)
    sizes = [path.stat().st_size for path in (folder / name).iterdir()]
    print(f"{name}: {len(sizes)} files, mean {sum(sizes) / len(sizes) / 1000:.0f} kB", file=sys.stderr, flush=True)


def _fill_photos(found, name, target):
    width, height, count = SETS[name]
    chosen = sorted(found, reverse=True) if name == "4000" else found
    for number, (_, path) in enumerate(chosen[:count]):
        _cut(path, width, height).save(target / f"{number:03d}.jpg", quality=90, subsampling=2)


def _fill_cut_outs(packages, target):
    found = []
    for path in packages.rglob("*.png"):
        with Image.open(path) as picture:
            if picture.mode == "RGBA" and not path.is_symlink():
                found.append((picture.width * picture.height, path))
    for number, (_, path) in enumerate(sorted(found, reverse=True)[:_CUT_OUTS_MAX]):
        shutil.copyfile(path, target / f"{number:03d}.png")


def make(folder):
    missing = [name for name in SETS if not (folder / name).exists()]
    if missing:
        found = _sources(_unpacked(_PHOTOS, folder / "packages"))
        for name in missing:
            _make(folder, name, lambda target, name=name: _fill_photos(found, name, target))
    if not (folder / CUT_OUTS).exists():
        packages = _unpacked(_CUT_OUTS, folder / "cut-out-packages")
        _make(folder, CUT_OUTS, lambda target: _fill_cut_outs(packages, target))


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]))
