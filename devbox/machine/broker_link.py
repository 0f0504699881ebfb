"""The way to a machine through the broker of this user, which is started when there is none.

Windows has no such sockets in Python, so each command connects by itself there.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys

from devbox.errors import RefusedError
from devbox.machine import frames, locking, places, ship
from devbox.machine.frames import Frame, Kind
from devbox.machine.places import MachinePlace

NEVER = "DEVBOX_NO_BROKER"
"""variable: connect without a broker"""
_READ = 256 << 10
_TICK = 1.0
_PATH_MAX = 100
"""bytes that the name of a socket may have on every system"""


class SocketLink:
    """Bytes to and from an agent through the broker."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, data: bytes) -> None:
        """All of it; OSError when the broker is gone."""
        self._socket.sendall(data)

    def receive(self) -> bytes | None:
        """What has arrived; None when nothing does for a second, b"" at the end."""
        if not select.select([self._socket], [], [], _TICK)[0]:
            return None
        return self._socket.recv(_READ)

    def complaint(self) -> str:
        """Only a broker that was killed says nothing."""
        return "its broker has ended"

    def close(self) -> None:
        """Leave the broker."""
        self._socket.close()


if sys.platform == "win32":

    def connect(name: str) -> SocketLink | None:
        """None: there can be no broker."""
        return None

    def join(name: str) -> SocketLink | None:
        """None."""
        return None

    def restart(name: str) -> SocketLink | None:
        """None."""
        return None

    def begin(name: str) -> None:
        """Nothing to do."""

    def dismiss(name: str) -> None:
        """Nothing to do."""

else:

    def connect(name: str) -> SocketLink | None:
        """A link to the machine's broker; None where there can be none."""
        place = places.machine(name)
        if len(os.fsencode(place.socket)) > _PATH_MAX or not os.path.isdir(place.directory):
            return None
        found = _join(place)
        if found is None:
            with locking.locked(place.broker_lock, "starting the broker", lambda _: None):
                found = _join(place) or _start(place, ship.stamp())
        return SocketLink(found)

    def join(name: str) -> SocketLink | None:
        """A link to the broker that there is; None when there is none."""
        found = _join(places.machine(name))
        return None if found is None else SocketLink(found)

    def restart(name: str) -> SocketLink | None:
        """As `connect`, but with a broker of this devbox, in place of one of another version."""
        place = places.machine(name)
        with locking.locked(place.broker_lock, "starting the broker", lambda _: None):
            return SocketLink(_start(place, ship.stamp()))

    def begin(name: str) -> None:
        """See that there is a broker, and do not wait until it has connected."""
        link = connect(name)
        if link is not None:
            link.close()

    def dismiss(name: str) -> None:
        """End the broker and what runs through it: the machine is to stop."""
        found = _join(places.machine(name))
        if found is not None:
            with found, contextlib.suppress(OSError):
                found.sendall(frames.encode(Frame(Kind.CLOSE, 0, b"now")))
                while found.recv(_READ):
                    pass

    def _join(place: MachinePlace) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if os.lstat(place.socket).st_uid != os.geteuid():
                raise RefusedError(f"{place.socket} belongs to another user", hint="delete it")
            connection.connect(place.socket)
        except (FileNotFoundError, ConnectionRefusedError):  # never started, or killed
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        return connection

    def _start(place: MachinePlace, stamp: str) -> socket.socket:
        """Make the socket and the broker that serves it; what connects meanwhile waits in the queue."""
        new = f"{place.socket}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            before = os.umask(0o177)
            try:
                listener.bind(new)
            finally:
                os.umask(before)
            listener.listen(64)
            inode = os.stat(new).st_ino
            os.rename(new, place.socket)
            _spawn(place, listener, inode, stamp)
        found = _join(place)
        if found is None:
            raise ConnectionRefusedError("the broker does not listen")
        return found

    def _spawn(place: MachinePlace, listener: socket.socket, inode: int, stamp: str) -> None:
        import subprocess

        log = os.open(place.broker_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            subprocess.Popen(
                [sys.executable, "-P", "-m", "devbox", "internal", "broker", place.name, str(inode), stamp],
                stdin=listener.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(log)
