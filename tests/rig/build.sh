#!/bin/bash
# Makes sure the rig is built and prints the folder it is in. No root; nothing is installed.
#   build.sh
# The first time takes about 6 minutes of CPU and a 145 MB download; afterwards it is a look into
# ${XDG_CACHE_HOME:-$HOME/.cache}/lensd/rig/<hash of the inputs>. Any number of callers may come at
# once: one builds, the others wait for it. Needs what tests/setup.sh installs.
set -euo pipefail
. "$(dirname "$0")/common.sh"
mkdir -p "$cache"

# The kernel is the slow part, so it has a key of its own: a change to the guest spares it.
version=$(linux_version)
kernel_key=$(key_of kernel.sh kernel.config 'patches/*.patch' -- "$version" "$(uname -m)")
key=$(key_of build.sh common.sh 'guest/*' 'host/*' -- "$kernel_key")
out=$cache/$key kernel=$cache/kernel-$kernel_key
if [ -d "$out" ]; then touch "$out"; echo "$out"; exit; fi

exec 9>"$cache/lock"
flock -n 9 || { say "another build is under way: waiting for it"; flock 9; }
if [ -d "$out" ]; then echo "$out"; exit; fi
for tool in gcc make flex bison bc patch xz strip apt-get; do
  command -v $tool >/dev/null || die "no $tool: run tests/setup.sh"
done
[ -e /usr/include/slirp/libslirp.h ] || die "no libslirp-dev: run tests/setup.sh"
[ -d "$kernel" ] || "$rig/kernel.sh" "$kernel" >&2

say "userland"
new=$out.new root=$out.new/root
rm -rf "$new"; mkdir -p "$root"/{dev,etc,mnt,proc,run,sys,tmp,usr/local/bin,usr/sbin}
closure() { # a package and all it needs, the C library included
  apt-cache depends --recurse --no-{recommends,suggests,conflicts,breaks,replaces,enhances} "$@" | grep '^[a-z0-9]' | sort -u
}
# shellcheck disable=SC2046  # package names have no blanks
unpack "$root" busybox-static $(closure v4l-utils libgcc-s1 libstdc++6)
rm -rf "${root:?}"/{usr/share,usr/lib/*/gconv,var}
cp "$root/bin/busybox" "$new/busybox"
for applet in $("$new/busybox" --list); do [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"; done
mkdir -p "$root/sbin"; ln -sf ../bin/busybox "$root/sbin/modprobe" # where the kernel looks for it
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo '127.0.0.1 localhost' >"$root/etc/hosts"

for tool in vmprobe uvccam; do
  gcc -O2 -Wall -static -pthread -o "$root/usr/local/bin/$tool" "$rig/guest/$tool.c"
done
install -m 755 "$rig/guest/init" "$root/init"
mkdir -p "$root/lib"; cp -a "$kernel/lib/modules" "$root/lib/"
(cd "$root" && find . | LC_ALL=C sort | "$new/busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$new/initramfs.cpio"
rm -rf "$root"

gcc -O2 -Wall -o "$new/umlnet" "$rig/host/umlnet.c" -lslirp
cp "$kernel/linux" "$kernel/config" "$new/"
mv "$new" "$out"
# What nobody has used for a month goes; a run touches what it uses.
touch "$kernel"; find "$cache" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
say "built in $SECONDS s, $(du -sh "$out" | cut -f1): $out"
echo "$out"
