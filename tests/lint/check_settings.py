"""Every environment variable that the program reads is in docs/OPERATIONS.md, and every one that stands there is read."""

import re

import lintlib

# A name with an underscore in quotes, as Env is asked for it. DATABASE_URL and its like are read in order to be refused.
_READ = re.compile(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"')
_DOCUMENTED = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`")


def problems_of(code, document):
    read, documented = set(_READ.findall(lintlib.strip_comments(code))), set(_DOCUMENTED.findall(document))
    return [f"{name} is read and not documented" for name in sorted(read - documented)] + [
        f"{name} is documented and not read" for name in sorted(documented - read)]


def self_check():
    lintlib.expect(not problems_of('env.get("LOG_LEVEL"); // "OLD_NAME"', "| `LOG_LEVEL` | info |"), "what agrees is fine")
    lintlib.expect(problems_of('env.get("LOG_LEVEL")', "nothing"), "a variable without documentation is found")
    lintlib.expect(problems_of("", "`LOG_LEVEL`"), "documentation without a variable is found")


def main():
    self_check()
    files = [p for p in lintlib.sources("*.cc") if not p.name.endswith("_test.cc")]
    code = "\n".join(p.read_text() for p in files if p.relative_to(lintlib.SRC).parts[0] in ("app", "base"))
    found = problems_of(code, (lintlib.ROOT / "docs" / "OPERATIONS.md").read_text())
    lintlib.finish(found, "docs/OPERATIONS.md lists the settings that there are")


main()
