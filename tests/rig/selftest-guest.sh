#!/bin/sh
# The part of selftest.sh that runs in the guest: what its kernel can do with cameras and codecs.
cd "$(mktemp -d)" || exit 1
fails=0
check() { # NAME CMD...: run, report, go on
  name=$1; shift; start=$(cut -d' ' -f1 /proc/uptime); result=ok
  "$@" >log 2>&1 || { result="FAIL($?)"; fails=$((fails + 1)); }
  seconds=$(echo "$start $(cut -d' ' -f1 /proc/uptime)" | awk '{ printf "%.1f", $2 - $1 }')
  echo "$result $name [$seconds s] $(grep -ao '[0-9.]* fps.*' log | tail -1)"
  [ "$result" = ok ] || tail -8 log | sed 's/^/    /'
}
node() { # NAME: the first video device called so
  for dir in /sys/class/video4linux/video*; do
    grep -q "$1" "$dir/name" 2>/dev/null && { echo "/dev/${dir##*/}"; return; }
  done
}
until_node() { n=0; while [ -z "$(node "$1")" ]; do n=$((n + 1)); [ $n -lt 50 ] || return 1; usleep 100000; done; }
until_gone() { n=0; while [ -n "$(node "$1")" ]; do n=$((n + 1)); [ $n -lt 50 ] || return 1; usleep 100000; done; }
# The kernel logs the ioctls of DEV: proof that v4l2-ctl really went that way.
with_ioctl() { # IOCTL DEV CMD...
  wanted=$1 traced=/sys/class/video4linux/${2##*/}/dev_debug; shift 2
  dmesg -c >/dev/null; echo 1 >"$traced"; "$@"; code=$?; echo 0 >"$traced"
  [ $code = 0 ] && dmesg | grep -q "$wanted"
}

check "modprobe vivid" modprobe vivid n_devs=1
cap=$(node vivid-000-vid-cap) out=$(node vivid-000-vid-out)
v4l2-ctl -d "$out" --set-fmt-video-out=width=640,height=480,pixelformat=YUYV >/dev/null 2>&1
v4l2-ctl -d "$cap" --set-fmt-video=width=640,height=480,pixelformat=YUYV -p 25 >/dev/null 2>&1
capture() { v4l2-ctl -d "$cap" --stream-mmap --stream-count=30 --stream-to=frames && [ "$(stat -c %s frames)" = $((30 * 640 * 480 * 2)) ]; }
check "v4l2-ctl: vivid, MMAP" capture
check "v4l2-ctl: vivid capture exports, its output imports" with_ioctl VIDIOC_EXPBUF "$cap" \
  timeout 20 v4l2-ctl -d "$cap" --out-device "$out" --stream-mmap --stream-out-dmabuf --stream-count=10
check "v4l2-ctl: vivid output exports, its capture imports" with_ioctl VIDIOC_EXPBUF "$out" \
  timeout 20 v4l2-ctl -d "$cap" --export-device "$out" --stream-dmabuf --stream-count=10
check "vivid 640x480 NV12, MMAP" vmprobe mmap "$cap" 640 480 NV12 25 25
check "vivid 1280x720 NV12, fastest" vmprobe mmap "$cap" 1280 720 NV12 20 60
check "EXPBUF: dma-buf bytes are the mmap bytes" vmprobe expbuf "$cap" 640 480 YUYV 5
check "dma-heap" vmprobe heap
check "vivid captures into dma-heap buffers" vmprobe import "$cap" 640 480 YUYV 5 heap
check "udmabuf" vmprobe udmabuf
control() { v4l2-ctl -d "$cap" -c brightness=77 && v4l2-ctl -d "$cap" -C brightness | grep -q 77; }
check "controls" control
signal_loss() {
  v4l2-ctl -d "$cap" -i 3 && v4l2-ctl -d "$cap" --query-dv-timings | grep -q 'Active width: 1280' &&
    v4l2-ctl -d "$cap" -c dv_timings_signal_mode=1 && v4l2-ctl -d "$cap" --query-dv-timings 2>&1 | grep severed
  code=$?; v4l2-ctl -d "$cap" -c dv_timings_signal_mode=0 -i 0; return $code
}
check "HDMI input loses its signal" signal_loss
unplug() {
  driver=/sys/bus/platform/drivers/vivid
  vmprobe uevents 6 >uevents & vmprobe hold "$cap" 15 >held & holder=$!
  sleep 1; echo vivid.0 >$driver/unbind; wait $holder; cat held
  grep -q 'No such device' held && [ ! -e "$cap" ] || return 1
  echo vivid.0 >$driver/bind; until_node vivid-000-vid-cap; wait; cat uevents
  grep -q "remove@.*$cap" uevents && grep -q "add@.*$cap" uevents
}
check "vivid unplugged while it streams, and back" unplug

modprobe vicodec; until_node stateful-decoder
coder=$(node stateful-encoder) decoder=$(node stateful-decoder)
v4l2-ctl -d "$cap" --set-fmt-video=width=640,height=480,pixelformat=NV12 --stream-mmap --stream-count=5 --stream-to=in.nv12 >/dev/null 2>&1
encode() {
  timeout 30 v4l2-ctl -d "$coder" --set-fmt-video-out=width=640,height=480,pixelformat=NV12 --set-fmt-video=pixelformat=FWHT \
    --stream-mmap --stream-out-mmap --stream-from=in.nv12 --stream-to-hdr=x.fwht
  [ "$(stat -c %s x.fwht)" -gt 10000 ] && [ "$(stat -c %s x.fwht)" -lt "$(stat -c %s in.nv12)" ]
}
decode() {
  timeout 30 v4l2-ctl -d "$decoder" --set-fmt-video-out=width=640,height=480,pixelformat=FWHT --set-fmt-video=pixelformat=NV12 \
    --stream-mmap --stream-out-mmap --stream-from-hdr=x.fwht --stream-to=out.nv12
  [ "$(stat -c %s out.nv12)" = "$(stat -c %s in.nv12)" ]
}
check "v4l2-ctl: vicodec encodes" encode
check "v4l2-ctl: vicodec decodes" decode
modprobe vim2m
m2m() {
  dd if=/dev/zero of=rgb bs=614400 count=5
  timeout 30 v4l2-ctl -d "$(node vim2m)" --set-fmt-video-out=width=640,height=480,pixelformat=RGBP --set-fmt-video=width=640,height=480,pixelformat=RGBP \
    --stream-mmap --stream-out-mmap --stream-count=5 --stream-from=rgb --stream-to=m2m && [ -s m2m ]
}
check "vim2m" m2m
check "v4l2-compliance starts" sh -c "v4l2-compliance -d $coder | grep '^Total'"

modprobe raw_gadget; modprobe dummy_hcd; modprobe uvcvideo
uvccam -s CAM1 & camera=$!
check "a USB camera appears" until_node 'lensd rig camera'
usb=$(node 'lensd rig camera')
check "UVC 640x480 MJPEG" vmprobe mmap "$usb" 640 480 MJPG 30 30
check "UVC 640x480 YUYV" vmprobe mmap "$usb" 640 480 YUYV 30 30
check "UVC EXPBUF" vmprobe expbuf "$usb" 640 480 MJPG 5
usb_control() { v4l2-ctl -d "$usb" -c brightness=-20 && v4l2-ctl -d "$usb" -C brightness | grep -q -- -20; }
check "UVC controls" usb_control
usb_unplug() { vmprobe hold "$usb" 20 >held & holder=$!; sleep 1; kill $camera; wait $holder; cat held; grep -q 'No such device' held && until_gone 'lensd rig camera'; }
check "UVC unplugged while it streams" usb_unplug

modprobe v4l2loopback video_nr=40
loopback() {
  v4l2-ctl -d /dev/video40 -c keep_format=1 --set-fmt-video-out=width=640,height=480,pixelformat=YUYV || return 1
  { for _ in 1 2 3; do head -c 6144000 /dev/urandom; sleep 1; done; } >/dev/video40 & sleep 1
  vmprobe mmap /dev/video40 640 480 YUYV 15
}
check "v4l2loopback" loopback
[ $fails = 0 ]
