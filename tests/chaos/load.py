"""What users do while the nemesis works: upload tables, cancel some jobs, retry others; and what must have come of it."""

import csv
import http.client
import io
import json
import time

from support import pixmill

# Where a row's picture comes from; half are slow enough to be killed under way. Bad ones must fail, each for its own reason.
_KINDS = ("/pic/{n}", "/slow/{n}?ms=40", "/flaky/1/{n}")
_BAD = ("/status/404/{n}", "/lying/{n}")
FINAL = ("completed", "completed_with_errors", "failed", "cancelled", "rejected")
# Why a picture that is there may fail all the same: its engine was killed at it twice.
_ALLOWED = {"engine_crash"}


class Told:
    """A job whose upload was answered with 201: what the table said, and what was asked for since."""

    def __init__(self, urls):
        self.urls = urls
        self.bad = sum(any(f"/{kind.split('/')[1]}/" in url for kind in _BAD) for url in urls)
        self.cancelled = None  # "asked": without an answer; "promised": the answer said so
        self.retries = 0


class Load:
    """`origins`: one for good pictures and one for bad addresses, so that the first is not treated as an ailing host."""

    def __init__(self, fleet, origins, webhook_url, chance, rows):
        self._fleet, self._good, self._bad = fleet, *origins
        self._webhook_url, self._chance, self._rows = webhook_url, chance, rows
        self.jobs = {}
        self.refused = 0
        self.asked = {"cancel": 0, "retry": 0}
        self._to_cancel = []

    def _urls(self):
        job = len(self.jobs) + self.refused
        urls = []
        for n in range(self._rows):
            if self._chance.random() < 0.06:
                urls.append(self._bad.url + self._chance.choice(_BAD).format(n=f"{job}-{n}"))
            else:
                kind = "/slow/{n}?ms=100" if self._chance.random() < 0.5 else self._chance.choice(_KINDS)
                origin = self._bad if "flaky" in kind else self._good
                urls.append(origin.url + kind.format(n=f"{job}-{n}"))
        return urls

    def _server(self):
        return self._chance.choice(self._fleet.servers)

    def upload(self):
        """One job to any server. An upload that fails may have been taken all the same; only a 201 is a promise."""
        urls = self._urls()
        try:
            job_id = self._server().upload(pixmill.table(urls), webhook_url=self._webhook_url)
        except (OSError, http.client.HTTPException, AssertionError):
            self.refused += 1
            return None
        self.jobs[job_id] = Told(urls)
        return job_id

    def _ask(self, what, job_id):
        try:
            answer = self._server().request("POST", f"/v1/jobs/{job_id}/{what}", headers={"Content-Type": "application/json"}, timeout=10)
        except (OSError, http.client.HTTPException):
            return None
        return answer if answer.status in (200, 202) else None

    def _cancel(self, job_id):
        answer = self._ask("cancel", job_id)
        self.asked["cancel"] += 1
        if answer is None:
            self.jobs[job_id].cancelled = "asked"
        elif answer.json["state"] in ("cancelling", "cancelled"):
            self.jobs[job_id].cancelled = "promised"

    def _retry_one(self):
        candidates = [job_id for job_id, told in self.jobs.items() if not told.cancelled]
        if candidates:
            job_id = self._chance.choice(candidates)
            if self._ask("retry", job_id):
                self.jobs[job_id].retries += 1
                self.asked["retry"] += 1

    def step(self, open_jobs_max=4):
        """Does one thing; false when enough is under way."""
        due = [job_id for at, job_id in self._to_cancel if at < time.monotonic()]
        if due:
            self._to_cancel = [entry for entry in self._to_cancel if entry[1] != due[0]]
            self._cancel(due[0])
        open_jobs = self.open_jobs()
        if open_jobs is None or open_jobs >= open_jobs_max:
            return False
        if self._chance.random() < 0.3:
            self._retry_one()
        job_id = self.upload()
        if job_id and self._chance.random() < 0.15:
            self._to_cancel.append((time.monotonic() + self._chance.uniform(0, 6), job_id))
        return True

    def open_jobs(self):
        """How many jobs of the database are not final, those of answers that got lost too; None while it is away."""
        import psycopg2

        try:
            with self._fleet.database() as database:
                return database.rows(f"SELECT count(*) AS jobs FROM jobs WHERE state NOT IN {FINAL}")[0]["jobs"]
        except psycopg2.Error:
            return None

    # --- What must have come of it ---

    def problems(self):
        """Jobs that are not what their tables and what was asked of them make them."""
        with self._fleet.database() as database:
            jobs = {job["id"]: job for job in database.rows("SELECT * FROM jobs")}
            codes = {}
            for row in database.rows("SELECT j.id, i.error_code AS code, count(*) AS items FROM items i JOIN jobs j ON j.job_no = i.job_no "
                                     "WHERE i.state = 'failed' GROUP BY j.id, i.error_code"):
                codes.setdefault(row["id"], {})[row["code"]] = row["items"]
        found = []
        for job_id, told in self.jobs.items():
            job = jobs.get(job_id)
            found += [f"job {job_id} was accepted and is lost"] if job is None else _problems_of(job, told, codes.get(job_id, {}))
        return found

    def result_problems(self, limit):
        """The result CSV of jobs, through the API: every row of the table, with a link exactly where a picture was stored."""
        found = []
        for job_id in list(self.jobs)[:limit]:
            server = self._server()
            items = {item["row"]: item for item in server.items(job_id)}
            text = server.get(f"/v1/jobs/{job_id}/result.csv").text
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
            told = self.jobs[job_id].urls[:len(rows)] if self.jobs[job_id].cancelled else self.jobs[job_id].urls
            if [row["Input Image Urls"] for row in rows] != told:
                found.append(f"job {job_id}: its result CSV has other rows than its table")
                continue
            for number, row in enumerate(rows, 1):
                succeeded = items[number]["state"] in ("succeeded", "unchanged")
                if succeeded != bool(row["Output Image Urls"]):
                    found.append(f"job {job_id}: row {number} of its result CSV has '{row['Output Image Urls']}'")
        return found


