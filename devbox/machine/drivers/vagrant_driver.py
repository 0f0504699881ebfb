"""Machines that Vagrant runs.

A machine's directory has the Vagrantfile (a copy of the template) and machine.json, which it reads; what was
learned of the machine is in small files beside them (see `places`). Vagrant takes seconds, so only what changes
the machine or asks for its state starts it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from typing import Any

from devbox.errors import HostError, NotFoundError, RefusedError, StateError
from devbox.machine import disk, hostkey, locking, places, process, records, shared, shares
from devbox.machine.drivers import box
from devbox.machine.drivers.driver import Capabilities, Endpoint, Progress, Report, State, Status
from devbox.machine.drivers.vagrant_program import Program, VagrantError
from devbox.machine.places import MachinePlace
from devbox.machine.settings import MachineSettings

_STATES = {
    "not_created": State.ABSENT,
    "running": State.RUNNING,
    "poweroff": State.STOPPED,
    "shutoff": State.STOPPED,
    "stopped": State.STOPPED,
    "off": State.STOPPED,
    "aborted": State.STOPPED,
    "saved": State.SUSPENDED,
    "paused": State.SUSPENDED,
    "suspended": State.SUSPENDED,
    "not_running": State.STOPPED,
}
_QUICK = 180.0
"""seconds for questions"""
_SLOW = 1800.0
"""seconds for what changes a machine: a box may have to be unpacked on a slow disk"""
_BOOT = 600
_SSH = 120.0
_LEFT_OVER = ("is already taken", "is already created")


class VagrantDriver:
    """One machine; see `driver.Driver` for what its methods promise."""

    def __init__(self, place: MachinePlace, settings: MachineSettings) -> None:
        self._place = place
        self._settings = settings

    @property
    def name(self) -> str:
        """The name that the user gave it."""
        return self._place.name

    @property
    def capabilities(self) -> Capabilities:
        """vagrant-qemu can do neither of the two that are not everybody's."""
        able = self._settings.provider != "qemu"
        return Capabilities(power=True, suspend=able, snapshots=able)

    def up(self, report: Report) -> Endpoint:
        """Make it if need be, start it, and wait until its SSH server answers."""
        with self._changing("up", report) as waited:
            if waited and (done := self._done_by_another(report)):
                return done
            report(Progress("prepare"))
            planned = shares.plan(self._settings)
            self._write_description(report)
            if self._settings.disk and self._machine_id() and self.status().state is State.STOPPED:
                disk.enlarge(records.read_json(self._place.description) or {}, self._place.directory)
            report(Progress("boot"))
            self._boot(report)
            report(Progress("address"))
            endpoint = self._ask_endpoint(report)
            report(Progress("host key"))
            pinned = self._pin(endpoint)
            if self._settings.disk:
                report(Progress("disk"))
                disk.grow(self._place, pinned)
            if planned:
                report(Progress("shares"))
            shares.mount(self._place, pinned, planned)
            return pinned

    def halt(self, report: Report) -> None:
        """Shut it down."""
        self._change("halt", report, lambda program: program.halt())

    def suspend(self, report: Report) -> None:
        """Stop it and keep its memory; libvirt keeps it in this host's memory."""
        self._need(able=self.capabilities.suspend, what="suspend")
        self._change("suspend", report, lambda program: program.suspend())

    def resume(self, report: Report) -> None:
        """Go on from where it was suspended."""
        self._need(able=self.capabilities.suspend, what="suspend")
        self._change("resume", report, lambda program: program.resume())

    def destroy(self, report: Report) -> None:
        """Delete it with its disk and everything that is remembered of it, except Vagrant's log."""
        if not os.path.isdir(self._place.directory):
            return
        with self._changing("destroy", report):
            report(Progress("destroy"))
            with contextlib.suppress(HostError, StateError):  # it is going, in whatever state it is
                self._unmount()
            if os.path.isfile(self._place.description):
                self._program(report, "destroy", _SLOW).destroy()
            for path in (
                self._place.endpoint,
                self._place.known_hosts,
                self._place.provisioned,
                self._place.shares,
            ):
                records.forget(path)
            for path in (self._place.description, self._place.vagrantfile):
                records.forget(path)
            for path in (os.path.join(self._place.directory, ".vagrant"), self._place.mirrors):
                shutil.rmtree(path, ignore_errors=True)

    def status(self) -> Status:
        """Ask Vagrant."""
        provider = self._settings.provider
        if not os.path.isfile(self._place.description):
            return Status(self.name, State.ABSENT, "vagrant", provider, "not created")
        try:
            found = self._program(_silent, "status", _QUICK).status()
        except HostError as error:
            return Status(self.name, State.UNKNOWN, "vagrant", provider, error.message)
        word = str(found[0].state) if found else "unknown"
        return Status(self.name, _STATES.get(word, State.UNKNOWN), "vagrant", provider, word)

    def endpoint(self, *, refresh: bool = False) -> Endpoint:
        """The address as it was last seen, or as Vagrant says now."""
        known = records.read_endpoint(self._place)
        if known is None or not known.host_key:
            raise NotFoundError(f"machine {self.name!r} is not up", hint=f"devbox machine up {self.name}")
        if not refresh:
            return known
        fresh = self._ask_endpoint(_silent)._replace(host_key=known.host_key)
        records.write_endpoint(self._place, fresh)
        return fresh

    def snapshot_save(self, name: str) -> None:
        """Keep its present state under a name."""
        self._snapshot("snapshot save", lambda program: program.snapshot_save(name))

    def snapshot_restore(self, name: str) -> None:
        """Go back to a kept state."""
        self._snapshot("snapshot restore", lambda program: program.snapshot_restore(name))

    def snapshot_delete(self, name: str) -> None:
        """Drop a kept state."""
        self._snapshot("snapshot delete", lambda program: program.snapshot_delete(name))

    def snapshot_list(self) -> tuple[str, ...]:
        """The names of what is kept."""
        self._need(able=self.capabilities.snapshots, what="keep snapshots")
        self._must_exist()
        lines = self._program(_silent, "snapshot", _QUICK).snapshot_list()
        return tuple(line.strip() for line in lines if line.strip() and not line.startswith("==>"))

    def _snapshot(self, purpose: str, action: Any) -> None:
        self._need(able=self.capabilities.snapshots, what="keep snapshots")
        self._change(purpose, _silent, self._without_shares(action))

    def _without_shares(self, action: Any) -> Any:
        """The action on a machine that has let go of its shares: QEMU keeps no state while it has any."""

        def act(program: Program) -> None:
            self._unmount()
            try:
                action(program)
            finally:
                if (known := self._answering()) is not None:
                    shares.mount(self._place, known, shared.recorded(self._place))

        return act

    def _unmount(self) -> None:
        if (known := self._answering()) is not None:
            shares.unmount(self._place, known)

    def _answering(self) -> Endpoint | None:
        """Its address, if something answers there: a machine that is off or asleep has nothing mounted."""
        from devbox.machine import connection

        known = records.read_endpoint(self._place)
        return known if known is not None and connection.answers(known) else None

    def _change(self, purpose: str, report: Report, action: Any) -> None:
        self._must_exist()
        with self._changing(purpose, report):
            report(Progress(purpose))
            action(self._program(report, purpose, _SLOW))

    @contextlib.contextmanager
    def _changing(self, purpose: str, report: Report) -> Iterator[bool]:
        """Be the only one who changes the machine, after whatever a killed command left has ended."""

        def waiting(owner: str) -> None:
            report(Progress("wait", f"waiting for {owner}"))

        with locking.locked(self._place.lock, f"devbox machine {purpose}", waiting) as waited:
            if process.end_orphan(self._place.running):
                report(Progress("clean up", "ended the vagrant of a devbox that was killed"))
            yield waited

    def _program(self, report: Report, phase: str, timeout: float) -> Program:
        return Program(self._place, self._settings.provider, lambda text: report(Progress(phase, text)), timeout)

    def _must_exist(self) -> None:
        if not os.path.isfile(self._place.description):
            raise StateError(
                f"machine {self.name!r} does not exist", hint=f"devbox machine up {self.name} makes it"
            )

    def _need(self, *, able: bool, what: str) -> None:
        if not able:
            raise StateError(f"machines of the provider {self._settings.provider} cannot {what}")

    def _done_by_another(self, report: Report) -> Endpoint | None:
        """The result of the `up` that was waited for, if it is one and the machine answers."""
        known = records.read_endpoint(self._place)
        if known is None or not known.host_key or self.status().state is not State.RUNNING:
            return None
        report(Progress("wait", "it was started meanwhile"))
        hostkey.check(known, _SSH)
        return known

    def _boot(self, report: Report) -> None:
        program = self._program(report, "boot", _SLOW)
        try:
            program.up(provider=self._settings.provider)
        except VagrantError as error:
            # killed between making the disk or the domain and noting its id: nothing of Vagrant's knows it
            if self._machine_id() or not any(sign in error.output for sign in _LEFT_OVER):
                raise
            report(Progress("boot", "an interrupted start left a disk behind: starting afresh"))
            self._write_description(report, fresh=True)
            program.up(provider=self._settings.provider)

    def _write_description(self, report: Report, *, fresh: bool = False) -> None:
        known = records.read_json(self._place.description)
        old = {} if fresh or known is None else known
        document = self._description(old, self._box_name(report))
        os.makedirs(self._place.directory, mode=0o700, exist_ok=True)
        if document["session"]:
            os.makedirs(document["pool"], mode=0o700, exist_ok=True)
        records.write_json(self._place.description, document)
        with open(_template(), encoding="utf-8") as template:
            records.write(self._place.vagrantfile, template.read())

    def _description(self, old: dict[str, Any], box_name: str) -> dict[str, Any]:
        settings = self._settings
        return {
            "provider": settings.provider,
            "box": box_name,
            "hostname": f"devbox-{self.name}",
            "cpus": settings.cpus,
            "memory": settings.memory,
            "disk": settings.disk,
            "boot_timeout": _BOOT,
            "accelerated": settings.acceleration == "auto" and _accelerated(),
            "session": settings.connection == "session",
            "pool": places.pool_directory(),
            # kept: a machine must not change its name or its port between two starts
            "prefix": old.get("prefix") or f"devbox_{self.name}_{secrets.token_hex(4)}_",
            "ssh_port": old.get("ssh_port") or _free_port(),
            "arch": "aarch64" if _architecture() == "arm64" else "x86_64",
            "host": sys.platform,
            "shares": [share.document() for share in shares.plan(settings) if share.kind != shared.MIRROR],
        }

    def _box_name(self, report: Report) -> str:
        wanted = self._settings.box
        if not wanted:
            raise HostError(
                "the settings name no box for the machine",
                hint="build one with provision/box.sh and write its path to `box` of the machine in machines.toml",
            )
        if not wanted.startswith(box.NETWORK) and not os.path.isabs(wanted):
            return wanted  # Vagrant has it
        report(Progress("box", wanted))
        checksum = self._settings.box_sha256
        if box.is_metadata(wanted):
            named = box.found(wanted, self._settings.provider, _architecture())
            if checksum and checksum != named.sha256:
                raise RefusedError(f"{wanted} names the box {named.sha256}, and the settings want {checksum}")
            wanted, checksum = named
        if not checksum:
            checksum = box.digest(wanted)
        name = f"devbox-{checksum[:16]}"
        home = os.environ.get("VAGRANT_HOME") or os.path.join(os.path.expanduser("~"), ".vagrant.d")
        if not os.path.isdir(os.path.join(home, "boxes", name)):
            os.makedirs(self._place.directory, mode=0o700, exist_ok=True)
            self._add_box(report, name, wanted, checksum)
        return name

    def _add_box(self, report: Report, name: str, source: str, checksum: str) -> None:
        """Give Vagrant a box; one from the network is brought here first, to be looked into."""
        fetched = os.path.join(self._place.directory, "fetched.box") if source.startswith(box.NETWORK) else ""
        try:
            if fetched:
                box.fetch(source, checksum, fetched, lambda text: report(Progress("box", text)))
            box.check(fetched or source, checksum)
            words = ["box", "add", "--force", "--name", name, "--checksum-type", "sha256", "--checksum", checksum]
            self._program(report, "box", _SLOW)._call_vagrant_command([*words, fetched or source])
        finally:
            if fetched:
                records.forget(fetched)

    def _ask_endpoint(self, report: Report) -> Endpoint:
        found = self._program(report, "address", _QUICK).conf()
        try:
            return Endpoint(found["HostName"], int(found["Port"]), found["User"], found["IdentityFile"])
        except (KeyError, ValueError) as error:
            raise HostError(f"vagrant ssh-config gave no address: {error}") from error

    def _pin(self, endpoint: Endpoint) -> Endpoint:
        """Remember the host key of a machine that was just made; of an older one it must be the same."""
        made = self._machine_id()
        known = records.read_json(self._place.provisioned) or {}
        if known.get("id") == made and known.get("host_key"):
            pinned = endpoint._replace(host_key=str(known["host_key"]))
            hostkey.check(pinned, _SSH)
        else:
            pinned = endpoint._replace(host_key=hostkey.fetch(endpoint.host, endpoint.port, _SSH))
            records.write_json(self._place.provisioned, {"id": made, "host_key": pinned.host_key})
        records.write_endpoint(self._place, pinned)
        return pinned

    def _machine_id(self) -> str:
        """The provider's id of the machine, by which a new one differs from the old; "" when there is none."""
        parts = (".vagrant", "machines", "default", self._settings.provider, "id")
        try:
            with open(os.path.join(self._place.directory, *parts), encoding="utf-8") as file:
                return file.read().strip()
        except FileNotFoundError:
            return ""


def _silent(progress: Progress) -> None:
    """Nobody wants to know."""


def _accelerated() -> bool:
    return sys.platform != "linux" or os.access("/dev/kvm", os.R_OK | os.W_OK)


def _architecture() -> str:
    """As Debian calls it."""
    import platform

    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "amd64"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def _template() -> str:
    """Installed it lies beside this file; in a checkout at the top."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    beside = os.path.join(here, "Vagrantfile.template")
    return beside if os.path.isfile(beside) else os.path.join(here, "..", "..", "Vagrantfile.template")
