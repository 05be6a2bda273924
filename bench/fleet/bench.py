"""Times a fleet on PostgreSQL, Redis and S3 (OpenStack Swift) with 1, 2 and 4 workers against one process on SQLite and disk.

`./run bench fleet [--rounds N] [--images N] [--no-write]`: pictures a second and CPU a picture, ours apart from that of the
servers it rests on; queue operations a second; from upload to first fetch and from the last picture to the webhook, idle.
"""

import argparse
import contextlib
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

import process_cpu  # noqa: E402
import results  # noqa: E402
from chaos.fleet import Fleet  # noqa: E402
from local_origin import Nginx, make_pictures  # noqa: E402
from support import pixmill, webhook_receiver  # noqa: E402
from support.origin import Origin  # noqa: E402
from support.waiting import let_pass  # noqa: E402

SETS = {"1600×1200": (200, 1600, 1200), "400×400": (600, 400, 400)}
WORKERS = (1, 2, 4)
QUEUE_ROWS = 20_000
LATENCY_JOBS = 30
# The program's own times, not the short ones of tests.
DEFAULTS = {"PIXMILL_LEASE_MS": 30_000, "PIXMILL_HEARTBEAT_MS": 10_000, "PIXMILL_RESCUE_EVERY_MS": 2_000, "PIXMILL_RETRY_BASE_MS": 1_000,
            "PIXMILL_RETRY_CEILING_MS": 60_000, "FETCH_PER_HOST": 64, "LOG_LEVEL": "warning",
            "PIXMILL_WEBHOOK_SCHEDULE_MS": "0,5000,300000"}
SECRET = webhook_receiver.new_secret()


class OneProcess:
    name = "one process, SQLite and disk"

    def __init__(self, folder):
        self._server = pixmill.Server(folder / "data", "--webhook-secret", SECRET, start=False, env=DEFAULTS)

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.kill()

    @property
    def server(self):
        return self._server

    def cpu(self):
        return {"ours": process_cpu.seconds_of([self._server.pid])}


