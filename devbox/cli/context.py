"""What a command is given: the store, the way to print, the caller's environment."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from devbox.errors import DevboxError, HostError, NotFoundError

if TYPE_CHECKING:
    if sys.platform == "linux":
        from devbox.store.database import Store
        from devbox.store.root import Root
    else:
        Store: TypeAlias = Any
        Root: TypeAlias = Any

KERNEL_NEEDED = (5, 11)


class Context:
    """The surroundings of one command; the store is opened when it is first asked for."""

    def __init__(self, environ: Mapping[str, str] | None = None, cwd: str | None = None) -> None:
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self._cwd = _working_directory() if cwd is None else cwd
        self._store: Store | None = None
        self._root: Root | None = None
        self.machine: str | None = None
        """in which machine commands shall run, "" being the default one; None is here"""
        self.frees = False
        """whether the command gives room back, and may use what is kept for a full disk"""

    @property
    def cwd(self) -> str:
        """The directory that the caller was in, wherever the command is now."""
        if not self._cwd:
            raise HostError("the working directory is gone", hint="cd to one that exists")
        return self._cwd

    @property
    def store(self) -> Store:
        """The store; HostError where this host or this user cannot have one."""
        if sys.platform == "linux" and self._store is None:
            _check_host(self.environ)
            from devbox.store import reserve
            from devbox.store.database import Store
            from devbox.store.root import Root

            root = self._root or Root.from_environment()
            if self.frees:
                reserve.make_room(root)
            self._store = Store.open(root)
        assert self._store is not None  # main lets no command through elsewhere
        return self._store

    def use_root(self, root: Root) -> None:
        """Take another root than the environment's; before the store is first asked for."""
        self._root = root

    def reconciled(self) -> Store:
        """The store after everything that happened behind its back is booked: what listings look at."""
        if sys.platform == "linux" and os.geteuid() == 0:
            from devbox.container.reconcile import reconcile

            reconcile(self.store)
        return self.store

    def out(self, text: str) -> None:
        """Print one line."""
        sys.stdout.write(text + "\n")

    def raw(self, data: bytes) -> None:
        """Print bytes as they are."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)

    def err(self, text: str) -> None:
        """Print one line to stderr."""
        sys.stdout.flush()
        sys.stderr.write(text + "\n")

    def left(self) -> int:
        """Say what docker says when the user's keys have detached a terminal; the exit code of that."""
        self.err("read escape sequence")
        return 0

    def each(self, names: Iterable[str], action: Callable[[str], object], *, may_be_gone: bool = False) -> int:
        """Do something to each of several objects and go on after a failure, as docker does.

        Prints the name, or the string that the action returned; the exit code is that of a failure. With
        `may_be_gone` one that does not exist is told of and is no failure.
        """
        code = 0
        for name in names:
            try:
                result = action(name)
            except DevboxError as error:
                failed = self.report(error)
                code = code if may_be_gone and isinstance(error, NotFoundError) else failed
            else:
                self.out(result if isinstance(result, str) else name)
        return code

    def report(self, error: DevboxError) -> int:
        """Print an error with its hint and return its exit code."""
        from devbox.cli.escape import escape_below

        lines = f"devbox: {escape_below(error.message)}\n"
        if error.hint:
            lines += f"  {escape_below(error.hint)}\n"
        # what cannot be written has no reader, or is why there is an error
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        with contextlib.suppress(OSError):
            sys.stderr.write(lines)
            sys.stderr.flush()
        return error.exit_code

    def confirm(self, warning: str) -> bool:
        """Show what will happen and ask "y/N" on stdin, as docker's prune does; anything but y is no."""
        sys.stdout.write(f"{warning}\nAre you sure you want to continue? [y/N] ")
        sys.stdout.flush()
        answer = sys.stdin.readline()
        if not answer or not sys.stdin.isatty():
            self.out("")
        return answer.strip().lower() in ("y", "yes")

    def flush(self) -> None:
        """Make everything printed so far visible."""
        sys.stdout.flush()

    def close(self) -> None:
        """Close what was opened."""
        if self._store is not None:
            self._store.close()
            self._store = None


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def _check_host(environ: Mapping[str, str]) -> None:
    if sys.platform == "linux":
        if os.geteuid() != 0 and not environ.get("DEVBOX_ROOT"):
            raise HostError("devbox needs root", hint="run it with sudo")
        from devbox.system.procfs import kernel

        if kernel() < KERNEL_NEEDED:
            raise HostError(f"the kernel {os.uname().release} is too old", hint="devbox needs Linux 5.11 or newer")
