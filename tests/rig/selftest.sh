#!/bin/bash
# Shows that the rig works on this machine: kernel drivers, host programs in the guest, network,
# exit codes. Builds the rig first if need be.
#   selftest.sh
# Needs what `tests/setup.sh test` installs. About 40 s, 70 s on a busy machine.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
cp "$here/selftest-guest.sh" guest.sh
fails=0
run() { "$here/run.sh" "$@"; }
check() { # NAME CMD...: run, report, go on
  local name=$1 start=${EPOCHREALTIME/./} result=ok; shift
  "$@" >log 2>&1 || { result="FAIL($?)"; fails=$((fails + 1)); }
  printf '%s %s [%d ms]\n' "$result" "$name" $(((${EPOCHREALTIME/./} - start) / 1000))
  [ "$result" = ok ] || sed 's/^/    /' log
}
exits() { local want=$1 got; shift; "$@"; got=$?; [ $got = "$want" ] || { echo "exit code $got, not $want"; return 1; }; }

built=$("$here/build.sh") || exit 1
echo "# rig in $built"
check "build.sh again is quick" exits 0 timeout 3 "$here/build.sh"

echo "# drivers, in the small userland"
run --timeout 150 -- sh guest.sh || fails=$((fails + 1))

echo "# exit codes"
check "CMD's own" exits 7 run -- sh -c 'exit 7'
check "timeout is 124" exits 124 run --timeout 2 -- sleep 60
check "rig failure is 125" exits 125 run --modprobe no_such_module -- true
taken() { python3 -c 'import socket, subprocess, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
sys.exit(subprocess.call(sys.argv[1:2] + ["--tcp", "%d:80" % s.getsockname()[1], "--", "true"]))' "$here/run.sh"; }
check "a taken port is 125" exits 125 taken
interrupt() { # SIGNAL: no process of the machine may be left
  TMPDIR=$work "$here/run.sh" -- sh -c 'touch up; sleep 60' & local pid=$!
  until [ -e up ]; do sleep 0.1; done; rm up
  kill "-$1" $pid; wait $pid; local code=$?
  for _ in $(seq 50); do pgrep -f "initrd=$work" >/dev/null || return $code; sleep 0.1; done
  echo "still there:"; pgrep -af "initrd=$work"; return 99
}
check "SIGTERM is 130, nothing left running" exits 130 interrupt TERM
check "SIGKILL leaves nothing running" exits 137 interrupt KILL
several() { local pids=() i bad=0
  for i in 1 2 3 4; do run --modprobe "vivid n_devs=1" -- sh -c "sleep 1; exit $i" & pids+=($!); done
  for i in 1 2 3 4; do exits $i wait "${pids[i - 1]}" || bad=1; done; return $bad; }
check "four at once" several

echo "# host programs in the guest"
cat >hello.rs <<'R'
fn main() {
    println!("{}", std::fs::read_to_string("/proc/version").unwrap());
    std::process::exit(42)
}
R
rustc -o hello hello.rs || fails=$((fails + 1))
hello() { exits 42 run "$@" -- ./hello && grep -q lensd-rig log; }
check "a Rust binary, small userland" hello
check "a Rust binary, --host-root" hello --host-root
check "--host-root is read-only, the shared folder is not" run --host-root -- sh -c '! touch /etc/x && touch written'
check "... and that reached the host" test -e written
ffmpeg_v4l2() {
  run --host-root --modprobe "vivid n_devs=1" -- ffmpeg -v error -f v4l2 -framerate 25 -video_size 640x480 \
    -i /dev/video0 -frames:v 25 -c:v libx264 -preset ultrafast -y v.mp4
  [ "$(ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of csv=p=0 v.mp4)" = 25 ]
}
check "ffmpeg: vivid to x264, 25 frames" ffmpeg_v4l2
cv2='import cv2; c = cv2.VideoCapture("/dev/video0", cv2.CAP_V4L2); ok, f = c.read(); print(ok, f.shape, f.mean()); assert ok and f.mean() > 20'
check "python3 with OpenCV reads vivid" run --host-root --modprobe "vivid n_devs=1" -- /usr/bin/python3 -c "$cv2"
check "environment" run --env A="it's" --env HOME -- sh -c "[ \"\$A\" = \"it's\" ] && [ \"\$HOME\" = \"$HOME\" ]"

echo "# network"
free_port() { python3 -c "import socket; s = socket.socket(type=socket.SOCK_$1); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"; }
fetch() { # a server in the guest, a client here; and the other way round
  local port; port=$(free_port STREAM); echo from-guest >page; rm -f stop
  run --tcp "$port:8080" -- sh -c 'httpd -p 8080; while [ ! -e stop ]; do usleep 100000; done' & local machine=$!
  curl -sf --retry 30 --retry-all-errors --retry-delay 1 "http://127.0.0.1:$port/page"; local code=$?
  touch stop; wait $machine && return $code
}
check "--tcp: host client, guest server" fetch
serve() {
  local port; port=$(free_port STREAM); echo from-host >page
  python3 -m http.server "$port" --bind 127.0.0.1 & local server=$!
  sleep 1; run -- wget -qO- "http://10.0.2.2:$port/page"; local code=$?; kill $server; return $code
}
check "guest client, host server at 10.0.2.2" serve
cat >echo.py <<'P'
import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("", 5004)); open("up", "w").close()
while True:
    data, peer = s.recvfrom(2000); s.sendto(data, peer)
    if data == b"stop": break
P
datagrams() {
  local port; port=$(free_port DGRAM); rm -f up
  run --host-root --udp "$port:5004" -- python3 echo.py & local machine=$!
  until [ -e up ]; do sleep 0.1; done
  python3 -c "import socket, time
s = socket.socket(type=socket.SOCK_DGRAM); s.connect(('127.0.0.1', $port)); s.settimeout(5); got = 0
for i in range(500):
    s.send(bytes(1400)); got += len(s.recv(2000)) == 1400
s.send(b'stop'); print(got, 'of 500'); assert got == 500"; local code=$?
  wait $machine && return $code
}
check "--udp: 500 datagrams there and back" datagrams

echo "# $fails failed"
[ $fails = 0 ]
