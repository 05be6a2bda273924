"""`./run bench image`, with two tiny pictures and Pillow in the place of what npm would install: every part of it runs."""

import contextlib
import io
import math
import os
import pathlib
import subprocess
import sys
import types
import unittest
from unittest import mock

from PIL import Image

from support import case, pictures, pixmill

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench" / "image"), str(ROOT / "bench")]

import contenders  # noqa: E402
import equal_looks  # noqa: E402
import formats  # noqa: E402
import photo_set  # noqa: E402
import results  # noqa: E402
import same_size  # noqa: E402
import thumbnails  # noqa: E402


def pillow_for_sharp(name, quality, side=None, **_):
    return contenders.pillow(name, quality, side)


class ImageBench(case.Case):
    def setUp(self):
        super().setUp()
        self.photos = self.folder / "photos"
        for seed in range(2):
            self.write(f"photos/{seed:03}.jpg", pictures.jpeg(pictures.photo(96, 80, seed), quality=90))
        (self.folder / "work").mkdir()
        self.runner = contenders.Runner(pathlib.Path(pixmill.binary()).parent, self.folder / "work")

    def report(self, part):
        """The part's Markdown about the two pictures, whatever size it asks for."""
        photos = {name: self.photos for name in (*photo_set.SETS, photo_set.CUT_OUTS)}
        options = types.SimpleNamespace(rounds=1, seconds=0.001, reference=None)
        with mock.patch.object(contenders, "sharp", pillow_for_sharp), contextlib.redirect_stdout(io.StringIO()):
            return part.report(self.runner, photos, options)

    def test_same_size(self):
        text = self.report(same_size)
        for name in ("Pillow", "sharp, mozjpeg", "libvips", "libjpeg-turbo", "Pixmill, plain", "Pixmill", "Pixmill, effort 7"):
            self.assertEqual(3, text.count(f"| {name} | "), text)
        self.assertIn("- 400: plain, CPU against Pillow: ", text)

    def test_equal_looks(self):
        with mock.patch.object(equal_looks, "_POINTS", [30, 60, 95]), mock.patch.object(equal_looks, "_COMPARED", [60]):
            text = self.report(equal_looks)
        self.assertEqual(2, text.count("| libjpeg-turbo | 1.000 / "), text)
        self.assertNotIn("nan", text)

    def test_thumbnails(self):
        with mock.patch.object(thumbnails, "CASES", [("400", 32)]):
            text = self.report(thumbnails)
        for name in ("Pillow (draft)", "libvips", "sharp", "Pixmill"):
            self.assertEqual(1, text.count(f"| {name} | "), text)

    def test_formats(self):
        text = self.report(formats)
        for name in ("Pixmill, WebP 80", "Pixmill, AVIF 60", "Pixmill, PNG"):
            self.assertIn(f"| {name} | ", text)

    def test_outputs_are_what_was_asked_for(self):
        out = self.folder / "out"
        done = self.runner.run(contenders.pixmill("", "format=webp resize=32x32"), self.photos, 0, out)
        self.assertEqual((2, 0), (done["pictures"], done["cpu_ms"]))
        self.assertEqual(done["bytes"] * 2, sum(path.stat().st_size for path in out.iterdir()))
        with Image.open(out / "001.jpg") as picture:
            self.assertEqual(("WEBP", (32, 27)), (picture.format, picture.size))

    def test_a_contender_that_fails_ends_the_benchmark(self):
        self.write("photos/002.jpg", b"no picture")
        with self.assertRaisesRegex(SystemExit, "ended with 1"):
            self.runner.run(contenders.pixmill("", "format=jpeg"), self.photos, 0)

    def test_the_judge_refuses_a_damaged_output(self):
        whole = (self.photos / "000.jpg").read_bytes()
        self.write("out/000.jpg", whole[:len(whole) // 2])
        with self.assertRaisesRegex(SystemExit, "libjpeg gave warnings"):
            self.runner.judge(self.photos, self.folder / "out")

    def test_the_judge_of_known_differences(self):
        for folder, grey in (("a", 100), ("b", 110)):
            (self.folder / folder).mkdir()
            Image.new("RGB", (64, 48), (grey, grey, grey)).save(self.folder / folder / "000.png")
        same = self.runner.judge(self.folder / "a", self.folder / "a")["000"]
        self.assertEqual((100, 1, 100, 100), (same["ssimulacra2"], same["ssim"], same["psnr"], same["psnr_hvs"]))
        # A difference in brightness is one in the means of the blocks, whose weight is 25.735 / 16 in the authors' program.
        other = self.runner.judge(self.folder / "a", self.folder / "b")["000"]
        self.assertAlmostEqual(20 * math.log10(255 / (10 * 25.735 / 16)), other["psnr_hvs"], places=2)

    def test_curves_are_read_between_their_points(self):
        curve = [(50, 100), (60, 400)]
        self.assertAlmostEqual(200, equal_looks.bytes_at(curve, 55))
        self.assertIsNone(equal_looks.bytes_at(curve, 61))
        points = {"libjpeg-turbo": {q: {"a": {"ssimulacra2": q, "bytes": 10 * q}} for q in equal_looks._POINTS}}
        points["half"] = {q: {"a": {"ssimulacra2": q, "bytes": 5 * q}} for q in equal_looks._POINTS}
        ratio, count = equal_looks.ratios(points, "half", "libjpeg-turbo", "ssimulacra2")
        self.assertAlmostEqual(0.5, ratio)
        self.assertEqual(10, count)

    def test_a_section_is_written_without_touching_others(self):
        before = "# R\n\n<!-- a: begin -->\nold\n<!-- a: end -->\n\n## Kept\n"
        after = results.with_section(before, "a", "new\n")
        self.assertEqual(before.replace("old", "new"), after)
        self.assertEqual(after + "\n<!-- b: begin -->\nmore\n<!-- b: end -->\n", results.with_section(after, "b", "more"))

    def test_photographs_are_cut_to_size(self):
        for name, size in (("Aqua.jpg", (200, 100)), ("Kite/contents/images/small.jpg", (60, 50)), ("Kite/contents/images/big.jpg", (90, 50)),
                           ("drawn.jpg", (300, 300))):
            self.write(f"packages/{name}", pictures.jpeg(pictures.photo(*size)))
        found = photo_set._sources(self.folder / "packages")
        self.assertEqual([(20_000, "Aqua.jpg"), (4_500, "big.jpg")], [(pixels, path.name) for pixels, path in found])
        (self.folder / "set").mkdir()
        with mock.patch.dict(photo_set.SETS, {"tiny": (40, 40, 60)}):
            photo_set._fill_photos(found, "tiny", self.folder / "set")
        self.assertEqual(["01a.jpg", "01b.jpg", "02a.jpg", "02b.jpg"], sorted(path.name for path in (self.folder / "set").iterdir()))
        for path in (self.folder / "set").iterdir():
            with Image.open(path) as picture:
                self.assertEqual((40, 40), picture.size)

    def test_the_tuner_judges_the_shipped_tables_equal_to_themselves(self):
        for folder in ("400", "1600"):
            for seed in range(2):
                self.write(f"set/{folder}/{seed:03}.jpg", pictures.jpeg(pictures.photo(64, 64, seed), quality=90))
        tuner = pathlib.Path(pixmill.binary()).parent / "src" / "image" / "tune_tables"
        text = subprocess.run([tuner, self.folder / "set", "0"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(2, text.count("against the shipped tables 1.0000 at equal SSIMULACRA2, 1.0000 at equal PSNR-HVS"), text)
        self.assertIn("kBalancedLuma = {11, 13, 19, 26,", text)

    def test_the_command_explains_itself(self):
        done = subprocess.run([sys.executable, ROOT / "bench" / "image" / "bench.py", "--help"], capture_output=True, text=True,
                              env={**os.environ, "COLUMNS": "120"}, check=True)
        for word in ("--quick", "--only", "same-size", "thumbnails"):
            self.assertIn(word, done.stdout)


if __name__ == "__main__":
    unittest.main()
