"""Third-party headers stay in .cc files, so that no header of ours makes its readers compile or know them."""

import re

import lintlib

_FORBIDDEN = re.compile(
    r"""^\s*\#\s*include\s*[<"](
        vips/ | glib | boost/beast | boost/json | boost/url | boost/asio/ssl | curl/ | ares | sqlite3 | spdlog/ | prometheus/ |
        CLI/ | openssl/ | seccomp | zlib | zconf | jpeglib | webp/ | png | linux/landlock | libpq | hiredis/ | expat
    )""",
    re.VERBOSE,
)


def problems_of(name, text):
    lines = lintlib.strip_comments(text).splitlines()
    return [f"{name}:{n}: belongs in a .cc file: {line.strip()}" for n, line in enumerate(lines, 1) if _FORBIDDEN.match(line)]


def self_check():
    lintlib.expect(not problems_of("a.h", "#include <boost/asio/awaitable.hpp>\n#include <string>\n// #include <zlib.h>"), "good")
    for header in ("vips/vips.h", "boost/beast/http.hpp", "curl/curl.h", "ares.h", "sqlite3.h", "spdlog/spdlog.h", "CLI/CLI.hpp",
                   "prometheus/registry.h", "boost/json.hpp", "openssl/evp.h", "seccomp.h", "zlib.h"):
        lintlib.expect(problems_of("a.h", f"#pragma once\n#include <{header}>\n"), f"{header} must be found")


def main():
    self_check()
    found = []
    for path in lintlib.sources("*.h"):
        found += problems_of(lintlib.relative(path), path.read_text())
    lintlib.finish(found, "no third-party header in a header of ours")


main()
