"""Pictures for the demo, the tests and the bench, made with Pillow (Debian's python3-pil). The same seed gives the same picture.

Photo-like means: smooth light, structure at several scales and some sensor noise, so that JPEG sizes are those of photographs
rather than of flat drawings.
"""

import io
import random
import struct

from PIL import Image, ImageCms, ImageChops, ImageDraw, ImageFont


def _layer(rng, size, cells):
    """Smooth random light with about `cells` blobs along the longer edge, one band."""
    width, height = size
    across = max(2, cells if width >= height else cells * width // height)
    down = max(2, cells if height >= width else cells * height // width)
    return Image.frombytes("L", (across, down), rng.randbytes(across * down)).resize(size, Image.BICUBIC)


def _band(rng, size, fine):
    light = Image.blend(_layer(rng, size, 3), _layer(rng, size, 9), 0.35)
    light = Image.blend(light, _layer(rng, size, 40), 0.22)
    return Image.blend(light, fine, 0.12)


def photo(width, height, seed=0):
    """A photo-like RGB picture."""
    rng = random.Random(f"photo {width}x{height} {seed}")
    size = (width, height)
    fine = Image.blend(_layer(rng, size, max(8, max(size) // 6)), Image.effect_noise(size, 40), 0.4)
    return Image.merge("RGB", [_band(rng, size, fine) for _ in range(3)])


def _font(size):
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default()


def poster(width, height, seed=0, text="Pixmill"):
    """A gradient with shapes and text: sharp edges, as in drawings and screenshots."""
    rng = random.Random(f"poster {width}x{height} {seed}")
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", [across, down, ImageChops.invert(across)])
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        x, y = rng.randrange(width), rng.randrange(height)
        radius = rng.randrange(max(4, min(width, height) // 4)) + 4
        colour = tuple(rng.randrange(256) for _ in range(3))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=3)
    font = _font(max(12, min(width, height) // 9))
    for line in range(4):
        draw.text((width // 12, height * (line + 1) // 6), f"{text} {seed}-{line}", fill="white", font=font)
    return picture


def with_alpha(picture, seed=0):
    """The same picture with a soft round opening: RGBA."""
    width, height = picture.size
    mask = Image.new("L", picture.size, 0)
    margin = min(width, height) // (8 + seed % 3)
    ImageDraw.Draw(mask).ellipse((margin, margin, width - margin, height - margin), fill=255)
    faded = Image.blend(mask, Image.linear_gradient("L").resize(picture.size), 0.3)
    result = picture.convert("RGBA")
    result.putalpha(faded)
    return result


def adobe_rgb_profile():
    """An ICC matrix profile with the primaries of Adobe RGB (1998), adapted to D50; its curves are sRGB's."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {b"rXYZ": (0.60974, 0.31111, 0.01947), b"gXYZ": (0.20528, 0.62567, 0.06087), b"bXYZ": (0.14919, 0.06322, 0.74457)}
    for entry in range(struct.unpack_from(">I", profile, 128)[0]):
        tag, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * entry)
        if tag in primaries:
            struct.pack_into(">3i", profile, offset + 8, *(round(value * 65536) for value in primaries[tag]))
    return bytes(profile)


def jpeg(picture, quality=92, orientation=None, icc=None, gps=False, **options):
    """JPEG bytes; `orientation` is EXIF's 1 to 8, and the stored pixels are as a camera held that way would store them."""
    exif = Image.Exif()
    if orientation:
        # What a viewer has to do to the stored pixels, undone here.
        undo = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE, 6: Image.ROTATE_90,
                7: Image.TRANSVERSE, 8: Image.ROTATE_270}
        if orientation in undo:
            picture = picture.transpose(undo[orientation])
        exif[0x0112] = orientation
    if gps:
        exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)}
    out = io.BytesIO()
    extra = {"icc_profile": icc} if icc else {}
    picture.convert("RGB").save(out, "JPEG", quality=quality, exif=exif.tobytes() if len(exif) else b"", **extra, **options)
    return out.getvalue()


def png(picture, **options):
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1, **options)
    return out.getvalue()


def webp(picture, quality=85, **options):
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=quality, method=2, **options)
    return out.getvalue()


def animated_gif(width, height, frames=4, seed=0):
    pictures = [poster(width, height, seed * 100 + n, f"frame {n}").quantize(64) for n in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=120, loop=0)
    return out.getvalue()


def truncated(data, share=0.4):
    """The beginning of a picture, as a broken download leaves it."""
    return data[:int(len(data) * share)]


def html_page():
    return b"<!doctype html><html><head><title>Not found</title></head><body><p>This is a page, whatever its name says.</p></body></html>\n"


def numbered(jpeg_bytes, number):
    """The same JPEG with a comment: other bytes, the same picture, for free."""
    comment = f"pixmill test picture {number}".encode()
    return jpeg_bytes[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + jpeg_bytes[2:]
