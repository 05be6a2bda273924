"""What every integration test starts from: a folder of its own, an origin, and nothing left behind."""

import csv
import io
import os
import pathlib
import shutil
import tempfile
import unittest

from support.origin import Origin

# `./run test --long` runs the counts that PROMISES names; otherwise a short form of each, by the same code.
LONG = bool(os.environ.get("PIXMILL_TEST_LONG"))


def short_or_long(short, long):
    return long if LONG else short


class Case(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pixmill-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def use(self, thing):
        """Enters a context that ends with the test."""
        value = thing.__enter__()
        self.addCleanup(thing.__exit__, None, None, None)
        return value

    def origin(self, **options):
        return self.use(Origin(**options))

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def assert_clean(self, report):
        """An auditor's report without a finding."""
        self.assertEqual([], report.problems[:20], str(report))


def read_csv(path_or_text):
    text = path_or_text.read_text(encoding="utf-8") if isinstance(path_or_text, pathlib.Path) else path_or_text
    return list(csv.DictReader(io.StringIO(text, newline="")))


def main():
    unittest.main(verbosity=2)
