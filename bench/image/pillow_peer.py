"""Pillow as a contender: pillow_peer.py FOLDER SECONDS OUTPUT_FOLDER|- QUALITY [SIDE], see contender.cc.

Without SIDE it does what the original platform does: open, convert to RGB, save. With SIDE, `Image.thumbnail`, which lets
libjpeg decode at a smaller scale (`draft`). At quality 100, where pixels are compared, colour stays at full resolution.
"""

import io
import json
import pathlib
import sys
import time

from PIL import Image


def convert(source, quality, side):
    out = io.BytesIO()
    with Image.open(io.BytesIO(source)) as picture:
        if side:
            picture.thumbnail((side, side))
        options = {"subsampling": 0} if quality == 100 else {}
        picture.convert("RGB").save(out, "JPEG", quality=quality, **options)
    return out.getvalue()


def main():
    folder, seconds, output = pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    quality, side = int(sys.argv[4]), int(sys.argv[5]) if len(sys.argv) > 5 else 0
    paths = sorted(folder.iterdir())
    sources = [path.read_bytes() for path in paths]
    size_bytes = 0
    if output != "-":
        pathlib.Path(output).mkdir(parents=True, exist_ok=True)
    for path, source in zip(paths, sources):
        file = convert(source, quality, side)
        size_bytes += len(file)
        if output != "-":
            (pathlib.Path(output) / path.name).write_bytes(file)
    done, start = 0, time.process_time()  # user and system time of all threads
    while time.process_time() - start < seconds:
        for source in sources:
            convert(source, quality, side)
        done += len(sources)
    cpu_ms = (time.process_time() - start) * 1e3 / done if done else 0
    print(json.dumps({"pictures": len(sources), "cpu_ms": cpu_ms, "bytes": size_bytes / len(sources)}))


main()
