"""P04, P12 on a fleet: a worker that was paused past its lease changes nothing, and one that is told to end gives back."""

import threading

from chaos.fleet_case import FleetCase
from support import case, pictures, pixmill
from support.waiting import wait_until


class P04(FleetCase):
    def setUp(self):
        super().setUp()
        self._lock = threading.Lock()
        self._pictures = {}

    def serve(self, request, hit, _):
        """Another picture for everybody who asks again."""
        with self._lock:
            if hit not in self._pictures:
                self._pictures[hit] = pictures.jpeg(pictures.poster(96, 72, hit), quality=88)
        request.answer(200, "image/jpeg", self._pictures[hit])

    def outputs(self, fleet):
        with fleet.database() as database:
            return database.rows("SELECT job_no, item, key, sha256 FROM outputs ORDER BY job_no, item")

    def test_a_paused_worker_cannot_overwrite_newer_results(self):
        rows = 300
        origin, fleet = self.origin(), self.fleet(servers=1, workers=2)
        server, (paused, other) = fleet.servers[0], fleet.workers
        urls = {}
        for attempt in range(8):
            paths = [f"/other/{attempt}/{n}" for n in range(rows)]
            origin.routes.update({path: self.serve for path in paths})
            table = [origin.url + path for path in paths]
            job_id = server.upload(pixmill.table(table))
            urls[job_id] = table
            self.wait_done(server, job_id, 20)
            paused.pause()
            try:
                job = server.wait_final(job_id, 60)
                before = self.outputs(fleet)
            finally:
                paused.go_on()
            self.assertEqual((rows, rows), (job["total"], job["succeeded"]), job)
            # It works again, so what it held is behind it.
            other.pause()
            try:
                follower = [f"{origin.url}/pic/{attempt}"]
                urls[server.upload(pixmill.table(follower))] = follower
                server.wait_final(list(urls)[-1], 60)
            finally:
                other.go_on()
            after = {(row["job_no"], row["item"]): row for row in self.outputs(fleet)}
            self.assertEqual([], [row for row in before if after[row["job_no"], row["item"]] != row], "a newer result was changed")
            if fleet.fenced_writes() >= 1:
                break
        print(f"{attempt + 1} pauses, {fleet.fenced_writes()} fenced writes", flush=True)
        self.assertGreaterEqual(fleet.fenced_writes(), 1)
        self.assert_all_there(fleet)
        self.assert_exact(fleet, urls)


class P12(FleetCase):
    def test_a_worker_that_is_told_to_end_gives_its_items_to_the_others_at_once(self):
        origins = [self.origin() for _ in range(12)]  # two pictures each, so that no host is asked for too much at once
        fleet = self.fleet(servers=1, workers=2, env={"FETCH_TIMEOUT_MS": 60_000, "PIXMILL_LEASE_MS": 600_000})
        server = fleet.servers[0]
        server.upload(pixmill.table([f"{origin.url}/never/{n}" for origin in origins for n in range(2)]))
        wait_until(lambda: sum(origin.active for origin in origins) == 24, 20, lambda: self.leases(fleet))
        ending = next(worker for worker in fleet.workers if worker.pid in self.leases(fleet))
        other = next(worker for worker in fleet.workers if worker is not ending)
        member = next(member for member in fleet.members if member.process is ending)
        member.wanted = False
        with member.lock:
            code, seconds = ending.terminate(30)
        self.assertEqual(0, code, ending.log_text()[-3000:])
        self.assertLess(seconds, 10.5)
        # The lease is ten minutes long: only what was given back can be claimed now.
        wait_until(lambda: self.leases(fleet) == {other.pid: 24}, 10, lambda: f"the other has them all: {self.leases(fleet)}")
        self.assert_all_there(fleet)

    @staticmethod
    def leases(fleet):
        with fleet.database() as database:
            rows = database.rows("SELECT leased_by, count(*) AS items FROM items WHERE state = 'leased' GROUP BY leased_by")
        return {int(row["leased_by"].rpartition(":")[2]): row["items"] for row in rows}


case.main()
