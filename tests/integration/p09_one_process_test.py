"""P09: a second process on the same data is refused with a clear word, and the first goes on."""

import subprocess

from support import case, pixmill
from support.waiting import wait_until


class P09(case.Case):
    def test_a_second_server_on_the_same_data_is_refused(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        second = subprocess.run(server.command()[:3] + ["0"] + server.command()[4:], capture_output=True, text=True, timeout=30,
                                env=pixmill.environment(), cwd=self.folder, check=False)
        self.assertEqual(9, second.returncode, second.stderr)
        self.assertIn(str(server.pid), second.stderr, "it says who holds the data")
        self.assertEqual("", second.stdout)
        self.assertTrue(server.is_ready())

    def test_a_second_run_into_the_same_folder_is_refused(self):
        origin = self.origin()
        table = self.write("a.csv", pixmill.table([f"{origin.url}/never/{n}" for n in range(3)]))
        with pixmill.running("run", table, "-o", self.folder / "out"):
            wait_until(lambda: origin.active > 0, 20, "the first run fetches")
            second = pixmill.run_command("run", table, "-o", self.folder / "out")
        self.assertEqual(9, second.returncode, second.stderr)

    def test_the_data_is_free_again_after_a_kill(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        server.kill()
        server.start()
        self.assertEqual(200, server.get("/readyz").status)


case.main()
