"""One JPEG to JPEG of quality 50 at its own size: what each contender takes, and what it gives."""

import contenders
from contenders import mean_of, median_time, say

_QUALITY = 50


def _entries(reference):
    recipe = f"format=jpeg quality={_QUALITY}"
    found = [contenders.pillow("Pillow", _QUALITY), contenders.sharp("sharp", _QUALITY),
             contenders.sharp("sharp, mozjpeg", _QUALITY, mozjpeg=True), contenders.libvips("libvips", _QUALITY),
             contenders.libjpeg("libjpeg-turbo", _QUALITY)]
    if reference:
        found.append(contenders.reference("reference", reference, _QUALITY))
    return found + [contenders.pixmill("Pixmill, plain", recipe + " tables=standard progressive=false"),
                    contenders.pixmill("Pixmill", recipe), contenders.pixmill("Pixmill, effort 7", recipe + " effort=7")]


def _goals(results, size):
    """What is asked of the times and sizes: name, value, limit."""
    def ratio(name, peer):
        return median_time(results[name]) / median_time(results[peer])

    goals = [("plain, CPU against Pillow", ratio("Pixmill, plain", "Pillow"), 0.33),
             ("plain, CPU against libjpeg-turbo", ratio("Pixmill, plain", "libjpeg-turbo"), 0.45),
             ("plain, bytes against Pillow", results["Pixmill, plain"]["bytes"] / results["Pillow"]["bytes"], 0.92),
             ("default, CPU against mozjpeg", ratio("Pixmill", "sharp, mozjpeg"), 1 / 14)]
    if "reference" in results:
        goals += [("plain, CPU against the reference", ratio("Pixmill, plain", "reference"), 1.15),
                  ("default, CPU against the reference", ratio("Pixmill", "reference"), 1.35),
                  ("effort 7, CPU against the reference", ratio("Pixmill, effort 7", "reference"), 2.2)]
    gap = abs(mean_of(results["Pixmill, plain"]["file"], "ssimulacra2") - mean_of(results["libjpeg-turbo"]["file"], "ssimulacra2"))
    goals.append(("plain, SSIMULACRA2 from libjpeg-turbo's", gap, 0.5))
    return [(f"{size}: {name}", value, limit) for name, value, limit in goals]


def _row(name, results):
    entry = results[name]
    ratios = [f"{median_time(entry) / median_time(results[peer]):.2f}" if peer in results else "–"
              for peer in ("Pillow", "libjpeg-turbo", "sharp, mozjpeg", "reference")]
    return [name, contenders.time_cell(entry), *ratios, f"{entry['bytes'] / 1000:.1f}",
            f"{entry['bytes'] / results['Pillow']['bytes']:.2f}", f"{entry['bytes'] / results['sharp, mozjpeg']['bytes']:.2f}",
            f"{mean_of(entry['file'], 'ssimulacra2'):.1f}", f"{mean_of(entry['file'], 'psnr_hvs'):.2f}"]


def report(runner, photos, options):
    """Markdown."""
    blocks, goals = [], []
    for size in ("400", "1600", "4000"):
        say(f"  same size, {size}")
        entries = _entries(options.reference)
        results = runner.in_turns(entries, photos[size], options.rounds, options.seconds)
        scores = runner.scores_of_all([(entry, photos[size], photos[size]) for entry in entries])
        for entry, score in zip(entries, scores):
            results[entry.name]["file"] = score
        header = [size, "CPU ms", "× Pillow", "× libjpeg-turbo", "× mozjpeg", "× reference", "kB", "bytes × Pillow", "bytes × mozjpeg",
                  "SSIMULACRA2", "PSNR-HVS"]
        blocks.append(contenders.table(header, [_row(name, results) for name in results]))
        goals += _goals(results, size)
        print("\n" + blocks[-1], flush=True)
    return "\n".join([
        f"### JPEG to JPEG of quality {_QUALITY}, same size", "",
        "Pillow as the original platform calls it: `convert(\"RGB\").save(quality=50)`. sharp with its defaults and with `mozjpeg: true`; libvips from C++ with its",
        "defaults; libjpeg-turbo from C++: rows decoded and encoded, optimised Huffman codes. Pixmill: `format=jpeg quality=50`, with `effort=7`, and *plain* with",
        "`tables=standard progressive=false`. *Reference*: an experiment in one dense function with standard tables, compiled for the processor it runs on;",
        "not part of this tree (`--reference`). Quality 50 is not the same quality everywhere: compare bytes in the next section.", "",
        "\n\n".join(blocks), "", contenders.verdicts(goals)])
