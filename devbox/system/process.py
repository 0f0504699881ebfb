"""The one door for processes: argument vectors only, a minimal environment, output captured.

`subprocess` is imported only where its time-outs are needed; starting a program costs `posix_spawn` alone.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from devbox.errors import HostError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LONGEST_POLL = (1 << 31) - 1
"""milliseconds, 24 days: poll(2) takes no more"""
PACKAGES = {
    "crun": "crun",
    "runc": "runc",
    "conmon": "conmon",
    "xz": "xz-utils",
    "igzip": "isal",
    "nft": "nftables",
    "flock": "util-linux",
    "mmdebstrap": "mmdebstrap",
    "s6-log": "s6",
    "tar": "tar",
}


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
    for directory in SEARCH_PATH.split(":"):
        path = f"{directory}/{program}"
        if os.access(path, os.X_OK):
            return path
    package = PACKAGES.get(program, program)
    raise HostError(f"{program} is not installed", hint=f"apt-get install {package}")


def installed(program: str) -> bool:
    """Whether `find` would find it."""
    return any(os.access(f"{directory}/{program}", os.X_OK) for directory in SEARCH_PATH.split(":"))


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


def start(argv: Sequence[str], *, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Running:
    """Start a program whose stdout and stderr are captured; end it with `finish`.

    `stdin` must fit a pipe (64 KiB) or be taken by the program before it prints as much itself.
    """
    source, feed = os.pipe()
    sink, output = os.pipe()
    try:
        pid = spawn(argv, env=env, files=((0, source), (1, output), (2, output)))
    except BaseException:
        os.close(sink)
        os.close(feed)
        raise
    finally:
        os.close(source)
        os.close(output)
    try:
        view = memoryview(stdin)
        while view:
            view = view[os.write(feed, view) :]
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


def run(
    argv: Sequence[str], *, stdin: bytes = b"", env: Mapping[str, str] | None = None, check: bool = True
) -> Result:
    """Run a program to its end, stdout and stderr captured together.

    Raises ProcessError for a status other than 0 unless `check` is False, HostError when it is missing.
    """
    result = finish(start(argv, stdin=stdin, env=env))
    if check and result.status != 0:
        raise ProcessError(argv, result.status, result.output.decode(errors="replace"))
    return result
