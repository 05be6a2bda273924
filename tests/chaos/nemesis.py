"""Does harm to a fleet by a seed, in two lanes at once: to its own processes (kills, pauses, ends) and to what they rest on
(PostgreSQL, Redis, the store, and the network to each).

A seed fixes what each lane does, in which order, and for how long; which process is hit depends on which are there.
"""

import contextlib
import os
import random
import signal
import threading

from chaos.fault_proxy import NONE, Fault

# How often each is chosen, relative to the others of its lane.
OURS = {"kill_worker": 6, "kill_server": 3, "kill_engine": 4, "kill_everything": 1, "pause_worker": 3, "pause_server": 1,
        "end_worker": 2, "end_server": 1}
THEIRS = {"restart_postgres": 2, "postgres_away": 1, "flush_redis": 2, "restart_redis": 2, "redis_away": 1, "kill_s3": 1,
          "hurt_postgres": 3, "hurt_redis": 3, "hurt_s3": 4}

_FAULTS = (Fault(latency_ms=40), Fault(reset=True), Fault(blackhole=True), Fault(slice_bytes=13), Fault(bandwidth=200_000), Fault(refuse=True))
_END_MAX_S = 10.5  # P12


class Nemesis:
    """`with Nemesis(fleet, seed) as nemesis:` harms until the block ends, then mends everything. `done` says what was done,
    `problems` what the fleet did wrong meanwhile."""

    def __init__(self, fleet, seed, every_seconds=(0.3, 1.5), fault_seconds=(0.3, 2.0), pause_seconds=4.5, away_seconds=3.0, only=None):
        self._fleet = fleet
        self._every, self._fault_seconds = every_seconds, fault_seconds
        self._pause_seconds, self._away_seconds = pause_seconds, away_seconds
        self._stop = threading.Event()
        self._lanes = []
        for name, actions in (("ours", OURS), ("theirs", THEIRS)):
            chosen = {action: weight for action, weight in actions.items() if only is None or action in only}
            if chosen:
                self._lanes.append(threading.Thread(target=self._run, args=(random.Random(f"{seed} {name}"), chosen), daemon=True))
        self.done = []
        self.problems = []
        self.trouble = None  # what went wrong in the nemesis itself

    def __enter__(self):
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the harm and puts everything back up."""
        self._stop.set()
        for lane in self._lanes:
            lane.join(90)
        for proxy in self._fleet.proxies.values():
            proxy.fault = NONE
        for member in self._fleet.members:
            member.wanted = True

    def counts(self):
        found = {}
        for name in self.done:
            found[name.split()[0]] = found.get(name.split()[0], 0) + 1
        return dict(sorted(found.items()))

    def _run(self, chance, actions):
        try:
            while not self._stop.wait(chance.uniform(*self._every)):
                name = chance.choices(list(actions), list(actions.values()))[0]
                # Drawn before it is known whether there is anybody to be hit, so that the rest of the lane stays the same.
                length, pick = chance.random(), chance.random()
                told = getattr(self, "_" + name)(length, pick)
                self.done.append(f"{name} {told or ''}".strip())
        except Exception as error:  # a nemesis that stopped would make it easy
            self.trouble = error

    # --- Our own processes ---

    @contextlib.contextmanager
    def _victim(self, is_server, pick):
        """A member that is at work, ours alone for a while; None when there is none."""
        running = [m for m in self._fleet.members if m.is_server == is_server and m.wanted and m.process.is_running()]
        if not running:
            yield None
            return
        member = running[int(pick * len(running))]
        with member.lock:
            yield member if member.process.is_running() else None

    def _kill(self, is_server, length, pick):
        with self._victim(is_server, pick) as member:
            if member:
                member.process.kill()
                self._stop.wait(length * 0.8)
        return member.name if member else "nobody"

    def _kill_worker(self, length, pick):
        return self._kill(False, length, pick)

    def _kill_server(self, length, pick):
        return self._kill(True, length, pick)

    def _kill_engine(self, _, pick):
        with self._victim(False, pick) as member:
            engines = member.process.engines() if member else []
            if engines:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(engines[int(pick * 997) % len(engines)], signal.SIGKILL)
        return member.name if engines else "nobody"

    def _kill_everything(self, length, _):
        self._fleet.kill_everything()
        self._stop.wait(length)
        for member in self._fleet.members:
            member.wanted = True

    def _pause(self, is_server, pick):
        """Longer than a lease: what it does afterwards must not count (P04)."""
        with self._victim(is_server, pick) as member:
            if not member:
                return "nobody"
            member.process.pause()
            self._stop.wait(self._pause_seconds)
            member.process.go_on()
        return member.name

    def _pause_worker(self, _, pick):
        return self._pause(False, pick)

    def _pause_server(self, _, pick):
        return self._pause(True, pick)

    def _end(self, is_server, pick):
        with self._victim(is_server, pick) as member:
            if not member or not member.process.has_started():
                return "nobody"
            code, seconds = member.process.terminate(60)
            if code != 0 or seconds > _END_MAX_S:
                self.problems.append(f"{member.name} took {seconds:.1f} s to end with {code}:\n{member.process.log_text()[-1500:]}")
        return member.name

    def _end_worker(self, _, pick):
        return self._end(False, pick)

    def _end_server(self, _, pick):
        return self._end(True, pick)

    # --- What they rest on ---

    def _away(self, length):
        self._stop.wait(self._away_seconds * (0.3 + 0.7 * length))

    def _restart_postgres(self, *_):
        self._fleet.postgres.restart("immediate")

    def _postgres_away(self, length, _):
        self._fleet.postgres.stop("immediate")
        self._away(length)
        self._fleet.postgres.start()

    def _flush_redis(self, *_):
        self._fleet.redis.command("FLUSHALL")

    def _restart_redis(self, length, _):
        self._fleet.redis.kill()
        self._stop.wait(length)
        self._fleet.redis.start()

    def _redis_away(self, length, _):
        self._fleet.redis.kill()
        self._away(length)
        self._fleet.redis.start()

    def _kill_s3(self, length, _):
        self._fleet.store.stop_proxy()
        self._stop.wait(length)
        self._fleet.store.start_proxy()

    def _hurt(self, name, length, pick):
        fault = _FAULTS[int(pick * len(_FAULTS))]
        low, high = self._fault_seconds
        self._fleet.proxies[name].fault = fault
        self._stop.wait(low + (high - low) * length)
        self._fleet.proxies[name].fault = NONE
        return str(fault)

    def _hurt_postgres(self, length, pick):
        return self._hurt("postgres", length, pick)

    def _hurt_redis(self, length, pick):
        return self._hurt("redis", length, pick)

    def _hurt_s3(self, length, pick):
        return self._hurt("s3", length, pick)
