#!/usr/bin/env python3
"""Storage that fails while lensd records: full, read-only, gone, without an answer.

    storage.py full|replace|read-only|gone|stalled|slow LENSD

The server runs in a mount namespace of its own, which needs no privilege where users may make them.
Streams must go on whatever the disk does, the reason must be told, no file may be damaged, and
recording must go on when the disk is there again.
"""

import os
import subprocess
import sys
import tempfile
import traceback
import urllib.error

import power
from power import HERE, MESSAGE, Lost, Server, catalogue, decodes, messages, recordings, settled, tail, wait


class Mounted(Server):
    """A server that sees `media` by a mount of its own."""

    RUNNING = []

    def __init__(self, lensd, data, mount, environment=(), used=None):
        os.makedirs(f"{data}/media", exist_ok=True)
        wrapper = f"{data}.sh"
        with open(wrapper, "w") as script:
            script.write(f'#!/bin/sh\n{mount}\nexec "{lensd}" "$@"\n')
        os.chmod(wrapper, 0o755)
        within = f"{data}.unshare"
        with open(within, "w") as script:
            script.write(f'#!/bin/sh\nexec unshare -rm "{wrapper}" "$@"\n')
        os.chmod(within, 0o755)
        super().__init__(within, data, environment, used)
        self.RUNNING.append(self)

    def within(self, script):
        """Runs a shell script where the server is."""
        command = ["nsenter", "--target", str(self.child.pid), "--user", "--preserve-credentials"]
        done = subprocess.run(command + ["--mount", "sh", "-ec", script], capture_output=True)
        if done.returncode:
            raise Lost(f"{script}: {done.stderr.decode()}")
        return done.stdout.decode()

    def becomes(self, key, *values):
        def look():
            now = self.get(key)
            return (now,) if now in values else None

        return wait(f"{key} to be {' or '.join(map(str, values))}, not {self.get(key)}", look)[0]

    def streams(self):
        """Pictures still come."""
        url = f"rtsp://127.0.0.1:{self.rtsp}/stream1"
        command = ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", url, "-frames:v", "100"]
        done = subprocess.run(command + ["-c", "copy", "-f", "h264", "-"], capture_output=True)
        numbers = [int(number, 16) for _, number in MESSAGE.findall(done.stdout)]
        if len(numbers) < 100:
            raise Lost(f"the stream stands still after {len(numbers)} pictures")


class Carried:
    """What the stream carries, whoever is slow; a camera on a busy machine leaves pictures out too."""

    def __init__(self, server):
        url, self.path = f"rtsp://127.0.0.1:{server.rtsp}/stream1", f"{server.data}.truth"
        command = ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", url, "-c", "copy", "-f", "h264"]
        # What comes is written at once, not when much has come.
        command += ["-flush_packets", "1", "-y", self.path]
        self.client = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def numbers(self):
        """The numbers of the pictures so far."""
        try:
            with open(self.path, "rb") as stream:
                return [int(number, 16) for _, number in MESSAGE.findall(stream.read())]
        except FileNotFoundError:
            return []

    def flows(self):
        wait("the stream", self.numbers)

    def passes(self, got):
        """Waits for all that a file has."""
        wait("the stream behind the file", lambda: self.numbers()[-1] > got[-1][0])

    def lacks(self, got):
        """What a file lacks of the stream between its first picture and its last."""
        kept = {number for number, _ in got}
        return [n for n in self.numbers() if got[0][0] <= n <= got[-1][0] and n not in kept]

    def stop(self):
        self.client.terminate()
        self.client.wait()


def noticed(server, *words):
    """Operators are told, and so is everybody who shows notices."""
    wait(f"a notice of {words}", lambda: any(all(w in n["text"] for w in words) for n in server.get("notifications")))


def within(server, path):
    """A file that only the server sees, for this process."""
    return f"/proc/{server.child.pid}/root{path}"


def grows(server, data):
    """Waits for a file that is being written, and returns its name."""
    server.becomes("record-state", "recording")

    def look():
        name = server.get("record-file")
        size = server.get("record-size")
        return name if name and size and size > 3000 else None

    return wait("a growing file", look)


def sound(server, data, name):
    """A file plays from its first picture to its last, with none missing but whole groups."""
    path = within(server, f"{data}/media/{name}")
    got = messages(path)
    decodes(path)
    numbers = [number for number, _ in got]
    if not got or numbers != sorted(set(numbers)):
        raise Lost(f"{name}: {len(got)} pictures")
    return got


