"""Runs a command and measures all of its processes: wall time, CPU time, peak memory.

`run()` does it in a process of its own (this file as a program), which adopts what the command leaves behind: so everything that
ends is reaped there and counted, and nothing else is.
"""

import ctypes
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

_PR_SET_CHILD_SUBREAPER = 36
_SAMPLE_EVERY_S = 0.05


@dataclasses.dataclass
class Measured:
    wall_s: float
    cpu_s: float
    memory_peak_bytes: int
    exit_code: int
    stdout: str
    stderr: str


def _adopt_orphans():
    """Makes grandchildren whose parent is gone ours, so that their CPU time is counted when they are reaped."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _tree(pid):
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for children in pathlib.Path(f"/proc/{current}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text().split())
            except OSError:
                pass
    return found


def _pss_bytes(pid):
    """The process's share of its resident memory: pages shared with others are divided among them."""
    try:
        match = re.search(r"^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match.group(1)) * 1024 if match else 0


def _reap_everything(main_pid):
    """(exit code of main_pid, CPU seconds of all that ended); rusage of a child includes what it reaped itself."""
    code, cpu_s = None, 0.0
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return code, cpu_s
        cpu_s += usage.ru_utime + usage.ru_stime
        if pid == main_pid:
            code = os.waitstatus_to_exitcode(status)


def _measure(argv, folder):
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        begun = time.monotonic()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        over, peak = threading.Event(), 0

        def watch():
            nonlocal peak
            while not over.wait(_SAMPLE_EVERY_S):
                peak = max(peak, sum(map(_pss_bytes, _tree(process.pid))))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code, cpu_s = _reap_everything(process.pid)
        wall_s = time.monotonic() - begun
        over.set()
        watcher.join()
        process.returncode = code
        return {"wall_s": wall_s, "cpu_s": cpu_s, "memory_peak_bytes": peak, "exit_code": code}


def run(argv, folder):
    """Runs argv; its streams go through files in `folder`."""
    folder = pathlib.Path(folder)
    helper = [sys.executable, __file__, str(folder), *map(str, argv)]
    figures = json.loads(subprocess.run(helper, stdout=subprocess.PIPE, check=True).stdout)
    return Measured(**figures, stdout=(folder / "stdout").read_text(), stderr=(folder / "stderr").read_text())


if __name__ == "__main__":
    _adopt_orphans()
    print(json.dumps(_measure(sys.argv[2:], pathlib.Path(sys.argv[1]))))
