#!/usr/bin/env python3
"""Network storage of every temper, while lensd carries recordings to it.

    carry.py folder|full|gone|stalled|killed|resumed|refused LENSD [TOOLS]

Whatever the storage does, streams go on, what is wrong is told, nothing is lost, and each file is
there in the end as it was recorded. TOOLS is the folder that tests/setup.sh fills: of it come the S3
servers, moto (`resumed`) and s3rver (`refused`), which know nothing of lensd.
"""

import base64
import glob
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import power
from power import HERE, PASSWORD, Lost, Server, catalogue, tail, wait
from storage import Mounted, within

# So much that an upload comes in parts: 8 MiB each.
LONG = 20_000_000
KEY = "network-storage-"
# What is to be ended whatever happens.
RUNNING = []


class Carrier(Mounted):
    """A server with a network storage, seen over REST."""

    def __init__(self, *args):
        super().__init__(*args)
        RUNNING.append(self.child)
        self.set("limit-user", 100_000)
        self.becomes("storage-state", "ok")

    def rest(self, method, path, body=None):
        login = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.port}/api/{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def refused(self, method, path, body=None):
        try:
            raise Lost(f"{path} was not refused: {self.rest(method, path, body)}")
        except urllib.error.HTTPError as refused:
            return json.load(refused)["message"]

    def configure(self, **settings):
        self.rest("PATCH", "config/network-storage", {KEY + k.replace("_", "-"): v for k, v in settings.items()})

    def state(self):
        return self.rest("GET", "network-storage")

    def stands(self, *states):
        return wait(f"network storage to be {states}: {self.state()}", lambda: (now := self.state())["state"] in states and now)

    def told(self, word, level="error"):
        """It is an event, and operators are told, over the API and in every page."""

        def look():
            events = self.rest("GET", "events?limit=1000")["events"]
            event = any(e["kind"] == "storage" and e["state"] == word for e in events)
            notice = any(n["level"] == level and word in n["text"] for n in self.get("notifications"))
            return event and notice

        wait(f"somebody to be told that it is {word}", look)

    def record(self, seconds=0.5, size=0):
        """Makes a recording, and returns its row when it is done."""
        before = set(catalogue(self.data))
        self.rest("POST", "recording/start")

        def grown():
            running = self.rest("GET", "recording/status")["recordings"]
            return all(r["duration_ms"] >= seconds * 1000 and r["size"] >= size for r in running) and running

        wait("a recording", grown)
        self.rest("POST", "recording/stop")

        def done():
            rows = catalogue(self.data)
            new = [row for name, row in rows.items() if name not in before]
            return new[0] if new and new[0]["state"] == "ready" else None

        return wait("its end", done)

    def bytes(self, row):
        with open(within(self, f"{self.data}/media/{row['filename']}"), "rb") as file:
            return file.read()

    def copied(self, count):
        """Waits until so many files are there."""
        return wait(f"{count} copies: {self.state()}", lambda: (now := self.state())["copied"]["count"] >= count and now)

    def control(self):
        """The control plane's process."""
        for path in glob.glob(f"/proc/{self.child.pid}/task/*/children"):
            for pid in open(path).read().split():
                words = open(f"/proc/{pid}/cmdline").read().split("\0")
                if len(words) > 1 and words[1] == "control":
                    return int(pid)
        return None

    def kill_control(self):
        """kill -9 of the control plane; returns when another one answers."""
        old = self.control()
        os.kill(old, signal.SIGKILL)

        def back():
            try:
                return self.control() not in (None, old) and self.state()
            except (OSError, urllib.error.URLError):
                return None

        wait("the next control plane", back)


def same(server, row, path):
    """A copy is what was recorded, and its SHA-256 what the catalogue says."""
    with open(within(server, path), "rb") as file:
        copy = file.read()
    if copy != server.bytes(row):
        raise Lost(f"{path} is not what was recorded")
    known = catalogue(server.data)[row["filename"]]["sha256"]
    if known and known != hashlib.sha256(copy).hexdigest():
        raise Lost(f"{path}: the catalogue has another SHA-256")


def clean(server, share):
    left = glob.glob(within(server, f"{share}/.lensd-parts/*"))
    if left:
        raise Lost(f"parts are left: {left}")


def folder(lensd, data, _):
    share = f"{data}.share"
    os.makedirs(share)
    server = Carrier(lensd, data, "true")
    first = server.record()
    server.rest("POST", "snapshot")
    message = server.refused("POST", "network-storage/test", {})
    if "no network storage" not in message:
        raise Lost(f"a test of nothing: {message}")
    server.configure(kind="folder", folder=share, guard="marker")
    server.stands("unreachable")
    server.told("unreachable")
    if os.listdir(share):
        raise Lost("something was written to what is no share")
    # Marked by hand: then it works by itself.
    server.rest("POST", "network-storage/test", {"mark": True})
    done = server.copied(2)
    if done["state"] not in ("idle", "copying") or done["error"]:
        raise Lost(f"it should be well: {done}")
    for row in catalogue(data).values():
        same(server, row, f"{share}/{row['filename']}")
    if {item["state"] for item in done["items"]} != {"copied"}:
        raise Lost(f"the queue: {done['items']}")
    if any(r["copy"] != "copied" for r in server.rest("GET", "recordings")["recordings"]):
        raise Lost("the list does not show it")
    page = server.rest("GET", "network-storage?limit=1")
    if len(page["items"]) != 1 or page["next"] != page["items"][0]["id"]:
        raise Lost(f"the first page: {page}")
    # What is in the way is said, and stays as it is; dropped, it is out of the way.
    server.configure(kind="off")
    server.stands("off")
    second = server.record()
    blocked = f"{share}/{second['filename']}"
    os.makedirs(os.path.dirname(blocked), exist_ok=True)
    open(blocked, "w").write("of somebody else")
    server.configure(kind="folder", what="videos")
    said = wait("an error of the file", lambda: next((i for i in server.state()["items"] if i["error"]), None))
    if "another file" not in said["error"] or said["attempts"] != 1 or said["state"] != "queued":
        raise Lost(f"the file in the way: {said}")
    server.rest("POST", "network-storage/drop", {"ids": [said["id"]]})
    os.remove(blocked)
    server.rest("POST", "network-storage/retry", {"ids": [said["id"]]})
    server.copied(3)
    same(server, second, blocked)
    # Removed here when it is there, but for what is tagged.
    server.rest("POST", "tags", {"record_id": first["id"], "title": "keep"})
    server.configure(delete_local=True)
    third = server.record()
    copy = f"{share}/{third['filename']}"
    wait("the recordings to go", lambda: [r["id"] for r in catalogue(data).values() if r["media_type"] == "video"] == [first["id"]])
    if not os.path.exists(copy) or not os.path.exists(blocked):
        raise Lost("a copy went with its recording")
    power.decodes(copy)
    # Removing a recording takes it out of the queue.
    server.rest("DELETE", f"recordings/{first['id']}")
    if any(item["id"] == first["id"] for item in server.state()["items"]):
        raise Lost("it is still in the queue")
    clean(server, share)
    server.stop()


def full(lensd, data, _):
    share = f"{data}.share"
    os.makedirs(share)
    server = Carrier(lensd, data, f'mount -t tmpfs -o size=64k tmpfs "{share}"')
    server.configure(kind="folder", folder=share)
    row = server.record(1, 150_000)
    server.stands("full")
    server.told("full")
    server.streams()
    if server.state()["queued"]["count"] != 1:
        raise Lost(f"it is not in the queue any more: {server.state()}")
    server.within(f'mount -o remount,size=64m "{share}"')
    server.rest("POST", "network-storage/retry", {})
    server.copied(1)
    same(server, row, f"{share}/{row['filename']}")
    clean(server, share)
    server.stop()


def gone(lensd, data, _):
    share = f"{data}.share"
    os.makedirs(share)
    server = Carrier(lensd, data, f'mount -t tmpfs tmpfs "{share}"')
    server.configure(kind="folder", folder=share)
    server.record()
    server.copied(1)
    server.within(f'umount -l "{share}"')
    second = server.record()
    stands = server.stands("unreachable")
    if "nothing is mounted" not in stands["error"]:
        raise Lost(f"it says {stands['error']}")
    server.told("unreachable")
    if os.listdir(share):
        raise Lost(f"written below the mount point: {os.listdir(share)}")
    # A restart in the middle of it loses nothing.
    server.stop()
    server = Carrier(lensd, data, "true")
    server.stands("unreachable")
    third = server.record()
    server.within(f'mount -t tmpfs tmpfs "{share}"')
    server.rest("POST", "network-storage/retry", {})
    server.copied(3)
    for row in (second, third):
        same(server, row, f"{share}/{row['filename']}")
    server.stop()


def stalled(lensd, data, _):
    share, library, flag = f"{data}.share", f"{data}.so", f"{data}.stalls"
    os.makedirs(share)
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, f"{HERE}/stall.c"], check=True)
    environment = {"LD_PRELOAD": library, "LENSD_STALL_ROOT": f"{share}/", "LENSD_STALL_WHILE": flag}
    server = Carrier(lensd, data, "true", environment)
    server.configure(kind="folder", folder=share, guard="none", timeout=1)
    open(flag, "w").close()
    row = server.record()
    server.stands("stalled")
    server.told("stalled")
    server.streams()
    if "does not answer" not in server.refused("POST", "network-storage/test", {}):
        raise Lost("the test does not say that it does not answer")
    # It comes back.
    os.remove(flag)
    server.copied(1)
    same(server, row, f"{share}/{row['filename']}")
    # It hangs again, and another place is set: that one works although the old one hangs.
    open(flag, "w").close()
    second = server.record()
    server.stands("stalled")
    other = f"{data}.other"
    os.makedirs(other)
    server.configure(folder=other)
    server.copied(2)
    same(server, second, f"{other}/{second['filename']}")
    # And again: the end does not wait for it.
    server.configure(folder=share)
    server.record()
    server.stands("stalled")
    begun = time.monotonic()
    server.stop(signal.SIGTERM)
    if time.monotonic() - begun > 20:
        raise Lost("the end waited for a share that hangs")


