"""P08: PostgreSQL restarts as after a crash, and stays away for a while; nothing is lost or doubled, no process ends."""

import threading

from support import auditor, case, pixmill, webhook_receiver
from support.fleet import Fleet
from support.servers import postgres
from support.waiting import let_pass, wait_until


class P08(case.Case):
    def restart_until_done(self, database, server, job_id, absences):
        """How often it was restarted while the job was under way."""
        restarts = 0
        for absence_s in absences:
            let_pass(case.short_or_long(1.0, 15))
            if server.job(job_id)["state"] not in ("ingesting", "running"):
                break
            database.restart("immediate", absence_s)
            restarts += 1
        return restarts

    def test_restarts_in_the_middle_lose_nothing(self):
        rows = case.short_or_long(2_000, 10_000)
        origin, secret = self.origin(), webhook_receiver.new_secret()
        receiver = self.use(webhook_receiver.WebhookReceiver(secret))
        database = self.use(postgres.Server())
        fleet = self.use(Fleet(self.folder, database, "--webhook-secret", secret, "--engines", "1", "--per-host", "24"))
        kinds = ("/slow/{n}?ms=60", "/pic/{n}", "/flaky/1/{n}", "/status/404/{n}")
        urls = [origin.url + kinds[n % len(kinds)].format(n=n) for n in range(rows)]
        pids = [server.pid for server in fleet.servers]
        job_id = fleet.servers[0].upload(pixmill.table(urls), webhook_url=receiver.url)
        absences = case.short_or_long([0, 2, 0.5], [0, 10, 1, 0, 3, 0] * 4)
        restarts = self.restart_until_done(database, fleet.servers[1], job_id, absences)
        self.assertGreaterEqual(restarts, 2, "the job ended before the database was restarted often enough")
        job = fleet.servers[1].wait_final(job_id, case.short_or_long(120, 900))
        failed = sum("/status/" in url for url in urls)
        self.assertEqual((rows, rows - failed, failed), (job["total"], job["succeeded"], job["failed"]), job)
        self.assertEqual(pids, [server.pid for server in fleet.servers if server.is_running()], "no process ended")
        deliveries = receiver.wait_for(1)
        self.assertEqual(1, len({delivery.headers["webhook-id"] for delivery in deliveries}))
        auditor.wait_reviewed(database.url())
        report = auditor.audit(database.url(), fleet.files, rows_expected={job_id: rows})
        print(f"{restarts} restarts: {report}")
        self.assert_clean(report)

    def test_an_ingest_goes_on_where_it_was(self):
        """What the database acknowledged without waiting for its disk may be gone after its crash."""
        rows = case.short_or_long(60_000, 300_000)
        database = self.use(postgres.Server())
        fleet = self.use(Fleet(self.folder, database, count=1, env={"FETCH_TIMEOUT_MS": "600000"}))
        server = fleet.servers[0]
        urls = [f"http://127.0.0.1:9/never/{n}" for n in range(rows)]
        job_id = server.upload(pixmill.table(urls))
        crasher = threading.Thread(target=lambda: [database.restart("immediate") for _ in range(3) if not let_pass(0.4)])
        crasher.start()
        crasher.join()
        wait_until(lambda: server.is_ready() and server.job(job_id)["state"] != "ingesting", 120, "everything is ingested")
        job = server.job(job_id)
        self.assertEqual((rows, rows), (job["rows"], job["total"]), job)
        found = database.execute("SELECT count(*), min(item), max(item), count(DISTINCT row_no) FROM pixmill.items")
        self.assertEqual(f"{rows}|1|{rows}|{rows}", found)

    def test_an_absent_database_is_said_and_comes_back_by_itself(self):
        database = self.use(postgres.Server())
        server = self.use(Fleet(self.folder, database, count=1)).servers[0]
        database.stop("fast")
        wait_until(lambda: server.get("/readyz").status == 503, 10, "/readyz says so")
        self.assertEqual(503, server.get("/v1/jobs").status)
        self.assertEqual(200, server.get("/healthz").status)
        self.assertNotIn("password", server.get("/readyz").text)
        database.start()
        wait_until(server.is_ready, 15, "it is ready again")


case.main()
