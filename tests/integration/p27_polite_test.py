"""P27: polite to hosts. A dead or slow host does not hold up the others, a host's rate is learnt from its 429s, and with Redis
the limit holds across processes."""

import collections
import time

from support import auditor, case, pixmill
from support.servers import redis
from support.waiting import wait_until


class P27(case.Case):
    def good_ones_done(self, server, job_id, good):
        return sum(item["state"] == "succeeded" for item in server.items(job_id)) >= good

    def seconds_until_good_ones_are_done(self, server, urls, good):
        begun = time.monotonic()
        job_id = server.upload(pixmill.table(urls))
        wait_until(lambda: self.good_ones_done(server, job_id, good), 60, lambda: server.get("/v1/system").text)
        return time.monotonic() - begun

    def test_a_dead_host_at_the_head_of_the_table_does_not_hold_up_the_others(self):
        good = case.short_or_long(300, 3_000)
        origin, dead = self.origin(), self.origin()
        server = self.use(pixmill.Server(self.folder / "data", env={"FETCH_TIMEOUT_MS": "60000", "PIXMILL_ITEMS_IN_FLIGHT": "64"}))
        alone = self.seconds_until_good_ones_are_done(server, [f"{origin.url}/pic/a{n}" for n in range(good)], good)
        # Four times as many as fit into the process, and nothing of them ever ends while this test runs.
        urls = [f"{dead.url}/never/{n}" for n in range(256)] + [f"{origin.url}/pic/b{n}" for n in range(good)]
        beside = self.seconds_until_good_ones_are_done(server, urls, good)
        print(f"{good} pictures alone {alone:.2f} s, behind 256 of a dead host {beside:.2f} s", flush=True)
        self.assertLess(beside, alone + 15)
        table = {host["host"]: host for host in server.get("/v1/system").json["hosts"]["table"]}
        self.assertLessEqual(table[dead.url]["in_flight"], 4)
        self.assertLess(table[dead.url]["waiting"], 60)
        self.assertGreater(server.metric("pixmill_host_sent_away_total"), 0)

    def test_the_rate_of_a_host_is_learnt(self):
        origin = self.origin()
        rate, rows = 20, 120
        seconds = collections.Counter()

        def limited(request, _, __):
            second = int(time.monotonic())
            seconds[second] += 1
            if seconds[second] <= rate:
                request.picture(request.path)
            else:
                request.answer(429, "text/plain", b"too many requests")

        urls = [f"{origin.url}/limited/{n}" for n in range(rows)]
        origin.routes.update({f"/limited/{n}": limited for n in range(rows)})
        server = self.use(pixmill.Server(self.folder / "data"))
        job_id = server.upload(pixmill.table(urls))
        job = server.wait_final(job_id, 120)
        self.assertEqual(("completed", rows), (job["state"], job["succeeded"]), job)
        refused = origin.total - rows
        print(f"{rows} pictures at {rate} a second: {refused} refused", flush=True)
        self.assertLess(refused, rows / 2)
        self.assertEqual(refused, server.metric("pixmill_host_refusals_total", status="429"))

    def test_the_limit_holds_for_all_processes_on_one_redis(self):
        origin = self.origin()
        shared = self.use(redis.Server())
        settings = {**shared.settings(), "FETCH_PER_HOST": "4"}
        servers = [self.use(pixmill.Server(self.folder / name, env=settings)) for name in ("a", "b")]
        for server in servers:
            wait_until(lambda at=server: at.metric("pixmill_redis_up", connection="commands") == 1, 10, "Redis is connected")
        jobs = [server.upload(pixmill.table([f"{origin.url}/slow/{name}{n}?ms=40" for n in range(80)]))
                for name, server in zip("ab", servers)]
        for server, job_id in zip(servers, jobs):
            job = server.wait_final(job_id, 60)
            self.assertEqual(("completed", 80), (job["state"], job["succeeded"]), job)
        self.assertLessEqual(origin.most_active, 4)
        for server, job_id in zip(servers, jobs):
            server.kill()
            self.assert_clean(auditor.audit_server(server.data, rows_expected={job_id: 80}))

    def test_a_refusal_of_one_process_holds_for_the_other(self):
        origin = self.origin()
        shared = self.use(redis.Server())
        a, b = (self.use(pixmill.Server(self.folder / name, env=shared.settings())) for name in ("a", "b"))
        for server in (a, b):
            wait_until(lambda at=server: at.metric("pixmill_redis_up", connection="commands") == 1, 10, "Redis is connected")
        a.upload(pixmill.table([f"{origin.url}/429/x?after=30"]))
        wait_until(lambda: a.get("/v1/system").json["hosts"]["backing_off"] == 1, 10, "the host is closed")
        b.upload(pixmill.table([f"{origin.url}/pic/1"]))
        wait_until(lambda: b.get("/v1/system").json["hosts"]["backing_off"] == 1, 10, "and for the other process too")
        self.assertEqual(1, origin.total)


case.main()
