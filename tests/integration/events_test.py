"""GET /v1/jobs/{id}/events through the real program: alone, and across the servers of a fleet."""

import http.client
import json
import threading

from support import case, pixmill
from support.fleet import MASTER_KEY
from support.servers import postgres, redis
from support.waiting import wait_until

STREAMS = 2_000


class Listener:
    """Reads a job's events on a thread until the stream ends."""

    def __init__(self, server, job_id, last_event_id=None):
        self.events, self.comments, self.ended = [], 0, False
        host, port = server.base_url.removeprefix("http://").split(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=60)
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        self._connection.request("GET", f"/v1/jobs/{job_id}/events", headers=headers)
        self.response = self._connection.getresponse()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The thread sits in a read, which keeps the reader's lock: the socket is shut down beneath it.
        if self._connection.sock is not None:
            self._connection.sock.close()
        self._thread.join(5)

    def _read(self):
        event = {}
        try:
            for line in self.response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    event[name] = value
                elif event:
                    if "data" in event:
                        self.events.append({**event, "data": json.loads(event["data"])})
                    event = {}
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self.ended = True

    def names(self):
        return [event["event"] for event in self.events]

    def wait_for(self, name, seconds=30):
        wait_until(lambda: name in self.names(), seconds, lambda: f"{name} among {self.names()}")
        return [event for event in self.events if event["event"] == name][-1]


class Alone(case.Case):
    def test_a_job_is_told_to_its_end(self):
        origin, server = self.origin(), self.use(pixmill.Server(self.folder / "data"))
        job = server.upload(pixmill.table([f"{origin.url}/slow/{n}?ms=20" for n in range(200)] + [f"{origin.url}/status/404/x"]))
        listener = self.use(Listener(server, job))
        self.assertEqual(200, listener.response.status)
        end = listener.wait_for("end", 60)
        wait_until(lambda: listener.ended, 5, "the stream ends after the end")
        self.assertEqual("snapshot", listener.names()[0])
        self.assertEqual(200, end["data"]["succeeded"])
        done = [event["data"]["succeeded"] for event in listener.events if event["event"] == "progress"]
        self.assertEqual(sorted(done), done)
        self.assertEqual([{"code": "http_404", "count": 1}],
                         [{key: group[key] for key in ("code", "count")} for group in listener.wait_for("errors")["data"]])
        self.assertEqual(204, Listener(server, job, end["id"]).response.status)

    def test_2000_idle_streams_cost_at_most_30_mb(self):
        origin, server = self.origin(), self.use(pixmill.Server(self.folder / "data"))
        job = server.upload(pixmill.table([f"{origin.url}/never/{n}.jpg" for n in range(2)]))
        wait_until(lambda: server.job(job)["state"] == "running", 20, "ingested")
        before = pixmill.memory_bytes(server.pid)
        host, port = server.base_url.removeprefix("http://").split(":")
        connections = []
        try:
            for _ in range(STREAMS):
                connection = http.client.HTTPConnection(host, int(port), timeout=30)
                connection.request("GET", f"/v1/jobs/{job}/events")
                connections.append(connection)
            for connection in connections:
                self.assertEqual(200, connection.getresponse().status)
            used = pixmill.memory_bytes(server.pid) - before
            print(f"{STREAMS} streams: {used / 1e6:.1f} MB")
            if not pixmill.is_sanitized():
                self.assertLess(used, 30e6)
            self.assertEqual(200, server.get("/healthz").status)
        finally:
            for connection in connections:
                connection.close()

    def test_streams_do_not_hold_up_the_end_of_the_server(self):
        origin, server = self.origin(), self.use(pixmill.Server(self.folder / "data"))
        job = server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(3)]))
        server.wait_final(job)
        again = server.upload(pixmill.table([f"{origin.url}/never/{n}.jpg" for n in range(2)]))
        listener = self.use(Listener(server, again))
        listener.wait_for("snapshot")
        code, seconds = server.terminate()
        self.assertEqual(0, code)
        self.assertLess(seconds, 10)
        wait_until(lambda: listener.ended, 5, "the stream ends")
        self.assertNotIn("end", listener.names())


class AcrossServers(case.Case):
    def run_fleet(self, **more):
        database = self.use(postgres.Server())
        env = {**database.settings(), "PIXMILL_MASTER_KEY": MASTER_KEY, "PIXMILL_ENGINES": "1", **more}
        files = self.folder / "files"
        files.mkdir()

        def data(name):
            (self.folder / name).mkdir()
            (self.folder / name / "files").symlink_to(files)
            return self.folder / name

        servers = [self.use(pixmill.Server(data(f"server{n}"), "--workers", "0", env=env)) for n in range(2)]
        self.use(pixmill.Worker(data("worker"), env=env))
        origin = self.origin()
        job = servers[0].upload(pixmill.table([f"{origin.url}/slow/{n}?ms=30" for n in range(100)]))
        listeners = [self.use(Listener(server, job)) for server in servers]
        ends = [listener.wait_for("end", 60) for listener in listeners]
        self.assertEqual(100, ends[0]["data"]["succeeded"])
        for key in ("id", "state", "succeeded", "failed", "bytes_in", "bytes_out", "finished_at"):
            self.assertEqual(ends[0]["data"][key], ends[1]["data"][key], key)
        self.assertEqual(ends[0]["id"], ends[1]["id"], "a client may go on at another server")
        self.assertEqual(204, Listener(servers[1], job, ends[0]["id"]).response.status)

    def test_with_redis(self):
        cache = self.use(redis.Server())
        self.run_fleet(**cache.settings())
        channels = cache.command("PUBSUB", "CHANNELS")
        self.assertIn("pixmill:progress", channels)

    def test_with_the_database_alone(self):
        self.run_fleet()


if __name__ == "__main__":
    case.main()
