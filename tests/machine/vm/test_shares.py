"""Directories of the host in a real machine, and files that travel with a command."""

from __future__ import annotations

import fcntl
import json
import queue
import subprocess
from pathlib import Path

import pytest

from tests.machine.vm.conftest import CHECKOUT, USER, Vm
from tests.machine.vm.watching import watching


@pytest.fixture
def src(vm: Vm) -> Path:
    return vm.home / "src"


def probed(vm: Vm, directory: str) -> dict[str, str]:
    (vm.home / "src/probe.py").write_bytes((CHECKOUT / "tests/machine/vm/share_probe.py").read_bytes())
    found: dict[str, str] = json.loads(
        vm("machine", "ssh", "sudo", "python3", str(vm.home / "src/probe.py"), directory).stdout
    )
    return found


def test_each_kind_can_what_the_table_in_the_documents_says(vm: Vm, src: Path) -> None:
    lines = (CHECKOUT / "docs/shares.md").read_text().splitlines()
    start = lines.index("| | 9p | the machine's own disk |")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 :] if line[:1] == "|"
    ]
    table = {name.strip(): (share.strip(), disk.strip()) for name, share, disk in rows}
    share, disk = probed(vm, str(src / "probe")), probed(vm, "/root/probe")
    share |= {
        "inotify of this host's changes": told_of_this_host(vm, src),
        "locks against this host": locks_against_this_host(vm, src),
    }
    assert table == {name: (share[name], disk.get(name, "")) for name in share}
    assert (src / "probe/mode").stat().st_mode & 0o7777 == 0o4751
    assert (src / "probe/symlink").readlink() == Path("../no/such place")
    assert (src / "probe/made").stat().st_uid == USER


def told_of_this_host(vm: Vm, directory: Path) -> str:
    with watching(vm, directory) as told:
        (directory / "made here").write_text("")
        try:
            return "yes" if "made here" in told.get(timeout=3) else "no"
        except queue.Empty:
            return "no"


def locks_against_this_host(vm: Vm, src: Path) -> str:
    with (src / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        taken = vm("machine", "ssh", "sudo", "flock", "-n", str(src / "lock"), "true", check=False).returncode
    return "yes" if taken else "no"


def test_a_container_sees_this_hosts_files_and_writes_them(vm: Vm, src: Path, image: str) -> None:
    (src / "a file").write_text("from here\n")
    line = ("run", "--rm", "--network", "none", "-v", "./src:/src", "-v", f"{vm.home}/other data:/other", image)
    script = "cat '/src/a file'; echo from there >'/other/b c'; rm '/src/a file'; echo $$ $PWD"
    assert vm.remote(*line, "sh", "-c", script).stdout == "from here\n1 /\n"
    assert (vm.home / "other data/b c").read_text() == "from there\n"
    assert not (src / "a file").exists()
    assert vm("machine", "ssh", "cat", "/srv/other data/b c").stdout == "from there\n"


def test_what_is_not_shared_is_refused_with_the_line_to_write(vm: Vm, image: str) -> None:
    done = vm.remote("run", "-v", "/etc:/x", image, "ls", "/x", check=False)
    assert done.returncode == 125
    assert f'write shares = ["{vm.home}/src", "{vm.home}/other data:/srv/other data", "/etc"]' in done.stderr
    (vm.home / "src/out").symlink_to("/etc")
    assert "lies in no share" in vm.remote("run", "-v", "./src/out:/x", image, check=False).stderr


def test_files_outside_the_shares_travel(vm: Vm, image: str) -> None:
    place = vm.home / "outside"
    place.mkdir()
    (place / "env").write_text("FILE=1\nHOST_ONLY\n")
    (place / "tree/sub").mkdir(parents=True)
    (place / "tree/sub/x").write_text("x")
    subprocess.run(["chown", "-R", f"{USER}:{USER}", place], check=True)
    vm.environment["HOST_ONLY"] = "2"
    files = ("--env-file", "outside/env", "--cidfile", "outside/cid")
    line = ("run", *files, "--network", "none", "--name", "carried", image)
    assert vm.remote(*line, "sh", "-c", "echo $FILE$HOST_ONLY").stdout == "12\n"
    assert len((place / "cid").read_text()) == 64
    vm.remote("cp", "outside/tree", "carried:/tree")
    vm.remote("cp", "carried:/tree/sub", "outside/back")
    assert (place / "back/x").read_text() == "x"
    vm.remote("cp", "carried:/tree", "outside/")
    assert (place / "tree/sub/x").stat().st_uid == USER
    vm.remote("save", "-o", "outside/saved.tar", image)
    vm.remote("rm", "-f", "carried")
    assert "Loaded image" in vm.remote("load", "-i", "outside/saved.tar").stdout
    assert vm("machine", "ssh", "sudo", "ls", "/var/tmp/devbox-carried").stdout == ""


def test_after_a_restart_from_inside_no_share_is_an_empty_directory(vm: Vm, src: Path, image: str) -> None:
    (src / "still").write_text("here")
    vm.environment["DEVBOX_NO_BROKER"] = "1"  # each command connects anew
    try:
        vm("machine", "ssh", "sudo", "umount", str(src))
        line = ("run", "--rm", "--network", "none", "-v", "./src:/src", image, "cat", "/src/still")
        assert vm.remote(*line).stdout == "here"
    finally:
        del vm.environment["DEVBOX_NO_BROKER"]


def test_a_share_in_use_allows_sleep_and_no_snapshot(vm: Vm, image: str) -> None:
    line = ("run", "-d", "--name", "user", "--network", "none", "-v", "./src:/src", image, "sleep", "1000")
    vm.remote(*line)
    done = vm("machine", "snapshot", "save", "two", check=False)
    assert (done.returncode, "a container has it mounted" in done.stderr) == (125, True), done.stderr
    vm("machine", "suspend")
    vm("machine", "resume")
    (vm.home / "src/later").write_text("later")
    assert vm.remote("exec", "user", "cat", "/src/later").stdout == "later"
    vm.remote("rm", "-f", "user")
    assert vm.remote("run", "--rm", "--network", "none", "-v", "./src:/src", image, "cat", "/src/later").stdout
