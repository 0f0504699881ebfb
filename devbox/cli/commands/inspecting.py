"""inspect, for objects of any kind."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import functools
from collections.abc import Callable, Sequence
from typing import Any

from devbox.cli.context import Context
from devbox.cli.output import documents
from devbox.errors import DevboxError, NotFoundError, UsageError
from devbox.model.invocation import Invocation
from devbox.store.database import Store

_KINDS = ("container", "image", "network", "volume")
Document = dict[str, Any]


def inspect(context: Context, invocation: Invocation) -> int:
    """Print the documents of all that were found; the others are reported and make the command fail."""
    references = next(value for value in invocation.params.values() if isinstance(value, tuple))
    find = _remote(context, invocation) if invocation.params.get("remote") else _local(context, invocation)
    found: list[Document] = []
    errors: list[DevboxError] = []
    for reference in references:
        try:
            found.append(find(reference))
        except DevboxError as error:
            errors.append(error)
    documents(context, invocation, found)
    return max((context.report(failure) for failure in errors), default=0)


def _local(context: Context, invocation: Invocation) -> Callable[[str], Document]:
    container = functools.partial(_container, sized=bool(invocation.params.get("size")))
    chosen = [_MAKERS.get(kind, container) for kind in _kinds(invocation)]
    store = context.reconciled()
    return lambda reference: _document(store, reference, chosen)


def _remote(context: Context, invocation: Invocation) -> Callable[[str], Document]:
    from devbox.cli.documents.remote import document
    from devbox.model.reference import parse
    from devbox.registry import repository as registry

    def find(reference: str) -> Document:
        insecure = invocation.flag("insecure")
        repository, manifest = registry.find(parse(reference), context.environ, insecure=insecure)
        try:
            return document(repository, manifest, invocation.text("platform"))
        finally:
            repository.close()

    return find


def _kinds(invocation: Invocation) -> tuple[str, ...]:
    noun = invocation.command[0]
    if noun != "inspect":
        return (noun,)
    wanted = invocation.text("type")
    if not wanted:
        return _KINDS
    if wanted not in _KINDS:
        raise UsageError(f"{wanted!r} is not a type of object", hint=f"there are {', '.join(_KINDS)}")
    return (wanted,)


def _document(store: Store, reference: str, makers: Sequence[Callable[[Store, str], Document]]) -> Document:
    for make in makers:
        try:
            return make(store, reference)
        except NotFoundError as error:
            missing = error
        except UsageError as error:
            # a name of one kind need not be well-formed for another
            if len(makers) == 1:
                raise
            missing = NotFoundError(error.message)
    if len(makers) == 1:
        raise missing
    raise NotFoundError(f"no such object: {reference}", hint="devbox has containers, images, networks and volumes")


def _container(store: Store, reference: str, *, sized: bool) -> Document:
    from devbox.cli.documents.container import document
    from devbox.container import records

    return document(store, records.get(store, reference), sized=sized)


def _image(store: Store, reference: str) -> Document:
    from devbox.cli.documents.image import document
    from devbox.image import catalog

    return document(store, catalog.find(store, reference))


def _network(store: Store, reference: str) -> Document:
    from devbox.cli.documents.network import document
    from devbox.network import networks

    return document(store, networks.get(store, reference))


def _volume(store: Store, reference: str) -> Document:
    from devbox.cli.documents.volume import document
    from devbox.volume import volumes

    return document(volumes.get(store, reference))


_MAKERS: dict[str, Callable[[Store, str], Document]] = {
    "image": _image,
    "network": _network,
    "volume": _volume,
}
