"""A whole installation on one machine: PostgreSQL, Redis and an S3 store, each behind a fault proxy, API servers and workers."""

import contextlib
import pathlib
import urllib.parse

from chaos.fault_proxy import FaultProxy
from support import auditor, pixmill
from support.servers import postgres, redis, swift

# Every process of a fleet seals and signs with the same keys.
_MASTER_KEY = "cGl4bWlsbCBjaGFvcyB0ZXN0cywgbm8gc2VjcmV0ISE="


def _through(url, port):
    """The same URL at another port of this machine."""
    at = urllib.parse.urlsplit(url)
    user = at.netloc.rpartition("@")[0]
    return at._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}").geturl()


def _port(url):
    return urllib.parse.urlsplit(url).port


class Bucket:
    """The results, for the auditor: read without Pixmill and past the proxy."""

    def __init__(self, store):
        self._store = store

    def read(self, key):
        found = self._store.read(key)
        return found[1] if found else None

    def keys(self, top):
        return self._store.keys(prefix=f"{top}/" if top else "")


class Fleet:
    """`with Fleet(folder, servers=2, workers=4) as fleet:`; servers do no work themselves."""

    def __init__(self, folder, servers=2, workers=4, secret=None, env=None, worker_arguments=()):
        self.folder = pathlib.Path(folder)
        self._counts = servers, workers
        self._secret = secret
        self._extra = dict(env or {})
        self._worker_arguments = worker_arguments
        self._stack = contextlib.ExitStack()
        self.servers, self.workers, self.proxies = [], [], {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _start(self, stack):
        self.postgres = stack.enter_context(postgres.Server())
        self.redis = stack.enter_context(redis.Server())
        self.store = stack.enter_context(swift.Server())
        settings = {**self.postgres.settings(), **self.redis.settings(), **self.store.settings()}
        self.database_url = settings["DATABASE_URL"]  # past the proxy
        for name, key in (("postgres", "DATABASE_URL"), ("redis", "REDIS_URL"), ("s3", "AWS_ENDPOINT_URL")):
            self.proxies[name] = stack.enter_context(FaultProxy(_port(settings[key])))
            settings[key] = _through(settings[key], self.proxies[name].port)
        self.environment = {**settings, "PIXMILL_MASTER_KEY": _MASTER_KEY, "PIXMILL_ENGINES": "1", **self._extra}
        servers, workers = self._counts
        flags = ["--webhook-secret", self._secret] if self._secret else []
        for number in range(servers):
            self.servers.append(stack.enter_context(pixmill.Server(self.folder / f"server{number}", "--workers", "0", *flags,
                                                                   env=self.environment)))
        for number in range(workers):
            self.workers.append(stack.enter_context(pixmill.Worker(self.folder / f"worker{number}", *self._worker_arguments,
                                                                   env=self.environment)))

    @property
    def processes(self):
        return [*self.servers, *self.workers]

    def restart_all(self):
        """Every process of ours, killed and started again."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.start()

    def audit(self, **options):
        return auditor.audit(self.database_url, Bucket(self.store), **options)

    def metric(self, name, **labels):
        """The sum over the servers that answer; workers have no port of their own."""
        values = [server.metric(name, **labels) for server in self.servers if server.is_running()]
        return sum(value for value in values if value is not None)
