"""Runs clang-tidy with the whole .clang-tidy list over a build folder's files, in parallel."""

import argparse
import re
import sys

import lintlib


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--clang", default="16", help="version of clang-tidy")
    parser.add_argument("pattern", nargs="?", default="/src/", help="regular expression over file names")
    options = parser.parse_args()
    commands = {}
    for file, flags in lintlib.compile_commands(options.build).items():
        if re.search(options.pattern, file):
            commands[file] = [f"clang-tidy-{options.clang}", *lintlib.TIDY_FLAGS, file, "--", *lintlib.clang_flags(flags)]
    if not commands:
        sys.exit(f"no file matches {options.pattern}")
    failed = 0
    for file, (code, output) in lintlib.run_all(commands).items():
        if code != 0:
            failed += 1
            findings = "\n".join(line for line in output.splitlines() if not line.endswith("warnings generated."))
            print(f"== {lintlib.relative(file)}\n{findings}")
    print(f"{len(commands)} files read, {failed} with findings")
    sys.exit(1 if failed else 0)


main()
