"""A scriptable HTTP origin for tests, the demo and trials by hand: `python3 -m support.origin FOLDER` in tests/.

Serves a folder, and these paths (whatever follows them in the path makes addresses distinct):

  /pic/N            a small JPEG of its own for every N
  /status/404/…     that status                        /flaky/3/…        503 three times, then a picture
  /429/…?after=1    429 with Retry-After, once         /503/…?times=2    503 (for ever without times), then a picture
  /slow/…?ms=500    a picture after a while            /drip/…?ms=100    a picture, one byte at a time
  /endless/…        chunks without an end              /redirect/…?to=U  302 to U (code=301 …)
  /truncated/…      fewer bytes than promised          /lying/…          HTML called image/jpeg
  /reset/…          the connection is reset            /never/…          no answer
  /echo/…           a picture; the request's headers are kept in `requests`
  /versioned/N?by=  a picture of the number in `versions[N]`, by=etag|weak|date says which, and answers 304 to who has it
                    (only to who asks for the address that it gave the version for)
  /__stats          {"path": hits} as JSON
"""

import collections
import email.utils
import http.server
import json
import pathlib
import socket
import struct
import sys
import threading
import time
import urllib.parse

from support import pictures

_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif",
          ".csv": "text/csv", ".html": "text/html"}

