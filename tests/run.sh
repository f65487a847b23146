#!/usr/bin/env bash
# Runs every check of the project. `tests/run.sh` is what a newcomer and CI run alike.
#   LENSD_LONG=1   soak, stress and fuzz runs last minutes instead of seconds
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }

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

say "models of the shared memory, sanitizers, fuzzing"
# The stress test of killed processes is one of the tests above.
RUSTFLAGS="--cfg loom" cargo test -p lensd-ffi --release --locked --quiet --test loom --target-dir target/loom
tests/sanitize.sh
fuzz/run.sh

say "real drivers, in the virtual machine"
tests/rig/v4l2.sh
tests/rig/stream.sh
