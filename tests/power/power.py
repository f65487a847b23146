#!/usr/bin/env python3
"""Takes the power away from lensd while it records, and looks at what is left.

    power.py kill LENSD COUNT [SEED]    kill -9 of the engine at random moments of its life
    power.py cut  LENSD COUNT [SEED]    a disk that loses what was not synced, at random moments
    power.py many LENSD COUNT           how long a start takes among so many recordings, one cut off

After each, lensd is started on what is left. Then every recording must be there and play, with all
pictures that were captured until 500 ms before the cut, as the messages in the stream say; the
catalogue must be whole and agree with the files; nothing may be gone, and `defect` only be what had
no picture. Prints what it found; the exit code is 1 if anything was lost.
"""

import base64
import glob
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import disk

HERE = os.path.dirname(os.path.abspath(__file__))
CAMERA = "test:?size=320x180&fps=50"
PASSWORD = "password123"
# What may be lost before the cut.
ALLOWED_NS = 500_000_000
MESSAGE = re.compile(rb"lensd-capture-01([0-9a-f]{16})[0-9a-f]{16}([0-9a-f]{8})")
LIMIT = int(os.environ.get("LENSD_LIMIT", "120"))


class Canary:
    """Notes how late this machine is: a thread that wants to be woken each 5 ms and sees when it is.
    What everybody waits for here is no fault of the recorder's, and is allowed for."""

    def __init__(self):
        self.late = []
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        before = mono()
        while True:
            time.sleep(0.005)
            at = mono()
            if at - before > 10_000_000:
                self.late.append((at, at - before - 5_000_000))
            before = at

    def allowed(self, cut_ns):
        """How old what is lost may be: a group waits for the camera, the encoder, the recorder and the
        disk, each of which may be kept waiting in the second before."""
        late = [by for at, by in self.late if cut_ns - 1_000_000_000 < at <= cut_ns + by]
        return ALLOWED_NS + 4 * max(late, default=0)


class Lost(Exception):
    """Something that was to be there is not."""


def mono():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def wait(what, look):
    end = time.monotonic() + LIMIT
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise Lost(f"waited in vain for {what}")
        time.sleep(0.01)


class Server:
    """lensd on a folder."""

    def __init__(self, lensd, data, environment=(), used=None):
        """`used`: the folder that it is to use in place of `data`."""
        self.data = data
        ports = f"{used or data}/run/ports.json"
        if os.path.exists(ports):
            os.remove(ports)
        command = [lensd, "run", "--data", data, "--open", "--camera", CAMERA]
        for option in ("--http", "--rtsp"):
            command += [option, "127.0.0.1:0"]
        command += ["--https", "off", "--rtsps", "off"]
        own = {k: v for k, v in os.environ.items() if not k.startswith("LENSD_")}
        environment = {**own, "LENSD_ADMIN_PASSWORD": PASSWORD, **dict(environment)}
        self.log = open(f"{data}.log", "ab")
        self.child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        self.begun = time.monotonic()

        def listens():
            if self.child.poll() is not None:
                raise Lost(f"lensd ended with {self.child.returncode}: {tail(data)}")
            return self.listening(ports)

        self.port, self.rtsp = wait("lensd", listens)

    def listening(self, ports):
        """The ports of HTTP and RTSP, once they are known."""
        if not (os.path.exists(ports) and os.path.getsize(ports)):
            return None
        listening = json.load(open(ports))
        return listening["http"], listening["rtsp"]

    def get(self, key):
        return self.ask(key, None)

    def set(self, key, value):
        return self.ask(key, json.dumps({"value": value}).encode())

    def ask(self, key, body):
        return json.loads(self.fetch(f"api/settings/{key}", body))["data"]["value"]

    def fetch(self, path, body=None):
        url = f"http://127.0.0.1:{self.port}/{path}"
        login = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            url, body, {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def engine(self):
        """The engine's process, if there is one."""
        for path in glob.glob(f"/proc/{self.child.pid}/task/*/children"):
            for pid in open(path).read().split():
                try:
                    if open(f"/proc/{pid}/cmdline").read().split("\0")[1] == "engine":
                        return int(pid)
                except (OSError, IndexError):
                    pass
        return None

    def stop(self, by=signal.SIGINT):
        self.child.send_signal(by)
        self.child.wait(LIMIT)
        self.log.close()


def tail(data):
    return open(f"{data}.log", errors="replace").read()[-2000:]


def recordings(data):
    return sorted(glob.glob(f"{data}/media/recordings/**/*.mp4", recursive=True))


def messages(path):
    """Number and capture time of each picture that a player finds."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-c", "copy", "-f", "h264", "-"], capture_output=True
    )
    if done.returncode or done.stderr:
        raise Lost(f"{path} does not play: {done.stderr.decode()[:500]}")
    return [(int(n, 16), int(at, 16)) for at, n in MESSAGE.findall(done.stdout)]


def duration_ms(path):
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path]
    return float(subprocess.run(command, capture_output=True, check=True).stdout) * 1000


def decodes(path):
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-xerror", "-i", path, "-f", "null", "-"], capture_output=True
    )
    if done.returncode or done.stderr:
        raise Lost(f"{path} does not decode: {done.stderr.decode()[:500]}")


def catalogue(data):
    """Rows by their files' names; it must be whole."""
    with sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True, timeout=60) as db:
        db.row_factory = sqlite3.Row
        said = [row[0] for row in db.execute("PRAGMA integrity_check")]
        if said != ["ok"]:
            raise Lost(f"the catalogue is damaged: {said[:5]}")
        return {row["filename"]: dict(row) for row in db.execute("SELECT * FROM records")}


