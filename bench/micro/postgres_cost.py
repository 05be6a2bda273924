"""What one picture costs PostgreSQL: CPU of the server, WAL and bytes on disk, from ingest over claim to outcome. Runs the store's own
statements in batches of 64 against a server of its own. docs/SCALING.md builds on these figures.

    /usr/bin/python3 bench/micro/postgres_cost.py [--pictures N]
"""

import argparse
import hashlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg2

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCH, CHUNK = 64, 500  # of outcomes and claims, and of ingested rows
# Parameters whose types the statements leave to whoever binds them.
TYPES = {"kRecord": ["unknown"] * 12 + ["bigint"], "kLeaseItems": ["unknown"] * 2 + ["bigint", "text", "text"]}
NAMES = ["kInsertRows", "kInsertItems", "kReadyItems", "kLeaseItems", "kServeJobs", "kRecord", "kInsertOutputs", "kWakeFollowers",
         "kCountChanges"]


def statements():
    text = (ROOT / "src" / "jobs" / "postgres_statements.h").read_text()
    found = {}
    for name in NAMES:
        body = re.search(rf"\b{name} =\s(.*?);\n", text, re.DOTALL).group(1)
        found[name] = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', body))
    return found


class Server:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pixmill-postgres-"))
        self.user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        binaries = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self.call([binaries / "initdb", "-D", self.folder / "data", "-U", "pixmill", "-A", "trust", "-N"])
        # fsync changes neither CPU nor WAL; a checkpoint in between would add the images of pages.
        self.process = subprocess.Popen([binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=",
                                         "-c", "fsync=off", "-c", "max_wal_size=16GB", "-c", "checkpoint_timeout=1d", "-c", "shared_buffers=1GB"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.as_user())

    def as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "cwd": self.folder} if self.user else {}

    def call(self, command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **self.as_user())

    def connect(self):
        deadline = time.monotonic() + 30
        while True:
            try:
                return psycopg2.connect(host=str(self.folder), user="pixmill", dbname="postgres")
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise

    def cpu_seconds(self):
        """Of all its processes, those that have ended included."""
        ticks = 0
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid:
                ticks += int(fields[11]) + int(fields[12])
            elif stat.parent.name == str(self.process.pid):
                ticks += sum(int(fields[n]) for n in (11, 12, 13, 14))
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGINT)  # does not wait for clients
        self.process.wait(60)
        shutil.rmtree(self.folder)


class Store:
    def __init__(self, connection):
        self.connection, self.cursor = connection, connection.cursor()
        self.run("CREATE SCHEMA pixmill; SET search_path = pixmill, pg_catalog")
        for path in sorted((ROOT / "sql" / "postgres").glob("*.sql")):
            self.run(path.read_text())
        for name, text in statements().items():
            types = f"({', '.join(TYPES[name])})" if name in TYPES else ""
            self.run(f"PREPARE {name} {types} AS {text}")
        self.run("INSERT INTO jobs (id, state, origin, name, recipe, recipe_name, overrides, webhook_url, name_template, blob_prefix, "
                 "source_path, source_digest, ingest_by, url_column, invalid_rows, created_at) VALUES ('job', 'running', 'api', '', "
                 "'format=jpeg quality=50', '', 0, '', '', '', '', '', '', '', '', 0) RETURNING job_no")
        self.job = self.cursor.fetchone()[0]
        self.commit()

    def run(self, text):
        self.cursor.execute(text)

    def execute(self, name, *values):
        self.cursor.execute(f"EXECUTE {name}({', '.join(['%s'] * len(values))})", values)

    def commit(self):
        self.connection.commit()

    def ingest(self, first, count):
        numbers, nothing = list(range(first, first + count)), [None] * count
        cells = [f'["{n}","SKU-{n:08d}","https://cdn.shop.example/catalogue/{n:08d}/front.jpg"]' for n in numbers]
        self.execute("kInsertRows", self.job, numbers, cells, [""] * count, numbers, [1] * count)
        self.execute("kInsertItems", self.job, numbers, numbers, [1] * count,
                     [f"https://cdn.shop.example/catalogue/{n:08d}/front.jpg" for n in numbers],
                     [f"SKU-{n:08d}-1.{{ext}}" for n in numbers], nothing, [0] * count, nothing)
        self.run(f"UPDATE jobs SET total = total + {count}, remaining = remaining + {count} WHERE job_no = {self.job}")
        self.commit()

    def claim(self):
        self.execute("kReadyItems", self.job, 1, 2 ** 60, BATCH)
        items = [row[0] for row in self.cursor.fetchall()]
        if items:
            self.execute("kLeaseItems", [self.job] * len(items), items, 1_800_000_000_000, "worker-1:4711:0a1b2c3d", "")
            self.execute("kServeJobs", [self.job], [len(items)], 1)
        self.commit()
        return items

    def record(self, items):
        count = len(items)
        jobs, empty, zeros = [self.job] * count, [""] * count, [0] * count
        self.execute("kRecord", jobs, items, [1] * count, ["succeeded"] * count, [None] * count, empty, empty, [307_000] * count, zeros,
                     [120] * count, [6] * count, [9] * count, 1_800_000_000_000)
        self.execute("kInsertOutputs", jobs, items, zeros, empty,
                     [f"0f3c9a52-4a8e-4b1e-9d35-6b1a7be0c1d2/images/{n // 10_000:04d}/SKU-{n:08d}-1.jpg" for n in items],
                     [hash((n, "key")) for n in items], [68_700] * count, [1600] * count, [1200] * count, ["jpeg"] * count, [50] * count,
                     [hashlib.sha256(str(n).encode()).hexdigest() for n in items], empty)
        self.execute("kWakeFollowers", jobs, items, 1000)
        self.execute("kCountChanges", [self.job], [-count], [-count], [count], [0], [0], [307_000 * count], [68_700 * count])
        self.commit()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    pictures = parser.parse_args().pictures
    server = Server()
    try:
        store = Store(server.connect())
        marks = []

        def mark(name):
            store.run("SELECT pg_current_wal_insert_lsn() - '0/0'")
            marks.append((name, server.cpu_seconds(), float(store.cursor.fetchone()[0])))
            store.commit()

        mark("begin")
        for first in range(1, pictures + 1, CHUNK):
            store.ingest(first, min(CHUNK, pictures + 1 - first))
        mark("ingest")
        while items := store.claim():
            store.record(items)
        mark("claim and record")
        for (_, cpu_before, wal_before), (name, cpu, wal) in zip(marks, marks[1:]):
            print(f"{name}: {(cpu - cpu_before) * 1e6 / pictures:.0f} µs of CPU and {(wal - wal_before) / pictures:.0f} bytes of WAL a picture")
        store.run("SELECT sum(pg_relation_size(c.oid)) FILTER (WHERE relkind = 'r'), sum(pg_relation_size(c.oid)) FILTER (WHERE relkind = 'i') "
                  "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'pixmill'")
        tables, indexes = store.cursor.fetchone()
        print(f"on disk: {float(tables) / pictures:.0f} bytes of tables and {float(indexes) / pictures:.0f} bytes of indexes a picture")
    finally:
        server.stop()


main()
