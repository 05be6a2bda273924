"""`pixmill run`: the whole job in one process."""

import csv
import gzip
import hashlib
import io
import json
import os
import pathlib
import pty
import signal
import subprocess

from PIL import Image

from support import auditor, case, pictures, pixmill
from support.waiting import wait_until


class RunCase(case.Case):
    def setUp(self):
        super().setUp()
        self.out = self.folder / "out"

    def run_table(self, table, *arguments, name="products.csv", **options):
        return pixmill.run_command("run", self.write(name, table), "-o", self.out, *arguments, **options)

    def audit(self, **options):
        return auditor.audit(self.database(), self.out, **options)

    def database(self):
        return next(path for path in self.out.rglob("*.db"))

    def results(self):
        return case.read_csv(self.out / "result.csv")

    def images(self):
        return case.read_csv(self.out / "images.csv")

    def file_of(self, row):
        return self.out / row["output"] if not pathlib.Path(row["output"]).is_absolute() else pathlib.Path(row["output"])


class Run(RunCase):
    def test_does_a_table_in_the_original_form(self):
        origin = self.origin()
        urls = [f"{origin.url}/pic/{n}" for n in range(6)]
        done = self.run_table(pixmill.table(urls, per_row=2, products=["Ünï", "B", "C"]))
        self.assertEqual(0, done.returncode, done.stderr)
        rows = self.results()
        self.assertEqual(["S.No.", "Product Name", "Input Image Urls", "Output Image Urls", "Status", "Errors", "Bytes In", "Bytes Out",
                          "Recipe Used", "Recipe Name"],
                         list(rows[0]))
        self.assertEqual(["1", "2", "3"], [row["S.No."] for row in rows])
        self.assertEqual(["Ünï", "B", "C"], [row["Product Name"] for row in rows])
        self.assertEqual([2, 2, 2], [len(row["Output Image Urls"].split(",")) for row in rows])
        images = self.images()
        self.assertEqual(urls, [image["source"] for image in images])
        for image in images:
            self.assertEqual("succeeded", image["state"])
            with Image.open(self.file_of(image)) as picture:
                self.assertEqual(("JPEG", (96, 72)), (picture.format, picture.size))
        self.assert_clean(self.audit())
        self.assertIn("6 of 6", done.stdout)

    def test_some_failures_exit_3_and_keep_their_place(self):
        origin = self.origin()
        urls = [f"{origin.url}{path}" for path in ("/pic/1", "/status/404/x", "/lying/x", "/truncated/x", "/pic/2", "/status/403/y")]
        done = self.run_table(pixmill.table(urls, per_row=3))
        self.assertEqual(3, done.returncode, done.stderr)
        rows = self.results()
        self.assertEqual([True, False, False], [bool(part.strip()) for part in rows[0]["Output Image Urls"].split(",")])
        self.assertEqual([False, True, False], [bool(part.strip()) for part in rows[1]["Output Image Urls"].split(",")])
        self.assertIn("http_404", rows[0]["Errors"])
        codes = [image["code"] for image in self.images()]
        self.assertEqual(["", "http_404", "not_an_image", "truncated", "", "http_403"], codes)

    def test_all_failures_exit_8(self):
        origin = self.origin()
        done = self.run_table(pixmill.table([f"{origin.url}/status/404/{n}" for n in range(3)]))
        self.assertEqual(8, done.returncode, done.stderr)
        self.assertEqual(3, len(self.images()))

    def test_transient_failures_are_tried_again(self):
        origin = self.origin()
        done = self.run_table(pixmill.table([f"{origin.url}/flaky/2/a", f"{origin.url}/429/b?after=1", f"{origin.url}/503/c?times=1"]))
        self.assertEqual(0, done.returncode, done.stderr)
        hits = {path: count for path, count in origin.hits.items()}
        self.assertEqual({"/flaky/2/a": 3, "/429/b?after=1": 2, "/503/c?times=1": 2}, hits)
        waited = [r.at for r in origin.requests if r.path.startswith("/429")]
        self.assertGreaterEqual(waited[1] - waited[0], 0.95, "Retry-After is honoured")

    def test_the_same_address_is_fetched_once(self):
        origin = self.origin()
        done = self.run_table(pixmill.table([f"{origin.url}/pic/same"] * 12 + [f"{origin.url}/pic/other"]))
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual({"/pic/same": 1, "/pic/other": 1}, origin.hits)
        outputs = [image["output"] for image in self.images()]
        self.assertEqual(13, len(set(outputs)))
        self.assertTrue(all(self.file_of(image).is_file() for image in self.images()))

    def test_other_tables_and_their_clothes(self):
        origin = self.origin()
        plain = f"sku,url\nA,{origin.url}/pic/1\nB,{origin.url}/pic/2\n"
        forms = {
            "plain.csv": plain,
            "tabs.tsv": plain.replace(",", "\t"),
            "lines.jsonl": "".join(json.dumps({"sku": s, "url": f"{origin.url}/pic/{n}"}) + "\n" for n, s in enumerate("AB")),
            "packed.csv.gz": gzip.compress(plain.encode()),
            "packed.jsonl.gz": gzip.compress(json.dumps({"url": f"{origin.url}/pic/9"}).encode() + b"\n"),
            "bom.csv": b"\xef\xbb\xbf" + plain.encode(),
            "windows.csv": plain.replace("\n", "\r\n"),
        }
        for name, table in forms.items():
            with self.subTest(name):
                self.out = self.folder / f"out-{name}"
                done = self.run_table(table, name=name)
                self.assertEqual(0, done.returncode, done.stderr)
                self.assertEqual({"succeeded"}, {image["state"] for image in self.images()})

    def test_standard_input(self):
        origin = self.origin()
        done = pixmill.run_command("run", "-", "-o", self.out, stdin=f"url\n{origin.url}/pic/1\n".encode())
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(1, len(self.images()))

    def test_a_named_column(self):
        origin = self.origin()
        table = f"photo address,url\n{origin.url}/pic/1,not this\n"
        done = self.run_table(table, "--url-column", "photo address")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual({"/pic/1": 1}, origin.hits)

    def test_pictures_and_folders_of_this_machine(self):
        photo = pictures.photo(300, 200)
        self.write("in/a.jpg", pictures.jpeg(photo, orientation=6))
        self.write("in/deep/er/b.png", pictures.png(pictures.with_alpha(photo)))
        self.write("in/note.txt", "not a picture")
        self.write("single.webp", pictures.webp(photo))
        done = pixmill.run_command("run", self.folder / "in", self.folder / "single.webp", "-o", self.out, allow=None)
        self.assertEqual(0, done.returncode, done.stderr)
        sizes = {}
        for image in self.images():
            with Image.open(self.file_of(image)) as picture:
                sizes[pathlib.Path(image["source"]).name] = (picture.format, picture.size)
        self.assertEqual({"a.jpg": ("JPEG", (300, 200)), "b.png": ("JPEG", (300, 200)), "single.webp": ("JPEG", (300, 200))}, sizes)

    def test_a_table_cannot_name_files_of_this_machine(self):
        self.write("secret.jpg", pictures.jpeg(pictures.photo(64, 64)))
        done = self.run_table(f"url\nfile://{self.folder}/secret.jpg\n")
        self.assertEqual(6, done.returncode, done.stderr)

    def test_recipes(self):
        self.write("in/photo.jpg", pictures.jpeg(pictures.photo(400, 300)))
        wanted = {
            "format=webp quality=70 resize=100x100": ("WEBP", (100, 75)),
            "format=png resize=100x100:cover": ("PNG", (100, 100)),
            "format=jpeg resize=50x100:fill": ("JPEG", (50, 100)),
            '{"format":"jpeg","quality":60,"resize":{"width":200,"height":200,"fit":"inside"}}': ("JPEG", (200, 150)),
            "format=jpeg resize=4000x4000": ("JPEG", (400, 300)),
        }
        for number, (recipe, expected) in enumerate(wanted.items()):
            with self.subTest(recipe):
                self.out = self.folder / f"out{number}"
                done = pixmill.run_command("run", self.folder / "in", "-o", self.out, "-r", recipe)
                self.assertEqual(0, done.returncode, done.stderr)
                with Image.open(self.file_of(self.images()[0])) as picture:
                    self.assertEqual(expected, (picture.format, picture.size))

    def test_several_outputs_of_one_picture(self):
        origin = self.origin()
        done = self.run_table(pixmill.table([f"{origin.url}/pic/{n}" for n in range(3)]), "-r",
                              "quality=70 small: format=webp resize=48x grey: format=png grayscale=true rotate=90")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(3, sum(origin.hits.values()), "each picture is fetched once")
        images = self.images()
        self.assertEqual(["small", "grey"] * 3, [image["rendition"] for image in images])
        for image in images:
            with Image.open(self.file_of(image)) as picture:
                expected = ("WEBP", (48, 36)) if image["rendition"] == "small" else ("PNG", (72, 96))
                self.assertEqual(expected, (picture.format, picture.size))
            self.assertEqual(image["rendition"], self.file_of(image).parent.name)
        self.assertEqual([1, 1, 1], [len(row["Output Image Urls"].split(",")) for row in self.results()])
        self.assert_clean(self.audit())

    def test_names(self):
        origin = self.origin()
        products = ["../../etc/passwd", "a/b", "same", "same", "CON", '"x, y"']
        table = pixmill.table([f"{origin.url}/pic/{n}" for n in range(6)], products=products)
        done = self.run_table(table, "--name", "{product}-{index}.{ext}")
        self.assertEqual(0, done.returncode, done.stderr)
        files = [self.file_of(image) for image in self.images()]
        self.assertEqual(6, len(set(files)), files)
        for file in files:
            self.assertTrue(file.is_file() and file.resolve().is_relative_to((self.out / "images").resolve()), file)
        self.assertEqual({"same-1.jpg", "same-1-2.jpg"}, {f.name for f in files if f.name.startswith("same")})
        self.assertFalse((self.folder / "etc").exists())
        wrong = self.run_table(table, "--name", "{colour}.{ext}", name="other.csv")
        self.assertEqual(2, wrong.returncode, wrong.stderr)
        self.assertIn("colour", wrong.stderr)

    def test_addresses_that_are_not_public_need_leave(self):
        origin = self.origin()
        done = self.run_table(pixmill.table([f"{origin.url}/pic/1"]), allow=None)
        self.assertEqual(8, done.returncode, done.stderr)
        self.assertEqual(["blocked_address"], [image["code"] for image in self.images()])
        self.assertEqual(0, origin.total)
        self.out = self.folder / "allowed"
        self.assertEqual(0, self.run_table(pixmill.table([f"{origin.url}/pic/1"]), "--allow", "127.0.0.1/32", allow=None).returncode)

    def test_headers_go_to_their_host_alone_and_are_never_said(self):
        origin, other = self.origin(), self.origin(host="127.0.0.2")
        host = f"{origin.host}:{origin.port}"
        urls = [f"{origin.url}/echo/1", f"{other.url}/echo/2", f"{origin.url}/redirect/3?to={other.url}/echo/3"]
        done = self.run_table(pixmill.table(urls), "--header", f"{host}: X-Access: s3cret-value", "--log-level", "debug")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual({"s3cret-value"}, {request.headers.get("X-Access") for request in origin.requests})
        self.assertEqual({None}, {request.headers.get("X-Access") for request in other.requests})
        self.assertEqual(2, other.total)
        self.assertNotIn("s3cret-value", done.stdout + done.stderr)
        for path in self.out.rglob("*"):
            if path.is_file():
                self.assertNotIn(b"s3cret-value", path.read_bytes(), path)

    def test_one_host_gets_no_more_at_once_than_it_should(self):
        origin = self.origin()
        done = self.run_table(pixmill.table([f"{origin.url}/slow/{n}?ms=30" for n in range(60)]), "--per-host", "5")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertLessEqual(origin.most_active, 5)
        self.assertGreaterEqual(origin.most_active, 3)

    def test_host_rate(self):
        origin = self.origin()
        done = self.run_table(pixmill.table([f"{origin.url}/pic/{n}" for n in range(21)]), "--host-rate", "20")
        self.assertEqual(0, done.returncode, done.stderr)
        times = [request.at for request in origin.requests]
        self.assertGreaterEqual(times[-1] - times[0], 0.7, "20 a second at most, but for the first burst")

    def test_json_goes_to_stdout_and_progress_to_stderr(self):
        origin = self.origin()
        done = self.run_table(pixmill.table([f"{origin.url}/pic/{n}" for n in range(3)]), "--json", "--progress", "json")
        self.assertEqual(0, done.returncode, done.stderr)
        job = json.loads(done.stdout)
        self.assertEqual(("completed", 3, 3), (job["state"], job["total"], job["succeeded"]))
        lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        self.assertEqual((3, 3), (lines[-1]["done"], lines[-1]["total"]))
        self.out = self.folder / "quiet"
        quiet = self.run_table(pixmill.table([f"{origin.url}/pic/{n}" for n in range(3)]), "--json", "--progress", "none")
        self.assertEqual("", quiet.stderr)

    def test_a_terminal_gets_a_bar(self):
        origin = self.origin()
        table = self.write("t.csv", pixmill.table([f"{origin.url}/slow/{n}?ms=100" for n in range(40)]))
        ours, theirs = pty.openpty()
        with pixmill.running("run", table, "-o", self.out, stderr=theirs, env={"NO_COLOR": "1"}) as process:
            os.close(theirs)
            shown = b""
            while True:
                try:
                    piece = os.read(ours, 65536)
                except OSError:
                    break
                if not piece:
                    break
                shown += piece
            self.assertEqual(0, process.wait(30))
        os.close(ours)
        text = shown.decode()
        self.assertIn("━", text)
        self.assertIn("100 %", text)
        self.assertIn("\x1b[", text, "the bar is drawn over itself")
        self.assertNotIn("\x1b[36m", text, "NO_COLOR is obeyed")


