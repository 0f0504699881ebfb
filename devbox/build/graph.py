"""The stages of a plan: what the cache has of them, then the rest, at the same time where one needs no other."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import threading
from typing import TYPE_CHECKING, NamedTuple

from devbox.build.bench import Bench, Unknown
from devbox.build.planning.planned import Plan, StagePlan
from devbox.build.site import Settings, Site, State
from devbox.image import layers
from devbox.image.layers import Prepared
from devbox.store.database import Store

if TYPE_CHECKING:
    from devbox.build.measuring import Measurer


class Built(NamedTuple):
    """What came of a build."""

    state: State
    used: dict[str, bool]
    """keys of its steps, and whether their layers are surely on the disk"""
    memos: list[str]
    measured: dict[int, Prepared]
    """digests of layers, those that were found out meanwhile"""


def carry_out(store: Store, plan: Plan, settings: Settings, *, measure: bool = True) -> Built:
    """Build the stages of a plan. Raises what the first step that failed raised.

    With `measure` the digests of what is made are found out meanwhile.
    """
    site = Site(plan, settings)
    memos: list[str] = []
    remaining = [rest for stage in plan.stages if (rest := _probe(site, store, stage, memos)) is not None]
    measured: dict[int, Prepared] = {}
    if remaining:
        from devbox.build.measuring import Measurer

        with Measurer(store.root) as measurer:
            _run(site, store, remaining, measurer if measure else None, memos)
        measured = measurer.found
    state = site.known(plan.stages[-1].number)
    assert state is not None
    return Built(state, site.used, memos, measured)


class _Remaining(NamedTuple):
    """A stage that is not all in the cache."""

    stage: StagePlan
    state: State | None
    """None: nothing is known of it yet"""
    position: int
    """how many of its steps lie behind that state"""


def _probe(site: Site, store: Store, stage: StagePlan, memos: list[str]) -> _Remaining | None:
    """Go through a stage as far as the cache has it; None when that is to its end."""
    base = stage.base
    if base.kind == "stage" and site.known(base.stage) is None:
        return _Remaining(stage, None, 0)
    state = site.beginning(base)
    for layer in state.layers:
        layers.hold(store, layer)
    site.end_step(site.begin(stage.title), "cached" if base.kind != "empty" else "done")
    bench = Bench(site, store, stage)
    try:
        for position, step in enumerate(stage.steps):
            with contextlib.suppress(Unknown):
                following = bench.found(state, step)
                if following is not None:
                    state = following
                    continue
            return _Remaining(stage, state, position)
    finally:
        memos += bench.memos.used
    site.complete(stage.number, state)
    return None


def _run(
    site: Site, store: Store, remaining: list[_Remaining], measurer: Measurer | None, memos: list[str]
) -> None:
    """Work on stages in a thread each until all are complete or one has failed."""
    wanted = _ancestry(site.plan)
    threads = [
        threading.Thread(
            target=_work, args=(site, store, rest, measurer if rest.stage.number in wanted else None, memos)
        )
        for rest in remaining
    ]
    try:
        for thread in threads:
            thread.start()
        site.ended.wait()
    except BaseException:
        site.end()
        raise
    finally:
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    if site.failure is not None:
        raise site.failure


def _ancestry(plan: Plan) -> frozenset[int]:
    """The stages whose layers become part of the image."""
    bases = {stage.number: stage.base for stage in plan.stages}
    number = plan.stages[-1].number
    found = {number}
    while bases[number].kind == "stage":
        number = bases[number].stage
        found.add(number)
    return frozenset(found)


def _work(site: Site, store: Store, rest: _Remaining, measurer: Measurer | None, memos: list[str]) -> None:
    try:
        with Store.open(store.root) as own:
            site.complete(rest.stage.number, _finish(site, own, rest, measurer, memos))
    except BaseException as error:  # noqa: BLE001 - told by the thread that waits
        site.fail(error)


def _finish(site: Site, store: Store, rest: _Remaining, measurer: Measurer | None, memos: list[str]) -> State:
    from devbox.build.making import Maker

    stage, state = rest.stage, rest.state
    if state is None:
        state = site.beginning(stage.base)
    with Maker(site, store, stage) as maker:
        for step in stage.steps[rest.position :]:
            site.stop.check()
            state = maker.made(state, step)
            if measurer is not None:
                measurer.measure(state.layers[-1:])
        memos += maker.memos.used
    return state
