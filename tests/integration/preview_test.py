"""`pixmill preview`: one picture of this machine through the sandboxed engines."""

import io
import json
import os
import subprocess

from PIL import Image

from support import case, pictures, pixmill

TWO = "small: format=webp resize=64x64:inside large: format=jpeg quality=70"


class Preview(case.Case):
    def setUp(self):
        super().setUp()
        self.photo = self.write("photo.jpg", pictures.jpeg(pictures.photo(320, 200), quality=95, orientation=6, gps=True))
        self.out = self.folder / "out.webp"

    def preview(self, *arguments, **options):
        return pixmill.run_command("preview", *arguments, cwd=self.folder, **options)

    def refused(self, code, word, *arguments, **options):
        done = self.preview(*arguments, **options)
        self.assertEqual(code, done.returncode, f"{done.stdout}\n{done.stderr}")
        self.assertIn(word, done.stderr)
        return done

    def leftovers(self):
        return sorted(path.name for path in self.folder.iterdir())

    def test_writes_one_output_and_says_what_became_of_it(self):
        done = self.preview(self.photo, "-r", "format=webp quality=60 resize=100x100:inside", "-o", self.out)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        with Image.open(self.out) as picture:
            self.assertEqual(("WEBP", (100, 63)), (picture.format, picture.size))
            self.assertFalse(picture.getexif())
        for word in ("jpeg 200×320", "webp 100×63", "quality 60", "% smaller", " ms"):
            self.assertIn(word, done.stdout)
        self.assertEqual(["out.webp", "photo.jpg"], self.leftovers(), "no temporary file, no state")

    def test_the_same_as_json(self):
        done = self.preview(self.photo, "-r", "format=webp max_bytes=2000", "-o", self.out, "--json")
        self.assertEqual(0, done.returncode, done.stderr)
        told = json.loads(done.stdout)
        output = told["outputs"][0]
        self.assertEqual((self.photo.stat().st_size, "jpeg"), (told["source"]["bytes"], told["source"]["format"]))
        self.assertEqual((self.out.stat().st_size, "webp", True, False),
                         (output["bytes"], output["format"], output["fitted"], output["source_kept"]))
        self.assertLessEqual(output["bytes"], 2000)
        self.assertGreaterEqual(told["milliseconds"], 0)

    def test_a_result_that_would_be_larger_is_said_to_be_the_source(self):
        small = self.write("small.webp", pictures.webp(pictures.photo(320, 200), quality=5))
        done = self.preview(small, "-r", "quality=95", "-o", self.folder / "same.webp", "--json")
        self.assertTrue(json.loads(done.stdout)["outputs"][0]["source_kept"], done.stdout)
        self.assertIn("source kept", self.preview(small, "-r", "quality=95", "-o", self.folder / "same.webp").stdout)

    def test_several_outputs_go_into_names_or_a_folder(self):
        done = self.preview(self.photo, "-r", TWO, "-o", "new/{rendition}.{ext}")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(["large.jpg", "small.webp"], sorted(os.listdir(self.folder / "new")))
        done = self.preview(self.photo, "-r", TWO, "-o", "other/")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(["photo-large.jpg", "photo-small.webp"], sorted(os.listdir(self.folder / "other")))

    def test_standard_streams(self):
        done = subprocess.run([pixmill.binary(), "preview", "-", "-r", "format=png", "-o", "-"], input=self.photo.read_bytes(),
                              capture_output=True, env=pixmill.environment(), check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        with Image.open(io.BytesIO(done.stdout)) as picture:
            self.assertEqual(("PNG", (320, 200)), (picture.format, picture.size))
        self.assertIn(b"png 320", done.stderr)

    def test_a_name_that_promises_another_format_is_said(self):
        done = self.preview(self.photo, "-o", self.out)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("format=webp", done.stderr)

    def test_usage_errors_exit_2(self):
        self.refused(2, "shiny", self.photo, "-r", "shiny=yes", "-o", self.out)
        self.refused(2, "{rendition}", self.photo, "-r", TWO, "-o", self.out)
        self.refused(2, "{rendition}", self.photo, "-r", TWO, "-o", "-")
        self.refused(2, "--output", self.photo)
        self.refused(2, "is a folder", self.folder, "-o", self.out)
        self.refused(2, "the picture itself", self.photo, "-o", self.photo)
        self.refused(2, "PIXMILL_ENGINES", self.photo, "-o", self.out, env={"PIXMILL_ENGINES": "many"})
        self.assertEqual(["photo.jpg"], self.leftovers())

    def test_a_picture_that_is_not_there_exits_5(self):
        done = self.refused(5, "nowhere.jpg", "nowhere.jpg", "-o", self.out, "--json")
        self.assertEqual("not_found", json.loads(done.stdout)["error"]["code"])

    def test_pictures_that_are_refused_exit_6(self):
        picture = pictures.photo(320, 200)
        page = self.write("page.jpg", pictures.html_page())
        drawing = self.write("drawing.png", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
        cut = self.write("cut.png", pictures.truncated(pictures.png(picture)))
        for code, path in (("not_an_image", page), ("unsupported_format", drawing), ("truncated", cut)):
            done = self.refused(6, "pixmill: ", path, "-o", self.out, "--json")
            self.assertEqual(code, json.loads(done.stdout)["error"]["code"])
        self.refused(6, "too large", self.photo, "-o", self.out, env={"FETCH_MAX_BYTES": "1000"})
        self.refused(6, "pixels", self.photo, "-o", self.out, env={"IMAGE_MAX_PIXELS": "1000"})
        self.refused(6, "crop", self.photo, "-r", "crop=10x10+5000+5000", "-o", self.out)
        self.assertFalse(self.out.exists())

    def test_a_picture_that_takes_too_long_exits_8(self):
        slow = self.write("slow.png", pictures.png(pictures.poster(3000, 3000)))
        done = self.refused(8, "pixmill: ", slow, "-r", "format=avif effort=9", "-o", self.out, "--json",
                            env={"PIXMILL_PICTURE_DEADLINE_MS": "300"})
        self.assertEqual("engine_timeout", json.loads(done.stdout)["error"]["code"])

    def test_a_place_that_cannot_be_written_exits_1_and_after_another_output_3(self):
        self.write("file", b"in the way")
        self.refused(1, "cannot create", self.photo, "-o", "file/out.jpg")
        (self.folder / "both" / "photo-large.jpg").mkdir(parents=True)
        self.refused(3, "photo-large.jpg", self.photo, "-r", TWO, "-o", "both")


class PreviewOverHttp(case.Case):
    """POST /v1/preview: the same, with the picture in the request and in the answer."""

    def setUp(self):
        super().setUp()
        self.server = self.use(pixmill.Server(self.folder / "data"))
        self.photo = pictures.jpeg(pictures.photo(320, 200), quality=95, orientation=6, gps=True)

    def post(self, query, body, **headers):
        return self.server.request("POST", f"/v1/preview?{query}", body, {"Content-Type": "image/jpeg", **headers})

    def test_gives_the_picture_with_its_figures(self):
        answer = self.post("recipe=format%3Dwebp+resize%3D100x100:inside", self.photo)
        self.assertEqual((200, "image/webp"), (answer.status, answer.headers["content-type"]))
        with Image.open(io.BytesIO(answer.body)) as picture:
            self.assertEqual(("WEBP", (100, 63)), (picture.format, picture.size))
            self.assertFalse(picture.getexif())
        self.assertEqual(f"format=jpeg width=200 height=320 frames=1 bytes={len(self.photo)}", answer.headers["pixmill-source"])
        self.assertIn(f"format=webp width=100 height=63 bytes={len(answer.body)}", answer.headers["pixmill-output"])
        self.assertIn("render;dur=", answer.headers["server-timing"])

    def test_takes_a_form(self):
        answer = self.server.post("/v1/preview", {"recipe": TWO, "output": "small"}, {"file": ("a.jpg", self.photo)})
        self.assertEqual((200, "image/webp"), (answer.status, answer.headers["content-type"]), answer)
        self.assertNotIn("pixmill-note", answer.headers)

    def test_refuses_what_is_no_picture_and_stores_nothing(self):
        answer = self.post("", pictures.html_page())
        self.assertEqual((422, "not_an_image"), (answer.status, answer.json["code"]))
        answer = self.post("recipe=shiny%3Dyes", self.photo)
        self.assertEqual((400, "invalid_parameter"), (answer.status, answer.json["code"]))
        self.assertEqual(0, self.server.get("/v1/jobs").json["total"])
        self.assertEqual([], [path for path in (self.server.data / "files").rglob("*") if path.is_file()])


case.main()
