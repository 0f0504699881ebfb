"""One command, there and back: words, streams, codes, as if it ran here."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.ssh.conftest import Host, commands, processes, wait_until

ALONE = {"DEVBOX_NO_BROKER": "1"}
NASTY = (
    b"",
    b" ",
    b"a b",
    b"a  b ",
    b"'",
    b'"',
    b"\\",
    b"\\\\n",
    b"a\nb\n",
    b"\t\r\v\x1b[31m",
    b"$HOME",
    b"$(id)",
    b"`id`",
    b"${IFS}",
    b"%s%n%PATH%",
    b"!!",
    b"*",
    b"?[a-z]{a,b}",
    b"~root",
    b"; exit 9",
    b"&& false || true &",
    b"> /tmp/devbox-nasty",
    b"--rm",
    b"-",
    b"#not a comment",
    "café".encode(),
    "каша 🥣 \u202e".encode(),
    b"\x7f\x01",
)


def test_its_exit_code_is_ours(host: Host) -> None:
    assert host.out("run", "--rm", "busybox", "echo", "hello") == "hello\n"
    host.fails("run", "--rm", "busybox", "sh", "-c", "exit 7", code=7)
    host.fails("run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$", code=137)
    host.fails("run", "--rm", "busybox", "/", code=126)
    host.fails("run", "--rm", "busybox", "no-such-program", code=127)
    assert "no-such-image" in host.fails("run", "--rm", "no-such-image")


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash", "/usr/bin/fish", "/bin/csh"])
def test_words_arrive_byte_for_byte_whatever_the_login_shell_is(host: Host, shell: str) -> None:
    host.guest.become(shell)
    try:
        done = host("run", "--rm", "busybox", "printf", "%s|", *NASTY, env=ALONE)
        assert done.stdout.encode(errors="surrogateescape") == b"|".join((*NASTY, b""))
        host.fails("run", "--rm", "busybox", "sh", "-c", "exit 7", code=7, env=ALONE)
    finally:
        host.guest.become("/bin/bash")


def test_five_thousand_words_and_200_kilobytes(host: Host) -> None:
    words = [f"{number:040}" for number in range(5000)]
    assert host.out("run", "--rm", "busybox", "echo", *words) == " ".join(words) + "\n"
    long = "x" * 100_000
    out = host.out("run", "--rm", "-e", f"A={long}", "busybox", "sh", "-c", 'echo "$A$1"', "-", long)
    assert out == long * 2 + "\n"


def test_environment_and_labels_arrive_as_they_are(host: Host) -> None:
    value = "a b\n'\"$HOME 🥣"
    out = host.out("run", "--rm", "-e", f"A={value}", "-e", "OWN", "busybox", "sh", "-c", 'echo "$A|$OWN"')
    assert out == f"{value}|\n"
    out = host.out("run", "--rm", "-e", "OWN", "busybox", "sh", "-c", 'echo "$OWN"', env={"OWN": value})
    assert out == value + "\n"


def test_stdin_is_binary_and_ends_by_itself(host: Host) -> None:
    data = random.Random(1).randbytes(3_000_001)
    done = subprocess.run(
        host.line("run", "--rm", "-i", "busybox", "cat"),
        input=data,
        capture_output=True,
        env=host.env,
        cwd=host.home,
        timeout=60,
        check=True,
    )
    assert done.stdout == data


def test_it_answers_after_our_end_of_input(host: Host) -> None:
    script = "sort; echo sorted; sleep 0.3; echo late"
    assert host.out("run", "--rm", "-i", "busybox", "sh", "-c", script, input="b\na\n") == "a\nb\nsorted\nlate\n"


def test_what_does_not_read_stdin_leaves_it_to_its_caller(host: Host) -> None:
    script = 'while read -r line; do "$@"; echo "$line"; done'
    words = ["sh", "-c", script, "-", *host.line("run", "--rm", "busybox", "cat")]
    done = subprocess.run(
        words, input=b"1\n2\n3\n", capture_output=True, env=host.env, cwd=host.home, timeout=60, check=True
    )
    assert done.stdout == b"1\n2\n3\n"


def test_stderr_stays_apart(host: Host) -> None:
    done = host("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; echo more", check=False)
    assert (done.stdout, done.stderr) == ("out\nmore\n", "err\n")


def test_who_does_not_read_us_any_more_ends_the_command(host: Host) -> None:
    host("run", "-d", "--name", "talks", "busybox", "sh", "-c", "while :; do echo line; sleep 0.02; done")
    try:
        reader = host.popen("logs", "-f", "talks", stdout=subprocess.PIPE)
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"line\n"
        reader.stdout.close()
        assert reader.wait(30) == 128 + signal.SIGPIPE
        wait_until(lambda: not commands(host))
    finally:
        host("rm", "-f", "talks")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_go_to_the_command(host: Host, number: int, code: int) -> None:
    script = "trap 'exit 130' INT; trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done"
    with host.popen("run", "--rm", "busybox", "sh", "-c", script, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(number)
        assert run.wait(30) == code
    assert host.out("ps", "-aq") == ""


def test_a_command_that_is_killed_in_the_machine_says_so(host: Host) -> None:
    host("run", "-d", "--name", "silent", "busybox", "sleep", "60")
    try:
        waits = host.popen("wait", "silent", stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        wait_until(lambda: commands(host))
        os.kill(commands(host)[0], signal.SIGKILL)
        _, told = waits.communicate(timeout=10)
        assert waits.returncode == 137
        assert told == b"devbox: the command was ended by SIGKILL in machine lab\n"
    finally:
        host("rm", "-f", "silent")


@pytest.fixture
def base(host: Host) -> Iterator[str]:
    """A container to exec in, which is faster than going through conmon."""
    host("run", "-d", "--name", "base", "busybox", "sleep", "1000")
    yield "base"
    host("rm", "-f", "base")


def test_a_reader_that_stops_costs_no_memory(host: Host, base: str) -> None:
    with host.popen("exec", base, "head", "-c", "50m", "/dev/zero", stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        got = len(run.stdout.read(1000))
        time.sleep(1)
        sizes = {pid: _resident(pid) for pid in (run.pid, *host.brokers(), *host.guest.agents())}
        assert max(sizes.values()) < 80 << 20, sizes
        while data := run.stdout.read(1 << 20):
            got += len(data)
        assert (run.wait(30), got) == (0, 50 << 20)


def test_a_full_input_costs_no_memory(host: Host, base: str) -> None:
    with host.popen("exec", "-i", base, "sleep", "1", stdin=subprocess.PIPE, bufsize=0) as run:
        assert run.stdin is not None
        os.set_blocking(run.stdin.fileno(), False)
        wrote, deadline = 0, time.monotonic() + 0.7
        while time.monotonic() < deadline:
            wrote += run.stdin.write(bytes(1 << 20)) or 0
            time.sleep(0.001)
        assert 1 << 20 <= wrote < 16 << 20
        assert run.wait(30) == 0


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def test_nothing_is_left(host: Host) -> None:
    assert host.out("ps", "-aq") == ""
    assert not commands(host)
    assert not [line for _, line in processes() if "conmon" in line and str(host.guest.root) in line]
