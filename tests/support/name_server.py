"""A name server on the loopback that gives every name one address, or keeps silent: PIXMILL_DNS_SERVERS points at it."""

import socket
import struct
import threading


class NameServer:
    def __init__(self, address="127.0.0.1", answering=True):
        self.answering = answering
        self._packed = socket.inet_aton(address)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._asked = []
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A datagram to itself wakes the thread; closing alone would not.
        self._packed = None
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    @property
    def asked(self):
        """Names, as often as they were asked for."""
        with self._lock:
            return list(self._asked)

    def _serve(self):
        while True:
            query, sender = self._socket.recvfrom(1500)
            if self._packed is None:
                return
            if len(query) < 17:
                continue
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode("latin1"))
                at += 1 + query[at]
            with self._lock:
                self._asked.append(".".join(labels))
            if self.answering:
                self._socket.sendto(self._answer(query, query[12:at + 5]), sender)

    def _answer(self, query, question):
        wants_ipv4 = question[-4:] == struct.pack(">HH", 1, 1)
        head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1 if wants_ipv4 else 0, 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + self._packed
        return head + question + (record if wants_ipv4 else b"")