def _problems_of(job, told, codes):
    name, rows = f"job {job['id']}", len(told.urls)
    if job["state"] == "cancelled":
        return [] if told.cancelled else [f"{name} is cancelled, which nobody asked for"]
    if told.cancelled == "promised":
        return [f"{name} was to be cancelled and is {job['state']}"]
    if job["total"] != rows:
        return [f"{name} has {job['total']} items instead of {rows}"]
    found = []
    crashed = sum(count for code, count in codes.items() if code in _ALLOWED)
    wanted = (rows - told.bad - crashed, told.bad + crashed, 0)
    if (job["succeeded"], job["failed"], job["cancelled"]) != wanted:
        found.append(f"{name} is {job['state']} with {job['succeeded']}, {job['failed']}, {job['cancelled']} instead of {wanted}: {codes}")
    if job["generation"] < 1 + told.retries:
        found.append(f"{name} is in generation {job['generation']} after {told.retries} retries")
    return found


def webhook_problems(fleet, deliveries, jobs):
    """Every terminal event of the database arrived, under its own id and with one body; nothing else did."""
    found = [f"webhook: {delivery.problem}" for delivery in deliveries if delivery.problem]
    bodies = {}
    for delivery in deliveries:
        bodies.setdefault(delivery.headers["webhook-id"], set()).add(delivery.body)
    with fleet.database() as database:
        events = {row["event_id"]: row for row in database.rows(
            "SELECT e.event_id, e.type, j.id, j.webhook_url, j.state FROM events e JOIN jobs j ON j.job_no = e.job_no WHERE e.terminal = 1")}
        open_ones = {row["event_id"] for row in database.rows("SELECT event_id FROM deliveries WHERE state IN ('pending', 'leased')")}
    found += [f"event {event_id} has {len(texts)} bodies" for event_id, texts in bodies.items() if len(texts) > 1]
    found += [f"webhook {event_id} names no event" for event_id in bodies if event_id not in events]
    found += [f"event {event_id} of job {event['id']} never arrived" for event_id, event in events.items()
              if event["webhook_url"] and event_id not in bodies and event_id not in open_ones]
    found += [f"event {event_id} is still to be delivered" for event_id in open_ones]
    for event_id, texts in bodies.items():
        event = events.get(event_id)
        told = json.loads(next(iter(texts)))["type"]
        if event and told != event["type"]:
            found.append(f"event {event_id} is {event['type']} and was told as {told}")
        if event and event["state"] == "cancelled" and event["id"] in jobs and told == "job.completed" and not jobs[event["id"]].retries:
            found.append(f"job {event['id']} was cancelled and a webhook says {told}")
    return found
