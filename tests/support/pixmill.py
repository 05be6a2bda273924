"""Starts, asks, kills and restarts the real program. Everything that is started here is stopped here, by process id."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.parse
import uuid

from support.waiting import wait_until

# Short times, by settings alone: the code is the one that runs with the defaults.
QUICK = {
    "PIXMILL_LEASE_MS": "3000",
    "PIXMILL_HEARTBEAT_MS": "500",
    "PIXMILL_RETRY_BASE_MS": "50",
    "PIXMILL_RETRY_CEILING_MS": "400",
    "PIXMILL_RESCUE_EVERY_MS": "200",
    "PIXMILL_RECONCILE_EVERY_MS": "300",
    "PIXMILL_REVIEW_AFTER_MS": "500",
    "PIXMILL_REMOVE_EVERY_MS": "200",
    "PIXMILL_WEBHOOK_SCHEDULE_MS": "0,200,300,400,500,600,700,800,900,1000",
}
_WORKING = " working, "
_LISTENING = re.compile(r"listening on (http://[\w.:\[\]-]+)")


def binary():
    """The program under test: PIXMILL_BINARY, else a build tree's."""
    root = pathlib.Path(__file__).resolve().parents[2]
    named = os.environ.get("PIXMILL_BINARY")
    for candidate in [named] if named else [root / "build" / p / "pixmill" for p in ("dev", "release")]:
        if os.access(candidate, os.X_OK):
            return str(pathlib.Path(candidate).resolve())
    raise SystemExit("no pixmill binary: run ./run build, or set PIXMILL_BINARY")


def is_sanitized():
    """An AddressSanitizer build: it needs more memory than what it tests."""
    return b"__asan_init" in pathlib.Path(binary()).read_bytes()


def environment(extra=None):
    """Nothing of the caller's settings gets in; sanitizers' options do."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LANG") if name in os.environ}
    return {**kept, **{name: str(value) for name, value in (extra or {}).items()}}


def is_alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children_of(pid):
    """Direct children that are alive."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return [child for child in found if is_alive(child)]


def memory_peak_bytes(pid):
    """VmHWM: the most resident memory the process ever had."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024


def memory_bytes(pid):
    """VmRSS: the memory that is resident now."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024


def sample(exposition, name, **labels):
    """The sum of the samples of a metric in Prometheus's text form whose labels contain `labels`; None when there is none."""
    total = None
    for line in exposition.splitlines():
        match = re.match(rf"{re.escape(name)}(?:\{{(.*)\}})? (\S+)", line)
        if match and all(f'{key}="{value}"' in (match.group(1) or "") for key, value in labels.items()):
            total = (total or 0) + float(match.group(2))
    return total


def code_of(item):
    """The error code of an item as the API shows it; "" when there is none."""
    return (item["error"] or {}).get("code", "")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.text[:500]}"


def multipart(fields, files):
    """(content type, body) of a form: fields {name: text}, files {name: (file name, bytes)}."""
    boundary = f"----pixmill{uuid.uuid4().hex}"
    parts = []
    for name, value in fields.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, (file_name, data) in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\nContent-Type: text/csv\r\n\r\n'
        parts += [head.encode(), data, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)


