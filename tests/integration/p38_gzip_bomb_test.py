"""P38: gzip bombs stop at 100:1 or the size cap; P37: memory stays bounded for any field and any line."""

import gzip
import os
import time

from support import case, pixmill


class Bombs(case.Case):
    def peak_of(self, table):
        with pixmill.running("run", table, "-o", self.folder / f"out-{table.name}") as process:
            peak, deadline = 0, time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    peak = max(peak, pixmill.memory_peak_bytes(process.pid))
                except (OSError, AttributeError):
                    break
            return process.wait(60), peak

    def bomb(self, name, piece, times):
        path = self.folder / name
        with gzip.open(path, "wb", compresslevel=9) as file:
            file.write(b"url,note\n")
            for _ in range(times):
                file.write(piece)
        return path

    def test_a_bomb_of_rows_is_stopped(self):
        size = case.short_or_long(60, 4000)
        table = self.bomb("rows.csv.gz", b"http://example.com/x.jpg,a\n" * 40_000, size)
        self.assertGreater(size * 1_080_000 / os.path.getsize(table), 150, "it is a bomb")
        code, peak = self.peak_of(table)
        self.assertEqual(6, code)
        self.assertLess(peak, 100e6)

    def test_a_bomb_of_one_line_is_stopped(self):
        table = self.bomb("line.csv.gz", b"x" * 1_000_000, case.short_or_long(100, 10_000))
        code, peak = self.peak_of(table)
        self.assertEqual(6, code)
        self.assertLess(peak, 100e6)

    def test_an_endless_line_and_an_endless_field_need_no_memory(self):
        size = case.short_or_long(100, 1000)
        for name, opening in (("line.csv", b"http://x/,"), ("field.csv", b'http://x/,"')):
            path = self.folder / name
            with path.open("wb") as file:
                file.write(b"url,note\n" + opening)
                for _ in range(size):
                    file.write(b"y" * 1_000_000)
            code, peak = self.peak_of(path)
            self.assertEqual(6, code, name)
            self.assertLess(peak, 100e6, name)


case.main()
