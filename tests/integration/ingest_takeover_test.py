"""P01, P04 and P14 where servers share tables: a table that was accepted is read in, whichever server dies, disk and all."""

import os
import random
import shutil
import signal

from support import case, pixmill
from support.fleet import Fleet
from support.s3_case import S3Case
from support.servers import postgres
from support.waiting import let_pass, wait_until

ROWS = case.short_or_long(40_000, 1_000_000)


class SharedTables:
    """What both stores of results have to do; `make_fleet` says where they lie."""

    def start_fleet(self):
        self.database = self.use(postgres.Server())
        self.web = self.origin()
        self.fleet_of_two = self.make_fleet()
        return self.fleet_of_two

    def lose(self, server):
        """kill -9, and its disk is gone."""
        server.kill()
        shutil.rmtree(server.data)

    def big_table(self, rows=ROWS):
        lines = [f"{n},SKU{n},{self.web.url}/pic/{n}" for n in range(1, rows + 1)]
        return "S.No.,Product Name,Input Image Urls\r\n" + "\r\n".join(lines) + "\r\n"

    def begin(self, server, table=None):
        """A large upload whose pictures rest, so that what is looked at is what goes in."""
        job_id = server.upload(table or self.big_table())
        self.assertEqual(200, server.request("POST", f"/v1/jobs/{job_id}/pause").status)
        self.assertLess(server.job(job_id)["rows"], ROWS, "it is read in too fast for this test")
        return job_id

    def wait_ingested(self, job_id):
        wait_until(lambda: self.is_read_in(job_id), case.short_or_long(120, 900), lambda: f"it is all in: {self.rows_in(job_id)}")

    def sql(self, text):
        return self.database.execute(text)

    def rows_in(self, job_id):
        return int(self.sql(f"SELECT row_count FROM pixmill.jobs WHERE id = '{job_id}'"))

    def is_read_in(self, job_id):
        return self.sql(f"SELECT count(*) FROM pixmill.jobs AS j JOIN pixmill.ingests AS g USING (job_no) WHERE j.id = '{job_id}'") == "0"

    def assert_exact(self, job_id, rows=ROWS):
        for table, number in (("rows", "row_no"), ("items", "item")):
            found = self.sql(f"SELECT count(*), min({number}), max({number}), count(DISTINCT {number}) FROM pixmill.{table}"
                             f" JOIN pixmill.jobs USING (job_no) WHERE id = '{job_id}'")
            self.assertEqual(f"{rows}|1|{rows}|{rows}", found, table)
        strays = self.sql("SELECT count(*) FROM pixmill.items WHERE row_no <> item OR url NOT LIKE '%/pic/' || item")
        self.assertEqual("0", strays)
        self.assertEqual(f"{rows}|{rows}|0", self.sql(f"SELECT row_count, total, invalid FROM pixmill.jobs WHERE id = '{job_id}'"))

    def test_another_server_reads_on_when_the_first_is_lost_with_its_disk(self):
        first, second = self.start_fleet().servers
        job_id = self.begin(first)
        wait_until(lambda: self.rows_in(job_id) > 0, 60, "it has begun")
        self.lose(first)
        there = self.rows_in(job_id)
        self.wait_ingested(job_id)
        print(f"{there} of {ROWS} rows were in")
        self.assert_exact(job_id)
        self.assertEqual("paused", second.job(job_id)["state"])
        wait_until(lambda: self.tables() == [], 30, lambda: f"the table is removed: {self.tables()}")
        self.assertEqual([], list((second.data / "spool").iterdir()), "and its copies")

    def test_kills_of_any_server_neither_lose_nor_double(self):
        chance = random.Random(seed := random.randrange(1 << 32))
        print("seed", seed)
        fleet = self.start_fleet()
        job_id = self.begin(fleet.servers[0])
        for kill in range(case.short_or_long(5, 20)):
            let_pass(chance.uniform(0.1, 1.2))
            victim = fleet.servers[kill % 2]
            victim.kill()
            victim.start(ready=False)
        self.wait_ingested(job_id)
        self.assert_exact(job_id)
        wait_until(lambda: self.tables() == [], 60, lambda: f"the table is removed: {self.tables()}")

    def test_a_server_that_was_paused_appends_nothing_after_it_was_taken_over(self):
        first, _ = self.start_fleet().servers
        job_id = self.begin(first)
        wait_until(lambda: self.rows_in(job_id) > 0, 60, "it has begun")
        os.kill(first.pid, signal.SIGSTOP)
        try:
            self.wait_ingested(job_id)
        finally:
            os.kill(first.pid, signal.SIGCONT)
        wait_until(first.is_ready, 30, "it goes on")
        let_pass(1)
        self.assert_exact(job_id)
        self.assertEqual("paused", first.job(job_id)["state"])

    def test_p01_an_upload_that_was_answered_outlives_its_server(self):
        first, second = self.start_fleet().servers
        second.kill()
        rows = {}
        for number in range(case.short_or_long(3, 20)):
            count = 1 + number * 7
            rows[first.upload(pixmill.table([f"{self.web.url}/pic/{number}/{n}" for n in range(count)]))] = count
        self.lose(first)
        second.start()
        for job_id, count in rows.items():
            job = second.wait_final(job_id, 60)
            self.assertEqual(("completed", count, count), (job["state"], job["total"], job["succeeded"]), job)
        wait_until(lambda: self.tables() == [], 30, lambda: f"the tables are removed: {self.tables()}")


