"""Two servers on one PostgreSQL: P01, P02, P04, P15 and P51's neighbours, through the real program."""

import os
import random
import signal
import time

from support import auditor, case, pixmill, webhook_receiver
from support.fleet import MASTER_KEY, Fleet
from support.servers import postgres
from support.waiting import let_pass, wait_until


class PostgresCase(case.Case):
    def setUp(self):
        super().setUp()
        self.database = self.use(postgres.Server())

    def fleet(self, *arguments, **options):
        return self.use(Fleet(self.folder, self.database, "--engines", "1", *arguments, **options))

    def assert_exact(self, fleet, rows):
        auditor.wait_reviewed(self.database.url())
        report = auditor.audit(self.database.url(), fleet.files, rows_expected=rows)
        print(report)
        self.assert_clean(report)


class P01(PostgresCase):
    def test_an_upload_that_was_answered_is_there_after_a_kill_of_everything(self):
        origin, fleet = self.origin(), self.fleet()
        rows = {}
        for round_number in range(case.short_or_long(4, 100)):
            count = 1 + round_number * 7
            server = fleet.servers[round_number % 2]
            rows[server.upload(pixmill.table([f"{origin.url}/pic/{round_number}/{n}" for n in range(count)]))] = count
            fleet.restart()
        for job_id, count in rows.items():
            job = fleet.servers[0].wait_final(job_id, 60)
            self.assertEqual(("completed", count, count), (job["state"], job["total"], job["succeeded"]), job)
        self.assert_exact(fleet, rows)


