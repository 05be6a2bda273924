"""The proxy that chaos runs through does what it says, or nothing shown by them would mean anything."""

import contextlib
import socket
import threading
import time
import unittest

from chaos.fault_proxy import NONE, Fault, FaultProxy, fault_from


class Echo:
    """Sends back what it gets."""

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    @staticmethod
    def _serve(connection):
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)


class FaultProxyTest(unittest.TestCase):
    def setUp(self):
        self.echo = self.enterContext(Echo())
        self.proxy = self.enterContext(FaultProxy(self.echo.port))

    def connect(self, seconds=5.0):
        connection = socket.create_connection(("127.0.0.1", self.proxy.port), timeout=seconds)
        self.addCleanup(connection.close)
        return connection

    def ask(self, connection, data=b"ping"):
        connection.sendall(data)
        answer = b""
        while len(answer) < len(data):
            answer += connection.recv(65536) or self.fail("closed")
        return answer

    def test_a_plain_wire_carries_everything(self):
        data = bytes(range(256)) * 4096
        connection = self.connect()
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        answer = b""
        while len(answer) < len(data):
            answer += connection.recv(65536)
        sender.join()
        self.assertEqual(data, answer)

    def test_latency_counts_both_ways(self):
        connection = self.connect()
        self.ask(connection)
        self.proxy.fault = Fault(latency_ms=60)
        begun = time.monotonic()
        self.ask(connection)
        self.assertGreaterEqual(time.monotonic() - begun, 0.119)  # that it waits is what is tested

    def test_reset_ends_open_connections_and_new_ones(self):
        connection = self.connect()
        self.ask(connection)
        self.proxy.fault = Fault(reset=True)
        with self.assertRaises(ConnectionResetError):
            connection.recv(1)
        with self.assertRaises(OSError):
            self.ask(self.connect())
            self.connect().recv(1)
        self.proxy.fault = NONE
        self.assertEqual(b"ping", self.ask(self.connect()))

    def test_a_blackhole_swallows_and_gives_back(self):
        connection = self.connect(0.3)
        self.ask(connection)
        self.proxy.fault = Fault(blackhole=True)
        connection.sendall(b"lost?")
        with self.assertRaises(TimeoutError):
            connection.recv(5)
        self.proxy.fault = NONE
        connection.settimeout(5)
        self.assertEqual(b"lost?", connection.recv(5))

    def test_slices_arrive_whole(self):
        self.proxy.fault = Fault(slice_bytes=1)
        self.assertEqual(b"0123456789", self.ask(self.connect(), b"0123456789"))

    def test_bandwidth_is_bounded(self):
        self.proxy.fault = Fault(bandwidth=100_000)
        begun = time.monotonic()
        self.ask(self.connect(), b"x" * 20_000)
        self.assertGreaterEqual(time.monotonic() - begun, 0.19)

    def test_refused_connections_come_back_on_the_same_port(self):
        port = self.proxy.port
        connection = self.connect()
        self.ask(connection)
        self.proxy.fault = Fault(refuse=True)
        with self.assertRaises(OSError):
            if not connection.recv(1):
                raise OSError
        with self.assertRaises(ConnectionRefusedError):
            self.connect()
        self.proxy.fault = NONE
        self.assertEqual(port, self.proxy.port)
        self.assertEqual(b"ping", self.ask(self.connect()))

    def test_faults_have_a_language(self):
        self.assertEqual(Fault(latency_ms=20), fault_from(["latency", "20"]))
        self.assertEqual(Fault(blackhole=True), fault_from(["blackhole"]))
        self.assertEqual(NONE, fault_from(["none"]))
        for wrong in (["latency"], ["latency", "x"], ["none", "1"], ["fire"]):
            with self.assertRaises(ValueError):
                fault_from(wrong)
        self.assertEqual("reset=True", str(Fault(reset=True)))
        self.assertEqual("none", str(NONE))


unittest.main(verbosity=1)
