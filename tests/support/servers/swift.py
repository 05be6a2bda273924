"""OpenStack Swift with its S3 interface: it verifies signatures, body hashes and clocks as AWS does. One proxy, account,
container and object server each, and a memcached, on one folder of /tmp (whose file system has to have user xattrs)."""

import contextlib
import grp
import hashlib
import http.client
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import warnings
import urllib.parse

from support.waiting import wait_until

_KEY, _SECRET, _REGION, _BUCKET, _DOMAIN = "test:tester", "testing", "us-east-1", "pixmill-test", "swift.test"
_START_SECONDS = 60

_STORAGE = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {etc}
devices = {devices}
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
log_level = ERROR
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[{kind}-replicator]
[container-updater]
"""

_PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {etc}
log_level = ERROR
[pipeline:main]
pipeline = catch_errors proxy-logging cache listing_formats s3api tempauth bulk slo dlo symlink versioned_writes proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
error_suppression_limit = 1000000
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = {region}
dns_compliant_bucket_names = yes
storage_domain = {domain}
check_bucket_owner = no
s3_acl = no
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:symlink]
use = egg:swift#symlink
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:proxy-logging]
use = egg:swift#proxy_logging
"""

_COMMON = """[swift-hash]
swift_hash_path_prefix = a
swift_hash_path_suffix = b
[storage-policy:0]
name = gold
policy_type = replication
default = yes
"""


def _free_ports(count):
    """Taken together, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Server:
    def __init__(self, bucket=_BUCKET):
        self.bucket = bucket
        self.folder = None
        self.port = None
        self._ports = []
        self._processes = []
        self._token = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_):
        self._stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def settings(self):
        return {"AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": _SECRET, "AWS_REGION": _REGION,
                "AWS_STORAGE_BUCKET_NAME": self.bucket, "AWS_ENDPOINT_URL": self.url, "AWS_STORAGE_DOMAIN": _DOMAIN}

    def pids(self):
        return [process.pid for process in self._processes]

    def stop_proxy(self):
        """kill -9 of what answers on the port, which refuses connections from then on."""
        proxy = self._processes.pop()
        os.killpg(proxy.pid, signal.SIGKILL)
        proxy.wait(10)

    def start_proxy(self):
        self._run_server("proxy")
        self._wait_ready()

    # Swift's own interface: what lies in the bucket, without S3 and without Pixmill.

    def native(self, method, path, body=None, headers=None):
        """(status, headers, body) of a request below the account, e.g. "/bucket/key"."""
        if self._token is None:
            status, answer, _ = self._request("GET", "/auth/v1.0", None, {"X-Auth-User": _KEY, "X-Auth-Key": _SECRET})
            if status != 200:
                raise OSError(f"tempauth answered {status}")
            self._token = answer["x-auth-token"]
        return self._request(method, "/v1/AUTH_test" + path, body, {"X-Auth-Token": self._token, **(headers or {})})

    def make_bucket(self, name):
        return self.native("PUT", f"/{name}")[0]

    def keys(self, bucket=None, prefix=""):
        """All keys of the bucket, in order."""
        found, marker = [], ""
        while True:
            query = urllib.parse.urlencode({"format": "json", "limit": 1000, "marker": marker, "prefix": prefix})
            status, _, body = self.native("GET", f"/{bucket or self.bucket}?{query}")
            if status == 204 or status == 404:
                return found
            page = [entry["name"] for entry in json.loads(body)]
            if not page:
                return found
            found += page
            marker = page[-1]

    def read(self, key, bucket=None):
        """(headers, bytes), or None where there is no such object."""
        status, headers, body = self.native("GET", f"/{bucket or self.bucket}/{urllib.parse.quote(key)}")
        return (headers, body) if status == 200 else None

    def write(self, key, data, bucket=None):
        status, _, _ = self.native("PUT", f"/{bucket or self.bucket}/{urllib.parse.quote(key)}", data)
        if status != 201:
            raise OSError(f"PUT {key}: {status}")

    def delete(self, key, bucket=None):
        return self.native("DELETE", f"/{bucket or self.bucket}/{urllib.parse.quote(key)}")[0]

    def sha256(self, key):
        found = self.read(key)
        return hashlib.sha256(found[1]).hexdigest() if found else None

    def _request(self, method, path, body, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def _start(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pixmill-swift-", dir="/tmp"))
        user = self._user()
        self._ports = _free_ports(5)
        self.port, memcached, account, container, objects = self._ports
        ports = {"account": account, "container": container, "object": objects}
        etc, devices = self.folder / "etc", self.folder / "srv"
        (devices / "d1").mkdir(parents=True)
        etc.mkdir()
        (etc / "swift.conf").write_text(_COMMON)
        for kind, port in ports.items():
            (etc / f"{kind}-server.conf").write_text(_STORAGE.format(kind=kind, port=port, user=user.pw_name, etc=etc, devices=devices))
            self._make_ring(etc / f"{kind}.ring.gz", port)
        (etc / "proxy-server.conf").write_text(_PROXY.format(port=self.port, user=user.pw_name, etc=etc, memcached=memcached,
                                                             region=_REGION, domain=_DOMAIN, secret=_SECRET))
        self._hand_over(user)
        self._run("memcached", "memcached", "-u", user.pw_name, "-l", "127.0.0.1", "-p", str(memcached), "-U", "0", "-m", "16")
        for kind in (*ports, "proxy"):
            self._run_server(kind)
        self._wait_ready()

    def _user(self):
        """Whom the servers run as: nobody where the test is root."""
        return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())

    def _hand_over(self, user):
        if os.geteuid() != 0:
            return
        self.folder.chmod(0o755)
        for path in [self.folder, *self.folder.rglob("*")]:
            shutil.chown(path, user.pw_name, grp.getgrgid(user.pw_gid).gr_name)

    @staticmethod
    def _make_ring(path, port):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries that it is made of
            from swift.common.ring import RingBuilder
        builder = RingBuilder(4, 1, 0)
        builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "meta": "",
                         "replication_ip": "127.0.0.1", "replication_port": port})
        builder.rebalance()
        builder.get_ring().save(str(path))

    def _run_server(self, kind):
        self._run(kind, "/usr/bin/python3", f"/usr/bin/swift-{kind}-server", str(self.folder / "etc" / f"{kind}-server.conf"))

    def _run(self, name, *command):
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                                    start_new_session=True))

    def _wait_ready(self):
        wait_until(self._is_ready, _START_SECONDS, lambda: f"Swift answers:\n{self.log_text()}")

    def _is_ready(self):
        for process in self._processes:
            if process.poll() is not None:
                raise OSError(f"{process.args} ended with {process.returncode}:\n{self.log_text()}")
        try:
            # A proxy that has met a storage server too early leaves it alone for a while.
            for port in self._ports:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return self.make_bucket(self.bucket) in (201, 202)
        except (OSError, http.client.HTTPException):
            return False

    def log_text(self):
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in sorted(self.folder.glob("*.log")))

    def _stop(self):
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        self._processes = []
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
