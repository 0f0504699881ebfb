"""A directory of this host that is kept the same as one on a machine's own disk, in both directions, by Unison.

Unison runs here as a child of the broker and reaches its other half through it. Which names have changed here it
asks our monitor, a thread of this process, so that we know when all of them have been brought over.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import IO

from devbox.errors import DevboxError, HostError
from devbox.machine import process, records
from devbox.machine.mirroring import ignorefile, unison
from devbox.machine.mirroring.monitor import Monitor
from devbox.machine.shared import Planned

_RETRY = 2.0
_MOST = 1000
"""conflicts that are remembered"""
_READ = 64 << 10


class Mirror:
    """One of them; a thread keeps Unison running while the machine can be reached."""

    def __init__(self, machine: str, share: Planned, directory: str, reachable: threading.Event) -> None:
        self.share, self._machine, self._directory, self._reachable = share, machine, directory, reachable
        self._changed = threading.Condition()
        self._monitor: Monitor | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._finished = 0
        self._failure = ""
        self._rebuild = self._over = False
        self._conflicts: dict[str, None] = {}
        threading.Thread(target=self._keep, daemon=True).start()

    def settle(self, waiting: Callable[[], None]) -> None:
        """Return when what has changed here until now is in the machine; `waiting` is called every second.

        HostError when it cannot be brought there.
        """
        wanted, watched = 0, None
        while True:
            with self._changed:
                if self._monitor is not watched:
                    watched = self._monitor
                    wanted = watched.covered() if watched is not None else 0
                if self._failure or self._over:
                    why = self._failure or "it has ended"
                    raise HostError(f"the mirror of {self.share.host} is not up to date: {why}")
                if watched is not None and self._finished >= wanted:
                    return
                told = self._changed.wait(1.0)
            if not told:
                waiting()

    def end(self) -> None:
        """Stop; what is on either side stays."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._stop()

    def _keep(self) -> None:
        """Thread."""
        self._prepare()
        failures = 0
        while not self._over:
            if not self._reachable.wait(_RETRY):
                continue
            self._finished = 0
            try:
                failure = self._run_once()
            except (OSError, DevboxError) as error:
                failure = str(error)
            with self._changed:
                self._monitor = None
                failures = 0 if self._finished or not failure else failures + 1
                if not self._over and failure:
                    if failures > 1:  # a connection may break at any moment
                        self._note(failure)
                    self._changed.wait_for(lambda: self._over, _RETRY)

    def _prepare(self) -> None:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        process.end_orphan(self._record)
        for name in (unison.LAUNCHER, unison.WATCHER):
            path = os.path.join(self._directory, name)
            records.write(path, unison.script(name))
            os.chmod(path, 0o700)
        if not os.path.exists(self._identity):
            records.write(self._identity, secrets.token_hex(16))

    def _run_once(self) -> str:
        """Unison from its start to its end; what was wrong, if anything."""
        if shutil.which("unison") is None:
            return "unison is not installed here: sudo apt-get install unison, or brew install unison"
        once, self._rebuild = self._rebuild, False
        rules = _Rules(self.share.host)
        line = unison.argv(self.share.host, self.share.guest, self._directory, rules.words(), once=once)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                child = self._spawn(line, theirs)
            with self._changed:
                self._process, self._finished = child, 0
                self._monitor = None if once else Monitor(ours.fileno(), ours.fileno())
            if self._monitor is not None:
                threading.Thread(target=self._monitor.run, daemon=True).start()
            said = self._listen(child, rules)
            code = child.wait()
            records.forget(self._record)
        expected = self._rebuild or rules.changed() or (once and code == 0)
        return "" if expected else said or f"unison ended with {code}"

    def _spawn(self, line: list[str], theirs: socket.socket) -> subprocess.Popen[bytes]:
        with open(self._identity, encoding="ascii") as file:
            target = {"machine": self._machine, "directory": self.share.guest, "identity": file.read()}
        own = {unison.MONITOR_VARIABLE: str(theirs.fileno()), unison.TARGET_VARIABLE: json.dumps(target)}
        child = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            cwd="/",
            env=os.environ | unison.environment(self._directory, self._directory, host="host", mode="-P") | own,
        )
        records.write_json(self._record, {"pid": child.pid, "started": process.started(child.pid), "argv": line})
        return child

    def _listen(self, child: subprocess.Popen[bytes], rules: _Rules) -> str:
        """Follow what it says to its end; the first failure since it was in step."""
        failure = ""
        assert child.stdout is not None
        with child.stdout:
            for line in _lines(child.stdout):
                said = unison.read(line)
                if said.failure:
                    failure = failure or said.failure
                    sys.stderr.write(f"devbox: {self.share.host}: {failure}\n")
                    sys.stderr.flush()
                with self._changed:
                    self._rebuild = self._rebuild or said.rebuild
                    if said.conflict and len(self._conflicts) < _MOST:
                        self._conflicts[said.conflict] = None
                    if said.ended and self._monitor is not None:
                        failure = ""
                        self._finished = self._monitor.round
                        self._note("")
                if said.ended and rules.changed():
                    self._stop()
        return failure

    def _note(self, failure: str) -> None:
        """Remember how it is, here and for `machine mirror`; with the lock held."""
        self._failure = failure
        state = "failed" if failure else "in step"
        document = {"state": state, "detail": failure, "conflicts": [*self._conflicts]}
        path = os.path.join(self._directory, unison.STATUS)
        if records.read_json(path) != document:
            records.write_json(path, document)
        self._changed.notify_all()

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    @property
    def _record(self) -> str:
        return os.path.join(self._directory, "process.json")

    @property
    def _identity(self) -> str:
        return os.path.join(self._directory, "identity")


class _Rules:
    """What a mirror leaves out, as it was when Unison was started."""

    def __init__(self, host: str) -> None:
        self._path = os.path.join(host, ignorefile.NAME)
        self._text = self._read()

    def words(self) -> list[str]:
        return [*ignorefile.words(ignorefile.parse(self._text, self._path))]

    def changed(self) -> bool:
        return self._read() != self._text

    def _read(self) -> str:
        try:
            with open(self._path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except FileNotFoundError:
            return ""


def _lines(stream: IO[bytes]) -> Iterator[str]:
    rest = b""
    while data := os.read(stream.fileno(), _READ):
        *lines, rest = re.split(rb"[\r\n]", rest + data)
        yield from (line.decode(errors="surrogateescape") for line in lines)
    yield rest.decode(errors="surrogateescape")
