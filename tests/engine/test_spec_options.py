"""Options of run, through the whole engine."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

Box = Any
QUIET = ("--network", "none")


def out(box: Box, *args: str) -> str:
    return str(box("run", "--rm", *QUIET, *args).stdout).strip()


def test_a_command_that_nobody_has_leaves_nothing(box: Box) -> None:
    before = box("ps", "-aq").stdout
    assert 'exec: "nosuch": executable file not found in $PATH' in box.fails(
        "run", "--rm", "busybox", "nosuch", code=127
    )
    assert "permission denied" in box.fails("run", "--rm", "busybox", "/etc/passwd", code=126)
    assert "is a directory" in box.fails("run", "--rm", "busybox", "/etc", code=126)
    assert "unable to find user nosuch" in box.fails("run", "--rm", "-u", "nosuch", "busybox", "id")
    assert "/proc/self/fd/5" in box.fails("run", "--rm", "-w", "/proc/self/fd/5", "busybox", "pwd")
    assert box("ps", "-aq").stdout == before


def test_a_start_that_fails_gives_back_what_it_took(box: Box, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    publish = ("-p", f"127.0.0.1:{port}:80", "busybox")
    container = box.out("create", "--name", name, *publish, "/no/such")
    for _ in range(2):
        box.fails("start", name, code=127)
        assert box.out("port", name) == ""
        assert box.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name) == ""
        assert container not in os.listdir(box.root / "run/containers")
    assert box.out("check") == "the store is in order"
    assert box.out("run", "--rm", *publish, "echo", "free") == "free"


@pytest.mark.parametrize("user", ["4294967295", "-1", "0:4294967295", "2147483648"])
def test_ids_that_a_runtime_takes_for_root(box: Box, user: str) -> None:
    assert "id" in box.fails("run", "--rm", f"--user={user}", "busybox", "id")


def test_runc(box: Box) -> None:
    assert out(box, "--runtime", "runc", "--init", "busybox", "cat", "/proc/1/comm") == "docker-init"


def test_the_namespaces_of_a_running_container(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "--hostname", "db.example.org", "busybox", "sleep", "60")
    script = "hostname; ps | grep -c '[s]leep 60'; echo x > /dev/shm/x; ip addr | grep -c 'inet '"
    modes = [f"--{kind}=container:{name}" for kind in ("network", "pid", "ipc")]
    assert box("run", "--rm", *modes, "busybox", "sh", "-c", script).stdout.split() == ["db.example.org", "1", "2"]
    box("kill", name)
    assert "does not run" in box.fails("run", "--rm", *QUIET, f"--pid=container:{name}", "busybox", "true")


def test_volumes_of_another_container(box: Box, name: str) -> None:
    box("run", "--name", name, *QUIET, "-v", "/data", "busybox", "sh", "-c", "echo kept > /data/x")
    assert out(box, "--volumes-from", name, "busybox", "cat", "/data/x") == "kept"
    done = box("run", "--rm", *QUIET, "--volumes-from", f"{name}:ro", "busybox", "touch", "/data/y", check=False)
    assert "Read-only" in done.stderr


def test_a_source_of_v_is_made_and_one_of_mount_is_not(box: Box, tmp_path: Path) -> None:
    out(box, "-v", f"{tmp_path}/new:/x", "busybox", "touch", "/x/y")
    assert (tmp_path / "new/y").exists()
    assert "does not exist" in box.fails(
        "run", "--rm", "--mount", f"type=bind,src={tmp_path}/no,dst=/x", "busybox", "true"
    )
    assert not (tmp_path / "no").exists()


def test_limits_change_while_it_runs(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, *QUIET, "-m", "32m", "--pids-limit", "9", "busybox", "sleep", "60")
    full = box("inspect", "-f", "{{.Id}}", name).stdout.strip()
    box("update", "-m", "64m", "--pids-limit", "20", name)
    places = [
        Path(f"/sys/fs/cgroup/memory/devbox/{full}/memory.limit_in_bytes"),
        Path(f"/sys/fs/cgroup/devbox/{full}/memory.max"),
    ]
    assert [place.read_text().strip() for place in places if place.exists()] == [str(64 << 20)]
    assert "--memory-swap" in box.fails("update", "--memory-swap", "8m", name)


def test_a_seccomp_profile_outlives_its_file(box: Box, name: str, tmp_path: Path) -> None:
    profile = tmp_path / "p.json"
    rule = '{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}'
    profile.write_text(f'{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{rule}]}}')
    box(
        "create",
        "--name",
        name,
        *QUIET,
        "--security-opt",
        "seccomp=p.json",
        "busybox",
        "mkdir",
        "/x",
        cwd=tmp_path,
    )
    profile.unlink()
    assert "not supported" in box("start", "-a", name, check=False).stderr


def test_published_ports_of_the_host_are_discarded_with_a_word(box: Box) -> None:
    done = box("run", "--rm", "--network", "host", "-p", "8080:80", "busybox", "hostname")
    assert done.stdout.strip() == os.uname().nodename
    assert "discarded" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--pull", "always"),
        ("--platform", "linux/sparc"),
        ("--cpus", "8000"),
        ("--device", "/dev/nosuch"),
        ("--network", "nosuch"),
        ("--network", "none", "-p", "80:80"),
        ("--rm", "--restart", "always"),
        ("--security-opt", "apparmor=strict"),
        ("--ulimit", "nofile=2:1"),
        ("--env-file", "/nosuch"),
        ("--volumes-from", "nosuch"),
        ("--pid", "container:nosuch"),
    ],
)
def test_what_cannot_be_honoured_is_refused_before_anything_is_made(box: Box, words: tuple[str, ...]) -> None:
    before = box("ps", "-aq").stdout, os.listdir(box.root / "volumes")
    message = box.fails("run", *words, "-v", "/anonymous", "busybox", "true")
    assert message.startswith("devbox: ")
    assert "defect" not in message
    assert (box("ps", "-aq").stdout, os.listdir(box.root / "volumes")) == before
