"""P02, P03, P06, P08, P12, P15, P17 on a whole fleet under a short seed of chaos; and what its auditor must find."""

from chaos.__main__ import Plan, run
from chaos.fleet import Fleet
from chaos.load import Load, webhook_problems
from support import case, webhook_receiver


class Chaos(case.Case):
    def test_a_seed_of_it_loses_and_doubles_nothing(self):
        for seed in case.short_or_long([4], [4, 5, 6, 7, 8]):
            folder = self.folder / str(seed)
            folder.mkdir()
            plan = Plan(case.short_or_long(14, 60), seed, rows=100, servers=2, workers=4)
            problems, summary = run(folder, plan, say=lambda text: print(text, flush=True))
            print(f"seed {seed}: {summary}", flush=True)
            self.assertEqual([], problems[:20])


class Damage(case.Case):
    """An audit that cannot fail would make chaos worthless."""

    def setUp(self):
        super().setUp()
        secret = webhook_receiver.new_secret()
        self.receiver = self.use(webhook_receiver.WebhookReceiver(secret))
        origins = self.origin(), self.origin()
        self.fleet = self.use(Fleet(self.folder, servers=1, workers=1, secret=secret,
                                    env={"FETCH_PER_HOST": "32", "PIXMILL_RECONCILE_EVERY_MS": 3_600_000}))  # nobody mends the damage
        self.load = Load(self.fleet, origins, self.receiver.url, chance=_Steady(), rows=12)
        self.load.upload()
        [self.job_id] = self.load.jobs
        self.fleet.servers[0].wait_final(self.job_id)
        self.receiver.wait_for(1)

    def report(self):
        return self.fleet.audit(urls_expected={job_id: told.urls for job_id, told in self.load.jobs.items()})

    def sql(self, text):
        self.fleet.postgres.execute(f"SET search_path = pixmill; {text}")

    def test_each_kind_of_it_is_found(self):
        self.assert_clean(self.report())
        self.assertEqual([], self.load.problems() + self.load.result_problems(1))
        self.assertEqual([], webhook_problems(self.fleet, self.receiver.deliveries, self.load.jobs))

        keys = self.fleet.bucket.every_key()
        self.assertEqual(12, len(keys))
        self.fleet.store.delete(keys[0])
        self.fleet.store.write(keys[1], b"other bytes")
        self.fleet.store.write(f"{self.job_id}/nobody-names-me.jpg", b"an orphan")
        self.fleet.store.write("of-no-job/stray.jpg", b"an orphan")
        report = self.report()
        self.assertEqual((2, 2, 4), (len(report.dangling), len(report.orphans), len(report.problems)), report.problems)

        self.sql("INSERT INTO items (job_no, item, row_no, position, url, stem, state) SELECT job_no, 13, 3, 1, 'x', 'x', 'failed' "
                 "FROM jobs")
        self.assertTrue(any("row 3 position 1" in problem for problem in self.report().doubled), self.report().problems)
        self.sql("DELETE FROM items WHERE item = 13 OR item = 5")
        self.assertTrue(self.report().lost and self.report().counters, self.report().problems)
        self.sql("UPDATE items SET url = 'http://127.0.0.1/another' WHERE item = 7")
        self.assertTrue(any("row 7" in problem for problem in self.report().lost), self.report().problems)
        self.sql("UPDATE items SET state = 'pending' WHERE item = 8")
        self.assertTrue(any("item 8 is pending" in problem for problem in self.report().lost), self.report().problems)

    def test_events_and_webhooks_are_compared_both_ways(self):
        event = self.fleet.postgres.execute("SELECT event_id FROM pixmill.events")
        self.assertEqual([f"event {event} of job {self.job_id} never arrived"], webhook_problems(self.fleet, [], self.load.jobs))
        delivery = self.receiver.deliveries[0]
        forged = delivery._replace(headers={**delivery.headers, "webhook-id": "evt_nobody"})
        self.assertEqual(["webhook evt_nobody names no event"], webhook_problems(self.fleet, [delivery, forged], self.load.jobs))
        other = delivery._replace(body=delivery.body.replace(b"job.completed", b"job.cancelled"))
        self.assertTrue(webhook_problems(self.fleet, [delivery, other], self.load.jobs))
        self.sql("DELETE FROM delivery_attempts; DELETE FROM deliveries; DELETE FROM events")
        self.assertEqual([f"lost: job {self.job_id}: no terminal event"], self.report().problems)
        self.assertEqual([f"webhook {event} names no event"], webhook_problems(self.fleet, [delivery], self.load.jobs))

    def test_what_was_asked_is_compared_with_what_became_of_it(self):
        told = self.load.jobs[self.job_id]
        told.cancelled = "promised"
        self.assertEqual(1, len(self.load.problems()))
        told.cancelled = None
        told.retries = 1
        self.assertEqual(1, len(self.load.problems()))
        told.retries = 0
        told.bad = 3
        self.assertEqual(1, len(self.load.problems()))
        told.bad = 0
        self.sql("UPDATE jobs SET state = 'cancelled'")
        self.assertEqual([f"job {self.job_id} is cancelled, which nobody asked for"], self.load.problems())
        self.load.jobs["00000000-0000-4000-8000-000000000000"] = told
        self.assertIn("job 00000000-0000-4000-8000-000000000000 was accepted and is lost", self.load.problems())
        told.urls[4] = "http://127.0.0.1/never-asked-for"
        self.assertTrue(self.load.result_problems(1))


class _Steady:
    """Chance that always picks good pictures."""

    @staticmethod
    def random():
        return 0.9

    @staticmethod
    def choice(things):
        return things[0]


case.main()
