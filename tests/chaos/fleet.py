"""A whole installation on one machine: PostgreSQL, Redis and an S3 store, each behind a fault proxy, API servers and workers.

A keeper starts again what ended by itself, as a service manager does, and remembers it: nothing should.
"""

import base64
import collections
import contextlib
import pathlib
import threading
import urllib.parse

from chaos.fault_proxy import FaultProxy
from support import auditor, pixmill
from support.servers import postgres, redis, swift
from support.waiting import wait_until

# Every process of a fleet seals and signs with the same keys.
MASTER_KEY = base64.b64encode(b"a chaos test needs no secret key").decode()
_INTERNAL = ".pixmill-internal/"  # what Pixmill keeps in the bucket for itself

Exit = collections.namedtuple("Exit", "name code started log")


def _through(url, port):
    """The same URL at another port of this machine."""
    at = urllib.parse.urlsplit(url)
    user = at.netloc.rpartition("@")[0]
    return at._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}").geturl()


class Bucket:
    """The results, for the auditor: read without Pixmill and past the proxy."""

    def __init__(self, store):
        self._store = store

    def read(self, key):
        def attempt():
            status, _, body = self._store.native("GET", f"/{self._store.bucket}/{urllib.parse.quote(key)}")
            return {200: [body], 404: [None]}.get(status)

        return wait_until(attempt, 60, f"the store answers for {key}", every=0.1)[0]

    def every_key(self):
        def attempt():
            try:
                return [self._store.keys()]
            except ValueError:  # an answer that is no list: the store is still coming up
                return None

        return [key for key in wait_until(attempt, 60, "the store lists its keys", every=0.1)[0] if not key.startswith(_INTERNAL)]


class Member:
    """A server or a worker. Whoever harms it holds `lock`; while `wanted` is false nobody starts it again."""

    def __init__(self, process):
        self.process = process
        self.name = process.data.name
        self.lock = threading.RLock()
        self.wanted = True

    @property
    def is_server(self):
        return isinstance(self.process, pixmill.Server)


class Keeper:
    """Starts members again that are wanted and not there; `exits` says which of them ended by themselves."""

    def __init__(self, members):
        self._members = members
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.exits = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(30)

    def _run(self):
        while not self._stop.wait(0.2):
            for member in self._members:
                if member.lock.acquire(blocking=False):
                    try:
                        self._look_after(member)
                    finally:
                        member.lock.release()

    def _look_after(self, member):
        process = member.process
        if not member.wanted or process.is_running() or self._stop.is_set():
            return
        if process.process is not None:
            code = process.process.returncode
            self.exits.append(Exit(member.name, code, process.has_started(), process.log_text()[-1500:]))
            process.kill()
        process.spawn_again()


class Fleet:
    """`with Fleet(folder, servers=2, workers=4) as fleet:`; servers do no work themselves."""

    def __init__(self, folder, servers=2, workers=4, secret=None, env=None, worker_arguments=(), proxied=True, engines=1,
                 tables=None, durable=False):
        self.folder = pathlib.Path(folder)
        self._counts = servers, workers
        self._secret = secret
        self._extra = {"PIXMILL_ENGINES": engines, "S3_TIMEOUT_MS": 20_000, "PIXMILL_RECONCILE_EVERY_MS": 500, "PIXMILL_REVIEW_AFTER_MS": 2000,
                       **(env or {})}
        self._worker_arguments = worker_arguments
        self._proxied = proxied
        self._database = {"tables": tables, "durable": durable}
        self._stack = contextlib.ExitStack()
        self.members, self.proxies = [], {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _start(self, stack):
        self.postgres = stack.enter_context(postgres.Server(**self._database))
        self.redis = stack.enter_context(redis.Server())
        self.store = stack.enter_context(swift.Server())
        self.bucket = Bucket(self.store)
        settings = {**self.postgres.settings(), **self.redis.settings(), **self.store.settings()}
        settings.pop("AWS_STORAGE_DOMAIN")
        self.database_url = settings["DATABASE_URL"]  # past the proxy
        for name, key in (("postgres", "DATABASE_URL"), ("redis", "REDIS_URL"), ("s3", "AWS_ENDPOINT_URL")):
            if self._proxied:
                proxy = FaultProxy(urllib.parse.urlsplit(settings[key]).port)
                self.proxies[name] = stack.enter_context(proxy)
                settings[key] = _through(settings[key], proxy.port)
        self.environment = {**settings, "PIXMILL_MASTER_KEY": MASTER_KEY, **self._extra}
        self._start_members(stack)
        self.keeper = stack.enter_context(Keeper(self.members))

    def _start_members(self, stack):
        servers, workers = self._counts
        secret = ["--webhook-secret", self._secret] if self._secret else []
        for number in range(servers):
            server = pixmill.Server(self.folder / f"server{number}", "--workers", "0", *secret, env=self.environment)
            self.members.append(Member(stack.enter_context(server)))
        for number in range(workers):
            stack.enter_context(self.add_worker(number).process)

    def add_worker(self, number):
        worker = pixmill.Worker(self.folder / f"worker{number}", *self._worker_arguments, env=self.environment)
        self.members.append(Member(worker))
        return self.members[-1]

    @property
    def servers(self):
        return [member.process for member in self.members if member.is_server]

    @property
    def workers(self):
        return [member.process for member in self.members if not member.is_server]

    def kill_everything(self):
        """kill -9 of all our processes in the same moment, as a power cut; nobody starts them again until revive()."""
        for member in self.members:
            member.wanted = False
        for member in self.members:
            with member.lock:
                member.process.kill()

    def revive(self):
        for member in self.members:
            member.wanted = True
            with member.lock:
                if not member.process.is_running():
                    member.process.kill()
                    member.process.start()

    def audit(self, **options):
        return auditor.audit(self.database_url, self.bucket, **options)

    def database(self):
        return contextlib.closing(auditor.open_database(self.database_url))

    def fenced_writes(self):
        """How many outcomes were refused because their lease had passed on; logs outlive the processes that count."""
        return sum(member.process.log_text().count("outcome_fenced") for member in self.members)

    def unexpected_exits(self):
        """Of members that had been at work; one that cannot start while its database is away says so and ends."""
        return [each for each in self.keeper.exits if each.started]
