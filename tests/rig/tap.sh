#!/bin/bash
# Frames of a real V4L2 driver in another program, where the driver has put them: lensd and a client
# in C in the virtual machine, with vivid as the camera. The client maps the driver's own DMA-bufs.
# Exits with 1 if a check failed.
#   tap.sh [LENSD]    the binary (default: target/debug/lensd, built)
. "$(dirname "$0")/lensd.sh"
ffi/install.sh --debug "$work/prefix"
cc -std=c11 -D_GNU_SOURCE -O2 ffi/examples/tap.c -I"$work/prefix/include" -L"$work/prefix/lib" -llensd \
  -Wl,-rpath,"$work/prefix/lib" -o "$work/tap"
cat >"$work/guest.sh" <<'GUEST'
cd "$1"
. ./check.sh
# The shared folder carries no sockets.
run=$(mktemp -d)
printf '[tap]\nsocket = "%s/tap.sock"\n' "$run" >lensd.toml
export LENSD_TAP=$run/tap.sock
./lensd run --config lensd.toml --data $run/data --open --http 0.0.0.0:8080 --https off --rtsp 0.0.0.0:8554 --rtsps off \
  --camera 'v4l2:/dev/video0?format=YUYV&size=640x360' >lensd.log 2>&1 &
server=$!
n=0; until [ -f $run/data/run/ports.json ] || [ $n -gt 400 ]; do n=$((n + 1)); sleep 0.05; done
metrics() { curl -s --unix-socket $run/data/run/engine-ops.sock http://x/metrics; }
is() { metrics | grep -qx "lensd_$1 $2"; }
settles() { m=0; until is "$@"; do m=$((m + 1)); [ $m -lt 100 ] || { metrics | grep tap; return 1; }; sleep 0.1; done; }
check "frames as the driver gives them" sh -c './tap --every --frames 20 >frames.txt && [ "$(grep -c "YUYV 640x360" frames.txt)" = 20 ]'
check "not a byte is copied" settles tap_copied_pixel_bytes_total 0
check "scaled and converted" sh -c './tap --size 320x180 --format BGR24 --frames 5 | grep -c "BGR3 320x180" | grep -qx 5'
# Who holds frames for ever takes nothing from the driver: it always has buffers.
./tap --every --hold 60000 >held.txt 2>&1 &
stalled=$!
sleep 1; kill -STOP $stalled
check "beside one that is stopped" ./tap --every --frames 40
check "the driver does not starve" sh -c 'for i in 1 2 3; do ./tap --frames 5 || exit 1; done'
kill -KILL $stalled
check "what was lent comes back" settles tap_loans 0
check "and nobody is left" settles tap_clients 0
fds() { ls "/proc/$engine/fd" | wc -l; }
engine=$(curl -s --unix-socket $run/data/run/engine-ops.sock http://x/debug/pipeline | grep -o '"pid":[0-9]*' | head -1 | tr -dc 0-9)
check "the engine is found" [ -d "/proc/$engine/fd" ]
before=$(fds)
i=0; while [ $i -lt 20 ]; do ./tap --every --hold 20 >/dev/null 2>&1 & victim=$!; sleep 0.1; kill -KILL $victim; i=$((i + 1)); done
check "killed clients return everything" settles tap_loans 0
check "and no descriptor stays" [ "$(fds)" = "$before" ]
check "the camera was never lost" sh -c '! grep -q "no frame for" lensd.log'
kill $server; wait $server
check "it ends well" [ $? = 0 ]
[ $fails = 0 ] || cat lensd.log
exit $fails
GUEST
"$here/run.sh" --timeout 240 --host-root --share "$work" \
  --modprobe "vivid n_devs=1 node_types=0x1" -- sh "$work/guest.sh" "$work"
