"""The one door for processes: argument vectors only, a minimal environment, output captured.

Starting a program costs `posix_spawn` alone, where importing `subprocess` would take 5 ms.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from devbox.errors import HostError
from devbox.system.files import write_all

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LONGEST_POLL = (1 << 31) - 1
"""milliseconds, 24 days: poll(2) takes no more"""
PACKAGES = {
    "flock": "util-linux",
    "igzip": "isal",
    "nft": "nftables",
    "ps": "procps",
    "s6-log": "s6",
    "xz": "xz-utils",
}
"""Debian's packages of programs that are called otherwise"""


class ProcessError(Exception):
    """A program ended with a status other than 0; callers turn it into one of our own errors."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        import shlex

        super().__init__(f"{shlex.join(argv)}: exit status {status}: {output.strip()}")
        self.argv = tuple(argv)
        self.status = status
        self.output = output.strip()


class Result(NamedTuple):
    """What a finished program left: its exit status (negative: the signal that ended it) and its output."""

    status: int
    output: bytes


def find(program: str) -> str:
    """The absolute path of a program, or HostError naming the Debian package that has it."""
    path = path_of(program)
    if not path:
        raise HostError(f"{program} is not installed", hint=f"apt-get install {PACKAGES.get(program, program)}")
    return path


def path_of(program: str) -> str:
    """The absolute path of a program, "" when it is not installed."""
    paths = (f"{directory}/{program}" for directory in SEARCH_PATH.split(":"))
    return next((path for path in paths if os.access(path, os.X_OK)), "")


def first_of(*commands: tuple[str, ...]) -> tuple[str, ...]:
    """The first command line whose program is installed; the last one, to be complained about, when none is."""
    return next((command for command in commands if path_of(command[0])), commands[-1])


def minimal_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """PATH and the C locale, nothing of the caller's; `extra` is added."""
    return {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", **(extra or {})}


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    files: Sequence[tuple[int, int]] = (),
    new_session: bool = False,
) -> int:
    """Start a program and return its pid; the caller waits for it.

    `files` are (child, parent) descriptor pairs, as dup2 would have them; 0, 1 and 2 are inherited unless
    named. Every other descriptor of ours is close-on-exec and stays here; what our caller left open is not for a
    program in a session of its own, which may outlive us both.
    """
    if new_session:
        seal()
    actions = [(os.POSIX_SPAWN_DUP2, parent, child) for child, parent in files]
    path = find(argv[0]) if "/" not in argv[0] else argv[0]
    environment = minimal_environment() if env is None else env
    try:
        return os.posix_spawn(
            path,
            list(argv),
            environment,
            file_actions=actions,
            setsid=new_session,
            setsigdef=_reset_signals(),
        )
    except (FileNotFoundError, PermissionError) as error:
        raise HostError(f"cannot start {argv[0]}: {os.strerror(error.errno or 0).lower()}") from error


def seal() -> None:
    """Make every descriptor but 0, 1 and 2 close-on-exec: what our caller left open is not for our children."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)  # noqa: FBT003
            except OSError:
                continue  # the listing's own, closed by now


def _reset_signals() -> list[int]:
    import signal

    # Python ignores SIGPIPE, and an ignored signal stays ignored across exec
    return [signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP]


def wait(pid: int) -> int:
    """The exit status of a child, negative for the signal that ended it."""
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


class Running(NamedTuple):
    """A program that `start` started: its pid and the pipe that its output arrives on."""

    argv: tuple[str, ...]
    pid: int
    output: int


def start(
    argv: Sequence[str], *, stdin: bytes = b"", env: Mapping[str, str] | None = None, errors: bool = True
) -> Running:
    """Start a program whose stdout, and stderr unless `errors` is False, are captured; end it with `finish`.

    `stdin` must fit a pipe (64 KiB) or be taken by the program before it prints as much itself.
    """
    source, feed = os.pipe()
    sink, output = os.pipe()
    captured = ((0, source), (1, output), (2, output)) if errors else ((0, source), (1, output))
    try:
        pid = spawn(argv, env=env, files=captured)
    except BaseException:
        os.close(sink)
        os.close(feed)
        raise
    finally:
        os.close(source)
        os.close(output)
    try:
        write_all(feed, stdin)
    except BrokenPipeError:
        pass  # it ended early; its status says why
    finally:
        os.close(feed)
    return Running(tuple(argv), pid, sink)


def finish(running: Running) -> Result:
    """Read a started program's output to the end and reap it."""
    chunks = []
    try:
        while chunk := os.read(running.output, 65536):
            chunks.append(chunk)
    finally:
        os.close(running.output)
        status = wait(running.pid)
    return Result(status, b"".join(chunks))


@contextlib.contextmanager
def feeding(argv: Sequence[str], *files: tuple[int, int]) -> Iterator[int]:
    """A descriptor from which a program reads its stdin, for the block; `files` as for `spawn`.

    Raises ProcessError at the end for a status other than 0, also when it ended before it had read everything.
    """
    entry, feed = os.pipe()
    try:
        pid = spawn(argv, files=((0, entry), *files))
    except BaseException:
        os.close(feed)
        raise
    finally:
        os.close(entry)
    try:
        yield feed
    except BrokenPipeError:
        pass  # it ended early; its status says why
    finally:
        os.close(feed)
        status = wait(pid)
    if status:
        raise ProcessError(argv, status, "")


def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    errors: bool = True,
    check: bool = True,
) -> Result:
    """Run a program to its end, stdout captured, and stderr with it unless `errors` is False.

    Raises ProcessError for a status other than 0 unless `check` is False, HostError when it is missing.
    """
    result = finish(start(argv, stdin=stdin, env=env, errors=errors))
    if check and result.status != 0:
        raise ProcessError(argv, result.status, result.output.decode(errors="replace"))
    return result
