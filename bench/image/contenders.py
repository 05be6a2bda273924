"""Runs contenders of the image benchmark, each a process of its own on one core, and the judge over what they wrote."""

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
# Debian's, which has Debian's Pillow.
_PYTHON = "/usr/bin/python3"
# One thread, whoever reads it; and no compiled code of the peers beside their sources.
_ENVIRONMENT = {"VIPS_CONCURRENCY": "1", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclasses.dataclass(frozen=True)
class Contender:
    """`task` is what follows FOLDER SECONDS OUTPUT in the contender's command line."""
    name: str
    program: str  # "contender", "pillow" or "sharp", or the path of a program that is called as fastrq is
    task: tuple


def pixmill(name, recipe):
    return Contender(name, "contender", ("pixmill", recipe))


def libjpeg(name, quality):
    return Contender(name, "contender", ("libjpeg", str(quality)))


def libvips(name, quality, side=None):
    return Contender(name, "contender", ("libvips", str(quality), *([str(side)] if side else [])))


def pillow(name, quality, side=None):
    return Contender(name, "pillow", (str(quality), *([str(side)] if side else [])))


def sharp(name, quality, side=None, mozjpeg=False):
    return Contender(name, "sharp", (str(quality), *([str(side)] if side else []), *(["mozjpeg"] if mozjpeg else [])))


def say(text):
    print(text, file=sys.stderr, flush=True)


class Runner:
    """Knows where the programs are. `build` is a CMake build folder with the targets contender and judge."""

    def __init__(self, build, work):
        self.work = pathlib.Path(work)
        self._contender = pathlib.Path(build) / "src" / "image" / "contender"
        self._judge = pathlib.Path(build) / "src" / "image" / "judge"
        self._core = max(os.sched_getaffinity(0))
        self._folders = 0

    def _run(self, command):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                              env={**os.environ, **_ENVIRONMENT}, preexec_fn=lambda: os.sched_setaffinity(0, {self._core}))
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-500:]}{done.stderr[-2000:]}")
        return done.stdout

    def fresh_folder(self):
        """A name that nothing has had yet, so that no contender waits for the deletion of another's files."""
        self._folders += 1
        return self.work / f"out-{self._folders}"

    def run(self, contender, folder, seconds, output="-"):
        programs = {"contender": [self._contender], "pillow": [_PYTHON, HERE / "pillow_peer.py"],
                    "sharp": ["node", HERE / "sharp_peer.mjs"]}
        return json.loads(self._run([*programs[contender.program], folder, seconds, output, *contender.task]))

    def in_turns(self, contenders, folder, rounds, seconds):
        """{name: {"times": CPU ms of each round, "bytes": mean output}}."""
        results = {contender.name: {"times": []} for contender in contenders}
        for number in range(rounds):
            for contender in contenders:
                done = self.run(contender, folder, seconds)
                results[contender.name]["times"].append(done["cpu_ms"])
                results[contender.name]["bytes"] = done["bytes"]
            say(f"    round {number + 1} of {rounds}: " +
                ", ".join(f"{name} {entry['times'][-1]:.3g}" for name, entry in results.items()) + " ms")
        return results

    def judge(self, originals, folder):
        """{stem: scores} of the files in `folder`; every one of them decodes without a warning, or the benchmark ends."""
        lines = self._run([self._judge, originals, folder]).splitlines()
        scores = [json.loads(line) for line in lines]
        return {entry.pop("name"): entry for entry in scores}

    def scores_of(self, contender, folder, originals):
        """Runs the contender once over `folder` and judges what it wrote."""
        output = self.fresh_folder()
        self.run(contender, folder, 0, output)
        return self.judge(originals, output)


def mean(values):
    values = list(values)
    return statistics.fmean(values) if values else float("nan")


def mean_of(scores, key):
    return mean(entry[key] for entry in scores.values())


def median_time(result):
    return statistics.median(result["times"])


def time_cell(result):
    return f"{median_time(result):.3g} ({min(result['times']):.3g}–{max(result['times']):.3g})"


def table(header, rows):
    return "\n".join(["| " + " | ".join(header) + " |", "|" + "---|" * len(header),
                      *("| " + " | ".join(row) + " |" for row in rows)])
