"""P02, P03, P05 on a fleet: 2 servers and 4 workers on PostgreSQL, Redis and S3, of which random ones are killed."""

import random
import threading
import time

from chaos.fleet_case import FleetCase
from chaos.nemesis import Nemesis
from support import case, pixmill
from support.waiting import wait_until

_LEASE_S = 3.0  # of pixmill.QUICK
_KINDS = ("/slow/{n}?ms=100", "/pic/{n}", "/slow/{n}?ms=40", "/status/404/{n}")


class P02(FleetCase):
    def test_every_row_gets_exactly_one_final_result_while_anything_is_killed(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        rows = case.short_or_long(700, 10_000)
        origin, receiver = self.origin(), self.receiver()
        fleet = self.fleet(servers=2, workers=4)
        urls = [origin.url + _KINDS[0 if chance.random() < 0.6 else chance.randrange(len(_KINDS))].format(n=n) for n in range(rows)]
        job_id = fleet.servers[0].upload(pixmill.table(urls), webhook_url=receiver.url)
        every = case.short_or_long((0.3, 0.7), (2, 2))
        with Nemesis(fleet, seed, every_seconds=every, only=("kill_worker", "kill_server", "kill_engine")) as nemesis:
            wait_until(lambda: self.is_over(fleet, job_id), case.short_or_long(120, 1800), lambda: f"seed {seed}: {nemesis.counts()}", every=0.2)
        self.assertIsNone(nemesis.trouble)
        print(f"seed {seed}: {nemesis.counts()}, {origin.total} requests for {rows} rows", flush=True)
        self.assertGreaterEqual(len(nemesis.done), 5, "the job ended before enough was killed to mean something")
        fleet.revive()
        job = fleet.servers[1].wait_final(job_id)
        bad = sum("/status/" in url for url in urls)
        crashed = sum(pixmill.code_of(item) == "engine_crash" for item in fleet.servers[1].items(job_id))
        self.assertLessEqual(crashed, nemesis.counts().get("kill_engine", 0) / 2, "a picture fails only when its engine dies twice")
        self.assertEqual((rows, rows - bad - crashed, bad + crashed), (job["total"], job["succeeded"], job["failed"]), job)
        deliveries = receiver.wait_for(1)
        self.assertEqual({None}, {delivery.problem for delivery in deliveries})
        self.assertEqual(1, len({delivery.headers["webhook-id"] for delivery in deliveries}))
        # P03: keys in the store are those of the database, after one sweep.
        self.assert_exact(fleet, {job_id: urls})
        self.assertEqual(job["succeeded"], len(fleet.bucket.every_key()))

    @staticmethod
    def is_over(fleet, job_id):
        with fleet.database() as database:
            return database.rows("SELECT state FROM jobs WHERE id = ?", job_id)[0]["state"] not in ("ingesting", "running")


class P05(FleetCase):
    """A dead worker's items run again: 30 s of lease, 2 s to the rescue, and 3 s; here with a lease of 3 s."""

    def setUp(self):
        super().setUp()
        self._lock = threading.Lock()
        self._first = {}
        self._again = {}

    def serve(self, request, hit, _):
        """Never answers at first; the second to ask gets a picture."""
        with self._lock:
            (self._first if hit == 1 else self._again).setdefault(request.path, time.monotonic())
        if hit == 1:
            return request.serve_never()
        return request.picture(request.path)

    def holder(self, fleet, job_id):
        """The worker that has the job's items."""
        with fleet.database() as database:
            rows = database.rows("SELECT DISTINCT i.leased_by FROM items i JOIN jobs j ON j.job_no = i.job_no "
                                 "WHERE j.id = ? AND i.state = 'leased'", job_id)
        pids = {int(row["leased_by"].rpartition(":")[2]) for row in rows}
        return next((m for m in fleet.members if m.process.is_running() and m.process.pid in pids), None)

    def test_a_dead_workers_items_run_again_soon_after_its_lease(self):
        origin, fleet = self.origin(), self.fleet(servers=1, workers=2, env={"FETCH_TIMEOUT_MS": 60_000})
        waits = []
        for number in range(case.short_or_long(3, 100)):
            paths = [f"/once/{number}/{n}" for n in range(4)]
            origin.routes.update({path: self.serve for path in paths})
            urls = [origin.url + path for path in paths]
            job_id = fleet.servers[0].upload(pixmill.table(urls))
            wait_until(lambda: all(path in self._first for path in paths), 20, "everything is asked for")
            member = self.holder(fleet, job_id)
            member.wanted = False
            with member.lock:
                member.process.kill()
            killed = time.monotonic()
            # Those of the other worker end with it; what counts is what the dead one held.
            wait_until(lambda: any(path in self._again for path in paths), _LEASE_S + 5, "a dead worker's item runs again")
            waits.append(min(self._again[path] for path in paths if path in self._again) - killed)
            member.wanted = True
            job = self.end(fleet, job_id, paths)
            self.assertEqual(("completed", 4), (job["state"], job["succeeded"]), job)
        waits.sort()
        print(f"{len(waits)} kills: again after {waits[0]:.2f} to {waits[-1]:.2f} s, median {waits[len(waits) // 2]:.2f}", flush=True)
        self.assertLess(waits[-1], _LEASE_S + 0.2 + 3)

    def end(self, fleet, job_id, paths):
        """Lets go of what the other worker still waits for."""
        other = self.holder(fleet, job_id)
        while other and fleet.servers[0].job(job_id)["remaining"] > 0 and any(path not in self._again for path in paths):
            with other.lock:
                other.process.kill()
            wait_until(lambda: all(path in self._again for path in paths), 20, "the rest runs again")
        return fleet.servers[0].wait_final(job_id)


case.main()