def killed(lensd, data, _):
    share = f"{data}.share"
    os.makedirs(share)
    server = Carrier(lensd, data, "true")
    server.configure(kind="folder", folder=share, guard="none", rate=3000)
    row = noise(server)
    for _ in range(3):
        wait("a copy in its middle", lambda: (c := server.state()["current"]) and 0 < c["done"] < c["size"])
        server.kill_control()
    server.configure(rate=0)
    server.copied(1)
    same(server, row, f"{share}/{row['filename']}")
    clean(server, share)
    server.stop()


def noise(server):
    """A recording that is long in bytes."""
    server.rest("PATCH", "settings", {"record-stream": "mjpeg", "jpeg-quality": 95})
    return server.record(0.5, LONG)


class Bucket:
    """An S3 server of somebody else."""

    def __init__(self, command, folder, environment=(), log=os.devnull):
        with socket.socket() as any_port:
            any_port.bind(("127.0.0.1", 0))
            self.port = any_port.getsockname()[1]
        self.command = [part.format(port=self.port, folder=folder) for part in command]
        self.environment = {**os.environ, **dict(environment)}
        self.log = log
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)
        RUNNING.append(self.child)

        def listens():
            if self.child.poll() is not None:
                raise Lost(f"{self.command} ended with {self.child.returncode}")
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", self.port)) == 0

        wait(self.command[0], listens)

    def kill(self):
        self.child.kill()
        self.child.wait()

    def url(self, path=""):
        return f"http://127.0.0.1:{self.port}/{path}"

    def made(self, name):
        urllib.request.urlopen(urllib.request.Request(self.url(name), method="PUT"), timeout=20)

    def boto(self, tools, expression):
        """What Amazon's own client says."""
        script = f"import boto3; s3 = boto3.client('s3', endpoint_url='{self.url()}', region_name='us-east-1', "
        script += f"aws_access_key_id='k', aws_secret_access_key='s'); import sys; sys.stdout.buffer.write({expression})"
        return subprocess.run([f"{tools}/s3/bin/python", "-c", script], capture_output=True, check=True).stdout


