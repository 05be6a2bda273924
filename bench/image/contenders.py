"""Runs contenders of the image benchmark, each a process of its own on one core, and the judge over what they wrote."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
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
    program: str  # "contender", "pillow" or "sharp"; else the path of a program that is called as `_run_reference` does
    task: tuple


def pixmill(name, recipe):
    return Contender(name, "contender", ("pixmill", recipe))


def libjpeg(name, quality):
    return Contender(name, "contender", ("libjpeg", str(quality)))


def libvips(name, quality, side=None):
    return Contender(name, "contender", ("libvips", str(quality), *([str(side)] if side else [])))


def pillow(name, quality, side=None):
    return Contender(name, "pillow", (str(quality), *([str(side)] if side else [])))


def sharp(name, quality, side=None, mozjpeg=False, form="jpeg"):
    return Contender(name, "sharp", (str(quality), str(side or 0), "mozjpeg" if mozjpeg else form))


def reference(name, program, quality):
    return Contender(name, str(program), (str(quality), "opt"))


def say(text):
    print(text, file=sys.stderr, flush=True)


def _node():
    """The system's Node.js if sharp runs on it, else the one beside us."""
    say_version = "process.stdout.write(process.versions.node)"
    system = shutil.which("node")
    if system:
        version = subprocess.run([system, "-e", say_version], capture_output=True, text=True, check=True).stdout.split(".")
        if (int(version[0]), int(version[1])) >= (20, 9):
            return system
    return next((HERE / "node" / "node_modules").glob("node-linux-*/bin/node"), "node")


class Runner:
    """Knows where the programs are. `build` is a CMake build folder with the targets contender and judge."""

    def __init__(self, build, work):
        self.work = pathlib.Path(work)
        self._contender = pathlib.Path(build) / "src" / "image" / "contender"
        self._judge = pathlib.Path(build) / "src" / "image" / "judge"
        self._node = _node()
        self._cores = sorted(os.sched_getaffinity(0))
        self._folders = 0

    def _run(self, command, cores=None):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                              env={**os.environ, **_ENVIRONMENT},
                              preexec_fn=lambda: os.sched_setaffinity(0, cores or {self._cores[-1]}))
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-500:]}{done.stderr[-2000:]}")
        return done.stdout

    def _run_reference(self, contender, folder, seconds, output):
        """PROGRAM FOLDER QUALITY opt -r SECONDS [-o OUTPUT], which prints "… N ms/img … out N kB"."""
        out = [] if output == "-" else ["-o", output]
        text = self._run([contender.program, folder, *contender.task, "-r", seconds, *out])
        return {"cpu_ms": float(re.search(r"([0-9.]+) ms", text)[1]), "bytes": float(re.search(r"out ([0-9.]+) kB", text)[1]) * 1000}

    def sharp_version(self):
        script = "import('sharp').then(({ default: { versions } }) => console.log(`sharp ${versions.sharp} (libvips ${versions.vips})`))"
        return subprocess.run([self._node, "-e", script], cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()

    def fresh_folder(self):
        """A name that nothing has had yet, so that no contender waits for the deletion of another's files."""
        self._folders += 1
        return self.work / f"out-{self._folders}"

    def run(self, contender, folder, seconds, output="-", cores=None):
        programs = {"contender": [self._contender], "pillow": [_PYTHON, HERE / "pillow_peer.py"],
                    "sharp": [self._node, HERE / "sharp_peer.mjs"]}
        if contender.program not in programs:
            return self._run_reference(contender, folder, seconds, output)
        command = [*programs[contender.program], folder, seconds, output, *contender.task]
        return json.loads(self._run(command, cores))

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
        lines = self._run([self._judge, originals, folder], self._cores).splitlines()
        scores = [json.loads(line) for line in lines]
        return {entry.pop("name"): entry for entry in scores}

    def _scores_of(self, contender, folder, originals, output):
        """Runs the contender once over `folder` and judges what it wrote; nothing is timed, so any core will do."""
        self.run(contender, folder, 0, output, self._cores)
        scores = self.judge(originals, output)
        shutil.rmtree(output)
        return scores

    def scores_of_all(self, jobs, progress=False):
        """The scores of [(contender, folder, originals)], in their order, on all cores."""
        with concurrent.futures.ThreadPoolExecutor(len(self._cores)) as pool:
            futures = [pool.submit(self._scores_of, *job, self.fresh_folder()) for job in jobs]
            for number, future in enumerate(futures, 1):
                future.result()
                if progress and number % 10 == 0:
                    say(f"    judged {number} of {len(jobs)}")
            return [future.result() for future in futures]

    def some_of(self, folder, count):
        """`count` files of the folder, spread over it, as links in another."""
        paths = sorted(folder.iterdir())
        if not count or count >= len(paths):
            return folder
        target = self.fresh_folder()
        target.mkdir()
        for number in range(count):
            path = paths[number * len(paths) // count]
            (target / path.name).symlink_to(path.resolve())
        return target


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


def verdicts(goals):
    """[(name, value, limit)] as a list, each with what came of it."""
    return "\n".join(["Goals:", "", *(f"- {name}: {value:.3g}, at most {limit:.3g}: {'reached' if value <= limit else '**not reached**'}"
                                    for name, value, limit in goals)])
