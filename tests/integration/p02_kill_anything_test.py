"""P02, P03, P09: every row gets exactly one final result under random kill -9, nothing is orphaned, the file stays whole."""

import os
import random
import signal

from support import auditor, case, pixmill, webhook_receiver
from support.waiting import let_pass

KINDS = ("/slow/{n}?ms=100", "/pic/{n}", "/flaky/1/{n}", "/slow/{n}?ms=40", "/status/404/{n}", "/lying/{n}", "/truncated/{n}")


class P02(case.Case):
    def kill_until_done(self, server, job_id, kills_wanted, chance):
        """Kills the server, and sometimes one engine, at random moments until the job is final; gives how often."""
        kills = 0
        while server.job(job_id)["state"] in ("ingesting", "running"):
            if kills >= kills_wanted:
                server.wait_final(job_id, 120)
                break
            let_pass(chance.uniform(0.05, 0.7))
            if kills == 2:  # once only: an item whose engine dies twice is meant to fail
                for pid in server.engines()[:1]:
                    os.kill(pid, signal.SIGKILL)
            server.kill()
            kills += 1
            server.start()
        return kills

    def test_every_row_gets_exactly_one_final_result(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        rows, kills_wanted = 2000, case.short_or_long(8, 60)
        origin, secret = self.origin(), webhook_receiver.new_secret()
        receiver = self.use(webhook_receiver.WebhookReceiver(secret))
        urls = [origin.url + KINDS[0 if chance.random() < 0.6 else chance.randrange(len(KINDS))].format(n=n) for n in range(rows)]
        server = self.use(pixmill.Server(self.folder / "data", "--webhook-secret", secret, "--per-host", "48"))
        job_id = server.upload(pixmill.table(urls), webhook_url=receiver.url)
        kills = self.kill_until_done(server, job_id, kills_wanted, chance)
        print(f"seed {seed}: {kills} kills, {origin.total} requests for {rows} rows")
        self.assertGreaterEqual(kills, 5, "the job ended before it was killed often enough to mean something")

        job = server.job(job_id)
        bad = sum(any(f"/{kind}/" in url for kind in ("status", "lying", "truncated")) for url in urls)
        self.assertEqual((rows, rows - bad, bad), (job["total"], job["succeeded"], job["failed"]), job)
        deliveries = receiver.wait_for(1)
        self.assertEqual({None}, {delivery.problem for delivery in deliveries})
        self.assertEqual(1, len({delivery.headers["webhook-id"] for delivery in deliveries}))

        # P03: one more start sweeps what the last kill left.
        server.kill()
        server.start()
        server.kill()
        report = auditor.audit_server(server.data, rows_expected={job_id: rows})
        print(report)
        self.assert_clean(report)
        self.assertEqual(rows - bad, report.files)


class P03(case.Case):
    def test_the_auditor_finds_what_it_should(self):
        """An audit that cannot fail would make P02 and P03 worthless."""
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(6)]))
        server.wait_final(job_id)
        server.kill()
        self.assert_clean(auditor.audit_server(server.data))
        files = sorted(path for path in (server.data / "files").rglob("*") if path.is_file())
        self.assertEqual(6, len(files))
        files[0].unlink()
        files[1].write_bytes(b"other bytes")
        (files[2].parent / "stray.jpg").write_bytes(b"nobody names me")
        writer = auditor.sqlite3.connect(server.data / "pixmill.db")
        writer.execute("DELETE FROM items WHERE item = 3")
        writer.commit()
        writer.close()
        report = auditor.audit_server(server.data, rows_expected={job_id: 7})
        self.assertEqual((2, 1), (len(report.dangling), len(report.orphans)), report.problems)
        self.assertTrue(report.lost and report.counters, report.problems)


class P09(case.Case):
    def test_no_acknowledged_commit_is_lost_and_the_file_stays_whole(self):
        """Many small jobs, and kills in the middle of their commits."""
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        chance, accepted = random.Random(9), {}
        for _ in range(case.short_or_long(5, 60)):
            stop_after = chance.randrange(3, 25)
            for n in range(stop_after):
                accepted[server.upload(pixmill.table([f"{origin.url}/pic/{len(accepted)}"] * (1 + n % 3)))] = 1 + n % 3
            server.kill()
            server.start()
        for job_id in accepted:
            server.wait_final(job_id)
        server.kill()
        self.assert_clean(auditor.audit_server(server.data, rows_expected=accepted))


case.main()
