"""P16: the tail cannot hang, nor the loop."""

import datetime
import time

from support import case, name_server, pixmill
from support.waiting import let_pass, wait_until


def seconds_until(moment):
    at = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (at - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


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

    def test_an_origin_that_refuses_everything_does_not_keep_a_job_open(self):
        """Only one request a second gets through, so most items never get a turn: they are final all the same."""
        origin = self.origin()
        settings = {"FETCH_TURN_PATIENCE_MS": "100", "PIXMILL_ATTEMPTS": "2"}
        server = self.use(pixmill.Server(self.folder / "data", env=settings))
        urls = [f"{origin.url}/429/{n}?after=1&times=1000" for n in range(200)]
        begun = time.monotonic()
        job = server.wait_final(server.upload(pixmill.table(urls)), 60)
        self.assertLess(time.monotonic() - begun, 40)
        self.assertEqual((0, 200), (job["succeeded"], job["failed"]), job)
        self.assertEqual({"http_429"}, {pixmill.code_of(item) for item in server.items(job["id"])})
        self.assertLess(origin.total, 60, "it was left alone meanwhile")

    def test_a_long_retry_after_is_that_address_s_own(self):
        """Its neighbours on the same host wait a minute at the most, not its hour."""
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data", env={"PIXMILL_RETRY_CEILING_MS": "100"}))
        job_id = server.upload(pixmill.table([f"{origin.url}/503/a?after=3600"]))
        wait_until(lambda: origin.total == 1, 10, lambda: "the first request")
        refused = wait_until(lambda: [i for i in server.items(job_id) if i["retry_at"]], 10, lambda: "its retry")
        self.assertEqual("http_503", pixmill.code_of(refused[0]))
        self.assertGreater(seconds_until(refused[0]["retry_at"]), 3500)
        neighbour = server.upload(pixmill.table([f"{origin.url}/pic/1"]))
        waiting = wait_until(lambda: [i for i in server.items(neighbour) if i["retry_at"]], 10, lambda: "its turn")
        self.assertLess(seconds_until(waiting[0]["retry_at"]), 62)

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
