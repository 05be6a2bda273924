"""P41: requests with one Idempotency-Key make one job, however many come, wherever, and whoever is killed."""

import concurrent.futures

from support import case, pixmill
from support.fleet import Fleet
from support.servers import postgres
from support.waiting import wait_until


def send(server, table, key, **fields):
    return server.post("/v1/jobs", fields, {"file": ("t.csv", table.encode())}, headers={"Idempotency-Key": key})


class P41(case.Case):
    def assert_one_job(self, answers, servers):
        """Every answer is the job or says that it is under way; gives its id."""
        ids = {answer.json["id"] for answer in answers if answer.status == 201}
        self.assertEqual(1, len(ids), ids)
        others = [answer for answer in answers if answer.status != 201]
        self.assertEqual([], [answer for answer in others if answer.status != 409])
        for answer in others:
            self.assertEqual("idempotency_key_in_use", answer.json["code"])
            self.assertEqual("1", answer.headers["retry-after"])
        self.assertEqual(1, servers[0].get("/v1/jobs").json["total"])
        return ids.pop()

    def test_a_thousand_duplicates_are_one_job(self):
        web = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        table = pixmill.table([f"{web.url}/pic/{n}" for n in range(5)])
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda _: send(server, table, "order-1"), range(1000)))
        job_id = self.assert_one_job(answers, [server])
        fresh = [answer for answer in answers if answer.status == 201 and "idempotent-replayed" not in answer.headers]
        self.assertEqual(1, len(fresh))
        self.assertEqual("completed", server.wait_final(job_id)["state"])
        self.assertEqual(5, len([r for r in web.requests if r.path.startswith("/pic/")]))

    def test_the_key_outlives_a_kill_and_belongs_to_its_request(self):
        web = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        table = pixmill.table([f"{web.url}/pic/{n}" for n in range(5)])
        first = send(server, table, "k1", name="one")
        self.assertEqual(201, first.status, first)
        server.kill()
        server.start()
        again = send(server, table, "k1", name="one")
        self.assertEqual((201, "true"), (again.status, again.headers["idempotent-replayed"]))
        self.assertEqual(first.json["id"], again.json["id"])
        self.assertEqual(first.headers["location"].split("/v1/")[1], again.headers["location"].split("/v1/")[1])
        for other in (send(server, table + "9,x,http://127.0.0.1/x\r\n", "k1", name="one"), send(server, table, "k1", name="two")):
            self.assertEqual((422, "idempotency_key_reused"), (other.status, other.json["code"]))
        self.assertEqual(400, send(server, table, "k" * 256).status)
        self.assertNotEqual(first.json["id"], send(server, table, "k2", name="one").json["id"])
        self.assertEqual(2, server.get("/v1/jobs").json["total"])
        server.wait_final(first.json["id"])
        self.assertEqual(204, server.request("DELETE", f"/v1/jobs/{first.json['id']}").status)
        wait_until(lambda: server.get(f"/v1/jobs/{first.json['id']}/items").status == 404, 20, "it is removed")
        # Its key is free again, as soon as nothing of it is left.
        wait_until(lambda: send(server, table, "k1", name="two").status == 201, 20, "the key makes another job")
        job = server.wait_final(first.json["id"])
        self.assertEqual(("two", 5), (job["name"], job["succeeded"]), job)

    def test_what_is_refused_takes_no_key(self):
        web = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        self.assertEqual(422, send(server, "url\nnot an address\n", "k").status)
        self.assertEqual(201, send(server, pixmill.table([f"{web.url}/pic/1"]), "k").status)

    def test_servers_of_one_database_agree(self):
        web = self.origin()
        database = self.use(postgres.Server())
        fleet = self.use(Fleet(self.folder, database, "--engines", "1"))
        table = pixmill.table([f"{web.url}/pic/{n}" for n in range(5)])
        for number in range(case.short_or_long(5, 50)):
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda n, key=f"k{number}": send(fleet.servers[n % 2], table, key), range(16)))
            ids = {answer.json["id"] for answer in answers if answer.status == 201}
            self.assertEqual(1, len(ids), answers)
            self.assertEqual({201, 409} | {answer.status for answer in answers}, {201, 409})
            job = fleet.servers[0].wait_final(ids.pop())
            self.assertEqual(("completed", 5), (job["state"], job["succeeded"]), job)
        self.assertEqual(number + 1, fleet.servers[1].get("/v1/jobs").json["total"])


case.main()
