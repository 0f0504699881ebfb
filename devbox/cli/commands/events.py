"""events: what happened, and what happens."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import time
from collections.abc import Callable
from typing import Any

from devbox.cli.context import Context
from devbox.cli.escape import escape_cell
from devbox.cli.filters import Filters, labels_match, parse_filters
from devbox.cli.output import for_terminal
from devbox.cli.templates.values import GoMap, go_json
from devbox.cli.units import parse_time
from devbox.model.invocation import Invocation
from devbox.store import journal
from devbox.store.journal import Event

_KINDS = ("container", "image", "network", "volume")
_KEYS = ("type", "event", "label", "daemon", "scope", *_KINDS)


class _Document(dict[str, Any]):
    """An event's JSON, which a template asks by the names of Go's fields."""

    _GO_NAMES = {"Time": "time", "TimeNano": "timeNano", "Scope": "scope"}  # noqa: RUF012

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, self._GO_NAMES.get(str(key), key))

    def __missing__(self, key: str) -> Any:
        return self[self._GO_NAMES[key]]


def events(context: Context, invocation: Invocation) -> int:
    """Print events, those of the past first where --since asks for them."""
    filters = parse_filters(invocation.many("filter"), _KEYS)
    since, until = (
        parse_time(text, f"--{name}") if (text := invocation.optional(name)) else None
        for name in ("since", "until")
    )
    show = _shower(invocation.text("format"))
    for event in journal.read(context.reconciled(), since=since, until=until):
        if _matches(filters, event):
            context.out(show(event))
            context.flush()
    return 0


def _shower(wanted: str) -> Callable[[Event], str]:
    if not wanted:
        return _line
    if wanted in ("json", "{{json .}}"):
        return lambda event: go_json(_document(event))
    from devbox.cli.templates.template import Template

    template = Template(wanted)
    return lambda event: for_terminal(template.render(_document(event)))


def _line(event: Event) -> str:
    shown = sorted(event.attributes.items())
    attributes = f" ({', '.join(f'{name}={value}' for name, value in shown)})" if shown else ""
    return escape_cell(f"{_moment(event.at)} {event.type} {event.action} {event.actor}{attributes}")


def _moment(at: float) -> str:
    whole, micro = divmod(round(at * 1_000_000), 1_000_000)
    local = time.localtime(whole)
    zone = time.strftime("%z", local)
    shown = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + f".{micro:06}000" + shown


def _document(event: Event) -> dict[str, Any]:
    nanoseconds = round(event.at * 1_000_000) * 1000
    return _Document(
        Type=event.type,
        Action=event.action,
        Actor={"ID": event.actor, "Attributes": GoMap(event.attributes)},
        scope="local",
        time=nanoseconds // 1_000_000_000,
        timeNano=nanoseconds,
    )


def _matches(filters: Filters, event: Event) -> bool:
    actions = filters.get("event")
    return (
        event.type in filters.get("type", (event.type,))
        and (not actions or any(event.action == name or event.action.startswith(name + ":") for name in actions))
        and "local" in filters.get("scope", ("local",))
        and labels_match(filters, event.attributes)
        and all(_concerns(event, kind, filters[kind]) for kind in _KINDS if kind in filters)
    )


def _concerns(event: Event, kind: str, names: tuple[str, ...]) -> bool:
    if event.type != kind:
        # docker: --filter image=redis also shows the events of its containers
        image = event.attributes.get("image", "")
        return kind == "image" and not {image, image.rpartition(":")[0]}.isdisjoint(names)
    known = (event.actor.removeprefix("sha256:"), event.attributes.get("name", ""))
    return any(text.startswith(name.removeprefix("sha256:")) for name in names for text in known)
