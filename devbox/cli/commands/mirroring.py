"""The programs that Unison starts for a mirror, and its half in the machine; hidden, for nobody to type."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import os

from devbox.cli.context import Context
from devbox.errors import HostError
from devbox.model.invocation import Invocation
from devbox.store.root import Root


def link(context: Context, invocation: Invocation) -> int:
    """Be the way to the machine's half, for the Unison of a broker: through that broker, and no other."""
    from devbox.machine import broker_link, request
    from devbox.machine.client import Client
    from devbox.machine.mirroring import unison
    from devbox.machine.request import Request, Terminal

    target = json.loads(context.environ[unison.TARGET_VARIABLE])
    found = broker_link.join(target["machine"])
    if found is None:
        raise HostError(f"the broker of machine {target['machine']!r} has ended")
    words = invocation.many("words")
    params = {
        "directory": target["directory"],
        "identity": target["identity"],
        "words": words[words.index("-server") :],
    }
    wanted = Request(Invocation(("internal", "mirrored"), params), "/", {}, Terminal())
    client = Client(found)
    try:
        client.greet()
        return client.run(request.encode(wanted), wanted.terminal, stdin=True, agents={}).code
    finally:
        client.close()


def monitor(context: Context, _: Invocation) -> int:
    """Tell Unison what changes: in the machine ourselves, on a host its broker by way of us."""
    from devbox.machine.mirroring import relay, unison

    number = context.environ.get(unison.MONITOR_VARIABLE)
    if number is not None:
        relay.run(int(number))
        return 0
    from devbox.machine.mirroring.monitor import Monitor

    Monitor(0, 1).run()
    return 0


def mirrored(_: Context, invocation: Invocation) -> int:
    """Be the machine's half of a mirror."""
    from devbox.machine.guest import mirrored as half

    memory = os.path.join(Root.from_environment().mirrors, os.path.basename(invocation.text("identity")))
    half.serve(invocation.text("directory"), memory, invocation.many("words"))
