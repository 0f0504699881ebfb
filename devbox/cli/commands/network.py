"""network create, ls, rm, connect, disconnect and prune."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import re
from collections.abc import Sequence
from typing import Any

from devbox.cli.context import Context
from devbox.cli.filters import Filters, boolean, equals, labels_match, matches, parse_filters, prunable
from devbox.cli.output import listing, report_deleted
from devbox.cli.units import local_time
from devbox.container import locks, records
from devbox.errors import NotFoundError, UsageError
from devbox.model.invocation import Invocation
from devbox.model.network import EndpointWish, Network
from devbox.model.network_parse import ALIAS, parse_link
from devbox.network import attachments, networks
from devbox.store.database import Store

_COLUMNS = (("ID", "NETWORK ID"), ("Name", "NAME"), ("Driver", "DRIVER"), ("Scope", "SCOPE"))


def create(context: Context, invocation: Invocation) -> int:
    """Make a network and print its id."""
    labels = _pairs(invocation.many("label"), "--label", needs_value=False)
    options = _pairs(invocation.many("opt"), "--opt", needs_value=True)
    network = networks.create(
        context.store,
        invocation.text("name"),
        driver=invocation.text("driver"),
        subnet=invocation.text("subnet"),
        gateway=invocation.text("gateway"),
        ip_range=invocation.text("ip_range"),
        internal=invocation.flag("internal"),
        labels=labels,
        options=options,
    )
    context.out(network.id)
    return 0


def ls(context: Context, invocation: Invocation) -> int:
    """List networks by name."""
    store = context.reconciled()
    names = ("driver", "id", "name", "label", "scope", "type", "dangling")
    filters = parse_filters(invocation.many("filter"), names)
    found = sorted(networks.every(store), key=lambda network: network.name)
    rows = [
        _row(network, whole=invocation.flag("no_trunc")) for network in found if _matches(store, network, filters)
    ]
    listing(context, invocation, rows, columns=_COLUMNS)
    return 0


def rm(context: Context, invocation: Invocation) -> int:
    """Remove networks that no container is connected to."""
    store = context.reconciled()

    def remove(name: str) -> str:
        try:
            networks.remove(store, name)
        except NotFoundError:
            if not invocation.flag("force"):
                raise
        return name

    return context.each(invocation.many("networks"), remove)


def connect(context: Context, invocation: Invocation) -> int:
    """Let a container join a network."""
    aliases = invocation.many("alias")
    for alias in aliases:
        if not re.fullmatch(ALIAS, alias):
            raise UsageError(f"invalid network alias {alias!r}", hint="it is a host name")
    links = [parse_link(text) for text in invocation.many("link")]
    wish = EndpointWish(invocation.text("network"), aliases, invocation.text("ip"))
    store = context.reconciled()
    container = records.resolve(store, invocation.text("container"))
    with locks.operation(store.root, container):
        attachments.connect(store, container, wish, links)
    return 0


def disconnect(context: Context, invocation: Invocation) -> int:
    """Take a container off a network."""
    store = context.reconciled()
    container = records.resolve(store, invocation.text("container"))
    with locks.operation(store.root, container):
        attachments.disconnect(store, container, invocation.text("network"), force=invocation.flag("force"))
    return 0


def prune(context: Context, invocation: Invocation) -> int:
    """Remove the networks that nothing uses, after asking."""
    filters = parse_filters(invocation.many("filter"), ("label", "label!", "until"))
    warning = "WARNING! This will remove all custom networks not used by at least one container."
    if not invocation.flag("force") and not context.confirm(warning):
        return 0
    store = context.reconciled()
    wanted = prunable(filters)
    report_deleted(
        context, "Networks", networks.prune(store, lambda network: wanted(network.created, network.labels))
    )
    return 0


def _pairs(texts: Sequence[str], option: str, *, needs_value: bool) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or (needs_value and not equals):
            raise UsageError(f"invalid {option} {text!r}", hint="write it as KEY=VALUE")
        pairs[key] = value
    return pairs


def _row(network: Network, *, whole: bool) -> dict[str, Any]:
    return {
        "CreatedAt": local_time(network.created),
        "Driver": network.driver,
        "ID": network.id if whole else network.id[:12],
        "IPv6": "false",
        "Internal": str(network.internal).lower(),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(network.labels.items())),
        "Label": lambda name: network.labels.get(name, ""),
        "Name": network.name,
        "Scope": "local",
    }


def _matches(store: Store, network: Network, filters: Filters) -> bool:
    kind = "custom" if networks.is_user_defined(network) else "builtin"
    dangling = boolean(filters, "dangling")
    return (
        equals(filters, "driver", network.driver)
        and any(network.id.startswith(value) for value in filters.get("id", ("",)))
        and matches(filters, "name", network.name)
        and equals(filters, "scope", "local")
        and equals(filters, "type", kind)
        and labels_match(filters, network.labels)
        and dangling in (None, kind == "custom" and not networks.members(store, network))
    )
