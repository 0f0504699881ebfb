"""How the mirrors of a machine are."""

from __future__ import annotations

import json

from devbox.cli.context import Context
from devbox.model.invocation import Invocation


def show(context: Context, invocation: Invocation) -> int:
    """Print how each mirror is, and its conflicts; 1 when one does not work."""
    from devbox.cli.escape import escape_json
    from devbox.machine import broker_link, places, settings
    from devbox.machine.mirroring import mirrors

    place = places.machine(settings.machine(invocation.text("name"), context.cwd).name)
    found = mirrors.known(place)
    broker = broker_link.join(place.name)
    if broker is None:
        found = [each | {"state": "stopped"} for each in found]
    else:
        broker.close()
    if invocation.flag("json"):
        context.out(escape_json(json.dumps(found, ensure_ascii=False, indent=4)))
        return 0
    for each in found:
        detail = f": {each['detail']}" if each["detail"] else ""
        context.out(f"{each['host']} -> {each['guest']}: {each['state']}{detail}")
        for path in each["conflicts"]:
            context.out(f"  changed on both sides: {path}")
    return 1 if any(each["state"] == "failed" for each in found) else 0
