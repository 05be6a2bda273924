"""`pixmill backup` of a data folder that a server works on, and `pixmill restore` of it elsewhere: nothing that was there is lost."""

import shutil

from support import auditor, case, pixmill
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


case.main()