def resumed(lensd, data, tools):
    """Parts that are there are not sent again; uploads of what was removed are ended."""
    log = f"{data}.moto"
    bucket = Bucket([f"{tools}/s3/bin/moto_server", "-p", "{port}"], data, log=log)
    try:
        bucket.made("cams")
        server = Carrier(lensd, data, "true")
        server.configure(kind="s3", endpoint=bucket.url(), bucket="cams", prefix="a/b c", access_key="k", rate=5000)
        if "secret is missing" not in server.stands("error")["error"]:
            raise Lost("the missing secret is not said")
        server.set(KEY + "secret", "very secret words")
        server.rest("POST", "network-storage/test", {})
        small = server.record()
        server.copied(1)
        row = noise(server)

        def parts():
            return [line for line in open(log, errors="replace") if '"PUT' in line and "partNumber=" in line]

        wait("two parts", lambda: len(parts()) >= 2)
        server.kill_control()
        wait("more of it", lambda: (c := server.state()["current"]) and c["done"] > 16_000_000)
        # All of the server, too.
        server.stop()
        server = Carrier(lensd, data, "true")
        # And one that does not answer for a while.
        wait("the upload", lambda: server.state()["current"])
        server.configure(timeout=1)
        bucket.child.send_signal(signal.SIGSTOP)
        server.stands("unreachable", "stalled")
        server.streams()
        bucket.child.send_signal(signal.SIGCONT)
        server.configure(timeout=30, rate=0)
        server.copied(2)
        for record in (small, row):
            name = "a/b c/" + record["filename"]
            if bucket.boto(tools, f"s3.get_object(Bucket='cams', Key='{name}')['Body'].read()") != server.bytes(record):
                raise Lost(f"{record['filename']} is another file there")
        numbers = sorted(line.split("partNumber=")[1].split("&")[0].split(" ")[0] for line in parts())
        twice = len(numbers) - len(set(numbers))
        if len(set(numbers)) < 3 or twice > 4:
            raise Lost(f"parts were sent again: {numbers}")
        secrets = subprocess.run(["grep", "-rlF", "very secret words", data, f"{data}.log", log], capture_output=True)
        if secrets.stdout:
            raise Lost(f"the secret stands in {secrets.stdout.decode()}")
        # Removed in its middle: nothing is left there that takes room.
        server.configure(rate=3000)
        third = noise(server)
        wait("the third upload", lambda: (c := server.state()["current"]) and c["done"] > 0)
        server.rest("DELETE", f"recordings/{third['id']}")
        wait("no upload", lambda: bucket.boto(tools, "repr(s3.list_multipart_uploads(Bucket='cams').get('Uploads')).encode()") == b"None")
        server.stop()
    finally:
        bucket.child.send_signal(signal.SIGCONT)
        bucket.kill()
    print(f"parts sent: {numbers}")


