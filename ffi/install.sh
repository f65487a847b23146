#!/usr/bin/env bash
# Builds liblensd, shared and static, and puts it with header and pkg-config file into a prefix.
#   ffi/install.sh [--debug] PREFIX
# The crate's ordinary builds make no library for C, so that they need not wait for it.
set -euo pipefail
profile=release
if [ "${1:-}" = --debug ]; then profile=dev; shift; fi
[ $# -eq 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1/lib/pkgconfig" "$1/include"
prefix=$(cd "$1" && pwd)
cd "$(dirname "$0")"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' ../Cargo.toml | head -n 1)
major=${version%%.*}
cargo rustc --quiet --locked --lib --profile "$profile" --crate-type cdylib,staticlib -- \
  -C link-arg=-Wl,-soname,"liblensd.so.$major"
built=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
built=$built/$([ "$profile" = dev ] && echo debug || echo release)
# A program that runs keeps the file that it has mapped.
install -m 755 "$built/liblensd_ffi.so" "$prefix/lib/.liblensd.new"
mv "$prefix/lib/.liblensd.new" "$prefix/lib/liblensd.so.$version"
ln -sfn "liblensd.so.$version" "$prefix/lib/liblensd.so.$major"
ln -sfn "liblensd.so.$major" "$prefix/lib/liblensd.so"
install -m 644 "$built/liblensd_ffi.a" "$prefix/lib/liblensd.a"
install -m 644 include/lensd.h include/lensd_keys.h "$prefix/include/"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" lensd.pc.in >"$prefix/lib/pkgconfig/lensd.pc"
