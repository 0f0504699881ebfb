"""Sent as text to the machine's own Python: puts this version of devbox there and becomes its agent.

It has nothing but itself and the standard library, and reads no byte too many: what follows is the agent's.
"""

import sys

assert sys.platform == "linux"

import fcntl
import json
import os
import shutil
import zlib

MARK = b"\x01devbox "
DIRECTORY = "/usr/local/lib/devbox"
LINK = "/usr/local/bin/devbox"


def main() -> None:
    """Talk with `ship.install`: which version, whether it is here, its files; then go on as the agent."""
    asked = json.loads(_line())
    directory = os.environ.get("DEVBOX_GUEST", DIRECTORY)
    version = os.path.join(directory, asked["version"])
    problem = _problem()
    have = not problem and os.path.isdir(_site(version))
    _answer({"have": have, "problem": problem})
    if not have:
        files = json.loads(zlib.decompress(_exactly(int(_line()))))
        try:
            _put(directory, version, files)
        except OSError as error:
            _answer({"have": False, "problem": error.strerror})
            return
        _answer({"have": True, "problem": ""})
    python = version + "/bin/python"
    os.execv(python, [python, "-I", "-m", "devbox", "internal", "agent"])


def _put(directory: str, version: str, files: dict[str, str]) -> None:
    """Install a version unless another connection just has, and remove those that nothing runs any more."""
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(_site(version)):
            _install(version, files)
        _show(directory, version)
        _sweep(directory, version)


def _problem() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 - it is another Python than ours
        return f"its Python is {sys.version.split()[0]}, and devbox needs 3.11"
    if os.geteuid() != 0:
        return "the command did not become root there"
    return ""


def _install(version: str, files: dict[str, str]) -> None:
    """A virtual environment as small as can be, complete or not at all."""
    new = f"{version}.{os.getpid()}"
    site = _site(new)
    launcher = f"#!{version}/bin/python -I\nfrom devbox.cli.main import main\n\nmain()\n"
    home = os.path.dirname(sys.executable)
    files = {f"{site}/{name}": text for name, text in files.items()}
    files |= {f"{new}/bin/devbox": launcher, f"{new}/pyvenv.cfg": f"home = {home}\n"}
    try:
        for path, text in files.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
        os.chmod(f"{new}/bin/devbox", 0o755)
        os.symlink(sys.executable, f"{new}/bin/python")
        _compile(site, version)
        os.sync()  # hundreds of fsyncs would take a slow disk many seconds
        shutil.rmtree(version, ignore_errors=True)  # of another Python
        os.rename(new, version)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _compile(site: str, version: str) -> None:
    import compileall

    compileall.compile_dir(site, quiet=2, stripdir=site, prependdir=_site(version), workers=0)


def _show(directory: str, version: str) -> None:
    """A name for whoever logs in: the version that was asked for last."""
    _link(version + "/bin/devbox", directory + "/devbox")
    if directory == DIRECTORY and (os.path.islink(LINK) or not os.path.lexists(LINK)):
        _link(directory + "/devbox", LINK)


def _link(target: str, path: str) -> None:
    new = f"{path}.{os.getpid()}"
    os.symlink(target, new)
    os.rename(new, path)


def _sweep(directory: str, version: str) -> None:
    """Remove versions that nothing runs; a container's monitor names the one that it will call."""
    used = ""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                used += file.read().decode("utf-8", "replace")
        except OSError:
            continue
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if os.path.isdir(path) and not os.path.islink(path) and path != version and path + "/" not in used:
            shutil.rmtree(path, ignore_errors=True)


def _site(version: str) -> str:
    return f"{version}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def _answer(document: dict[str, object]) -> None:
    os.write(1, MARK + json.dumps(document).encode() + b"\n")


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += _exactly(1)
    return line


def _exactly(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(0, min(size - len(data), 1 << 20))
        if not part:
            sys.exit("devbox: the host has gone")
        data += part
    return bytes(data)


if __name__ == "__main__":
    main()
