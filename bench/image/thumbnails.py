"""Thumbnails, JPEG of quality 75 out: what they cost, and how near their pixels are to a careful reduction."""

import io

from PIL import Image

import contenders
from contenders import mean_of, median_time, say

# Source set, side of the box, pictures that are judged.
CASES = [("400", 256), ("1600", 256), ("1600", 800), ("4000", 256), ("4000", 800)]
_QUALITY = 75


def _entries(side, quality):
    # At quality 100 with libjpeg's tables a file is as good as its pixels.
    recipe = f"format=jpeg quality={quality} resize={side}x{side}:inside" + (" tables=standard" if quality == 100 else "")
    return [contenders.pillow("Pillow (draft)", quality, side), contenders.libvips("libvips", quality, side),
            contenders.sharp("sharp", quality, side), contenders.pixmill("Pixmill", recipe)]


def _careful(source, side):
    """Everything decoded, then reduced with a Lanczos window of three lobes, antialiased."""
    with Image.open(io.BytesIO(source)) as picture:
        picture = picture.convert("RGB")
    scale = min(side / picture.width, side / picture.height)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.LANCZOS)


def _references(folder, side, target):
    target.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        _careful(path.read_bytes(), side).save(target / (path.stem + ".png"), compress_level=0)
    return target


def _measure(runner, folder, side, options):
    timed = runner.in_turns(_entries(side, _QUALITY), folder, options.rounds, options.seconds)
    references = _references(folder, side, runner.fresh_folder())
    for key, quality in (("file", _QUALITY), ("pixels", 100)):
        entries = _entries(side, quality)
        scores = runner.scores_of_all([(entry, folder, references) for entry in entries])
        for entry, score in zip(entries, scores):
            timed[entry.name][key] = score
    return timed


def _goals(results, case):
    ssim = mean_of(results["Pixmill"]["pixels"], "ssim")
    return [(f"{case}: CPU against sharp", median_time(results["Pixmill"]) / median_time(results["sharp"]), 1.0),
            (f"{case}: 1 − SSIM against a careful reduction", 1 - ssim, 0.01)]


def _row(name, entry, sharp):
    worst = min(scores["ssim"] for scores in entry["pixels"].values())
    return [name, contenders.time_cell(entry), f"{entry['bytes'] / 1000:.1f}", f"{median_time(entry) / median_time(sharp):.2f}",
            f"{entry['bytes'] / sharp['bytes']:.2f}", f"{mean_of(entry['pixels'], 'ssim'):.4f} ({worst:.4f})",
            f"{mean_of(entry['file'], 'ssimulacra2'):.1f}"]


def report(runner, photos, options):
    """Markdown."""
    blocks, goals = [], []
    for size, side in CASES:
        say(f"  thumbnails {size} → {side}")
        results = _measure(runner, photos[size], side, options)
        rows = [_row(name, entry, results["sharp"]) for name, entry in results.items()]
        header = [f"{size} → {side}", "CPU ms", "kB", "× sharp's CPU", "× sharp's bytes", "SSIM of the pixels (least)",
                  "SSIMULACRA2 of the file"]
        blocks.append(contenders.table(header, rows))
        goals += _goals(results, f"{size} → {side}")
        print("\n" + blocks[-1], flush=True)
    return "\n".join([
        "### Thumbnails", "",
        f"JPEG of quality {_QUALITY}, the whole picture in a square box. Pillow: `Image.thumbnail`; libvips: `vips_thumbnail_buffer` from C++; sharp: `resize` with",
        "`fit: \"inside\"`, its own JPEG settings; Pixmill: `resize=…:inside`. The judge's reference is the fully decoded picture, reduced with Pillow's Lanczos.",
        "*SSIM of the pixels*: of the same reduction written at quality 100 and 4:4:4, mean and least over the pictures; *SSIMULACRA2*: of the file of quality",
        f"{_QUALITY}, quantised alike by all but Pixmill, whose tables are its own.", "", "\n\n".join(blocks), "", contenders.verdicts(goals)])