def refused(lensd, data, tools):
    """A key that is wrong, a bucket that is not there, a server that dies in the middle."""
    store = f"{data}.s3rver"
    os.makedirs(store)
    program = f"{tools}/node_modules/.bin/s3rver"
    command = [program, "-d", "{folder}", "-p", "{port}", "-a", "127.0.0.1", "--configure-bucket", "cams"]
    bucket = Bucket(command, store)
    try:
        server = Carrier(lensd, data, "true")
        server.configure(kind="s3", endpoint=bucket.url(), bucket="cams", access_key="NOBODY", timeout=5)
        server.set(KEY + "secret", "S3RVER")
        server.record()
        said = wait("a refusal", lambda: (s := server.stands("error")["error"]) and "HTTP" in s and s)
        if "secret is wrong" not in said:
            raise Lost(f"of a wrong key it says {said}")
        server.told("error")
        if "secret is wrong" not in server.refused("POST", "network-storage/test", {}):
            raise Lost("nor does the test")
        server.configure(access_key="S3RVER", bucket="none")
        wait("word of the bucket", lambda: "no such bucket" in (server.state()["error"] or ""))
        server.configure(bucket="cams")
        server.copied(1)
        server.rest("POST", "network-storage/test", {})
        server.configure(rate=4000)
        row = noise(server)
        wait("a part", lambda: (c := server.state()["current"]) and c["done"] > 0)
        bucket.kill()
        server.stands("unreachable")
        server.told("unreachable")
        if server.state()["queued"]["count"] != 1:
            raise Lost(f"it is not in the queue: {server.state()}")
        bucket.start()
        server.configure(rate=0)
        server.copied(2)
        kept = glob.glob(f"{store}/cams/{row['filename']}._S3rver_object")
        if len(kept) != 1 or open(kept[0], "rb").read() != server.bytes(row):
            raise Lost(f"what is there is another file: {kept}")
        server.stop()
    finally:
        bucket.kill()


def main():
    what, lensd = sys.argv[1], os.path.abspath(sys.argv[2])
    tools = sys.argv[3] if len(sys.argv) > 3 else os.path.expanduser("~/.cache/lensd/tools")
    power.CAMERA = "test:?size=640x480&fps=25&pattern=noise" if what in ("killed", "resumed", "refused") else power.CAMERA
    plays = {"folder": folder, "full": full, "gone": gone, "stalled": stalled, "killed": killed, "resumed": resumed, "refused": refused}
    with tempfile.TemporaryDirectory(prefix="lensd-carry-") as work:
        data = f"{work}/data"
        os.makedirs(data)
        try:
            plays[what](lensd, data, tools)
        except Lost as lost:
            print(f"LOST: {what}: {lost}\n{tail(data)}")
            sys.exit(1)
        finally:
            for child in RUNNING:
                if child.poll() is None:
                    child.terminate()
                    child.wait(60)
    print(f"{what}: told, streams went on, every file is there as it was recorded")


if __name__ == "__main__":
    main()
