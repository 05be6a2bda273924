"""P13: a poison image fails alone, after exactly two engine crashes."""

import os
import pathlib
import signal
import threading

from support import case, pictures, pixmill
from support.waiting import let_pass

_POISON_RESIDENT_BYTES = 90_000_000


def resident_bytes(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


class P13(case.Case):
    def poison(self):
        """A picture that no other in the job is like: turned upright, it needs over 100 MB at once, so that the engine that holds it
        can be told from the others, and killed as a crash in the decoder would."""
        return pictures.jpeg(pictures.photo(1300, 1300).resize((6200, 6200)), quality=80, orientation=6)

    def crash_on_poison(self, server, over, kills):
        while not over.is_set():
            for pid in server.engines():
                if pid not in kills and resident_bytes(pid) > _POISON_RESIDENT_BYTES:
                    kills.append(pid)
                    os.kill(pid, signal.SIGKILL)
            let_pass(0.002)

    def test_it_fails_after_two_crashes_and_its_neighbours_succeed(self):
        self.write("pictures/poison.jpg", self.poison())
        origin = self.origin(folder=self.folder / "pictures")
        server = self.use(pixmill.Server(self.folder / "data", "--engines", "2"))
        neighbours = 120
        urls = [f"{origin.url}/slow/{n}?ms=40" for n in range(neighbours)]
        urls.insert(20, f"{origin.url}/poison.jpg")
        over, kills = threading.Event(), []
        watcher = threading.Thread(target=self.crash_on_poison, args=(server, over, kills))
        watcher.start()
        try:
            job = server.wait_final(server.upload(pixmill.table(urls)), 90)
        finally:
            over.set()
            watcher.join()
        self.assertEqual((neighbours, 1), (job["succeeded"], job["failed"]), job)
        self.assertEqual(2, len(kills), "it was given to an engine exactly twice")
        failed = [item for item in server.items(job["id"]) if item["state"] == "failed"]
        self.assertEqual([(f"{origin.url}/poison.jpg", "engine_crash", 2)],
                         [(item["url"], pixmill.code_of(item), item["attempts"]) for item in failed])
        self.assertEqual(200, server.get("/readyz").status)


case.main()
