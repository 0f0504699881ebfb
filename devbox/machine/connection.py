"""One SSH connection to a machine, by paramiko, and the agent at its other end."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import stat
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import paramiko
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout
from paramiko.common import cMSG_CHANNEL_WINDOW_ADJUST
from paramiko.pkey import UnknownKeyType

from devbox.errors import HostError, MachineGoneError, RefusedError
from devbox.machine import hostkey, ship
from devbox.machine.drivers.driver import Endpoint

if TYPE_CHECKING:
    from paramiko.channel import Channel
    from paramiko.transport import Transport

_PATIENCE = 10.0
"""seconds for each step of connecting"""
_INSTALL_PATIENCE = 180.0
"""seconds for a slow machine to write and compile devbox"""
_TICK = 1.0
_READ = 256 << 10
_WINDOW = 4 << 20
_PACKET = 128 << 10
"""of SSH; the usual 32 KiB cost Python four times as many turns, and OpenSSH takes up to 256"""
_NEVER = 1 << 50
"""bytes until paramiko wants new keys, in the middle of which it dead-locks; OpenSSH asks for them in time"""


class _ReadingAhead(socket.socket):
    """Asks the kernel for much, where paramiko asks for the head of a packet, its body and a time-out for each."""

    _ahead, _at = b"", 0

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Up to that many bytes."""
        if self._at == len(self._ahead):
            self._ahead, self._at = super().recv(_READ, flags), 0
        data = self._ahead[self._at : self._at + bufsize]
        self._at += len(data)
        return data


class Arrived(BufferedPipe):  # type: ignore[type-arg]
    """What has come on a channel, a packet at a time; paramiko's own buffer copies every byte three times."""

    def __init__(self) -> None:
        super().__init__()
        self._packets: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._first = b""
        self._sink: Callable[[bytes], None] = self._packets.put
        self._changing = threading.Lock()

    def feed(self, data: bytes) -> None:
        """Called by paramiko's thread."""
        if data:
            with self._changing:
                self._sink(data)

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        """The next packet or a part of it, b"" at the end; PipeTimeout."""
        if not self._first:
            try:
                self._first = self._packets.get(timeout=timeout)
            except queue.Empty:
                raise PipeTimeout from None
            if not self._first:
                self._packets.put(b"")
        data, self._first = self._first[:nbytes], self._first[nbytes:]
        return data

    def divert(self, sink: Callable[[bytes], None]) -> None:
        """Hand over what has come and what will come, b"" at the end; nothing is read any more."""
        with self._changing:
            if self._first:
                sink(self._first)
            while not self._packets.empty():
                sink(self._packets.get())
            self._sink = sink

    def close(self) -> None:
        """Nothing more comes."""
        with self._changing:
            self._sink(b"")


