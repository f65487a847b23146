#!/usr/bin/env bash
# Builds all fuzz targets once and runs each for a short time.
#   fuzz/run.sh [seconds] [target...]    5 seconds each; 300 with LENSD_LONG=1
# What a target finds is left in fuzz/artifacts/TARGET; the corpus in fuzz/corpus/TARGET grows from
# run to run. Works with the stable toolchain.
set -euo pipefail
cd "$(dirname "$0")"
export RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0
# As `cargo fuzz run` has it: openh264 and its sanitizer see one table as two.
export ASAN_OPTIONS=detect_odr_violation=0
seconds=${1:-$([ "${LENSD_LONG:-}" = 1 ] && echo 300 || echo 5)}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir .)

cargo fuzz build --fuzz-dir .
host=$(rustc -vV | sed -n 's/^host: //p')
failed=()
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  # Seeds are words of the grammar; the fuzzer has the rest from the comparisons that it sees.
  seeds=(); [ -d "seeds/$target" ] && seeds=("seeds/$target")
  options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="artifacts/$target/")
  # A short run is the same run each time: what it refuses, the next run of the same tree refuses.
  [ "${LENSD_LONG:-}" = 1 ] || options+=(-seed=1)
  [ -f "dictionaries/$target" ] && options+=(-dict="dictionaries/$target")
  log=artifacts/$target.log
  if "target/$host/release/$target" "${options[@]}" "corpus/$target" "${seeds[@]}" >"$log" 2>&1; then
    printf '%-16s %s runs\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  else
    printf '%-16s FAILED, fuzz/%s:\n' "$target" "$log"
    grep -m3 -E 'panicked|ERROR|SUMMARY' -A2 "$log" || tail -5 "$log"
    # The input itself, for whoever has only this text.
    sed -n 's/.*Test unit written to //p' "$log" | while read -r input; do
      [ "$(stat -c %s "$input")" -gt 8192 ] || { echo "base64 of $input:"; base64 "$input"; }
    done
    failed+=("$target")
  fi
done
[ ${#failed[@]} -eq 0 ]
