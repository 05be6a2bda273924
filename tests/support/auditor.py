"""Compares what the database says with what lies in the store, without the program's help: PROMISES P02, P03, P09.

`python3 -m support.auditor DATA [DATABASE FILES]` (in tests/) prints the findings and ends with 1 when there are any.
DATABASE is SQLite's file or PostgreSQL's URL.
"""

import collections
import concurrent.futures
import hashlib
import pathlib
import sqlite3
import sys

from support.waiting import wait_until

FINAL_ITEM = ("succeeded", "failed", "unchanged", "cancelled")
FINAL_JOB = ("completed", "completed_with_errors", "failed", "cancelled", "rejected")


class Report:
    """Lists of sentences; all empty is good."""

    def __init__(self):
        self.lost, self.doubled, self.orphans, self.dangling, self.counters, self.corrupt = [], [], [], [], [], []
        self.items = 0
        self.files = 0

    @property
    def problems(self):
        return [f"{kind}: {text}" for kind in ("lost", "doubled", "orphans", "dangling", "counters", "corrupt")
                for text in getattr(self, kind)]

    def __str__(self):
        counts = ", ".join(f"{kind} {len(getattr(self, kind))}"
                           for kind in ("lost", "doubled", "orphans", "dangling", "counters", "corrupt"))
        return f"{self.items} items, {self.files} files: {counts}"


