"""`./run corpus`: thousands of files that decoders were broken with, through a running server. Ends with 0 only if every promise holds.

  --samples N    only N files of every package, evenly spread    --folder F    files of your own instead of Debian's
"""

import argparse
import collections
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import fetch_corpus  # noqa: E402
from support import hostile  # noqa: E402
from support.origin import Origin  # noqa: E402

# Between them: the JPEG path without pixels, every decoder, every encoder that Pillow can check, animation, and one decode for several outputs.
RECIPES = (
    ("own names, compress", hostile.under_its_own_name, "compress"),
    ("lying names, two outputs", hostile.under_a_lying_name, "small: format=webp resize=300x300:inside web: format=png resize=96x96:inside"),
    ("own names, format kept", hostile.under_its_own_name, "quality=75 resize=1200x1200:inside"),
)


def spread(paths, most):
    if not most or len(paths) <= most:
        return paths
    return [paths[at * len(paths) // most] for at in range(most)]


def corpus_files(folder, most):
    found = []
    for package in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = spread(sorted(path for path in package.rglob("*") if path.is_file()), most)
        print(f"   {package.name}: {len(files)} files")
        found += [(path, f"{package.name}/{path.name}") for path in files]
    return found


def report(trial, seconds):
    print(f"\n{trial.samples} files in, {trial.outputs} outputs looked at, {seconds:.0f} s; the server grew by "
          f"{trial.server_growth_bytes >> 20} MB, the largest engine held {trial.engine_peak_bytes >> 20} MB")
    for code, count in trial.codes.most_common():
        print(f"   {count:6} {code}")
    print("The slowest:")
    for ms, label, outcome in trial.slowest:
        print(f"   {ms:6} ms  {outcome:18} {label}")
    print(f"Engines lost: {len(trial.lost_engines)}")
    for line, times in collections.Counter(trial.lost_engines).most_common():
        print(f"   {line}" + (f" (×{times})" if times > 1 else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path)
    options = parser.parse_args()
    begun = time.monotonic()
    folder = options.folder or fetch_corpus.cache_folder()
    absent = [] if options.folder else fetch_corpus.fetch(folder)
    print(f"Files from {folder}")
    files = corpus_files(folder, options.samples)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pixmill-corpus-"))
    try:
        # As many items as engines, so that the times are those of the pictures alone.
        with Origin() as origin, hostile.started(scratch / "data", PIXMILL_ITEMS_IN_FLIGHT="2") as server:
            trial = hostile.Trial(server, origin, scratch)
            for what, named, recipe in RECIPES:
                print(f"== {what}: {recipe}", flush=True)
                told = len(trial.problems)
                trial.feed([named(path, label) for path, label in files], recipe, 3600)
                print(f"   {hostile.since(begun):.0f} s, {len(trial.problems)} problems so far", flush=True)
                for problem in trial.problems[told:]:
                    print(f"   PROBLEM {problem}", flush=True)
            report(trial, hostile.since(begun))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if absent:
        print(f"Not to be had: {', '.join(absent)}")
    good = not trial.problems and not absent and trial.samples > 0
    print(f"{'PASSED' if good else 'FAILED'}: {len(files)} hostile files, {len(trial.problems)} problems, one server process throughout")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
