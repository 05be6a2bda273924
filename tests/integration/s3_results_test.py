"""P02, P03 on S3: results in a bucket of OpenStack Swift, through kills; their links, and what must not be reached."""

import hashlib

from support import auditor, case, pixmill
from support.s3_case import S3Case, curl
from support.waiting import wait_until


class Results(S3Case):
    def test_links_lead_to_the_bytes_that_the_row_names(self):
        origin = self.origin()
        server = self.server(S3_LINKS="presigned")
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(3)], products=["SKU 1/2", "Größe +", "a%41"]))
        self.assertEqual("completed", server.wait_final(job_id)["state"])
        rows = case.read_csv(server.get(f"/v1/jobs/{job_id}/result.csv").text)
        images = case.read_csv(server.get(f"/v1/jobs/{job_id}/images.csv").text)
        for row, image in zip(rows, images, strict=True):
            self.assertIn("X-Amz-Signature=", row["Output Image Urls"])
            status, body = curl(row["Output Image Urls"])
            self.assertEqual(200, status, body)
            self.assertEqual(image["sha256"], hashlib.sha256(body).hexdigest())
        self.assertEqual(3, len(self.keys()))
        self.assertTrue(all(key.startswith(f"{job_id}/") for key in self.keys()), self.keys())
        page = server.get(f"/imgproc/status/{job_id}/", Accept="text/html").text
        self.assertIn("X-Amz-Signature=", page)
        # Nothing lies on this machine's disk.
        self.assertFalse((server.data / "files").exists())

    def test_objects_have_their_type_and_the_original_platforms_names(self):
        origin = self.origin()
        server = self.server()
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/1"]))
        server.wait_final(job_id)
        [key] = self.keys()
        self.assertRegex(key, rf"^{job_id}/SKU1_[0-9a-f]{{8}}-[0-9a-f]{{4}}-8[0-9a-f]{{3}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}\.jpg$")
        headers, _ = self.swift.read(f"{self.prefix}/{key}")
        self.assertEqual("image/jpeg", headers["content-type"])
        self.assertEqual("max-age=86400", headers["cache-control"])
        [row] = case.read_csv(server.get(f"/v1/jobs/{job_id}/result.csv").text)
        self.assertEqual(f"{self.swift.url}/{self.swift.bucket}/{self.prefix}/{key}", row["Output Image Urls"])
        # A private bucket refuses the public link; the server's own leads on.
        self.assertNotEqual(200, curl(row["Output Image Urls"])[0])
        led = server.get(f"/files/{key}")
        self.assertEqual(302, led.status)
        self.assertEqual(200, curl(led.headers["location"])[0])
        self.assertEqual(404, server.get(f"/files/{key}x").status)
        self.assertEqual(404, server.get("/files/.pixmill-internal/x").status)

    def test_links_can_be_the_servers_own(self):
        origin = self.origin()
        server = self.server(S3_LINKS="server")
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/1"]))
        server.wait_final(job_id)
        [row] = case.read_csv(server.get(f"/v1/jobs/{job_id}/result.csv").text)
        self.assertTrue(row["Output Image Urls"].startswith(f"{server.base_url}/files/{job_id}/"), row)

    def test_uploaded_watermarks_lie_in_the_bucket_too(self):
        origin = self.origin()
        server = self.server()
        mark = origin_picture(origin)
        answer = server.post("/v1/jobs", {"recipe": "watermark=southeast:upload"},
                             {"file": ("t.csv", f"url\n{origin.url}/pic/1\n".encode()), "watermark": ("m.jpg", mark)})
        self.assertEqual(201, answer.status, answer)
        self.assertEqual("completed", server.wait_final(answer.json["id"])["state"])
        digest = hashlib.sha256(mark).hexdigest()
        self.assertEqual([f"{self.prefix}/.pixmill-internal/watermarks/{digest}"],
                         self.swift.keys(prefix=f"{self.prefix}/.pixmill-internal/watermarks/"))
        self.assertFalse((server.data / "watermarks").exists())


def origin_picture(origin):
    return pixmill.Client(origin.url).get("/pic/7").body


class Refusals(S3Case):
    def refused(self, **env):
        """What `pixmill serve` says when it does not start."""
        done = pixmill.run_command("serve", "--port", "0", "--data", self.folder / "data", env=self.env(**env), seconds=30)
        self.assertNotEqual(0, done.returncode)
        self.assertNotIn("testing", done.stderr)
        return done.stderr

    def test_wrong_settings_are_said_before_anything_starts(self):
        self.assertIn("AWS_SECRET_ACCESS_KEY", self.refused(AWS_SECRET_ACCESS_KEY="wrong"))
        self.assertIn("no bucket 'nowhere'", self.refused(AWS_STORAGE_BUCKET_NAME="nowhere"))
        self.assertIn("AWS_REGION=us-east-1", self.refused(AWS_REGION="eu-west-1"))
        self.assertIn("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", self.refused(AWS_SECRET_ACCESS_KEY=""))
        self.assertIn("S3_LINKS", self.refused(S3_LINKS="maybe"))

    def test_pictures_addresses_do_not_reach_the_endpoint(self):
        """The store's own connections may go where users' addresses may not."""
        self.swift.write(f"{self.prefix}/secret.jpg", b"not for users")
        server = self.use(pixmill.Server(self.folder / "data", env=self.env(), allow=None))
        job_id = server.upload(pixmill.table([f"{self.swift.url}/{self.swift.bucket}/{self.prefix}/secret.jpg"]))
        server.wait_final(job_id)
        self.assertEqual(["blocked_address"], [pixmill.code_of(item) for item in server.items(job_id)])


class Absence(S3Case):
    def test_work_waits_while_the_server_is_away(self):
        origin = self.origin()
        server = self.server(S3_TIMEOUT_MS="300")
        self.swift.stop_proxy()
        try:
            job_id = server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(20)]))
            wait_until(lambda: "work_waits" in server.log_text(), 30, server.log_text)
            self.assertIn("cannot be reached", server.log_text())
            job = server.job(job_id)
            self.assertEqual((0, 0), (job["succeeded"], job["failed"]))
        finally:
            self.swift.start_proxy()
        job = server.wait_final(job_id)
        self.assertEqual((20, 0), (job["succeeded"], job["failed"]))
        self.assertEqual({1}, {item["attempts"] for item in server.items(job_id)})
        self.assertEqual(20, len(self.keys()))


class P03(S3Case):
    def test_keys_in_the_bucket_are_the_keys_in_the_database_after_a_kill(self):
        rows = case.short_or_long(500, 5000)
        origin = self.origin()
        server = self.server("--per-host", "32")
        urls = [f"{origin.url}/slow/{n}?ms=30" if n % 5 == 0 else f"{origin.url}/pic/{n}" for n in range(rows)]
        job_id = server.upload(pixmill.table(urls))

        def half_done():
            job = server.job(job_id)
            return job["total"] - job["remaining"] >= rows // 4 and job["total"] == rows

        wait_until(half_done, 120, lambda: server.job(job_id))
        left = server.job(job_id)["remaining"]
        self.assertGreater(left, 10, "it ended before it could be killed")
        server.kill()
        server.start()
        job = server.wait_final(job_id, 240)
        self.assertEqual((rows, rows, 0), (job["total"], job["succeeded"], job["failed"]))
        server.kill()  # and one more start sweeps what this leaves
        server.start()
        server.kill()
        report = auditor.audit(server.data / "pixmill.db", self, rows_expected={job_id: rows})
        print(report)
        self.assert_clean(report)
        self.assertEqual(rows, report.files)


case.main()