def open_read_only(database):
    """A connection that can change nothing, also beside a running server."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)
    connection.row_factory = sqlite3.Row
    return connection


class _Sqlite:
    def __init__(self, database):
        self._connection = open_read_only(database)

    def rows(self, query, *values):
        return self._connection.execute(query, values).fetchall()

    def corruption(self):
        verdict = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
        return [] if verdict == "ok" else [verdict]

    def close(self):
        self._connection.close()


class _Postgres:
    """All queries see one moment."""

    def __init__(self, url):
        import psycopg2  # of Debian's packages; most tests do without
        import psycopg2.extras

        self._connection = psycopg2.connect(url)
        self._connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        self._factory = psycopg2.extras.RealDictCursor

    def rows(self, query, *values):
        with self._connection.cursor(cursor_factory=self._factory) as cursor:
            cursor.execute(query.replace("?", "%s"), values)
            return cursor.fetchall()

    @staticmethod
    def corruption():
        return []

    def close(self):
        self._connection.close()


def open_database(database):
    """`rows(query with ?, values…)` gives rows by column name; both databases have the same tables."""
    is_postgres = str(database).startswith(("postgres://", "postgresql://"))
    return _Postgres(str(database)) if is_postgres else _Sqlite(database)


def wait_reviewed(database, deadline_s=60):
    """Until every job that ended was looked through, and its files swept, by a running server."""

    def is_reviewed():
        fresh = open_database(database)
        try:
            return fresh.rows("SELECT COUNT(*) AS count FROM reviews")[0]["count"] == 0
        finally:
            fresh.close()

    wait_until(is_reviewed, deadline_s, "every job that ended is reviewed")


_READERS = 8  # at once


class LocalFiles:
    """Results on the disk; keys begin at `root`."""

    def __init__(self, root):
        self._root = pathlib.Path(root)

    def read(self, key):
        """The bytes, None when there are none."""
        file = self._root / key
        return file.read_bytes() if file.is_file() else None

    def keys(self, top):
        """Only what lies where jobs put things: `run` shares its folder with result files."""
        folder = self._root / top
        for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if file.is_file() and not (top == "" and file.parent == self._root):
                yield str(file.relative_to(self._root))


def audit(database, files, rows_expected=None, finished=True, urls_expected=None):
    """`files`: the folder where keys begin, or an object with read() and keys() as LocalFiles has, or every_key() in place
    of the second where nothing but results lies. `rows_expected`: {job id: rows}. `urls_expected`: {job id: the addresses
    of its table, one a row}; a cancelled job may have come no further than its first rows. `finished`: every job must be
    final."""
    report = Report()
    rows_expected, urls_expected = rows_expected or {}, urls_expected or {}
    connection = open_database(database)
    try:
        report.corrupt += connection.corruption()
        jobs = connection.rows("SELECT * FROM jobs ORDER BY job_no")
        for job in jobs:
            _audit_job(connection, job, report, rows_expected.get(job["id"]), finished)
            if job["id"] in urls_expected:
                _audit_addresses(connection, job, urls_expected[job["id"]], report)
        for job_id in (set(rows_expected) | set(urls_expected)) - {job["id"] for job in jobs}:
            report.lost.append(f"job {job_id} is not in the database")
        files = files if hasattr(files, "read") else LocalFiles(files)
        _audit_files(connection, files, {job["blob_prefix"] for job in jobs}, report)
    finally:
        connection.close()
    return report


def _audit_job(connection, job, report, rows_expected, finished):
    name = f"job {job['id']}"
    number = job["job_no"]
    rows = [row["row_no"] for row in connection.rows("SELECT row_no FROM rows WHERE job_no = ? ORDER BY row_no", number)]
    if rows != list(range(1, len(rows) + 1)) or len(rows) != job["row_count"]:
        report.lost.append(f"{name}: {len(rows)} rows with gaps, {job['row_count']} counted")
    if rows_expected is not None and len(rows) != rows_expected:
        report.lost.append(f"{name}: {len(rows)} rows instead of {rows_expected}")
    items = connection.rows("SELECT * FROM items WHERE job_no = ? ORDER BY item", number)
    report.items += len(items)
    if [item["item"] for item in items] != list(range(1, len(items) + 1)):
        report.lost.append(f"{name}: item numbers have gaps")
    places = collections.Counter((item["row_no"], item["position"]) for item in items)
    report.doubled += [f"{name}: row {row} position {position} is there {count} times"
                       for (row, position), count in places.items() if count > 1]
    states = collections.Counter(item["state"] for item in items)
    if finished and job["state"] not in FINAL_JOB:
        report.lost.append(f"{name} is still {job['state']}")
    if job["state"] in FINAL_JOB:
        report.lost += [f"{name}: item {item['item']} is {item['state']}" for item in items if item["state"] not in FINAL_ITEM]
    _audit_outputs(connection, job, items, report)
    true = {"total": len(items), "succeeded": states["succeeded"] + states["unchanged"], "unchanged": states["unchanged"], "failed": states["failed"],
            "cancelled": states["cancelled"], "remaining": states["pending"] + states["leased"], "leased": states["leased"],
            "bytes_in": sum(item["bytes_in"] for item in items if item["state"] in ("succeeded", "unchanged")),
            "bytes_out": connection.rows("SELECT coalesce(sum(bytes), 0) AS bytes FROM outputs WHERE job_no = ?", number)[0]["bytes"]}
    report.counters += [f"{name}: {key} is {job[key]}, truly {value}" for key, value in true.items() if job[key] != value]
    ends = connection.rows("SELECT generation, count(*) AS ends FROM events WHERE job_no = ? AND terminal = 1 GROUP BY generation", number)
    ends = {row["generation"]: row["ends"] for row in ends}
    report.doubled += [f"{name}: {count} terminal events in generation {generation}" for generation, count in ends.items() if count > 1]
    if job["webhook_url"] and job["state"] in FINAL_JOB and job["generation"] not in ends:
        report.lost.append(f"{name}: no terminal event")


def _audit_addresses(connection, job, urls, report):
    """Each row of the table is the item that it should be."""
    items = connection.rows("SELECT row_no, url FROM items WHERE job_no = ?", job["job_no"])
    found = {item["row_no"]: item["url"] for item in items}
    wanted = dict(enumerate(urls[:len(found)] if job["state"] == "cancelled" else urls, 1))
    report.lost += [f"job {job['id']}: row {row} is {found.get(row)} instead of {wanted.get(row)}"
                    for row in sorted(set(found) | set(wanted)) if found.get(row) != wanted.get(row)]


def _audit_outputs(connection, job, items, report):
    outputs = connection.rows("SELECT item, rendition FROM outputs WHERE job_no = ?", job["job_no"])
    counts = collections.Counter((output["item"], output["rendition"]) for output in outputs)
    report.doubled += [f"job {job['id']}: item {item} has {count} outputs of rendition '{rendition}'"
                       for (item, rendition), count in counts.items() if count > 1]
    with_output = {output["item"] for output in outputs}
    for item in items:
        if item["state"] in ("succeeded", "unchanged") and item["item"] not in with_output:
            report.lost.append(f"job {job['id']}: item {item['item']} is {item['state']} without an output")
        if item["state"] in ("failed", "cancelled") and item["item"] in with_output:
            report.doubled.append(f"job {job['id']}: item {item['item']} {item['state']} and has an output")


def _audit_files(connection, files, prefixes, report):
    named = collections.defaultdict(list)
    for output in connection.rows("SELECT job_no, item, key, bytes, sha256 FROM outputs"):
        named[output["key"]].append(output)
    report.doubled += [f"{len(outputs)} items name {key}" for key, outputs in named.items() if len(outputs) > 1]
    with concurrent.futures.ThreadPoolExecutor(_READERS) as readers:
        for key, found in zip(named, readers.map(lambda key: _measure(files, key), named)):
            if found is None:
                report.dangling.append(f"{key} is not there")
            elif any(found != (output["bytes"], output["sha256"]) for output in named[key]):
                report.dangling.append(f"{key} has other bytes than its row says")
    for key in _every_key(files, prefixes):
        report.files += 1
        if key not in named:
            report.orphans.append(key)


def _measure(files, key):
    """(bytes, SHA-256); None when there is no such file."""
    data = files.read(key)
    return None if data is None else (len(data), hashlib.sha256(data).hexdigest())


def _every_key(files, prefixes):
    if hasattr(files, "every_key"):
        return files.every_key()
    tops = {prefix.split("/")[0] for prefix in prefixes if prefix} or {""}
    return [key for top in sorted(tops) for key in files.keys(top)]


def audit_server(data, **options):
    return audit(pathlib.Path(data) / "pixmill.db", pathlib.Path(data) / "files", **options)


def main():
    if len(sys.argv) == 2:
        report = audit_server(sys.argv[1], finished=False)
    else:
        report = audit(sys.argv[1], sys.argv[2], finished=False)
    for problem in report.problems[:100]:
        print(problem)
    print(report)
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
