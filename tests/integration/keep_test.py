"""Jobs are removed with their files: by somebody's word, or because their time is over; through kills, on every store."""

import random

from support import auditor, case, pixmill, webhook_receiver
from support.fleet import Fleet
from support.s3_case import S3Case
from support.servers import postgres
from support.waiting import let_pass, wait_until

# Everything that may hold something of a job.
TABLES = ("jobs", "items", "rows", "outputs", "failure_counts", "leaders_due", "reopenings", "events", "deliveries", "delivery_attempts",
          "job_recipes", "job_row_names", "removals", "mark_uses", "ingests", "gone_urls")


def files_below(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


class EmbeddedCase(case.Case):
    """SQLite and local disk."""

    def server(self, *arguments, **env):
        return self.use(pixmill.Server(self.folder / "data", "--engines", "1", *arguments, env=env))

    def left_in_database(self, server):
        connection = auditor.open_read_only(server.data / "pixmill.db")
        try:
            return {table: count for table in TABLES if (count := connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])}
        finally:
            connection.close()

    def assert_gone(self, server, job_id, seconds=30):
        wait_until(lambda: not (server.data / "files" / job_id).exists(), seconds, "its folder is gone")
        wait_until(lambda: server.metric("pixmill_jobs_removed_total") >= 1, seconds, "its rows are gone")
        self.assertEqual(404, server.get(f"/v1/jobs/{job_id}").status)


