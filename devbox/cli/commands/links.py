"""link and unlink: what --link does, between containers that exist already."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.cli.context import Context
from devbox.container import locks, records
from devbox.errors import UsageError
from devbox.model.invocation import Invocation
from devbox.model.network_parse import parse_link
from devbox.network import attachments
from devbox.store.database import Store


def link(context: Context, invocation: Invocation) -> int:
    """Let a container know another by an alias; a running one at once."""
    target, alias = parse_link(invocation.text("target"))
    store = context.reconciled()
    consumer = records.resolve(store, invocation.text("consumer"))
    with locks.operation(store.root, consumer):
        attachments.link(store, consumer, target, alias)
    return 0


def unlink(context: Context, invocation: Invocation) -> int:
    """Remove a link by its alias."""
    remove(context.reconciled(), f"{invocation.text('consumer')}/{invocation.text('alias')}")
    return 0


def remove(store: Store, link: str) -> None:
    """Remove a link by what `ps` calls it: CONTAINER/ALIAS."""
    name, slash, alias = link.removeprefix("/").partition("/")
    if not slash:
        raise UsageError(
            f"{link!r} is no link", hint="write it as CONTAINER/ALIAS; without --link, rm removes containers"
        )
    consumer = records.resolve(store, name)
    with locks.operation(store.root, consumer):
        attachments.unlink(store, consumer, alias)