def settled(data, files):
    """Rows once the start has seen to all of them: each of these files has one that has ended."""

    def look():
        try:
            rows = catalogue(data)
        except sqlite3.OperationalError:
            return None
        names = [path[len(data) + len("/media/") :] for path in files]
        # A recording that power has ended goes on in another file.
        ended = all(name in rows and rows[name]["state"] != "recording" for name in names)
        return (rows,) if ended else None

    return wait("the catalogue", look)[0]


def check(data, before, cut_ns, allowed_ns, truth, asked, thorough):
    """What is left. `before`: files that were there; `truth`: by file, what was captured; `asked`: by
    file, when it was asked for, since a recording may begin with a key frame from before. Returns how
    old the oldest picture is that is missing, in ms."""
    rows = settled(data, before)
    worst = 0.0
    for path in set(truth) | set(before):
        due = [p for p in truth.get(path, []) if asked[path] <= p[1] <= cut_ns - allowed_ns]
        name = path[len(data) + len("/media/") :]
        if not os.path.exists(path):
            if due or path in before:
                raise Lost(f"{name} is gone with {len(due)} pictures")
            continue
        row = rows.get(name)
        if row is None:
            raise Lost(f"{name} has no row")
        if row["state"] == "defect":
            if due:
                raise Lost(f"{name} is defect ({row['error']}) with {len(due)} pictures")
            continue
        got = messages(path)
        if not got:
            raise Lost(f"{name} is ready and empty")
        if path in truth:
            if got != truth[path][: len(got)]:
                raise Lost(f"{name} has other pictures than were captured")
            missing = [p for p in truth[path][len(got) :] if p[1] <= cut_ns]
            if missing:
                late = (cut_ns - missing[0][1]) / 1e6
                if due and due[-1] in missing:
                    raise Lost(f"{name} ends after {len(got)} pictures, {late:.0f} ms are lost")
                worst = max(worst, late)
        if row["size"] != os.path.getsize(path):
            raise Lost(f"{name}: {row['size']} bytes by its row, {os.path.getsize(path)} in truth")
        played = duration_ms(path)
        if abs(row["duration"] - played) > 2:
            raise Lost(f"{name}: {row['duration']} ms by its row, {played:.0f} by ffprobe")
        if thorough:
            decodes(path)
    for name, row in rows.items():
        if not os.path.exists(f"{data}/media/{name}") and row["state"] != "defect":
            raise Lost(f"{name} has a row and no file")
    return worst


def record_a_while(server, chance, seconds):
    """A life of recording: files that end, pauses, snapshots. Returns when recording was asked for."""
    server.set("record-segment", 3)
    asked = [mono()]
    server.set("record", True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 1.5))
        what = chance.choice(["snap", "pause", "again", "nothing", "nothing"])
        if what == "snap":
            server.set("snap", True)
        elif what == "pause":
            server.set("record", "pause")
            time.sleep(chance.uniform(0.1, 0.6))
            server.set("record", "pause_release")
        elif what == "again":
            server.set("record", False)
            time.sleep(chance.uniform(0.1, 0.6))
            asked.append(mono())
            server.set("record", True)
    server.set("record", False)
    return asked


