# shellcheck shell=bash
# Shared by build.sh, kernel.sh and run.sh: names, the cache, the package fetcher.

rig=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lensd/rig
linux="linux-source-6.1"

say() { echo "rig: $*" >&2; }
die() { say "$*"; exit 125; }

# key_of FILE... -- WORD...: 16 hex digits for the files' names and contents and the words
key_of() {
  local files=()
  while [ "$1" != -- ]; do files+=("$1"); shift; done
  local sums
  # shellcheck disable=SC2068  # a pattern counts from the rig's folder, wherever the caller is
  sums=$(cd "$rig" && sha256sum -- ${files[@]} | LC_ALL=C sort) || die "cannot read the rig's own files"
  printf '%s\n' "$sums" "$@" | sha256sum | cut -c1-16
}

# The package's version; apt takes 0.6 s to say it, so it is kept until the lists change.
linux_version() {
  local memo=$cache/$linux.version lists=/var/lib/apt/lists
  if [ ! "$memo" -nt "$lists" ]; then
    local v
    v=$(apt-cache show --no-all-versions $linux 2>/dev/null | sed -n 's/^Version: //p')
    [ -n "$v" ] || die "apt knows no $linux (it is Debian 12's): run tests/setup.sh rig on Debian 12"
    echo "$v" >"$memo.$$" && mv "$memo.$$" "$memo"
  fi
  cat "$memo"
}

# unpack DIR PACKAGE...: fetch with apt, unpack, install nothing
unpack() {
  local dir=$1 debs; shift
  debs=$(mktemp -d "$cache/debs.XXXXXX")
  local sandbox=(); [ "$(id -u)" != 0 ] || sandbox=(-o APT::Sandbox::User=root)
  (cd "$debs" && apt-get -qq "${sandbox[@]}" download "$@") || die "cannot fetch $* (perhaps apt's lists are old: apt-get update)"
  mkdir -p "$dir"
  local deb; for deb in "$debs"/*.deb; do dpkg -x "$deb" "$dir"; done
  rm -rf "$debs"
}
