"""Every #include "…" in src names its own module or one of a strictly lower tier of docs/layers.txt, and exists."""

import re

import lintlib

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
_ANGLED = re.compile(r"^\s*#\s*include\s+<([^>]+)>")


def read_tiers(text):
    tiers = {}
    for line in text.splitlines():
        words = line.split()
        if words and words[0].isdigit():
            tiers.update({module: int(words[0]) for module in words[1:]})
    return tiers


def problems_of(name, text, tiers, exists):
    """`name` is the path below src: module/file."""
    module = name.split("/")[0]
    if module not in tiers:
        return [f"src/{name}: module '{module}' is not in docs/layers.txt"]
    found = []
    for number, line in enumerate(lintlib.strip_comments(text).splitlines(), 1):
        where = f"src/{name}:{number}"
        angled = _ANGLED.match(line)
        if angled and angled.group(1).split("/")[0] in tiers and exists(angled.group(1)):
            found.append(f"{where}: our own header in angle brackets: {angled.group(1)}")
        match = _INCLUDE.match(line)
        if not match:
            continue
        target = match.group(1)
        first = target.split("/")[0]
        if target.startswith("tests/"):
            if not name.endswith("_test.cc"):
                found.append(f"{where}: only tests may include {target}")
        elif "/" not in target:
            if exists(target) or exists(f"{module}/{target}"):
                found.append(f'{where}: write the module too: "{module}/{target}"')
        elif first not in tiers:
            found.append(f"{where}: unknown module in {target}")
        elif not exists(target):
            found.append(f"{where}: no such header: {target}")
        elif first != module and tiers[first] >= tiers[module]:
            found.append(f"{where}: {module} (tier {tiers[module]}) must not include {target} (tier {tiers[first]})")
    return found


def self_check():
    tiers = read_tiers("# comment\n0 base\n1 http db\n2 fetch\n")
    everything = lambda _: True
    good = '#include "base/error.h"\n#include "http/client.h"\n#include "fetch/own.h"\n// #include "app/x.h"\n'
    lintlib.expect(not problems_of("fetch/a.cc", good, tiers, everything), "lower tiers and the own module are allowed")
    for bad in ('#include "fetch/x.h"', '  #  include "db/x.h"', '#include "nowhere/x.h"', '#include "tests/support/x.h"'):
        lintlib.expect(problems_of("http/a.cc", bad, tiers, everything), f"{bad} in http must be found")
    lintlib.expect(not problems_of("http/a_test.cc", '#include "tests/support/x.h"', tiers, everything), "tests see tests")
    lintlib.expect(problems_of("fetch/a.cc", '#include "http/gone.h"', tiers, lambda _: False), "a missing header")
    lintlib.expect(problems_of("new/a.cc", "", tiers, everything), "a module without a tier")


def main():
    self_check()
    tiers = read_tiers((lintlib.ROOT / "docs" / "layers.txt").read_text())
    found = []
    for path in lintlib.sources("*.h", "*.cc"):
        name = str(path.relative_to(lintlib.SRC))
        found += problems_of(name, path.read_text(), tiers, lambda target: (lintlib.SRC / target).is_file())
    lintlib.finish(found, "includes keep to their tiers")


main()
