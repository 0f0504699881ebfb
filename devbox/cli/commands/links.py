"""link and unlink: what --link does, between containers that exist already."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.cli.context import Context
from devbox.container import locks, records
from devbox.model.invocation import Invocation
from devbox.model.network_parse import parse_link
from devbox.network import attachments


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
    store = context.reconciled()
    consumer = records.resolve(store, invocation.text("consumer"))
    with locks.operation(store.root, consumer):
        attachments.unlink(store, consumer, invocation.text("alias"))
    return 0