class P02(PostgresCase):
    def test_every_row_gets_exactly_one_final_result_while_servers_die(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        rows, kills_wanted = case.short_or_long(1_500, 10_000), case.short_or_long(6, 100)
        origin, secret = self.origin(), webhook_receiver.new_secret()
        receiver = self.use(webhook_receiver.WebhookReceiver(secret))
        fleet = self.fleet("--webhook-secret", secret, "--per-host", "24")
        kinds = ("/slow/{n}?ms=100", "/pic/{n}", "/flaky/1/{n}", "/slow/{n}?ms=40", "/status/404/{n}", "/lying/{n}")
        urls = [origin.url + kinds[0 if chance.random() < 0.6 else chance.randrange(len(kinds))].format(n=n) for n in range(rows)]
        job_id = fleet.servers[0].upload(pixmill.table(urls), webhook_url=receiver.url)
        kills = 0
        while kills < kills_wanted:
            let_pass(chance.uniform(0.3, 1.0))
            if fleet.servers[kills % 2].job(job_id)["state"] not in ("ingesting", "running"):
                break
            victim = chance.choice(fleet.servers)
            if kills == 2:  # once only: an item whose engine dies twice is meant to fail
                for pid in victim.engines()[:1]:
                    os.kill(pid, signal.SIGKILL)
            victim.kill()
            victim.start()
            kills += 1
        print(f"seed {seed}: {kills} kills, {origin.total} requests for {rows} rows")
        self.assertGreaterEqual(kills, 4, "the job ended before it was killed often enough to mean something")
        job = fleet.servers[1].wait_final(job_id, case.short_or_long(120, 900))
        bad = sum(any(f"/{kind}/" in url for kind in ("status", "lying")) for url in urls)
        self.assertEqual((rows, rows - bad, bad), (job["total"], job["succeeded"], job["failed"]), job)
        deliveries = receiver.wait_for(1)
        self.assertEqual({None}, {delivery.problem for delivery in deliveries})
        self.assertEqual(1, len({delivery.headers["webhook-id"] for delivery in deliveries}))
        self.assert_exact(fleet, {job_id: rows})


class P04(PostgresCase):
    def test_a_paused_server_cannot_overwrite_newer_results(self):
        """What lay in its recorder when it stopped is refused, and said."""
        origin, fleet = self.origin(), self.fleet("--per-host", "24")
        paused, other = fleet.servers
        for attempt in range(5):
            job_id = paused.upload(pixmill.table([f"{origin.url}/pic/{attempt}/{n}" for n in range(400)]))
            wait_until(lambda: 20 < other.job(job_id)["succeeded"], 30, "both are at work")
            paused.pause()
            try:
                job = other.wait_final(job_id, 60)
            finally:
                paused.go_on()
            self.assertEqual((400, 400), (job["total"], job["succeeded"]), job)
            wait_until(lambda: paused.metric("pixmill_items_in_flight") == 0, 30, "what it held is let go")
            self.assert_exact(fleet, {job_id: 400})
            if fleet.metric("pixmill_fenced_writes_total") >= 1:
                return
        self.fail("nothing was ever fenced")


class Work(PostgresCase):
    def test_both_servers_work_on_one_job(self):
        origin, fleet = self.origin(), self.fleet("--per-host", "4")
        job_id = fleet.servers[0].upload(pixmill.table([f"{origin.url}/slow/{n}?ms=30" for n in range(300)]))
        job = fleet.servers[1].wait_final(job_id)
        self.assertEqual("completed", job["state"])
        done = [server.metric("pixmill_items_total", result="succeeded") for server in fleet.servers]
        self.assertEqual(300, sum(done))
        self.assertTrue(all(share > 20 for share in done), done)

    def test_an_idle_server_elsewhere_starts_at_once(self):
        """The one that took the upload may not fetch: whoever does heard of it from the database."""
        origin, fleet = self.origin(), self.fleet(env={"PIXMILL_RESCUE_EVERY_MS": "60000"})
        first, second = fleet.servers
        first.kill()
        waits = []
        for number in range(5):
            let_pass(0.3)  # idle
            begun = time.monotonic()
            self.database.execute(
                "INSERT INTO pixmill.jobs (id, state, origin, name, recipe, recipe_name, overrides, webhook_url, name_template,"
                " blob_prefix, source_path, source_digest, ingest_by, url_column, invalid_rows, total, remaining, created_at)"
                f" VALUES ('00000000-0000-4000-8000-00000000000{number}', 'running', 'api', 'x', 'format=jpeg', '', 0, '', '', 'n/', '', '',"
                " '', '', 'skip', 1, 1, 0); INSERT INTO pixmill.items (job_no, item, row_no, position, url, stem, not_before) SELECT"
                f" max(job_no), 1, 1, 1, '{origin.url}/pic/now{number}', 'a{number}.{{ext}}', 0 FROM pixmill.jobs; NOTIFY pixmill_work")
            wait_until(lambda: origin.hits.get(f"/pic/now{number}"), 10, "it is fetched", every=0.002)
            waits.append(time.monotonic() - begun)
        print("notification to fetch, with psql's own start:", [f"{wait * 1000:.0f} ms" for wait in waits])
        self.assertLess(sorted(waits)[0], 0.4, "a poll would take a second")
        self.assertTrue(second.is_running())

    def test_a_process_with_another_master_key_is_refused(self):
        self.fleet(count=1)
        other = pixmill.Server(self.folder / "other", start=False, env=self.database.settings())
        done = pixmill.run_command("serve", "--port", "0", "--data", self.folder / "other", env=self.database.settings())
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertIn("PIXMILL_MASTER_KEY", done.stderr)
        self.assertFalse(other.is_running())

    def test_both_sign_with_one_secret(self):
        fleet = self.fleet()
        env = {**self.database.settings(), "PIXMILL_MASTER_KEY": MASTER_KEY}
        told = {pixmill.run_command("webhooks", "secret", "--data", server.data, env=env).stdout for server in fleet.servers}
        self.assertEqual(1, len(told))
        self.assertTrue(told.pop().startswith("whsec_"))

    def test_named_recipes_are_those_of_the_database(self):
        fleet = self.fleet(count=1)
        env = self.database.settings()
        done = pixmill.run_command("recipes", "save", "shop", "format=webp quality=80", env=env)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("shop", fleet.servers[0].get("/v1/recipes").text)
        self.assertEqual(0, pixmill.run_command("recipes", "rm", "shop", env=env).returncode)
        self.assertNotIn("shop", pixmill.run_command("recipes", env=env).stdout)


class Migrate(PostgresCase):
    def migrate(self):
        return pixmill.run_command("migrate", env=self.database.settings())

    def test_it_says_what_it_did_and_does_it_once(self):
        first = self.migrate()
        self.assertEqual(0, first.returncode, first.stderr)
        self.assertIn("applied 0001_jobs", first.stdout)
        second = self.migrate()
        self.assertEqual((0, False), (second.returncode, "applied" in second.stdout), second.stderr)
        self.assertIn("nothing to do", second.stdout)

    def test_a_newer_schema_is_refused(self):
        self.migrate()
        self.database.execute("INSERT INTO pixmill.migrations (number, name) VALUES (999, 'tomorrow')")
        for arguments in (["migrate"], ["serve", "--port", "0", "--data", self.folder / "data"]):
            done = pixmill.run_command(*arguments, env=self.database.settings())
            self.assertEqual(9, done.returncode, done.stderr)
            self.assertIn("999", done.stderr)
            self.assertIn("newer Pixmill", done.stderr)

    def test_the_password_is_never_told(self):
        port = self.database.port
        for url in (f"postgres://pixmill:s3cret-word@127.0.0.1:{port}/nowhere", "postgres://pixmill:s3cret-word@127.0.0.1:1/x",
                    "postgres://pixmill:s3cret-word@127.0.0.1:99999999/x", "mysql://pixmill:s3cret-word@127.0.0.1/x"):
            done = pixmill.run_command("migrate", env={"DATABASE_URL": url})
            self.assertNotEqual(0, done.returncode)
            self.assertNotIn("s3cret-word", done.stdout + done.stderr)
            self.assertTrue(done.stderr.startswith("pixmill: "), done.stderr)


case.main()
