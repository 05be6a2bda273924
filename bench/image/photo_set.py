#!/usr/bin/python3
"""Builds the photo set of the image benchmarks: real photographs out of Debian packages, as shops and phones send them.

    bench/image/photo_set.py FOLDER

downloads packages with apt (317 MB), unpacks them beside the sets, and writes FOLDER/400, FOLDER/1600 and FOLDER/4000: at most 60
JPEGs of 400 x 400, 60 of 1600 x 1200 and 16 of 4000 x 3000, resized with Pillow, quality 90, 4:2:0, baseline; and FOLDER/cut-outs:
40 PNGs with transparency, as they are. What is there already is left as it is.

Of a photograph there are up to two views: 07a.jpg is as much of the seventh as fits the shape, 07b.jpg its bottom right at
twice the scale, or at its own where that is less. The 4000s are those with the most pixels; most of them are enlarged, as
phones do it.
"""

import os
import pathlib
import shutil
import subprocess
import sys

from PIL import Image

_PACKAGES = ["plasma-workspace-wallpapers", "mate-backgrounds", "lomiri-wallpapers-16.04"]
_CUT_OUTS = ["tuxpaint-stamps-default"]
# Chosen by eye, because most of what these packages hold was drawn: names of files, or of the folders of one picture's sizes.
_PHOTOGRAPHS = {
    "Bridge_by_Sander_Klootwijk", "Dragonfly_by_Bolly", "Picture_0B_by_freespace", "Wine_by_Jakkub_Mede",
    "aitzgorri_by_Aitzol_Berasategi", "analogpattern_by_Peter_Nerlich", "free_by_Peter_Nerlich", "friends_by_Aitzol_Berasategi",
    "greentock_by_Peter_Nerlich", "life_by_Aitzol_Berasategi", "picosdeeuropa_by_Aitzol_Berasategi",
    "seeding_by_Clements_Engelhardt", "sunset_by_Aitzol_Berasategi",
    "Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "LadyBird", "RainDrops", "Storm", "TwoWings", "Wood", "YellowFlower",
    "BytheWater", "ColdRipple", "ColorfulCups", "DarkestHour", "EveningGlow", "FallenLeaf", "Grey", "Kite", "OneStandsOut", "Path",
    "summer_1am",
}
SETS = {"400": (400, 400, 60), "1600": (1600, 1200, 60), "4000": (4000, 3000, 16)}
CUT_OUTS = "cut-outs"
_CUT_OUTS_MAX = 40


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
    """The photographs' files, the largest of each, by name."""
    largest = {}
    for path in sorted(packages.rglob("*.[jp][pn]*g")):
        names = {path.stem, *(parent.name for parent in path.parents)} & _PHOTOGRAPHS
        if path.is_symlink() or not names:
            continue
        with Image.open(path) as picture:
            pixels = picture.width * picture.height
        name = names.pop()
        largest[name] = max(largest.get(name, (0, path)), (pixels, path))
    return [largest[name] for name in sorted(largest)]


def _whole(picture, width, height):
    """As much of the middle as fits the shape."""
    scale = min(picture.width / width, picture.height / height)
    left, top = (picture.width - width * scale) / 2, (picture.height - height * scale) / 2
    box = (max(0, left), max(0, top), min(picture.width, left + width * scale), min(picture.height, top + height * scale))
    return picture.resize((width, height), Image.LANCZOS, box=box)


def _corner(picture, width, height):
    """The bottom right at twice the scale, but not enlarged; None where that is nearly the whole."""
    whole = min(picture.width / width, picture.height / height)
    scale = max(1, whole / 2)
    if whole / scale < 1.2:
        return None
    box = (picture.width - width * scale, picture.height - height * scale, picture.width, picture.height)
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
    numbered = list(enumerate(found, 1))
    views = [("a", _whole), ("b", _corner)]
    if name == "4000":
        numbered, views = sorted(numbered, key=lambda entry: -entry[1][0])[:count], views[:1]
    written = 0
    for letter, view in views:
        for number, (_, path) in numbered:
            with Image.open(path) as picture:
                cut = view(picture.convert("RGB"), width, height)
            if cut and written < count:
                cut.save(target / f"{number:02d}{letter}.jpg", quality=90, subsampling=2)
                written += 1


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
        found = _sources(_unpacked(_PACKAGES, folder / "packages"))
        for name in missing:
            _make(folder, name, lambda target, name=name: _fill_photos(found, name, target))
    if not (folder / CUT_OUTS).exists():
        packages = _unpacked(_CUT_OUTS, folder / "cut-out-packages")
        _make(folder, CUT_OUTS, lambda target: _fill_cut_outs(packages, target))


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]))