def full(lensd, data):
    server = Mounted(lensd, data, f'mount -t tmpfs -o size=16m tmpfs "{data}/media" && mkdir "{data}/media/recordings" "{data}/media/uploads"')
    server.set("keep-free", 0)
    server.set("record", True)
    first = grows(server, data)
    # Nothing is left but what fits into the file's last page.
    server.within(f'cat /dev/zero >"{data}/media/filler" 2>/dev/null || true')
    server.becomes("record-state", "full")
    server.streams()
    if not server.get("record-error") and not server.get("storage-error"):
        raise Lost("nothing says that the disk is full")
    noticed(server, "storage is full")
    sound(server, data, first)
    server.within(f'rm "{data}/media/filler"')
    second = wait("another file", lambda: (name := grows(server, data)) != first and name)
    noticed(server, "storage is well again")
    server.set("record", False)
    server.becomes("record-state", "off")
    rows = settled_within(server, data, [first, second])
    server_ok(rows, [first, second])
    for name in (first, second):
        sound(server, data, name)
    server.stop()


def replace(lensd, data):
    """The oldest make room before there is none: no picture is missing, and what is protected stays."""
    server = Mounted(lensd, data, f'mount -t tmpfs -o size=16m tmpfs "{data}/media" && mkdir "{data}/media/recordings"')
    for key, value in {"keep-free": 8, "record-segment": 1, "storage-replace": True}.items():
        server.set(key, value)
    server.set("record", True)
    grows(server, data)
    wait("three files", lambda: len([row for row in catalogue(data).values() if row["state"] == "ready"]) > 2)
    # So little is left that files which come soon need the room of the first ones: 8 MB are to stay,
    # and a twentieth of the disk is made ahead of that. Some more is left than a busy machine records
    # between the look and the filling, or everything would have to go.
    sizes = [row["size"] for row in catalogue(data).values() if row["state"] == "ready"]
    left = 8000000 + 16777216 // 20 + 2 * max(sizes)
    server.within(
        f'free=$(($(stat -f -c "%a * %S" "{data}/media"))); '
        f'head -c $((free - {left})) /dev/zero >"{data}/media/filler"'
    )
    first = min(row["id"] for row in catalogue(data).values())
    # Much is made room of at once: for a moment there may be no file at all.
    wait("the first to go", lambda: (rows := catalogue(data)) and min(row["id"] for row in rows.values()) > first + 1)
    if server.get("record-state") != "recording" or server.get("record-error"):
        raise Lost(f"it ceased to record: {server.get('record-error')}")
    server.set("record", False)
    server.becomes("record-state", "off")
    rows = wait("the last file", lambda: (rows := catalogue(data)) and all(row["state"] != "recording" for row in rows.values()) and rows)
    names = sorted(rows, key=lambda name: rows[name]["id"])
    server_ok(rows, names)
    numbers = [number for name in names for number, _ in sound(server, data, name)]
    gaps = [b for a, b in zip(numbers, numbers[1:]) if b - a > 5]
    if gaps:
        raise Lost(f"pictures are missing before {gaps}")
    server.stop()


def read_only(lensd, data):
    server = Mounted(lensd, data, f'mount -t tmpfs tmpfs "{data}/media" && mkdir "{data}/media/recordings"')
    server.set("record", True)
    first = grows(server, data)
    server.set("record", False)
    settled_within(server, data, [first])
    server.within(f'mount -o remount,ro "{data}/media"')
    server.becomes("storage-state", "read-only")
    try:
        server.set("record", True)
        raise Lost("it records to a disk that cannot be written")
    except urllib.error.HTTPError as refused:
        said = refused.read().decode()
        if "read-only" not in said.lower():
            raise Lost(f"the reason is not told: {said}") from refused
    server.streams()
    server.within(f'mount -o remount,rw "{data}/media"')
    server.becomes("storage-state", "ok")
    server.set("record", True)
    second = grows(server, data)
    server.set("record", False)
    server_ok(settled_within(server, data, [first, second]), [first, second])
    for name in (first, second):
        sound(server, data, name)
    server.stop()


def gone(lensd, data):
    store = f"{data}.store"
    os.makedirs(f"{store}/recordings")
    server = Mounted(lensd, data, f'mount --bind "{store}" "{data}/media"')
    server.set("record", True)
    first = grows(server, data)
    server.within(f'umount -l "{data}/media"')
    server.becomes("storage-state", "gone")
    noticed(server, "storage is gone")
    server.streams()
    hidden = [name for name in os.listdir(f"{data}/media") if os.path.isfile(f"{data}/media/{name}")]
    hidden += recordings(data)
    if hidden:
        raise Lost(f"written where the disk is not: {hidden}")
    server.within(f'mount --bind "{store}" "{data}/media"')
    server.becomes("storage-state", "ok")
    server.set("record", True)
    second = grows(server, data)
    server.set("record", False)
    server_ok(settled_within(server, data, [second]), [second])
    for name in {first, second}:
        sound(server, data, name)
    server.stop()


