"""Re-runs: what has not changed since an earlier run keeps its result, and what is said of it is exact."""

import hashlib
import json
import shutil
import signal

from support import auditor, case, pictures, pixmill
from support.fleet import Fleet
from support.s3_case import S3Case
from support.servers import postgres
from support.waiting import wait_until

WAYS = ("etag", "weak", "date", "none")


def addresses(origin, numbers, more=""):
    return [f"{origin.url}/versioned/{n}?by={WAYS[n % len(WAYS)]}{more}" for n in numbers]


class RunCase(case.Case):
    def run_job(self, urls, out, *arguments, table=None, code=0, env=None):
        path = self.write("products.csv", table or pixmill.table(urls))
        done = pixmill.run_command("run", path, "-o", self.folder / out, *arguments, "--json", env=env)
        self.assertEqual(code, done.returncode, done.stderr)
        return json.loads(done.stdout)

    def counts(self, job):
        return tuple(job[name] for name in ("new", "changed", "unchanged", "gone"))

    def states(self, out):
        return {image["source"].split("/")[-1].split("?")[0]: image["state"] for image in case.read_csv(self.folder / out / "images.csv")}

    def pictures(self, out):
        """Digests of what lies there, by name."""
        folder = self.folder / out / "images"
        return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}

    def audit(self, out):
        self.assert_clean(auditor.audit(self.folder / out / ".pixmill.db", self.folder / out))


