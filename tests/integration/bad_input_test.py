"""Bad input gets a clear answer and loses nothing: the same cases through `run` and through `serve`."""

import gzip
import time

from support import auditor, case, pixmill, small_disk
from support.waiting import wait_until

HEADER = "S.No.,Product Name,Input Image Urls\r\n"


def tables(origin_url):
    """{what: (file name, bytes, a word that the answer must hold)}."""
    good = f'1,SKU1,"{origin_url}/pic/1"\r\n'
    return {
        "an empty file": ("a.csv", b"", "empty"),
        "a header alone": ("a.csv", HEADER.encode(), "empty"),
        "the wrong header": ("a.csv", b"a,b,c\r\n1,2,3\r\n", "column"),
        "a bad address": ("a.csv", (HEADER + good + '2,SKU2,"htp://nowhere"\r\n').encode(), "row 2"),
        "a 10 MB field": ("a.csv", (HEADER + good + "2," + "x" * 10_000_000 + f",{origin_url}/pic/2\r\n").encode(), "field"),
        "NUL bytes": ("a.csv", (HEADER + good).encode() + b"2,SK\0U,http://x/\r\n", ""),
        "UTF-16": ("a.csv", (HEADER + good).encode("utf-16"), "UTF-8"),
        "an open quote": ("a.csv", (HEADER + '1,"SKU1,http://x/y.jpg\r\n').encode(), ""),
        "a truncated gzip": ("a.csv.gz", gzip.compress((HEADER + good * 2000).encode())[:200], ""),
        "not gzip at all": ("a.csv.gz", b"this is not gzip" * 10, ""),
        "a gzip bomb": ("a.csv.gz", gzip.compress(HEADER.encode() + b"\0" * 300_000_000, 9), ""),
    }


