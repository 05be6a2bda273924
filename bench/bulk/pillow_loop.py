"""The work of the original platform's task, one picture after the other: download, decode, save as JPEG of quality 50.

`python3 pillow_loop.py URLS.csv FOLDER` prints {"images": n, "bytes_in": n, "bytes_out": n}.
"""

import csv
import io
import json
import pathlib
import sys
import urllib.request

from PIL import Image


def main():
    table, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True)
    images = bytes_in = bytes_out = 0
    with open(table, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            with urllib.request.urlopen(row["url"], timeout=30) as answer:
                data = answer.read()
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            out = io.BytesIO()
            picture.save(out, format="JPEG", quality=50)
            images += 1
            (folder / f"{images}.jpg").write_bytes(out.getvalue())
            bytes_in += len(data)
            bytes_out += out.tell()
    print(json.dumps({"images": images, "bytes_in": bytes_in, "bytes_out": bytes_out}))


main()