class Folder(SharedTables, case.Case):
    """Results in a folder that all servers have."""

    def make_fleet(self):
        return self.use(Fleet(self.folder, self.database, "--engines", "1"))

    def tables(self):
        folder = self.folder / "files" / ".pixmill-internal" / "tables"
        return [path for path in folder.rglob("*") if path.is_file()]


class Bucket(SharedTables, S3Case):
    """Results in a bucket of OpenStack Swift."""

    def make_fleet(self):
        return self.use(Fleet(self.folder, self.database, "--engines", "1", env=self.env(S3_TIMEOUT_MS="10000")))

    def tables(self):
        return self.swift.keys(prefix=f"{self.prefix}/.pixmill-internal/tables/")

    def test_without_the_bucket_an_upload_is_refused_and_may_come_again(self):
        server = self.start_fleet().servers[0]
        table = pixmill.table([f"{self.web.url}/pic/1"])
        self.swift.stop_proxy()
        try:
            refused = server.post("/v1/jobs", {}, {"file": ("t.csv", table.encode())})
        finally:
            self.swift.start_proxy()
        self.assertEqual(503, refused.status, refused)
        self.assertGreater(int(refused.headers["retry-after"]), 0)
        self.assertIn("The upload cannot be stored", refused.json["detail"])
        self.assertEqual(0, server.get("/v1/jobs").json["total"])
        again = server.post("/v1/jobs", {}, {"file": ("t.csv", table.encode())})
        self.assertEqual(201, again.status, again)
        self.assertEqual("completed", server.wait_final(again.json["id"], 60)["state"])

    def test_a_table_of_many_pieces_goes_in_whole(self):
        first, _ = self.start_fleet().servers
        rows = 30_000
        lines = [f"{n},SKU{n},{self.web.url}/pic/{n},{'x' * 700}" for n in range(1, rows + 1)]
        table = "S.No.,Product Name,Input Image Urls,Note\r\n" + "\r\n".join(lines) + "\r\n"
        self.assertGreater(len(table), 16 << 20)
        job_id = first.upload(table)
        self.assertEqual(200, first.request("POST", f"/v1/jobs/{job_id}/pause").status)
        self.lose(first)
        self.wait_ingested(job_id)
        self.assert_exact(job_id, rows)


case.main()
