"""What the demo is played with: devbox's own commands as a person types them, their output, checks and times."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

from devbox.cli.context import Context
from devbox.cli.escape import escape
from devbox.errors import DevboxError
from devbox.machine import process, target

WIDTH = 100
_SIGNALS = [signal.SIGINT, signal.SIGTERM]
if sys.platform != "win32":
    _SIGNALS.append(signal.SIGHUP)


class ExpectationError(DevboxError):
    """Something is not as the demo promises."""

    exit_code = 1


class Stage:
    """Runs commands, shows them, and keeps the time of each step."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._environ = dict(context.environ) | ({target.VARIABLE: context.machine} if context.machine else {})
        self._child: process.Running | None = None
        self._starting = self._interrupted_at_start = False
        self.times: list[tuple[str, float]] = []

    def say(self, text: str = "") -> None:
        """Print a line at once."""
        self._context.out(text)
        self._context.flush()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step with its title, timed."""
        self.say(f"\n{len(self.times) + 1}. {title}")
        began = time.monotonic()
        yield
        self.times.append((title, time.monotonic() - began))

    def devbox(self, *words: str, show: Callable[[str], bool] = bool, shown: bool = True) -> str:
        """Run a devbox command and return its output; of that, the lines that `show` wants are printed."""
        if shown:
            self.say(_typed("devbox", *words))
        status, output = self.run(*words, line=lambda line: self._show(line) if shown and show(line) else None)
        if status != 0:
            lines = output.splitlines() or [""]
            reason = next((line for line in lines if line.startswith("devbox: ")), lines[-1]).removeprefix(
                "devbox: "
            )
            raise ExpectationError(f"'devbox {shlex.join(words)}' failed with status {status}: {reason}")
        return output.strip()

    def run(self, *words: str, line: Callable[[str], object] = bool) -> tuple[int, str]:
        """Run a devbox command, whatever comes of it; its status and output."""
        child = self._start([sys.executable, "-P", "-m", "devbox", *words])
        assert child.stdout is not None
        lines = []
        try:
            if self._interrupted_at_start:
                self._interrupted_at_start = False
                self._interrupt()
            for text in child.stdout:
                lines.append(text)
                line(text.rstrip())
        finally:
            status = child.wait()
            child.stdout.close()
            self._child = None
        return status, "".join(lines)

    def _start(self, argv: list[str]) -> process.Running:
        """Start a command in a session of its own, where a Ctrl-C meant for us does not reach it."""
        self._starting = True
        try:
            self._child = process.begin(argv, self._environ)
        finally:
            self._starting = False
        return self._child

    def _interrupt(self) -> None:
        """End the running command, and what we are doing; from now on nothing else interrupts us."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if self._starting:
            self._interrupted_at_start = True
            return
        if self._child:
            self._child.terminate()
        raise KeyboardInterrupt

    def expect(self, truth: object, sentence: str, *, instead: str = "") -> None:
        """Print what was checked, or fail with it."""
        if not truth:
            found = f", but: {' '.join(instead.split())}" if instead else ""
            raise ExpectationError(f"the demo expected that {sentence}{found}")
        self.say(f"   ok: {sentence}")

    def eventually(self, attempt: Callable[[], str], wanted: str, *, seconds: float = 60) -> str:
        """Repeat an attempt until its answer holds what is wanted; ExpectationError after so many seconds."""
        deadline = time.monotonic() + seconds
        while wanted not in (answer := attempt()):
            if time.monotonic() > deadline:
                last = answer.strip()
                raise ExpectationError(f"no {wanted!r} within {seconds:.0f} s, the last answer was: {last}")
            time.sleep(0.1)
        return answer

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Ctrl-C, a hang-up and a polite kill end the block, and the command that runs in it, in the same way."""

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            self._interrupt()

        before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Nothing interrupts the block: it cleans up."""
        before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _show(self, line: str) -> None:
        self.say(f"     {escape(line)}")


def _typed(*words: str) -> str:
    """A command line as one types it, broken between words where it is long."""
    lines = ["   $"]
    for word in map(shlex.quote, words):
        if len(lines[-1]) + len(word) > WIDTH:
            lines[-1] += " \\"
            lines.append("      ")
        lines[-1] += f" {word}"
    return "\n".join(lines)
