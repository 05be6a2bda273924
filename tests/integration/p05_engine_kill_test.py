"""P05 (engines): a dead engine is replaced and its picture runs again within two seconds."""

import os
import pathlib
import signal
import time

from support import case, pictures, pixmill
from support.waiting import wait_until


def cpu_ticks(pid):
    try:
        words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return int(words[11]) + int(words[12])


class P05(case.Case):
    def busy_engine(self, server):
        """The engine that has begun to work since the last look; big pictures keep it busy for a while."""
        before = {pid: cpu_ticks(pid) for pid in server.engines()}
        return wait_until(lambda: next((pid for pid, ticks in before.items() if cpu_ticks(pid) > ticks + 2), None), 20,
                          "an engine works", every=0.005)

    def test_a_dead_engine_is_replaced_and_its_picture_done_within_two_seconds(self):
        big = pictures.jpeg(pictures.photo(1500, 1000).resize((6000, 4000)), quality=90)
        (self.folder / "pictures").mkdir()
        for n in range(4):
            self.write(f"pictures/big{n}.jpg", pictures.numbered(big, n))
        origin = self.origin(folder=self.folder / "pictures")
        server = self.use(pixmill.Server(self.folder / "data", "--engines", "2"))
        full = len(server.engines())
        for n in range(case.short_or_long(4, 40)):
            recipe = f"quality={40 + n % 50}"
            job_id = server.upload(pixmill.table([f"{origin.url}/big{n % 4}.jpg"]), recipe=recipe)
            victim = self.busy_engine(server)
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            wait_until(lambda: victim not in server.engines() and len(server.engines()) >= full, 2, "a new engine")
            ticks = {pid: cpu_ticks(pid) for pid in server.engines()}
            wait_until(lambda: server.job(job_id)["remaining"] == 0 or any(cpu_ticks(p) > t + 2 for p, t in ticks.items()),
                       max(0.1, 2 - (time.monotonic() - killed)), "the picture runs again")
            job = server.wait_final(job_id)
            self.assertEqual("completed", job["state"], job)
        self.assertTrue(pixmill.is_alive(server.pid))

    def test_other_pictures_succeed_while_engines_die(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data"))
        count = case.short_or_long(200, 2000)
        job_id = server.upload(pixmill.table([f"{origin.url}/slow/{n}?ms=20" for n in range(count)]))
        for _ in range(3):
            wait_until(lambda: server.engines() and server.job(job_id)["succeeded"] > 0, 20, "work goes on")
            for pid in server.engines():
                os.kill(pid, signal.SIGKILL)
        job = server.wait_final(job_id, 90)
        self.assertEqual(count, job["succeeded"] + job["failed"], job)
        codes = {pixmill.code_of(item) for item in server.items(job_id) if item["state"] == "failed"}
        self.assertLessEqual(codes, {"engine_crash"}, "only pictures whose engine was killed twice may fail")
        self.assertLessEqual(job["failed"], 2, job)

    def test_engines_die_with_the_server(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        engines = server.engines()
        self.assertTrue(engines)
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not any(pixmill.is_alive(pid) for pid in engines), 1, "every engine is gone")


case.main()