class Removing(EmbeddedCase):
    def test_a_deleted_job_leaves_nothing_behind(self):
        origin, receiver = self.origin(), self.use(webhook_receiver.WebhookReceiver())
        server = self.server()
        kept = server.upload(pixmill.table([f"{origin.url}/pic/k{n}" for n in range(3)]))
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(20)] + [f"{origin.url}/status/404/1"] * 2),
                               webhook_url=receiver.url)
        self.assertEqual("completed_with_errors", server.wait_final(job_id)["state"])
        server.wait_final(kept)
        receiver.wait_for(1)
        [link] = {row["outputs"][0]["url"] for row in server.items(job_id)[:1]}
        path = link.removeprefix(server.base_url)
        self.assertEqual(200, server.get(path).status)
        self.assertEqual(204, server.request("DELETE", f"/v1/jobs/{job_id}").status)
        for address in ("", "/items", "/result.csv", "/images.csv"):
            self.assertEqual(404, server.get(f"/v1/jobs/{job_id}{address}").status)
        self.assert_gone(server, job_id)
        self.assertEqual(404, server.get(path).status)
        self.assertEqual(404, server.request("DELETE", f"/v1/jobs/{job_id}").status)
        server.kill()
        self.assert_clean(auditor.audit_server(server.data, rows_expected={kept: 3}))
        self.assertEqual({"jobs": 1, "items": 3, "rows": 3, "outputs": 3, "events": 1}, self.left_in_database(server))

    def test_kills_at_any_point_of_a_removal_lose_nothing(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        print("seed", seed)
        origin, server = self.origin(), self.server()
        rows = case.short_or_long(5_000, 30_000)
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/same"] * rows))
        server.wait_final(job_id, 120)
        self.assertEqual(rows, len(files_below(server.data / "files" / job_id)))
        self.assertEqual(204, server.request("DELETE", f"/v1/jobs/{job_id}").status)
        kills = in_the_middle = 0
        while self.left_in_database(server):
            let_pass(chance.uniform(0.0, 0.05))
            server.kill()
            kills += 1
            in_the_middle += bool(self.left_in_database(server))
            server.start(ready=False)
            self.assertEqual(404, server.get(f"/v1/jobs/{job_id}").status)
            self.assertLess(kills, 200)
        print(f"{kills} kills, {in_the_middle} in the middle")
        self.assertGreaterEqual(in_the_middle, 1)
        self.assertFalse((server.data / "files" / job_id).exists())

    def test_a_running_job_is_cancelled_first(self):
        origin, server = self.origin(), self.server()
        job_id = server.upload(pixmill.table([f"{origin.url}/slow/{n}?ms=100" for n in range(200)]))
        wait_until(lambda: server.job(job_id)["succeeded"] >= 3, 30, "work has begun")
        refused = server.request("DELETE", f"/v1/jobs/{job_id}")
        self.assertEqual(409, refused.status)
        self.assertIn("cancel=1", refused.json["hint"])
        self.assertIn(server.request("DELETE", f"/v1/jobs/{job_id}?cancel=1").status, (202, 204))
        wait_until(lambda: server.get(f"/v1/jobs/{job_id}").status == 404, 20, "it is gone")
        self.assert_gone(server, job_id)

    def test_jobs_outlive_their_time(self):
        origin, server = self.origin(), self.server("--keep", "1s")
        table = pixmill.table([f"{origin.url}/pic/1"])
        usual = server.upload(table)
        answer = server.post("/v1/jobs", {"keep": "forever"}, {"file": ("t.csv", table.encode())})
        self.assertEqual(201, answer.status, answer)
        lasting = answer.json["id"]
        server.wait_final(lasting)
        wait_until(lambda: server.get(f"/v1/jobs/{usual}").status == 404, 60, "its time is over")
        self.assert_gone(server, usual)
        self.assertEqual("completed", server.job(lasting)["state"])

    def test_a_time_that_cannot_be_read_is_refused(self):
        for arguments, env in ((["--keep", "a while"], {}), ([], {"PIXMILL_KEEP": "30"})):
            done = pixmill.run_command("serve", "--port", "0", "--data", self.folder / "data", *arguments, env=env)
            self.assertEqual(2, done.returncode, done.stderr)
            self.assertIn("30d", done.stderr)

    def test_a_job_waits_for_its_webhooks(self):
        origin, receiver = self.origin(), self.use(webhook_receiver.WebhookReceiver(answers=[500] * 4))
        server = self.server()
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/1"]), webhook_url=receiver.url)
        server.wait_final(job_id)
        self.assertEqual(204, server.request("DELETE", f"/v1/jobs/{job_id}").status)
        receiver.wait_for(5)
        self.assert_gone(server, job_id)


class Watermarks(EmbeddedCase):
    def test_an_uploaded_watermark_goes_with_the_last_job_that_names_it(self):
        origin, server = self.origin(), self.server(PIXMILL_MARK_IDLE_MS="1500")
        mark = pixmill.Client(origin.url).get("/pic/7").body
        jobs = []
        for _ in range(2):
            answer = server.post("/v1/jobs", {"recipe": "watermark=southeast:upload"},
                                 {"file": ("t.csv", f"url\n{origin.url}/pic/1\n".encode()), "watermark": ("m.jpg", mark)})
            self.assertEqual(201, answer.status, answer)
            jobs.append(answer.json["id"])
        for job_id in jobs:
            self.assertEqual("completed", server.wait_final(job_id)["state"])
        marks = server.data / "watermarks"
        self.assertEqual(1, len(files_below(marks)))
        self.assertEqual(204, server.request("DELETE", f"/v1/jobs/{jobs[0]}").status)
        self.assert_gone(server, jobs[0])
        let_pass(3)
        self.assertEqual(1, len(files_below(marks)), "the other job has it")
        self.assertEqual(204, server.request("DELETE", f"/v1/jobs/{jobs[1]}").status)
        wait_until(lambda: files_below(marks) == [], 30, "nothing names it any more")
        self.assertEqual(1, server.metric("pixmill_watermarks_removed_total"))


class Pausing(EmbeddedCase):
    def test_nothing_new_begins_until_it_goes_on_through_a_kill(self):
        origin, server = self.origin(), self.server("--per-host", "4", PIXMILL_ITEMS_IN_FLIGHT="8")
        job_id = server.upload(pixmill.table([f"{origin.url}/slow/{n}?ms=50" for n in range(120)]))
        wait_until(lambda: server.job(job_id)["succeeded"] >= 3, 30, "work has begun")
        paused = server.request("POST", f"/v1/jobs/{job_id}/pause")
        self.assertEqual((200, "paused"), (paused.status, paused.json["state"]))
        wait_until(lambda: server.metric("pixmill_items_in_flight") == 0, 20, "what was under way has ended")
        fetched = origin.total
        let_pass(1)
        self.assertEqual(fetched, origin.total)
        self.assertLess(fetched, 100)
        server.kill()
        server.start()
        let_pass(1)
        self.assertEqual((fetched, "paused"), (origin.total, server.job(job_id)["state"]))
        self.assertEqual("running", server.request("POST", f"/v1/jobs/{job_id}/resume").json["state"])
        job = server.wait_final(job_id)
        self.assertEqual(("completed", 120), (job["state"], job["succeeded"]))
        self.assertEqual(120, len(origin.hits), "each was fetched")

    def test_a_table_is_read_in_while_its_job_rests(self):
        origin, server = self.origin(), self.server()
        rows = 20_000
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/same"] * rows))
        self.assertEqual(200, server.request("POST", f"/v1/jobs/{job_id}/pause").status)
        wait_until(lambda: server.job(job_id)["rows"] == rows, 60, "it is all in")
        self.assertEqual("paused", server.job(job_id)["state"])
        self.assertEqual(200, server.request("POST", f"/v1/jobs/{job_id}/cancel").status)
        self.assertEqual("cancelled", server.wait_final(job_id)["state"])


class Fleets(case.Case):
    """PostgreSQL and a shared folder."""

    def test_servers_that_die_in_a_removal_are_followed_by_others(self):
        chance = random.Random(seed := random.randrange(1 << 32))
        print("seed", seed)
        origin, database = self.origin(), self.use(postgres.Server())
        fleet = self.use(Fleet(self.folder, database, "--engines", "1"))
        rows = case.short_or_long(3_000, 30_000)
        jobs = [fleet.servers[n % 2].upload(pixmill.table([f"{origin.url}/pic/same"] * rows)) for n in range(2)]
        kept = fleet.servers[0].upload(pixmill.table([f"{origin.url}/pic/kept"]))
        for job_id in (*jobs, kept):
            fleet.servers[0].wait_final(job_id, 120)
        for job_id in jobs:
            self.assertEqual(204, fleet.servers[1].request("DELETE", f"/v1/jobs/{job_id}").status)
        for kill in range(6):
            let_pass(chance.uniform(0.02, 0.2))
            victim = fleet.servers[kill % 2]
            victim.kill()
            victim.start(ready=False)

        def left():
            return {table: count for table in TABLES
                    if (count := int(database.execute(f"SELECT count(*) FROM pixmill.{table}")))}

        only_kept = {"jobs": 1, "items": 1, "rows": 1, "outputs": 1, "events": 1}
        wait_until(lambda: left() == only_kept, 90, lambda: f"all rows are gone: {left()}")
        self.assertEqual([kept], [path.name for path in fleet.files.iterdir() if path.name != ".pixmill-internal"])
        self.assertEqual(1, len(files_below(fleet.files / kept)))


class Bucket(S3Case):
    """Results in a bucket."""

    def test_objects_go_with_their_job(self):
        origin, server = self.origin(), self.server()
        kept = server.upload(pixmill.table([f"{origin.url}/pic/k"]))
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(40)]))
        for one in (kept, job_id):
            self.assertEqual("completed", server.wait_final(one)["state"])
        self.assertEqual(41, len(self.keys()))
        self.assertEqual(204, server.request("DELETE", f"/v1/jobs/{job_id}").status)
        wait_until(lambda: server.metric("pixmill_jobs_removed_total") == 1, 30, "it is gone")
        self.assertEqual([True], [key.startswith(f"{kept}/") for key in self.keys()])
        self.assertEqual(40, server.metric("pixmill_files_removed_total"))


case.main()
