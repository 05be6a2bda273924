"""P11: steps of the clock change nothing: an hour and ten years, forward and back, in the middle of jobs, on one process and in
a fleet where one worker's clock is wrong. Only the calendar is faked (libfaketime), as an administrator or NTP would change it."""

import glob
import pathlib

from chaos.fleet import Member
from chaos.fleet_case import FleetCase
from support import auditor, case, pixmill, webhook_receiver
from support.waiting import wait_until

_STEPS = ("+1h", "-1h", "+3650d", "-3650d", "+0")


class FakeClock:
    """The clock of processes that have `settings`; `step("+1h")` changes it for all of them."""

    def __init__(self, path):
        self._path = pathlib.Path(path)
        libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not libraries:
            raise SystemExit("libfaketime is not there: install the package faketime")
        self.step("+0")
        self.settings = {"LD_PRELOAD": libraries[0], "FAKETIME_TIMESTAMP_FILE": str(self._path), "FAKETIME_NO_CACHE": "1",
                         "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}

    def step(self, offset):
        next_one = self._path.with_suffix(".next")
        next_one.write_text(offset + "\n")
        next_one.rename(self._path)


class P11(FleetCase):
    def test_steps_in_the_middle_of_a_job_change_nothing(self):
        rows = case.short_or_long(400, 5_000)
        clock = FakeClock(self.folder / "clock")
        origin, receiver = self.origin(), self.use(webhook_receiver.WebhookReceiver())  # its signatures bear the wrong time
        server = self.use(pixmill.Server(self.folder / "data", "--per-host", "32", env=clock.settings))
        urls = [f"{origin.url}/flaky/1/{n}" if n % 8 == 0 else f"{origin.url}/slow/{n}?ms=30" for n in range(rows)]
        job_id = server.upload(pixmill.table(urls), webhook_url=receiver.url)
        for number, offset in enumerate(_STEPS, 1):
            self.wait_done(server, job_id, rows * number // (len(_STEPS) + 1))
            clock.step(offset)
            wait_until(lambda: server.get("/healthz").status == 200, 10, "it lives")
        job = server.wait_final(job_id, 60)
        self.assertEqual(("completed", rows, 0), (job["state"], job["succeeded"], job["failed"]), job)
        deliveries = receiver.wait_for(1)
        self.assertEqual(1, len({delivery.headers["webhook-id"] for delivery in deliveries}))
        server.kill()
        self.assert_clean(auditor.audit_server(server.data, urls_expected={job_id: urls}))

    def test_a_delivery_that_waits_is_sent_after_any_step(self):
        """Its next attempt was set under another clock."""
        for offset in ("+1h", "-1h", "+3650d", "-3650d"):
            folder = self.folder / offset
            folder.mkdir()
            clock = FakeClock(folder / "clock")
            origin = self.origin()
            receiver = self.use(webhook_receiver.WebhookReceiver(answers=[503]))
            settings = {**clock.settings, "PIXMILL_WEBHOOK_SCHEDULE_MS": "0,1500,200,200"}
            server = self.use(pixmill.Server(folder / "data", env=settings))
            server.upload(pixmill.table([f"{origin.url}/pic/{offset}"]), webhook_url=receiver.url)
            receiver.wait_for(1)
            clock.step(offset)
            receiver.wait_for(2, 20)
            server.kill()

    def test_a_fleet_stands_a_worker_whose_clock_is_wrong(self):
        for offset in case.short_or_long(("+1h", "-3650d"), ("+1h", "-1h", "+3650d", "-3650d")):
            with self.subTest(offset):
                self.wrong_worker(offset)

    def wrong_worker(self, offset):
        rows = case.short_or_long(300, 3_000)
        origin, receiver = self.origin(), self.receiver()
        self.folder = self.write(f"{offset}/here", "").parent
        fleet = self.fleet(servers=1, workers=2)
        clock = FakeClock(self.folder / "clock")
        clock.step(offset)
        wrong = pixmill.Worker(self.folder / "wrong", env={**fleet.environment, **clock.settings})
        self.addCleanup(wrong.kill)
        fleet.members.append(Member(wrong))
        urls = [f"{origin.url}/slow/{n}?ms=50" for n in range(rows)]
        job_id = fleet.servers[0].upload(pixmill.table(urls), webhook_url=receiver.url)
        job = fleet.servers[0].wait_final(job_id, 120)
        self.assertEqual(("completed", rows), (job["state"], job["succeeded"]), job)
        deliveries = receiver.wait_for(1)
        self.assertEqual(1, len({delivery.headers["webhook-id"] for delivery in deliveries}))
        asked = max(origin.hits.values())
        print(f"{offset}: {origin.total} requests for {rows} rows, {fleet.fenced_writes()} fenced, one address {asked} times", flush=True)
        self.assertLess(origin.total, rows * 1.5, "the others' work was taken from them")
        self.assert_all_there(fleet)
        self.assert_exact(fleet, {job_id: urls})
        fleet.__exit__()


case.main()
