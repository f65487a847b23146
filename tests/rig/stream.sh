#!/bin/bash
# From a real V4L2 driver to decoded pictures: lensd, ffmpeg and curl in the virtual machine, with
# vivid as the cameras, one of them by its default format, one as asked for. Exits with 1 if a
# check failed.
#   stream.sh [LENSD]    the binary (default: target/debug/lensd, built)
. "$(dirname "$0")/lensd.sh"
cat >"$work/guest.sh" <<'GUEST'
cd "$1"
. ./check.sh
frames() { # URL TRANSPORT N: decodes N frames and counts them
  n=$(ffmpeg -v error -rtsp_transport "$2" -i "$1" -frames:v "$3" -f framecrc - | grep -vc '^#')
  [ "$n" = "$3" ] || { echo "$n frames"; return 1; }
}
./lensd devices >devices.txt
check "devices lists both cameras" sh -c 'grep -q /dev/video0 devices.txt && grep -q /dev/video1 devices.txt'
mkdir iio; for axis in x y z; do echo 0 >iio/in_accel_${axis}_raw; done; echo -1000 >iio/in_accel_y_raw; echo 0.0098 >iio/in_accel_scale
printf '[hardware]\naccelerometer = "%s"\n' "$PWD/iio" >lensd.toml
LENSD_ADMIN_PASSWORD=password123 ./lensd run --config lensd.toml --data data --open --http 0.0.0.0:8080 --rtsp 0.0.0.0:8554 --rtsps off \
  --camera 'v4l2:/dev/video0?size=640x480' \
  --camera 'v4l2:/dev/video1?format=YUYV&size=320x180' \
  --camera 'v4l2:/dev/video77' >lensd.log 2>&1 &
server=$!
n=0; until [ -f data/run/ports.json ] || [ $n -gt 200 ]; do n=$((n + 1)); sleep 0.05; done
check "main over TCP" frames rtsp://127.0.0.1:8554/stream1 tcp 20
check "main over UDP" frames rtsp://127.0.0.1:8554/cam1/main udp 20
check "sub" frames rtsp://127.0.0.1:8554/stream2 tcp 10
check "MJPEG" frames rtsp://127.0.0.1:8554/cam1/mjpeg tcp 10
check "YUYV as asked for" frames rtsp://127.0.0.1:8554/cam2/main tcp 10
check "the format is told" grep -q 'format="YUYV" size="320x180"' lensd.log
check "a missing device is told with what exists" grep -q '/dev/video77.*/dev/video0' lensd.log
check "a refusal is logged once, not at each try" [ "$(grep -c 'WARN /dev/video77' lensd.log)" = 1 ]
check "a missing camera is 503" sh -c 'ffprobe -v error rtsp://127.0.0.1:8554/cam3/main 2>&1 | grep -q 503'
check "a still picture" sh -c 'curl -sf http://127.0.0.1:8080/api/snapshot -o still.jpg && ffprobe -v error -show_entries stream=width -of csv=p=0 still.jpg | grep -qx 640'
# Settings are the driver's own controls, and hold when it comes back.
put() { # KEY VALUE PATTERN: sets, and looks for the pattern in the answer
  curl -sS -u admin:password123 -d "$2" "http://127.0.0.1:8080/api/settings/$1" | tee "put.$$" | grep -q "$3" || { cat "put.$$"; return 1; }
}
is() { # CONTROL VALUE: what the driver itself says
  v4l2-ctl -d /dev/video0 -C "$1" | grep -qx "$1: $2"
}
check "brightness is set" put brightness 100 '"value":100'
check "at the driver" is brightness 255
check "its range is told" put contrast 20 '"max":255'
check "and the nearest step" is contrast 51
check "mirror is set" put mirror true '"value":true'
check "at the driver" is horizontal_flip 1
check "mirror is taken back" put mirror false '"value":false'
check "a head that hangs upside down" put auto-rotate true '"value":true'
check "is turned" is vertical_flip 1
echo 1000 >iio/in_accel_y_raw
check "and back" sh -c 'n=0; until v4l2-ctl -d /dev/video0 -C vertical_flip | grep -q ": 0" || [ $n -gt 200 ]; do n=$((n + 1)); sleep 0.05; done; [ $n -le 200 ]'
check "what the driver lacks is refused" put zoom 5 'no control for zoom'
check "another size" put resolution '"320x180"' '"value":"320x180"'
check "an input of it" put cam1-sensor 1 '"value":1'
check "an input that is none" put cam1-sensor 31 'no such input\|input 31'
check "pictures go on" frames rtsp://127.0.0.1:8554/stream1 tcp 10
# The driver goes away under a running client, and comes back.
opened=$(grep -c 'camera opened camera=1' lensd.log)
echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
sleep 1
check "the loss is told" grep -q 'WARN.*/dev/video0' lensd.log
echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
n=0; until [ "$(grep -c 'camera opened camera=1' lensd.log)" -gt "$opened" ] || [ $n -gt 400 ]; do n=$((n + 1)); sleep 0.05; done
check "the camera comes back" frames rtsp://127.0.0.1:8554/stream1 tcp 10
check "with its settings" sh -c 'n=0; until v4l2-ctl -d /dev/video0 -C contrast | grep -qx "contrast: 51" || [ $n -gt 100 ]; do n=$((n + 1)); sleep 0.05; done; [ $n -le 100 ]'
kill -INT $server
wait $server; check "the end is clean" [ $? = 0 ]

