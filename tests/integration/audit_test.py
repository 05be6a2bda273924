"""`pixmill audit` through the real program, beside a server and without one, on SQLite and PostgreSQL; and the reconciler at work."""

import json

from support import auditor, case, pixmill
from support.fleet import MASTER_KEY, Fleet
from support.servers import postgres
from support.waiting import wait_until

FINDINGS = 3


class Sqlite(case.Case):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        origin = self.origin()
        self.server = self.use(pixmill.Server(self.data, "--engines", "1"))
        self.job_id = self.server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(6)]))
        self.server.wait_final(self.job_id)
        auditor.wait_reviewed(self.data / "pixmill.db")

    def audit(self, *arguments, code=0):
        done = pixmill.run_command("audit", self.job_id, "--data", self.data, *arguments, cwd=self.folder)
        self.assertEqual(code, done.returncode, f"{done.stdout}\n{done.stderr}")
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    def files(self):
        return sorted(path for path in (self.data / "files" / self.job_id).rglob("*") if path.is_file())

    def break_files(self):
        files = self.files()
        files[0].unlink()
        files[1].write_bytes(files[1].read_bytes() + b"more")
        changed = bytearray(files[2].read_bytes())
        changed[-1] ^= 1
        files[2].write_bytes(changed)
        (files[2].parent / "stray.jpg").write_bytes(b"nobody names me")

    def change(self, *statements):
        writer = auditor.sqlite3.connect(self.data / "pixmill.db")
        for statement in statements:
            writer.execute(statement)
        writer.commit()
        writer.close()

    def check_findings(self):
        """Breaks the job's files and rows, and sees them found and put right, whoever carries it out."""
        clean = self.audit("--json")
        self.assertEqual((True, 6, 0), (clean["clean"], clean["files"]["results"], clean["orphans"]["unnamed"]))
        self.assertEqual([], clean["findings"])
        self.break_files()
        found = self.audit("--json", code=FINDINGS)
        self.assertEqual((0, 0, 1, 2, 0), tuple(found[name] for name in ("lost", "doubled", "orphan", "dangling", "other")), found)
        self.assertEqual((1, 1, 0), tuple(found["files"][name] for name in ("missing", "wrong_size", "wrong_bytes")))
        self.assertEqual(3, self.audit("--json", "--deep", code=FINDINGS)["dangling"])
        repaired = self.audit("--json", "--repair", code=FINDINGS)
        self.assertEqual((0, 1, 2), (repaired["orphan"], repaired["orphans"]["removed"], repaired["dangling"]))
        self.assertFalse((self.data / "files" / self.job_id / "stray.jpg").exists())
        text = self.audit(code=FINDINGS)
        self.assertIn("lost 0, doubled 0, orphan 0, dangling 2, other 0", text)
        self.assertIn("is missing", text)

    def test_beside_a_server(self):
        self.check_findings()
        stranger = pixmill.run_command("audit", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "--data", self.data, cwd=self.folder)
        self.assertEqual(5, stranger.returncode, stranger.stderr)

    def test_without_a_server(self):
        self.server.kill()
        self.check_findings()
        self.change("DELETE FROM deliveries", "DELETE FROM events", "UPDATE jobs SET bytes_in = 1")
        found = self.audit("--json", code=FINDINGS)
        self.assertEqual({"ends_without_event", "job_counters"}, {finding["invariant"] for finding in found["findings"]})
        self.assertEqual((1, 1), (found["lost"], found["other"]))
        repaired = self.audit("--json", "--repair", code=FINDINGS)  # what lies in no file stays lost
        self.assertEqual((0, 0, 2), (repaired["lost"], repaired["other"], repaired["dangling"]))
        self.assertEqual([], self.audit("--json", code=FINDINGS)["findings"])

    def test_what_is_no_job_or_no_folder(self):
        for arguments, code in ((("audit", "shoes"), 2), (("audit",), 2),
                                (("audit", self.job_id, "--data", self.folder / "nowhere"), 5)):
            done = pixmill.run_command(*arguments, cwd=self.folder)
            self.assertEqual(code, done.returncode, f"{arguments}: {done.stdout}\n{done.stderr}")

    def test_the_reconciler_puts_right_what_was_broken_by_hand(self):
        self.assertEqual(0, self.server.metric("pixmill_invariant_violations"))
        self.change("DELETE FROM deliveries", "DELETE FROM events")
        name = "ends_without_event"
        wait_until(lambda: self.server.metric("pixmill_invariant_repairs_total", invariant=name) == 1, 30, "the event is written")
        self.assertEqual(1, self.server.metric("pixmill_invariant_violations_found_total", invariant=name))
        self.assertEqual(0, self.server.metric("pixmill_invariant_violations"))
        self.assertEqual(True, self.audit("--json")["clean"])


class Postgres(case.Case):
    def test_goes_to_the_database_itself(self):
        origin, database = self.origin(), self.use(postgres.Server())
        fleet = self.use(Fleet(self.folder, database, "--engines", "1"))
        job_id = fleet.servers[0].upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(6)]))
        fleet.servers[1].wait_final(job_id)
        auditor.wait_reviewed(database.url())

        def audit(*arguments, code=0):
            done = pixmill.run_command("audit", job_id, "--json", "--data", fleet.servers[0].data, *arguments, cwd=self.folder,
                                       env={**database.settings(), "PIXMILL_MASTER_KEY": MASTER_KEY})
            self.assertEqual(code, done.returncode, f"{done.stdout}\n{done.stderr}")
            return json.loads(done.stdout)

        self.assertTrue(audit("--deep")["clean"])
        (fleet.files / job_id / "stray.jpg").write_bytes(b"nobody names me")
        self.assertEqual(1, audit(code=FINDINGS)["orphan"])
        self.assertEqual(1, audit("--repair")["orphans"]["removed"])
        fleet.kill()
        self.assertTrue(audit()["clean"])
        next(path for path in (fleet.files / job_id).rglob("*") if path.is_file()).unlink()
        self.assertEqual(1, audit(code=FINDINGS)["dangling"])


if __name__ == "__main__":
    case.main()