def cut(lensd, count, seed, work):
    """Many cuts of each life."""
    library = f"{work}/journal.so"
    source = f"{HERE}/journal.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    done, worst, slowest, lives, allowed, canary = 0, 0.0, 0.0, 0, 0, Canary()
    while done < count:
        chance = random.Random(f"{seed} life {lives}")
        data, journal = f"{work}/life{lives}", f"{work}/journal{lives}"
        os.makedirs(data)
        lives += 1
        # Users and the like are not what is tested here.
        Server(lensd, data).stop()
        base = disk.Base(data)
        begin = mono()
        server = Server(lensd, data, {"LD_PRELOAD": library, "LENSD_JOURNAL": journal, "LENSD_JOURNAL_ROOT": data})
        requests = record_a_while(server, chance, 12)
        settled(data, recordings(data))
        server.stop()
        ops = disk.read_journal(journal)
        unseen = [line for line in disk.differences(base, ops, data) if "/run/" not in line and "/logs/" not in line]
        if unseen:
            raise Lost(f"the journal did not see all: {unseen[:5]}")
        image = f"{work}/image"
        truth = {image + path[len(data) :]: messages(path) for path in recordings(data)}
        born = {op.first.decode(): op.mono_ns for op in ops if op.kind == disk.OPEN and op.number & disk.CREATED}
        asked = {path: max(at for at in requests if at < born[data + path[len(image) :]]) for path in truth}
        print(f"life {lives}: {len(ops)} changes, {len(truth)} recordings", flush=True)
        # The first moments are the start of the program, before it listened.
        for at, luck, keep in disk.cuts(ops, min(100, count - done), f"{seed} {lives}", begin):
            shutil.rmtree(image, ignore_errors=True)
            disk.Disk(base, ops, at, random.Random(luck), keep).lay_out(data, image)
            shutil.rmtree(f"{image}/run", ignore_errors=True)
            before = recordings(image)
            cut_ns = ops[at].mono_ns
            allowed_ns = canary.allowed(cut_ns)
            allowed += allowed_ns > ALLOWED_NS
            restarted = Server(lensd, image)
            try:
                missing = check(image, before, cut_ns, allowed_ns, truth, asked, done % 10 == 0)
            except Lost as lost:
                kept = f"{tempfile.gettempdir()}/lensd-cut"
                shutil.rmtree(kept, ignore_errors=True)
                disk.Disk(base, ops, at, random.Random(luck), keep).lay_out(data, kept)
                raise Lost(f"cut {done} (record {at} of {len(ops)}, {keep} arrives): {lost}; a disk like it is in {kept}\n{tail(image)}") from lost
            finally:
                slowest = max(slowest, time.monotonic() - restarted.begun)
                restarted.stop()
            worst = max(worst, missing)
            done += 1
        shutil.rmtree(data)
    print(
        f"{done} cuts of {lives} lives: nothing lost that was older than {worst:.0f} ms ({allowed} times the "
        f"machine itself was late); seen to within {slowest:.1f} s"
    )


def kill(lensd, count, seed, work):
    """A server whose engine dies over and over. It is started anew now and then: the supervisor lets an
    engine that dies too often wait."""
    data = f"{work}/killed"
    os.makedirs(data)
    server = Server(lensd, data)
    server.set("record-segment", 2)
    chance = random.Random(seed)
    worst, seen, canary, over = 0.0, {}, Canary(), 0
    for n in range(count):
        if n % 4 == 3:
            server.stop()
            # What ended in order is not what is looked at.
            seen.update(dict.fromkeys(recordings(data)))
            server = Server(lensd, data)
        wait("a recording", lambda: begins(server))
        time.sleep(chance.uniform(0.0, 1.5))
        engine = server.engine()
        os.kill(engine, signal.SIGKILL)
        at = mono()
        wait("another engine", lambda: server.engine() not in (None, engine))
        files = recordings(data)
        rows = settled(data, files)
        gone = set(seen) - set(files)
        if gone:
            raise Lost(f"kill {n}: gone are {sorted(gone)}")
        fresh = [path for path in files if path not in seen]
        newest = 0
        for path in fresh:
            row = rows[path[len(data) + len("/media/") :]]
            got = messages(path) if row["state"] == "ready" else []
            if row["state"] == "ready" and (not got or row["size"] != os.path.getsize(path)):
                raise Lost(f"kill {n}: {path} is ready with {len(got)} pictures: {row}")
            numbers = [number for number, _ in got]
            if numbers != sorted(set(numbers)):
                raise Lost(f"kill {n}: {path}: pictures {numbers}")
            newest = max([newest] + [captured for _, captured in got])
            if n % 10 == 0 and got:
                decodes(path)
        if newest:
            lost = (at - newest) / 1e6
            worst = max(worst, lost)
            over += at - newest > ALLOWED_NS
            if at - newest > canary.allowed(at):
                raise Lost(f"kill {n}: {lost:.0f} ms are lost")
        seen.update(dict.fromkeys(files))
        if n % 100 == 99:
            print(f"{n + 1} kills, {len(seen)} recordings, at most {worst:.0f} ms lost", flush=True)
    server.stop()
    decodes(recordings(data)[-1])
    print(
        f"{count} kills, {len(seen)} recordings: nothing lost that was older than {worst:.0f} ms ({over} times "
        f"more than {ALLOWED_NS // 1_000_000}, since the machine itself was late)"
    )


