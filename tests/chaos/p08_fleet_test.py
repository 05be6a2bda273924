"""P08 on a fleet: PostgreSQL crashes and stays away; nothing is lost and no process ends."""

import contextlib
import random

from chaos.fleet_case import FleetCase
from chaos.nemesis import Nemesis
from support import case, pixmill
from support.waiting import wait_until

_KINDS = ("/slow/{n}?ms=60", "/pic/{n}", "/slow/{n}?ms=30", "/status/404/{n}")


class P08(FleetCase):
    def test_restarts_and_absence_in_the_middle_lose_nothing(self):
        seed = random.randrange(1 << 32)
        rows = case.short_or_long(1_000, 10_000)
        origin, receiver, fleet = self.origin(), self.receiver(), self.fleet(workers=3)
        urls = [origin.url + _KINDS[n % len(_KINDS)].format(n=n) for n in range(rows)]
        pids = [member.process.pid for member in fleet.members]
        job_id = fleet.servers[0].upload(pixmill.table(urls), webhook_url=receiver.url)
        with Nemesis(fleet, seed, every_seconds=case.short_or_long((0.5, 1.2), (15, 15)), away_seconds=case.short_or_long(3, 10),
                     only=("restart_postgres", "postgres_away")) as nemesis:
            wait_until(lambda: self.is_over(fleet, job_id), case.short_or_long(180, 1800), lambda: f"seed {seed}: {nemesis.counts()}", every=0.3)
        self.assertIsNone(nemesis.trouble)
        print(f"seed {seed}: {nemesis.counts()}", flush=True)
        self.assertGreaterEqual(len(nemesis.done), 2, "the job ended before the database was restarted often enough")
        job = fleet.servers[1].wait_final(job_id)
        failed = sum("/status/" in url for url in urls)
        self.assertEqual((rows, rows - failed, failed), (job["total"], job["succeeded"], job["failed"]), job)
        self.assert_all_there(fleet)
        self.assertEqual(pids, [member.process.pid for member in fleet.members], "no process ended")
        deliveries = receiver.wait_for(1)
        self.assertEqual(1, len({delivery.headers["webhook-id"] for delivery in deliveries}))
        self.assert_exact(fleet, {job_id: urls})

    @staticmethod
    def is_over(fleet, job_id):
        import psycopg2

        with contextlib.suppress(psycopg2.Error), fleet.database() as database:
            return database.rows("SELECT state FROM jobs WHERE id = ?", job_id)[0]["state"] not in ("ingesting", "running")
        return False


case.main()
