"""No function of src is longer than 70 lines: by clang-tidy's readability-function-size with `--long`, else by the layout that
clang-format gives a function, which takes seconds instead of minutes."""

import os
import pathlib
import re
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


_LINES_MAX = 70
# What stands at the margin and is no function, or holds functions of its own.
_OTHER = re.compile(r"(?:namespace|struct|class|enum|union|using|typedef|static_assert|TEST(?:_F|_P)?\(|TYPED_TEST|extern \"C\")\b|#|//|}|\)|\]|/\*| \*")


def long_functions(text):
    """(first line, lines) of each function at the margin that is too long."""
    begun = None  # where what stands at the margin begins
    opened = None  # its body
    for number, line in enumerate(text.split("\n")):
        if opened is not None:
            if line.startswith("}"):
                if number - opened - 1 > _LINES_MAX:
                    yield begun + 1, number - opened - 1
                begun = opened = None
            continue
        if begun is None and line[:1].strip() and not _OTHER.match(line):
            begun = number
        elif line[:1].strip():
            begun = None if _OTHER.match(line) else number
        if begun is None:
            continue
        if line.endswith(") {") or re.search(r"\) (?:const |noexcept |override |-> [^;]*)+\{$", line):
            opened = number
        elif line.endswith((";", "{")):
            begun = None


def check_layout():
    def sample(count):
        return "int f(int x) {\n" + "  x += 1;\n" * count + "}\n"

    lintlib.expect(list(long_functions(sample(75))) == [(1, 75)], "a function of 75 lines is found")
    lintlib.expect(not list(long_functions(sample(60) + sample(60))), "functions of 60 lines pass")
    lintlib.expect(not list(long_functions("struct S {\n" + "  int a;\n" * 90 + "};\n")), "a long class is no function")
    found = []
    files = sorted(path for path in lintlib.SRC.rglob("*") if path.suffix in (".cc", ".h"))
    for path in files:
        for line, count in long_functions(path.read_text(encoding="utf-8")):
            found.append(f"{path.relative_to(lintlib.ROOT)}:{line}: a function of {count} lines")
    lintlib.expect(len(files) > 100, "the files are there")
    lintlib.finish(found, f"no function over {_LINES_MAX} lines by its layout ({len(files)} files); --long asks clang-tidy")


def main():
    build, tidy = sys.argv[1:3]
    if not os.environ.get("PIXMILL_TEST_LONG"):
        return check_layout()
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
