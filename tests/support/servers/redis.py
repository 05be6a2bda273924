"""A redis-server of its own, without persistence, that tests may kill and start again on the same port."""

import contextlib
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from support.waiting import wait_until

HOST = "127.0.0.1"


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, **config):
        """`config`: lines of redis.conf, such as maxmemory="64mb"; underscores stand for hyphens."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pixmill-redis-"))
        self.port = free_port()
        self.config = {"bind": HOST, "dir": str(self.folder), "save": '""', "appendonly": "no", "daemonize": "no",
                       **self.listening(), **{name.replace("_", "-"): value for name, value in config.items()}}
        self.process = None

    def listening(self):
        """The lines of redis.conf that say how it is reached."""
        return {"port": self.port}

    def settings(self):
        return {"REDIS_URL": f"redis://{HOST}:{self.port}/0"}

    def login(self):
        """What `command` says first."""
        return []

    def connect(self):
        connection = socket.create_connection((HOST, self.port), timeout=5)
        return connection

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        lines = "".join(f"{name} {value}\n" for name, value in self.config.items())
        (self.folder / "redis.conf").write_text(lines)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(["redis-server", str(self.folder / "redis.conf")], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd=self.folder)
        wait_until(self.answers, 20, lambda: f"redis answers:\n{(self.folder / 'log').read_text()[-2000:]}")
        return self

    def kill(self):
        """kill -9."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"redis-server ended:\n{(self.folder / 'log').read_text()[-2000:]}")
        with contextlib.suppress(OSError):
            return self.command("PING") == "PONG"
        return False

    def command(self, *words):
        """One command on a connection of its own; its answer as Python values. An error answer is raised."""
        with self.connect() as connection, connection.makefile("rb") as answers:
            for sent in [*self.login(), words]:
                pieces = [str(word).encode() for word in sent]
                connection.sendall(b"*%d\r\n" % len(pieces) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in pieces))
                answer = read_answer(answers)
            return answer


def read_answer(stream):
    line = stream.readline().rstrip(b"\r\n").decode()
    if not line:
        raise OSError("redis broke off")
    kind, rest = line[0], line[1:]
    if kind == "-":
        raise RuntimeError(rest)
    if kind == ":":
        return int(rest)
    if kind == "$":
        return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode("utf-8", "replace")
    if kind == "*":
        return None if rest == "-1" else [read_answer(stream) for _ in range(int(rest))]
    return rest
