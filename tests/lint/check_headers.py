"""Every header of src compiles alone: it includes what it needs and does not lean on its readers or the precompiled header."""

import os
import pathlib
import sys
import tempfile

import lintlib


def command(compiler, flags, header):
    return [compiler, *flags, "-fsyntax-only", "-include", str(header), "-x", "c++", os.devnull]


def flags_of(commands, module):
    """The flags of the module's own files, else of any file."""
    for file, flags in sorted(commands.items()):
        if file.startswith(str(lintlib.SRC / module) + os.sep) and not file.endswith("_test.cc"):
            return flags
    return next(iter(commands.values()))


def self_check(compiler, flags):
    with tempfile.TemporaryDirectory() as folder:
        bad, good = pathlib.Path(folder) / "bad.h", pathlib.Path(folder) / "good.h"
        bad.write_text("#pragma once\ninline std::string f() { return {}; }\n")
        good.write_text("#pragma once\n#include <string>\ninline std::string f() { return {}; }\n")
        results = lintlib.run_all({"bad": command(compiler, flags, bad), "good": command(compiler, flags, good)})
    lintlib.expect(results["bad"][0] != 0, "a header that leans on its reader is found")
    lintlib.expect(results["good"][0] == 0, f"a header that stands alone passes: {results['good'][1]}")


def main():
    build, compiler = sys.argv[1:3]
    commands = lintlib.compile_commands(build)
    self_check(compiler, next(iter(commands.values())))
    prints, cache = lintlib.Fingerprints(), lintlib.GoodCache("headers")
    headers = {}
    for path in lintlib.sources("*.h"):
        argv = command(compiler, flags_of(commands, path.relative_to(lintlib.SRC).parts[0]), path)
        fingerprint = prints.of(path, argv)
        if not cache.has(fingerprint):
            headers[path] = (argv, fingerprint)
    results = lintlib.run_all({path: argv for path, (argv, _) in headers.items()})
    found = []
    for path, (code, output) in results.items():
        if code == 0:
            cache.add(headers[path][1])
        else:
            found.append(f"{lintlib.relative(path)} does not compile alone:\n{output}")
    cache.save()
    lintlib.finish(found, f"every header compiles alone ({len(headers)} compiled, the others unchanged)")


main()