class ChannelLink:
    """Bytes to and from the agent."""

    def __init__(self, transport: Transport, channel: Channel) -> None:
        self._transport, self._channel = transport, channel
        self._early = b""
        self._taken = self._granted = 0
        """bytes that a listener was given, and those of them that may be sent anew"""
        self._arrived = channel.in_buffer = Arrived()
        channel.settimeout(_TICK)

    def send(self, data: bytes) -> None:
        """All of it; OSError when the connection is gone."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._channel.send(view) :]  # type: ignore[arg-type]
            except TimeoutError:
                if not self._transport.is_active():
                    raise ConnectionResetError("the connection is closed") from None
            except (paramiko.SSHException, EOFError) as error:
                raise ConnectionResetError(_said(error)) from error

    def receive(self) -> bytes | None:
        """What has arrived; None when nothing does for a second, b"" at the end."""
        if self._early:
            early, self._early = self._early, b""
            return early
        try:
            return self._channel.recv(_READ)
        except TimeoutError:
            return None

    def listen(self, sink: Callable[[bytes], None]) -> None:
        """Have what arrives handed over in the thread that deciphers it: changing threads is what costs most.

        The sink gets b"" at the end and must not wait. Somebody has to call `grant` now and then.
        """

        def take(data: bytes) -> None:
            self._taken += len(data)
            sink(data)

        if self._early:
            sink(self._early)
        self._arrived.divert(take)

    def grant(self) -> None:
        """Let the other side send as much as was taken since; in any thread but the deciphering one."""
        taken = self._taken - self._granted
        if taken < _WINDOW // 16:
            return
        self._granted += taken
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_WINDOW_ADJUST)
        message.add_int(self._channel.remote_chanid)
        message.add_int(taken)
        self._transport._send_user_message(message)  # type: ignore[attr-defined] # as Channel.recv does

    def dial(self, address: str, port: int, peer: tuple[str, int]) -> Channel:
        """A connection to an address in the machine; OSError when nobody listens there."""
        try:
            return self._transport.open_channel("direct-tcpip", (address, port), peer, _WINDOW, timeout=_PATIENCE)
        except (paramiko.SSHException, EOFError) as error:
            raise ConnectionRefusedError(_said(error)) from error

    def complaint(self) -> str:
        """What the other side wrote to stderr in the end."""
        with contextlib.suppress(OSError):
            lines = self._channel.recv_stderr(65536).decode(errors="replace").split("\n")
            said = [line for line in lines if line.strip()][-1:]
            if said:
                return said[0]
        return str(self._transport.get_exception() or "")

    def close(self) -> None:
        """Give the connection up."""
        self._transport.close()

    def become_agent(self, shipped: ship.Package) -> None:
        """Install what is missing and start the agent."""
        self._channel.settimeout(_INSTALL_PATIENCE)
        try:
            self._early = ship.install(_Exchange(self), shipped)
        finally:
            self._channel.settimeout(_TICK)


class _Exchange:
    """The link as `ship` wants it."""

    def __init__(self, link: ChannelLink) -> None:
        self._link = link
        self.send = link.send

    def read(self) -> bytes:
        data = self._link.receive()
        if data is None:
            raise MachineGoneError("the machine's Python does not answer")
        return data or self._link.complaint().encode()


def connect(endpoint: Endpoint) -> ChannelLink:
    """Log in with the pinned host key checked first, and start the agent there.

    MachineGoneError when nothing answers, RefusedError for another host key, HostError for the rest.
    """
    hostkey.quiet()
    transport = _transport(endpoint)
    try:
        _check_host_key(transport, endpoint)
        _authenticate(transport, endpoint)
        channel = transport.open_session(_WINDOW, _PACKET, timeout=_PATIENCE)
        sudo = "" if endpoint.user == "root" else "sudo -n "
        channel.exec_command(sudo + ship.COMMAND)
        link = ChannelLink(transport, channel)
        link.become_agent(ship.package())
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        raise HostError(f"the SSH server at {_where(endpoint)} does not serve us: {_said(error)}") from error
    except BaseException:
        transport.close()
        raise
    return link


def answers(endpoint: Endpoint) -> bool:
    """Whether an SSH server is there and speaks."""
    try:
        with socket.create_connection((endpoint.host, endpoint.port), 2.0) as connection:
            connection.settimeout(2.0)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _transport(endpoint: Endpoint) -> Transport:
    try:
        connection = socket.create_connection((endpoint.host, endpoint.port), _PATIENCE)
    except OSError as error:
        raise MachineGoneError(f"nothing answers at {_where(endpoint)}: {_said(error)}") from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(_ReadingAhead(fileno=connection.detach()), default_window_size=_WINDOW)
    transport.packetizer.REKEY_BYTES = transport.packetizer.REKEY_PACKETS = _NEVER
    transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = _PATIENCE
    options = transport.get_security_options()
    options.ciphers = _first("aes128-gcm@openssh.com", options.ciphers)
    if endpoint.host_key:
        options.key_types = _first(endpoint.host_key.split()[0], options.key_types)
    try:
        transport.start_client(timeout=_PATIENCE)
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        raise MachineGoneError(f"no SSH server speaks at {_where(endpoint)}: {_said(error)}") from error
    return transport


def _first(wanted: str, known: Sequence[str]) -> list[str]:
    """The same names, with one at the front if it is there."""
    return [*(name for name in known if name == wanted), *(name for name in known if name != wanted)]


def _check_host_key(transport: Transport, endpoint: Endpoint) -> None:
    key = transport.get_remote_server_key()
    shown = f"{key.get_name()} {key.get_base64()}"
    if shown == endpoint.host_key:
        return
    wanted = hostkey.fingerprint(endpoint.host_key) if endpoint.host_key else "one that was pinned"
    raise RefusedError(
        f"the SSH server at {_where(endpoint)} shows another key than the machine's: "
        f"{hostkey.fingerprint(shown)} instead of {wanted}",
        hint="something else listens there, or the machine was made anew: nothing was sent",
    )


def _authenticate(transport: Transport, endpoint: Endpoint) -> None:
    if endpoint.key:
        transport.auth_publickey(endpoint.user, _private_key(endpoint.key))
        return
    for key in paramiko.Agent().get_keys():
        with contextlib.suppress(paramiko.AuthenticationException):
            transport.auth_publickey(endpoint.user, key)
            return
    raise HostError(
        f"no key of your SSH agent opens {_where(endpoint)}", hint="name one in its settings: key = ..."
    )


def _private_key(path: str) -> paramiko.PKey:
    try:
        mode = os.stat(path).st_mode
        if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
            raise RefusedError(f"others may read the private key {path}", hint=f"chmod 600 {path}")
        return paramiko.PKey.from_path(path)
    except (OSError, paramiko.SSHException, UnknownKeyType, ValueError) as error:
        raise HostError(f"the private key {path} cannot be used: {_said(error)}") from error


def _where(endpoint: Endpoint) -> str:
    return f"{endpoint.host}:{endpoint.port}"


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
