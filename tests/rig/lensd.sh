# shellcheck shell=bash
# Shared by the scripts that run lensd in the virtual machine: sourced with the script's arguments, of
# which the first may be the binary (default: target/debug/lensd, built). Leaves the rig's folder in
# `here`, and a folder for the guest with the binary in `work`, which goes with the script.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
lensd=${1:-}
if [ -z "$lensd" ]; then
  cargo build -q
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  lensd=$target/debug/lensd
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$lensd" "$work/lensd"
# What guests begin with.
cat >"$work/check.sh" <<'CHECK'
fails=0
check() { # NAME COMMAND…: says how it went
  name=$1; shift
  if "$@" >"out.$$" 2>&1; then echo "ok   $name"; else echo "FAIL $name"; tail -5 "out.$$"; fails=1; fi
}
CHECK