Request = collections.namedtuple("Request", "at path headers")


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    block_on_close = False
    origin = None

    def handle_error(self, request, client_address):
        """A client that goes away is what tests are about, not an error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    @property
    def origin(self):
        return self.server.origin

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = {key: values[-1] for key, values in urllib.parse.parse_qs(url.query).items()}
        if url.path == "/__stats":
            return self.answer(200, "application/json", json.dumps(self.origin.hits).encode())
        hit = self.origin.count(self.path, self.headers)
        try:
            handler = self.origin.routes.get(url.path)
            words = url.path.strip("/").split("/")
            if handler is None:
                handler = getattr(self, "serve_" + words[0], None) if words[0].isalnum() else None
            if handler is None:
                return self.serve_file(url.path)
            if handler == self.origin.routes.get(url.path):
                return handler(self, hit, query)
            return handler(words, hit, query)
        finally:
            self.origin.done()

    def answer(self, status, media_type, body, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def picture(self, number=0):
        self.answer(200, "image/jpeg", self.origin.numbered_picture(number))

    def pause(self, seconds):
        """True when the origin is being stopped meanwhile."""
        return self.origin.stopping.wait(seconds)

    def serve_file(self, path):
        folder = self.origin.folder
        file = (folder / urllib.parse.unquote(path).lstrip("/")).resolve() if folder else None
        if file is None or not file.is_relative_to(folder) or not file.is_file():
            return self.answer(404, "text/html", b"<html><body>Not found</body></html>")
        self.answer(200, _TYPES.get(file.suffix.lower(), "application/octet-stream"), file.read_bytes())

    def serve_pic(self, words, _, __):
        self.picture("/".join(words[1:]))

    def serve_echo(self, words, _, __):
        self.picture("/".join(words[1:]))

    def serve_versioned(self, words, _, query):
        name = "/".join(words[1:])
        number = self.origin.versions.get(name, 1)
        tag, date = f'"{name}-{number}"', email.utils.formatdate(1_000_000_000 + number * 1000, usegmt=True)
        headers, asked = {"etag": ({"ETag": tag, "Last-Modified": date}, self.headers["If-None-Match"] == tag),
                          "weak": ({"ETag": f"W/{tag}"}, self.headers["If-None-Match"] == f"W/{tag}"),
                          "date": ({"Last-Modified": date}, self.headers["If-Modified-Since"] == date),
                          }.get(query.get("by"), ({}, False))
        if asked:
            self.origin.count_not_modified()
            self.send_response(304)
            for header, value in headers.items():
                self.send_header(header, value)
            self.end_headers()
            return self.wfile.flush()
        if "ms" in query and self.pause(int(query["ms"]) / 1000):
            return None
        return self.answer(200, "image/jpeg", self.origin.numbered_picture(f"{name}-{number}"), headers)

    def serve_status(self, words, _, __):
        self.answer(int(words[1]), "text/html", b"<html><body>As you asked</body></html>")

    def serve_flaky(self, words, hit, _):
        if hit <= int(words[1]):
            self.answer(503, "text/plain", b"not yet")
        else:
            self.picture("/".join(words))

    def _refuse(self, words, hit, query, status, times):
        if hit <= times:
            headers = {"Retry-After": query["after"]} if "after" in query else {}
            self.answer(status, "text/plain", b"later, please", headers)
        else:
            self.picture("/".join(words))

    def serve_429(self, words, hit, query):
        self._refuse(words, hit, query, 429, int(query.get("times", 1)))

    def serve_503(self, words, hit, query):
        self._refuse(words, hit, query, 503, int(query.get("times", 1 << 60)))

    def serve_slow(self, words, _, query):
        if not self.pause(int(query.get("ms", 500)) / 1000):
            self.picture("/".join(words))

    def serve_drip(self, words, _, query):
        body = self.origin.numbered_picture("/".join(words))
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.pause(int(query.get("ms", 100)) / 1000):
                break
        self.close_connection = True

    def serve_endless(self, *_):
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunk = b"10000\r\n" + b"\xff\xd8" + b"x" * 65534 + b"\r\n"
        while not self.origin.stopping.is_set():
            self.wfile.write(chunk)
        self.close_connection = True

    def serve_redirect(self, _, __, query):
        self.answer(int(query.get("code", 302)), "text/plain", b"", {"Location": query["to"]})

    def serve_truncated(self, words, _, __):
        body = self.origin.numbered_picture("/".join(words))
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:len(body) // 2])
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def serve_lying(self, *_):
        self.answer(200, "image/jpeg", pictures.html_page())

    def serve_reset(self, *_):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # makefile() holds the descriptor too; closing all three is what sends the reset.
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
        self.close_connection = True

    def serve_never(self, *_):
        self.connection.settimeout(0.5)
        while not self.origin.stopping.is_set():
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.close_connection = True

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):
            pass


class Origin:
    """`with Origin(folder) as origin:` serves on a free port of the loopback until the block ends."""

    def __init__(self, folder=None, host="127.0.0.1", port=0):
        self.folder = pathlib.Path(folder).resolve() if folder else None
        self.versions = {}  # name: number, of /versioned/name; 1 by default
        self.not_modified = 0  # answers of 304
        self.routes = {}  # path: handler(request, hit, query), for what the paths above cannot do
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._hits = collections.Counter()
        self._requests = []
        self._active = 0
        self.most_active = 0
        self._base = None
        self._server = _Server((host, port), _Handler)
        self._server.origin = self
        self.host, self.port = self._server.server_address[:2]
        self.url = f"http://{self.host}:{self.port}"
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

    def numbered_picture(self, number):
        if self._base is None:
            self._base = pictures.jpeg(pictures.poster(96, 72, 1), quality=88)
        return pictures.numbered(self._base, number)

    def count(self, path, headers):
        with self._lock:
            self._hits[path] += 1
            self._requests.append(Request(time.monotonic(), path, dict(headers)))
            self._active += 1
            self.most_active = max(self.most_active, self._active)
            return self._hits[path]

    def count_not_modified(self):
        with self._lock:
            self.not_modified += 1

    def done(self):
        with self._lock:
            self._active -= 1

    @property
    def active(self):
        with self._lock:
            return self._active

    @property
    def hits(self):
        with self._lock:
            return dict(self._hits)

    @property
    def requests(self):
        with self._lock:
            return list(self._requests)

    @property
    def total(self):
        with self._lock:
            return len(self._requests)


if __name__ == "__main__":
    with Origin(sys.argv[1] if len(sys.argv) > 1 else ".", port=int(sys.argv[2]) if len(sys.argv) > 2 else 0) as running:
        print(running.url, flush=True)
        threading.Event().wait()
