"""bench/RESULTS.md: every benchmark writes its own section between markers and leaves the others as they are."""

import datetime
import os
import pathlib
import platform
import re

_RESULTS = pathlib.Path(__file__).resolve().parent / "RESULTS.md"


def machine():
    """The day and the machine, in one line."""
    model = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())
    release = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return (f"{datetime.date.today()} · {len(os.sched_getaffinity(0))} × {model}, {release.get('PRETTY_NAME', '').strip(chr(34))}, "
            f"Linux {platform.release()}")


def with_section(document, name, text):
    """The document with `text` between the markers of `name`; where there are none, at its end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    found = re.search(re.escape(begin) + ".*?" + re.escape(end), document, re.DOTALL)
    if found:
        return document[:found.start()] + section + document[found.end():]
    return f"{document.rstrip()}\n\n{section}\n"


def write_section(name, text):
    _RESULTS.write_text(with_section(_RESULTS.read_text(encoding="utf-8"), name, text), encoding="utf-8")
