"""Chaos: `./run chaos --minutes N --seed S`. Real binaries, PostgreSQL, Redis and Swift, a nemesis, and an auditor at the end.

Jobs are submitted one after another while the nemesis works; then everything is mended, the jobs end, and the auditor compares
tables, items, objects and events. Prints what was done and what was found; ends with 1 when anything was lost or doubled.
"""

import argparse
import http.client
import pathlib
import random
import shutil
import sys
import tempfile
import time

from chaos.fleet import Fleet
from chaos.nemesis import Nemesis
from support import pixmill, webhook_receiver
from support.origin import Origin
from support.waiting import let_pass, wait_until

# Where a row's picture comes from; most are slow enough to be killed under way.
_KINDS = ("/slow/{n}?ms=100", "/pic/{n}", "/flaky/1/{n}", "/slow/{n}?ms=40", "/status/404/{n}", "/lying/{n}", "/truncated/{n}")
_BAD = ("status", "lying", "truncated")

# The fleet's reactions, shortened.
_SETTINGS = {"PIXMILL_LEASE_MS": "3000", "PIXMILL_HEARTBEAT_MS": "500"}


class Run:
    def __init__(self, fleet, origin, receiver, chance, rows):
        self._fleet, self._origin, self._receiver, self._chance, self._rows = fleet, origin, receiver, chance, rows
        self.accepted = {}  # job id: rows
        self.bad = {}  # job id: rows that must fail
        self.refused = 0

    def table(self):
        job = len(self.accepted) + self.refused
        kinds = [_KINDS[0 if self._chance.random() < 0.5 else self._chance.randrange(len(_KINDS))] for _ in range(self._rows)]
        urls = [self._origin.url + kind.format(n=f"{job}-{n}") for n, kind in enumerate(kinds)]
        bad = sum(any(f"/{word}/" in url for word in _BAD) for url in urls)
        return pixmill.table(urls), bad

    def submit(self):
        """One job to a random server. An upload that fails may have been taken all the same; only a 2xx is a promise."""
        table, bad = self.table()
        server = self._chance.choice(self._fleet.servers)
        try:
            job_id = server.upload(table, webhook_url=self._receiver.url)
        except (OSError, http.client.HTTPException, AssertionError):
            self.refused += 1
            return
        self.accepted[job_id] = self._rows
        self.bad[job_id] = bad

    def open_jobs(self):
        """How many jobs of the database are not final: those of answers that got lost count as well."""
        connection = self._connect()
        try:
            return connection.rows("SELECT count(*) AS jobs FROM jobs WHERE state NOT IN "
                                   "('completed', 'completed_with_errors', 'failed', 'cancelled', 'rejected')")[0]["jobs"]
        finally:
            connection.close()

    def _connect(self):
        from support import auditor

        return auditor.open_database(self._fleet.database_url)

    def wrong_results(self):
        """Jobs whose counts are not those that their table must give."""
        connection = self._connect()
        try:
            jobs = {job["id"]: job for job in connection.rows("SELECT id, state, total, succeeded, failed FROM jobs")}
        finally:
            connection.close()
        wrong = []
        for job_id, rows in self.accepted.items():
            job = jobs.get(job_id)
            wanted = (rows, rows - self.bad[job_id], self.bad[job_id])
            if job is None or (job["total"], job["succeeded"], job["failed"]) != wanted:
                wrong.append(f"job {job_id} should be {wanted} and is {dict(job) if job else 'lost'}")
        return wrong


def check_webhooks(deliveries, accepted):
    """Each accepted job has exactly one event, however often it was sent; every signature holds."""
    problems = [f"webhook: {delivery.problem}" for delivery in deliveries if delivery.problem]
    ids = {}
    for delivery in deliveries:
        import json

        document = json.loads(delivery.body)
        job_id = document.get("request_id") or document.get("data", {}).get("id") or document.get("id")
        ids.setdefault(job_id, set()).add(delivery.headers["webhook-id"])
    problems += [f"job {job_id} has {len(ids.get(job_id, ()))} events" for job_id in accepted if len(ids.get(job_id, ())) != 1]
    return problems


def run(folder, seconds, seed, rows, servers, workers, only=None, say=print):
    """Gives (problems, summary)."""
    chance = random.Random(seed)
    secret = webhook_receiver.new_secret()
    with Origin() as origin, webhook_receiver.WebhookReceiver(secret) as receiver, \
            Fleet(folder, servers, workers, secret, env=_SETTINGS) as fleet:
        job = Run(fleet, origin, receiver, chance, rows)
        begun = time.monotonic()
        with Nemesis(fleet, seed, only=only) as nemesis:
            while time.monotonic() - begun < seconds:
                if job.open_jobs_or_many() < 4:
                    job.submit()
                else:
                    let_pass(0.2)
        if nemesis.trouble:
            raise nemesis.trouble
        say(f"{len(nemesis.done)} times: {nemesis.counts()}")
        say(f"{len(job.accepted)} jobs accepted, {job.refused} uploads refused or cut off; waiting for the end")
        wait_until(lambda: job.open_jobs() == 0, 180 + seconds, lambda: f"{job.open_jobs()} jobs still open", every=0.5)
        wait_until(lambda: not [p for p in check_webhooks(receiver.deliveries, job.accepted) if "has 0 events" in p], 60,
                   lambda: check_webhooks(receiver.deliveries, job.accepted)[:5], every=0.5)
        fleet.restart_all()  # starts sweep what the last kills left
        report = fleet.wait_until_swept(job)
        problems = report.problems + job.wrong_results() + check_webhooks(receiver.deliveries, job.accepted)
        fenced = fleet.fenced_writes()
        return problems, f"{report}; {origin.total} requests, {len(receiver.deliveries)} deliveries, {fenced} fenced writes"


def main():
    parser = argparse.ArgumentParser(prog="./run chaos", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=5, help="how long the nemesis works (default 5)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of its choices (default random)")
    parser.add_argument("--rows", type=int, default=500, help="of each job (default 500)")
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--only", help="these actions alone, with commas between")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pixmill-chaos-"))
    print(f"seed {options.seed}, {options.minutes:g} minutes, {options.servers} servers, {options.workers} workers; logs in {folder}")
    only = options.only.split(",") if options.only else None
    problems, summary = run(folder, options.minutes * 60, options.seed, options.rows, options.servers, options.workers, only)
    print(summary)
    for problem in problems[:100]:
        print(problem)
    if problems:
        sys.exit(f"{len(problems)} findings; the logs stay in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    print("nothing lost, nothing doubled, no orphan, nothing dangling")


if __name__ == "__main__":
    main()
