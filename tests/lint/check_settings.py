"""docs/OPERATIONS.md lists every environment variable that the program reads, and none that it does not."""

import re

import lintlib

_NAME = r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"
_READ = re.compile(rf'"({_NAME})"')
_DOCUMENTED = re.compile(rf"`({_NAME})`")


def problems_of(code, page):
    read, documented = set(_READ.findall(code)), set(_DOCUMENTED.findall(page))
    missing = [f"docs/OPERATIONS.md does not name {name}" for name in sorted(read - documented)]
    stale = [f"docs/OPERATIONS.md names {name}, which nothing reads" for name in sorted(documented - read)]
    return missing + stale


def self_check():
    lintlib.expect(not problems_of('get("FETCH_ALLOW")', "`FETCH_ALLOW`"), "good")
    lintlib.expect(problems_of('get("FETCH_ALLOW")', ""), "a missing name must be found")
    lintlib.expect(problems_of("", "`FETCH_ALLOW`"), "a stale name must be found")


def main():
    self_check()
    code = "\n".join((lintlib.SRC / "app" / name).read_text() for name in ("settings.cc", "secrets.cc"))
    page = (lintlib.ROOT / "docs" / "OPERATIONS.md").read_text()
    lintlib.finish(problems_of(code, page), "docs/OPERATIONS.md lists the settings")


main()
