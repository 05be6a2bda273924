"""WebP, AVIF and PNG out, beside JPEG: what Pixmill and sharp take for them, and what they give."""

import contenders
from contenders import mean_of, say

_PHOTOS_MAX = 20  # AVIF takes its time


def _photo_entries():
    return [contenders.pixmill("Pixmill, JPEG 80", "format=jpeg quality=80"),
            contenders.pixmill("Pixmill, WebP 80", "format=webp quality=80"),
            contenders.pixmill("Pixmill, WebP 80, effort 9", "format=webp quality=80 effort=9"),
            contenders.sharp("sharp, WebP 80", 80, form="webp"),
            contenders.pixmill("Pixmill, AVIF 60", "format=avif quality=60"),
            contenders.sharp("sharp, AVIF 60", 60, form="avif")]


def _cut_out_entries():
    return [contenders.pixmill("Pixmill, WebP 80", "format=webp quality=80"), contenders.sharp("sharp, WebP 80", 80, form="webp"),
            contenders.pixmill("Pixmill, PNG", "format=png"), contenders.sharp("sharp, PNG", 80, form="png")]


def _block(runner, title, entries, folder, options):
    say(f"  formats, {title}")
    results = runner.in_turns(entries, folder, options.rounds, options.seconds)
    scores = runner.scores_of_all([(entry, folder, folder) for entry in entries])
    rows = [[entry.name, contenders.time_cell(results[entry.name]), f"{results[entry.name]['bytes'] / 1000:.1f}",
             *(f"{mean_of(score, metric):.{digits}f}" for metric, digits in (("ssimulacra2", 1), ("psnr_hvs", 2), ("ssim", 4)))]
            for entry, score in zip(entries, scores)]
    block = contenders.table([title, "CPU ms", "kB", "SSIMULACRA2", "PSNR-HVS", "SSIM"], rows)
    print("\n" + block, flush=True)
    return block


def report(runner, photos, options):
    """Markdown."""
    few = runner.some_of(photos["1600"], _PHOTOS_MAX)
    blocks = [_block(runner, "photographs of 1600×1200", _photo_entries(), few, options),
              _block(runner, "cut-outs, PNG with alpha", _cut_out_entries(), photos["cut-outs"], options)]
    return "\n".join([
        "### Other formats", "",
        "Quality numbers are each format's own and do not compare across formats. sharp with its default effort for WebP (4) and PNG, with effort 1 and 4:2:0 for",
        f"AVIF; Pixmill with its own (WebP method 2, AVIF speed 8). At most {_PHOTOS_MAX} photographs; of pictures with transparency the judge sees what lies over white.", "", "\n\n".join(blocks)])
