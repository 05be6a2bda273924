"""The curve of P14: what one picture costs in jobs of 1,000 to 1,000,000 rows, on SQLite and on PostgreSQL; it should be flat.

`./run bench rows [--rows 1000,10000,…] [--store sqlite,postgres] [--no-write]`: one tiny picture under as many addresses as
there are rows, so that everything but the picture is measured: ingest, claims, fetches, files, records.
"""

import argparse
import contextlib
import pathlib
import random
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
from local_origin import Nginx, make_pictures  # noqa: E402
from support import pixmill  # noqa: E402
from support.servers import postgres  # noqa: E402
from support.waiting import wait_until  # noqa: E402

PAGES = 200
PAGES_FROM = 100_000  # rows: in smaller jobs the pages would be much of what is measured
ROWS = (1_000, 10_000, 100_000, 1_000_000)
SETTINGS = {"PIXMILL_LEASE_MS": 30_000, "PIXMILL_HEARTBEAT_MS": 10_000, "PIXMILL_RESCUE_EVERY_MS": 2_000, "PIXMILL_RETRY_BASE_MS": 1_000,
            "PIXMILL_RETRY_CEILING_MS": 60_000, "FETCH_PER_HOST": 64, "LOG_LEVEL": "warning"}


def page_p99_ms(server, job_id, rows):
    """Of pages of 100 items anywhere in the job, and of its document: what a browser that leafs through it waits for."""
    chance, waits = random.Random(1), []
    for _ in range(PAGES):
        for path in (f"/v1/jobs/{job_id}/items?limit=100&offset={chance.randrange(rows)}", f"/v1/jobs/{job_id}"):
            begun = time.monotonic()
            answer = server.get(path)
            waits.append((time.monotonic() - begun) * 1000)
            if answer.status != 200:
                sys.exit(f"{path}: {answer}")
    return statistics.quantiles(waits, n=100)[98]


def measure(store, rows, nginx):
    with tempfile.TemporaryDirectory(prefix="pixmill-bench-") as folder, contextlib.ExitStack() as stack:
        database = stack.enter_context(postgres.Server(durable=True)) if store == "postgres" else None
        env = {**SETTINGS, **(database.settings() if database else {})}
        server = stack.enter_context(pixmill.Server(pathlib.Path(folder) / "data", env=env))
        table = pixmill.table([f"http://127.0.0.1:{nginx.port}/one/{n}.jpg" for n in range(rows)])
        warm_up = server.upload(pixmill.table([f"http://127.0.0.1:{nginx.port}/one/w{n}.jpg" for n in range(200)]))
        server.wait_final(warm_up)
        before = [process_cpu.seconds_of([server.pid]), process_cpu.seconds_of([database.pid]) if database else 0]
        begun = time.monotonic()
        job_id = server.upload(table)
        accepted = time.monotonic() - begun
        busy_ms = page_p99_ms(server, job_id, max(1, server.job(job_id)["total"])) if rows >= PAGES_FROM else None
        wait_until(lambda: server.job(job_id)["state"] not in ("ingesting", "running"), 7200, lambda: server.job(job_id), every=0.1)
        seconds = time.monotonic() - begun
        after = [process_cpu.seconds_of([server.pid]), process_cpu.seconds_of([database.pid]) if database else 0]
        job = server.job(job_id)
        if job["succeeded"] != rows:
            sys.exit(f"{store} did {job['succeeded']} of {rows}: {job}")
        figures = {"page_busy_ms": busy_ms, "page_idle_ms": page_p99_ms(server, job_id, rows), "rate": rows / seconds, "accepted": accepted,
                   "ours": (after[0] - before[0]) * 1000 / rows,
                   "database": (after[1] - before[1]) * 1000 / rows, "memory_mb": pixmill.memory_peak_bytes(server.pid) / 1e6}
    print(f"  {store} {rows}: {figures}", file=sys.stderr, flush=True)
    return figures


def report(options, figures):
    version = subprocess.run([pixmill.binary(), "version"], capture_output=True, text=True, check=False).stdout.strip().splitlines()
    lines = ["## Cost of a picture by the size of its job", "",
             "Tiny pictures (64×64) of an nginx on the same machine, results on disk, one process; PostgreSQL 15 beside it, on disk with fsync. The table is",
             "accepted when the upload is answered; the rest is from there to the job's end. Memory is the most that the process itself ever had (the engines'",
             "does not depend on rows). Pages are 100 items at random offsets, asked for over HTTP by a client in Python on the same two cores: while the job",
             "runs, and after its end.", "", f"    ./run bench rows --rows {options.rows}", "",
             f"{results.machine()} · {version[0] if version else 'pixmill'}", "",
             "| store | rows | our CPU, ms a picture | PostgreSQL's | pictures/s | accepted after | memory | page or document p99, busy | and after |",
             "|---|---|---|---|---|---|---|---|---|"]
    for (store, rows), one in figures.items():
        busy = f"{one['page_busy_ms']:.1f} ms" if one["page_busy_ms"] else "–"
        lines.append(f"| {store} | {rows:,} | {one['ours']:.2f} | {one['database']:.2f} | {one['rate']:.0f} | {one['accepted']:.2f} s | {one['memory_mb']:.0f} MB "
                     f"| {busy} | {one['page_idle_ms']:.1f} ms |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(map(str, ROWS)))
    parser.add_argument("--store", default="sqlite,postgres")
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    root = ROOT / "build" / "bench-pictures"
    [one] = make_pictures(root, "64×64", 1, 64, 64)
    (root / "one.jpg").write_bytes((root / one).read_bytes())
    figures = {}
    with tempfile.TemporaryDirectory(prefix="pixmill-bench-") as folder, Nginx(root, pathlib.Path(folder)) as nginx:
        for store in options.store.split(","):
            for rows in map(int, options.rows.split(",")):
                figures[store, rows] = measure(store, rows, nginx)
    text = report(options, figures)
    print(text)
    if not options.no_write:
        results.write_section("rows", text)
        print("written to bench/RESULTS.md", file=sys.stderr)


main()
