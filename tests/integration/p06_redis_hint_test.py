"""P06: Redis is a hint. FLUSHALL, kill -9 and absence lose nothing; secrets of its address are shown nowhere."""

from support import auditor, case, pixmill
from support.servers import redis, redis_tls
from support.waiting import wait_until


class P06(case.Case):
    def progress(self, server, job_id):
        job = server.job(job_id)
        return job["succeeded"] + job["failed"]

    def redis_check(self, server):
        answer = server.get("/readyz")
        return answer.status, next(check for check in answer.json["checks"] if check["name"] == "redis")

    def test_a_job_goes_on_through_flushall_kill_and_absence(self):
        rows = case.short_or_long(800, 10_000)
        origin = self.origin()
        hints = self.use(redis.Server())
        server = self.use(pixmill.Server(self.folder / "data", env=hints.settings()))
        wait_until(lambda: self.redis_check(server)[1]["ok"], 10, "Redis is connected")
        job_id = server.upload(pixmill.table([f"{origin.url}/slow/{n}?ms=30" for n in range(rows)]))
        for part, happens in ((0.1, lambda: hints.command("FLUSHALL")), (0.25, hints.kill), (0.4, hints.start), (0.5, hints.kill)):
            wait_until(lambda at=part * rows: self.progress(server, job_id) >= at, 120, "progress")
            happens()
        job = server.wait_final(job_id, 240)
        self.assertEqual(("completed", rows), (job["state"], job["succeeded"]), job)
        status, check = self.redis_check(server)
        self.assertEqual((200, False), (status, check["ok"]), check)
        code, seconds = server.terminate()
        self.assertEqual(0, code, server.log_text()[-3000:])
        self.assertLess(seconds, 9.5)
        self.assert_clean(auditor.audit_server(server.data, rows_expected={job_id: rows}))

    def test_it_starts_without_redis_and_finds_it_later(self):
        origin = self.origin()
        hints = self.use(redis.Server())
        hints.kill()
        server = self.use(pixmill.Server(self.folder / "data", env=hints.settings()))
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(20)]))
        self.assertEqual("completed", server.wait_final(job_id)["state"])
        hints.start()
        wait_until(lambda: self.redis_check(server)[1]["ok"], 20, "Redis is connected")
        self.assertEqual(1, server.metric("pixmill_redis_up", connection="commands"))

    def test_hints_do_not_pile_up(self):
        origin = self.origin()
        hints = self.use(redis.Server())
        server = self.use(pixmill.Server(self.folder / "data", env=hints.settings()))
        for batch in range(5):
            job_id = server.upload(pixmill.table([f"{origin.url}/pic/{batch}/{n}" for n in range(100)]))
            server.wait_final(job_id)
        wait_until(lambda: hints.command("XLEN", "{pixmill:hints}") == 0, 20, "every hint is settled")

    def test_it_logs_in_over_tls_and_shows_no_secret(self):
        origin = self.origin()
        hints = self.use(redis_tls.Server())
        server = self.use(pixmill.Server(self.folder / "data", env={**hints.settings(), "LOG_LEVEL": "debug"}))
        wait_until(lambda: self.redis_check(server)[1]["ok"], 10, lambda: server.log_text()[-2000:])
        job_id = server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(20)]))
        self.assertEqual("completed", server.wait_final(job_id)["state"])
        hints.kill()
        wait_until(lambda: not self.redis_check(server)[1]["ok"], 10, "Redis is away")
        shown = server.log_text() + server.get("/metrics").text + server.get("/readyz").text
        self.assertIn("rediss://localhost", shown)
        for secret in (redis_tls.PASSWORD, "pass%3Aword"):
            self.assertNotIn(secret, shown)

    def test_it_warns_where_redis_may_drop_keys(self):
        hints = self.use(redis.Server(maxmemory="64mb", maxmemory_policy="allkeys-lru"))
        server = self.use(pixmill.Server(self.folder / "data", env=hints.settings()))
        wait_until(lambda: "redis_may_evict" in server.log_text(), 10, lambda: server.log_text()[-2000:])


case.main()
