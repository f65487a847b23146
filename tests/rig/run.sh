#!/bin/bash
# Boots the rig, runs a command in it, streams its output and exits with its code.
#   run.sh [options] -- CMD ARG...       (a shell line: -- sh -c '...')
#     --modprobe "M ARG..."  load a module before CMD; repeatable
#     --tcp H:G --udp H:G    127.0.0.1:H on the host goes to port G of the guest; repeatable
#     --host-root            run in the host's own userland (read-only), not in the small image
#     --share DIR            share DIR, read-write, at the same path; repeatable. The current folder
#                            always is, and CMD starts in it
#     --env K[=V]            pass an environment variable; repeatable
#     --timeout SECONDS      (180)
#     --mem MB               (1024)
#     --console              the kernel's log on stderr
# Exit code: CMD's own; 124 timeout; 125 the rig failed; 130 interrupted.
# In the guest the host is 10.0.2.2; the guest is 10.0.2.15. CMD's stdin is empty; its stdout and
# stderr both come out of stdout. Builds the rig first if that was not done (see build.sh).
set -u
. "$(dirname "$0")/common.sh"

shares=("$PWD") modules=() forwards=() envs=() host_root=0 limit=180 mem=1024 console=0
while [ $# -gt 0 ]; do
  case $1 in
    --modprobe) modules+=("$2"); shift 2;;
    --tcp) forwards+=(-t "$2"); shift 2;;
    --udp) forwards+=(-u "$2"); shift 2;;
    --host-root) host_root=1; shift;;
    --share) shares+=("$(cd "$2" && pwd)") || die "no folder $2"; shift 2;;
    --env) envs+=("$2"); shift 2;;
    --timeout) limit=$2; shift 2;;
    --mem) mem=$2; shift 2;;
    --console) console=1; shift;;
    --) shift; break;;
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit;;
    *) die "unknown option $1 (try --help)";;
  esac
done
[ $# -gt 0 ] || die "no command (try --help)"
for share in "${shares[@]}"; do
  case $share in
    /) die "cannot share /: start in another folder";;
    *[[:space:],]*) die "cannot share a folder with a blank or a comma in its name: $share";;
  esac
done
built=$("$rig/build.sh") || exit 125

run=$(mktemp -d) || exit 125
machine='' interrupted=0
trap 'rm -rf "$run"' EXIT
trap 'interrupted=1; [ -z "$machine" ] || kill "$machine" 2>/dev/null' INT TERM HUP

# What the guest's init reads, appended to the userland as a second archive.
quote() { printf "'%s' " "${1//\'/\'\\\'\'}"; }
lines() { [ $# = 0 ] || printf '%s\n' "$@"; }
mkdir "$run/rig"
lines "${shares[@]}" >"$run/rig/shares"
lines "${modules[@]}" >"$run/rig/modprobe"
echo "$PWD" >"$run/rig/cwd"
[ $host_root = 0 ] || : >"$run/rig/host-root"
{
  for e in "${envs[@]}"; do
    name=${e%%=*}
    case $e in *=*) value=${e#*=};; *) value=${!name-};; esac
    echo "export $name=$(quote "$value")"
  done
  for word in "$@"; do quote "$word"; done
  echo
} >"$run/rig/cmd"
{
  cat "$built/initramfs.cpio"
  (cd "$run" && find rig | LC_ALL=C sort | "$built/busybox" cpio -o -H newc 2>/dev/null)
} >"$run/initrd"

# CMD's output and its exit code leave the guest by two serial lines: descriptors 7 and 8, pipes
# that are held open here too, so that their readers never wait for a machine that does not start.
log=$run/console.log; : >"$log"; : >"$run/rc"
mkfifo "$run/out.pipe" "$run/rc.pipe"
cat "$run/out.pipe" & out_reader=$!
cat "$run/rc.pipe" >"$run/rc" & rc_reader=$!
exec 7<>"$run/out.pipe" 8<>"$run/rc.pipe"
tailer=''
if [ $console = 1 ]; then tail -n +1 -f "$log" >&2 7>&- 8>&- & tailer=$!; fi

# The guest's memory is a file that is mapped executable: in memory too, where that is possible.
TMPDIR=$run
case $(findmnt -no FSTYPE,OPTIONS /dev/shm 2>/dev/null) in
  tmpfs*noexec*) ;;
  tmpfs*) [ ! -w /dev/shm ] || [ "$(df --output=avail -m /dev/shm | tail -1)" -lt $((mem * 2)) ] || TMPDIR=/dev/shm;;
esac
TMPDIR=$TMPDIR "$built/umlnet" -l "$limit" "${forwards[@]}" 9 \
  "$built/linux" mem="${mem}M" initrd="$run/initrd" uml_dir="$run" umid=vm \
  con=null con0=null,fd:1 ssl=null ssl0=null,fd:7 ssl1=null,fd:8 vec0:transport=fd,fd=9,vec=0 \
  panic=-1 oops=panic quiet </dev/null >"$log" 2>&1 &
machine=$!
status=127
while kill -0 $machine 2>/dev/null; do wait $machine; status=$?; done
# It may have ended between the two: its status is still there to be had.
wait $machine 2>/dev/null; last=$?; [ $last = 127 ] || status=$last

drain() { # let a reader come to its end of file, but not for ever
  for _ in $(seq 300); do kill -0 "$1" 2>/dev/null || return; sleep 0.02; done
  kill "$1" 2>/dev/null
}
exec 7>&- 8>&-
drain $out_reader; drain $rc_reader
[ -z "$tailer" ] || { sleep 0.2; kill "$tailer" 2>/dev/null; }
grep -aE 'WARNING:|BUG:|Oops|Kernel panic' "$log" | sed 's/^/rig: kernel: /' >&2

[ $interrupted = 0 ] || exit 130
code=$(head -n1 "$run/rc" | tr -dc 0-9)
[ -z "$code" ] || exit "$code"
[ $status != 124 ] || { say "timeout after $limit s"; exit 124; }
say "no exit code from the guest (machine ended with $status); end of its log:"
tail -n 25 "$log" >&2
exit 125
