"""The process that holds the connection to a machine; hidden, for nobody to type."""

from __future__ import annotations

from devbox.cli.context import Context
from devbox.model.invocation import Invocation


def serve(_: Context, invocation: Invocation) -> int:
    """Serve the listening socket that is our stdin until nobody has needed it for a while."""
    from devbox.machine import broker, connection, direct, places, registry

    place = places.machine(invocation.text("machine"))
    owned = broker.Owned(place, int(invocation.text("inode")), invocation.text("stamp"))
    ours = registry.driver(place.name).capabilities.power
    way = broker.Way(
        connect=lambda: direct.connect(place.name),
        again=lambda: connection.connect(registry.endpoint(place.name)),
        ours=ours,
    )
    broker.serve(owned, way)
    return 0
