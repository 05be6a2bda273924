"""P40: Pixmill reads CSV as Python's csv module does.

usage: p40_csv_differential_test.py CSV_DUMP [COUNT]

Generates COUNT files (10,000 by default; always the same ones), reads each with both, and compares cell by cell. The two differ on
purpose in two things: a quote that is never closed is an error here, and blank lines give no record.
"""

import csv
import io
import json
import random
import subprocess
import sys

_DELIMITERS = ",\t;|"
# What a generated file is made of; the weights make the interesting characters frequent.
_PIECES = ['"', '""', "\n", "\r\n", "\r", " ", "  ", "\t", ",", ";", "|", "a", "Blue shirt", "001", "NA", "null", "-1.5", "é", "🚀", "﻿",
           "https://example.com/a.jpg?x=1&y=2", "'", "\\", "=1+1", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]


def wild_file(source, delimiter):
    """Any characters in any order."""
    pieces = _PIECES + [delimiter] * 6 + ['"'] * 3 + ["\n"] * 2
    return "".join(source.choice(pieces) for _ in range(source.randrange(0, 60)))


def tame_file(source, delimiter):
    """What spreadsheets write: a rectangle of cells, quoted by one of Python's own rules."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=source.choice(["\n", "\r\n", "\r"]),
                        quoting=source.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    columns = source.randrange(1, 6)
    for _ in range(source.randrange(1, 8)):
        writer.writerow(["".join(source.choice(_PIECES) for _ in range(source.randrange(0, 5))) for _ in range(columns)])
    text = out.getvalue()
    return text.rstrip("\r\n") if source.random() < 0.2 else text


def ends_inside_quotes(text, delimiter, skip_spaces):
    """What csv's strict mode calls 'unexpected end of data': the one thing Pixmill refuses and lenient csv does not. A record that
    would swallow a marker put behind the text was still open."""
    marker = "\x01end\x01"
    last = None
    for last in read_with_python(text + "\n" + marker, delimiter, skip_spaces):
        pass
    return last != [marker]


def read_with_python(text, delimiter, skip_spaces):
    lines = io.StringIO(text, newline="")
    return [record for record in csv.reader(lines, delimiter=delimiter, skipinitialspace=skip_spaces) if record]


def expected(text, delimiter, skip_spaces):
    if ends_inside_quotes(text, delimiter, skip_spaces):
        return "error"
    return read_with_python(text, delimiter, skip_spaces)


def main():
    program = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    source = random.Random(40)
    cases = []
    for number in range(count):
        delimiter = source.choice(_DELIMITERS) if number % 3 == 0 else ","
        text = (wild_file if number % 2 == 0 else tame_file)(source, delimiter)
        cases.append((text, delimiter, source.random() < 0.7, source.choice([1, 2, 3, 7, 64, 65536])))
    asked = b"".join(
        b"%d %d %d %d\n%s" % (ord(delimiter), skip_spaces, piece_bytes, len(text.encode()), text.encode())
        for text, delimiter, skip_spaces, piece_bytes in cases)
    answered = subprocess.run([program], input=asked, stdout=subprocess.PIPE, check=True, timeout=600).stdout
    answers = [json.loads(line) for line in answered.decode().split("\n")[:-1]]
    if len(answers) != count:
        sys.exit(f"asked {count} cases, {len(answers)} were answered")

    failed = refused = 0
    for (text, delimiter, skip_spaces, piece_bytes), answer in zip(cases, answers):
        want = expected(text, delimiter, skip_spaces)
        refused += want == "error"
        got = answer["records"] if "records" in answer else ("error" if "never closed" in answer["error"] else answer["error"])
        if got != want:
            failed += 1
            if failed <= 5:
                print(f"differs: {text!r} delimiter {delimiter!r} skipinitialspace {skip_spaces} in pieces of {piece_bytes}\n"
                      f"  Python:  {want}\n  Pixmill: {got}")
    # A generator that only made easy files would prove nothing.
    if count >= 1000 and not count * 0.02 < refused < count * 0.6:
        sys.exit(f"{refused} of {count} files end inside quotes: the generator is lopsided")
    print(f"P40: {count - failed} passed, {failed} failed ({refused} unclosed quotes refused by both)")
    sys.exit(1 if failed else 0)


main()
