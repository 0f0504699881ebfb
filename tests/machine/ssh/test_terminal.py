"""A terminal on this side is one on the other: size, keys, job control, and our own modes as they were."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from tests.machine.ssh.conftest import Host, commands, wait_until


class Screen:
    """A terminal of 24 x 80, and the command that has it."""

    def __init__(self, host: Host, words: list[str]) -> None:
        self.master, self._slave = pty.openpty()
        self.resize(24, 80)
        self.modes = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            words,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=host.env | {"TERM": "xterm-devbox"},
            cwd=host.home,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait_for(self, text: str, seconds: float = 30) -> bytes:
        """What is shown until the text, which is then done with."""
        wanted, deadline = text.encode(), time.monotonic() + seconds
        while wanted not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {text!r} in {self.seen!r}"
            self.seen += os.read(self.master, 65536)
        before, _, self.seen = self.seen.partition(wanted)
        return before

    def end(self, code: int = 0) -> None:
        """The command ends with that code, and the terminal is as it was."""
        deadline = time.monotonic() + 30
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            if select.select([self.master], [], [], 0.02)[0]:
                self.seen += os.read(self.master, 65536)
        assert self.process.returncode == code, self.seen
        assert termios.tcgetattr(self._slave) == self.modes

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self._slave)


@contextlib.contextmanager
def screen(host: Host, *words: str, line: list[str] | None = None) -> Iterator[Screen]:
    one = Screen(host, line or host.line(*words))
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def shell(host: Host) -> Iterator[Screen]:
    try:
        with screen(host, "run", "--rm", "-it", "--name", "shell", "busybox", "sh") as one:
            one.wait_for("# ")
            yield one
    finally:
        host("rm", "-f", "shell", check=False)


def test_size_and_resize(shell: Screen) -> None:
    shell.type("stty size\r")
    shell.wait_for("24 80")
    shell.resize(50, 132)
    shell.process.send_signal(signal.SIGWINCH)
    time.sleep(0.3)
    shell.type("stty size; exit 3\r")
    shell.wait_for("50 132")
    shell.end(3)


def test_interrupt_and_job_control(shell: Screen) -> None:
    shell.type("sleep 100\r")
    time.sleep(0.2)
    shell.type("\x03")
    shell.wait_for("# ")
    shell.type("echo code $?\r")
    shell.wait_for("code 130")
    shell.type("sleep 100\r")
    time.sleep(0.2)
    shell.type("\x1a")
    shell.wait_for("Stopped")
    shell.type("fg\r")
    time.sleep(0.2)
    shell.type("\x03")
    shell.wait_for("# ")
    shell.type("exit 0\r")
    shell.end(0)


def test_detach_keys_leave_the_container_running(host: Host, shell: Screen) -> None:
    shell.type("\x10\x11")
    shell.end(0)
    assert host.out("ps", "--format", "{{.Names}}") == "shell\n"


def test_a_detached_container_is_attached_again(host: Host) -> None:
    host("run", "-dit", "--rm", "--name", "later", "busybox", "sh")
    with screen(host, "attach", "later") as one:
        one.type("echo $((40+2))\r")
        one.wait_for("42")
        one.type("exit 5\r")
        one.end(5)


def test_exec_has_a_terminal_of_its_own(host: Host) -> None:
    host("run", "-d", "--rm", "--name", "base", "busybox", "sleep", "100")
    try:
        with screen(
            host, "exec", "-it", "base", "sh", "-c", "tty; sleep 0.5; stty size; read -r a; echo got $a"
        ) as one:
            one.wait_for("/dev/pts/")
            one.wait_for("24 80")
            one.type("täxt\r")
            one.wait_for("got täxt")
            one.end(0)
    finally:
        host("rm", "-f", "base")


def test_without_a_terminal_ctrl_c_and_ctrl_z_are_signals_to_us(host: Host) -> None:
    host("run", "-d", "--rm", "--name", "talks", "busybox", "sh", "-c", "while :; do echo line; sleep 0.1; done")
    try:
        script = '"$@"; echo stopped $?; fg >/dev/null; echo ended $?'
        with screen(host, line=["bash", "-m", "-c", script, "-", *host.line("logs", "-f", "talks")]) as one:
            one.wait_for("line")
            one.type("\x1a")
            one.wait_for("stopped 148")
            one.wait_for("line")
            one.type("\x03")
            one.wait_for("ended 130")
            one.end(0)
    finally:
        host("rm", "-f", "talks")


def test_a_table_is_made_for_a_terminal(host: Host) -> None:
    with screen(host, "version") as one:
        shown = one.wait_for("Client")
        assert b"\r\r\n" not in shown
        one.end(0)


def test_a_killed_client_ends_its_command(host: Host) -> None:
    with screen(host, "run", "--rm", "-it", "--name", "orphan", "busybox", "sh") as one:
        one.wait_for("# ")
        one.process.kill()
        one.process.wait()
        wait_until(lambda: not commands(host))
    host("rm", "-f", "orphan", check=False)
