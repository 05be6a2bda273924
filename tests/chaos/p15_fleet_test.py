"""P15, P16, P17, P19 on a fleet: cancels are prompt, tails end, events are told once under one id, whatever races or dies."""

import concurrent.futures
import http.client
import json
import random
import threading

from chaos.fleet_case import FleetCase
from chaos.load import webhook_problems
from support import case, pixmill
from support.waiting import let_pass, wait_until


class P15(FleetCase):
    def test_no_worker_fetches_a_second_after_cancelled(self):
        origin, receiver, fleet = self.origin(), self.receiver(), self.fleet(servers=2, workers=4)
        urls = [f"{origin.url}/slow/{n}?ms=200" for n in range(2_000)]
        job_id = fleet.servers[0].upload(pixmill.table(urls), webhook_url=receiver.url)
        self.wait_done(fleet.servers[0], job_id, 20)
        answer = fleet.servers[1].request("POST", f"/v1/jobs/{job_id}/cancel")
        self.assertIn(answer.status, (200, 202), answer)
        job = fleet.servers[0].wait_final(job_id, 15)
        self.assertEqual("cancelled", job["state"], job)
        let_pass(1)
        fetched = origin.total
        let_pass(1.5)
        self.assertEqual(fetched, origin.total, "a fetch more than a second after `cancelled`")
        self.assertLess(fetched, 2_000)
        receiver.wait_for(1)
        self.assertEqual(["job.cancelled"], [document["type"] for document in receiver.documents()])
        self.assert_all_there(fleet)
        self.assert_exact(fleet, {job_id: urls})
        self.assertEqual(job["succeeded"], len(fleet.bucket.every_key()))


class P16(FleetCase):
    def test_origins_that_never_end_do_not_keep_a_job_open(self):
        origin, receiver = self.origin(), self.receiver()
        settings = {"FETCH_TIMEOUT_MS": 1_000, "FETCH_CONNECT_TIMEOUT_MS": 500, "FETCH_MAX_BYTES": 2_000_000, "PIXMILL_ATTEMPTS": 3}
        fleet = self.fleet(servers=1, workers=2, env=settings)
        kinds = ("/never/{}", "/drip/{}?ms=400", "/reset/{}", "/endless/{}", "/slow/{}?ms=5000", "/pic/{}")
        urls = [origin.url + kind.format(n) for n in range(4) for kind in kinds]
        job_id = fleet.servers[0].upload(pixmill.table(urls), webhook_url=receiver.url)
        job = fleet.servers[0].wait_final(job_id, 60)
        self.assertEqual((4, 20), (job["succeeded"], job["failed"]), job)
        receiver.wait_for(1)
        self.assert_exact(fleet, {job_id: urls})


class P17(FleetCase):
    def test_every_event_arrives_under_one_id_while_senders_are_killed(self):
        origin, fleet = self.origin(), None
        chance = random.Random(17)
        killing = threading.Lock()

        def kill_a_sender(_):
            """In the middle of a delivery: whoever sends it, or the other."""
            if chance.random() < 0.4 and killing.acquire(blocking=False):
                member = chance.choice([member for member in fleet.members if member.is_server])
                with member.lock:
                    member.process.kill()
                killing.release()

        receiver = self.receiver(answers=[204, 503] * 5, on_delivery=kill_a_sender)
        settings = {"PIXMILL_WEBHOOK_SCHEDULE_MS": ",".join(["0", *["200"] * 40])}
        fleet = self.fleet(servers=2, workers=2, env=settings)
        urls = {}
        for number in range(case.short_or_long(6, 200)):
            table = [f"{origin.url}/pic/{number}/{n}" for n in range(3)]
            urls[self.upload(fleet, chance, table, receiver.url)] = table
        wait_until(lambda: not self.open_deliveries(fleet), case.short_or_long(180, 900), lambda: self.open_deliveries(fleet)[:5], every=0.2)
        print(f"{len(urls)} jobs, {len(receiver.deliveries)} deliveries, {len(fleet.keeper.exits)} ended by themselves", flush=True)
        fleet.revive()
        self.assertEqual([], webhook_problems(fleet, receiver.deliveries, {}))
        with fleet.database() as database:
            events = {row["event_id"] for row in database.rows("SELECT event_id FROM events")}
        self.assertEqual(events, {delivery.headers["webhook-id"] for delivery in receiver.deliveries})
        self.assertGreaterEqual(len(events), len(urls))
        self.assert_exact(fleet, urls)

    @staticmethod
    def upload(fleet, chance, table, webhook_url):
        """To whichever server answers; a connection that broke may have left a job behind that nobody counts."""
        def attempt():
            try:
                return chance.choice(fleet.servers).upload(pixmill.table(table), webhook_url=webhook_url)
            except (OSError, http.client.HTTPException):
                return None

        return wait_until(attempt, 60, "a server takes the table", every=0.1)

    @staticmethod
    def open_deliveries(fleet):
        with fleet.database() as database:
            return (database.rows("SELECT id, state FROM jobs WHERE state NOT IN ('completed', 'completed_with_errors')")
                    + database.rows("SELECT event_id, state, attempts FROM deliveries WHERE state IN ('pending', 'leased')"))


