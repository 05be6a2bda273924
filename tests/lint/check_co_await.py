"""No braced temporary inside a co_await expression: g++ 12 destroys it twice. Name the value first, then await."""

import re

import lintlib

_AWAIT = re.compile(r"\bco_await\b")
_LAMBDA_TAIL = re.compile(r"(?:\)|\])\s*(?:mutable\b|noexcept\b|\s)*(?:->\s*[\w:<>,&*\s]+)?\s*$")
_TEMPLATE = re.compile(r"(?<=\w)<[\w:<>,&*\s]+>(?=[({])")
_OPEN, _CLOSE = "([{", ")]}"


def _match(text, start):
    """The position after the bracket that closes the one at `start`."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] in _OPEN:
            depth += 1
        elif text[position] in _CLOSE:
            depth -= 1
            if depth == 0:
                return position + 1
    return len(text)


def _braces_in_operand(text, start):
    """Positions of braced temporaries in the operand that begins at `start`."""
    found, depth, position = [], 0, start
    while position < len(text):
        arguments = _TEMPLATE.match(text, position)
        if arguments:
            position = arguments.end()
        character = text[position]
        if character == "{":
            before = text[start:position]
            if _LAMBDA_TAIL.search(before) and "[" in before:
                position = _match(text, position)  # a lambda's body: its own awaits are found on their own
                continue
            if depth == 0 and before.rstrip().endswith(")"):
                break  # the body of a statement whose parenthesis this operand does not see: cannot happen in valid code
            found.append(position)
            position = _match(text, position)
            continue
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        if depth < 0 or (depth == 0 and character in ";,?}"):
            break
        position += 1
    return found


def problems_of(name, text):
    code = lintlib.strip_comments_and_strings(text)
    found = []
    for match in _AWAIT.finditer(code):
        for position in _braces_in_operand(code, match.end()):
            line = code.count("\n", 0, position) + 1
            found.append(f"{name}:{line}: braced temporary inside co_await (awaited on line "
                         f"{code.count(chr(10), 0, match.start()) + 1}); name it first")
    return found


_GOOD = """
co_await f(a, std::move(b));
if (auto r = co_await f(a)) { use(r); }
while (co_await next()) { work({1}); }
PIXMILL_CO_TRY(auto v, co_await f(x));  { int y; }
co_return Thing{.value = co_await f(x), .other = {}};
const auto options = Options{.a = 1}; co_await f(options);
co_await run([this](int x) { return Pair{x, 1}; }, "{text}", '{');
co_await run([](auto x) mutable -> Task<void> { co_await g(x); });
// co_await f({1})
co_await (ok ? f(1) : f(2)); g({3});
auto a = co_await f(1'000), b = Foo{};
"""
_BAD = [
    "co_await f({});", "co_await f(Options{.a = 1});", "co_await f(x, {.a = 1,\n .b = 2});", "auto r = co_await f(std::string{s});",
    "co_await Foo{1};", "co_await run([this] { return 1; }, {2});", "co_await run([] { co_await f({1}); });",
    "if (!(co_await store.claim({.worker = n}))) return;", "PIXMILL_CO_TRY(auto v, co_await f(Vec<int>{1}));",
    "co_await f(a).g({1});", "co_await f<A, B>(x, {1});",
]


def self_check():
    lintlib.expect(not problems_of("good", _GOOD), f"good code is left alone: {problems_of('good', _GOOD)}")
    for bad in _BAD:
        lintlib.expect(problems_of("bad", bad), f"must be found: {bad}")


def main():
    self_check()
    found = []
    for path in lintlib.sources("*.h", "*.cc", folders=("src", "tests")):
        found += problems_of(lintlib.relative(path), path.read_text())
    lintlib.finish(found, "no braced temporary inside co_await")


main()
