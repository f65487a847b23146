"""What a disk holds when power goes: made of a folder as it was, and of the journal of all that was
done to it since (journal.c)."""

import os
import random
import struct

RECORD = struct.Struct("<IIQQQII")
MAGIC = 0x4A4C3130
(OPEN, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, SYNC_FOLDER, LINK, MAPPED, STRANGE) = range(1, 13)
SECTOR = 512
# What OPEN did.
TRUNCATED, CREATED = 1, 2
# Written through a mapping, of no use after a crash, and made anew: SQLite's index of its WAL, LMDB's
# table of readers.
VOLATILE = ("-shm", "lock.mdb")


class Op:
    """One record."""

    def __init__(self, at, end, kind, mono_ns, inode, number, first, second):
        self.at, self.end, self.kind, self.mono_ns = at, end, kind, mono_ns
        self.inode, self.number, self.first, self.second = inode, number, first, second


def read_journal(path):
    """All records in their order. The last may be torn: its program was killed."""
    data = open(path, "rb").read()
    ops, at = [], 0
    while at + RECORD.size <= len(data):
        magic, kind, mono_ns, inode, number, first, second = RECORD.unpack_from(data, at)
        assert magic == MAGIC, f"no record at {at}"
        body = at + RECORD.size
        end = body + first + second
        if end > len(data):
            break
        one, two = data[body : body + first], data[body + first : end]
        ops.append(Op(at, end, kind, mono_ns, inode, number, one, two))
        at = end
    return ops


class Base:
    """A folder as it was before, all of it safe."""

    def __init__(self, root):
        self.root = root
        self.names, self.files, self.folders = {}, {}, set()
        for folder, _, names in os.walk(root):
            self.folders.add(folder)
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    inode = os.stat(path).st_ino
                    self.names[path] = inode
                    self.files[inode] = open(path, "rb").read()


class File:
    """Bytes that grow as they are written."""

    def __init__(self, data=b""):
        self.data = bytearray(data)

    def write(self, at, data):
        if at + len(data) > len(self.data):
            self.data.extend(bytes(at + len(data) - len(self.data)))
        self.data[at : at + len(data)] = data

    def truncate(self, size):
        if size < len(self.data):
            del self.data[size:]
        else:
            self.data.extend(bytes(size - len(self.data)))


