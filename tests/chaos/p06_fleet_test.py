"""P06, P07 on a fleet: Redis is a hint. FLUSHALL, kill -9 and absence lose nothing, nor does taking it away for good."""

import random
import time

from chaos.fleet_case import FleetCase
from chaos.nemesis import Nemesis
from support import case, pixmill

_LEASE_S = 3.0  # of pixmill.QUICK


class P06(FleetCase):
    def test_flushall_kill_and_absence_lose_nothing_and_delay_little(self):
        seed = random.randrange(1 << 32)
        rows = case.short_or_long(700, 10_000)
        origin, receiver, fleet = self.origin(), self.receiver(), self.fleet(workers=3)
        begun = time.monotonic()
        jobs = {}
        every = case.short_or_long((0.3, 1), (10, 10))
        with Nemesis(fleet, seed, every_seconds=every, away_seconds=case.short_or_long(3, 60),
                     only=("flush_redis", "restart_redis", "redis_away")) as nemesis:
            # A machine that is done before Redis was harmed three times gets more to do.
            while len(nemesis.done) < 3 and nemesis.trouble is None:
                urls = [f"{origin.url}/slow/{len(jobs)}-{n}?ms=60" for n in range(rows)]
                job_id = fleet.servers[0].upload(pixmill.table(urls), webhook_url=receiver.url)
                job = fleet.servers[1].wait_final(job_id, case.short_or_long(120, 1800))
                self.assertEqual(("completed", rows), (job["state"], job["succeeded"]), job)
                jobs[job_id] = urls
        self.assertIsNone(nemesis.trouble)
        gap = self.longest_gap(origin, begun)
        print(f"seed {seed}: {nemesis.counts()}, {gap:.1f} s without a fetch at the most", flush=True)
        self.assertLess(gap, 5 + _LEASE_S)
        receiver.wait_for(len(jobs))
        self.assert_all_there(fleet)
        self.assert_exact(fleet, jobs)


class P07(FleetCase):
    def test_the_database_dispatches_when_redis_goes_for_good(self):
        rows = case.short_or_long(300, 10_000)
        origin, receiver, fleet = self.origin(), self.receiver(), self.fleet(workers=3)
        urls = [f"{origin.url}/slow/{n}?ms=60" for n in range(rows)]
        begun = time.monotonic()
        job_id = fleet.servers[0].upload(pixmill.table(urls), webhook_url=receiver.url)
        self.wait_done(fleet.servers[0], job_id, rows * 3 // 10, case.short_or_long(60, 900))
        fleet.redis.kill()
        job = fleet.servers[1].wait_final(job_id, case.short_or_long(120, 1800))
        self.assertEqual(("completed", rows), (job["state"], job["succeeded"]), job)
        self.assertLess(self.longest_gap(origin, begun), 5 + _LEASE_S)
        receiver.wait_for(1)
        # And what comes now is dispatched too.
        more = [f"{origin.url}/pic/{n}" for n in range(50)]
        next_id = fleet.servers[1].upload(pixmill.table(more))
        self.assertEqual("completed", fleet.servers[0].wait_final(next_id)["state"])
        self.assert_all_there(fleet)
        self.assert_exact(fleet, {job_id: urls, next_id: more})


case.main()
