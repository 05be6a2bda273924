"""P15: cancel is prompt and final: no fetch a second after `cancelled`, and no webhook says completed."""

from support import auditor, case, pixmill, webhook_receiver
from support.waiting import let_pass, wait_until


class P15(case.Case):
    def test_nothing_is_fetched_after_cancelled_and_no_webhook_says_completed(self):
        origin, secret = self.origin(), webhook_receiver.new_secret()
        receiver = self.use(webhook_receiver.WebhookReceiver(secret))
        server = self.use(pixmill.Server(self.folder / "data", "--webhook-secret", secret))
        job_id = server.upload(pixmill.table([f"{origin.url}/slow/{n}?ms=200" for n in range(600)]), webhook_url=receiver.url)
        wait_until(lambda: server.job(job_id)["succeeded"] >= 5, 30, "work has begun")
        answer = server.request("POST", f"/v1/jobs/{job_id}/cancel")
        self.assertIn(answer.status, (200, 202), answer)
        job = server.wait_final(job_id, 15)
        self.assertEqual("cancelled", job["state"], job)
        let_pass(1)
        fetched = origin.total
        let_pass(1.5)
        self.assertEqual(fetched, origin.total, "a fetch more than a second after `cancelled`")
        self.assertLess(fetched, 600)

        again = server.request("POST", f"/v1/jobs/{job_id}/cancel")
        self.assertIn(again.status, (200, 202), again)
        self.assertEqual("cancelled", again.json["state"])
        receiver.wait_for(1)
        documents = receiver.documents()
        self.assertEqual([("job.cancelled", "failed")], [(d["type"], d["status"]) for d in documents])
        self.assertEqual("failed", server.get(f"/imgproc/status/{job_id}/").json["status"])
        server.kill()
        report = auditor.audit_server(server.data, rows_expected={job_id: 600})
        self.assert_clean(report)
        self.assertEqual(job["succeeded"], report.files)

    def test_a_cancel_survives_a_kill(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data", env={"FETCH_TIMEOUT_MS": "60000"}))
        job_id = server.upload(pixmill.table([f"{origin.url}/never/{n}" for n in range(50)]))
        wait_until(lambda: origin.active >= 1, 20, "fetches under way")
        server.request("POST", f"/v1/jobs/{job_id}/cancel")
        server.kill()
        server.start()
        self.assertEqual("cancelled", server.wait_final(job_id, 10)["state"])

    def test_cancelling_what_is_not_there_is_404(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        answer = server.request("POST", "/v1/jobs/00000000-0000-4000-8000-000000000000/cancel")
        self.assertEqual(404, answer.status)
        self.assertIn("application/problem+json", answer.headers["content-type"])


case.main()