class Disk:
    """The disk after the first `count` records, as programs saw it or as a power cut leaves it."""

    def __init__(self, base, ops, count, chance=None, keep=1.0):
        """`chance`: a source of chance for a cut; None: everything arrived. `keep`: how much of what
        is not safe arrives all the same, 0 to 1."""
        done = ops[:count]
        safe, folders_safe = {}, {}
        for op in done:
            if op.kind == SYNC:
                safe[op.inode] = max(op.number, safe.get(op.inode, 0))
            elif op.kind == SYNC_FOLDER:
                folders_safe[op.first] = max(op.number, folders_safe.get(op.first, 0))
        self.names = {path: (inode, 0) for path, inode in base.names.items()}
        self.folders = set(base.folders)
        # An inode's number may be given again to another file, which is another life of it.
        self.lives = {}
        self.contents = {(inode, 0): File(data) for inode, data in base.files.items()}
        self.strange = [op for op in done if op.kind == STRANGE]
        self.mapped = {op.first.decode() for op in done if op.kind == MAPPED}
        self.chance, self.keep = chance, keep
        # A file system with a journal of its own: names change in order, up to some moment.
        names = [op for op in done if self.changes_names(op)]
        lost = len(names)
        if chance is not None:
            while lost and not self.is_safe(names[lost - 1], folders_safe):
                lost -= 1
            lost += round((len(names) - lost) * chance.choice([0, 0, chance.random(), keep]))
        arrived = {id(op) for op in names[:lost]}
        for op in done:
            if op.kind in (OPEN, WRITE, TRUNCATE) and op.inode:
                self.change(op, op.end <= safe.get(op.inode, 0))
            if id(op) in arrived:
                self.rename(op)

    @staticmethod
    def changes_names(op):
        return op.kind in (OPEN, RENAME, UNLINK, MKDIR, RMDIR, LINK)

    @staticmethod
    def is_safe(op, folders_safe):
        path = op.second if op.kind in (RENAME, LINK) else op.first
        return op.end <= folders_safe.get(os.path.dirname(path), 0)

    def change(self, op, safe):
        """The contents of a file change, if that arrives."""
        if op.kind == OPEN and op.number & CREATED:
            self.lives[op.inode] = self.lives.get(op.inode, 0) + 1
        file = self.contents.setdefault(self.life(op), File())
        arrives = safe or self.chance is None
        if op.kind == WRITE and arrives:
            file.write(op.number, op.second)
        elif op.kind == WRITE:
            at, end = op.number, op.number + len(op.second)
            while at < end:
                stop = min(end, (at // SECTOR + 1) * SECTOR)
                if self.chance.random() < self.keep:
                    file.write(at, op.second[at - op.number : stop - op.number])
                at = stop
            # The size may have arrived before the bytes did.
            if self.keep and len(file.data) < end and self.chance.random() < 0.3:
                file.truncate(end)
        elif op.kind == TRUNCATE and (arrives or self.chance.random() < self.keep):
            file.truncate(op.number)
        elif op.kind == OPEN and op.number & TRUNCATED and (arrives or self.chance.random() < self.keep):
            file.truncate(0)

    def life(self, op):
        return (op.inode, self.lives.get(op.inode, 0))

    def rename(self, op):
        path = op.first.decode()
        if op.kind == OPEN:
            self.names[path] = self.life(op)
        elif op.kind == UNLINK:
            self.names.pop(path, None)
        elif op.kind == MKDIR:
            self.folders.add(path)
        elif op.kind == RMDIR:
            self.folders.discard(path)
        elif op.kind in (RENAME, LINK):
            to = op.second.decode()
            if path in self.folders:
                moved = lambda name: to + name[len(path) :] if (name + "/").startswith(path + "/") else name
                self.folders = {moved(name) for name in self.folders}
                self.names = {moved(name): life for name, life in self.names.items()}
            elif path in self.names:
                self.names[to] = self.names[path]
                if op.kind == RENAME:
                    del self.names[path]

    def paths(self):
        """Files with their contents, without what a crash makes worthless."""
        for path, life in sorted(self.names.items()):
            if not path.endswith(VOLATILE):
                yield path, self.contents.get(life, File()).data

    def lay_out(self, root, to):
        """Makes the disk below another folder."""
        for folder in sorted(self.folders):
            os.makedirs(to + folder[len(root) :], exist_ok=True)
        for path, data in self.paths():
            target = to + path[len(root) :]
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(data)


def differences(base, ops, root):
    """What the journal says otherwise than the folder is now: empty if nothing went unseen."""
    disk = Disk(base, ops, len(ops))
    out = [f"unknown to the journal: {op.first.decode()}" for op in disk.strange]
    out += [f"mapped for writing: {path}" for path in disk.mapped if not path.endswith(VOLATILE)]
    there = {path: bytes(data) for path, data in disk.paths()}
    now = Base(root)
    for path, inode in now.names.items():
        if path.endswith(VOLATILE):
            continue
        data = there.pop(path, None)
        if data is None:
            out.append(f"{path} is not in the journal")
        elif data != now.files[inode]:
            out.append(f"{path}: {len(now.files[inode])} bytes, by the journal {len(data)}, or others")
    return out + [f"{path} is in the journal only" for path in there]


def cuts(ops, count, seed, begin):
    """Moments to cut at, after `begin`: number of records, the seed of chance, and how much arrives."""
    chance = random.Random(seed)
    first = next(i for i, op in enumerate(ops) if op.mono_ns >= begin)
    for n in range(count):
        at = chance.randrange(first, len(ops))
        keep = [0.0, 0.3, 0.7, 1.0, 0.5][n % 5]
        yield at, f"{seed} {n}", keep
