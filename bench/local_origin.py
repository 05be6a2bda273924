"""Where benchmarks' pictures come from: an nginx of their own on this machine, and the pictures in it."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys

from support import pictures
from support.waiting import wait_until

_ORIGINALS = 24  # different pictures per set; the others are these with another comment, so that every file differs

_NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
  types {{ image/jpeg jpg; }}
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=1024; root {root};
    # One picture under as many addresses as are asked for.
    location /one/ {{ rewrite ^ /one.jpg break; }} }}
}}
"""


class Nginx:
    """An nginx of our own on a free port, gone when the block ends."""

    def __init__(self, root, folder):
        self.folder = pathlib.Path(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = self.folder / "nginx.conf"
        config.write_text(_NGINX.format(folder=self.folder, port=self.port, root=root))
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or sys.exit("nginx is not there: ./run setup test")
        self.process = subprocess.Popen([program, "-c", str(config), "-p", str(self.folder)], stderr=subprocess.PIPE)

    def __enter__(self):
        def answers():
            if self.process.poll() is not None:
                raise AssertionError(self.process.stderr.read().decode())
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(answers, 10, "nginx answers")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stderr.close()


def make_pictures(root, name, count, width, height):
    folder = root / f"{width}x{height}"
    folder.mkdir(parents=True, exist_ok=True)
    originals = None
    for number in range(count):
        file = folder / f"{number:05}.jpg"
        if not file.exists():
            if originals is None:
                print(f"making {count} pictures of {name} …", file=sys.stderr, flush=True)
                originals = [pictures.jpeg(pictures.photo(width, height, seed), quality=90) for seed in range(_ORIGINALS)]
            file.write_bytes(pictures.numbered(originals[number % _ORIGINALS], number))
    return [f"{width}x{height}/{number:05}.jpg" for number in range(count)]


def write_table(path, base_url, names):
    path.write_text("url\n" + "".join(f"{base_url}/{name}\n" for name in names))
