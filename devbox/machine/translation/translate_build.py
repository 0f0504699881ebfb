"""Options of build that name files of the host in forms of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol

from devbox.model.mount_parse import fields, joined

_SOURCE = ("src", "source")


class Carrier(Protocol):
    """What a translation does with a path."""

    def read(self, path: str, name: str) -> str:
        """Mapped, or sent."""

    def tree(self, path: str, name: str) -> str:
        """Mapped, or sent without what is ignored."""

    def result(self, path: str, name: str) -> str:
        """Mapped, or fetched."""


def is_elsewhere(source: str) -> bool:
    """A context that is no directory of the host: a stream, a URL, an image."""
    return source == "-" or "://" in source or source.startswith(("git@", "github.com/"))


def context(carrier: Carrier, source: str, name: str) -> str:
    """DIRECTORY, FILE, URL or -."""
    return source if is_elsewhere(source) else carrier.tree(source, name)


def named_context(carrier: Carrier, text: str) -> str:
    """--build-context NAME=SOURCE."""
    name, equals, source = text.partition("=")
    return text if not equals or is_elsewhere(source) else f"{name}={carrier.tree(source, 'build_context')}"


def secrets(carrier: Carrier, texts: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str, ...]:
    """--secret: a file is mapped or sent; a variable travels with the others, see request.asked_for."""
    return tuple(_secret(carrier, text, environ) for text in texts)


def _secret(carrier: Carrier, text: str, environ: Mapping[str, str]) -> str:
    values = dict(field.partition("=")[::2] for field in fields(text, "--secret"))
    source = next((values[key] for key in _SOURCE if key in values), "")
    name = values.get("id", "")
    if values.get("type") == "env" or values.get("env") or (not source and name in environ):
        return text
    name = name or os.path.basename(source)
    return _csv({"id": name, "src": carrier.read(source or name, "secret")})


def cache(text: str, carry: Callable[[str, str], str], name: str) -> str:
    """--cache-from, --cache-to: a directory of the host is carried."""
    option = "--" + name.replace("_", "-")
    values = dict(field.partition("=")[::2] for field in fields(text, option))
    key = next((key for key in (*_SOURCE[:1], "dest") if values.get(key)), "")
    return _csv(values | {key: carry(values[key], name)}) if values.get("type") == "local" and key else text


def output(carrier: Carrier, text: str) -> str:
    """--output: what is written to a file or directory of the host is mapped or fetched."""
    if text == "-":
        return text
    if "=" not in text:
        return carrier.result(text, "output")
    values = dict(field.partition("=")[::2] for field in fields(text, "--output"))
    if values.get("dest", "-") == "-":
        return text
    return _csv(values | {"dest": carrier.result(values["dest"], "output")})


def _csv(values: Mapping[str, str]) -> str:
    return joined(f"{key}={value}" for key, value in values.items())
