#!/usr/bin/env python3
"""Reads what strace saw of a program that uses V4L2, and says whether it kept to the rules.

    strace -f -y -e trace=mmap,ioctl,close,fstat,newfstatat -o TRACE PROGRAM
    calls.py TRACE [--unmapped NODE]...

Between VIDIOC_STREAMON and VIDIOC_STREAMOFF, or the end of the descriptor, no call to a device may be
refused, but for EAGAIN of VIDIOC_DQBUF, which says that nothing is ready. Before and after, refusals
are expected where a driver is asked what it can do, and are listed.

--unmapped: of a device's buffers none may be mapped. They are known by the descriptors that the
device was asked to export and that were later looked up (fstat) to be imported elsewhere; there must
be some. The exit code is 1 if a rule was broken.
"""

import collections
import re
import sys

# What drivers answer who asks what they have: the end of a list, or that they lack it.
PROBING = {
    ("VIDIOC_ENUM_FMT", "EINVAL"),
    ("VIDIOC_ENUM_FRAMESIZES", "EINVAL"),
    ("VIDIOC_ENUM_FRAMEINTERVALS", "EINVAL"),
    ("VIDIOC_ENUMINPUT", "EINVAL"),
    ("VIDIOC_QUERY_EXT_CTRL", "EINVAL"),
    ("VIDIOC_QUERYCTRL", "EINVAL"),
    ("VIDIOC_QUERYMENU", "EINVAL"),
    ("VIDIOC_G_EXT_CTRLS", "EACCES"),
}
# Calls that not every driver has.
OPTIONAL = {
    "VIDIOC_ENUM_FRAMESIZES", "VIDIOC_ENUM_FRAMEINTERVALS", "VIDIOC_ENUMINPUT", "VIDIOC_G_INPUT",
    "VIDIOC_G_PARM", "VIDIOC_S_PARM", "VIDIOC_S_SELECTION", "VIDIOC_SUBSCRIBE_EVENT",
    "VIDIOC_QUERY_EXT_CTRL", "VIDIOC_QUERYCAP", "VIDIOC_EXPBUF", "VIDIOC_ENCODER_CMD",
}

IOCTL = re.compile(r"ioctl\((\d+)<(/dev/video\d+)(?:<[^>]*>)?>, (\w+).*= (-?\w+)(?: (E\w+))?")
TYPE = re.compile(r"V4L2_BUF_TYPE_\w+")
MMAP = re.compile(r"mmap\(.*, (\d+)<([^>]*)>?.*, \w+\) = ")
CLOSE = re.compile(r"close\((\d+)<(/dev/video\d+)")
FSTAT = re.compile(r"(?:newfstatat|fstat)\((\d+)<(/?dmabuf[^>]*|anon_inode:dmabuf)>")
CUT = re.compile(r"(\d+) +(.*?) *<unfinished \.\.\.>$")
REST = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)$")


def whole(lines):
    """Calls that strace wrote in two parts, because of another thread's between them, in one."""
    begun = {}
    for line in lines:
        line = line.rstrip("\n")
        if found := CUT.match(line):
            begun[found[1]] = found[2]
        elif (found := REST.match(line)) and found[1] in begun:
            yield f"{found[1]} {begun.pop(found[1])}{found[2]}"
        else:
            yield line


def main():
    trace, unmapped = sys.argv[1], sys.argv[3::2]
    assert all(word == "--unmapped" for word in sys.argv[2::2]), __doc__
    streaming = collections.defaultdict(set)
    exported = collections.Counter()
    mapped, imported = set(), set()
    asked, wrong, calls = collections.Counter(), [], 0
    for line in whole(open(trace, errors="replace")):
        if found := FSTAT.search(line):
            imported.add(found[1])
        if (found := MMAP.search(line)) and "MAP_SHARED" in line:
            mapped.add((found[1], found[2]))
        if found := CLOSE.search(line):
            # Its number is the next one's.
            streaming.pop((found[1], found[2]), None)
        if not (found := IOCTL.search(line)):
            continue
        fd, node, call, _, errno = found.groups()
        calls += 1
        queue = (kind := TYPE.search(line)) and kind[0]
        streams = streaming[fd, node]
        if call == "VIDIOC_EXPBUF" and not errno:
            exported[node] += 1
        if call == "VIDIOC_STREAMON" and not errno:
            streams.add(queue)
        if call == "VIDIOC_STREAMOFF":
            streams.discard(queue)
        if not errno or (call, errno) == ("VIDIOC_DQBUF", "EAGAIN"):
            continue
        if streams:
            wrong.append(f"refused while streaming: {line.strip()}")
        elif (call, errno) in PROBING or (errno == "ENOTTY" and call in OPTIONAL):
            asked[f"{call} {errno}"] += 1
        else:
            wrong.append(f"refused: {line.strip()}")
    if calls < 100:
        wrong.append(f"only {calls} calls to devices were seen")
    for node in unmapped:
        if not exported[node]:
            wrong.append(f"{node} exported nothing")
        wrong += [f"{node} was mapped" for _, path in mapped if path.startswith(node)]
    if unmapped:
        wanted = sum(exported[node] for node in unmapped)
        if len(imported) < wanted:
            wrong.append(f"{wanted} buffers were exported, {len(imported)} imported elsewhere")
        wrong += [f"buffer {fd} was mapped" for fd, _ in mapped if fd in imported]
    print(f"{calls} calls, {len(imported)} buffers imported, {len(mapped)} mappings of devices")
    print("expected refusals:", ", ".join(f"{n} {what}" for what, n in sorted(asked.items())))
    for line in wrong[:20]:
        print(line)
    sys.exit(bool(wrong))


main()
