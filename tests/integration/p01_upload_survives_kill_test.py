"""P01: an upload answered 2xx survives kill -9 of everything the next instant."""

import os
import signal

from support import auditor, case, pixmill


class P01(case.Case):
    def test_an_upload_that_was_answered_is_there_after_a_kill(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        rows = {}
        for round_number in range(case.short_or_long(8, 100)):
            count = 1 + round_number * 7
            table = pixmill.table([f"{origin.url}/pic/{round_number}/{n}" for n in range(count)])
            engines = server.engines()
            rows[server.upload(table)] = count
            for pid in [server.pid, *engines]:
                os.kill(pid, signal.SIGKILL)
            server.kill()
            server.start()
        for job_id, count in rows.items():
            job = server.wait_final(job_id, 60)
            self.assertEqual(("completed", count, count), (job["state"], job["total"], job["succeeded"]), job)
        server.kill()
        self.assert_clean(auditor.audit_server(server.data, rows_expected=rows))


case.main()
