"""Feeds hostile files through a running server and judges what becomes of them: P29, P32, P34."""

import collections
import json
import mimetypes
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

from support import pictures, pixmill
from support.waiting import wait_until

# What may become of a file that was fetched whole. Anything else would be our fault and not the file's.
CODES = {"not_an_image", "unsupported_format", "too_large", "truncated", "decode_failed", "engine_crash", "engine_timeout"}
MEMORY_BUDGET_BYTES = 96 << 20
# RLIMIT_DATA of an engine, what it shares with its parent (source and outputs), its code, and libraries.
ENGINE_RESIDENT_BYTES_MAX = (512 + 64 + 128 + 96) << 20

_CONTROL_EVERY = 40
_LIES = {"jpg": "png", "jpeg": "gif", "png": "jpg", "gif": "webp", "webp": "tif", "tif": "jpg", "tiff": "png", "avif": "jpg", "heic": "jpg"}

# `path` is the file, `name` the last part of its address; its ending decides the Content-Type.
Sample = collections.namedtuple("Sample", "label path name")


def under_its_own_name(path, label=None):
    return Sample(label or path.name, path, path.name)


def under_a_lying_name(path, label=None):
    ending = path.suffix.lstrip(".").lower()
    return Sample(f"{label or path.name} as {_LIES.get(ending, 'jpg')}", path, f"{path.stem}.{_LIES.get(ending, 'jpg')}")


class _Watch:
    """The most memory that any engine had, seen from outside while a block runs."""

    def __init__(self, server):
        self._server, self._over = server, threading.Event()
        self.peak_bytes = 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.wait(0.1):
            for pid in self._server.engines():
                try:
                    self.peak_bytes = max(self.peak_bytes, pixmill.memory_peak_bytes(pid))
                except (OSError, AttributeError):
                    continue  # it ended meanwhile


