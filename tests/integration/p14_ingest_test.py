"""P14: a big table goes in exactly once, whatever is killed meanwhile, in little memory."""

import contextlib

from support import auditor, case, pixmill
from support.fleet import MASTER_KEY
from support.servers import postgres
from support.waiting import let_pass, wait_until

ROWS = case.short_or_long(60_000, 1_000_000)
KILLS = case.short_or_long(3, 12)
MEMORY_MAX_BYTES = 100e6


def big_table(path, origin):
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write("S.No.,Product Name,Input Image Urls\r\n")
        for number in range(1, ROWS + 1):
            out.write(f"{number},SKU{number},{origin}/never/{number}.jpg\r\n")
    return path


class P14(case.Case):
    def settings(self):
        return {}

    def database(self):
        return self.server.data / "pixmill.db"

    def setUp(self):
        super().setUp()
        # Nothing of the job may finish: what is looked at is what went in.
        self.table = big_table(self.folder / "products.csv", self.origin().url)
        self.server = self.use(pixmill.Server(self.folder / "data", env={"FETCH_TIMEOUT_MS": "600000", **self.settings()}))
        self.peak = 0

    def look_at_memory(self):
        with contextlib.suppress(FileNotFoundError, AttributeError):
            self.peak = max(self.peak, pixmill.memory_peak_bytes(self.server.pid))

    def wait_ingested(self, job_id):
        wait_until(lambda: self.server.job(job_id)["state"] != "ingesting", case.short_or_long(120, 600), "everything is ingested")

    def assert_exact(self, job_id):
        job = self.server.job(job_id)
        self.assertEqual((ROWS, ROWS, ROWS), (job["rows"], job["total"], job["remaining"]), job)
        self.look_at_memory()
        with contextlib.closing(auditor.open_database(self.database())) as connection:
            for table, number in (("rows", "row_no"), ("items", "item")):
                found = connection.rows(f"SELECT COUNT(*) AS all_of_them, MIN({number}) AS least, MAX({number}) AS most, "
                                        f"COUNT(DISTINCT {number}) AS different FROM {table}")[0]
                self.assertEqual((ROWS, 1, ROWS, ROWS), tuple(found[name] for name in ("all_of_them", "least", "most", "different")), table)
            own = "'/never/' || item || '.jpg'"
            strays = connection.rows("SELECT COUNT(*) AS strays FROM items WHERE row_no <> item OR "
                                     f"substr(url, length(url) - length({own}) + 1) <> {own}")
            self.assertEqual(0, strays[0]["strays"], "every item is of its own row")
        print(f"{ROWS} rows, server peak {self.peak / 1e6:.1f} MB")
        if not pixmill.is_sanitized():
            self.assertLess(self.peak, MEMORY_MAX_BYTES)

    def upload(self):
        return self.server.upload(self.table.read_bytes())

    def test_every_row_goes_in_once(self):
        job_id = self.upload()
        self.wait_ingested(job_id)
        self.assert_exact(job_id)

    def test_a_kill_in_the_middle_neither_loses_nor_doubles(self):
        job_id = self.upload()
        before = 0
        for _ in range(KILLS):
            wait_until(lambda: self.server.job(job_id)["rows"] > before or self.server.job(job_id)["state"] != "ingesting", 60, "it goes on")
            let_pass(0.02)
            self.look_at_memory()
            before = self.server.job(job_id)["rows"]
            self.server.kill()
            self.server.start()
        self.wait_ingested(job_id)
        self.assert_exact(job_id)


class P14OnPostgres(P14):
    def settings(self):
        self.postgres = self.use(postgres.Server())
        return {**self.postgres.settings(), "PIXMILL_MASTER_KEY": MASTER_KEY}

    def database(self):
        return self.postgres.url()


if __name__ == "__main__":
    case.main()