def many(lensd, count, _, work):
    """A start among many recordings, of which one was cut off."""
    data = f"{work}/many"
    os.makedirs(data)
    server = Server(lensd, data)
    server.set("record", True)
    wait("a recording", lambda: len(recordings(data)) == 1 and os.path.getsize(recordings(data)[0]) > 5000)
    server.set("record", False)
    settled(data, recordings(data))
    server.stop()
    model = recordings(data)[0]
    # Names of one file: what counts is how many there are. Some file systems allow 65,000 of each.
    for n in range(count):
        if n % 60_000 == 0:
            source = f"{work}/model{n}"
            shutil.copy(model, source)
        day = f"{data}/media/recordings/{2000 + n // 10_000}/01/{n // 1000 % 10 + 1:02}"
        os.makedirs(day, exist_ok=True)
        os.link(source, f"{day}/recording_20000101_{n % 1000:06}_cam1.mp4")
    begun = time.monotonic()
    server = Server(lensd, data)
    wait("all rows", lambda: len(catalogue(data)) == count + 1)
    print(f"{count} recordings without rows are entered within {time.monotonic() - begun:.1f} s", flush=True)
    server.set("record", True)
    wait("a recording", lambda: len(catalogue(data)) == count + 2)
    time.sleep(2)
    # The supervisor would start another engine, and the engine would close its files without it.
    server.child.send_signal(signal.SIGSTOP)
    os.kill(server.engine(), signal.SIGKILL)
    server.stop(signal.SIGKILL)
    (cut_off,) = [row for row in catalogue(data).values() if row["state"] == "recording"]
    begun = time.monotonic()
    server = Server(lensd, data)
    listens = time.monotonic() - begun

    def mended():
        with sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True, timeout=60) as db:
            found = db.execute("SELECT state FROM records WHERE id = ?", (cut_off["id"],)).fetchone()
        return found == ("ready",)

    wait("the mended recording", mended)
    took = time.monotonic() - begun
    # Said when all files have been held against all rows.
    wait("the comparison", lambda: "cut off and are mended" in tail(data))
    compared = time.monotonic() - begun
    server.stop()
    rows = catalogue(data)
    if len(rows) < count + 2 or any(row["state"] != "ready" for row in rows.values()):
        raise Lost(f"{len(rows)} rows of {count + 2}, or some are not ready")
    print(
        f"started among {count} recordings: it listens after {listens:.2f} s, what was cut off is mended "
        f"after {took:.2f} s, all files are compared after {compared:.2f} s"
    )


def begins(server):
    """Whether it records: the engine may just have come."""
    try:
        return server.set("record", True)
    except OSError:
        return None


def main():
    what, lensd, count = sys.argv[1], os.path.abspath(sys.argv[2]), int(sys.argv[3])
    seed = sys.argv[4] if len(sys.argv) > 4 else "1"
    with tempfile.TemporaryDirectory(prefix="lensd-power-") as work:
        try:
            {"cut": cut, "kill": kill, "many": many}[what](lensd, count, seed, work)
        except Lost as lost:
            print(f"LOST: {lost}\nlast of the log: {[tail(log[:-4]) for log in glob.glob(work + '/*.log')][-1:]}")
            sys.exit(1)


if __name__ == "__main__":
    main()
