"""`pixmill backup` of a data folder that a server works on, and `pixmill restore` of it elsewhere: nothing that was there is lost."""

import shutil

from support import auditor, case, pixmill
from support.fleet import Fleet
from support.servers import postgres
from support.waiting import wait_until


class BackupTest(case.Case):
    def test_a_copy_taken_while_a_job_runs_goes_on_elsewhere(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        urls = [f"{origin.url}/slow/{n}?ms=60" for n in range(400)]
        running = server.upload(pixmill.table(urls))
        wait_until(lambda: server.job(running)["succeeded"] > 50, 30, "the job is under way")
        done = pixmill.run_command("backup", self.folder / "copy", "--data", server.data)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("results", done.stdout)
        server.wait_final(running)
        server.kill()
        shutil.rmtree(server.data)

        restored = pixmill.run_command("restore", self.folder / "copy", "--data", self.folder / "again")
        self.assertEqual(0, restored.returncode, restored.stderr)
        again = self.use(pixmill.Server(self.folder / "again"))
        job = again.wait_final(running)
        self.assertEqual(("completed", 400), (job["state"], job["succeeded"]), job)
        again.kill()
        self.assert_clean(auditor.audit_server(again.data, rows_expected={running: 400}))

    def test_says_that_results_elsewhere_stay_there(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        server.wait_final(server.upload(pixmill.table([f"{origin.url}/pic/1"])))
        shutil.rmtree(server.data / "files")
        done = pixmill.run_command("backup", self.folder / "copy", "--data", server.data)
        self.assertEqual(3, done.returncode, done.stderr)
        self.assertIn("1 that the database names were not there", done.stdout)
        self.assertIn("--no-results", done.stdout)
        bare = pixmill.run_command("backup", self.folder / "bare", "--data", server.data, "--no-results")
        self.assertEqual(0, bare.returncode, bare.stdout + bare.stderr)

    def test_says_what_is_wrong(self):
        missing = pixmill.run_command("backup", self.folder / "copy", "--data", self.folder / "none")
        self.assertEqual(5, missing.returncode)
        self.assertIn("there is no database", missing.stderr)
        taken = self.write("taken/file", "x").parent
        refused = pixmill.run_command("restore", self.folder / "none", "--data", taken)
        self.assertEqual(9, refused.returncode)
        self.assertIn("is not empty", refused.stderr)



class WithPostgres(case.Case):
    """The jobs are not in the data folder: the command says what to do instead, and that works."""

    def test_it_is_refused_with_what_to_do_instead(self):
        for command in ("backup", "restore"):
            done = pixmill.run_command(command, self.folder / "copy", env={"DATABASE_URL": "postgres://127.0.0.1/x"})
            self.assertEqual(2, done.returncode, done.stderr)
            for word in ("pg_dump", "--schema=pixmill", "pg_restore", "master.key", "watermarks"):
                self.assertIn(word, done.stderr)
            self.assertFalse((self.folder / "copy").exists())

    def test_a_dump_and_the_files_are_a_backup(self):
        origin, database = self.origin(), self.use(postgres.Server())
        with Fleet(self.folder, database, "--engines", "1", count=1) as fleet:
            [server] = fleet.servers
            job_id = server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(5)]))
            server.wait_final(job_id)
            dump = database.dump()
            shutil.copytree(fleet.files, self.folder / "files-copy")
            self.assertEqual(204, server.request("DELETE", f"/v1/jobs/{job_id}").status)
            wait_until(lambda: not (fleet.files / job_id).exists(), 30, "it is gone")
        database.execute("DROP SCHEMA pixmill CASCADE")
        database.restore(dump)
        shutil.copytree(self.folder / "files-copy", fleet.files, dirs_exist_ok=True)
        fleet.restart()
        self.addCleanup(fleet.kill)
        self.assertEqual(("completed", 5), (server.job(job_id)["state"], server.job(job_id)["succeeded"]))
        self.assert_clean(auditor.audit(database.url(), fleet.files, rows_expected={job_id: 5}))
        again = server.upload(pixmill.table([f"{origin.url}/pic/again"]))
        self.assertEqual("completed", server.wait_final(again)["state"])


case.main()
