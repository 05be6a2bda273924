"""No disabled, skipped or sleeping tests."""

import re

import lintlib

_CPP = [
    (re.compile(r"\bDISABLED_"), "a disabled test"),
    (re.compile(r"\bGTEST_SKIP\b"), "a skipped test"),
    (re.compile(r"\b(?:sleep_for|sleep_until|usleep|nanosleep)\b|(?<![\w.:>])sleep\s*\("), "a sleep in a test"),
]
_PYTHON = [
    (re.compile(r"\bskip(?:Test|If|Unless)?\b\s*\(|@unittest\.skip|expectedFailure"), "a skipped test"),
    (re.compile(r"\btime\s*\.\s*sleep\b|from\s+time\s+import\s+.*\bsleep\b|asyncio\.sleep"), "a sleep; wait for the event instead"),
]
# The one place that lets time pass between two looks at something it waits for, with a deadline.
_ALLOWED = {"tests/support/waiting.py"}


def problems_of(name, text):
    if name.endswith(".py"):
        rules, lines = _PYTHON, [line.split("#")[0] for line in text.splitlines()]
    else:
        rules, lines = _CPP, lintlib.strip_comments_and_strings(text).splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        found += [f"{name}:{number}: {what}" for pattern, what in rules if pattern.search(line)]
    return found


def self_check():
    lintlib.expect(not problems_of("a_test.cc", '// sleep(1)\nconst char* s = "sleep(1)"; pool.sleep(2); FOO_DISABLED;'), "good")
    for bad in ("TEST(A, DISABLED_B)", "GTEST_SKIP();", "std::this_thread::sleep_for(1s);", "usleep(5);", "sleep(1);", "::sleep(1);"):
        text = bad.replace("::sleep(", " sleep(") if bad.startswith("::") else bad
        lintlib.expect(problems_of("a_test.cc", text), f"must be found: {bad}")
    for bad in ("time." + "sleep(1)", "from time import monotonic, " + "sleep", "self." + "skipTest('x')", "@unittest." + "skip('x')"):
        lintlib.expect(problems_of("a.py", bad), f"must be found: {bad}")


def main():
    self_check()
    found = []
    for path in lintlib.sources("*_test.cc") + lintlib.sources("*.cc", "*.h", "*.py", folders=("tests", "demo", "bench")):
        name = lintlib.relative(path)
        if name not in _ALLOWED and not name.startswith("tests/lint/"):
            found += problems_of(name, path.read_text())
    lintlib.finish(found, "no disabled, skipped or sleeping tests")


main()
