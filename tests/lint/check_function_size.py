"""No function of src is longer than 70 lines, by clang-tidy's readability-function-size."""

import pathlib
import sys
import tempfile

import lintlib

_CONFIG = lintlib.ROOT / "tests" / "lint" / "function_size.tidy"


def command(tidy, flags, file):
    return [tidy, *lintlib.TIDY_FLAGS, f"--config-file={_CONFIG}", str(file), "--", *lintlib.clang_flags(flags)]


def self_check(tidy, flags):
    with tempfile.TemporaryDirectory() as folder:
        def sample(name, lines):
            path = pathlib.Path(folder) / name
            path.write_text("int f(int x) {\n" + "  x += 1;\n" * lines + "  return x;\n}\n")
            return command(tidy, flags, path)

        results = lintlib.run_all({"bad": sample("bad.cc", 75), "good": sample("good.cc", 60)})
    lintlib.expect(results["bad"][0] != 0 and "function-size" in results["bad"][1], "a function of 77 lines is found")
    lintlib.expect(results["good"][0] == 0, f"a function of 62 lines passes: {results['good'][1]}")


def main():
    build, tidy = sys.argv[1:3]
    commands = {f: c for f, c in lintlib.compile_commands(build).items() if pathlib.Path(f).is_relative_to(lintlib.SRC)}
    self_check(tidy, next(iter(commands.values()), []))
    prints, cache = lintlib.Fingerprints(), lintlib.GoodCache("function-size")
    files = {}
    for file, flags in commands.items():
        argv = command(tidy, flags, file)
        fingerprint = prints.of(file, argv, _CONFIG.read_text())
        if not cache.has(fingerprint):
            files[file] = (argv, fingerprint)
    results = lintlib.run_all({file: argv for file, (argv, _) in files.items()})
    found = []
    for file, (code, output) in results.items():
        lines = [line for line in output.splitlines() if "error:" in line]
        if code == 0:
            cache.add(files[file][1])
        else:
            found += lines or [f"{file}: clang-tidy ended with {code}: {output}"]
    cache.save()
    lintlib.finish(sorted(set(found)), f"no function over 70 lines ({len(files)} files read, the others unchanged)")


main()
