"""A container's own network: taken when it starts, and made while the runtime creates the container."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from typing import NamedTuple

from devbox.model.container import Container
from devbox.model.network import Endpoint
from devbox.network import endpoints, plumbing, ports
from devbox.store.database import Store


class Claim(NamedTuple):
    """What a start has taken for its container."""

    held: tuple[int, ...]
    """sockets that keep its published ports"""
    netns: int
    places: tuple[Endpoint, ...]
    """whose interfaces are made by `connect`: nothing is left of them before"""


def claim(store: Store, container: Container, descriptors: contextlib.ExitStack) -> Claim:
    """Take addresses and ports, and a network namespace; `descriptors` closes what is held at its end.

    Raises ConflictError for what is taken.
    """
    with store.transaction(durable=False):
        places = endpoints.allocate(store, container)
        bindings = ports.claim(store, container, places)
    held = ports.hold(bindings)
    for fd in held:
        descriptors.callback(os.close, fd)
    netns = plumbing.netns_new()
    descriptors.callback(os.close, netns)
    return Claim(tuple(held), netns, places)


def connect(store: Store, container: Container, claim: Claim) -> None:
    """Make the interfaces and the rules: to be done while the runtime creates the container."""
    from devbox.network import firewall

    if claim.held or container.config.endpoints:
        firewall.ensure(store)
    plumbing.connect(store, claim.netns, claim.places)