class BadTables(case.Case):
    def test_run_rejects_them_and_writes_no_picture(self):
        origin = self.origin()
        for what, (name, data, word) in tables(origin.url).items():
            with self.subTest(what):
                out = self.folder / f"out {what}"
                begun = time.monotonic()
                done = pixmill.run_command("run", self.write(f"{what}/{name}", data), "-o", out)
                self.assertEqual(6, done.returncode, f"{done.returncode}: {done.stderr}")
                self.assertIn(word.lower(), done.stderr.lower())
                self.assertNotIn(str(self.folder), done.stderr.replace(str(out), "").replace(str(self.folder / what), ""))
                self.assertLess(time.monotonic() - begun, 20)
        self.assertEqual(0, origin.total, "nothing is fetched for a table that is not accepted")

    def test_serve_answers_4xx_with_a_reason_and_goes_on(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        for what, (name, data, word) in tables(origin.url).items():
            with self.subTest(what):
                if name.endswith(".csv"):
                    answer = server.post("/imgproc/upload", files={"file": (name, data)})
                    self.assertEqual(400, answer.status, answer)
                    self.assertTrue(answer.json["error"], answer)
                answer = server.post("/v1/jobs", files={"file": (name, data)})
                self.assertIn(answer.status, (400, 413, 422), answer)
                self.assertIn("application/problem+json", answer.headers["content-type"])
                self.assertIn(word.lower(), answer.text.lower())
                self.assertNotIn(str(self.folder), answer.text)
        self.assertEqual(0, server.get("/v1/jobs").json["total"], "nothing of it became a job")
        self.assertEqual(0, origin.total)
        self.assertEqual([], [path for path in (server.data / "spool").rglob("*") if path.is_file()], "nothing is left in the spool")
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/1"]))
        self.assertEqual("completed", server.wait_final(job_id)["state"])

    def test_bad_rows_are_named_and_the_good_ones_done_on_request(self):
        origin = self.origin()
        lines = [f"A,{origin.url}/pic/1", "B,", "C,ftp://host/x.jpg", f"D,{origin.url}/pic/4", "E,http://[broken/x.jpg"]
        table = self.write("t.csv", "sku,url\n" + "\n".join(lines) + "\n")
        refused = pixmill.run_command("run", table, "-o", self.folder / "out")
        self.assertEqual(6, refused.returncode, refused.stderr)
        for row in (2, 3, 5):
            self.assertIn(f"row {row}", refused.stderr)
        self.assertIn("--skip-invalid", refused.stderr)
        done = pixmill.run_command("run", table, "-o", self.folder / "out", "--skip-invalid")
        self.assertEqual(3, done.returncode, done.stderr)
        rows = case.read_csv(self.folder / "out" / "result.csv")
        self.assertEqual(list("ABCDE"), [row["sku"] for row in rows])
        self.assertEqual([True, False, False, True, False], [bool(row["Output Image Urls"]) for row in rows])
        self.assertTrue(all(rows[n]["Errors"] for n in (1, 2, 4)))

        server = self.use(pixmill.Server(self.folder / "data"))
        answer = server.post("/v1/jobs", files={"file": ("t.csv", table.read_bytes())})
        self.assertIn(answer.status, (400, 422), answer)
        for row in (2, 3, 5):
            self.assertIn(f"row {row}", answer.text)
        answer = server.post("/v1/jobs", fields={"skip_invalid": "true"}, files={"file": ("t.csv", table.read_bytes())})
        self.assertIn(answer.status, (201, 202), answer)
        job = server.wait_final(answer.json["id"])
        self.assertEqual((2, 2), (job["total"], job["succeeded"]), job)


class BadPlaces(case.Case):
    def test_a_folder_that_cannot_be_written(self):
        table = self.write("t.csv", "url\nhttp://example.com/x.jpg\n")
        self.write("file", "in the way")
        for out in (self.folder / "file" / "out", "/proc/pixmill-out"):
            done = pixmill.run_command("run", table, "-o", out)
            self.assertNotIn(done.returncode, (0, 3, 8, -6, -11), done.stderr)
            self.assertIn(str(out), done.stderr)
        done = pixmill.run_command("serve", "--port", "0", "--data", self.folder / "file" / "data")
        self.assertNotIn(done.returncode, (0, -6, -11), done.stderr)
        self.assertIn(str(self.folder / "file"), done.stderr)

    def test_a_port_in_use(self):
        first = self.use(pixmill.Server(self.folder / "data"))
        port = first.base_url.rsplit(":", 1)[1]
        done = pixmill.run_command("serve", "--port", port, "--data", self.folder / "other")
        self.assertEqual(9, done.returncode, done.stderr)
        self.assertIn(port, done.stderr)
        self.assertIn("in use", done.stderr)
        self.assertTrue(first.is_ready())


class FullDisk(case.Case):
    def small_disk(self, megabytes):
        disk = small_disk.mount(self.folder / "disk", megabytes)
        self.addCleanup(small_disk.unmount, disk)
        return disk

    def test_a_job_goes_on_by_itself_when_space_is_there_again(self):
        origin, disk = self.origin(), self.small_disk(24)
        server = self.use(pixmill.Server(disk / "data", env={"PIXMILL_DISK_FREE_MIN_BYTES": "0"}))
        job_id = server.upload(pixmill.table([f"{origin.url}/slow/{n}?ms=100" for n in range(150)]))
        wait_until(lambda: server.job(job_id)["succeeded"] > 5, 20, "work goes on")
        filler = small_disk.fill(disk)
        answer = server.post("/v1/jobs", files={"file": ("t.csv", pixmill.table([f"{origin.url}/pic/{n}" for n in range(5000)]).encode())})
        self.assertEqual(507, answer.status, answer)
        self.assertIn("application/problem+json", answer.headers["content-type"])
        done_when_full = server.job(job_id)["succeeded"]
        filler.unlink()
        job = server.wait_final(job_id, 60)
        self.assertEqual(150, job["succeeded"], f"{done_when_full} were done when the disk was full: {job}")
        server.kill()
        self.assert_clean(auditor.audit_server(server.data, rows_expected={job_id: 150}))

    def test_run_says_so_before_it_begins(self):
        disk = self.small_disk(8)
        table = self.write("t.csv", "url\nhttp://example.com/x.jpg\n")
        done = pixmill.run_command("run", table, "-o", disk / "out", env={"PIXMILL_DISK_FREE_MIN_BYTES": "100000000"})
        self.assertNotIn(done.returncode, (0, 3, 8), done.stderr)
        self.assertIn("free", done.stderr)


class RefusedSettings(case.Case):
    def test_addresses_of_services_that_are_none_are_refused_by_name(self):
        for name, value in {"DATABASE_URL": "mysql://u:hunter2@db/x", "REDIS_URL": "memcached://:hunter2@r:6379/0"}.items():
            with self.subTest(name=name):
                done = pixmill.run_command("serve", "--port", "0", "--data", self.folder / "d", env={name: value}, cwd=self.folder)
                self.assertEqual(2, done.returncode, done.stderr)
                self.assertIn(name, done.stderr)
                self.assertNotIn("hunter2", done.stderr)
        self.assertFalse((self.folder / "d").exists(), "nothing was made")

    def test_an_old_env_file_is_read(self):
        self.write(".env", 'REDIS_HOST="redis.example"\nREDIS_PORT=http\nFRONTEND_URL=http://localhost:3000\n')
        done = pixmill.run_command("serve", "--port", "0", "--data", self.folder / "d", cwd=self.folder)
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertIn("REDIS_PORT", done.stderr)

    def test_a_bucket_needs_its_credentials(self):
        done = pixmill.run_command("serve", "--port", "0", "--data", self.folder / "d", env={"AWS_STORAGE_BUCKET_NAME": "b"}, cwd=self.folder)
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertIn("AWS_ACCESS_KEY_ID", done.stderr)

    def test_an_env_file_is_used_and_the_environment_wins(self):
        origin = self.origin()
        self.write(".env", "FETCH_ALLOW=10.0.0.0/8\nFRONTEND_URL=http://shop.example\n")
        server = self.use(pixmill.Server(self.folder / "d", allow=None, env={"FETCH_ALLOW": "127.0.0.0/8"}))
        job = server.wait_final(server.upload(pixmill.table([f"{origin.url}/pic/1"])))
        self.assertEqual("completed", job["state"], job)
        answer = server.get("/imgproc/hello", Origin="http://shop.example")
        self.assertEqual("http://shop.example", answer.headers.get("access-control-allow-origin"))

    def test_wrong_values_are_refused_by_name(self):
        for name, value in {"FETCH_TIMEOUT_MS": "soon", "PIXMILL_LEASE_MS": "-1", "FETCH_ALLOW": "everything", "LOG_FORMAT": "xml",
                            "DEFAULT_RECIPE": "shiny=yes", "WEBHOOK_SECRET": "short"}.items():
            with self.subTest(name):
                done = pixmill.run_command("serve", "--port", "0", "--data", self.folder / "d", env={name: value}, allow=None)
                self.assertEqual(2, done.returncode, done.stderr)
                self.assertTrue(any(w in done.stderr for w in (name, value, name.replace("_", " ").lower())), done.stderr)


small_disk.in_own_mount_namespace()
case.main()
