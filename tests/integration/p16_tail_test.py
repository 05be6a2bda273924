"""P16: the tail cannot hang, nor the loop."""

import time

from support import case, name_server, pixmill
from support.waiting import let_pass


class P16(case.Case):
    def test_origins_that_never_end_do_not_keep_a_job_open(self):
        origin = self.origin()
        kinds = ("/never/{}", "/drip/{}?ms=400", "/reset/{}", "/endless/{}", "/slow/{}?ms=5000", "/pic/{}")
        urls = [origin.url + kind.format(n) for n in range(4) for kind in kinds]
        settings = {"FETCH_TIMEOUT_MS": "1000", "FETCH_CONNECT_TIMEOUT_MS": "500", "FETCH_MAX_BYTES": "2000000"}
        server = self.use(pixmill.Server(self.folder / "data", env=settings))
        begun = time.monotonic()
        job = server.wait_final(server.upload(pixmill.table(urls)), 60)
        # 24 items of one host, the ramp begins at 4 at once, at most 6 attempts of a second and their short pauses.
        self.assertLess(time.monotonic() - begun, 50)
        self.assertEqual((4, 20), (job["succeeded"], job["failed"]), job)
        codes = {}
        for item in server.items(job["id"]):
            kind = item["url"].split("/")[3]
            codes.setdefault(kind, set()).add(pixmill.code_of(item))
        self.assertEqual({"timeout"}, codes["never"] | codes["slow"] | codes["drip"], codes)
        self.assertEqual({""}, codes["pic"], codes)
        self.assertEqual({"too_large"}, codes["endless"], codes)

    def test_names_that_never_resolve_do_not_hold_the_loop(self):
        """50 names whose resolution hangs: /healthz stays quick."""
        names = self.use(name_server.NameServer(answering=False))
        server = self.use(pixmill.Server(self.folder / "data", env={"PIXMILL_DNS_SERVERS": names.address, "FETCH_TIMEOUT_MS": "3000"}))
        job_id = server.upload(pixmill.table([f"http://hangs{n}.example.com/x.jpg" for n in range(50)]))
        times, deadline = [], time.monotonic() + 4
        while time.monotonic() < deadline:
            begun = time.monotonic()
            self.assertEqual(200, server.get("/healthz").status)
            times.append(time.monotonic() - begun)
            let_pass(0.01)
        self.assertGreater(len(names.asked), 10, "names were asked for")
        times.sort()
        self.assertLess(times[int(len(times) * 0.99)], 0.2, f"p99 of {len(times)} requests")
        server.request("POST", f"/v1/jobs/{job_id}/cancel")


case.main()