class Resume(RunCase):
    def has_state(self):
        try:
            return bool(self.succeeded_urls())
        except (StopIteration, auditor.sqlite3.OperationalError):
            return False

    def succeeded_urls(self):
        connection = auditor.open_read_only(self.database())
        try:
            return {row[0] for row in connection.execute("SELECT url FROM items WHERE state = 'succeeded'")}
        finally:
            connection.close()

    def test_a_killed_run_goes_on_and_fetches_nothing_twice_that_was_finished(self):
        origin = self.origin()
        rows = case.short_or_long(200, 2000)
        urls = [f"{origin.url}/slow/{n}?ms=30" for n in range(rows)]
        table = self.write("t.csv", pixmill.table(urls))
        finished = {}
        for _ in range(3):
            already = len(finished)
            with pixmill.running("run", table, "-o", self.out) as process:
                wait_until(lambda: process.poll() is not None or self.has_state() and len(self.succeeded_urls()) > already + 10, 30,
                           "some progress")
                process.kill()
            hits = origin.hits
            finished = {url: hits[url.removeprefix(origin.url)] for url in self.succeeded_urls()}
            self.assertGreater(len(finished), already)
        self.assertLess(len(finished), rows, "it was killed in the middle")
        done = pixmill.run_command("run", table, "-o", self.out)
        self.assertEqual(0, done.returncode, done.stderr)
        after = origin.hits
        self.assertEqual(finished, {url: after[url.removeprefix(origin.url)] for url in finished})
        report = self.audit()
        self.assert_clean(report)
        self.assertEqual((rows, rows), (report.items, report.files))
        self.assertEqual(urls, [image["source"] for image in self.images()])

        total = origin.total
        again = pixmill.run_command("run", table, "-o", self.out)
        self.assertEqual(0, again.returncode, again.stderr)
        self.assertEqual(total, origin.total, "a finished job fetches nothing")

    def test_ctrl_c_drains_and_a_second_one_stops(self):
        origin = self.origin()
        table = self.write("t.csv", pixmill.table([f"{origin.url}/slow/{n}?ms=200" for n in range(200)]))
        with pixmill.running("run", table, "-o", self.out) as process:
            wait_until(lambda: len(origin.hits) > 12, 20, "some progress")
            process.send_signal(signal.SIGINT)
            self.assertEqual(130, process.wait(15))
        connection = auditor.open_read_only(self.database())
        states = dict(connection.execute("SELECT state, count(*) FROM items GROUP BY state").fetchall())
        connection.close()
        self.assertNotIn("leased", states)
        self.assertGreater(states["succeeded"], 0)
        self.assertGreater(states["pending"], 0)

        slow = self.write("slow.csv", pixmill.table([f"{origin.url}/never/{n}" for n in range(20)]))
        with pixmill.running("run", slow, "-o", self.folder / "out2") as process:
            wait_until(lambda: any(path.startswith("/never") for path in origin.hits), 20, "a fetch that never ends")
            process.send_signal(signal.SIGINT)
            wait_until(lambda: process.poll() is not None or signal_was_seen(process.pid), 5, "the first signal is taken")
            process.send_signal(signal.SIGINT)
            self.assertEqual(130, process.wait(2))

        done = pixmill.run_command("run", table, "-o", self.out)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assert_clean(self.audit())

    def test_failed_pictures_are_tried_again_on_request(self):
        origin = self.origin()
        broken = {"on": True}

        def sometimes(request, _hit, _query):
            request.answer(404, "text/plain", b"gone") if broken["on"] else request.picture("back")

        origin.routes["/sometimes"] = sometimes
        table = pixmill.table([f"{origin.url}/pic/1", f"{origin.url}/sometimes"])
        self.assertEqual(3, self.run_table(table).returncode)
        self.assertEqual(3, self.run_table(table).returncode, "without being asked nothing changes")
        self.assertEqual(1, origin.hits["/sometimes"])
        broken["on"] = False
        done = self.run_table(table, "--retry-failed")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual({"/pic/1": 1, "/sometimes": 2}, origin.hits)
        self.assertEqual(["succeeded"] * 2, [image["state"] for image in self.images()])
        self.assert_clean(self.audit())

    def test_another_job_in_the_same_folder_is_refused(self):
        origin = self.origin()
        self.assertEqual(0, self.run_table(pixmill.table([f"{origin.url}/pic/1"])).returncode)
        other = self.run_table(pixmill.table([f"{origin.url}/pic/2"]))
        self.assertEqual(9, other.returncode, other.stderr)
        self.assertEqual(0, self.run_table(pixmill.table([f"{origin.url}/pic/2"]), "--replace").returncode)

    def begin_and_kill(self, table, *arguments):
        """Kills a run of `table` when something of it is done."""
        with pixmill.running("run", table, *arguments, "-o", self.out) as process:
            wait_until(lambda: process.poll() is not None or self.has_state(), 30, "some progress")
            self.assertIsNone(process.poll(), "it ended before it could be killed")
            process.kill()

    def assert_files_are_those_of_the_results(self):
        for image in self.images():
            self.assertEqual(image["sha256"], hashlib.sha256(self.file_of(image).read_bytes()).hexdigest(), image)

    def test_replace_abandons_the_unfinished_job(self):
        origin = self.origin()
        names = [f"SKU{n}" for n in range(300)]
        old = self.write("old.csv", pixmill.table([f"{origin.url}/slow/old{n}?ms=100" for n in range(300)], products=names))
        self.begin_and_kill(old)
        urls = [f"{origin.url}/pic/new{n}" for n in range(60)]
        table = self.write("new.csv", pixmill.table(urls, products=names[:60]))
        before = {path: hits for path, hits in origin.hits.items() if "old" in path}
        done = pixmill.run_command("run", table, "-o", self.out, "--replace")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(before, {path: hits for path, hits in origin.hits.items() if "old" in path}, "nothing of it is fetched any more")
        self.assert_files_are_those_of_the_results()
        back = pixmill.run_command("run", old, "-o", self.out)
        self.assertEqual(9, back.returncode, "the folder belongs to the newer job: " + back.stderr)

    def test_another_table_of_the_folder_waits_for_its_own_turn(self):
        origin = self.origin()
        first = self.write("a.csv", pixmill.table([f"{origin.url}/slow/a{n}?ms=50" for n in range(100)]))
        second = self.write("b.csv", pixmill.table([f"{origin.url}/pic/b{n}" for n in range(20)]))
        self.begin_and_kill(first, second)
        done = pixmill.run_command("run", second, "-o", self.out)
        self.assertEqual(0, done.returncode, done.stderr)
        hits = sum("/a" in path for path in origin.hits)
        self.assertLess(hits, 100, "only the named table was worked on")
        both = pixmill.run_command("run", first, second, "-o", self.out)
        self.assertEqual(0, both.returncode, both.stderr)
        self.assertEqual(100, sum("/a" in path for path in origin.hits))

    def test_replace_starts_anew_with_the_same_input(self):
        origin = self.origin()
        table = pixmill.table([f"{origin.url}/pic/{n}" for n in range(3)])
        self.assertEqual(0, self.run_table(table).returncode)
        for image in self.images():
            self.file_of(image).unlink()
        done = self.run_table(table, "--replace")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(6, origin.total)
        self.assert_files_are_those_of_the_results()

    def test_new_headers_replace_those_of_the_job(self):
        origin = self.origin()
        host = f"{origin.host}:{origin.port}"

        def guarded(request, _hit, _query):
            if request.headers.get("X-Key") == "right":
                request.picture("guarded")
            else:
                request.answer(401, "text/plain", b"who are you?")

        origin.routes["/guarded"] = guarded
        table = pixmill.table([f"{origin.url}/guarded", f"{origin.url}/pic/1"])
        self.assertEqual(3, self.run_table(table, "--header", f"{host}: X-Key: wrong").returncode)
        done = self.run_table(table, "--header", f"{host}: X-Key: right", "--retry-failed")
        self.assertEqual(0, done.returncode, done.stderr)
        nothing = self.run_table(table, "--retry-failed")
        self.assertEqual(0, nothing.returncode, nothing.stderr)
        self.assertIn("no picture failed", nothing.stderr)

    def test_a_lost_master_key_is_mended_by_giving_the_headers_again(self):
        origin = self.origin()
        host = f"{origin.host}:{origin.port}"
        table = self.write("t.csv", pixmill.table([f"{origin.url}/slow/{n}?ms=100" for n in range(200)]))
        self.begin_and_kill(table, "--header", f"{host}: X-Key: one")
        (self.out / ".pixmill" / "master.key").unlink()
        without = pixmill.run_command("run", table, "-o", self.out)
        self.assertEqual(3, without.returncode, without.stderr)
        self.assertIn("job_unusable", {image["code"] for image in self.images()})
        again = pixmill.run_command("run", table, "-o", self.out, "--header", f"{host}: X-Key: two", "--retry-failed")
        self.assertEqual(0, again.returncode, again.stderr)

    def kill_while_the_table_is_read(self):
        """A table, and how many of its rows were in when the run was killed."""
        origin = self.origin()
        table = self.write("t.csv", pixmill.table([f"{origin.url}/slow/{n % 500}?ms=60&n={n}" for n in range(20_000)]))
        with pixmill.running("run", table, "-o", self.out) as process:
            wait_until(lambda: process.poll() is not None or self.rows_in() > 0, 30, "rows are in")
            process.kill()
        rows = self.rows_in()
        self.assertLess(rows, 20_000, "killed while it was ingested")
        return table, rows

    def test_a_renamed_table_goes_on(self):
        table, rows = self.kill_while_the_table_is_read()
        renamed = table.rename(self.folder / "renamed.csv")
        with pixmill.running("run", renamed, "-o", self.out) as process:
            wait_until(lambda: process.poll() is not None or self.rows_in() > rows, 30, "it goes on reading")
            self.assertIsNone(process.poll())

    def refuse(self, what):
        """From now on the database refuses a change, as a broken one would."""
        writer = auditor.sqlite3.connect(self.database())
        writer.execute(f"CREATE TRIGGER refusal BEFORE {what} BEGIN SELECT RAISE(ABORT, 'refused by the test'); END")
        writer.commit()
        writer.close()

    def test_a_store_that_takes_no_rows_ends_the_run(self):
        table, _ = self.kill_while_the_table_is_read()
        self.refuse("INSERT ON rows")
        done = pixmill.run_command("run", table, "-o", self.out, seconds=60)
        self.assertEqual(1, done.returncode, done.stderr)
        self.assertIn("pixmill:", done.stderr)

    def test_a_result_the_store_refuses_holds_up_no_other(self):
        origin = self.origin()
        table = self.write("t.csv", pixmill.table([f"{origin.url}/slow/{n}?ms=50" for n in range(200)]))
        self.begin_and_kill(table)
        self.refuse("INSERT ON outputs WHEN NEW.key LIKE '%SKU200-1%'")
        done = pixmill.run_command("run", table, "-o", self.out, seconds=60)
        self.assertEqual(3, done.returncode, done.stderr)
        self.assertEqual(["internal"], [image["code"] for image in self.images() if image["state"] == "failed"])

    def test_a_store_that_takes_no_results_ends_the_run(self):
        origin = self.origin()
        table = self.write("t.csv", pixmill.table([f"{origin.url}/slow/{n}?ms=50" for n in range(200)]))
        self.begin_and_kill(table)
        self.refuse("UPDATE ON items WHEN NEW.state IN ('succeeded', 'failed')")
        done = pixmill.run_command("run", table, "-o", self.out, seconds=60)
        self.assertEqual(1, done.returncode, done.stderr)
        self.assertIn("takes no results any more", done.stderr)

    def rows_in(self):
        try:
            connection = auditor.open_read_only(self.database())
        except (StopIteration, auditor.sqlite3.OperationalError):
            return 0
        try:
            return connection.execute("SELECT coalesce(max(row_count), 0) FROM jobs").fetchone()[0]
        except auditor.sqlite3.OperationalError:
            return 0
        finally:
            connection.close()

    def test_output_inside_the_input_folder_resumes(self):
        for name in ("a.jpg", "deep/b.jpg"):
            self.write(f"in/{name}", pictures.jpeg(pictures.photo(64, 64)))
        self.out = self.folder / "in" / "small"
        for _ in range(2):
            done = pixmill.run_command("run", self.folder / "in", "-o", self.out)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertEqual(2, len(self.images()))
        self.assertEqual(2, pixmill.run_command("run", self.out, "-o", self.out).returncode)

    def test_ctrl_c_while_the_table_is_checked_ends_at_once(self):
        table = self.write("t.csv", "url\n" + "".join(f"http://origin.example/{n}.jpg\n" for n in range(1_500_000)))
        errors = self.folder / "stderr"
        with errors.open("wb") as stderr, pixmill.running("run", table, "-o", self.out, "--progress", "json", stderr=stderr) as process:
            wait_until(lambda: b'"checking"' in errors.read_bytes(), 30, "the check says how far it is")
            process.send_signal(signal.SIGINT)
            self.assertEqual(130, process.wait(3))
        self.assertNotIn("pixmill:", errors.read_text())



