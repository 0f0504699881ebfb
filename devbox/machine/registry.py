"""From a machine's name to its driver and its address."""

from __future__ import annotations

from devbox.errors import NotFoundError
from devbox.machine import places, records
from devbox.machine.drivers.driver import Driver, Endpoint


def driver(name: str, cwd: str = "") -> Driver:
    """The driver of a machine, "" being the default one; `cwd` tells whose project's wishes count."""
    from devbox.machine import settings

    wanted = settings.machine(name, cwd)
    if wanted.address:
        from devbox.machine.drivers.ssh_driver import SshDriver

        return SshDriver(places.machine(wanted.name), wanted)
    from devbox.machine.drivers.vagrant_driver import VagrantDriver

    return VagrantDriver(places.machine(wanted.name), wanted)


def endpoint(name: str, *, refresh: bool = False) -> Endpoint:
    """The machine's address from the disk; `refresh` asks its driver, which starts a program and takes seconds.

    NotFoundError when it was never up.
    """
    if refresh:
        return driver(name).endpoint(refresh=True)
    known = records.read_endpoint(places.machine(name))
    if known is None:
        raise NotFoundError(f"machine {name!r} is not up", hint=f"devbox machine up {name}")
    return known
