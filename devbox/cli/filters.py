"""Values of --filter: KEY=VALUE, with docker's keys for each listing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping

from devbox.cli.units import parse_time
from devbox.errors import UsageError
from devbox.model.truth import truth

Filters = Mapping[str, tuple[str, ...]]
Prunable = Callable[[float, Mapping[str, str]], bool]
"""asked with when something was made, and its labels"""


def parse_filters(values: Iterable[str], allowed: Iterable[str]) -> Filters:
    """Group values by key; UsageError for a key that is not allowed, naming those that are."""
    known = tuple(allowed)
    found: dict[str, tuple[str, ...]] = {}
    for text in values:
        key, equals, value = text.partition("=")
        key = key.strip().lower()
        if not equals:
            raise UsageError(f"invalid filter {text!r}", hint="write it as KEY=VALUE")
        if key not in known:
            raise UsageError(f"invalid filter {key!r}", hint=f"there are {', '.join(sorted(known))}")
        found[key] = (*found.get(key, ()), value.strip())
    return found


def matches(filters: Filters, key: str, *texts: str) -> bool:
    """Whether any text equals a value of the key, or has a match of it as a regular expression."""
    values = filters.get(key)
    return not values or any(value == text or _search(value, text) for value in values for text in texts)


def _search(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False


def equals(filters: Filters, key: str, *texts: str) -> bool:
    """Whether any text is one of the key's values, if there are any."""
    values = filters.get(key)
    return not values or any(text in values for text in texts)


def labels_match(filters: Filters, labels: Mapping[str, str]) -> bool:
    """Whether all wanted labels, KEY or KEY=VALUE, are there."""
    for wanted in filters.get("label", ()):
        name, has_value, value = wanted.partition("=")
        if name not in labels or (has_value and labels[name] != value):
            return False
    return True


def boolean(filters: Filters, key: str) -> bool | None:
    """The truth of a key such as `dangling`, None when it is not asked for."""
    said = {truth(value) for value in filters.get(key, ())}
    if len(said) > 1 or said == {None}:
        raise UsageError(f"the filter {key} is true or false", hint=f"write {key}=true")
    return said.pop() if said else None


def prunable(filters: Filters) -> Prunable:
    """Whether something that was made at a time and has labels is to go: the keys until, label and label!."""
    before = min((parse_time(text, "--filter until") for text in filters.get("until", ())), default=time.time())
    spared = filters.get("label!", ())

    def wanted(created: float, labels: Mapping[str, str]) -> bool:
        kept = any(labels_match({"label": (label,)}, labels) for label in spared)
        return created <= before and labels_match(filters, labels) and not kept

    return wanted
