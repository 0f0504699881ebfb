"""The steps of a stage, one after the other: what the cache has of them, and by which keys."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
from collections.abc import Iterator

from devbox.build.caching import cache
from devbox.build.failure import StepError
from devbox.build.files.selecting import Selection, select
from devbox.build.planning import keys
from devbox.build.planning.planned import StagePlan
from devbox.build.planning.steps import CopyStep, RunStep, Source, Step, WorkdirStep
from devbox.build.site import Site, State
from devbox.errors import DevboxError, HostError, StoreError
from devbox.image.config import LAYERS_MAX
from devbox.store.database import Store


class Unknown(Exception):  # noqa: N818
    """Whether a step is in the cache depends on what takes time to find out."""


class Bench:
    """Knows one stage's steps in one thread, which has the store for itself."""

    def __init__(self, site: Site, store: Store, plan: StagePlan) -> None:
        self.site = site
        self.store = store
        self.plan = plan
        self.memos = cache.Memos(store)
        self._selections: dict[object, Selection] = {}

    def found(self, state: State, step: Step) -> State | None:
        """The state after a step that is in the cache; None when it is not, or must not be taken from it.

        Raises Unknown rather than waiting for another stage or for a server.
        """
        if step.fresh:
            return None
        if _is_remote(step) or any(self._is_open(source) for source in _sources(step)):
            raise Unknown
        with self.explained(state, step):
            key = self.key(state, step)
        known = self.known(key)
        if known is None:
            return None
        self.site.end_step(self.site.begin(step.title), "cached")
        return self.after(state, step, key, known)

    def known(self, key: str) -> cache.Step | None:
        """The step with a key in the cache, or in one that was carried here."""
        carried = self.site.settings.carried
        return cache.find(self.store, key) or (carried.find(self.store, key) if carried is not None else None)

    def _is_open(self, source: Source) -> bool:
        return source.kind == "stage" and self.site.known(source.stage) is None

    def after(self, state: State, step: Step, key: str, made: cache.Step) -> State:
        """The state with what a step has made on top."""
        self.site.use(key, synced=made.synced)
        if made.layer is None:
            return state._replace(bare=state.bare | {step.history})
        if len(state.layers) >= LAYERS_MAX:
            raise StepError(
                f"an image has at most {LAYERS_MAX} layers", step.span, hint="put several commands into one RUN"
            )
        return State((*state.layers, made.layer), keys.after(state.chain, made.result), state.bare)

    def key(self, state: State, step: Step) -> str:
        """What a step is found by; waits for the stages that it reads."""
        moment = self.plan.moment
        match step.action:
            case RunStep():
                return keys.of_run(step.action, state.chain, moment, self._identify)
            case WorkdirStep():
                return keys.of_workdir(step.action, state.chain, moment)
            case CopyStep():
                return keys.of_copy(step.action, state.chain, moment, self.files(step.action))

    def _identify(self, source: Source, path: str) -> str:
        if source.kind == "context":
            return self.selected(source, (path,)).digest
        return f"{self.site.identity(source)} {path}"

    def files(self, action: CopyStep) -> str:
        """What stands for the files of a COPY before they are looked at: their digest only for a context's."""
        if action.origin.kind == "context":
            return self.selected(action.origin, action.sources, action.excludes, parents=action.parents).digest
        return keys.of_selection(action, self.site.identity(action.origin))

    def selected(
        self, origin: Source, sources: tuple[str, ...], excludes: tuple[str, ...] = (), *, parents: bool = False
    ) -> Selection:
        """Files of a context, found and hashed once."""
        asked = (origin, sources, excludes, parents)
        if asked not in self._selections:
            context = self.site.settings.contexts[origin.name]
            self._selections[asked] = select(
                context.fd,
                sources,
                matcher=context.matcher,
                excludes=excludes,
                parents=parents,
                memo=self.memos,
                check=self.site.stop.check,
            )
        return self._selections[asked]

    @contextlib.contextmanager
    def explained(self, state: State, step: Step) -> Iterator[None]:
        """Failures of a step as such: where it stands."""
        try:
            yield
        except (StepError, StoreError, HostError):
            raise
        except DevboxError as error:
            raise StepError(error.message, step.span, hint=error.hint, state=state.layers) from error


def _sources(step: Step) -> Iterator[Source]:
    """What a step reads besides its own stage's files."""
    match step.action:
        case CopyStep():
            yield step.action.origin
        case RunStep():
            yield from (mount.origin for mount in step.action.mounts)


def _is_remote(step: Step) -> bool:
    return isinstance(step.action, CopyStep) and step.action.remote
