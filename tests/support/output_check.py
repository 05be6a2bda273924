"""Looks at stored outputs with Pillow, in a process of its own: each must decode, be upright, sRGB, and hold no metadata (P34).

Reads lines of JSON, {"path", "width", "height", "source"}, and prints a line of JSON for each: the list of what is wrong with it.
"""

import json
import struct
import sys
import warnings

from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

_ORIENTATION, _GPS = 0x0112, 0x8825
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "I;16", "I;16B"}
_TURN = {1: None, 2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE, 6: Image.ROTATE_270,
         7: Image.TRANSVERSE, 8: Image.ROTATE_90}
# Of sRGB, adapted to D50 (ICC).
_SRGB_PRIMARIES = {b"rXYZ": (0.4361, 0.2225, 0.0139), b"gXYZ": (0.3851, 0.7169, 0.0971), b"bXYZ": (0.1431, 0.0606, 0.7141)}
_TELLING = ("exif", "xmp", "XML:com.adobe.xmp", "photoshop", "comment", "Raw profile type exif", "Raw profile type iptc")


def _decode(picture):
    for frame in range(getattr(picture, "n_frames", 1)):
        picture.seek(frame)
        picture.load()
    picture.seek(0)


def _metadata_of(picture):
    found = [f"holds {name}" for name in _TELLING if picture.info.get(name)]
    exif = picture.getexif()
    if exif.get(_ORIENTATION, 1) != 1:
        found.append(f"says orientation {exif[_ORIENTATION]}")
    if exif.get(_GPS):
        found.append("says where it was taken")
    profile = picture.info.get("icc_profile")
    if profile and not _is_srgb(profile):
        found.append("has a colour profile other than sRGB")
    return found


def _is_srgb(profile):
    """By its primaries, for what a profile calls itself says little."""
    seen = {}
    for entry in range(min(100, struct.unpack_from(">I", profile, 128)[0])):
        tag, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * entry)
        if tag in _SRGB_PRIMARIES:
            seen[tag] = [value / 65536 for value in struct.unpack_from(">3i", profile, offset + 8)]
    return len(seen) == 3 and all(abs(a - b) < 0.005 for tag, values in seen.items() for a, b in zip(values, _SRGB_PRIMARIES[tag]))


def _small(picture):
    return ImageOps.grayscale(picture.convert("RGB")).resize((24, 24), Image.BOX)


def _asked_for(picture):
    """By the EXIF block that stands before the pixels, the only one that viewers turn by; Pillow also believes XMP and old text chunks."""
    exif = Image.Exif()
    exif.load(picture.info.get("exif", b""))
    return exif.get(_ORIENTATION, 1)


def _turned_wrong(output, source):
    """Of the eight ways to turn the source, the output must look most like the one that its tag asks for."""
    try:
        with Image.open(source) as before:
            asked = _asked_for(before) if before.format != "TIFF" else 1  # Pillow turns TIFF itself
            if asked not in range(2, 9) and before.format != "TIFF":
                return []
            plain = before.convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return []  # what Pillow cannot read cannot be compared
    seen = _small(output)
    distances = {}
    for way, turn in _TURN.items():
        turned = _small(plain.transpose(turn) if turn is not None else plain)
        distances[way] = ImageStat.Stat(ImageChops.difference(turned, seen)).mean[0]
    best = min(distances, key=distances.get)
    if distances[asked] <= distances[best] + 2:
        return []
    return [f"is turned as orientation {best} asks, its source says {asked}"]


def problems_of(path, width, height, source):
    try:
        with Image.open(path) as picture:
            if picture.size != (width, height):
                return [f"has {picture.size}, not {width}×{height}"]
            _decode(picture)
            found = _metadata_of(picture)
            if picture.mode not in _MODES:
                found.append(f"has the mode {picture.mode}")
            return found + _turned_wrong(picture, source)
    except (OSError, ValueError, SyntaxError, EOFError, ImageCms.PyCMSError) as error:
        return [f"does not decode: {error}"]


def main():
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        print(json.dumps(problems_of(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
