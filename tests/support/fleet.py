"""Several servers of one installation: one PostgreSQL, one folder of results."""

import base64

from support import pixmill

MASTER_KEY = base64.b64encode(b"k" * 32).decode()


class Fleet:
    """`with Fleet(folder, database) as fleet:` runs `count` servers, each with a data folder of its own."""

    def __init__(self, folder, database, *arguments, count=2, env=None):
        self.files = folder / "files"
        self.servers = []
        self._marks = folder / "watermarks"
        for number in range(count):
            data = self._data_folder(folder / f"server{number}")
            self.servers.append(pixmill.Server(data, *arguments, start=False,
                                               env={**database.settings(), "PIXMILL_MASTER_KEY": MASTER_KEY, **(env or {})}))

    def _data_folder(self, data):
        """Results and watermarks are everybody's."""
        for shared in (self.files, self._marks):
            shared.mkdir(parents=True, exist_ok=True)
        data.mkdir()
        (data / "files").symlink_to(self.files)
        (data / "watermarks").symlink_to(self._marks)
        return data

    def __enter__(self):
        try:
            for server in self.servers:
                server.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.kill()

    def kill(self):
        self.__exit__()

    def restart(self):
        self.kill()
        self.__enter__()

    def metric(self, name, **labels):
        """The sum over the servers that run."""
        values = [server.metric(name, **labels) for server in self.servers if server.is_running()]
        return sum(value for value in values if value is not None)
