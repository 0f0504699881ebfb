"""Programs that take long: output line by line, an end by time-out, Ctrl-C passed on, orphans found."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from devbox.machine import records

_PATIENCE = 15.0
"""seconds that a program gets to end in its own way"""
_INTERVAL = 0.1
_LAST_WORDS = 0.5
"""seconds after a program's end in which its output may still arrive"""

Running = subprocess.Popen[str]


class TimeoutPassed(Exception):  # noqa: N818 - callers say what it means
    """The program was ended because it took longer than allowed."""


def run(
    argv: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    line: Callable[[str], None],
    timeout: float,
    record: str = "",
) -> int:
    """Run a program, give each line of its output to `line`, and return its exit status.

    It has a process group of its own, so that Ctrl-C reaches it through us only, once. While it runs, `record`
    names it for `end_orphan` of a later command. TimeoutPassed after `timeout` seconds.
    """
    process = begin(argv, env, cwd=cwd)
    try:
        if record:
            records.write_json(record, {"pid": process.pid, "started": started(process.pid), "argv": list(argv)})
        _follow(process, line, time.monotonic() + timeout)
    except BaseException:
        _end(process)
        raise
    finally:
        if record:
            records.forget(record)
    return process.returncode


def begin(argv: Sequence[str], env: Mapping[str, str], *, cwd: str | None = None) -> Running:
    """Start a program in a process group of its own, its output and errors together in a pipe."""
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="backslashreplace",
        **_own_group(),
    )


def _follow(process: subprocess.Popen[str], line: Callable[[str], None], deadline: float) -> None:
    """Pass the output on until the program has ended; a daemon that it left may keep the pipe open for ever."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    ended_at = 0.0
    while True:
        try:
            text = lines.get(timeout=_INTERVAL)
        except queue.Empty:
            text = ""
        else:
            if text is None:
                break
            line(text)
        now = time.monotonic()
        if not ended_at and process.poll() is not None:
            ended_at = now
        if ended_at and not text and now > ended_at + _LAST_WORDS:
            return
        if not ended_at and now > deadline:
            raise TimeoutPassed
    process.wait(max(_PATIENCE, deadline - time.monotonic()))


def _read(stream: IO[str] | None, lines: queue.SimpleQueue[str | None]) -> None:
    assert stream is not None
    with stream:
        for text in stream:
            lines.put(text.rstrip("\r\n"))
    lines.put(None)


def end_orphan(record: str) -> bool:
    """End the program that a killed command of ours left running; True if there was one.

    The caller holds the lock under which it was started, so nobody waits for it any more.
    """
    document = records.read_json(record)
    if document is None:
        return False
    pid, start = document.get("pid"), document.get("started")
    alive = False
    if isinstance(pid, int) and pid > 1 and isinstance(start, str) and start:
        alive = started(pid) == start
        if alive:
            _end_group(pid, start)
    records.forget(record)
    return alive


def started(pid: int) -> str:
    """When a process started, in words of the system that tell it from a later one with its id; "" if gone."""
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] == "Z" else fields[19]
    elif sys.platform == "win32":  # noqa: RET505
        return ""  # an orphan is waited for there, not ended
    else:
        done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return done.stdout.strip()


def _own_group() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    else:  # noqa: RET505
        return {"start_new_session": True}


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    _interrupt(process.pid)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        _kill(process.pid)
        process.wait()


def _end_group(pid: int, start: str) -> None:
    _interrupt(pid)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if started(pid) != start:
            return
        time.sleep(_INTERVAL)
    _kill(pid)


def _interrupt(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            os.kill(pid, signal.CTRL_BREAK_EVENT)
        else:
            os.killpg(pid, signal.SIGINT)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(pid, signal.SIGKILL)
