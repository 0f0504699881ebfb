"""exec: who, where, with what, its errors, and what is left when it or its client ends. top."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox.container.execute import KILLED
from tests.engine.conftest import ENTRY, Box


@pytest.fixture(scope="module")
def running(box: Box) -> Iterator[str]:
    """A container with a user, a script without the right to run, and a link that leads out."""
    name = "exec-tests"
    box("run", "-d", "--name", name, "-e", "OWN=1", "-w", "/tmp", "busybox", "sleep", "1000")
    script = (
        "echo 'sue:x:1000:1000::/home/sue:/bin/sh' >>/etc/passwd; echo 'staff:x:50:sue' >>/etc/group;"
        "echo '#!/bin/sh' >/noexec; ln -s /proc/self/fd/5 /out; mkdir /place;"
        "echo '#!/nowhere' >/badscript; chmod +x /badscript"
    )
    box("exec", name, "sh", "-c", script)
    yield name
    box("rm", "-f", name)


def host_pids(box: Box, name: str, pattern: str) -> list[int]:
    lines = box.out("top", name, "-eo", "pid,args").splitlines()[1:]
    return [int(line.split()[0]) for line in lines if pattern in line]


def test_user_groups_home_and_directory(box: Box, running: str) -> None:
    assert box.out("exec", running, "sh", "-c", "id -u; pwd; echo $HOME $OWN") == "0\n/tmp\n/root 1"
    script = "id -u; id -g; id -G; pwd; echo $HOME"
    done = box.out("exec", "-u", "sue", "-w", "/place", running, "sh", "-c", script)
    assert done == "1000\n1000\n1000 50\n/place\n/home/sue"
    assert box.out("exec", "-u", "7:50", running, "sh", "-c", "id -u; id -g; echo $HOME") == "7\n50\n/"


def test_variables_over_the_container_s(box: Box, running: str, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# comment\nA=file\nB=file\n")
    done = box.out(
        "exec", "--env-file", "env", "-e", "A=own words", "-e", "OWN=2", "-e", "TAKEN", "-e", "ABSENT", running,
        "sh", "-c", "echo \"$A $B $OWN $TAKEN ${ABSENT-none}\"",
        cwd=tmp_path, env={"TAKEN": "taken"},
    )  # fmt: skip
    assert done == "own words file 2 taken none"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("nosuch",), 127, "not found in $PATH"),
        (("/nosuch",), 127, "no such file or directory"),
        (("/noexec",), 126, "ermission denied"),
        (("/tmp",), 126, "is a directory"),
        (("-w", "/nosuch", "true"), 125, "working directory /nosuch does not exist"),
        (("-w", "relative", "true"), 125, "absolute path"),
        (("-u", "nobody-here", "true"), 125, "unable to find user nobody-here"),
        (("-u", "4294967295", "true"), 125, "4294967295"),
        (("false",), 1, ""),
        (("sh", "-c", "exit 42"), 42, ""),
        (("sh", "-c", "kill -9 $$"), 137, ""),
        (("sh", "-c", "kill -15 $$"), 143, ""),
    ],
)
def test_exit_codes(box: Box, running: str, words: tuple[str, ...], code: int, message: str) -> None:
    command = words[2:] if words[0].startswith("-") else words
    options = words[: len(words) - len(command)]
    assert message in box.fails("exec", *options, running, *command, code=code)


def test_a_directory_that_leads_out_is_refused(box: Box, running: str) -> None:
    for path in ("/out", "/proc/self/fd/5", "/proc/1/root", "/proc/self/cwd"):
        message = box.fails("exec", "-w", path, running, "true")
        assert path in message or "/proc" in message


def test_states_that_refuse(box: Box, name: str) -> None:
    box("create", "--name", name, "busybox", "sleep", "100")
    assert f"container {name} is not running" in box.fails("exec", name, "true")
    assert f"container {name} is not running" in box.fails("top", name)
    box("start", name)
    box("pause", name)
    assert f"container {name} is paused" in box.fails("exec", name, "true")
    box("unpause", name)
    box("exec", name, "true")
    assert "no such container" in box.fails("exec", "no-such-container", "true")


def test_only_three_descriptors_none_of_them_ours(box: Box, running: str, tmp_path: Path) -> None:
    script = "for n in 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo open $n; done; readlink /proc/$$/fd/1"
    words = ["sh", "-c", 'exec 7</etc/passwd; exec "$@"', "sh", *ENTRY, "exec", running, "sh", "-c", script]
    with (tmp_path / "out").open("wb") as file:
        subprocess.run(words, stdout=file, env=box.env, check=True)
    assert (tmp_path / "out").read_text().startswith("pipe:")


def test_detached_processes_go_on_and_stop_with_the_container(box: Box, running: str) -> None:
    assert box.out("exec", "-d", running, "sh", "-c", "sleep 0.3; echo done >/tmp/detached; sleep 300") == ""
    time.sleep(0.6)
    assert box.out("exec", running, "cat", "/tmp/detached") == "done"
    for pid in host_pids(box, running, "sleep 300"):
        os.kill(pid, signal.SIGKILL)
    assert "not found" in box.fails("exec", "-d", running, "nosuch", code=127)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_client_leaves_the_process_and_nothing_else(box: Box, running: str, number: int) -> None:
    marker = f"9{number}"
    client = box.popen("exec", "-i", running, "sleep", marker, stdin=subprocess.PIPE)
    deadline = time.monotonic() + 10
    while not (pids := host_pids(box, running, f"sleep {marker}")):
        assert time.monotonic() < deadline
    assert client.stdin
    client.send_signal(number)
    client.wait(timeout=10)
    client.stdin.close()
    (pid,) = pids
    assert host_pids(box, running, f"sleep {marker}") == [pid]
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert b"crun" not in Path(f"/proc/{parent}/cmdline").read_bytes()
    os.kill(pid, signal.SIGKILL)


def test_background_children_do_not_hold_the_client(box: Box, running: str) -> None:
    began = time.monotonic()
    assert box.out("exec", running, "sh", "-c", "sleep 77 & echo started") == "started"
    assert time.monotonic() - began < 5
    for pid in host_pids(box, running, "sleep 77"):
        os.kill(pid, signal.SIGKILL)


def test_privileged_has_more_powers_and_others_the_container_s(box: Box, running: str) -> None:
    own = box.out("exec", running, "grep", "CapEff", "/proc/self/status").split()[1]
    more = box.out("exec", "--privileged", running, "grep", "CapEff", "/proc/self/status").split()[1]
    first = box.out("exec", running, "grep", "CapEff", "/proc/1/status").split()[1]
    assert own == first
    assert int(more, 16) & ~int(own, 16)


def test_a_container_that_ends_takes_the_process_along(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "100")
    client = box.popen("exec", name, "sleep", "100")
    time.sleep(0.5)
    box("kill", name)
    assert client.wait(timeout=10) == 137


def test_links_are_those_of_now(box: Box, name: str) -> None:
    target = name + "-target"
    box("run", "-d", "--name", target, "-e", "SECRET=x", "--expose", "6379", "busybox", "sleep", "100")
    try:
        box("run", "-d", "--name", name, "--link", f"{target}:db", "busybox", "sleep", "100")
        before = box.out("exec", name, "sh", "-c", "echo $DB_PORT_6379_TCP_ADDR $DB_ENV_SECRET").split()
        assert before[1] == "x"
        box("stop", "-t", "0", target)
        box("run", "-d", "--name", target + "2", "busybox", "sleep", "100")
        box("start", target)
        address = box.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", target)
        assert box.out("exec", name, "sh", "-c", "echo $DB_PORT_6379_TCP_ADDR") == address
    finally:
        box("rm", "-f", target, target + "2", check=False)


def test_nothing_is_left_in_the_bundle(box: Box, running: str) -> None:
    box("exec", running, "true")
    box.fails("exec", running, "nosuch", code=127)
    bundle = box.root / "run/containers" / box.out("inspect", "-f", "{{.Id}}", running)
    assert not [name for name in os.listdir(bundle) if name.startswith("exec.")]


CAPTURE = """
import sys
from devbox.container import records
from devbox.container.execute import capture
from devbox.store.database import Store
store = Store.open()
timeout, limit, *argv = sys.argv[2:]
print(capture(store, records.get(store, sys.argv[1]), argv, timeout=float(timeout), limit=int(limit)))
"""


def captured(box: Box, name: str, *argv: str, timeout: float = 9, limit: int = 4096) -> tuple[int, bytes]:
    """In a process of its own, which becomes a subreaper."""
    words = [sys.executable, "-c", CAPTURE, name, str(timeout), str(limit), *argv]
    answer = ast.literal_eval(subprocess.check_output(words, env=box.env, text=True))
    return answer[0], answer[1]


def test_capture(box: Box, running: str) -> None:
    assert captured(box, running, "sh", "-c", "echo out; echo err >&2; exit 3") == (3, b"out\nerr\n")
    assert captured(box, running, "seq", "1", "100000", limit=8) == (0, b"1\n2\n3\n4\n")
    assert captured(box, running, "cat") == (0, b"")


def test_capture_kills_all_of_what_takes_too_long(box: Box, running: str) -> None:
    began = time.monotonic()
    script = "echo begun; sleep 88 & (sleep 88 &) ; sleep 88"
    assert captured(box, running, "sh", "-c", script, timeout=0.5) == (KILLED, b"begun\n")
    assert time.monotonic() - began < 3
    assert host_pids(box, running, "sleep 88") == []


def test_top_shows_the_processes_of_the_container_only(box: Box, running: str) -> None:
    lines = box.out("top", running).splitlines()
    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert [line.split()[7:] for line in lines[1:] if "sleep 1000" in line] == [["sleep", "1000"]]
    own = box.out("top", running, "-o", "pid,comm").splitlines()
    assert own[0].split() == ["PID", "COMMAND"]
    assert "no PID" in box.fails("top", running, "-o", "comm")
    assert "ps refused" in box.fails("top", running, "--nonsense")


def test_top_shows_escapes_as_text(box: Box, running: str) -> None:
    box("exec", "-d", running, "sh", "-c", "sleep 66; : \x1b[31m")
    shown = box.out("top", running)
    assert "\x1b" not in shown
    assert "31m" in shown
    for pid in host_pids(box, running, "sleep 66"):
        os.kill(pid, signal.SIGKILL)
