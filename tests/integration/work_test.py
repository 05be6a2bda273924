"""`pixmill work` and `serve --workers 0`: a fleet on one PostgreSQL, with results in a common folder."""

import signal
import subprocess
import time

from support import auditor, case, pixmill
from support.fleet import MASTER_KEY
from support.servers import postgres
from support.waiting import wait_until


class WorkCase(case.Case):
    def setUp(self):
        super().setUp()
        self.database = self.use(postgres.Server())
        self.files = self.folder / "files"
        self.files.mkdir()

    def settings(self, **more):
        return {**self.database.settings(), "PIXMILL_MASTER_KEY": MASTER_KEY, "PIXMILL_ENGINES": "1", **more}

    def data(self, name, shares=True):
        """A data folder; one that shares has the same results as all others."""
        data = self.folder / name
        data.mkdir()
        if shares:
            (data / "files").symlink_to(self.files)
        return data

    def server(self, *arguments, **more):
        return self.use(pixmill.Server(self.data("server"), "--workers", "0", *arguments, env=self.settings(**more)))

    def worker(self, name, *arguments, **more):
        return self.use(pixmill.Worker(self.data(name), *arguments, env=self.settings(**more)))

    def once(self, name, *arguments, shares=True, remove=(), **more):
        """A worker that ends by itself: (exit code, what it said)."""
        data = self.data(name, shares)
        settings = {**pixmill.QUICK, **self.settings(**more), "TMP_OUTPUT_PATH": data}
        for setting in remove:
            del settings[setting]
        done = subprocess.run([pixmill.binary(), "work", "--allow", "127.0.0.0/8", *arguments], env=pixmill.environment(settings),
                              cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stderr

    def upload(self, server, rows, path="/pic/{n}"):
        if not hasattr(self, "pictures"):
            self.pictures = self.origin()
        return server.upload(pixmill.table([self.pictures.url + path.format(n=n) for n in range(rows)]))

    def assert_exact(self, rows):
        auditor.wait_reviewed(self.database.url())
        self.assert_clean(auditor.audit(self.database.url(), self.files, rows_expected=rows))


class Fleet(WorkCase):
    def test_a_server_without_workers_leaves_the_items_to_others(self):
        server = self.server()
        job = self.upload(server, 20)
        wait_until(lambda: server.job(job)["state"] == "running", 20, "ingested")
        self.assertEqual((0, 20), (server.job(job)["succeeded"], server.job(job)["remaining"]))
        self.assertEqual(0, self.pictures.total)
        self.worker("worker")
        found = server.wait_final(job, 60)
        self.assertEqual(("completed", 20), (found["state"], found["succeeded"]), found)
        self.assert_exact({job: 20})
        result = server.get(f"/v1/jobs/{job}/result.csv").text
        self.assertIn(server.base_url + "/files/", result)

    def test_a_worker_drains_the_queue_and_ends(self):
        server = self.server()
        jobs = {self.upload(server, 30): 30, self.upload(server, 10, "/flaky/1/{n}"): 10}
        for job in jobs:
            wait_until(lambda job=job: server.job(job)["state"] == "running", 20, "ingested")
        code, said = self.once("drain", "--drain", PIXMILL_RETRY_BASE_MS="50")
        self.assertEqual(0, code, said)
        for job in jobs:
            self.assertEqual("completed", server.job(job)["state"])
        self.assert_exact(jobs)
        # Nothing to do at all is no error either.
        code, said = self.once("again", "--drain")
        self.assertEqual(0, code, said)
        self.assertIn("ended after", said)

    def test_a_worker_ends_in_time_and_gives_back_what_it_held(self):
        server = self.server()
        job = self.upload(server, 40, "/slow/{n}?ms=60000")
        begun = time.monotonic()
        code, said = self.once("short", "--max-time", "1s")
        self.assertEqual(0, code, said)
        self.assertLess(time.monotonic() - begun, 60, "far less than the pictures take")
        depth = {state: server.get(f"/v1/jobs/{job}/items?state={state}&limit=1").json["total"] for state in ("pending", "leased")}
        self.assertEqual({"pending": 40, "leased": 0}, depth)

    def test_sigterm_gives_items_back_at_once(self):
        server = self.server()
        worker = self.worker("first", PIXMILL_LEASE_MS="600000")
        job = self.upload(server, 20, "/slow/{n}?ms=60000")
        wait_until(lambda: server.get(f"/v1/jobs/{job}/items?state=leased&limit=1").json["total"] == 20, 30, "all leased")
        code, seconds = worker.terminate(30)
        self.assertEqual(0, code)
        self.assertLess(seconds, 10)
        self.assertEqual(20, server.get(f"/v1/jobs/{job}/items?state=pending&limit=1").json["total"])

    def test_a_worker_that_is_killed_is_followed_by_another(self):
        server = self.server()
        job = self.upload(server, 60, "/slow/{n}?ms=300")
        first = self.worker("first", PIXMILL_LEASE_MS="1500", PIXMILL_HEARTBEAT_MS="300")
        wait_until(lambda: server.job(job)["succeeded"] > 0, 30, "some pictures")
        first.kill()
        self.worker("second", PIXMILL_LEASE_MS="1500", PIXMILL_HEARTBEAT_MS="300")
        found = server.wait_final(job, 60)
        self.assertEqual(("completed", 60), (found["state"], found["succeeded"]), found)
        self.assert_exact({job: 60})

    def test_a_second_interrupt_stops_at_once(self):
        server = self.server()
        worker = self.worker("worker")
        self.assertTrue(self.upload(server, 4, "/slow/{n}?ms=60000"))
        # What is not under way yet is given back at once.
        wait_until(lambda: self.pictures.total == 4, 30, "all asked for")
        worker.process.send_signal(signal.SIGINT)
        wait_until(lambda: "stopping" in worker.log_text(), 10, worker.log_text)
        worker.process.send_signal(signal.SIGINT)
        self.assertEqual(130, worker.process.wait(10))
        worker.process = None


class Refusals(WorkCase):
    def assert_refused(self, code, phrase, *arguments, **options):
        found, said = self.once("refused", *arguments, **options)
        self.assertEqual(code, found, said)
        self.assertIn(phrase, said)

    def test_without_a_database(self):
        self.assert_refused(2, "DATABASE_URL", remove=("DATABASE_URL",))

    def test_without_the_fleets_master_key(self):
        self.server()
        self.assert_refused(2, "PIXMILL_MASTER_KEY", remove=("PIXMILL_MASTER_KEY",))

    def test_with_another_master_key(self):
        self.server()
        self.assert_refused(2, "another master key", PIXMILL_MASTER_KEY="YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=")

    def test_before_any_server(self):
        self.assert_refused(5, "no `pixmill serve` has started")

    def test_with_results_elsewhere(self):
        self.server()
        self.assert_refused(2, "another place", shares=False)

    def test_a_bad_time(self):
        self.assert_refused(2, "--max-time", "--max-time", "soon")

    def test_a_folder_that_another_process_holds(self):
        self.server()
        worker = self.worker("worker")
        wait_until(lambda: "working" in worker.log_text(), 20, worker.log_text)
        done = subprocess.run([pixmill.binary(), "work"], cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
                              env=pixmill.environment({**self.settings(), "TMP_OUTPUT_PATH": worker.data}))
        self.assertEqual(9, done.returncode, done.stderr)
        self.assertIn("--data", done.stderr)

    def test_serving_without_workers_on_sqlite(self):
        done = subprocess.run([pixmill.binary(), "serve", "--workers", "0", "--data", str(self.folder / "alone")], cwd=self.folder,
                              capture_output=True, text=True, timeout=60, check=False, env=pixmill.environment({}))
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertIn("DATABASE_URL", done.stderr)


if __name__ == "__main__":
    case.main()
