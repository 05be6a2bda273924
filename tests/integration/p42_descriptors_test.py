"""P42: clients that take many connections do not take the descriptors that the rest works with."""

import contextlib
import resource
import socket
import time

from support import case, pixmill
from support.waiting import wait_until

_LIMIT = 1024
_CONNECTIONS = 1100


class Confined(pixmill.Server):
    """The server as a service manager starts it that lets nobody raise the limit."""

    def command(self):
        return ["/bin/sh", "-c", f'ulimit -n {_LIMIT}; exec "$@"', "sh", *super().command()]


class P42(case.Case):
    def connect(self, server, begin):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        connections = []
        for _ in range(_CONNECTIONS):
            connection = socket.create_connection((server._at.hostname, server._at.port), 10)
            self.addCleanup(connection.close)
            with contextlib.suppress(OSError):  # it may have been sent away already
                connection.sendall(begin)
            connections.append(connection)
        return connections

    def answer_times(self, server, count, statuses):
        times = []
        for _ in range(count):
            begun = time.monotonic()
            self.assertIn(server.get("/healthz").status, statuses)
            times.append(time.monotonic() - begun)
        return sorted(times)

    def test_heads_that_do_not_end(self):
        origin = self.origin()
        server = self.use(Confined(self.folder / "data"))
        self.connect(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        self.assertLess(self.answer_times(server, 50, {200})[-1], 1)
        job = server.wait_final(server.upload(pixmill.table([f"{origin.url}/pic/{n}" for n in range(20)])))
        self.assertEqual(20, job["succeeded"], job)
        self.assertNotIn("http_accept_failed", server.log_text())

    def test_bodies_that_do_not_come(self):
        """Those are requests under way: nobody is sent away for a newcomer, who is told so at once."""
        origin = self.origin()
        server = self.use(Confined(self.folder / "data"))
        job_id = server.upload(pixmill.table([f"{origin.url}/slow/{n}?ms=200" for n in range(60)]))
        self.connect(server, b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000\r\n\r\n--b\r\n")
        self.assertLess(self.answer_times(server, 50, {200, 503})[-1], 1)
        # They are dropped for their slowness, and the job was not in their way.
        wait_until(lambda: server.get("/healthz").status == 200, 60, "room for others")
        self.assertEqual(60, server.wait_final(job_id)["succeeded"])
        self.assertNotIn("http_accept_failed", server.log_text())


case.main()
