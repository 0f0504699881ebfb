"""A Linux host that is there already, reached by SSH: devbox neither makes nor stops it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import NoReturn

from devbox.errors import HostError, NotFoundError, RefusedError, UsageError
from devbox.machine import hostkey, records, shares
from devbox.machine.drivers.driver import Capabilities, Endpoint, Progress, Report, State, Status
from devbox.machine.places import MachinePlace
from devbox.machine.settings import MachineSettings
from devbox.machine.settings_parse import ADDRESS

_PATIENCE = 10.0


class SshDriver:
    """A machine of the kind `address = "ssh://USER@HOST:PORT"`."""

    capabilities = Capabilities()

    def __init__(self, place: MachinePlace, settings: MachineSettings) -> None:
        self._place, self._settings = place, settings

    @property
    def name(self) -> str:
        """The name that the user gave it."""
        return self._place.name

    def up(self, report: Report) -> Endpoint:
        """See that it answers and shows the right key, and remember both."""
        planned = shares.plan(self._settings._replace(shares=()))
        report(Progress("host key"))
        found = self._address()
        shown = hostkey.fetch(found.host, found.port, _PATIENCE)
        self._check(found, shown)
        pinned = found._replace(host_key=shown)
        records.write_endpoint(self._place, pinned)
        shares.mount(self._place, pinned, planned)
        return pinned

    def status(self) -> Status:
        """Whether its SSH server answers."""
        found = self._address()
        try:
            hostkey.fetch(found.host, found.port, 0)
        except HostError as error:
            return Status(self.name, State.UNKNOWN, "ssh", detail=error.message)
        return Status(self.name, State.RUNNING, "ssh", detail=State.RUNNING.value)

    def endpoint(self, *, refresh: bool = False) -> Endpoint:
        """The address with the pinned key; `refresh` reads the settings again."""
        known = records.read_endpoint(self._place)
        if known is None:
            raise NotFoundError(f"machine {self.name!r} is not up", hint=f"devbox machine up {self.name}")
        return self._address()._replace(host_key=known.host_key) if refresh else known

    def destroy(self, report: Report) -> None:
        """Forget its address and key; the host itself stays as it is."""
        report(Progress("forget"))
        for path in (self._place.endpoint, self._place.known_hosts, self._place.shares):
            records.forget(path)
        shutil.rmtree(self._place.mirrors, ignore_errors=True)

    def halt(self, report: Report) -> None:
        """Refused: it is not ours."""
        self._refuse("shut down")

    def suspend(self, report: Report) -> None:
        """Refused: it is not ours."""
        self._refuse("suspended")

    def resume(self, report: Report) -> None:
        """Refused: it is not ours."""
        self._refuse("resumed")

    def snapshot_save(self, name: str) -> None:
        """Refused: it is not ours."""
        self._refuse("kept as a snapshot")

    snapshot_restore = snapshot_delete = snapshot_save

    def snapshot_list(self) -> tuple[str, ...]:
        """None."""
        return ()

    def _refuse(self, done: str) -> NoReturn:
        raise UsageError(f"machine {self.name!r} is a host that devbox did not make, so it cannot be {done}")

    def _address(self) -> Endpoint:
        match = ADDRESS.fullmatch(self._settings.address)
        assert match, "the settings are checked"
        host = match["host"].strip("[]")
        key = os.path.abspath(self._settings.key) if self._settings.key else ""
        return Endpoint(host, int(match["port"] or 22), match["user"], key)

    def _check(self, found: Endpoint, shown: str) -> None:
        wanted = self._settings.host_key or _known(found)
        shown_as = hostkey.fingerprint(shown)
        if not wanted:
            raise RefusedError(
                f"the key of the SSH server at {found.host}:{found.port} is not known: it shows {shown_as}",
                hint=f'if that is right, add to its settings: host_key = "{shown_as}"',
            )
        wanted_as = wanted if wanted.startswith("SHA256:") else hostkey.fingerprint(wanted)
        if wanted_as != shown_as:
            raise RefusedError(
                f"the SSH server at {found.host}:{found.port} shows another key than it should: "
                f"{shown_as} instead of {wanted_as}",
                hint="somebody may be listening in; if the host was made anew, correct host_key in its settings",
            )


def _known(found: Endpoint) -> str:
    """The key in the user's own known_hosts, of the kind that we ask for first; "" for none."""
    import paramiko

    path = os.path.expanduser("~/.ssh/known_hosts")
    if not os.path.isfile(path):
        return ""
    name = found.host if found.port == 22 else f"[{found.host}]:{found.port}"
    known: Mapping[str, paramiko.PKey] = paramiko.HostKeys(path).lookup(name) or {}
    for kind in ("ssh-ed25519", *known):
        if kind in known:
            return f"{kind} {known[kind].get_base64()}"
    return ""
