"""A PostgreSQL of its own, stopped for certain. It refuses to run as root, so root starts it as the user postgres or nobody."""

import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

from support.waiting import let_pass, wait_until


def _programs():
    named = os.environ.get("PG_BIN")
    folders = [named] if named else sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))
    if not folders:
        raise SystemExit("no PostgreSQL server: install the package postgresql, or set PG_BIN to the folder of its programs")
    return pathlib.Path(folders[-1])


def _owner():
    """Whom the server runs as: None for us."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit("PostgreSQL refuses root, and there is neither a user postgres nor a user nobody")


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """durable=True where the test kills the machine: what was committed must be there again. `tables`: a folder, on a disk
    of its own, where the database's tables lie, without its log."""

    def __init__(self, durable=False, tables=None):
        self._bin = _programs()
        self._owner = _owner()
        self._durable = durable
        self._tables = tables
        self.port = _free_port()
        self._process = None

    def _as_owner(self):
        if self._owner is None:
            return {}
        return {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}

    def _run(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder, **self._as_owner())
        if done.returncode != 0:
            raise SystemExit(f"{command[0]}: {done.stdout.decode()}")
        return done.stdout.decode()

    def __enter__(self):
        shared_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) and not self._durable else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pixmill-postgres-", dir=shared_memory))
        if self._owner is not None:
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
        try:
            self._run(self._bin / "initdb", "-D", self.folder / "data", "-U", "pixmill", "-A", "trust", "-E", "UTF8",
                      "--no-locale", "--no-sync")
            settings = [f"port = {self.port}", "listen_addresses = '127.0.0.1'", f"unix_socket_directories = '{self.folder}'",
                        "max_connections = 60", "max_wal_size = 2GB", "shared_buffers = 128MB", "deadlock_timeout = 200ms"]
            if not self._durable:
                settings += ["fsync = off", "full_page_writes = off"]
            with open(self.folder / "data" / "postgresql.auto.conf", "a") as file:
                file.write("\n".join(settings) + "\n")
            self.start()
            self._create_database()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _create_database(self):
        if self._tables is None:
            self.execute("CREATE DATABASE pixmill", database="postgres")
            return
        if self._owner is not None:
            os.chown(self._tables, self._owner.pw_uid, self._owner.pw_gid)
        self.execute(f"CREATE TABLESPACE apart LOCATION '{self._tables}'", database="postgres")
        self.execute("CREATE DATABASE pixmill TABLESPACE apart", database="postgres")

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen([self._bin / "postgres", "-D", self.folder / "data"], cwd=self.folder,
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                             **self._as_owner())
        wait_until(self._is_ready, 60, lambda: (self.folder / "log").read_text()[-4000:])

    def _is_ready(self):
        if self._process.poll() is not None:
            raise SystemExit("PostgreSQL did not start:\n" + (self.folder / "log").read_text()[-4000:])
        return subprocess.run([self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0

    def stop(self, mode="immediate"):
        """immediate: as a crash of the server; fast: as an administrator does."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT if mode == "immediate" else signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._process = None

    def restart(self, mode="immediate", absence_s=0):
        self.stop(mode)
        let_pass(absence_s)
        self.start()

    def execute(self, sql, database="pixmill"):
        """The answer as psql's unaligned text, without headings."""
        return self._run(self._bin / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "pixmill", "-d", database, "-X",
                         "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql).strip()

    @property
    def pid(self):
        return self._process.pid

    def dump(self):
        """A dump of the schema, as docs/OPERATIONS.md says; its path, which only restore() may read."""
        path = self.folder / "pixmill.dump"
        self._run(self._bin / "pg_dump", "--format=custom", "--schema=pixmill", "--no-owner", f"--file={path}", self.url())
        return path

    def restore(self, path):
        self._run(self._bin / "pg_restore", "--no-owner", f"--dbname={self.url()}", path)

    def url(self):
        return f"postgres://pixmill@127.0.0.1:{self.port}/pixmill"

    def settings(self):
        return {"DATABASE_URL": self.url()}

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