class Run(RunCase):
    def test_keeps_what_has_not_changed(self):
        origin = self.origin()
        first = self.run_job(addresses(origin, range(12)), "out1")
        self.assertEqual((None, None, None, None), self.counts(first))
        self.assertIsNone(first["since"])
        again = self.run_job(addresses(origin, range(12)), "out2", "--since", self.folder / "out1")
        self.assertEqual((0, 0, 12, 0), self.counts(again))
        self.assertEqual(first["id"], again["since"])
        self.assertEqual(("completed", 12), (again["state"], again["succeeded"]))
        self.assertEqual(9, origin.not_modified, "all that say what version they are; the bytes tell of the others")
        self.assertEqual(24, origin.total)
        self.assertEqual(self.pictures("out1"), self.pictures("out2"))
        self.assertEqual({"unchanged"}, set(self.states("out2").values()))
        self.assertEqual({"unchanged"}, {row["Status"] for row in case.read_csv(self.folder / "out2" / "result.csv")})
        self.assertEqual((first["bytes_in"], first["bytes_out"]), (again["bytes_in"], again["bytes_out"]))
        self.audit("out2")
        # What it has is its own.
        before = self.pictures("out2")
        shutil.rmtree(self.folder / "out1")
        self.assertEqual(before, self.pictures("out2"))
        third = self.run_job(addresses(origin, range(12)), "out3", "--since", self.folder / "out2")
        self.assertEqual((0, 0, 12, 0), self.counts(third))
        self.assertEqual(18, origin.not_modified)

    def test_tells_new_changed_unchanged_and_gone_apart(self):
        origin = self.origin()
        self.run_job(addresses(origin, range(10)), "out1")
        origin.versions.update({"0": 2, "3": 2, "5": 7})
        numbers = [11, *range(8), 12, 10]
        done = self.run_job(addresses(origin, numbers), "out2", "--since", self.folder / "out1")
        self.assertEqual((3, 3, 5, 2), self.counts(done))
        self.assertEqual({str(n): "succeeded" if n in (0, 3, 5, 10, 11, 12) else "unchanged" for n in numbers}, self.states("out2"))
        gone = case.read_csv(self.folder / "out2" / "gone.csv")
        self.assertEqual([("9", "1", addresses(origin, [8])[0]), ("10", "1", addresses(origin, [9])[0])],
                         [(line["row"], line["index"], line["source"]) for line in gone])
        self.assertEqual(str(self.folder / "out2" / "gone.csv"), done["links"]["gone_csv"])
        fresh = self.run_job(addresses(origin, numbers), "out3")
        self.assertEqual(self.pictures("out3"), self.pictures("out2"), "as if everything had been made anew")
        self.assertFalse((self.folder / "out3" / "gone.csv").exists())
        self.assertIsNone(fresh["links"]["gone_csv"])
        self.audit("out2")

    def test_says_so_in_its_summary(self):
        origin = self.origin()
        table = self.write("products.csv", pixmill.table(addresses(origin, range(4))))
        pixmill.run_command("run", table, "-o", self.folder / "out1")
        table = self.write("products.csv", pixmill.table(addresses(origin, range(1, 5))))
        done = pixmill.run_command("run", table, "-o", self.folder / "out2", "--since", self.folder / "out1")
        self.assertIn("1 new, 0 changed, 3 unchanged, 1 gone", done.stdout)
        self.assertIn("unchanged 3", done.stderr)

    def test_goes_on_in_the_same_folder_night_after_night(self):
        origin = self.origin()
        urls = addresses(origin, range(8))
        first = self.run_job(urls, "out", "--since", self.folder / "out")
        self.assertIsNone(first["since"], "the first night has nothing to compare with")
        second = self.run_job(urls, "out", "--since", self.folder / "out")
        self.assertEqual((0, 0, 8, 0), self.counts(second))
        self.assertEqual(first["id"], second["since"])
        origin.versions["1"] = 2
        third = self.run_job(urls[:6], "out", "--since", self.folder / "out")
        self.assertEqual((0, 1, 5, 2), self.counts(third))
        self.assertEqual(second["id"], third["since"])
        fresh = self.run_job(urls[:6], "fresh")
        self.assertEqual(6, fresh["succeeded"])
        self.assertEqual(self.pictures("fresh"), {name: digest for name, digest in self.pictures("out").items() if name in self.pictures("fresh")})
        by_id = self.run_job(urls[:6], "out", "--since", first["id"])
        self.assertEqual(first["id"], by_id["since"])

    def test_rows_that_change_places_in_one_folder_keep_their_pictures_apart(self):
        """One picture's old name is the other's new one."""
        origin = self.origin()
        urls = addresses(origin, range(6))
        self.run_job(urls, "out")
        done = self.run_job(urls[::-1], "out", "--since", self.folder / "out")
        self.assertEqual(6, done["succeeded"])
        self.run_job(urls[::-1], "fresh")
        self.assertEqual(self.pictures("fresh"), self.pictures("out"))

    def test_makes_anew_what_is_lost_or_damaged(self):
        origin = self.origin()
        self.run_job(addresses(origin, range(8)), "out1")
        before = self.pictures("out1")
        files = sorted((self.folder / "out1" / "images").rglob("*.jpg"))
        files[0].unlink()
        data = bytearray(files[1].read_bytes())
        data[len(data) // 2] ^= 1
        files[1].write_bytes(data)
        files[2].write_bytes(files[2].read_bytes() + b"x")
        done = self.run_job(addresses(origin, range(8)), "out2", "--since", self.folder / "out1")
        self.assertEqual((0, 3, 5, 0), self.counts(done))
        self.assertEqual(before, self.pictures("out2"))
        self.audit("out2")

    def test_another_recipe_is_another_result(self):
        origin = self.origin()
        self.run_job(addresses(origin, range(4)), "out1")
        done = self.run_job(addresses(origin, range(4)), "out2", "--since", self.folder / "out1", "-r", "format=webp")
        self.assertEqual((0, 4, 0, 0), self.counts(done))
        self.assertEqual(0, origin.not_modified, "what would not be used is not asked for")

    def test_a_watermark_that_changes_changes_its_pictures(self):
        origin = self.origin()
        old, new = pictures.png(pictures.photo(40, 30)), pictures.png(pictures.photo(60, 50))
        marks = iter([old, old, new])
        origin.routes["/mark.png"] = lambda request, hit, query: request.answer(200, "image/png", next(marks))
        recipe = ("-r", f"format=jpeg watermark=center:{origin.url}/mark.png")
        self.run_job(addresses(origin, range(3)), "out1", *recipe)
        same = self.run_job(addresses(origin, range(3)), "out2", *recipe, "--since", self.folder / "out1")
        self.assertEqual((0, 0, 3, 0), self.counts(same))
        other = self.run_job(addresses(origin, range(3)), "out3", *recipe, "--since", self.folder / "out2")
        self.assertEqual((0, 3, 0, 0), self.counts(other))

    def test_repeated_addresses_and_failures(self):
        origin = self.origin()
        urls = addresses(origin, [1, 2, 1]) + [f"{origin.url}/status/404/x"]
        self.run_job(urls, "out1", code=3)
        done = self.run_job(urls + addresses(origin, [2]), "out2", "--since", self.folder / "out1", code=3)
        self.assertEqual((0, 0, 4, 0), self.counts(done))
        self.assertEqual(1, done["failed"])
        self.audit("out2")

    def test_a_kill_in_the_middle_loses_nothing(self):
        origin = self.origin()
        rows = case.short_or_long(120, 2_000)
        urls = addresses(origin, range(rows), "&ms=25")
        self.run_job(urls, "out1")
        origin.versions.update({str(n): 2 for n in range(0, rows, 3)})
        expected = len(range(0, rows - 10, 3))
        table = self.write("products.csv", pixmill.table(urls[:-10]))
        command = ("run", table, "-o", self.folder / "out2", "--since", self.folder / "out1", "--per-host", "4")
        for wanted in (rows // 6, rows // 2):
            with pixmill.running(*command) as process:
                wait_until(lambda wanted=wanted: len(self.pictures("out2")) >= wanted, 120, lambda: len(self.pictures("out2")))
                process.send_signal(signal.SIGKILL)
                process.wait(10)
        done = pixmill.run_command(*command, "--json")
        self.assertEqual(0, done.returncode, done.stderr)
        job = json.loads(done.stdout)
        self.assertEqual((0, expected, rows - 10 - expected, 10), self.counts(job))
        self.audit("out2")
        self.run_job(urls[:-10], "fresh")
        self.assertEqual(self.pictures("fresh"), self.pictures("out2"))

    def test_says_what_it_cannot_compare_with(self):
        origin = self.origin()
        urls = addresses(origin, range(1))
        for since, said in ((self.folder / "nowhere", "no such folder"), (self.folder, "never written to it"),
                            ("01234567-89ab-4def-8123-456789abcdef", "no such run has ended")):
            done = pixmill.run_command("run", self.write("t.csv", pixmill.table(urls)), "-o", self.folder / "out", "--since", since)
            self.assertEqual(5, done.returncode, done.stderr)
            self.assertIn(said, done.stderr)
        self.assertEqual(0, origin.total)


class Servers:
    """What must hold whatever database the servers have: `self.servers()` gives two, perhaps the same."""

    def submit(self, server, urls, **fields):
        answer = server.post("/v1/jobs", fields, {"file": ("products.csv", pixmill.table(urls).encode())})
        self.assertEqual(201, answer.status, answer)
        return answer.json["id"]

    def test_compares_with_an_earlier_job(self):
        origin = self.origin()
        one, other = self.servers()
        first = self.submit(one, addresses(origin, range(10)))
        one.wait_final(first)
        origin.versions["2"] = 2
        second = self.submit(other, addresses(origin, [*range(8), 20]), since=first)
        job = one.wait_final(second)
        self.assertEqual(("completed", 9, 1, 1, 7, 2), tuple(job[name] for name in ("state", "succeeded", "new", "changed", "unchanged", "gone")))
        self.assertEqual(first, job["since"])
        self.assertEqual(5, origin.not_modified)
        items = other.items(second)
        self.assertEqual(7, [item["state"] for item in items].count("unchanged"))
        page = one.get(f"/v1/jobs/{second}/items?state=unchanged&limit=3").json
        self.assertEqual((7, 3), (page["total"], len(page["items"])))
        for item in items:
            self.assertTrue(item["outputs"][0]["key"].startswith(second), item)
            data = other.get("/files/" + item["outputs"][0]["key"]).body
            self.assertEqual(item["outputs"][0]["sha256"], hashlib.sha256(data).hexdigest())
        gone = one.get(f"/v1/jobs/{second}/gone.csv")
        self.assertEqual((200, addresses(origin, [8, 9])), (gone.status, [line["source"] for line in case.read_csv(gone.text)]))
        self.assertTrue(job["links"]["gone_csv"].endswith(f"/v1/jobs/{second}/gone.csv"))
        self.assertEqual(404, one.get(f"/v1/jobs/{first}/gone.csv").status)
        self.audit(one, {first: 10, second: 9})

    def test_refuses_what_it_cannot_compare_with(self):
        origin = self.origin()
        server, _ = self.servers()
        running = self.submit(server, [f"{origin.url}/never/1"])
        for since, said in (("nonsense", "since"), ("01234567-89ab-4def-8123-456789abcdef", "no job"), (running, "is still")):
            answer = server.post("/v1/jobs", {"since": since}, {"file": ("t.csv", pixmill.table(addresses(origin, [1])).encode())})
            self.assertEqual(400, answer.status, answer)
            self.assertIn(said, answer.json["detail"])
        server.request("POST", f"/v1/jobs/{running}/cancel")

    def test_a_kill_in_the_middle_loses_nothing(self):
        origin = self.origin()
        one, other = self.servers()
        urls = addresses(origin, range(80), "&ms=20")
        first = self.submit(one, urls)
        one.wait_final(first)
        origin.versions.update({str(n): 2 for n in range(0, 80, 4)})
        second = self.submit(one, urls[5:], since=first)
        wait_until(lambda: other.job(second)["succeeded"] >= 15, 60, lambda: other.job(second))
        one.kill()
        one.start()
        job = other.wait_final(second, 90)
        changed = len(range(8, 80, 4))
        self.assertEqual((75, 0, changed, 75 - changed, 5), tuple(job[name] for name in ("succeeded", "new", "changed", "unchanged", "gone")))
        self.audit(one, {first: 80, second: 75})


class Sqlite(Servers, case.Case):
    def servers(self):
        server = self.use(pixmill.Server(self.folder / "data", "--per-host", "8"))
        return server, server

    def audit(self, _, rows):
        self.assert_clean(auditor.audit(next(self.folder.glob("data/*.db")), self.folder / "data" / "files", rows_expected=rows))


class Postgres(Servers, case.Case):
    def servers(self):
        self.database = self.use(postgres.Server())
        self.fleet = self.use(Fleet(self.folder, self.database, "--engines", "1", "--per-host", "8"))
        return self.fleet.servers

    def audit(self, _, rows):
        self.assert_clean(auditor.audit(self.database.url(), self.fleet.files, rows_expected=rows))


class Buckets(S3Case):
    def env(self, **more):
        return super().env(**{"XDG_STATE_HOME": str(self.folder / "xdg"), "AWS_STORAGE_BUCKET_NAME": "", "S3_PREFIX": "", **more})

    def address(self, name):
        return f"s3://{self.swift.bucket}/{self.prefix}/{name}"

    def run_job(self, urls, out, *arguments):
        done = pixmill.run_command("run", self.write("products.csv", pixmill.table(urls)), "-o", out, *arguments, "--json", env=self.env())
        self.assertEqual(0, done.returncode, done.stderr)
        return json.loads(done.stdout)

    def counts(self, job):
        return tuple(job[name] for name in ("new", "changed", "unchanged", "gone"))

    def test_results_are_taken_over_from_wherever_they_lie(self):
        origin = self.origin()
        urls = addresses(origin, range(6))
        self.run_job(urls, self.address("one"))
        images = {key.split("/", 1)[1]: self.read(key) for key in self.keys() if key.startswith("one/images/")}
        self.assertEqual(6, len(images))
        second = self.run_job(urls, self.address("two"), "--since", self.address("one"))
        self.assertEqual((0, 0, 6, 0), self.counts(second))
        self.assertEqual(images, {key.split("/", 1)[1]: self.read(key) for key in self.keys() if key.startswith("two/images/")})
        self.assertIn("two/gone.csv", self.keys())
        local = self.run_job(urls, self.folder / "out", "--since", self.address("two"))
        self.assertEqual((0, 0, 6, 0), self.counts(local))
        self.assertEqual(images, {f"images/{file.name}": file.read_bytes() for file in (self.folder / "out" / "images").iterdir()})
        back = self.run_job(urls, self.address("three"), "--since", self.folder / "out")
        self.assertEqual((0, 0, 6, 0), self.counts(back))
        headers, _ = self.swift.read(f"{self.prefix}/three/images/SKU1-1.jpg")
        self.assertEqual("image/jpeg", headers["content-type"])
        again = self.run_job(urls[1:], self.address("three"), "--since", self.address("three/"))
        self.assertEqual((0, 0, 5, 1), self.counts(again))

    def test_an_object_that_is_lost_or_another_is_made_anew(self):
        origin = self.origin()
        urls = addresses(origin, range(4))
        self.run_job(urls, self.address("one"), "--state", self.folder / "state")
        good = self.read("one/images/SKU2-1.jpg")
        self.swift.write(f"{self.prefix}/one/images/SKU1-1.jpg", b"x")
        self.swift.write(f"{self.prefix}/one/images/SKU2-1.jpg", bytes(len(good)))
        done = self.run_job(urls, self.address("two"), "--since", self.folder / "state")
        self.assertEqual((0, 2, 2, 0), self.counts(done))
        self.assertEqual(good, self.read("two/images/SKU2-1.jpg"))

    def test_a_server_on_a_bucket(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data", env=super().env()))
        jobs = []
        for since in ({}, {"since": "first"}):
            fields = {"since": jobs[0]} if since else {}
            answer = server.post("/v1/jobs", fields, {"file": ("t.csv", pixmill.table(addresses(origin, range(5))).encode())})
            jobs.append(answer.json["id"])
            job = server.wait_final(jobs[-1])
        self.assertEqual((0, 0, 5, 0), self.counts(job))
        first, second = ({key.split("/", 1)[1]: self.read(key) for key in self.keys() if key.startswith(job_id)} for job_id in jobs)
        self.assertEqual(5, len(first))
        self.assertEqual(sorted(hashlib.sha256(data).hexdigest() for data in first.values()),
                         sorted(hashlib.sha256(data).hexdigest() for data in second.values()))


if __name__ == "__main__":
    case.main()
