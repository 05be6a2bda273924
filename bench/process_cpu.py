"""CPU time of running processes and everything below them, those that ended and were waited for included."""

import os
import pathlib

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def _fields(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def trees(roots):
    """The processes of `roots` and all below them."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*"):
        fields = _fields(stat.name)
        if fields:
            children.setdefault(int(fields[1]), []).append(int(stat.name))
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def seconds_of(roots):
    ticks = 0
    for pid in trees(roots):
        fields = _fields(pid)
        if fields:
            ticks += sum(int(fields[n]) for n in (11, 12, 13, 14))
    return ticks / _TICKS_A_SECOND
