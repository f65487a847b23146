#!/bin/bash
# Cameras that come and go, with the kernel's own drivers: plug.py in the virtual machine, which unbinds
# and binds vivid under RTSP clients, and plugs USB cameras in and out. Exits with 1 if a check failed.
#   plug.sh [LENSD [CYCLES]]    the binary (default: target/debug/lensd, built); 10 cycles, 100 with LENSD_LONG=1
. "$(dirname "$0")/lensd.sh"
cycles=${2:-$([ "${LENSD_LONG:-}" = 1 ] && echo 100 || echo 10)}
"$here/run.sh" --timeout $((240 + 8 * cycles)) --host-root --share "$work" \
  --modprobe "vivid n_devs=2 node_types=0x1,0x1" --modprobe raw_gadget --modprobe "dummy_hcd num=2" --modprobe uvcvideo \
  -- /usr/bin/python3 "$here/plug.py" "$work" "$cycles" 20
