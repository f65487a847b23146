#!/usr/bin/env bash
# Runs ffi's tests under AddressSanitizer and ThreadSanitizer. Works with the stable toolchain.
#
# The standard library comes as it is, since its source is not everywhere, so:
#   address  covers our code and whatever of the library is generic or inlined into it: the mapping,
#            all reads of a ring, descriptors in messages. Leaks are looked for as well.
#   thread   sees our loads, stores and atomics, and threads by their pthread calls. It does not know
#            fences: that orderings suffice is the business of ffi/tests/loom.rs. What it
#            shows is that no word of shared memory is ever touched other than atomically.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTC_BOOTSTRAP=1
target=x86_64-unknown-linux-gnu
case $(uname -m) in x86_64) ;; aarch64) target=aarch64-unknown-linux-gnu;; *) echo "no sanitizers for $(uname -m)"; exit 1;; esac

run() { # sanitizer, further flags
  local kind=$1; shift
  echo "-- $kind"
  # Processes that are killed (the stress test) have nothing to report, so --lib and threads.
  RUSTFLAGS="-Zsanitizer=$kind -Copt-level=1 -Cunsafe-allow-abi-mismatch=sanitizer $*" \
    cargo test -p lensd-ffi --locked --lib --test threads --target $target --target-dir target/sanitize-"$kind" --quiet
}

export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1
export TSAN_OPTIONS="halt_on_error=1:suppressions=$PWD/tests/tsan.supp"
run address
run thread
