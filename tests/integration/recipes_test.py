"""Rows with recipes of their own, and recipes that users give names to, through the real program."""

import csv
import io
import json

from PIL import Image

from support import case, pictures, pixmill
from support.waiting import wait_until

FIRST = "format=webp quality=70 resize=40x"
SECOND = "format=png resize=60x"


def table_of(rows, columns=("url", "recipe", "width", "height", "format", "quality", "name")):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


class Recipes(case.Case):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        pages = self.folder / "pages"
        pages.mkdir()
        for number in range(1, 7):
            (pages / f"{number}.jpg").write_bytes(pictures.jpeg(pictures.photo(320, 200, seed=number)))
        self.photos = self.origin(folder=pages)

    def recipes(self, *arguments, code=0):
        done = pixmill.run_command("recipes", *arguments, "--data", self.data, cwd=self.folder)
        self.assertEqual(code, done.returncode, f"{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def seen(self, path):
        """(format, width, height) of a file."""
        with Image.open(path) as picture:
            return (picture.format, *picture.size)

    def run_table(self, rows, *arguments, out="out", code=0):
        table = self.write("rows.csv", table_of(rows))
        done = pixmill.run_command("run", table, "-o", self.folder / out, "--progress", "none", *arguments, cwd=self.folder)
        self.assertEqual(code, done.returncode, f"{done.stdout}\n{done.stderr}")
        return done, case.read_csv(self.folder / out / "images.csv") if code == 0 else []

    def test_rows_change_what_is_made_of_them(self):
        url = self.photos.url
        _, images = self.run_table([
            {"url": f"{url}/1.jpg"},
            {"url": f"{url}/1.jpg", "width": "80"},
            {"url": f"{url}/2.jpg", "width": "64.0", "height": "64", "format": "PNG", "name": "square.jpg"},
            {"url": f"{url}/3.jpg", "recipe": "web", "quality": "30"},
            {"url": f"{url}/4.jpg", "recipe": "resize=50x50:fill format=jpeg", "width": "20"},
            {"url": f"{url}/5.jpg, {url}/6.jpg", "name": "Pair", "format": "webp"},
        ], "-r", "format=jpeg quality=60 resize=100x100:cover")
        files = [self.seen(image["output"]) for image in images]
        self.assertEqual([("JPEG", 100, 100), ("JPEG", 80, 50), ("PNG", 64, 64), ("WEBP", 320, 200), ("JPEG", 20, 13),
                          ("WEBP", 100, 100), ("WEBP", 100, 100)], files)
        names = [image["output"].rsplit("/", 1)[1] for image in images]
        self.assertEqual(["1.jpg", "1-2.jpg", "square.png", "3.webp", "4.jpg", "Pair-1.webp", "Pair-2.webp"], names)
        self.assertEqual(["format=jpeg quality=60 resize=100x100:cover", "format=jpeg quality=60 resize=80x:cover"],
                         [image["recipe"] for image in images[:2]])
        self.assertEqual(("30", "web@1"), (images[3]["quality"], images[3]["recipe_name"]))
        results = case.read_csv(self.folder / "out" / "result.csv")
        self.assertEqual([row["recipe"] for row in [images[0], *images[2:6]]],
                         [row["Recipe Used"] for row in [results[0], *results[2:]]])

    def test_bad_rows_are_refused_before_anything_is_fetched(self):
        url = self.photos.url
        rows = [{"url": f"{url}/1.jpg"}, {"url": f"{url}/2.jpg", "width": "80 cm", "recipe": "shoop"}]
        done, _ = self.run_table(rows, code=6)
        self.assertIn("Invalid width found at row 2: 80 cm (use a number of pixels from 1 to 65535)", done.stderr)
        self.assertIn("Invalid recipe found at row 2: shoop", done.stderr)
        self.assertEqual({}, self.photos.hits)
        checked = pixmill.run_command("validate", self.folder / "rows.csv", "--json", "--data", self.data, cwd=self.folder)
        self.assertEqual(6, checked.returncode)
        self.assertEqual([(2, "recipe"), (2, "width")], [(p["row"], p["column"]) for p in json.loads(checked.stdout)["problems"]])
        _, images = self.run_table(rows, "--no-overrides")
        self.assertEqual(["JPEG", "JPEG"], [self.seen(image["output"])[0] for image in images])

    def test_watermarks_of_rows_are_checked_before_anything_is_fetched(self):
        url = self.photos.url
        none = "upload:" + "a" * 64
        rows = [{"url": f"{url}/1.jpg"}, {"url": f"{url}/2.jpg", "recipe": "watermark=http://10.0.0.1/x.png"}, {"url": f"{url}/3.jpg", "recipe": f"watermark={none}"}]
        done, _ = self.run_table(rows, code=6)
        self.assertIn("Invalid recipe found at row 2: http://10.0.0.1/x.png", done.stderr)
        self.assertIn(f"Invalid recipe found at row 3: {none}", done.stderr)
        self.assertEqual({}, self.photos.hits)

    def test_names_are_kept_with_their_versions(self):
        self.assertIn("compress", self.recipes())
        self.assertFalse(self.data.exists(), "looking makes nothing")
        self.assertIn("shop@1 is saved", self.recipes("save", "shop", FIRST))
        self.assertIn("shop@1 says that already", self.recipes("save", "shop", json.dumps({"format": "webp", "quality": 70, "resize": {"width": 40}})))
        self.assertIn("shop@2 is saved", self.recipes("save", "shop", SECOND))
        self.assertIn(FIRST, self.recipes("show", "shop@1"))
        self.assertIn(SECOND, self.recipes("show", "shop"))
        self.assertIn(SECOND, self.recipes())
        self.assertIn("built in", self.recipes("save", "web", SECOND, code=2))
        self.assertIn("1 to 100", self.recipes("save", "shop", "quality=0", code=2))
        self.assertIn("no version 3", self.recipes("show", "shop@3", code=5))
        photo = self.folder / "pages" / "1.jpg"
        for name, wanted in (("shop", ("PNG", 60, 38)), ("shop@1", ("WEBP", 40, 25))):
            out = self.folder / f"preview-{name}"
            done = pixmill.run_command("preview", photo, "-r", name, "-o", out, "--data", self.data, cwd=self.folder)
            self.assertEqual((0, wanted), (done.returncode, self.seen(out)), done.stderr)
        self.assertIn("is removed", self.recipes("rm", "shop"))
        self.assertIn("There is no recipe 'shop'", self.recipes("rm", "shop", code=5))
        listed = json.loads(self.recipes("--json"))["recipes"]
        self.assertEqual({True}, {recipe["built_in"] for recipe in listed})
        self.assertIn("shop@3 is saved", self.recipes("save", "shop", SECOND))

    def test_a_running_server_is_asked_to_change_them(self):
        with pixmill.Server(self.data) as server:
            self.assertIn("shop@1 is saved", self.recipes("save", "shop", FIRST))
            self.assertEqual(FIRST, server.get("/v1/recipes/shop").json["recipe"])
            self.assertIn("shop@2 is saved", self.recipes("save", "shop", SECOND))
            self.assertIn("is removed", self.recipes("rm", "shop"))
            self.assertEqual(404, server.get("/v1/recipes/shop").status)
            self.assertEqual(1, server.get("/v1/recipes/shop?version=1").json["version"])
            server.terminate()
            self.assertFalse((self.data / "address").exists())
            server.start()

    def test_the_default_may_be_an_own_one_and_must_be_there(self):
        refused = pixmill.run_command("serve", "--port", "0", "--data", self.data, env={"DEFAULT_RECIPE": "shop"}, cwd=self.folder)
        self.assertEqual(2, refused.returncode, refused.stderr)
        self.assertIn("DEFAULT_RECIPE", refused.stderr)
        self.recipes("save", "shop", FIRST)
        with pixmill.Server(self.data, env={"DEFAULT_RECIPE": "shop"}) as server:
            job = server.wait_final(server.upload(pixmill.table([f"{self.photos.url}/1.jpg"])))
        self.assertEqual((FIRST, "shop@1", "completed"), (job["recipe"], job["recipe_name"], job["state"]))

    def test_a_run_that_is_killed_goes_on_with_what_its_names_stood_for(self):
        self.recipes("save", "shop", FIRST)
        slow = self.origin()
        rows = [{"url": f"{slow.url}/slow/{n}?ms=150", "recipe": ("shop", "")[n % 2], "width": ("", "30")[n % 2]} for n in range(40)]
        table, out = self.write("rows.csv", table_of(rows)), self.folder / "out"
        command = ("run", table, "-o", out, "--progress", "none", "--per-host", "2", "--data", self.data)
        with pixmill.running(*command, cwd=self.folder) as process:
            wait_until(lambda: sum(slow.hits.values()) > 8, 30, "some pictures are asked for")
            process.kill()
            process.wait(10)
        self.recipes("save", "shop", SECOND)
        done = pixmill.run_command(*command, cwd=self.folder)
        self.assertEqual(0, done.returncode, done.stderr)
        images = case.read_csv(out / "images.csv")
        self.assertEqual(40, len(images))
        for number, image in enumerate(images):
            wanted = ("WEBP", 40, "shop@1") if number % 2 == 0 else ("JPEG", 30, "compress@1")
            self.assertEqual(wanted, (*self.seen(image["output"])[:2], image["recipe_name"]), image)

    def test_a_finished_run_is_not_taken_for_one_whose_names_stand_for_something_else_today(self):
        self.recipes("save", "shop", FIRST)
        rows = [{"url": f"{self.photos.url}/1.jpg", "recipe": "shop"}]
        self.run_table(rows, "--data", self.data)
        done, images = self.run_table(rows, "--data", self.data)
        self.assertIn("already finished here", done.stderr)
        self.recipes("save", "shop", SECOND)
        refused, _ = self.run_table(rows, "--data", self.data, code=9)
        self.assertIn("--replace", refused.stderr)
        self.assertEqual(("WEBP", 40, 25), self.seen(images[0]["output"]))
        _, images = self.run_table(rows, "--data", self.data, "--replace")
        self.assertEqual((("PNG", 60, 38), "shop@2"), (self.seen(images[0]["output"]), images[0]["recipe_name"]))
        done, _ = self.run_table(rows, "--data", self.data)
        self.assertIn("already finished here", done.stderr)
        self.recipes("rm", "shop")
        self.run_table(rows, "--data", self.data, code=9)

    def test_a_job_keeps_the_version_it_came_in_with_through_kills(self):
        slow = self.origin()
        rows = [{"url": f"{slow.url}/slow/{n}?ms=100", "recipe": ("", "shop")[n % 2], "name": f"n{n}"} for n in range(60)]
        with pixmill.Server(self.data, env={"FETCH_PER_HOST": "2"}) as server:
            saved = server.request("PUT", "/v1/recipes/shop", json.dumps({"recipe": FIRST}))
            self.assertEqual(201, saved.status, saved)
            answer = server.post("/v1/jobs", {"recipe": "shop"}, {"file": ("rows.csv", table_of(rows).encode())})
            self.assertEqual(201, answer.status, answer)
            job_id = answer.json["id"]
            for _ in range(3):
                before = sum(slow.hits.values())
                wait_until(lambda: sum(slow.hits.values()) > before + 6, 30, "some pictures are asked for")
                server.kill()
                server.start()
            self.assertEqual(2, server.request("PUT", "/v1/recipes/shop", json.dumps({"recipe": SECOND})).json["version"])
            job = server.wait_final(job_id)
            self.assertEqual(("completed", "shop@1", FIRST, 60), (job["state"], job["recipe_name"], job["recipe"], job["succeeded"]))
            images = case.read_csv(server.get(f"/v1/jobs/{job_id}/images.csv").text)
            self.assertEqual([("shop@1", FIRST)] * 60, [(image["recipe_name"], image["recipe"]) for image in images])
            for number, image in enumerate(images):
                self.assertTrue(image["output"].endswith(f"/n{number}.webp"), image)
            results = case.read_csv(server.get(f"/v1/jobs/{job_id}/result.csv").text)
            self.assertEqual({"shop@1"}, {row["Recipe Name"] for row in results})
            again = server.post("/v1/jobs", {"recipe": "shop"}, {"file": ("rows.csv", table_of(rows[:1]).encode())}).json
            self.assertEqual(("shop@2", SECOND), (again["recipe_name"], again["recipe"]))


case.main()
