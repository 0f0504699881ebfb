"""Our streams joined to those of a container's first process, through conmon's attach socket.

conmon sends packets whose first byte names the stream; it waits for a slow client, so no byte is lost. A
connection that is made before the process runs sees its output from the first byte. Keys for a terminal go back
the same way. Other input is written into the process's own pipe, which conmon has open: conmon 2.1.6 never stops
trying to write what a process that closed its input will not read, and takes a whole processor for it.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from devbox.container.streams import keyboard, keys
from devbox.container.streams.pump import Flow, Outlet, pump, reader, writer
from devbox.errors import StateError
from devbox.system import signals, terminal

_STDOUT, _STDERR = 2, 3
_PACKET = 16384
"""more than conmon's longest packet, 8193 bytes"""
_INPUT = 28672
"""less than the 32768 bytes that conmon reads of one packet, the rest of which would be lost"""
_PACKETS_AT_ONCE = 16
_PIPE_FLAGS = os.O_WRONLY | os.O_NONBLOCK
"""of conmon's end of the input; its other pipes are for reading, or may block"""
_CONTROL_LINE = 199
"""bytes; conmon reads as much at once, and of two lines that arrive together it would take the first twice"""
PROXIED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

Ended = Literal["ended", "detached"]
"""the container's streams have ended, or the user left it running"""


class Options(NamedTuple):
    """Which of our streams are joined, and how."""

    tty: bool = False
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    detach_keys: bytes = keys.DEFAULT
    detach_at_end: bool = False
    """leave when our input ends, for a container whose input is to stay open"""


class Session:
    """A client of a container's conmon."""

    def __init__(self, bundle: str) -> None:
        self._bundle = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._pipe = -1
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            # through the descriptor: a path may have 107 bytes only
            self._socket.connect(self._path("attach"))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self.close()
            raise StateError("the container is not running") from error
        self._socket.settimeout(0)

    def close(self) -> None:
        """Leave; the container goes on."""
        self._socket.close()
        os.close(self._bundle)
        if self._pipe >= 0:
            os.close(self._pipe)

    def resize(self, rows: int, columns: int) -> None:
        """Give the container's terminal a size; before its process starts it begins with it."""
        if not rows or not columns:
            return
        line = f"{rows} {columns}".ljust(_CONTROL_LINE - 1) + "\n"
        # conmon may just be gone, or its pipe be full of sizes that it has not read yet
        with contextlib.suppress(OSError):
            fd = os.open("winsz", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._bundle)
            try:
                os.write(fd, line.encode())
            finally:
                os.close(fd)

    def run(self, options: Options, forward: Callable[[int], None] | None = None) -> Ended:
        """Copy until the container has ended or the user detaches.

        `forward` gets the signals that arrive here without a terminal. With one the keys make the container's own
        signals; ours end this process, with the terminal as it was. BrokenPipeError when nobody reads our output.
        """
        if options.tty:
            self.resize(*terminal.size())
        if options.tty and options.stdin and os.isatty(0):
            with keyboard.joined(self.resize) as watched:
                return self._copy(options, watched)
        with signals.arriving(PROXIED if forward else ()) as arrivals:

            def pass_on() -> None:
                for number in os.read(arrivals, 64):
                    if forward:
                        forward(number)

            return self._copy(options, {arrivals: pass_on})

    def _copy(self, options: Options, watched: Mapping[int, Callable[[], None]]) -> Ended:
        detach = keys.Filter(options.detach_keys) if options.tty else None
        flows = [self._output(options)]
        if options.stdin:
            flows.append(self._input(options, detach))
        left = False

        def over() -> bool:
            nonlocal left
            left = bool(detach and detach.detached) or (options.detach_at_end and flows[-1].ended)
            return flows[0].ended or left

        pump(flows, over, watched)
        return "detached" if left and not flows[0].ended else "ended"

    def _output(self, options: Options) -> Flow:
        outlets = {}
        if options.stdout:
            outlets[_STDOUT] = writer(1)
        if options.stderr and not options.tty:
            outlets[_STDERR] = writer(2)
        return Flow(self._socket.fileno(), outlets.values(), lambda: self._receive(outlets))

    def _receive(self, outlets: dict[int, Outlet]) -> bool:
        chunks: dict[int, list[bytes]] = {}
        more = True
        for _ in range(_PACKETS_AT_ONCE):
            try:
                packet = self._socket.recv(_PACKET)
            except BlockingIOError:
                break
            except ConnectionResetError:
                packet = b""
            if not packet:
                more = False
                break
            chunks.setdefault(packet[0], []).append(packet[1:])
        for stream, parts in chunks.items():
            if stream in outlets:
                outlets[stream].put(b"".join(parts))
        return more

    def _input(self, options: Options, detach: keys.Filter | None) -> Flow:
        if detach:
            outlet = Outlet(self._socket.fileno(), self._send)
            return Flow(0, (outlet,), reader(0, lambda data: outlet.put(detach.feed(data))))
        self._pipe = self._open_pipe()
        outlet = Outlet(self._pipe, self._write) if self._pipe >= 0 else Outlet(0, len)
        return Flow(0, (outlet,), reader(0, outlet.put), self._end_input)

    def _send(self, data: bytes) -> int:
        try:
            return self._socket.send(data[:_INPUT])
        except (BrokenPipeError, ConnectionResetError):
            return len(data)  # the container has ended; its last output is still to be read

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._pipe, data)
        except BrokenPipeError:
            return len(data)  # the process has closed its input or ended: the rest of ours is for nobody

    def _open_pipe(self) -> int:
        """A writer of the process's input, -1 when that has been closed."""
        with contextlib.suppress(OSError), open(self._path("conmon.pid")) as file:
            descriptors = f"/proc/{int(file.read())}/fd"
            for number in os.listdir(descriptors):
                link = f"{descriptors}/{number}"
                if os.readlink(link).startswith("pipe:") and _flags(link) & _PIPE_FLAGS == _PIPE_FLAGS:
                    return os.open(link, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return -1

    def _end_input(self) -> None:
        """Close the process's input; conmon, told by the half-closed socket, closes it too."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        with contextlib.suppress(OSError):
            self._socket.shutdown(_socket.SHUT_WR)

    def _path(self, name: str) -> str:
        return f"/proc/self/fd/{self._bundle}/{name}"


def _flags(link: str) -> int:
    with open(link.replace("/fd/", "/fdinfo/")) as file:
        return int(file.read().partition("flags:")[2].split()[0], 8)


def connect(bundle: str) -> Session:
    """Join the container of a bundle; StateError when it has no monitor."""
    return Session(bundle)
