"""`bootstrap busybox`: a small image of Debian's static busybox, its applets and the files a system must have."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os

from devbox.errors import HostError
from devbox.image import layers, make
from devbox.model.image import Image
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system import process

_INSTALLED = ("/usr/bin/busybox", "/bin/busybox")
_DIRECTORIES = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/log": 0o755,
    "var/spool": 0o755,
    "var/spool/mail": 0o755,
    "var/www": 0o755,
}
_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
_GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
www-data:x:33:
operator:x:37:
users:x:100:
nogroup:x:65534:
"""
_FILES = {
    "etc/passwd": (_PASSWD, 0o644),
    "etc/group": (_GROUP, 0o644),
    "etc/shadow": ("root:*:19000:0:99999:7:::\n", 0o600),
    "etc/nsswitch.conf": ("passwd: files\ngroup: files\nhosts: files dns\n", 0o644),
    "etc/hosts": ("", 0o644),
    "etc/hostname": ("", 0o644),
    "etc/resolv.conf": ("", 0o644),
}
_CONFIG = {"Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}


def bootstrap(store: Store, names: tuple[str, ...]) -> Image:
    """Make the image; the same busybox always gives the same one."""
    with scratch(store.root, "bootstrap") as place:
        program = _program(place)
        created = os.stat(program).st_mtime // 1
        _tree(place + "/layer/diff", program, created)
        layer = layers.measure(place + "/layer")
        origin = make.Origin("bootstrap", "devbox bootstrap busybox", created=created)
        return make.record(store, layer, _CONFIG, names=names, origin=origin)


def _program(place: str) -> str:
    """The path of a static busybox: the installed one, or one fetched with this machine's apt."""
    for path in _INSTALLED:
        if os.path.exists(path) and _is_static(path):
            return path
    fetched = place + "/package"
    os.mkdir(fetched)
    try:
        process.run(("sh", "-c", 'cd "$1" && apt-get download busybox-static', "sh", fetched))
        (package,) = os.listdir(fetched)
        process.run(("dpkg-deb", "-x", f"{fetched}/{package}", fetched + "/tree"))
    except process.ProcessError as error:
        raise HostError(
            f"cannot fetch the package busybox-static: {error.output.splitlines()[-1:]}",
            hint="run 'apt-get update', or install busybox-static",
        ) from error
    return next(path for path in (fetched + "/tree" + name for name in _INSTALLED) if os.path.exists(path))


def _is_static(path: str) -> bool:
    """Whether an ELF program names no interpreter (PT_INTERP, type 3) in its program headers."""
    with open(path, "rb") as file:
        head = file.read(64)
        offset = int.from_bytes(head[32:40], "little")
        size, count = int.from_bytes(head[54:56], "little"), int.from_bytes(head[56:58], "little")
        file.seek(offset)
        table = file.read(size * count)
    return head[:5] == b"\x7fELF\2" and all(
        int.from_bytes(table[at : at + 4], "little") != 3 for at in range(0, len(table), size)
    )


def _tree(root: str, program: str, created: float) -> None:
    import shutil

    os.makedirs(root)
    os.chmod(root, 0o755)
    for name, mode in _DIRECTORIES.items():
        os.mkdir(f"{root}/{name}")
        os.chmod(f"{root}/{name}", mode)
    for name, (text, mode) in _FILES.items():
        with open(f"{root}/{name}", "w") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
    shutil.copyfile(program, root + "/bin/busybox")
    os.chmod(root + "/bin/busybox", 0o755)
    _applets(root, program)
    for directory, _, names in os.walk(root, topdown=False):
        for name in names:
            os.utime(f"{directory}/{name}", (created, created), follow_symlinks=False)
        os.utime(directory, (created, created))


def _applets(root: str, program: str) -> None:
    applets = process.run((program, "--list")).output.decode().split()
    for applet in applets:
        with contextlib.suppress(FileExistsError):
            os.link(root + "/bin/busybox", f"{root}/bin/{applet}")
    os.symlink("../../bin/env", root + "/usr/bin/env")