def stalled(lensd, data):
    library, flag = f"{data}.so", f"{data}.stalls"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, f"{HERE}/stall.c"], check=True)
    environment = {"LD_PRELOAD": library, "LENSD_STALL_ROOT": f"{data}/media/", "LENSD_STALL_WHILE": flag}
    server = Mounted(lensd, data, "true", environment)
    truth = Carried(server)
    truth.flows()
    server.set("record", True)
    first = grows(server, data)
    open(flag, "w").close()
    server.becomes("record-state", "stalled")
    server.streams()
    if not server.get("record-error") and not server.get("storage-error"):
        raise Lost("nothing says that the disk does not answer")
    os.remove(flag)
    server.becomes("record-state", "recording")
    server.becomes("storage-state", "ok")
    size = server.get("record-size")
    wait("a file that grows again", lambda: server.get("record-size") > size)
    last, dropped = server.get("record-file"), server.get("record-dropped")
    server.set("record", False)
    names = sorted({first, last})
    server_ok(settled_within(server, data, names), names)
    # A stream as thin as this one waits in the ring for as long as it takes.
    if names == [first] and not dropped:
        got = sound(server, data, first)
        truth.passes(got)
        missing = truth.lacks(got)
        if missing:
            raise Lost(f"{len(missing)} pictures are missing and not counted")
    truth.stop()
    for name in names:
        sound(server, data, name)
    server.stop()


def slow(lensd, data):
    """A disk slower than the stream: whole groups are missing, counted and logged, and nobody waits."""
    library, flag = f"{data}.so", f"{data}.slow"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, f"{HERE}/stall.c"], check=True)
    environment = {
        "LD_PRELOAD": library,
        "LENSD_STALL_ROOT": f"{data}/media/",
        "LENSD_STALL_WHILE": flag,
        "LENSD_STALL_MS": "2000",
    }
    power.CAMERA = "test:?size=640x480&fps=15&pattern=noise"
    server = Mounted(lensd, data, "true", environment)
    truth = Carried(server)
    try:
        truth.flows()
        server.set("record", True)
        first = grows(server, data)
        open(flag, "w").close()
        before = len(truth.numbers())
        wait("pictures that are dropped", lambda: (server.get("record-dropped") or 0) > 50)
        wait("the stream to go on", lambda: len(truth.numbers()) > before + 50)
        os.remove(flag)
        size = server.get("record-size")
        wait("a file that grows again", lambda: server.get("record-size") > size)
        dropped = server.get("record-dropped")
        server.set("record", False)
        server_ok(settled_within(server, data, [first]), [first])
        got = sound(server, data, first)
        truth.passes(got)
    finally:
        truth.stop()
    path = within(server, f"{data}/media/{first}")
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=flags", "-of", "csv=p=0", path]
    keys = [line.startswith("K") for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]
    streamed, kept = truth.numbers(), {number for number, _ in got}
    missing = truth.lacks(got)
    if kept - set(streamed):
        raise Lost(f"the stream was slowed, it lacks {sorted(kept - set(streamed))}")
    if len(missing) != dropped:
        raise Lost(f"{len(missing)} pictures are missing, {dropped} were counted")
    place = {number: at for at, number in enumerate(streamed)}
    for at, ((before, _), (number, _)) in enumerate(zip(got, got[1:]), 1):
        if place[number] > place[before] + 1 and not keys[at]:
            raise Lost(f"behind the gap at {number} there is no key frame")
    if "the disk is too slow" not in open(f"{data}.log", errors="replace").read():
        raise Lost(f"the log does not say so: {tail(data)}")
    print(f"{dropped} pictures dropped of {len(streamed)}")
    server.stop()


def settled_within(server, data, names):
    return settled(data, [f"{data}/media/{name}" for name in names])


def server_ok(rows, names):
    for name in names:
        if rows[name]["state"] != "ready":
            raise Lost(f"{name}: {rows[name]}")


def main():
    what, lensd = sys.argv[1], os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="lensd-storage-") as work:
        data = f"{work}/data"
        os.makedirs(data)
        try:
            {"full": full, "replace": replace, "read-only": read_only, "gone": gone, "stalled": stalled, "slow": slow}[what](lensd, data)
        except Exception as lost:
            if not isinstance(lost, Lost):
                traceback.print_exc()
            print(f"LOST: {what}: {lost!r}\n{tail(data)}", file=sys.stderr, flush=True)
            # A server that is left would write into the folder while it is removed, which hides the reason.
            for server in Mounted.RUNNING:
                server.child.kill()
                server.child.wait()
            sys.exit(1)
    print(f"{what}: told, streams went on, files sound, recorded again")


if __name__ == "__main__":
    main()