# A scaler for the sub stream, and a camera whose planes lie in buffers of their own; strace watches.
mv lensd.log first.log
LENSD_ADMIN_PASSWORD=password123 strace -f -y -e trace=mmap,ioctl,close,fstat,newfstatat -o trace ./lensd run --data scaled --open \
  --http 0.0.0.0:8080 --rtsp 0.0.0.0:8554 --rtsps off \
  --camera 'v4l2:/dev/video2?format=RGB24&size=640x480&fps=10' --camera 'v4l2:/dev/video3?format=NM12&size=320x180&fps=10' >lensd.log 2>&1 &
tracer=$!
n=0; until [ -f scaled/run/ports.json ] || [ $n -gt 400 ]; do n=$((n + 1)); sleep 0.05; done
pipeline() { # STREAM PATTERN: looks for it in the words
  curl -sS -u admin:password123 http://127.0.0.1:8080/api/streams >"streams.$$"
  jq -r --arg name "$1" '.data.streams[] | select(.name == $name) | .pipeline' "streams.$$" | tee "words.$$" | grep -q -- "$2" || { cat "words.$$"; return 1; }
}
check "a sub stream by the scaler" frames rtsp://127.0.0.1:8554/stream2 tcp 10
ffmpeg -v error -rtsp_transport tcp -i rtsp://127.0.0.1:8554/stream2 -f null - >/dev/null 2>&1 & reader=$!
check "narrower" put sub-width 320 '"value":320'
check "is made by the scaler" sh -c 'ffprobe -v error -rtsp_transport tcp -show_entries stream=width,height -of csv=p=0 rtsp://127.0.0.1:8554/stream2 | grep -qx 320,240'
check "which is told" pipeline cam1/sub 'vivid RGB24 dmabuf -> v4l2 m2m scaler /dev/video[0-9]* YUYV 320x240 dmabuf -> I420 (CPU: openh264 takes nothing else) -> openh264'
soon() { # COMMAND…: within a minute
  tries=0; until "$@"; do tries=$((tries + 1)); [ $tries -lt 300 ] || return 1; sleep 0.2; done
}
check "a text over the picture" put overlay-text '"Gate 7"' '"value":"Gate 7"'
check "is none of the scaler's" soon pipeline cam1/sub 'scale to width 320 (CPU: the settings ask for changed pictures)'
check "and without it" put overlay-text '""' '"value":""'
check "the scaler is asked again" soon pipeline cam1/sub 'v4l2 m2m scaler'
kill $reader
check "planes in buffers of their own" frames rtsp://127.0.0.1:8554/cam2/main tcp 10
check "are told" pipeline cam2/main 'vivid NM12 -> I420 (CPU: openh264 takes nothing else) -> openh264'
ffmpeg -v error -rtsp_transport tcp -i rtsp://127.0.0.1:8554/cam2/sub -f null - >/dev/null 2>&1 & reader=$!
check "a sub stream of that" frames rtsp://127.0.0.1:8554/cam2/sub tcp 10
check "is scaled by the processor" pipeline cam2/sub 'scale to width 320 (CPU: the pictures do not lie in one DMA-buf each) -> openh264'
kill $reader
kill -INT "$(pgrep -P $tracer | head -1)"
wait $tracer; check "the end is clean" [ $? = 0 ]
check "no call was refused while pictures flowed" python3 calls.py trace
[ $fails = 0 ] || { echo "-- lensd's log"; tail -n 40 first.log; tail -n 40 lensd.log; }
exit $fails
GUEST
cp "$here/calls.py" "$work/"
"$here/run.sh" --timeout 300 --host-root --share "$work" \
  --modprobe "vivid n_devs=4 node_types=0x1,0x1,0x1,0x1 multiplanar=1,1,1,2" --modprobe "vim2m default_transtime=1" -- sh "$work/guest.sh" "$work"
