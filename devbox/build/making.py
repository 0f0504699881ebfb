"""The steps of a stage that the cache does not have: made, and put there."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from devbox.build.bench import Bench
from devbox.build.caching import cache
from devbox.build.executing import emulation, executor
from devbox.build.executing.netns import StageNetwork
from devbox.build.executing.stop import StoppedError
from devbox.build.failure import StepError
from devbox.build.files import add, chmod, copy, owner
from devbox.build.files.selecting import Selection, select
from devbox.build.planning import keys
from devbox.build.planning.planned import StagePlan
from devbox.build.planning.steps import CopyStep, RunStep, Source, Step, WorkdirStep
from devbox.build.site import Printer, Site, State
from devbox.store.database import Store
from devbox.system.walk import open_root, opened

_TAIL_LINES = 15
_TITLE_MAX = 160


class _Part(NamedTuple):
    """Files for a COPY or ADD, from one place."""

    selection: Selection
    unpack: bool = False


class Maker(Bench):
    """Makes the steps of one stage in one thread; a context manager."""

    def __init__(self, site: Site, store: Store, plan: StagePlan) -> None:
        super().__init__(site, store, plan)
        self._held = contextlib.ExitStack()
        self._parts: dict[CopyStep, list[_Part]] = {}
        network = StageNetwork(store)
        self._held.callback(network.close)
        self._shop = executor.Workshop(
            store=store,
            network=network,
            stop=site.stop,
            given=site.settings.given,
            moment=plan.moment,
            layers_of=site.layers,
            context=self._show_context,
            debug=site.settings.debug,
        )

    def __enter__(self) -> Maker:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def made(self, state: State, step: Step) -> State:
        """The state after a step, which is made unless the cache has it."""
        with self.explained(state, step):
            key = self.key(state, step)
        number = self.site.begin(step.title)
        printer = self.site.printer(number)
        try:
            with self.explained(state, step), _told(state, step, printer):
                made, cached = self._find_or_make(state, step, key, printer)
        except StoppedError:
            self.site.end_step(number, "stopped")
            raise
        except BaseException:
            self.site.end_step(number, "failed")
            raise
        self.site.end_step(number, "cached" if cached else "done")
        return self.after(state, step, key, made)

    def _find_or_make(self, state: State, step: Step, key: str, printer: Printer) -> tuple[cache.Step, bool]:
        with cache.only(self.store, key, self.site.stop.check):
            known = None if step.fresh else self.known(key)
            if known is not None:
                return known, True
            action = step.action
            if isinstance(action, CopyStep) and action.origin.kind != "context":
                return self._copy_tree(state, step, action, key)
            return self._make(state, step, key, printer), False

    def _make(self, state: State, step: Step, key: str, printer: Printer) -> cache.Step:
        match step.action:
            case RunStep():
                self._check_platform(step)
                with executor.ran(self._shop, step.action, state.layers, printer) as made:
                    # what a program does may differ each time: steps after it are for this very layer only
                    return cache.add(self.store, key, step.what, result=os.urandom(32).hex(), made=made)
            case WorkdirStep():
                with executor.made_workdir(self._shop, step.action, state.layers) as made:
                    return cache.add(self.store, key, step.what, result=key, made=made)
            case CopyStep():
                return self._write(state, step, step.action, key, self._gathered(step.action))

    def _check_platform(self, step: Step) -> None:
        platform = self.plan.platform
        if not emulation.runs(platform.architecture):
            raise StepError(
                f"this machine does not run programs for {platform.name}",
                step.span,
                hint=emulation.advice(platform.architecture),
            )

    def files(self, action: CopyStep) -> str:
        """As of a bench; remote sources are fetched, unless a checksum tells what they are."""
        if not action.remote:
            return super().files(action)
        if action.checksum and add.kind_of(action.sources[0]) == "url":
            return f"{action.checksum} {action.sources[0]}"
        return " ".join(part.selection.digest for part in self._gathered(action))

    def _gathered(self, action: CopyStep) -> list[_Part]:
        if action not in self._parts:
            self._parts[action] = list(self._gather(action))
        return self._parts[action]

    def _gather(self, action: CopyStep) -> Iterator[_Part]:
        if not action.remote:
            yield self._local(action, action.sources)
            return
        for source in action.sources:
            kind = add.kind_of(source)
            if kind == "local":
                yield self._local(action, (source,))
                continue
            obtained = self._held.enter_context(
                add.obtained(
                    self.store.root,
                    source,
                    self.site.settings.environ,
                    checksum=action.checksum,
                    keep_git_dir=action.keep_git_dir,
                    check=self.site.stop.check,
                )
            )
            selection = select(obtained.fd, obtained.sources, check=self.site.stop.check)
            yield _Part(selection, unpack=kind == "url" and action.unpack is True)

    def _local(self, action: CopyStep, sources: tuple[str, ...]) -> _Part:
        selection = self.selected(action.origin, sources, action.excludes, parents=action.parents)
        return _Part(selection, unpack=action.add and action.unpack is not False)

    def _copy_tree(self, state: State, step: Step, action: CopyStep, key: str) -> tuple[cache.Step, bool]:
        """A COPY --from: the same files from another build of their stage are the same step."""
        with executor.shown(self._shop, action.origin) as tree:
            selection = select(
                tree,
                action.sources,
                excludes=action.excludes,
                parents=action.parents,
                keep_owner=True,
                check=self.site.stop.check,
            )
            inner = keys.of_copy(action, state.chain, self.plan.moment, selection.digest)
            known = None if step.fresh else self.known(inner)
            made = known or self._write(state, step, action, inner, [_Part(selection)])
            self.site.use(inner, synced=made.synced)
        cache.alias(self.store, key, made, step.what)
        return made, known is not None

    def _write(self, state: State, step: Step, action: CopyStep, key: str, parts: list[_Part]) -> cache.Step:
        layers = () if keys.is_apart(action) else state.layers
        fixed = action.origin.kind == "context" and not any(part.unpack for part in parts)
        with executor.written(
            self._shop, layers, lambda root: self._write_parts(root, action, parts), fixed=fixed
        ) as made:
            return cache.add(self.store, key, step.what, result=key, made=made)

    def _write_parts(self, root: int, action: CopyStep, parts: list[_Part]) -> None:
        foreign = action.origin.kind != "context"
        wanted = owner.read(root, action.owner) if action.owner else None
        how = copy.How(
            owner=wanted or (None if foreign else (0, 0)),
            mode=chmod.read(action.mode) if action.mode else None,
            keep_times=foreign,
            foreign=foreign,
        )
        check = self.site.stop.check
        for part in parts:
            if part.selection.origins:
                add.write(
                    part.selection, root, action.destination, how,
                    unpack=part.unpack, archive_owner=wanted, check=check,
                )  # fmt: skip
        for file in action.inline:
            text = file.content.encode(errors="surrogateescape")
            copy.write_file(root, action.destination, file.name, text, how)

    def _show_context(self, name: str, path: str, place: str) -> str:
        """A context as RUN --mount=type=bind sees it: what is excluded is not there."""
        source = path.lstrip("/") or "/"
        selection = self.selected(Source("context", name), (source,), parents=source != "/")
        how = copy.How(owner=(0, 0), keep_times=True)
        with opened(open_root(place)) as root:
            copy.write(selection, root, "/", how, self.site.stop.check)
        return place


@contextlib.contextmanager
def _told(state: State, step: Step, printer: Printer) -> Iterator[None]:
    """A program's failure with its last lines."""
    try:
        yield
    except executor.ExitError as error:
        printer.finish()
        lines = "\n".join(f"| {line}" for line in printer.tail(_TAIL_LINES))
        raise StepError(
            f"{_shortened(step.title)} failed with exit code {error.status}",
            step.span,
            hint=lines or "it printed nothing",
            state=state.layers,
        ) from error
    printer.finish()


def _shortened(title: str) -> str:
    first = title.partition("] ")[2].split("\n", 1)[0]
    return first if len(first) <= _TITLE_MAX else first[: _TITLE_MAX - 3] + "..."
