"""What the house rules share: finding sources, stripping comments, the compile database, running compilers in parallel."""

import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SRC = ROOT / "src"

# Flags with which clang 16 reads libstdc++ 12 in C++23 (its <expected> asks for GCC's value of the concepts macro).
CLANG_FLAGS = ["-std=c++2b", "-D__cpp_concepts=202002L", "-Wno-macro-redefined"]
# clang-tidy says so all the same; it is not a finding.
TIDY_FLAGS = ["--quiet", "--warnings-as-errors=-clang-diagnostic-macro-redefined"]


def sources(*patterns, folders=("src",)):
    """All files below `folders` that match one of `patterns`, sorted."""
    found = set()
    for folder in folders:
        for pattern in patterns:
            found.update(p for p in (ROOT / folder).rglob(pattern) if "node_modules" not in p.parts)
    return sorted(found)


def relative(path):
    return str(pathlib.Path(path).resolve().relative_to(ROOT))


_TOKENS = re.compile(
    r"""
      (?P<raw>(?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)")
    | (?P<string>"(?:\\.|[^"\\\n])*")
    | (?P<number>\b\d(?:'?[\w.])*)
    | (?P<char>'(?:\\.|[^'\\\n])+')
    | (?P<line>//[^\n]*)
    | (?P<block>/\*.*?\*/)
    """,
    re.VERBOSE | re.DOTALL,
)


def strip_comments_and_strings(text):
    """`text` with comments blanked and literals emptied, line numbers kept."""

    def replace(match):
        if match.lastgroup == "number":
            return match.group()
        blank = "\n" * match.group().count("\n")
        return blank if match.lastgroup in ("line", "block") else '""' + blank

    return _TOKENS.sub(replace, text)


def strip_comments(text):
    """`text` with comments blanked; literals stay."""

    def replace(match):
        return "\n" * match.group().count("\n") if match.lastgroup in ("line", "block") else match.group()

    return _TOKENS.sub(replace, text)


def compile_commands(build):
    """{file of ours: arguments without compiler, output and precompiled header} of a build folder."""
    commands = {}
    for entry in json.loads((pathlib.Path(build) / "compile_commands.json").read_text()):
        if not os.path.realpath(entry["file"]).startswith((f"{SRC}{os.sep}", str(ROOT / "tests") + os.sep)):
            continue
        words = shlex.split(entry["command"]) if "command" in entry else entry["arguments"]
        kept = []
        skip = 0
        for position, word in enumerate(words):
            if skip:
                skip -= 1
            elif word in ("-o", "-c", "-x"):
                skip = 1
            elif word == "-include" and "cmake_pch" in words[position + 1]:
                skip = 1
            elif word == "-Winvalid-pch" or word == entry["file"]:
                pass
            elif position > 0 and (kept or word.startswith("-")):
                kept.append(word)
        commands[os.path.realpath(entry["file"])] = kept
    return commands


def clang_flags(flags):
    """g++'s flags as clang reads the same file; its own warnings are the compiler's business, not clang-tidy's."""
    return [flag for flag in flags if not flag.startswith("-W") and not flag.startswith("-std=")] + CLANG_FLAGS


_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


@functools.cache
def version_of(program):
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout


class Fingerprints:
    """Content hashes of a file together with everything of ours that it includes."""

    def __init__(self):
        self._own = {}
        self._closure = {}

    def _read(self, path):
        if path not in self._own:
            data = path.read_bytes()
            names = _INCLUDE.findall(data.decode("utf-8", "replace"))
            found = [c for n in names for c in (SRC / n, ROOT / n, path.parent / n) if c.is_file()]
            self._own[path] = (hashlib.sha256(data).hexdigest(), found)
        return self._own[path]

    def of(self, path, argv, *salt):
        """`argv` is what checks it; where this checkout lies does not matter."""
        seen, waiting = {}, [pathlib.Path(path).resolve()]
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen[current], includes = self._read(current)
                waiting.extend(i.resolve() for i in includes)
        lines = sorted(f"{relative(p)} {digest}" for p, digest in seen.items())
        words = [str(word).replace(str(ROOT), "ROOT") for word in argv]
        return hashlib.sha256("\n".join([*lines, *words, version_of(argv[0]), *salt]).encode()).hexdigest()


class GoodCache:
    """Remembers fingerprints that passed, so that an unchanged file is not checked again, whatever folder it is built in. Failures
    are never remembered."""

    _KNOWN_MAX = 20_000

    def __init__(self, name):
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self._path = pathlib.Path(base) / "pixmill" / f"lint-{name}"
        self._known = self._read()
        self._added = set()

    def _read(self):
        return set(self._path.read_text().split()) if self._path.exists() else set()

    def has(self, fingerprint):
        return fingerprint in self._known

    def add(self, fingerprint):
        self._added.add(fingerprint)

    def save(self):
        if not self._added:
            return
        known = self._read() | self._added
        if len(known) > self._KNOWN_MAX:
            known = self._added
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        temporary.write_text("\n".join(sorted(known)) + "\n")
        temporary.replace(self._path)


def jobs():
    return len(os.sched_getaffinity(0))


def run_all(commands):
    """Runs {key: argv} in parallel; gives {key: (exit code, output)}."""

    def run(argv):
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=ROOT)
        return done.returncode, done.stdout

    with concurrent.futures.ThreadPoolExecutor(jobs()) as pool:
        futures = {key: pool.submit(run, argv) for key, argv in commands.items()}
        return {key: future.result() for key, future in futures.items()}


def expect(condition, what):
    """For self-checks: a rule that cannot fail is worthless."""
    if not condition:
        sys.exit(f"self-check failed: {what}")


def finish(problems, what):
    """Prints the findings and ends with 1 when there are any."""
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(f"{len(problems)} finding(s): {what}")
    print(f"ok: {what}")
