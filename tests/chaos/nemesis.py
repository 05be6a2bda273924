"""Does harm to a fleet, one thing after another, by a seed: kills, pauses, restarts, and faults of the network."""

import os
import random
import signal
import threading

from chaos.fault_proxy import NONE, Fault

# How often each is chosen, relative to the others.
ACTIONS = {
    "kill_worker": 6,
    "kill_server": 3,
    "kill_engine": 4,
    "pause_worker": 2,
    "end_worker": 2,
    "restart_postgres": 1,
    "flush_redis": 2,
    "restart_redis": 1,
    "hurt_postgres": 2,
    "hurt_redis": 3,
    "hurt_s3": 4,
}

_FAULTS = (Fault(latency_ms=40), Fault(reset=True), Fault(blackhole=True), Fault(slice_bytes=13), Fault(bandwidth=200_000), Fault(refuse=True))


class Nemesis:
    """`with Nemesis(fleet, seed) as nemesis:` harms until the block ends, then mends everything. `done` says what was done."""

    def __init__(self, fleet, seed, every_seconds=(0.3, 1.5), fault_seconds=(0.3, 2.0), pause_seconds=4.0, only=None):
        self._fleet = fleet
        self._chance = random.Random(seed)
        self._every, self._fault_seconds, self._pause_seconds = every_seconds, fault_seconds, pause_seconds
        self._actions = {name: weight for name, weight in ACTIONS.items() if only is None or name in only}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.done = []
        self.trouble = None  # what went wrong in the nemesis itself

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the harm and puts everything back up."""
        self._stop.set()
        self._thread.join(60)
        for proxy in self._fleet.proxies.values():
            proxy.fault = NONE
        for process in self._fleet.processes:
            if not process.is_running():
                process.kill()
                process.start()

    def counts(self):
        found = {}
        for name in self.done:
            found[name.split()[0]] = found.get(name.split()[0], 0) + 1
        return found

    def _run(self):
        try:
            while not self._stop.wait(self._chance.uniform(*self._every)):
                name = self._chance.choices(list(self._actions), list(self._actions.values()))[0]
                told = getattr(self, "_" + name)()
                self.done.append(f"{name} {told or ''}".strip())
        except Exception as error:  # a test reads it: a nemesis that stopped would make it easy
            self.trouble = error

    def _any_running(self, processes):
        running = [process for process in processes if process.is_running()]
        return self._chance.choice(running) if running else None

    def _kill(self, process):
        if process is None:
            return
        process.kill()
        self._stop.wait(self._chance.uniform(0, 0.5))
        process.start()

    def _kill_worker(self):
        self._kill(self._any_running(self._fleet.workers))

    def _kill_server(self):
        self._kill(self._any_running(self._fleet.servers))

    def _kill_engine(self):
        process = self._any_running(self._fleet.workers)
        engines = process.engines() if process else []
        if engines:
            os.kill(self._chance.choice(engines), signal.SIGKILL)

    def _pause_worker(self):
        """Longer than its lease: what it does afterwards must not count (P04)."""
        process = self._any_running(self._fleet.workers)
        if process is None:
            return
        process.pause()
        self._stop.wait(self._pause_seconds)
        process.go_on()

    def _end_worker(self):
        process = self._any_running(self._fleet.workers)
        if process is None:
            return
        process.terminate(30)
        process.start()

    def _restart_postgres(self):
        self._fleet.postgres.restart()

    def _flush_redis(self):
        self._fleet.redis.command("FLUSHALL")

    def _restart_redis(self):
        self._fleet.redis.kill()
        self._stop.wait(self._chance.uniform(0, 1))
        self._fleet.redis.start()

    def _hurt(self, name):
        fault = self._chance.choice(_FAULTS)
        self._fleet.proxies[name].fault = fault
        self._stop.wait(self._chance.uniform(*self._fault_seconds))
        self._fleet.proxies[name].fault = NONE
        return str(fault)

    def _hurt_postgres(self):
        return self._hurt("postgres")

    def _hurt_redis(self):
        return self._hurt("redis")

    def _hurt_s3(self):
        return self._hurt("s3")
