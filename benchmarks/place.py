"""Where everything is measured: namespaces of its own, and one loop-mounted ext4 with a journal for all engines.

Whatever the engines leave (interfaces, iptables rules, mounts, processes, files in /etc and /run) is in these
namespaces and goes with them; only control groups are the host's, and are removed by name.
"""

from __future__ import annotations

import glob
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DISK_BYTES = 24 << 30
_CHANGED_BY_ENGINES = ("/etc", "/opt", "/var/lib")
_HYBRID_CONTROLLERS = Path("/sys/fs/cgroup/unified/cgroup.controllers")
_GROUPS = ("docker", "libpod_parent", "conmon", "devbox")


def enter(module: str, arguments: Sequence[str]) -> list[str]:
    """The command that runs a module in namespaces of its own; pid 1 there is a shell, which reaps orphans."""
    namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    return [*namespaces, "sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-m", module, *arguments]


def furnish(directory: Path) -> Path:
    """Prepare the namespaces we are in; returns the mount point of the disk that all storage goes to."""
    call("mount", "--make-rprivate", "/")
    call("mount", "-t", "tmpfs", "tmpfs", "/run")
    call("ip", "link", "set", "lo", "up")
    for path in _CHANGED_BY_ENGINES:
        _copy_on_write(path)
    if _HYBRID_CONTROLLERS.exists():
        # podman's crun refuses hybrid control groups unless the second version has no controllers
        call("mount", "--bind", "/dev/null", str(_HYBRID_CONTROLLERS))
    return _mount_disk(directory)


def _copy_on_write(path: str) -> None:
    changes = Path("/run/changes" + path)
    for name in ("upper", "work"):
        (changes / name).mkdir(parents=True)
    options = f"lowerdir={path},upperdir={changes}/upper,workdir={changes}/work"
    call("mount", "-t", "overlay", "overlay", path, "-o", options)


def _mount_disk(directory: Path) -> Path:
    image, disk = directory / "disk.img", directory / "disk"
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    call("mkfs.ext4", "-q", "-F", str(image))
    disk.mkdir()
    call("mount", "-o", "loop", str(image), str(disk))
    return disk


def groups() -> set[str]:
    """The control groups that engines make on this host."""
    return {path for name in _GROUPS for path in glob.glob(f"/sys/fs/cgroup/**/{name}", recursive=True)}


def remove_groups(kept: set[str]) -> None:
    """Remove the control groups that were not there before us and are empty."""
    for path in sorted(groups() - kept):
        for directory, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(directory)
            except OSError as error:
                print(f"benchmarks: cannot remove {directory}: {error.strerror}", file=sys.stderr)


def call(*argv: str) -> str:
    """Run a command that must succeed; its output."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks: {' '.join(argv)}: {done.returncode}: {done.stderr.strip()}")
    return done.stdout
