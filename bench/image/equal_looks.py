"""Bytes at equal looks: curves of bytes against a score for every picture and contender, compared where the scores are equal."""

import math

import contenders
from contenders import mean, mean_of, median_time, say

# Where the curves are compared: the scores of plain optimised JPEG at these qualities.
_COMPARED = range(40, 86, 5)
# The points of the curves, which reach beyond those scores for every contender.
_POINTS = [20, 30, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 93]
_PLAIN, _MOZJPEG = "libjpeg-turbo", "sharp, mozjpeg"
_METRICS = {"ssimulacra2": "SSIMULACRA2", "psnr_hvs": "PSNR-HVS", "ssim": "SSIM"}
# The judge's scores of two equal pictures, which say nothing about what was spared.
_SAME = {"ssimulacra2": 100, "psnr_hvs": 100, "ssim": 1}
# At most so much of the bytes of (plain, mozjpeg) at equal SSIMULACRA2.
_GOALS = {("400", "Pixmill"): (0.86, 0.98), ("1600", "Pixmill"): (0.82, 0.95),
          ("400", "Pixmill, effort 7"): (0.85, 0.97), ("1600", "Pixmill, effort 7"): (0.80, 0.94)}


def _entries(quality):
    recipe = f"format=jpeg quality={quality} keep_smaller=false"
    return [contenders.libjpeg(_PLAIN, quality), contenders.sharp(_MOZJPEG, quality, mozjpeg=True),
            contenders.pixmill("Pixmill, plain", recipe + " tables=standard progressive=false"),
            contenders.pixmill("Pixmill", recipe), contenders.pixmill("Pixmill, effort 7", recipe + " effort=7")]


def bytes_at(curve, score):
    """Bytes at this score on a curve of (score, bytes): logarithmic between neighbours, None outside. Curves need not rise
    everywhere, because new steps and a source's own divide unevenly; what lies between two points is then their mean."""
    for (low, low_bytes), (high, high_bytes) in zip(curve, curve[1:]):
        if low <= score <= high:
            share = 0.5 if high == low else (score - low) / (high - low)
            return math.exp(math.log(low_bytes) + (math.log(high_bytes) - math.log(low_bytes)) * share)
    return None


def ratios(points, name, peer, metric):
    """The mean over pictures and compared scores of `name`'s bytes against `peer`'s; and how many scores both curves reach."""
    found = []
    for picture in points[_PLAIN][_POINTS[0]]:
        curves = {who: sorted((points[who][quality][picture][metric], points[who][quality][picture]["bytes"]) for quality in _POINTS)
                  for who in (name, peer)}
        for quality in _COMPARED:
            score = points[_PLAIN][quality][picture][metric]
            ours, theirs = bytes_at(curves[name], score), bytes_at(curves[peer], score)
            if ours and theirs and score < _SAME[metric]:
                found.append(ours / theirs)
    return mean(found), len(found)


def _points(runner, folder):
    """{contender: {quality: {picture: scores}}}."""
    jobs = [(entry, quality) for quality in _POINTS for entry in _entries(quality)]
    scores = runner.scores_of_all([(entry, folder, folder) for entry, _ in jobs], progress=True)
    points = {}
    for (entry, quality), found in zip(jobs, scores):
        points.setdefault(entry.name, {})[quality] = found
    return points


def _curves(size, points):
    rows = [[str(quality), *(f"{mean_of(points[name][quality], 'bytes') / 1000:.1f} kB, "
                             f"{mean_of(points[name][quality], 'ssimulacra2'):.1f}" for name in points)] for quality in _POINTS]
    return contenders.table([f"{size}, quality", *points], rows)


def _compared(size, points, times):
    rows, goals = [], []
    for name in points:
        cells = []
        for metric in _METRICS:
            against = [ratios(points, name, peer, metric)[0] for peer in (_PLAIN, _MOZJPEG)]
            cells.append(" / ".join(f"{value:.3f}" for value in against))
            if metric == "ssimulacra2" and (size, name) in _GOALS:
                goals += [(f"{size}: {name}, bytes against {peer}", value, limit)
                          for peer, value, limit in zip((_PLAIN, _MOZJPEG), against, _GOALS[size, name])]
        rows.append([name, *cells, contenders.time_cell(times[name]), f"1/{median_time(times[_MOZJPEG]) / median_time(times[name]):.1f}"])
    count = len(points[_PLAIN][_POINTS[0]])
    header = [f"{size}, {count} pictures", *(f"at equal {name}" for name in _METRICS.values()), "CPU ms at 50", "of mozjpeg's CPU"]
    return contenders.table(header, rows), goals


def report(runner, photos, options):
    """Markdown."""
    blocks, curves, goals = [], [], []
    for size in ("400", "1600"):
        say(f"  equal looks, {size}")
        times = runner.in_turns(_entries(50), photos[size], options.rounds, options.seconds)
        points = _points(runner, photos[size])
        block, found = _compared(size, points, times)
        print("\n" + block, flush=True)
        blocks.append(block)
        curves.append(_curves(size, points))
        goals += found
    return "\n".join([
        "### Bytes at equal looks", "",
        "Bytes against libjpeg-turbo's with optimised Huffman codes / against sharp's `mozjpeg: true`, where the scores are those of libjpeg-turbo's qualities 40, 45 … 85:",
        "for every picture each contender's curve is read at the score of each of them, and the ratios are averaged over pictures and scores. Other metrics say",
        "other things: SSIMULACRA2 and PSNR-HVS were tuned for; PSNR-HVS and SSIM see luma alone.", "",
        "\n\n".join(blocks), "", contenders.verdicts(goals), "",
        "The curves, as means over the pictures of bytes and SSIMULACRA2 at each quality:", "", "\n\n".join(curves)])
