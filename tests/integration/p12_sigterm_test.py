"""P12: SIGTERM claims nothing new, ends or releases what is under way within 10 s, and exits 0."""

import time

from support import auditor, case, pixmill, webhook_receiver
from support.waiting import wait_until


class P12(case.Case):
    def leases(self, server):
        connection = auditor.open_read_only(server.data / "pixmill.db")
        try:
            leased = connection.execute("SELECT count(*) FROM items WHERE state = 'leased'").fetchone()[0]
            waiting = connection.execute("SELECT count(*) FROM items WHERE state = 'pending' AND not_before > ?",
                                         (time.time() * 1000,)).fetchone()[0]
            return leased, waiting
        finally:
            connection.close()

    def test_items_that_never_end_are_released_and_claimable_at_once(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data", env={"FETCH_TIMEOUT_MS": "60000"}))
        job_id = server.upload(pixmill.table([f"{origin.url}/never/{n}" for n in range(100)]))
        wait_until(lambda: origin.active >= 4, 20, "fetches under way")
        code, seconds = server.terminate()
        self.assertEqual(0, code, server.log_text()[-3000:])
        self.assertLess(seconds, 10.5)
        self.assertEqual((0, 0), self.leases(server))
        hits = origin.total
        server.start()
        wait_until(lambda: origin.total > hits, 5, "the released items are claimed again")
        self.assertEqual("running", server.job(job_id)["state"])
        attempts = {item["attempts"] for item in server.items(job_id)}
        self.assertLessEqual(attempts, {0, 1}, "a release does not count as an attempt")

    def test_a_receiver_that_hangs_adds_nothing(self):
        origin = self.origin()
        receiver = self.use(webhook_receiver.WebhookReceiver(answers=[None] * 20))
        server = self.use(pixmill.Server(self.folder / "data", env={"FETCH_TIMEOUT_MS": "60000"}))
        server.upload(pixmill.table([f"{origin.url}/pic/1"]), webhook_url=receiver.url)
        receiver.wait_for(1)
        server.upload(pixmill.table([f"{origin.url}/never/{n}" for n in range(40)]))
        wait_until(lambda: origin.active >= 4, 20, "fetches under way")
        code, seconds = server.terminate()
        self.assertEqual(0, code, server.log_text()[-3000:])
        self.assertLess(seconds, 9.5)
        self.assertEqual((0, 0), self.leases(server))

    def test_items_that_end_soon_are_finished_and_nothing_is_fetched_anew(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        job_id = server.upload(pixmill.table([f"{origin.url}/slow/{n}?ms=300" for n in range(200)]))
        wait_until(lambda: origin.active >= 4, 20, "fetches under way")
        code, seconds = server.terminate()
        self.assertEqual(0, code, server.log_text()[-3000:])
        self.assertLess(seconds, 10.5)
        self.assertEqual((0, 0), self.leases(server))
        server.start()
        job = server.wait_final(job_id, 90)
        self.assertEqual(("completed", 200), (job["state"], job["succeeded"]), job)
        server.kill()
        self.assert_clean(auditor.audit_server(server.data, rows_expected={job_id: 200}))
        twice = sum(hits > 1 for hits in origin.hits.values())
        self.assertLessEqual(twice, 64, "what was finished before the end is not fetched again")

    def test_an_idle_server_ends_at_once(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        code, seconds = server.terminate()
        self.assertEqual(0, code, server.log_text()[-3000:])
        self.assertLess(seconds, 3)


case.main()
