"""Run in the machine by its own Python: what a directory can do, as one JSON object.  share_probe.py DIRECTORY"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable


def outcome(action: Callable[[], str]) -> str:
    try:
        return action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))


def write(name: str | bytes, data: bytes = b"x") -> None:
    with open(name, "wb") as file:
        file.write(data)


def chown() -> str:
    write("chown")
    os.chown("chown", 1234, 1234)
    return "yes" if os.stat("chown").st_uid == 1234 else "ignored"


def created() -> str:
    write("made")
    return "root" if os.stat("made").st_uid == 0 else "the user of QEMU"


def mode() -> str:
    write("mode")
    os.chmod("mode", 0o4751)
    found = os.stat("mode").st_mode & 0o7777
    return "yes" if found == 0o4751 else oct(found)


def symlink() -> str:
    os.symlink("../no/such place", "symlink")
    return "yes" if os.readlink("symlink") == "../no/such place" else "changed"


def hardlink() -> str:
    write("one")
    os.link("one", "two")
    return "yes" if os.stat("two").st_nlink == 2 else "copied"


def case() -> str:
    write("Case", b"1")
    write("cASE", b"2")
    with open("Case", "rb") as file:
        return "yes" if file.read() == b"1" else "no"


def names() -> str:
    for name in (b"\xff\xfe", b"a:b", b"dot.", b"quote\"'\n", b"x" * 255):
        write(name)
        if name not in os.listdir(b"."):
            return "no"
    return "yes"


def shared_mapping() -> str:
    write("map", b"\0" * 8192)
    with open("map", "r+b") as file, mmap.mmap(file.fileno(), 8192) as memory:
        memory[:5] = b"hello"
        memory.flush()
    with open("map", "rb") as again:
        return "yes" if again.read(5) == b"hello" else "lost"


def private_mapping() -> str:
    write("private", b"hello" * 1000)
    with open("private", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        return "yes" if memory[:5] == b"hello" else "no"


def flock() -> str:
    with open("lock", "w") as one, open("lock") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        try:
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "yes"
        return "ignored"


def record_lock() -> str:
    with open("record", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        code = "import fcntl; fcntl.lockf(open('record', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        failed = subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode
        return "yes" if failed else "ignored"


def fifo() -> str:
    os.mkfifo("fifo")
    return "yes"


def unix_socket() -> str:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
    return "yes"


def xattr() -> str:
    write("xattr")
    os.setxattr("xattr", "user.devbox", b"1")
    return "yes" if os.getxattr("xattr", "user.devbox") == b"1" else "no"


def unlinked() -> str:
    with open("gone", "w+b") as file:
        file.write(b"hello")
        file.flush()
        os.unlink("gone")
        file.seek(0)
        return "yes" if file.read() == b"hello" else "no"


def replaced() -> str:
    write("old", b"old")
    with open("old", "rb") as file:
        write("new", b"new")
        os.rename("new", "old")
        return "yes" if file.read() == b"old" else "no"


def fine_times() -> str:
    write("time")
    os.utime("time", ns=(1_700_000_000_123_456_789,) * 2)
    found = os.stat("time").st_mtime_ns
    return "yes" if found == 1_700_000_000_123_456_789 else "no"


def execute() -> str:
    write("script", b"#!/bin/sh\nexit 3\n")
    os.chmod("script", 0o755)
    return "yes" if subprocess.run(["./script"]).returncode == 3 else "no"


def own_events(directory: str = ".") -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK)
    libc.inotify_add_watch(fd, directory.encode(), 0x100)
    write(f"{directory}/watched")
    time.sleep(0.2)
    try:
        data = os.read(fd, 4096)
    except BlockingIOError:
        return "no"
    return "yes" if struct.unpack("iIII", data[:16])[1] & 0x100 else "no"


def own_events_below() -> str:
    os.makedirs("below")
    return own_events("below")


PROBES = {
    "files made by root belong to": created,
    "chown": chown,
    "mode bits, setuid": mode,
    "symbolic links": symlink,
    "hard links": hardlink,
    "upper and lower case differ": case,
    "any bytes in names": names,
    "writable shared mmap": shared_mapping,
    "private mmap": private_mapping,
    "flock in the machine": flock,
    "fcntl locks in the machine": record_lock,
    "named pipes": fifo,
    "Unix sockets": unix_socket,
    "extended attributes": xattr,
    "deleted files stay open": unlinked,
    "rename over an open file": replaced,
    "times to the nanosecond": fine_times,
    "programs run": execute,
    "inotify of the machine's own changes": own_events,
    "the same in a directory below": own_events_below,
}

os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])
json.dump({name: outcome(probe) for name, probe in PROBES.items()}, sys.stdout)