def signal_was_seen(pid):
    """No SIGINT is pending any more."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    pending = int(next(line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd")), 16)
    return not pending & (1 << (signal.SIGINT - 1))


class ExitCodes(RunCase):
    def test_an_unknown_command_is_named(self):
        done = pixmill.run_command("bogus")
        self.assertEqual(2, done.returncode)
        self.assertIn("'bogus'", done.stderr)

    def test_output_that_is_a_file_is_explained(self):
        table = self.write("t.csv", "url\nhttp://example.com/x.jpg\n")
        done = pixmill.run_command("run", table, "-o", self.write("results.txt", "x"))
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertIn("results.txt: there is a file of that name", done.stderr)

    def test_every_header_is_checked_before_the_first_table_begins(self):
        origin = self.origin()
        good = self.write("good.csv", pixmill.table([f"{origin.url}/pic/1"]))
        done = pixmill.run_command("run", good, self.write("bad.csv", "sku\n1\n"), "-o", self.out)
        self.assertEqual(6, done.returncode, done.stderr)
        self.assertIn("bad:", done.stderr)
        self.assertEqual(0, origin.total)

    def test_tables_without_an_ending_and_pipes(self):
        origin = self.origin()
        table = f"url\n{origin.url}/pic/1\n"
        done = pixmill.run_command("run", self.write("feed", table), "-o", self.out)
        self.assertEqual(0, done.returncode, done.stderr)
        shell = f'exec "$0" run <(printf "{table.strip()}") -o "$1"'
        piped = subprocess.run(["bash", "-c", shell, pixmill.binary(), str(self.folder / "piped")], capture_output=True, check=False,
                               env=pixmill.environment({**pixmill.QUICK, "FETCH_ALLOW": "127.0.0.0/8"}), timeout=60)
        self.assertEqual(0, piped.returncode, piped.stderr)
        self.assertEqual(2, origin.total)

    def test_validate(self):
        done = pixmill.run_command("validate", self.folder / "nosuch.csv")
        self.assertEqual(5, done.returncode, done.stderr)
        self.assertIn("nosuch.csv", done.stderr)
        good = b"url\nhttp://example.com/x.jpg\n"
        self.assertEqual(0, pixmill.run_command("validate", "-", stdin=good).returncode)
        self.assertEqual(0, pixmill.run_command("validate", "-", stdin=gzip.compress(good)).returncode)
        self.assertEqual(6, pixmill.run_command("validate", "-", stdin=b"url\nnonsense\n").returncode)

    def test_usage(self):
        for arguments in (["run"], ["run", "x.csv"], ["nonsense"], [], ["run", "x.csv", "-o", "y", "--progress", "loud"]):
            self.assertEqual(2, pixmill.run_command(*arguments, cwd=self.folder).returncode, arguments)
        table = self.write("t.csv", "url\nhttp://example.com/x.jpg\n")
        for extra in (["-r", "quality=900"], ["-r", "colour=red"], ["--per-host", "0"], ["--allow", "nonsense"], ["--header", "nocolon"]):
            done = pixmill.run_command("run", table, "-o", self.out, *extra)
            self.assertEqual(2, done.returncode, f"{extra}: {done.stderr}")
            self.assertTrue(done.stderr.strip(), extra)
        self.assertEqual(0, pixmill.run_command("--help").returncode)
        self.assertEqual(0, pixmill.run_command("version").returncode)

    def test_what_is_not_there(self):
        done = pixmill.run_command("run", self.folder / "gone.csv", "-o", self.out)
        self.assertEqual(5, done.returncode, done.stderr)
        self.assertIn("gone.csv", done.stderr)

    def test_result_cells_round_trip(self):
        """P39: safe for spreadsheets by default, byte for byte on request."""
        origin = self.origin()
        cells = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tTAB", "+49 30 1234567", "-12.5", "plain", "=", "'quoted",
                 'say "hi"', "line\nbreak", "ünï", " spaced ", "001", "nan", "NULL", ""]
        out = io.StringIO(newline="")
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)  # a space after a comma counts only within quotes
        writer.writerow(["url", "note"])
        for number, cell in enumerate(cells):
            writer.writerow([f"{origin.url}/pic/{number}", cell])
        table = out.getvalue()
        self.assertEqual(0, self.run_table(table).returncode)
        safe = [row["note"] for row in self.results()]
        for cell, shown in zip(cells, safe):
            harmless = cell in ("+49 30 1234567", "-12.5") or not cell or cell[0] not in "=+-@\t\r\n"
            self.assertEqual(cell if harmless else "'" + cell, shown)
        raw = pixmill.run_command("run", self.folder / "products.csv", "-o", self.out, "--raw-csv")
        self.assertEqual(0, raw.returncode, raw.stderr)
        self.assertEqual(cells, [row["note"] for row in self.results()])


case.main()
