#!/bin/bash
# Builds the guest's kernel and modules into OUT; called by build.sh, which holds the lock.
#   kernel.sh OUT
# OUT gets: linux (the User Mode Linux binary), lib/modules, config. About 5 minutes of one CPU.
set -euo pipefail
. "$(dirname "$0")/common.sh"
out=$1 work=$1.work
src=$work/$linux obj=$work/obj
unset MAKEFLAGS MAKELEVEL # a make or cargo above has a job server of its own

if [ ! -e "$work/patched" ]; then
  say "kernel: sources"
  rm -rf "$work"; mkdir -p "$work"
  unpack "$work/deb" $linux v4l2loopback-source
  tar -C "$work" -xf "$work/deb/usr/src/$linux.tar.xz"
  tar -C "$work" -xf "$work"/deb/usr/src/v4l2loopback.tar.*
  rm -rf "$work/deb"
  for p in "$rig"/patches/*.patch; do patch -s -d "$src" -p1 <"$p"; done
  touch "$work/patched"
fi

say "kernel: configure"
mkdir -p "$obj"
(cd "$src" && ARCH=um KBUILD_OUTPUT=$obj scripts/kconfig/merge_config.sh -n -O "$obj" "$rig/kernel.config") >"$work/config.log" 2>&1
# An option whose dependencies are not met vanishes without a word.
for option in HOSTFS UML_NET_VECTOR NET INET DEVTMPFS MODULE_UNLOAD DMABUF_HEAPS_SYSTEM UDMABUF \
  VIDEO_VIVID VIDEO_VICODEC VIDEO_VIM2M VIDEO_VIMC USB_VIDEO_CLASS USB_DUMMY_HCD USB_RAW_GADGET; do
  grep -qE "^CONFIG_$option=[ym]" "$obj/.config" || die "kernel: CONFIG_$option did not survive configuration"
done

build() { make -s -C "$src" O="$obj" ARCH=um -j"$(nproc)" "$@" >>"$work/make.log" 2>&1 || { tail -30 "$work/make.log" >&2; die "kernel: make $*"; }; }
say "kernel: make (log: $work/make.log)"
build linux modules
build M="$(dirname "$(find "$work" -name v4l2loopback.c -print -quit)")" modules

rm -rf "$out.new"; mkdir -p "$out.new"
build INSTALL_MOD_PATH="$out.new" INSTALL_MOD_STRIP=1 DEPMOD=true modules_install
release=$(ls "$out.new/lib/modules")
modules=$out.new/lib/modules/$release
rm -f "$modules/build" "$modules/source"
mkdir -p "$modules/extra"
find "$work" -name v4l2loopback.ko -exec strip -g -o "$modules/extra/v4l2loopback.ko" {} \;
PATH=$PATH:/usr/sbin:/sbin depmod -b "$out.new" "$release"
strip -o "$out.new/linux" "$obj/linux"
cp "$obj/.config" "$out.new/config"
mv "$out.new" "$out"
rm -rf "$work"
say "kernel: $release, $(find "$out" -name '*.ko' | wc -l) modules"
