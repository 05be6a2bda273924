"""`pixmill doctor`: says what is well, what is not, and what to do; against real servers."""

import json
import subprocess

from support import case, pixmill
from support.fleet import MASTER_KEY
from support.servers import postgres, redis, swift
from support.waiting import wait_until

OTHER_KEY = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="


class DoctorCase(case.Case):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"

    def ask(self, **env):
        """(exit code, findings by name)"""
        done = pixmill.run_command("doctor", "--json", "--data", self.data, env={"PIXMILL_ENGINES": "1", **env}, cwd=self.folder)
        self.assertTrue(done.stdout, done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual(report["ok"], done.returncode == 0, done.stderr)
        return done.returncode, {check["name"]: check for check in report["checks"]}

    def assert_found(self, check, status, phrase, advice=""):
        self.assertEqual(status, check["status"], check)
        self.assertIn(phrase, check["found"], check)
        self.assertIn(advice, check["advice"], check)
        self.assertEqual(status == "ok", check["advice"] == "", check)


class Alone(DoctorCase):
    def test_before_the_first_start(self):
        code, found = self.ask(PUBLIC_BASE_URL="https://pixmill.example")
        self.assertEqual(0, code, found)
        self.assert_found(found["data folder"], "ok", "not there yet")
        self.assert_found(found["database"], "ok", "first start")
        self.assert_found(found["engines"], "ok", "seccomp on")
        self.assert_found(found["links"], "ok", "https://pixmill.example/files/")
        self.assertFalse(self.data.exists(), "it changes nothing")

    def test_while_a_server_runs_and_after(self):
        server = self.use(pixmill.Server(self.data))
        _, found = self.ask()
        self.assert_found(found["server"], "ok", "ready at")
        self.assert_found(found["database"], "ok", "in use")
        server.terminate()
        before = sorted(path.name for path in self.data.iterdir())
        _, found = self.ask()
        self.assert_found(found["server"], "ok", "none runs")
        self.assert_found(found["database"], "ok", "whole")
        self.assertEqual(before, sorted(path.name for path in self.data.iterdir() if not path.name.startswith("pixmill.db-")))
        server.start()
        server.kill()
        _, found = self.ask()
        self.assert_found(found["server"], "warning", "does not answer", "start `pixmill serve`")

    def test_a_damaged_database(self):
        server = self.use(pixmill.Server(self.data))
        server.terminate()
        path = self.data / "pixmill.db"
        content = bytearray(path.read_bytes())
        content[4096:8192] = b"\xff" * 4096
        path.write_bytes(content)
        code, found = self.ask()
        self.assertEqual(1, code)
        self.assertEqual("broken", found["database"]["status"], found["database"])
        self.assertIn("restore", found["database"]["advice"])

    def test_a_disk_without_room(self):
        self.data.mkdir()
        code, found = self.ask(PIXMILL_DISK_FREE_MIN_BYTES="1099511627776000")
        self.assertEqual(1, code)
        self.assert_found(found["data folder"], "broken", "free", "PIXMILL_DISK_FREE_MIN_BYTES")

    def test_a_data_folder_that_is_none(self):
        self.data.write_text("a file")
        code, found = self.ask()
        self.assertEqual(1, code)
        self.assertEqual("broken", found["data folder"]["status"])

    def test_settings_that_cannot_be_read(self):
        code, found = self.ask(PIXMILL_LEASE_MS="soon")
        self.assertEqual(1, code)
        self.assert_found(found["settings"], "broken", "PIXMILL_LEASE_MS", ".env")

    def test_name_servers_that_are_silent(self):
        code, found = self.ask(PIXMILL_DNS_SERVERS="127.0.0.1:9")
        self.assertEqual(0, code, "whoever fetches from literal addresses needs none")
        self.assert_found(found["name servers"], "warning", "none answers", "PIXMILL_DNS_SERVERS")

    def test_for_people(self):
        done = pixmill.run_command("doctor", "--data", self.data, cwd=self.folder)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"(?m)^ok       engines ")
        self.assertRegex(done.stdout, r"(?m)^ +→ set PUBLIC_BASE_URL")
        self.assertRegex(done.stdout, r"\n\d+ checks: 0 broken, 1 warnings\n$")


class Services(DoctorCase):
    def test_a_whole_fleet_and_what_can_be_wrong_with_it(self):
        database, cache, store = self.use(postgres.Server()), self.use(redis.Server()), self.use(swift.Server())
        env = {**database.settings(), **cache.settings(), **store.settings(), "PIXMILL_MASTER_KEY": MASTER_KEY}
        env.pop("AWS_STORAGE_DOMAIN", None)
        code, found = self.ask(**env)
        self.assertEqual(0, code, found)
        self.assert_found(found["schema"], "ok", "none yet")
        server = self.use(pixmill.Server(self.data, env=env))
        code, found = self.ask(**env)
        self.assertEqual(0, code, found)
        self.assertEqual({"ok"}, {check["status"] for check in found.values()}, found)
        self.assert_found(found["secrets"], "ok", server.base_url)
        self.assert_found(found["fleet"], "ok", "1 processes")
        self.assert_found(found["redis"], "ok", "noeviction")
        self.assert_found(found["bucket"], "ok", "put, read and removed")
        for name in ("PostgreSQL", "Redis", "S3"):
            self.assertIn(f"against {name}", found["clock"]["found"])

        cache.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        cache.command("CONFIG", "SET", "maxmemory", "100mb")
        code, found = self.ask(**{**env, "PIXMILL_MASTER_KEY": OTHER_KEY, "AWS_SECRET_ACCESS_KEY": "wrong"})
        self.assertEqual(1, code, found)
        self.assert_found(found["redis"], "warning", "allkeys-lru", "noeviction")
        self.assert_found(found["secrets"], "broken", "another master key", "PIXMILL_MASTER_KEY")
        self.assert_found(found["bucket"], "broken", "AWS_SECRET_ACCESS_KEY", "AWS_")

        origin = self.origin()
        job = server.upload(pixmill.table([f"{origin.url}/slow/{n}?ms=60000" for n in range(5)]))
        self.assertTrue(job)
        server.kill()
        subprocess.run([pixmill.binary(), "migrate"], env=pixmill.environment(env), cwd=self.folder, check=True, capture_output=True)
        cache.kill()
        code, found = self.ask(**env)
        self.assertEqual("away" in found["redis"]["found"], True, found["redis"])
        self.assertEqual("warning", found["redis"]["status"], "the database dispatches")
        code, found = self.ask(**{**env, "DATABASE_URL": "postgres://someone:verysecret@127.0.0.1:1/none"})
        self.assertEqual(1, code)
        self.assert_found(found["database"], "broken", "127.0.0.1:1/none", "DATABASE_URL")
        self.assertNotIn("verysecret", json.dumps(found))

    def test_pictures_that_nobody_works_on(self):
        database, origin = self.use(postgres.Server()), self.origin()
        env = {**database.settings(), "PIXMILL_MASTER_KEY": MASTER_KEY}
        server = self.use(pixmill.Server(self.data, "--workers", "0", env=env))
        job = server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(5)]))
        wait_until(lambda: server.job(job)["state"] == "running", 20, "ingested")
        code, found = self.ask(**env)
        self.assertEqual(1, code, "a server without workers does none")
        self.assert_found(found["fleet"], "broken", "0 processes do pictures, 5 pictures wait", "pixmill work")


if __name__ == "__main__":
    case.main()
