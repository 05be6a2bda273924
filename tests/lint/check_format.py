"""All C++ is formatted by clang-format with the repository's .clang-format."""

import pathlib
import subprocess
import sys
import tempfile

import lintlib

_BATCH = 16


def command(clang_format, files):
    return [clang_format, "--dry-run", "-Werror", "--ferror-limit=1", "--style=file", *map(str, files)]


def self_check(clang_format):
    with tempfile.TemporaryDirectory(dir=lintlib.ROOT / "build") as folder:
        sample = pathlib.Path(folder) / "bad.cc"
        sample.write_text("int  f( ){return 1 ;}\n")
        bad = subprocess.run(command(clang_format, [sample]), capture_output=True, check=False).returncode
        sample.write_text("int f() { return 1; }\n")
        good = subprocess.run(command(clang_format, [sample]), capture_output=True, check=False).returncode
    lintlib.expect(bad != 0 and good == 0, "an unformatted file is found and a formatted one is not")


def main():
    clang_format = sys.argv[1]
    self_check(clang_format)
    files = lintlib.sources("*.h", "*.cc", folders=("src", "tests", "bench"))
    batches = {n: command(clang_format, files[n:n + _BATCH]) for n in range(0, len(files), _BATCH)}
    results = lintlib.run_all(batches)
    found = [line for _, output in results.values() for line in output.splitlines() if "error:" in line]
    found += [output for code, output in results.values() if code != 0 and "error:" not in output]
    lintlib.finish(found, "formatted; `./run fmt` does it")


main()
