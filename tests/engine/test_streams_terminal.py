"""run -it, exec -it and attach at a real terminal: size, keys, stops, detaching, and a terminal left as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box
from tests.engine.terminals import Terminal

Open = Callable[..., Terminal]


@pytest.fixture
def person(box: Box) -> Iterator[Open]:
    """Opens terminals with devbox in them; they are closed and their programs ended with the test."""
    opened = []

    def start(*args: str, argv: tuple[str, ...] = ENTRY) -> Terminal:
        opened.append(Terminal((*argv, *args), box.env))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def started(person: Open, name: str, *args: str) -> Terminal:
    shell = person("run", "-it", "--name", name, *args, "busybox", "sh")
    shell.expect(rb"/ # ")
    return shell


def ask(shell: Terminal, command: bytes, answer: bytes) -> bytes:
    shell.type(command + b"\n")
    found = shell.expect(rb"\n" + answer)
    shell.expect(rb"/ # ")
    return found[0].strip()


@pytest.mark.parametrize("kind", ["run", "exec"])
def test_a_terminal_has_our_size_from_the_start_and_follows_it(
    box: Box, name: str, person: Open, kind: str
) -> None:
    # crun gives the terminal of an exec its size while the process begins already
    first = "until stty size 2>/dev/null; do sleep 0.02; done" if kind == "exec" else "stty size"
    words = ["sh", "-c", f"{first}; read x; stty size; read x; stty size"]
    if kind == "exec":
        box("run", "-d", "--name", name, "busybox", "sleep", "100")
        terminal = person("exec", "-it", name, *words)
    else:
        terminal = person("run", "--rm", "-it", "--name", name, "busybox", *words)
    terminal.expect(rb"33 101\r\n")
    terminal.resize(44, 90)
    time.sleep(0.1)
    terminal.type(b"\n")
    terminal.expect(rb"44 90\r\n")
    for rows in (10, 11, 12):
        terminal.resize(rows, 70)
    time.sleep(0.1)
    terminal.type(b"\n")
    terminal.expect(rb"12 70\r\n")
    assert terminal.wait() == 0
    assert not terminal.is_raw()


@pytest.mark.parametrize("kind", ["run", "exec"])
def test_ctrl_c_and_ctrl_z_are_the_container_s(box: Box, name: str, person: Open, kind: str) -> None:
    if kind == "exec":
        box("run", "-d", "--name", name, "busybox", "sleep", "100")
        shell = person("exec", "-it", name, "sh")
        shell.expect(rb"/ # ")
    else:
        shell = started(person, name)
    assert shell.is_raw()
    shell.type(b"sleep 100\n")
    time.sleep(0.3)
    shell.type(b"\x03")
    shell.expect(rb"/ # ")
    assert ask(shell, b"echo code=$?", rb"code=\d+") == b"code=130"
    shell.type(b"sleep 100\n")
    time.sleep(0.3)
    shell.type(b"\x1a")
    shell.expect(rb"Stopped")
    shell.expect(rb"/ # ")
    shell.type(b"fg\n")
    time.sleep(0.3)
    shell.type(b"\x03")
    shell.expect(rb"/ # ")
    shell.type(b"exit 7\n")
    assert shell.wait() == 7
    assert not shell.is_raw()


def test_detach_and_attach_again(box: Box, name: str, person: Open) -> None:
    shell = started(person, name)
    assert ask(shell, b"x=kept", rb"") == b""
    shell.type(b"\x10\x11")
    shell.expect(rb"read escape sequence")
    assert shell.wait() == 0
    assert not shell.is_raw()
    assert box.out("ps", "-q", "--filter", f"name={name}")
    again = person("attach", "--detach-keys", "ctrl-x,x", name)
    again.type(b"\n")
    again.expect(rb"/ # ")
    assert ask(again, b"echo $x", rb"kept") == b"kept"
    again.type(b"\x10\x11\n")
    again.expect(rb"/ # ")
    again.type(b"\x18x")
    again.expect(rb"read escape sequence")
    assert again.wait() == 0
    third = person("attach", name)
    third.type(b"\n")
    third.expect(rb"/ # ")
    third.type(b"exit 5\n")
    assert third.wait() == 5


def test_a_detached_exec_goes_on(box: Box, name: str, person: Open) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "100")
    terminal = person(
        "exec", "-it", name, "sh", "-c", "echo ready; sleep 0.5; echo more; echo done >/tmp/done; sleep 9"
    )
    terminal.expect(rb"ready")
    terminal.type(b"\x10\x11")
    terminal.expect(rb"read escape sequence")
    assert terminal.wait() == 0
    deadline = time.monotonic() + 20
    while box("exec", name, "cat", "/tmp/done", check=False).stdout != "done\n":
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_from_outside_ends_the_client_only(box: Box, name: str, person: Open, number: int) -> None:
    shell = started(person, name)
    assert shell.is_raw()
    shell.kill(number)
    assert shell.wait() == -number
    assert not shell.is_raw()
    assert box.out("inspect", "--format", "{{.State.Status}}", name) == "running"
    again = person("attach", name)
    again.type(b"\n")
    again.expect(rb"/ # ")


def test_a_client_that_is_stopped_gives_its_terminal_back_meanwhile(box: Box, name: str, person: Open) -> None:
    command = " ".join([*ENTRY, "run", "--rm", "-it", "--name", name, "busybox", "sh"])
    # an interactive shell has job control, so a stop has somebody to return to
    outer = person(argv=("bash", "--norc", "-i"))
    outer.expect(rb"[$#] ")
    outer.type(b"bind 'set enable-bracketed-paste off'; PS1='outer''> '\n")
    outer.expect(rb"outer> ")
    outer.type(command.encode() + b"\n")
    outer.expect(rb"\n?/ # ")
    client = int(subprocess.check_output(["pgrep", "-P", str(outer.pid)]).split()[0])
    os.kill(client, signal.SIGTSTP)
    outer.expect(rb"Stopped")
    outer.expect(rb"outer> ")
    outer.type(b"echo in the $((1+1))nd shell\n")
    outer.expect(rb"\nin the 2nd shell")
    outer.type(b"fg\n")
    time.sleep(0.3)
    assert outer.is_raw()
    outer.type(b"echo in the $((1+0))st shell\n")
    outer.expect(rb"\nin the 1st shell")
    outer.type(b"exit\n")
    outer.expect(rb"outer> ")
    outer.type(b"exit\n")
    outer.wait()


def test_exec_makes_a_terminal_of_the_container(box: Box, name: str, person: Open) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "100")
    terminal = person("exec", "-it", name, "sh", "-c", "tty; echo TERM=$TERM; seq 1 20000; echo end; exit 3")
    terminal.expect(rb"/dev/pts/\d+\r\nTERM=xterm\r\n")
    terminal.expect(rb"19999\r\n20000\r\nend\r\n")
    assert terminal.wait() == 3


def test_without_a_terminal_t_is_refused_before_anything_is_made(box: Box, name: str) -> None:
    assert "the input device is not a TTY" in box.fails("run", "-it", "--name", name, "busybox", "true")
    assert name not in box.out("ps", "-a", "--format", "{{.Names}}")


def test_a_terminal_for_the_output_only(box: Box, name: str) -> None:
    assert box("run", "-t", "--name", name, "busybox", "sh", "-c", "test -t 1; echo $?").stdout == "0\n"


def test_no_terminal_of_ours_reaches_a_container(box: Box, name: str, person: Open) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "100")
    terminal = person(
        "exec", name, "sh", "-c", "test -t 1; echo out=$?; test -t 2; echo err=$?; test -t 0; echo in=$?"
    )
    terminal.expect(rb"out=1\r\nerr=1\r\nin=1")
    assert terminal.wait() == 0


def test_tmux(box: Box, name: str, tmp_path: Path) -> None:
    """A whole-screen program draws itself anew at every size."""
    tmux = ("tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null")
    command = " ".join([*ENTRY, "run", "--rm", "-it", "--name", name, "busybox", "vi", "/etc/passwd"])
    subprocess.run([*tmux, "new-session", "-d", "-x", "80", "-y", "24", command], env=box.env, check=True)
    try:
        for height in ("24", "12"):
            subprocess.run([*tmux, "resize-window", "-x", "80", "-y", height], check=True)
            deadline = time.monotonic() + 10
            while True:
                screen = subprocess.check_output([*tmux, "capture-pane", "-p"], text=True).splitlines()
                if len(screen) == int(height) and screen[-1].startswith("- /etc/passwd"):
                    break
                assert time.monotonic() < deadline, screen
                time.sleep(0.1)
        subprocess.run([*tmux, "send-keys", ":q!", "Enter"], check=True)
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
