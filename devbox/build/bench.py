"""The steps of a stage, one after the other: found in the cache, or made and put there."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterator

from devbox.build import cache, chmod, copy, executor, keys
from devbox.build.failure import StepError
from devbox.build.netns import StageNetwork
from devbox.build.plan import StagePlan
from devbox.build.selecting import Selection, select
from devbox.build.site import Printer, Site, State
from devbox.build.steps import CopyStep, RunStep, Source, Step, WorkdirStep
from devbox.build.stop import StoppedError
from devbox.errors import DevboxError, HostError, StoreError
from devbox.image.config import LAYERS_MAX
from devbox.store.database import Store
from devbox.system.walk import opened

_TAIL_LINES = 15
_TITLE_MAX = 160


class Unknown(Exception):  # noqa: N818
    """Whether a step is in the cache depends on a stage that is not complete."""


class Bench:
    """Works on one stage in one thread, which has the store for itself."""

    def __init__(self, site: Site, store: Store, plan: StagePlan) -> None:
        self._site = site
        self._store = store
        self._plan = plan
        self.memos = cache.Memos(store)
        self._network = StageNetwork(store)
        self._selections: dict[object, Selection] = {}
        self._shop = executor.Workshop(
            store=store,
            network=self._network,
            stop=site.stop,
            given=site.settings.given,
            moment=plan.moment,
            layers_of=site.layers,
            context=self._show_context,
            debug=site.settings.debug,
        )

    def close(self) -> None:
        """Give back the network."""
        self._network.close()

    # --- from the cache

    def found(self, state: State, step: Step) -> State | None:
        """The state after a step that is in the cache; None when it is not, or must not be taken from it.

        Raises Unknown rather than waiting for another stage.
        """
        if step.fresh:
            return None
        for source in _sources(step):
            if source.kind == "stage" and self._site.known(source.stage) is None:
                raise Unknown
        with self._explained(state, step, None):
            key = self._key(state, step)
        known = cache.find(self._store, key)
        if known is None:
            return None
        self._site.end_step(self._site.begin(step.title), "cached")
        return self._after(state, step, key, known)

    def _after(self, state: State, step: Step, key: str, made: cache.Step) -> State:
        self._site.use(key, synced=made.synced)
        if made.layer is None:
            return state._replace(bare=state.bare | {step.history})
        if len(state.layers) >= LAYERS_MAX:
            raise StepError(
                f"an image has at most {LAYERS_MAX} layers", step.span, hint="put several commands into one RUN"
            )
        return State((*state.layers, made.layer), keys.after(state.chain, made.result), state.bare)

    def _key(self, state: State, step: Step) -> str:
        moment = self._plan.moment
        match step.action:
            case RunStep():
                return keys.of_run(step.action, state.chain, moment, self._identify)
            case WorkdirStep():
                return keys.of_workdir(step.action, state.chain, moment)
            case CopyStep():
                return keys.of_copy(step.action, state.chain, moment, self._files(step.action))

    def _identify(self, source: Source, path: str) -> str:
        if source.kind == "context":
            return self._select(source, (path,)).digest
        return f"{self._site.identity(source)} {path}"

    def _files(self, action: CopyStep) -> str:
        """What stands for the files of a COPY before they are looked at: their digest only for a context's."""
        if action.origin.kind == "context":
            return self._selected(action).digest
        return keys.of_selection(action, self._site.identity(action.origin))

    # --- made

    def made(self, state: State, step: Step) -> State:
        """The state after a step, which is made unless the cache has it."""
        with self._explained(state, step, None):
            key = self._key(state, step)  # waits for the stages that it copies from
        number = self._site.begin(step.title)
        printer = self._site.printer(number)
        try:
            with self._explained(state, step, printer):
                known = self._find_or_make(state, step, key, printer)
        except StoppedError:
            self._site.end_step(number, "stopped")
            raise
        except BaseException:
            self._site.end_step(number, "failed")
            raise
        self._site.end_step(number, "cached" if known[1] else "done")
        return self._after(state, step, key, known[0])

    def _find_or_make(self, state: State, step: Step, key: str, printer: Printer) -> tuple[cache.Step, bool]:
        with cache.only(self._store, key, self._site.stop.check):
            known = None if step.fresh else cache.find(self._store, key)
            if known is not None:
                return known, True
            match step.action:
                case RunStep():
                    return self._run(state, step, key, printer), False
                case WorkdirStep():
                    return self._workdir(state, step, key), False
                case CopyStep():
                    if step.action.origin.kind == "context":
                        return self._copy_context(state, step, key), False
                    return self._copy_tree(state, step, key)

    def _run(self, state: State, step: Step, key: str, printer: Printer) -> cache.Step:
        assert isinstance(step.action, RunStep)
        with executor.ran(self._shop, step.action, state.layers, printer) as made:
            # what a program does may differ each time: steps after it are for this very layer only
            return cache.add(self._store, key, step.what, result=os.urandom(32).hex(), made=made)

    def _workdir(self, state: State, step: Step, key: str) -> cache.Step:
        action = step.action
        assert isinstance(action, WorkdirStep)
        with executor.written(
            self._shop, state.layers, lambda root: executor.make_workdir(root, action), fixed=True
        ) as made:
            return cache.add(self._store, key, step.what, result=key, made=made)

    def _copy_context(self, state: State, step: Step, key: str) -> cache.Step:
        assert isinstance(step.action, CopyStep)
        return self._write(state, step, key, self._selected(step.action))

    def _copy_tree(self, state: State, step: Step, key: str) -> tuple[cache.Step, bool]:
        """A COPY --from: the same files from another build of their stage are the same step."""
        action = step.action
        assert isinstance(action, CopyStep)
        with executor.shown(self._shop, action.origin) as tree:
            selection = select(
                tree,
                action.sources,
                excludes=action.excludes,
                parents=action.parents,
                keep_owner=True,
                check=self._site.stop.check,
            )
            inner = keys.of_copy(action, state.chain, self._plan.moment, selection.digest)
            known = None if step.fresh else cache.find(self._store, inner)
            if known is None:
                made = self._write(state, step, inner, selection)
            self._site.use(inner, synced=False)
        cache.alias(self._store, key, known or made, step.what)
        return known or made, known is not None

    def _write(self, state: State, step: Step, key: str, selection: Selection) -> cache.Step:
        action = step.action
        assert isinstance(action, CopyStep)
        fixed = action.origin.kind == "context"

        def write(root: int) -> None:
            own = (0, 0) if fixed else None
            how = copy.How(
                owner=executor.owner_of(root, action.owner) or own,
                mode=chmod.read(action.mode) if action.mode else None,
                keep_times=not fixed,
                foreign=not fixed,
            )
            if selection.origins:
                copy.write(selection, root, action.destination, how, self._site.stop.check)
            for file in action.inline:
                text = file.content.encode(errors="surrogateescape")
                copy.write_file(root, action.destination, file.name, text, how)

        layers = () if keys.is_apart(action) else state.layers
        with executor.written(self._shop, layers, write, fixed=fixed) as made:
            return cache.add(self._store, key, step.what, result=key, made=made)

    # --- contexts

    def _selected(self, action: CopyStep) -> Selection:
        return self._select(action.origin, action.sources, action.excludes, parents=action.parents)

    def _select(
        self, origin: Source, sources: tuple[str, ...], excludes: tuple[str, ...] = (), *, parents: bool = False
    ) -> Selection:
        asked = (origin, sources, excludes, parents)
        if asked not in self._selections:
            context = self._site.settings.contexts[origin.name]
            self._selections[asked] = select(
                context.fd,
                sources,
                matcher=context.matcher,
                excludes=excludes,
                parents=parents,
                memo=self.memos,
                check=self._site.stop.check,
            )
        return self._selections[asked]

    def _show_context(self, name: str, place: str) -> str:
        """A context as RUN --mount=type=bind sees it: what is excluded is not there."""
        selection = self._select(Source("context", name), ("/",))
        root = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with opened(root):
            copy.write(selection, root, "/", copy.How(owner=(0, 0), keep_times=True), self._site.stop.check)
        return place

    # --- failures

    @contextlib.contextmanager
    def _explained(self, state: State, step: Step, printer: Printer | None) -> Iterator[None]:
        """Failures of the step as such: where it stands, and the last lines of what it said."""
        try:
            yield
        except executor.ExitError as error:
            assert printer is not None
            printer.finish()
            lines = "\n".join(f"| {line}" for line in printer.tail(_TAIL_LINES))
            raise StepError(
                f"{_shortened(step.title)} failed with exit code {error.status}", step.span,
                hint=lines or "it printed nothing", state=state.layers,
            ) from error  # fmt: skip
        except (StepError, StoreError, HostError):
            raise
        except DevboxError as error:
            raise StepError(error.message, step.span, hint=error.hint, state=state.layers) from error
        if printer is not None:
            printer.finish()


def _sources(step: Step) -> Iterator[Source]:
    """What a step reads besides its own stage's files."""
    match step.action:
        case CopyStep():
            yield step.action.origin
        case RunStep():
            yield from (mount.origin for mount in step.action.mounts)


def _shortened(title: str) -> str:
    first = title.partition("] ")[2].split("\n", 1)[0]
    return first if len(first) <= _TITLE_MAX else first[: _TITLE_MAX - 3] + "..."
