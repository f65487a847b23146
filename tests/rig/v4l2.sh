#!/bin/bash
# Tests lensd's V4L2 code against the kernel's virtual drivers: vivid, vicodec, vim2m and a USB camera.
#   v4l2.sh
# Builds engine/examples/v4l2_probe and runs it in the virtual machine of this folder (README.md);
# LENSD_RIG names another folder with its run.sh. Exits with 1 if a check failed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
cargo build -q -p lensd-engine --example v4l2_probe
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

# Once with vicodec and vivid of the single-planar interface, once of the multi-planar one.
guest='
probe=$1; dir=$(mktemp -d); fails=0
node() { # NAME: the first video device called so
  for d in /sys/class/video4linux/video*; do grep -q "$1" "$d/name" 2>/dev/null && { echo "/dev/${d##*/}"; return; }; done
}
[ "$2" = mplane ] || $probe vivid || fails=1

$probe m2m "$dir" || fails=1
# The kernel'"'"'s own decoder must make the pictures of it again.
timeout 30 v4l2-ctl -d "$(node stateful-decoder)" --set-fmt-video-out=width=640,height=480,pixelformat=FWHT --set-fmt-video=pixelformat=NV12 \
  --stream-mmap --stream-out-mmap --stream-from-hdr="$dir/units.fwht" --stream-to="$dir/decoded.nv12" >"$dir/log" 2>&1 || tail -c 200 "$dir/log"
$probe compare "$dir/raw.nv12" "$dir/decoded.nv12" || fails=1
$probe scaled "$dir" || fails=1
timeout 30 v4l2-ctl -d "$(node stateful-decoder)" --set-fmt-video-out=width=640,height=360,pixelformat=FWHT --set-fmt-video=pixelformat=YUYV \
  --stream-mmap --stream-out-mmap --stream-from-hdr="$dir/small.fwht" --stream-to="$dir/small.yuyv" >"$dir/log" 2>&1 || tail -c 200 "$dir/log"
$probe compare "$dir/small.raw" "$dir/small.yuyv" || fails=1

[ "$2" = mplane ] && exit $fails

modprobe raw_gadget; modprobe dummy_hcd; modprobe uvcvideo
uvccam -s CAM1 >/dev/null 2>&1 & camera=$!
plugged() { n=0; while [ -z "$(node "lensd rig camera")" ] && [ $n -lt 50 ]; do n=$((n + 1)); usleep 100000; done; }
gone() { n=0; while [ -n "$(node "lensd rig camera")" ] && [ $n -lt 50 ]; do n=$((n + 1)); usleep 100000; done; }
plugged
usb=$(node "lensd rig camera")
$probe jpeg "$usb" >"$dir/jpeg" & probing=$!
n=0; while ! grep -q streaming "$dir/jpeg" && [ $n -lt 80 ]; do n=$((n + 1)); usleep 100000; done
$probe table | grep -F "$usb "
kill $camera
wait $probing || fails=1
cat "$dir/jpeg"
gone
uvccam -s CAM2 -e 5 -z 40 >/dev/null 2>&1 & camera=$!
plugged
$probe frozen "$(node "lensd rig camera")" || fails=1
kill $camera

modprobe v4l2loopback video_nr=40
v4l2-ctl -d /dev/video40 -c keep_format=1 --set-fmt-video-out=width=640,height=480,pixelformat=H264
$probe loopback /dev/video40 || fails=1
exit $fails
'
code=0
for planes in single mplane; do
  n=1; [ $planes = single ] || n=2
  "${LENSD_RIG:-$here}/run.sh" --timeout 180 --share "$target/debug/examples" \
    --modprobe "vivid n_devs=2 multiplanar=$n,2" --modprobe "vicodec multiplanar=$((n - 1))" \
    --modprobe "vim2m default_transtime=1" -- sh -c "$guest" guest "$target/debug/examples/v4l2_probe" $planes || code=1
done

# What the kernel was asked, as strace saw it on the hardware path: no buffer of a camera or a scaler
# is ever mapped, and no call refused while pictures flow. That mappings would be noticed is tried, too.
calls='
probe=$1 rules=$2 trace=$(mktemp); fails=0
node() { for d in /sys/class/video4linux/video*; do grep -q "$1" "$d/name" && { echo "/dev/${d##*/}"; return; }; done; }
seen() { strace -f -y -e trace=mmap,ioctl,close,fstat,newfstatat -o "$trace" "$probe" "$@" && python3 "$rules" "$trace" --unmapped "$(node vivid-000-vid-cap)" --unmapped "$(node vim2m)"; }
if seen path; then echo "ok   nothing mapped, nothing refused"; else echo "FAIL system calls of the hardware path"; fails=1; fi
if seen path looks >"$trace.log" || ! grep -q "was mapped" "$trace.log"; then echo "FAIL mappings are not noticed"; cat "$trace.log"; fails=1; else echo "ok   mappings would be noticed"; fi
exit $fails
'
"${LENSD_RIG:-$here}/run.sh" --timeout 120 --host-root --share "$target/debug/examples" --modprobe "vivid n_devs=1" \
  --modprobe "vim2m default_transtime=1" --modprobe vicodec \
  -- sh -c "$calls" guest "$target/debug/examples/v4l2_probe" "$here/calls.py" || code=1
exit $code
