#!/bin/bash
# run_fuzz.sh PROGRAM SECONDS: runs one libFuzzer target from its seeds; inputs that find new paths, and those that crash, stay
# beside the program.
set -euo pipefail
program=$1 seconds=$2
name=$(basename "$program" _fuzz)
seeds=${PIXMILL_FUZZ_SEEDS:-$PWD/tests/fuzz/corpus}/$name
found=$(dirname "$program")/corpus/$name
mkdir -p "$found"
folders=("$found")
[[ ! -d $seeds ]] || folders+=("$seeds")
exec "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
  -artifact_prefix="$found-crash-" "${folders[@]}"
