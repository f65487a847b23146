#!/usr/bin/env python3
"""A data folder whose disk fails before lensd starts: read-only, full, empty or with all that was set.

    folder.py new-read-only|new-full|read-only|full LENSD

The server must run, say what is missing, and lose nothing that was kept before.
"""

import json
import os
import re
import sys
import tempfile
import traceback
import urllib.error

from power import Lost, tail, wait
from storage import Mounted, grows, noticed, server_ok, settled_within, sound


class Started(Mounted):
    """A server whose data folder is a mount of its own, and which may put another in its place."""

    def __init__(self, lensd, data, mount, stood_in=True):
        self.runtime = f"{data}.run"
        os.makedirs(self.runtime, 0o700, exist_ok=True)
        # '-' stands for '/', so that one itself is written otherwise.
        name = "lensd" + data.replace("-", "%2d").replace("/", "-")
        self.place = f"{self.runtime}/{name}"
        environment = {"XDG_RUNTIME_DIR": self.runtime, "RUNTIME_DIRECTORY": ""}
        super().__init__(lensd, data, mount, environment, self.place if stood_in else None)

    def told(self, *words):
        """By the banner, and to whoever asks the server."""
        wait(f"{words} in the banner", lambda: any(
            "note:" in line and all(word in line for word in words)
            for line in open(f"{self.data}.log", errors="replace")
        ))
        noticed(self, *words)


def users(server, lensd, data):
    """The command finds the server."""
    said = server.within(f'XDG_RUNTIME_DIR="{server.runtime}" "{lensd}" user list --json --data "{data}"')
    if [user["username"] for user in json.loads(said)] != ["admin"]:
        raise Lost(f"lensd user list: {said}")


def refused(server, key, value, *words):
    try:
        server.set(key, value)
        raise Lost(f"{key} is set to {value}")
    except urllib.error.HTTPError as error:
        said = error.read().decode()
        if not all(word in said for word in words):
            raise Lost(f"the reason is not told: {said}") from error


def stood_in(lensd, data, mount, word):
    """From the first start on; what was set outlives the server, not the disk's return."""
    server = Started(lensd, data, mount)
    server.told(data, word)
    server.streams()
    server.set("brightness", 61)
    users(server, lensd, data)
    server.stop()
    server = Started(lensd, data, mount)
    server.becomes("brightness", 61)
    server.streams()
    server.stop()
    server = Started(lensd, data, "true", stood_in=False)
    if os.path.exists(server.place):
        raise Lost("the stand-in is left behind")
    server.streams()
    server.stop()


def new_read_only(lensd, data):
    stood_in(lensd, data, f'mount -t tmpfs -o ro tmpfs "{data}"', "Read-only")


def new_full(lensd, data):
    stood_in(lensd, data, f'mount -t tmpfs -o size=100k tmpfs "{data}"', "No space left")


def read_only(lensd, data):
    """What was kept holds, and recordings can be had."""
    server = Started(lensd, data, "true", stood_in=False)
    server.set("brightness", 62)
    server.set("record", True)
    first = grows(server, data)
    server.set("record", False)
    settled_within(server, data, [first])
    server.stop()
    server = Started(lensd, data, f'mount --bind "{data}" "{data}" && mount -o remount,ro,bind "{data}"')
    server.told(data, "Read-only")
    server.streams()
    users(server, lensd, data)
    server.becomes("brightness", 62)
    server.becomes("storage-state", "read-only")
    refused(server, "record", True, "read-only")
    held = server.fetch(f"files/{first}")
    if held != open(f"{data}/media/{first}", "rb").read():
        raise Lost("a recording cannot be had")
    server.set("brightness", 63)
    server.stop()
    server = Started(lensd, data, "true", stood_in=False)
    server.becomes("brightness", 62)
    if os.path.exists(server.place):
        raise Lost("the stand-in is left behind")
    server.set("record", True)
    second = grows(server, data)
    server.set("record", False)
    server_ok(settled_within(server, data, [first, second]), [first, second])
    for name in (first, second):
        sound(server, data, name)
    server.stop()


class Full(Started):
    """ports.json cannot be written to a full disk: the banner has the ports."""

    def __init__(self, lensd, data, mount):
        self.seen = os.path.getsize(f"{data}.log")
        super().__init__(lensd, data, mount, stood_in=False)

    def listening(self, ports):
        said = open(f"{self.data}.log", errors="replace").read()[self.seen :]
        found = re.findall(r"(?:page|video) +\w+://[^/]*:(\d+)/", said)
        return found if len(found) == 2 else None


def full(lensd, data):
    """Settings hold until the next restart, which is said; nothing is put in the place of what can be read."""
    store = f"{data}.store"
    open(f"{data}.log", "w").close()
    server = Started(lensd, store, "true", stood_in=False)
    server.set("brightness", 64)
    server.stop()
    mount = f'mount -t tmpfs -o size=16m tmpfs "{data}" && cp -a "{store}/." "{data}/"'
    server = Full(lensd, data, mount + f' && {{ cat /dev/zero >"{data}/filler" 2>/dev/null || true; }}')
    server.told(data, "is full")
    server.streams()
    server.becomes("brightness", 64)
    refused(server, "brightness", 65, "INSUFFICIENT_STORAGE", "until the next restart")
    server.becomes("brightness", 65)
    server.within(f'rm "{data}/filler"')
    server.set("brightness", 66)
    server.stop()


def main():
    what, lensd = sys.argv[1], os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="lensd-folder-") as work:
        data = f"{work}/data"
        os.makedirs(data)
        try:
            cases = {"new-read-only": new_read_only, "new-full": new_full, "read-only": read_only, "full": full}
            cases[what](lensd, data)
        except Exception as lost:
            if not isinstance(lost, Lost):
                traceback.print_exc()
            print(f"LOST: {what}: {lost!r}\n{tail(data)}", file=sys.stderr, flush=True)
            for server in Mounted.RUNNING:
                server.child.kill()
                server.child.wait()
            sys.exit(1)
    print(f"{what}: it ran, told what is missing, and lost nothing")


if __name__ == "__main__":
    main()
