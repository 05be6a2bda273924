"""What tests of S3 start from: one Swift for all tests of a class, and a prefix of its own in the bucket for each."""

import subprocess

from support import case, pixmill
from support.servers import swift


def curl(url):
    """(status, bytes) that plain curl gets."""
    done = subprocess.run(["curl", "-sS", "-g", "--noproxy", "*", "-o", "-", "-w", "\n%{http_code}", url], capture_output=True,
                          timeout=30, check=True)
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), body


class S3Case(case.Case):
    """One Swift for all tests of a class; each test has a prefix of its own in the bucket."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.swift = swift.Server()
        cls.swift.__enter__()
        cls.addClassCleanup(cls.swift.__exit__, None, None, None)

    def setUp(self):
        super().setUp()
        self.prefix = f"test-{self.id().rsplit('.', 1)[1]}"

    def env(self, **more):
        settings = {**self.swift.settings(), "S3_PREFIX": self.prefix, "S3_TIMEOUT_MS": "5000", **more}
        settings.pop("AWS_STORAGE_DOMAIN")
        return settings

    def read(self, key):
        """As the auditor asks for it: the bytes below the prefix, None when there are none."""
        found = self.swift.read(f"{self.prefix}/{key}")
        return found[1] if found else None

    def keys(self, top=""):
        """Of results: below the prefix, without what is kept for ourselves."""
        cut = len(self.prefix) + 1
        return [key[cut:] for key in self.swift.keys(prefix=f"{self.prefix}/{top}") if not key[cut:].startswith(".pixmill-internal/")]

    def server(self, *arguments, **env):
        return self.use(pixmill.Server(self.folder / "data", *arguments, env=self.env(**env)))