class Trial:
    """One server and the jobs it is given. `problems` is empty as long as every promise holds."""

    def __init__(self, server, origin, folder):
        self._server, self._origin, self._folder = server, origin, pathlib.Path(folder)
        self._pid, self._engines = server.pid, len(server.engines())
        self._baseline = pixmill.memory_peak_bytes(server.pid)
        self._largest = 0
        self._served = 0
        self._control = self._folder / "control.jpg"
        self._control.write_bytes(pictures.jpeg(pictures.poster(160, 120, 7), orientation=6, gps=True))
        self.problems = []
        self.codes = collections.Counter()
        self.slowest = []
        self.lost_engines = []
        self.outputs = 0
        self.samples = 0
        self.engine_peak_bytes = 0

    def feed(self, samples, recipe, seconds):
        """One job: the samples, and sound neighbours among them, which must succeed."""
        by_url, order = {}, []
        for number, sample in enumerate(samples):
            if number % _CONTROL_EVERY == 0:
                order.append(self._serve(Sample("control", self._control, "control.jpg"), by_url))
            order.append(self._serve(sample, by_url))
        with _Watch(self._server) as watch:
            answer = self._server.post("/v1/jobs", {"recipe": recipe}, {"file": ("samples.csv", pixmill.table(order).encode())})
            if answer.status not in (201, 202):
                raise AssertionError(f"the job was refused: {answer}")
            job = self._server.wait_final(answer.json["id"], seconds)
        self.samples += len(samples)
        self.engine_peak_bytes = max(self.engine_peak_bytes, watch.peak_bytes)
        items = self._server.items(job["id"])
        if len(items) != len(order):
            self.problems.append(f"{len(items)} items of {len(order)}")
        self._judge_items(items, by_url)
        self._judge_outputs(items, by_url)
        self._judge_processes()

    def _serve(self, sample, by_url):
        self._served += 1
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", sample.name)[-80:]
        path = f"/hostile/{self._served}/{safe}"
        media_type = mimetypes.guess_type(safe)[0] or "application/octet-stream"
        self._origin.routes[path] = lambda request, _, __: request.answer(200, media_type, sample.path.read_bytes())
        self._largest = max(self._largest, sample.path.stat().st_size)
        by_url[self._origin.url + path] = sample
        return self._origin.url + path

    def _judge_items(self, items, by_url):
        for item in items:
            sample, code = by_url[item["url"]], pixmill.code_of(item)
            self.codes[code or item["state"]] += 1
            self.slowest = sorted([*self.slowest, (item["times"]["transform_ms"], sample.label, code or item["state"])], reverse=True)[:10]
            if item["state"] not in ("succeeded", "failed", "unchanged"):
                self.problems.append(f"{sample.label}: no final state but {item['state']}")
            if item["state"] == "failed" and code not in CODES:
                self.problems.append(f"{sample.label}: failed with {item['error']}")
            if item["state"] == "succeeded" and not item["outputs"]:
                self.problems.append(f"{sample.label}: succeeded without an output")
            if code in ("engine_crash", "engine_timeout"):
                self.lost_engines.append(f"{sample.label}: {code}")
            if sample.path == self._control and item["state"] != "succeeded":
                self.problems.append(f"a sound neighbour failed: {item['error']}")

    def _judge_outputs(self, items, by_url):
        wanted = []
        for item in items:
            for output in item["outputs"]:
                wanted.append((by_url[item["url"]], self._readable(self._server.data / "files" / output["key"], output), output))
        self.outputs += len(wanted)
        share = (len(wanted) + 1) // 2 or 1
        halves = [wanted[at:at + share] for at in range(0, len(wanted), share)]
        checks = [threading.Thread(target=self._check, args=(half,)) for half in halves]
        for check in checks:
            check.start()
        for check in checks:
            check.join()

    def _readable(self, path, output):
        """Pillow here reads no AVIF; Pixmill itself then shows that it decodes."""
        if output["format"] not in ("avif", "heif"):
            return path
        shown = self._folder / f"shown-{output['sha256']}.png"
        done = pixmill.run_command("preview", path, "-r", "format=png", "-o", shown)
        if done.returncode != 0:
            self.problems.append(f"{output['key']} does not decode: {done.stderr}")
        return shown

    def _check(self, outputs):
        lines = [json.dumps({"path": str(path), "width": output["width"], "height": output["height"], "source": str(sample.path)})
                 for sample, path, output in outputs]
        done = subprocess.run([sys.executable, "-m", "support.output_check"], input="\n".join(lines) + "\n", text=True, capture_output=True,
                              cwd=pathlib.Path(__file__).resolve().parents[1], env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=False)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        for (sample, _, output), found in zip(outputs, answers):
            self.problems += [f"{sample.label} ({output['format']} {output['rendition']}): the output {what}" for what in found]
        if len(answers) != len(outputs):
            sample = outputs[min(len(answers), len(outputs) - 1)][0]
            self.problems.append(f"looking at what became of {sample.label} ended Pillow: {done.returncode} {done.stderr[-300:]}")

    def _judge_processes(self):
        server = self._server
        if server.process.poll() is not None or server.pid != self._pid:
            self.problems.append(f"the server ended: {server.log_text()[-2000:]}")
            return
        if server.get("/readyz").status != 200:
            self.problems.append("the server is not ready")
        try:
            wait_until(lambda: len(server.engines()) >= self._engines, 5, "as many engines as before")
        except AssertionError as error:
            self.problems.append(str(error))
        used, most = self.server_growth_bytes, MEMORY_BUDGET_BYTES + 5 * self._largest
        if used > most:
            self.problems.append(f"the server grew by {used >> 20} MB; {most >> 20} MB are its budget")
        if self.engine_peak_bytes > ENGINE_RESIDENT_BYTES_MAX:
            self.problems.append(f"an engine held {self.engine_peak_bytes >> 20} MB")

    @property
    def server_growth_bytes(self):
        return pixmill.memory_peak_bytes(self._server.pid) - self._baseline


def started(data, **options):
    """A server for a trial; its deadlines are those of production."""
    return pixmill.Server(data, env={"PIXMILL_MEMORY_BYTES": str(MEMORY_BUDGET_BYTES), "PIXMILL_ENGINES": "2", **options})


def since(begun):
    return time.monotonic() - begun
