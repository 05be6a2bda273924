"""Receives webhooks, keeps every request as it came, and verifies Standard Webhooks signatures with code of its own."""

import base64
import binascii
import collections
import hashlib
import hmac
import http.server
import json
import threading
import time

from support.waiting import wait_until

Delivery = collections.namedtuple("Delivery", "at path headers body problem")


def new_secret(seed=b"pixmill test secret"):
    return "whsec_" + base64.b64encode(hashlib.sha256(seed).digest()).decode()


def problem_of(secret, headers, body, now=None, tolerance_s=300):
    """Why the signature does not hold; None when it does. Written from the Standard Webhooks 1.0 text."""
    headers = {name.lower(): value for name, value in headers.items()}
    missing = [n for n in ("webhook-id", "webhook-timestamp", "webhook-signature") if not headers.get(n)]
    if missing:
        return "missing header " + ", ".join(missing)
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        timestamp = int(headers["webhook-timestamp"])
    except (binascii.Error, ValueError) as error:
        return f"unreadable: {error}"
    if abs((now or time.time()) - timestamp) > tolerance_s:
        return f"timestamp {timestamp} is too far from now"
    signed = headers["webhook-id"].encode() + b"." + str(timestamp).encode() + b"." + body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    for entry in headers["webhook-signature"].split(" "):
        version, _, signature = entry.partition(",")
        if version == "v1" and hmac.compare_digest(signature, wanted):
            return None
    return "no signature matches"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    block_on_close = False
    receiver = None

    def handle_error(self, request, client_address):
        """A sender that is killed half way is what tests are about, not an error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers = self.server.receiver.take(self.path, self.headers, body)
        if status is None:
            self.server.receiver.stopping.wait()
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


class WebhookReceiver:
    """`answers` are given in turn, then 204 for ever: a status, (status, headers), or None for no answer at all."""

    def __init__(self, secret=None, answers=(), host="127.0.0.1", port=0, on_delivery=None):
        self.secret = secret
        self.stopping = threading.Event()
        self._answers = collections.deque(answers)
        self._on_delivery = on_delivery
        self._lock = threading.Lock()
        self._deliveries = []
        self._server = _Server((host, port), _Handler)
        self._server.receiver = self
        self.port = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def take(self, path, headers, body):
        problem = problem_of(self.secret, dict(headers), body) if self.secret else None
        delivery = Delivery(time.monotonic(), path, {n.lower(): v for n, v in headers.items()}, body, problem)
        with self._lock:
            self._deliveries.append(delivery)
            answer = self._answers.popleft() if self._answers else 204
        if self._on_delivery:
            self._on_delivery(delivery)
        return answer if isinstance(answer, tuple) else (answer, {})

    @property
    def deliveries(self):
        with self._lock:
            return list(self._deliveries)

    def documents(self):
        return [json.loads(delivery.body) for delivery in self.deliveries]

    def wait_for(self, count=1, seconds=30):
        wait_until(lambda: len(self.deliveries) >= count, seconds,
                   lambda: f"{count} webhook deliveries; there were {len(self.deliveries)}")
        return self.deliveries