class Client:
    """HTTP with the standard library; one connection per request, so that kills and restarts need no care."""

    def __init__(self, base_url):
        self.base_url = base_url
        self._at = urllib.parse.urlsplit(base_url)

    def request(self, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection(self._at.hostname, self._at.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers={n.replace("_", "-"): v for n, v in headers.items()})

    def post(self, path, fields=None, files=None, headers=None, timeout=60):
        media_type, body = multipart(fields or {}, files or {})
        return self.request("POST", path, body, {"Content-Type": media_type, **(headers or {})}, timeout)

    def upload(self, table, name="products.csv", webhook_url=None, **fields):
        """The original platform's upload; gives the job's id."""
        if webhook_url:
            fields["webhook_url"] = webhook_url
        answer = self.post("/imgproc/upload", fields, {"file": (name, table if isinstance(table, bytes) else table.encode())})
        if answer.status != 201:
            raise AssertionError(f"upload was refused: {answer}")
        return answer.json["request_id"]

    def job(self, job_id):
        return self.get(f"/v1/jobs/{job_id}").json

    def items(self, job_id):
        found, cursor = [], ""
        while True:
            page = self.get(f"/v1/jobs/{job_id}/items?limit=500{cursor}").json
            found += page["items"]
            if not page.get("next"):
                return found
            cursor = f"&after={page['next']}"

    def wait_final(self, job_id, seconds=60):
        final = ("completed", "completed_with_errors", "failed", "cancelled", "rejected")
        last = {}

        def look():
            last.update(self.job(job_id))
            return last if last["state"] in final else None

        return wait_until(look, seconds, lambda: f"job {job_id} final: {last}")


class Process:
    """One of Pixmill's processes with its log file: killed, paused, ended."""

    process = None
    log = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def spawn(self, command, settings, folder):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(settings),
                                            cwd=folder, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def engines(self):
        return children_of(self.pid)

    def kill(self):
        """kill -9 of the process alone, as a crash would be; what it leaves behind is the test's subject."""
        if self.process is None:
            return
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        # The session is ours alone: nothing of it may outlive the test.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None

    def pause(self):
        """SIGSTOP of the process and its engines, as a machine that hangs."""
        for pid in [self.pid, *self.engines()]:
            os.kill(pid, signal.SIGSTOP)

    def go_on(self):
        for pid in [*self.engines(), self.pid]:
            os.kill(pid, signal.SIGCONT)

    def terminate(self, seconds=15):
        """SIGTERM; gives (exit code, seconds it took)."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        self.process = None
        return code, time.monotonic() - begun

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Worker(Process):
    """`with Worker(data) as worker:` runs `pixmill work` until the block ends, or the program does."""

    def __init__(self, data, *arguments, env=None, allow="127.0.0.0/8", start=True):
        self.data = pathlib.Path(data)
        self.data.mkdir(parents=True, exist_ok=True)
        self.log = self.data.parent / f"{self.data.name}.log"
        self._arguments = [*(["--allow", allow] if allow else []), *arguments]
        self._environment = {**QUICK, **(env or {})}
        self._log_begin = 0
        if start:
            self.start()

    def spawn_again(self):
        """Starts it without waiting for anything."""
        self._log_begin = self.log.stat().st_size if self.log.exists() else 0
        self.spawn([binary(), "work", "--data", str(self.data), *self._arguments], self._environment, self.data.parent)

    def start(self, seconds=30, ready=True):
        self.spawn_again()
        if ready:
            wait_until(self._is_working, seconds, lambda: f"the worker works:\n{self.log_text()[-4000:]}")
        return self

    def _is_working(self):
        if self.has_started():
            return True
        if self.process.poll() is not None:
            raise AssertionError(f"pixmill work ended with {self.process.returncode}:\n{self.log_text()[-4000:]}")
        return False

    def has_started(self):
        """Whether it got as far as working since it was started last."""
        return _WORKING in self.log_text()[self._log_begin:]


class Server(Process, Client):
    """`with Server(data) as server:` runs `pixmill serve` on a free port until the block ends."""

    def __init__(self, data, *arguments, env=None, allow="127.0.0.0/8", start=True, port=0):
        Client.__init__(self, "http://127.0.0.1:0")
        self.data = pathlib.Path(data)
        self.data.mkdir(parents=True, exist_ok=True)
        self.log = self.data.parent / f"{self.data.name}.log"
        self._arguments = [*(["--allow", allow] if allow else []), *arguments]
        self._environment = {**QUICK, **(env or {})}
        self._port = port
        self._log_begin = 0
        if start:
            self.start()

    def command(self):
        return [binary(), "serve", "--port", str(self._port), "--data", str(self.data), *self._arguments]

    def spawn_again(self):
        """Starts it on the port that it had, without waiting for anything."""
        self._log_begin = self.log.stat().st_size if self.log.exists() else 0
        self.spawn(self.command(), self._environment, self.data.parent)

    def has_started(self):
        """Whether it got as far as listening since it was started last."""
        return _LISTENING.search(self.log_text()[self._log_begin:]) is not None

    def start(self, seconds=30, ready=True):
        self.spawn_again()

        def listening():
            if self.process.poll() is not None:
                raise AssertionError(f"pixmill serve ended with {self.process.returncode}:\n{self.log_text()[-4000:]}")
            return _LISTENING.search(self.log_text()[self._log_begin:])

        self.base_url = wait_until(listening, seconds, lambda: f"the server listens:\n{self.log_text()[-4000:]}").group(1)
        self._at = urllib.parse.urlsplit(self.base_url)
        self._port = self._at.port  # a restart keeps its address
        if ready:
            wait_until(self.is_ready, seconds, lambda: f"/readyz:\n{self.log_text()[-4000:]}")
        return self

    def connect_to(self, host):
        """Asks under another address than the one it said it listens on."""
        self.base_url = f"http://{host}:{self._at.port}"
        self._at = urllib.parse.urlsplit(self.base_url)

    def is_ready(self):
        try:
            return self.get("/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def metric(self, name, **labels):
        return sample(self.get("/metrics").text, name, **labels)


def run_command(*arguments, env=None, cwd=None, stdin=None, seconds=120, allow="127.0.0.0/8"):
    """`pixmill ARGUMENTS` to its end: a CompletedProcess with text streams."""
    settings = {**QUICK, **({"FETCH_ALLOW": allow} if allow else {}), **(env or {})}
    given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    done = subprocess.run([binary(), *map(str, arguments)], capture_output=True, env=environment(settings), cwd=cwd, timeout=seconds,
                          check=False, **given)
    done.stdout, done.stderr = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    return done


@contextlib.contextmanager
def running(*arguments, env=None, cwd=None, allow="127.0.0.0/8", **options):
    """`pixmill ARGUMENTS` while the block runs; killed at its end if it still lives."""
    settings = {**QUICK, **({"FETCH_ALLOW": allow} if allow else {}), **(env or {})}
    process = subprocess.Popen([binary(), *map(str, arguments)], env=environment(settings), cwd=cwd, start_new_session=True,
                               **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def table(urls, per_row=1, products=None):
    """A CSV in the original platform's form."""
    lines = ["S.No.,Product Name,Input Image Urls"]
    groups = [urls[at:at + per_row] for at in range(0, len(urls), per_row)]
    for number, group in enumerate(groups, 1):
        name = products[number - 1] if products else f"SKU{number}"
        lines.append(f'{number},{name},"{", ".join(group)}"')
    return "\r\n".join(lines) + "\r\n"