class ManyProcesses:
    """One API server and `workers` workers; on this machine no more engines than cores where that is possible."""

    def __init__(self, folder, workers):
        self.name = f"fleet, {workers} worker{'s' if workers > 1 else ''}"
        env = {**DEFAULTS, "S3_TIMEOUT_MS": 30_000}
        self._fleet = Fleet(folder, 1, workers, SECRET, env=env, proxied=False, durable=True, engines=max(1, 2 // workers))

    def __enter__(self):
        self._fleet.__enter__()
        return self

    def __exit__(self, *_):
        self._fleet.__exit__()

    @property
    def server(self):
        return self._fleet.servers[0]

    def cpu(self):
        fleet = self._fleet
        return {"ours": process_cpu.seconds_of([member.process.pid for member in fleet.members]),
                "PostgreSQL": process_cpu.seconds_of([fleet.postgres.pid]), "Redis": process_cpu.seconds_of([fleet.redis.process.pid]),
                "Swift": process_cpu.seconds_of(fleet.store.pids())}


def contestants():
    return [OneProcess, *(lambda folder, workers=workers: ManyProcesses(folder, workers) for workers in WORKERS)]


def run_job(contestant, table, count, outcome="succeeded"):
    """(seconds from upload to webhook, CPU seconds of each group)."""
    with webhook_receiver.WebhookReceiver(SECRET) as receiver:
        before = contestant.cpu()
        begun = time.monotonic()
        job_id = contestant.server.upload(table, webhook_url=receiver.url)
        [delivery] = receiver.wait_for(1, 900)
        after = contestant.cpu()
    job = contestant.server.job(job_id)
    if job[outcome] != count:
        sys.exit(f"{contestant.name}: {job[outcome]} of {count} pictures {outcome}: {job}")
    return delivery.at - begun, {group: after[group] - before[group] for group in after}


def table_of(base_url, names):
    return pixmill.table([f"{base_url}/{name}" for name in names])


def measure_pictures(contestant, nginx, root, count_of):
    """{set: figures}."""
    figures = {}
    for name, (count, width, height) in SETS.items():
        count = count_of or count
        names = make_pictures(root, name, count, width, height)
        run_job(contestant, table_of(f"http://127.0.0.1:{nginx.port}", names[:20]), 20)  # connections and codecs are there
        seconds, cpu = run_job(contestant, table_of(f"http://127.0.0.1:{nginx.port}", names), count)
        figures[name] = {"rate": count / seconds, **{group: value * 1000 / count for group, value in cpu.items()}}
    return figures


def measure_queue(contestant, nginx):
    """Rows of one address that is not there: after the first, each is a claim and a record, and no file."""
    table = table_of(f"http://127.0.0.1:{nginx.port}", ["none/picture.jpg"] * QUEUE_ROWS)
    seconds, cpu = run_job(contestant, table, QUEUE_ROWS, "failed")
    return {"operations": 2 * QUEUE_ROWS / seconds, "ours": cpu["ours"] * 1e6 / QUEUE_ROWS,
            "PostgreSQL": cpu.get("PostgreSQL", 0) * 1e6 / QUEUE_ROWS}


def measure_latency(contestant):
    """Of jobs of one picture, one after the other, with pauses in which everything falls idle."""
    to_fetch, to_webhook = [], []
    with Origin() as origin, webhook_receiver.WebhookReceiver(SECRET) as receiver:
        for number in range(LATENCY_JOBS):
            let_pass(0.3)
            begun = time.monotonic()
            contestant.server.upload(pixmill.table([f"{origin.url}/pic/{number}"]), webhook_url=receiver.url)
            delivery = receiver.wait_for(number + 1)[-1]
            fetched = origin.requests[-1].at
            to_fetch.append((fetched - begun) * 1000)
            to_webhook.append((delivery.at - fetched) * 1000)
    return {"upload to fetch": statistics.median(to_fetch), "fetch to webhook": statistics.median(to_webhook),
            "slowest fetch": max(to_fetch), "slowest webhook": max(to_webhook)}


def measure(make, nginx, root, options):
    with tempfile.TemporaryDirectory(prefix="pixmill-bench-") as folder, contextlib.ExitStack() as stack:
        contestant = stack.enter_context(make(pathlib.Path(folder)))
        figures = {"name": contestant.name, "pictures": measure_pictures(contestant, nginx, root, options.images),
                   "queue": measure_queue(contestant, nginx), "latency": measure_latency(contestant)}
        print(f"  {contestant.name}: {figures}", file=sys.stderr, flush=True)
        return figures


def middle(rounds, *keys):
    values = []
    for figures in rounds:
        for key in keys:
            figures = figures.get(key, {}) if isinstance(figures, dict) else figures
        values.append(figures if figures != {} else 0)
    return statistics.median(values)


def picture_table(name, all_rounds):
    lines = [f"### JPEGs of {name}", "", "| | pictures/s | our CPU, ms a picture | PostgreSQL | Redis | Swift |", "|---|---|---|---|---|---|"]
    for contestant, rounds in all_rounds.items():
        cells = [f"{middle(rounds, 'pictures', name, group):.2f}" for group in ("ours", "PostgreSQL", "Redis", "Swift")]
        lines.append(f"| {contestant} | {middle(rounds, 'pictures', name, 'rate'):.0f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def queue_table(all_rounds):
    lines = ["### The queue, and waits", "",
             "| | claims and records/s | our CPU of both, µs | PostgreSQL's | upload to first fetch | last fetch to webhook |", "|---|---|---|---|---|---|"]
    for contestant, rounds in all_rounds.items():
        lines.append(f"| {contestant} | {middle(rounds, 'queue', 'operations'):.0f} | {middle(rounds, 'queue', 'ours'):.0f} "
                     f"| {middle(rounds, 'queue', 'PostgreSQL'):.0f} | {middle(rounds, 'latency', 'upload to fetch'):.1f} ms "
                     f"| {middle(rounds, 'latency', 'fetch to webhook'):.1f} ms |")
    return "\n".join([*lines, ""])


def report(options, all_rounds):
    version = subprocess.run([pixmill.binary(), "version"], capture_output=True, text=True, check=False).stdout.strip().splitlines()
    load = pathlib.Path("/proc/loadavg").read_text().split()[0]
    return "\n".join([
        "## A fleet against one process", "",
        "One API server and 1, 2 or 4 workers on PostgreSQL 15 (on disk, fsync on), Redis 7 and OpenStack Swift's S3 interface, against one process",
        "with SQLite and the disk, all with the same pictures of the same nginx, one after the other in each round, **everything on the same 2 cores**:",
        "Swift's four Python processes take most of them, so the fleet's pictures/s are Swift's. What a fleet costs is in our CPU and PostgreSQL's.",
        "From upload, before its first byte, to the webhook's arrival. The queue: 20,000 rows of one address that is not there, of which each is a claim",
        "and a record, and no file. Waits: medians of 30 jobs of one picture, everything idle before each; from the fetch on they include the picture and its PUT.", "",
        f"    ./run bench fleet --rounds {options.rounds}", "",
        f"{results.machine()} · {version[0] if version else 'pixmill'} · load average {load} at the end", "",
        *(picture_table(name, all_rounds) for name in SETS), queue_table(all_rounds)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, help="so many pictures of each set instead; nothing is written")
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    root = ROOT / "build" / "bench-pictures"
    all_rounds = {}
    with tempfile.TemporaryDirectory(prefix="pixmill-bench-") as folder:
        [one] = make_pictures(root, "64×64", 1, 64, 64)
        (root / "one.jpg").write_bytes((root / one).read_bytes())
        with Nginx(root, pathlib.Path(folder)) as nginx:
            for number in range(options.rounds):
                print(f"round {number + 1}", file=sys.stderr, flush=True)
                for make in contestants():
                    figures = measure(make, nginx, root, options)
                    all_rounds.setdefault(figures["name"], []).append(figures)
    text = report(options, all_rounds)
    print(text)
    if not options.no_write and not options.images:
        results.write_section("fleet", text)
        print("written to bench/RESULTS.md", file=sys.stderr)


main()
