#!/bin/bash
# What becomes of capture times when the clock is kept right, is set, and is let go: lensd in the
# virtual machine, whose clock may be set, under a player that reads RTP and RTCP by itself.
# Exits with 1 if a check failed.
#   clock.sh [LENSD]    the binary (default: target/debug/lensd, built)
. "$(dirname "$0")/lensd.sh"
cp tests/carriers/witness.py tests/carriers/steps.py "$work"
cat >"$work/guest.sh" <<'GUEST'
cd "$1"
./lensd run --data data --open --http 0.0.0.0:8080 --rtsp 0.0.0.0:8554 --rtsps off --https off \
  --camera 'test:?size=320x180&fps=20' --camera 'v4l2:/dev/video0?size=320x180' >lensd.log 2>&1 &
server=$!
n=0; until [ -f data/run/ports.json ] || [ $n -gt 400 ]; do n=$((n + 1)); sleep 0.05; done
/usr/bin/python3 steps.py; fails=$?
kill -INT $server
wait $server || fails=1
[ $fails = 0 ] || { echo "-- lensd's log"; tail -40 lensd.log; }
exit $fails
GUEST
"$here/run.sh" --timeout 240 --host-root --share "$work" \
  --modprobe "vivid n_devs=1 node_types=0x1" -- sh "$work/guest.sh" "$work"
