"""P29, P32, P34 in short: files made to hurt decoders, through a running server. `./run corpus` does it with thousands from elsewhere."""

import io
import json
import subprocess
import sys

from PIL import Image, ImageChops, ImageCms, ImageStat

from support import case, hostile, hostile_files, output_check, pictures, pixmill


class Hostile(case.Case):
    def setUp(self):
        super().setUp()
        self.server = self.use(hostile.started(self.folder / "data"))
        self.trial = hostile.Trial(self.server, self.origin(), self.folder)

    def files(self, named):
        return [self.write(f"hostile/{name}", data) for name, data in named.items()]

    def feed(self, samples, recipe):
        self.trial.feed(samples, recipe, 120)
        self.assertEqual([], self.trial.problems[:20], self.trial.codes)

    def avif_seed(self):
        """Pillow here writes none, so Pixmill does."""
        source, made = self.write("seed.png", pictures.png(pictures.photo(52, 38))), self.folder / "seed.avif"
        done = pixmill.run_command("preview", source, "-r", "format=avif", "-o", made)
        self.assertEqual(0, done.returncode, done.stderr)
        return made.read_bytes()

    def test_p29_no_file_ends_any_process_but_its_own_engine(self):
        each = case.short_or_long(12, 120)
        named = hostile_files.strangers() | hostile_files.bombs()
        for name, data in ({"still.avif": self.avif_seed()} | hostile_files.seeds()).items():
            named |= {name: data} | hostile_files.mutations(name, data, each) | hostile_files.truncations(name, data, 6)
        paths = self.files(named)
        self.assertGreaterEqual(len(paths), 300)
        # Every other file meets each recipe under the name that the rest has there; long, every file meets both under both.
        half = case.short_or_long(2, 1)
        self.feed([hostile.under_its_own_name(path) for path in paths[::half]] +
                  [hostile.under_a_lying_name(path) for path in paths[half - 1::half]], "compress")
        self.feed([hostile.under_a_lying_name(path) for path in paths[::half]] +
                  [hostile.under_its_own_name(path) for path in paths[half - 1::half]], "small: format=webp resize=30x30 same: quality=80")
        self.assertGreater(self.trial.codes["succeeded"], 100, "mutations that decoders forgive are among them")
        for code in ("not_an_image", "unsupported_format", "truncated", "decode_failed"):
            self.assertGreater(self.trial.codes[code], 0, self.trial.codes)

    def test_p32_pixel_floods_are_refused_from_their_headers(self):
        paths = self.files(hostile_files.floods())
        self.feed([hostile.under_its_own_name(path) for path in paths] + [hostile.under_a_lying_name(path) for path in paths], "compress")
        self.assertEqual({"too_large": 2 * len(paths), "succeeded": 1}, dict(self.trial.codes))
        # The slowest of all is what a sound neighbour took, or a flood: either way it is no decoding of that many pixels.
        self.assertLess(max(ms for ms, _, outcome in self.trial.slowest if outcome == "too_large"), 1000, self.trial.slowest)

    def test_p34_outputs_are_upright_srgb_and_hold_no_metadata(self):
        paths = self.files(hostile_files.turned() | hostile_files.seeds())
        samples = [hostile.under_its_own_name(path) for path in paths]
        for recipe in ("compress", "quality=90", "png: format=png webp: format=webp resize=60x60:inside"):
            self.feed(samples, recipe)
        self.assertEqual({"succeeded"}, set(self.trial.codes))

    def test_p34_colours_of_a_wide_profile_become_srgb(self):
        poster, profile = pictures.poster(120, 80, 5), pictures.adobe_rgb_profile()
        source, out = self.write("wide.png", pictures.png(poster, icc_profile=profile)), self.folder / "out.png"
        done = pixmill.run_command("preview", source, "-r", "format=png", "-o", out)
        self.assertEqual(0, done.returncode, done.stderr)
        wide = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        expected = ImageCms.profileToProfile(poster, wide, ImageCms.createProfile("sRGB"))
        with Image.open(out) as picture:
            distance = max(ImageStat.Stat(ImageChops.difference(picture.convert("RGB"), expected)).mean)
        self.assertLess(distance, 1.5)
        self.assertGreater(max(ImageStat.Stat(ImageChops.difference(poster, expected)).mean), 4, "the profile does change colours")


class TheJudge(case.Case):
    """A judge that finds nothing is worthless: it must find each of these."""

    def judged(self, name, data, source=None, size=(120, 80)):
        path = self.write(name, data)
        return output_check.problems_of(str(path), *size, str(source or path))

    def cmyk(self, picture):
        picture.convert("CMYK").save(self.folder / "cmyk.jpg")
        return (self.folder / "cmyk.jpg").read_bytes()

    def test_finds_what_it_is_there_for(self):
        poster = pictures.poster(120, 80, 5)
        self.assertEqual([], self.judged("good.png", pictures.png(poster)))
        for word, data in {
                "decode": pictures.truncated(pictures.png(poster)), "where it was taken": pictures.jpeg(poster, gps=True),
                "orientation": pictures.jpeg(poster.transpose(Image.TRANSPOSE), orientation=6),
                "profile": pictures.jpeg(poster, icc=pictures.adobe_rgb_profile()),
                "comment": pictures.jpeg(poster, comment=b"made by"), "mode": self.cmyk(poster)}.items():
            with self.subTest(word):
                self.assertIn(word, " ".join(self.judged("bad", data)))
        self.assertIn("not 10×10", self.judged("size.png", pictures.png(poster), size=(10, 10))[0])

    def test_finds_pictures_that_are_not_upright(self):
        poster = pictures.poster(120, 80, 5)
        source = self.write("source.jpg", pictures.jpeg(poster, orientation=8))
        self.assertEqual([], self.judged("upright.png", pictures.png(poster), source))
        upside_down = pictures.png(poster.transpose(Image.ROTATE_180))
        self.assertIn("orientation", self.judged("down.png", upside_down, source)[0])

    def test_says_so_when_looking_at_one_ends_it(self):
        done = subprocess.run([sys.executable, output_check.__file__], input=json.dumps({"path": "x"}), capture_output=True, text=True, check=False)
        self.assertNotEqual(0, done.returncode)


case.main()
