"""Watermarks: by address, fetched once for a whole job, and uploaded, which a kill does not lose."""

import hashlib
import io
import json
import os
import shutil
import signal
import threading

from PIL import Image

from support import case, pictures, pixmill
from support.waiting import wait_until

MAGENTA = (255, 0, 255)
ROWS = 40


def logo():
    """20×10 pixels of one colour, the left half of them half transparent."""
    picture = Image.new("RGBA", (20, 10), (*MAGENTA, 255))
    picture.paste((*MAGENTA, 128), (0, 0, 10, 10))
    return pictures.png(picture)


class Watermark(case.Case):
    def setUp(self):
        super().setUp()
        self.logo = logo()
        self.web = self.origin()
        self.web.routes["/logo.png"] = lambda handler, *_: handler.answer(200, "image/png", self.logo)
        with Image.open(io.BytesIO(self.web.numbered_picture(0))) as plain:
            self.plain = plain.convert("RGB")

    def assert_marked(self, data):
        """The mark lies in the lower right corner, 4 pixels from the edges, and nowhere else."""
        with Image.open(io.BytesIO(data)) as picture:
            self.assertEqual(("PNG", self.plain.size), (picture.format, picture.size))
            picture = picture.convert("RGB")
        width, height = picture.size
        self.assertEqual(MAGENTA, picture.getpixel((width - 6, height - 6)))
        before, after = (p.getpixel((width - 20, height - 6)) for p in (self.plain, picture))
        for channel in range(3):
            self.assertAlmostEqual((before[channel] + MAGENTA[channel]) / 2, after[channel], delta=6)
        self.assertEqual(self.plain.crop((0, 0, width, height - 14)).tobytes(), picture.crop((0, 0, width, height - 14)).tobytes())
        self.assertNotEqual(MAGENTA, picture.getpixel((width - 2, height - 2)))

    def recipe(self, image):
        return f"format=png watermark=southeast:margin=4:{image}"

    def urls(self, kind="/pic/{n}", rows=ROWS):
        return [self.web.url + kind.format(n=n) for n in range(rows)]

    def start_job(self, server, urls, recipe, files=None):
        answer = server.post("/v1/jobs", {"recipe": recipe}, {"file": ("t.csv", pixmill.table(urls).encode()), **(files or {})})
        self.assertEqual(201, answer.status, answer)
        return answer.json

    def assert_all_marked(self, server, job_id, rows):
        job = server.wait_final(job_id, 120)
        self.assertEqual((rows, rows), (job["total"], job["succeeded"]), server.items(job_id)[:3])
        files = sorted(path for path in (server.data / "files").rglob("*") if path.is_file())
        self.assertEqual(rows, len(files))
        for path in files:
            self.assert_marked(path.read_bytes())

    def test_an_address_is_asked_once_for_the_whole_job(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        job = self.start_job(server, self.urls(), self.recipe(self.web.url + "/logo.png"))
        self.assert_all_marked(server, job["id"], ROWS)
        self.assertEqual(1, self.web.hits["/logo.png"])

    def test_items_fail_with_the_cause_of_a_watermark_that_is_not_there(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        address = self.web.url + "/status/404/logo.png"
        job = self.start_job(server, self.urls(), self.recipe(address))
        job = server.wait_final(job["id"])
        self.assertEqual((ROWS, 0), (job["failed"], job["succeeded"]))
        for item in server.items(job["id"]):
            self.assertEqual("http_404", pixmill.code_of(item))
            self.assertIn(f"the watermark {address} cannot be had", item["error"]["message"])
        self.assertEqual({"/status/404/logo.png": 1}, dict(self.web.hits), "not asked again, and no picture for nothing")

    def test_items_fail_when_the_watermark_is_no_picture(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        address = self.web.url + "/lying/logo.png"
        job = self.start_job(server, self.urls(), self.recipe(address))
        job = server.wait_final(job["id"])
        self.assertEqual(ROWS, job["failed"])
        for item in server.items(job["id"]):
            self.assertEqual(("not_an_image", 1), (pixmill.code_of(item), item["attempts"]))
            self.assertIn(f"the watermark {address} cannot be used", item["error"]["message"])
        self.assertEqual({"/lying/logo.png": 1}, dict(self.web.hits), "no picture is fetched for nothing")

    def test_a_cut_watermark_is_told_from_the_pictures(self):
        """Its header is good; that the rest is missing, an engine finds out."""
        whole = pictures.jpeg(pictures.photo(200, 150))
        cut = whole[:len(whole) // 2]
        self.web.routes["/cut.jpg"] = lambda handler, *_: handler.answer(200, "image/jpeg", cut)
        server = self.use(pixmill.Server(self.folder / "data", env={"PIXMILL_ITEMS_IN_FLIGHT": "64"}))
        address = self.web.url + "/cut.jpg"
        digest = hashlib.sha256(cut).hexdigest()
        rows = 2000
        for image, files, name, attempts in (("upload", {"watermark": ("cut.jpg", cut)}, "upload:" + digest, 1), (address, {}, address, 2)):
            before = sum(hits for path, hits in self.web.hits.items() if path.startswith("/pic/"))
            job = self.start_job(server, [f"{url}?{image[:6]}" for url in self.urls(rows=rows)], self.recipe(image), files)
            job = server.wait_final(job["id"], 120)
            self.assertEqual(rows, job["failed"])
            for item in server.items(job["id"]):
                self.assertIn(f"the watermark {name} cannot be used", item["error"]["message"])
                self.assertLessEqual(item["attempts"], attempts)
            fetched = sum(hits for path, hits in self.web.hits.items() if path.startswith("/pic/")) - before
            self.assertLess(fetched, 600, "most pictures are not fetched for nothing")
        self.assertLessEqual(self.web.hits["/cut.jpg"], 2)

    def test_one_that_does_not_come_holds_up_no_other_job(self):
        comes = threading.Event()

        def late(handler, *_):
            comes.wait(50)
            handler.answer(200, "image/png", self.logo)

        self.web.routes["/late.png"] = late
        server = self.use(pixmill.Server(self.folder / "data", env={"PIXMILL_ITEMS_IN_FLIGHT": "32"}))
        waiting = self.start_job(server, self.urls(rows=200), self.recipe(self.web.url + "/late.png"))
        wait_until(lambda: "/late.png" in self.web.hits, 30, "the watermark is asked for")
        other = self.start_job(server, self.urls("/pic/1{n}"), "format=png")
        self.assertEqual(ROWS, server.wait_final(other["id"], 40)["succeeded"])
        self.assertEqual("running", server.job(waiting["id"])["state"])
        comes.set()
        done = server.wait_final(waiting["id"], 120)
        self.assertEqual(200, done["succeeded"])
        self.assertEqual({1}, {item["attempts"] for item in server.items(waiting["id"])}, "whoever had to come again has tried nothing")
        self.assertEqual(1, self.web.hits["/late.png"])

    def test_an_uploaded_one_survives_a_kill(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        job = self.start_job(server, self.urls("/slow/{n}?ms=150"), self.recipe("upload"), {"watermark": ("logo.png", self.logo)})
        digest = hashlib.sha256(self.logo).hexdigest()
        self.assertEqual(self.recipe("upload:" + digest), job["recipe"])
        self.assertEqual(self.logo, (server.data / "watermarks" / digest).read_bytes())
        wait_until(lambda: server.job(job["id"])["succeeded"] > 0, 30, "some pictures are done")
        self.assertEqual("running", server.job(job["id"])["state"])
        server.kill()
        server.start()
        self.assert_all_marked(server, job["id"], ROWS)

    def test_what_is_wrong_is_said_before_a_job_exists(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        for recipe, files, status, word in ((self.recipe("upload"), {}, 400, "no file came"),
                                            ("format=png", {"watermark": ("l.png", self.logo)}, 400, "watermark=upload"),
                                            (self.recipe("upload"), {"watermark": ("l.png", b"<html>")}, 422, "watermark"),
                                            (self.recipe("ftp://h/l.png"), {}, 400, "an http or https address")):
            answer = server.post("/v1/jobs", {"recipe": recipe}, {"file": ("t.csv", pixmill.table(self.urls()).encode()), **files})
            self.assertEqual(status, answer.status, answer)
            self.assertIn(word, answer.text)
        self.assertEqual([], server.get("/v1/jobs").json["jobs"])

    def test_a_killed_run_goes_on_with_its_own_copy(self):
        table, out, file = self.write("t.csv", pixmill.table(self.urls("/slow/{n}?ms=150"))), self.folder / "out", self.write("l.png", self.logo)
        arguments = ("run", table, "-r", self.recipe("upload"), "--watermark", file, "-o", out)
        with pixmill.running(*arguments) as process:
            wait_until(lambda: len(list((out / "images").glob("*.png"))) > 2, 30, "some pictures are done")
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        done = pixmill.run_command(*arguments)
        self.assertEqual(0, done.returncode, done.stderr)
        files = list((out / "images").glob("*.png"))
        self.assertEqual(ROWS, len(files))
        for path in files:
            self.assert_marked(path.read_bytes())
        # Another file is another job.
        file.write_bytes(pictures.png(Image.new("RGB", (5, 5))))
        self.assertEqual(9, pixmill.run_command(*arguments).returncode)
        for wrong, word in ((("-r", "format=png", "--watermark", file), "watermark=upload"),
                            (("-r", self.recipe("upload")), "--watermark FILE"),
                            (("-r", self.recipe("upload"), "--watermark", table), "--watermark")):
            refused = pixmill.run_command("run", table, "-o", self.folder / "other", *wrong)
            self.assertNotEqual(0, refused.returncode)
            self.assertIn(word, refused.stderr)

    def test_a_run_puts_its_watermark_back(self):
        table, out, file = self.write("t.csv", pixmill.table(self.urls("/slow/{n}?ms=150"))), self.folder / "out", self.write("l.png", self.logo)
        arguments = ("run", table, "-r", self.recipe("upload"), "--watermark", file, "-o", out)
        with pixmill.running(*arguments) as process:
            wait_until(lambda: len(list((out / "images").glob("*.png"))) > 2, 30, "some pictures are done")
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        shutil.rmtree(out / ".pixmill" / "watermarks")
        done = pixmill.run_command(*arguments)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(ROWS, len(list((out / "images").glob("*.png"))))

    def test_previews_take_them_too(self):
        photo = self.write("photo.jpg", self.web.numbered_picture(0))
        file, out = self.write("l.png", self.logo), self.folder / "out.png"
        for arguments in (("-r", self.recipe("upload"), "--watermark", file), ("-r", self.recipe(self.web.url + "/logo.png"))):
            done = pixmill.run_command("preview", photo, *arguments, "-o", out)
            self.assertEqual((0, ""), (done.returncode, done.stderr))
            self.assertIn("score 100.00", done.stdout)
            self.assert_marked(out.read_bytes())
        gone = pixmill.run_command("preview", photo, "-r", self.recipe(self.web.url + "/status/404/x"), "-o", self.folder / "none.png")
        self.assertIn("the watermark", gone.stderr)
        self.assertNotEqual(0, gone.returncode)
        server = self.use(pixmill.Server(self.folder / "data"))
        for fields, files in (({"recipe": self.recipe("upload")}, {"watermark": ("l.png", self.logo)}),
                              ({"recipe": self.recipe(self.web.url + "/logo.png")}, {})):
            answer = server.post("/v1/preview", fields, {"file": ("photo.jpg", photo.read_bytes()), **files})
            self.assertEqual(200, answer.status, answer)
            self.assert_marked(answer.body)
            self.assertEqual("100.00", answer.headers["pixmill-score"])

    def test_previews_tell_score_and_stages(self):
        photo = self.write("photo.jpg", pictures.jpeg(pictures.photo(640, 400), quality=95))
        scores = []
        for quality in (90, 30):
            done = pixmill.run_command("preview", photo, "-r", f"format=webp quality={quality}", "-o", self.folder / "out.webp", "--json")
            told = json.loads(done.stdout)
            scores.append(told["outputs"][0]["score"])
            self.assertGreater(min(told["stages"]["decode_ms"], told["stages"]["encode_ms"]), 0)
            self.assertLessEqual(sum(told["stages"].values()), told["milliseconds"] + 1)
        self.assertGreater(scores[0], scores[1] + 10)
        self.assertGreater(scores[0], 75)
        animation = self.write("a.gif", pictures.animated_gif(40, 30))
        done = pixmill.run_command("preview", animation, "-r", "format=webp", "-o", self.folder / "a.webp", "--json")
        output = json.loads(done.stdout)["outputs"][0]
        self.assertEqual((None, "animated"), (output["score"], output["no_score"]))
        server = self.use(pixmill.Server(self.folder / "data"))
        answer = server.post("/v1/preview", {"recipe": "format=webp quality=90"}, {"file": ("p.jpg", photo.read_bytes())})
        self.assertAlmostEqual(scores[0], float(answer.headers["pixmill-score"]), delta=0.01)
        stages = [stage.split(";")[0] for stage in answer.headers["server-timing"].split(", ")]
        self.assertEqual(["receive", "decode", "transform", "encode", "render", "total"], stages)


if __name__ == "__main__":
    case.main()
