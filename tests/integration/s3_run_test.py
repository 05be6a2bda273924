"""`pixmill run -o s3://…`, and pictures that lie in a bucket: s3://bucket/key as a source."""

import hashlib
import json
import signal

from support import case, pictures, pixmill
from support.s3_case import S3Case, curl
from support.waiting import wait_until


class RunToBucket(S3Case):
    def setUp(self):
        super().setUp()
        self.target = f"s3://{self.swift.bucket}/{self.prefix}"
        self.state = self.folder / "state"

    def env(self, **more):
        return super().env(**{"XDG_STATE_HOME": str(self.folder / "xdg"), "AWS_STORAGE_BUCKET_NAME": "", "S3_PREFIX": "", **more})

    def run_table(self, table, *arguments, **env):
        return pixmill.run_command("run", self.write("products.csv", table), "-o", self.target, *arguments, env=self.env(**env))

    def stored(self, name):
        found = self.swift.read(f"{self.prefix}/{name}")
        self.assertIsNotNone(found, self.keys())
        return found

    def test_stores_pictures_and_result_files_in_the_bucket(self):
        origin = self.origin()
        done = self.run_table(pixmill.table([f"{origin.url}/pic/{n}" for n in range(4)]), S3_LINKS="presigned")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn(f"{self.target}/images/", done.stdout)
        self.assertEqual(["images.csv"] + [f"images/SKU{n}-1.jpg" for n in range(1, 5)] + ["result.csv"], self.keys())
        headers, body = self.stored("result.csv")
        self.assertTrue(headers["content-type"].startswith("text/csv"), headers)
        self.assertEqual("attachment", headers["content-disposition"])
        rows = case.read_csv(body.decode())
        images = case.read_csv(self.stored("images.csv")[1].decode())
        for row, image in zip(rows, images, strict=True):
            status, data = curl(row["Output Image Urls"])
            self.assertEqual((200, image["sha256"]), (status, hashlib.sha256(data).hexdigest()))
        again = self.run_table(pixmill.table([f"{origin.url}/pic/{n}" for n in range(4)]))
        self.assertEqual(0, again.returncode, again.stderr)
        self.assertIn("already finished", again.stderr)
        self.assertEqual(4, sum(origin.hits.values()))
        other = self.run_table(pixmill.table([f"{origin.url}/pic/9"]))
        self.assertEqual(9, other.returncode, other.stderr)
        self.assertIn(f"{self.target} holds the results of another job", other.stderr)

    def test_goes_on_after_a_kill(self):
        origin = self.origin()
        urls = [f"{origin.url}/slow/{n}?ms=50" for n in range(60)]
        table = self.write("products.csv", pixmill.table(urls))
        command = ("run", table, "-o", self.target, "--state", self.state, "--per-host", "4")
        with pixmill.running(*command, env=self.env()) as process:
            wait_until(lambda: len(self.keys()) > 10, 60, self.keys)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        self.assertLess(len(self.keys()), 60)
        done = pixmill.run_command(*command, "--json", env=self.env())
        self.assertEqual(0, done.returncode, done.stderr)
        job = json.loads(done.stdout)
        self.assertEqual(60, job["succeeded"])
        self.assertEqual(f"{self.swift.url}/{self.swift.bucket}/{self.prefix}/result.csv", job["links"]["result_csv"])
        self.assertEqual(62, len(self.keys()))
        self.assertLess(sum(origin.hits.values()), 60 + 40)

    def test_says_what_is_missing(self):
        table = pixmill.table(["http://127.0.0.1:1/x"])
        self.assertIn("AWS_ACCESS_KEY_ID", self.run_table(table, AWS_ACCESS_KEY_ID="").stderr)
        self.assertIn("AWS_SECRET_ACCESS_KEY", self.run_table(table, AWS_SECRET_ACCESS_KEY="wrong").stderr)
        local = pixmill.run_command("run", self.write("t.csv", table), "-o", self.folder / "out", "--state", self.state, env=self.env())
        self.assertEqual(2, local.returncode, local.stderr)
        nowhere = pixmill.run_command("run", self.write("t.csv", table), "-o", "s3://", env=self.env())
        self.assertEqual(2, nowhere.returncode, nowhere.stderr)

    def test_reads_pictures_of_a_bucket(self):
        self.swift.write(f"{self.prefix}/in/ä +%41.jpg", pictures.jpeg(pictures.photo(40, 30)))
        rows = [f"s3://{self.swift.bucket}/{self.prefix}/in/ä +%41.jpg", f"s3://{self.swift.bucket}/{self.prefix}/in/none.jpg"]
        table = self.write("t.csv", "url\n" + "\n".join(rows) + "\n")
        out = self.folder / "out"
        done = pixmill.run_command("run", table, "-o", out, env=self.env())
        self.assertEqual(3, done.returncode, done.stderr)
        images = case.read_csv(out / "images.csv")
        self.assertEqual([("succeeded", ""), ("failed", "http_404")], [(image["state"], image["code"]) for image in images])
        self.assertTrue((out / "images" / "ä +%41.jpg").exists(), list(out.rglob("*")))
        closed = pixmill.run_command("run", table, "-o", self.folder / "other", env=self.env(S3_SOURCES="elsewhere"))
        self.assertEqual(6, closed.returncode, closed.stderr)
        self.assertIn("S3_SOURCES", closed.stderr)


class Sources(S3Case):
    def test_are_closed_on_a_server_unless_the_operator_opens_them(self):
        """Whoever may send a table could read what the operator's key can."""
        self.swift.write(f"{self.prefix}/in.jpg", pictures.jpeg(pictures.photo(40, 30)))
        server = self.server()
        table = f"url\ns3://{self.swift.bucket}/{self.prefix}/in.jpg\n".encode()
        answer = server.post("/v1/jobs", files={"file": ("t.csv", table)})
        self.assertEqual(422, answer.status, answer)
        self.assertIn("Invalid URL found at row 1", answer.text)
        kept = server.post("/v1/jobs", {"skip_invalid": "1"}, {"file": ("t.csv", table + b"http://127.0.0.1:1/x\n")})
        self.assertEqual(201, kept.status, kept)
        job = server.wait_final(kept.json["id"])
        self.assertEqual(0, job["succeeded"], job)
        self.assertNotIn("in.jpg", " ".join(key for key in self.keys() if key.startswith(kept.json["id"])))

    def test_can_be_opened_bucket_by_bucket(self):
        self.swift.make_bucket("shop")
        self.swift.write("p/in.jpg", pictures.jpeg(pictures.photo(40, 30)), bucket="shop")
        server = self.server(S3_SOURCES="shop")
        good = server.upload('S.No.,Product Name,Input Image Urls\n1,A,"s3://shop/p/in.jpg, s3://shop/p/none.jpg"\n')
        job = server.wait_final(good)
        self.assertEqual((1, 1), (job["succeeded"], job["failed"]), server.items(good))
        self.assertEqual(["", "http_404"], sorted(pixmill.code_of(item) for item in server.items(good)))
        refused = server.post("/v1/jobs", files={"file": ("t.csv", f"url\ns3://{self.swift.bucket}/x.jpg\n".encode())})
        self.assertEqual(422, refused.status)
        self.assertIn("S3_SOURCES", refused.text)


case.main()
