#!/usr/bin/env bash
# Runs every check of the project. `tests/run.sh` is what a newcomer and CI run alike.
#   LENSD_LONG=1   soak, stress and fuzz runs last minutes instead of seconds
set -euo pipefail
cd "$(dirname "$0")/.."
# Minutes, and what is left of the disk: a full one shows itself as a linker's bus error.
say() { printf '\n== %s (%d min, %s free)\n' "$*" $((SECONDS / 60)) "$(df -h --output=avail . | tail -n1 | tr -d ' ')"; }

say "what the tests need"
tests/setup.sh rig

say "format, lints, documentation"
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

say "tests"
# The binary first: tests run it, and the virtual machine does too.
cargo build --workspace --all-targets --locked
cargo nextest run --workspace --locked --no-fail-fast
cargo test --workspace --doc --locked --quiet
if [ "${LENSD_LONG:-}" = 1 ]; then
  # A measurement, which has nothing to assert: ignored above.
  cargo test --release -p lensd-engine --locked --test speed -- --ignored --nocapture
fi

say "real drivers, in the virtual machine"
tests/rig/v4l2.sh
tests/rig/stream.sh
tests/rig/clock.sh
tests/rig/plug.sh
tests/rig/tap.sh

models() {
  # The stress test of killed processes is one of the tests above.
  RUSTFLAGS="--cfg loom" cargo test -p lensd-ffi --release --locked --quiet --test loom --target-dir target/loom
}

# These build everything once more, with instruments. On a machine that is slow today they would
# not end within CI's time, and a run that is cut off says less than one that says what it left out.
for extra in models tests/sanitize.sh fuzz/run.sh; do
  say "$extra"
  if [ "$SECONDS" -lt "${LENSD_EXTRAS_WITHIN:-2400}" ]; then
    "$extra"
  else
    echo "left out after $((SECONDS / 60)) minutes; run $extra by itself"
  fi
done