class P19(FleetCase):
    def test_each_generation_has_one_terminal_event_whatever_races(self):
        """Small jobs that end, are cancelled from two sides and retried from two sides at once."""
        jobs = case.short_or_long(40, 1_000)
        origin, receiver = self.origin(), self.receiver()
        fleet = self.fleet(servers=2, workers=3)
        with concurrent.futures.ThreadPoolExecutor(8) as users:
            told = list(users.map(lambda number: self.race(fleet, origin, receiver, number), range(jobs)))
        wait_until(lambda: not self.open_jobs(fleet), 120, lambda: self.open_jobs(fleet)[:5], every=0.2)
        with fleet.database() as database:
            generations = sum(row["generation"] for row in database.rows("SELECT generation FROM jobs"))
            states = {row["state"]: row["n"] for row in database.rows("SELECT state, count(*) AS n FROM jobs GROUP BY state")}
        receiver.wait_for(generations)
        wait_until(lambda: not webhook_problems(fleet, receiver.deliveries, {}), 60,
                   lambda: webhook_problems(fleet, receiver.deliveries, {})[:5], every=0.5)
        print(f"{states}, {generations} generations, {len(receiver.deliveries)} deliveries", flush=True)
        self.assertGreater(generations, jobs, "nothing was retried")
        self.assertGreater(states.get("cancelled", 0), 0, "nothing was cancelled")
        events = {(document["id"], document["generation"]) for document in map(self.job_of, receiver.deliveries)}
        self.assertEqual(generations, len(events))
        self.assertEqual(generations, len({delivery.headers["webhook-id"] for delivery in receiver.deliveries}))
        self.assert_exact(fleet, dict(told))

    @staticmethod
    def job_of(delivery):
        return json.loads(delivery.body)["job"]

    def race(self, fleet, origin, receiver, number):
        """One job and what its users do to it; gives (its id, its addresses)."""
        chance = random.Random(number)
        first, second = chance.sample(fleet.servers, 2)
        urls = [f"{origin.url}/pic/{number}/{n}" for n in range(chance.randrange(1, 4))]
        if number % 2:
            urls.append(f"{origin.url}/status/404/{number}")
        job_id = first.upload(pixmill.table(urls), webhook_url=receiver.url)
        if number % 4 == 0:
            self.both(lambda server: self.ask(server, job_id, "cancel"), first, second)
        elif number % 2:
            first.wait_final(job_id)
            self.both(lambda server: self.ask(server, job_id, "retry"), first, second)
            if number % 3 == 0:
                self.both(lambda server: self.ask(server, job_id, "cancel" if server is first else "retry"), first, second)
        return job_id, urls

    @staticmethod
    def ask(server, job_id, what):
        answer = server.request("POST", f"/v1/jobs/{job_id}/{what}", headers={"Content-Type": "application/json"})
        if answer.status not in (200, 202, 409):
            raise http.client.HTTPException(f"{what}: {answer}")

    @staticmethod
    def both(action, first, second):
        other = threading.Thread(target=action, args=(second,))
        other.start()
        action(first)
        other.join()

    @staticmethod
    def open_jobs(fleet):
        with fleet.database() as database:
            return database.rows("SELECT id, state FROM jobs WHERE state NOT IN "
                                 "('completed', 'completed_with_errors', 'failed', 'cancelled')")


case.main()
