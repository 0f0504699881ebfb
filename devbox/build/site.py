"""What the threads of one build share: its progress, its end, and what each stage has come to."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from devbox.build.events import Ended, Outcome, Printed, Started, Tell
from devbox.build.executing.masking import Masker
from devbox.build.executing.stop import Stop, StoppedError
from devbox.build.planning import keys
from devbox.build.planning.planned import Plan
from devbox.build.planning.steps import Given, Source
from devbox.model.ignore import Matcher

if TYPE_CHECKING:
    from devbox.build.caching.carrying import Carried


class State(NamedTuple):
    """The file system that a stage has come to."""

    layers: tuple[int, ...] = ()
    """lowest first"""
    chain: str = ""
    """stands for all that it was made of"""
    bare: frozenset[int] = frozenset()
    """entries of the history whose steps changed no file"""


Debug = Callable[[], contextlib.AbstractContextManager[None]]


class Files(NamedTuple):
    """A context that is open."""

    fd: int
    """of its top directory"""
    matcher: Matcher | None = None
    """what of it is left out"""


class Settings(NamedTuple):
    """What a build is carried out with, besides its plan."""

    given: Given
    contexts: Mapping[str, Files]
    """by name; "" is the main one"""
    tell: Tell
    environ: Mapping[str, str]
    """the caller's variables: git may need their keys and proxies"""
    debug: Debug | None = None
    """what surrounds a shell in a step that failed; without it there is none"""
    carried: Carried | None = None
    """caches from elsewhere"""


class Site:
    """Shared by all threads of a build; what it says of a stage is final."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self.plan = plan
        self.settings = settings
        self.stop = Stop()
        self.failure: BaseException | None = None
        self.ended = threading.Event()
        """the wanted stage is complete, or something has failed"""
        self._lock = threading.Lock()
        self._count = 0
        self._states: dict[int, State] = {}
        self._complete = {stage.number: threading.Event() for stage in plan.stages}
        self.used: dict[str, bool] = {}
        """keys of all steps that were made or found, and whether they are surely on the disk"""

    def complete(self, number: int, state: State) -> None:
        """Say what a stage has come to."""
        self._states[number] = state
        self._complete[number].set()
        if number == self.plan.stages[-1].number:
            self.ended.set()

    def known(self, number: int) -> State | None:
        """What a stage has come to, None while it is being built."""
        return self._states.get(number)

    def state(self, number: int) -> State:
        """What a stage has come to, waiting for it; StoppedError when it never will."""
        self._complete[number].wait()
        self.stop.check()
        return self._states[number]

    def fail(self, error: BaseException) -> None:
        """End the build; the first reason is the one that is told."""
        with self._lock:
            if self.failure is None and not isinstance(error, StoppedError):
                self.failure = error
        self.end()

    def end(self) -> None:
        """Stop every thread."""
        self.stop.now()
        for event in self._complete.values():
            event.set()
        self.ended.set()

    def layers(self, source: Source) -> tuple[int, ...]:
        """The layers of a stage or an image."""
        if source.kind == "stage":
            return self.state(source.stage).layers
        return () if source.kind == "empty" else self.plan.images[source.name].image.layers

    def identity(self, source: Source) -> str:
        """What stands for a stage or an image in keys."""
        if source.kind == "stage":
            return self.state(source.stage).chain
        return "" if source.kind == "empty" else keys.of_image(self.plan.images[source.name].image.diff_ids)

    def beginning(self, source: Source) -> State:
        """The state of a stage that is FROM a source."""
        if source.kind == "stage":
            return self.state(source.stage)
        return State(self.layers(source), self.identity(source))

    def begin(self, title: str) -> int:
        """Tell that a step begins; its number."""
        with self._lock:
            self._count += 1
            number = self._count
        self.settings.tell(Started(number, title, time.time()))
        return number

    def end_step(self, number: int, outcome: Outcome) -> None:
        """Tell that a step has ended."""
        self.settings.tell(Ended(number, outcome, time.time()))

    def use(self, key: str, *, synced: bool) -> None:
        """Note a step that is part of this build."""
        with self._lock:
            self.used[key] = synced

    def printer(self, number: int) -> Printer:
        """Where the output of a step goes."""
        return Printer(self.settings, number)


class Printer:
    """Passes a step's output on without the secrets that are in it, and remembers its last lines."""

    def __init__(self, settings: Settings, number: int) -> None:
        self._settings = settings
        self._number = number
        self._masker = Masker(settings.given.secrets.values())
        self._tail = bytearray()

    def __call__(self, data: bytes) -> None:
        """Pass on what a program printed."""
        self._pass_on(self._masker.feed(data))

    def finish(self) -> None:
        """Pass on what was held back."""
        self._pass_on(self._masker.rest())

    def tail(self, lines: int) -> list[str]:
        """The last lines."""
        text = self._tail.decode(errors="replace").replace("\r\n", "\n")
        return (
            [line.rpartition("\r")[2] for line in text.rstrip("\n").split("\n")][-lines:] if text.strip() else []
        )

    def _pass_on(self, data: bytes) -> None:
        if not data:
            return
        self._tail += data
        del self._tail[: -(16 << 10)]
        self._settings.tell(Printed(self._number, data, time.time()))
