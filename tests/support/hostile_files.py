"""Hostile files, made on the spot and the same every time: mutations and truncations of every format, pixel floods, strangers.

Every function gives {name: bytes}; the name's ending is what the bytes claim to be.
"""

import io
import random
import struct
import zlib

from PIL import Image

from support import pictures

_SIZE = (52, 38)


def _saved(picture, form, **options):
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def seeds():
    """One sound picture for every way through the decoders."""
    photo = pictures.photo(*_SIZE)
    poster = pictures.with_alpha(pictures.poster(*_SIZE, 3))
    frames = [pictures.poster(*_SIZE, n) for n in range(3)]
    return {
        "baseline.jpg": pictures.jpeg(photo, orientation=6, gps=True),
        "progressive.jpg": pictures.jpeg(photo, progressive=True, subsampling=0),
        "restart.jpg": _saved(photo, "JPEG", quality=70, optimize=True),
        "grey.jpg": _saved(photo.convert("L"), "JPEG"),
        "cmyk.jpg": _saved(photo.convert("CMYK"), "JPEG"),
        "profile.jpg": pictures.jpeg(photo, icc=pictures.adobe_rgb_profile()),
        "colour.png": pictures.png(photo),
        "alpha.png": pictures.png(poster),
        "palette.png": pictures.png(photo.quantize(32)),
        "sixteen.png": pictures.png(photo.convert("L").convert("I").point(lambda value: value * 257)),
        "lossy.webp": pictures.webp(photo),
        "alpha.webp": pictures.webp(poster),
        "lossless.webp": _saved(poster, "WEBP", lossless=True),
        "animated.webp": _saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=90),
        "still.gif": _saved(photo.quantize(32), "GIF"),
        "animated.gif": pictures.animated_gif(*_SIZE, frames=3),
        "plain.tif": _saved(photo, "TIFF"),
        "lzw.tif": _saved(poster, "TIFF", compression="tiff_lzw"),
        "deflate.tif": _saved(photo, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tif": _saved(photo, "TIFF", compression="jpeg"),
        "bilevel.tif": _saved(photo.convert("1"), "TIFF", compression="group4"),
    }


def turned():
    """Sound pictures that ask to be turned, that say where they were taken, and whose colours are not sRGB's."""
    poster = pictures.poster(120, 80, 5)
    found = {f"turned-{way}.jpg": pictures.jpeg(poster, orientation=way, gps=True) for way in range(1, 9)}
    # An orientation as a signed LONG, where EXIF wants a SHORT.
    short, long = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00", b"\x01\x12\x00\x09\x00\x00\x00\x01\x00\x00\x00\x06"
    found["turned-long.jpg"] = found["turned-6.jpg"].replace(short, long)
    exif = Image.Exif()
    exif[0x0112] = 8
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    found["turned.webp"] = _saved(poster, "WEBP", exif=exif.tobytes())
    found["turned.png"] = _saved(poster, "PNG", exif=exif.tobytes())
    found["turned.tif"] = _saved(poster, "TIFF", tiffinfo={0x0112: 6})
    found["wide.jpg"] = pictures.jpeg(poster, icc=pictures.adobe_rgb_profile(), orientation=3)
    return found


def mutations(name, data, count):
    """Bits turned over, lengths blown up, bytes lost, doubled and swapped: `count` of them, the same for the same name."""
    rng = random.Random(f"mutation {name}")
    stem, ending = name.rsplit(".", 1)
    found = {}
    for number in range(count):
        bytes_ = bytearray(data)
        kind = ("bits", "header", "length", "lost", "doubled", "zeros")[number % 6]
        at = rng.randrange(len(bytes_))
        if kind == "bits":
            for _ in range(rng.randrange(1, 24)):
                bytes_[rng.randrange(len(bytes_))] ^= 1 << rng.randrange(8)
        elif kind == "header":
            for _ in range(3):
                bytes_[rng.randrange(4, min(64, len(bytes_)))] = rng.randrange(256)
        elif kind == "length":
            where = rng.randrange(8, len(bytes_) - 4)
            bytes_[where:where + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f"))
        elif kind == "lost":
            del bytes_[at:at + rng.randrange(1, 40)]
        elif kind == "doubled":
            bytes_[at:at] = bytes_[at:at + rng.randrange(1, 400)]
        else:
            bytes_[at:at + 32] = bytes(min(32, len(bytes_) - at))
        found[f"{stem}-{kind}-{number}.{ending}"] = bytes(bytes_)
    return found


def truncations(name, data, count):
    stem, ending = name.rsplit(".", 1)
    cuts = sorted({0, 1, 3, 11, *(len(data) * step // count for step in range(1, count)), len(data) - 1})
    return {f"{stem}-cut-{cut}.{ending}": data[:cut] for cut in cuts}


def _png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width, height, colour_type, body):
    head = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", head) + _png_chunk(b"IDAT", zlib.compress(body, 9)) + _png_chunk(b"IEND", b"")


def _tiff(width, height, strip):
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, height),
               (279, 4, len(strip))]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory + bytes(4)


def _with_jpeg_size(data, width, height):
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return data[:at + 5] + struct.pack(">HH", height, width) + data[at + 9:]


def floods():
    """Few bytes that promise more pixels than anything may have: to be refused from their headers alone."""
    small = pictures.jpeg(pictures.photo(*_SIZE))
    canvas = struct.pack("<I", 16_382)[:3]
    gif = pictures.animated_gif(16, 16, frames=2)
    frame = gif[gif.index(b"\x2c", 13 + 3 * 2):-1]
    return {
        "flood.png": _png(60_000, 60_000, 2, bytes(1000)),
        "tall.png": _png(1, 200_000_000, 0, bytes(1000)),
        "flood.jpg": _with_jpeg_size(small, 65_500, 65_500),
        "flood-progressive.jpg": _with_jpeg_size(pictures.jpeg(pictures.photo(*_SIZE), progressive=True), 60_000, 50_000),
        "flood.gif": gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:],
        "flood-frames.gif": gif[:6] + struct.pack("<HH", 20_000, 20_000) + gif[10:-1] + frame * 3 + b";",
        "flood.webp": b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas + canvas,
        "flood.tif": _tiff(100_000, 100_000, bytes(1000)),
    }


def bombs():
    """Within the limits by their headers, and far larger than their bytes: as large as is allowed, or cut off."""
    return {
        "bomb-grey.png": _png(9_900, 9_900, 0, bytes(9_901 * 9_900)),
        "bomb-short.png": _png(9_900, 9_900, 2, bytes(100_000)),
        "bomb.jpg": _with_jpeg_size(pictures.jpeg(pictures.photo(*_SIZE)), 9_000, 9_000),
        "bomb-strip.tif": _tiff(9_000, 9_000, bytes(1000)),
        "bomb-text.png": _png_with_text(60_000_000),
    }


def _png_with_text(length):
    sound = pictures.png(pictures.photo(*_SIZE))
    text = _png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(length), 9))
    return sound[:33] + text + sound[33:]


def strangers():
    """What is not a picture, or is one that is never read, whatever it is called."""
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><image href="file:///etc/passwd"/></svg>'
    texts = {
        "svg": svg, "svg-plain": svg[21:], "svg-gzip": zlib.compress(svg), "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>",
        "ps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "ppm": b"P6\n2 2\n255\n" + bytes(12), "pgm": b"P5 99999 99999 255\n",
        "pfm": b"PF\n2 2\n-1.0\n" + bytes(48), "mat": b"MATLAB 5.0 MAT-file" + b" " * 105 + b"\x00\x01IM", "bmp": b"BM" + bytes(60),
        "ico": b"\0\0\1\0\1\0" + bytes(40), "psd": b"8BPS\0\1" + bytes(40), "jxl": b"\xff\x0a" + bytes(40), "exr": b"\x76\x2f\x31\x01" + bytes(40),
        "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "fits": b"SIMPLE  =                    T" + b" " * 90, "hdr": b"#?RADIANCE\n\n-Y 2 +X 2\n",
        "msl": b'<?xml version="1.0"?><image><read filename="/etc/passwd"/></image>', "mvg": b"push graphic-context\nviewbox 0 0 9 9\n",
        "html": pictures.html_page(), "json": b'{"error": "not found"}', "zip": b"PK\3\4" + bytes(60), "elf": b"\x7fELF" + bytes(60),
        "empty": b"", "nul": bytes(4096), "noise": random.Random("noise").randbytes(5000), "script": b"#!/bin/sh\nid\n", "gz": b"\x1f\x8b\x08" + bytes(40),
        "heif-only-head": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "avif-only-head": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif",
        "riff-not-webp": b"RIFF\x20\0\0\0WAVEfmt " + bytes(40), "jpeg-head": b"\xff\xd8\xff", "png-head": b"\x89PNG\r\n\x1a\n", "gif-head": b"GIF89a",
        "polyglot": pictures.png(pictures.photo(*_SIZE)) + b"<script>alert(1)</script>%PDF-1.4",
    }
    endings = ("jpg", "png", "webp", "gif", "tif")
    return {f"stranger-{name}.{endings[number % 5]}": data for number, (name, data) in enumerate(texts.items())}
