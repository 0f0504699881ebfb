"""A process per user and machine that keeps the connection open: a command then costs no handshake.

Each client speaks to it as to an agent; its session gets a number of its own towards the agent. The broker adds
how a session ended that the agent cannot tell of: the connection was lost, the machine does not answer. It also
holds the published ports on this host and sets the machine's clock, and while there are such ports it connects
again by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from devbox.errors import ConnectionLostError, DevboxError
from devbox.machine import clock, frames, locking, records, request
from devbox.machine.broker_client import BrokerClient
from devbox.machine.client import PING_EVERY, SILENCE
from devbox.machine.connection import ChannelLink
from devbox.machine.frames import Frame, Kind
from devbox.machine.inbound import Inbound
from devbox.machine.keyagent import Forwarded
from devbox.machine.mirroring.mirrors import Mirrors
from devbox.machine.places import MachinePlace
from devbox.machine.publishing import forwards
from devbox.machine.publishing.forwards import Forwards
from devbox.machine.request import Request, Terminal
from devbox.model.invocation import Invocation

IDLE = 600.0
IDLE_VARIABLE = "DEVBOX_BROKER_IDLE"
_TICK = 1.0
_WAKING = 4.0
"""seconds between two ticks after which the host has slept"""
_RETRY = 2.0
_PATIENCE = 600.0
"""seconds in which a machine that is gone may come back"""
_LAST_BYTES = 2.0
_OWN_SESSION = 1
_DATAGRAMS_WAITING = 1000
_INTERRUPTING = {b"INT": 2, b"TERM": 15, b"HUP": 1, b"QUIT": 3}
"""signals that end a command which has not begun"""


class Owned(NamedTuple):
    """The socket that is ours, as long as its inode has the name."""

    place: MachinePlace
    inode: int
    stamp: str

    def give_up(self) -> None:
        """Take the name away, unless it is another broker's by now."""
        with locking.locked(self.place.broker_lock, "ending the broker", lambda _: None):
            try:
                if os.stat(self.place.socket).st_ino == self.inode:
                    records.forget(self.place.socket)
            except FileNotFoundError:
                return


class Way(NamedTuple):
    """How to reach the machine, and whether it is ours to wake and to set the clock of."""

    connect: Callable[[], ChannelLink]
    again: Callable[[], ChannelLink]
    """after the first time: asks nobody for the address, which would take seconds of every two"""
    ours: bool


def serve(owned: Owned, way: Way) -> None:
    """Serve the listening socket on 0 until it has been idle for a while or the machine is gone."""
    listener = socket.socket(fileno=os.dup(0))
    listener.settimeout(_TICK)
    Broker(owned, way).run(listener, float(os.environ.get(IDLE_VARIABLE, IDLE)))


class Broker:
    """The sessions of all clients over one link, which is made anew when ports are to be kept."""

    def __init__(self, owned: Owned, way: Way) -> None:
        self._owned, self._way = owned, way
        self._link: ChannelLink | None = None
        self._outbox: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._clients: dict[int, BrokerClient] = {}
        self._number = _OWN_SESSION
        self._retired = False
        self._over = threading.Event()
        self._forwards = Forwards(self._dial, self._send_datagram)
        self._mirrors = Mirrors(owned.place)
        self._agents = Forwarded(lambda frame: self._outbox.put(frame))

    def run(self, listener: socket.socket, idle: float) -> None:
        """Take clients in until nobody needs us any more."""
        self._mirrors.tick()
        threading.Thread(target=self._keep_connected, daemon=True).start()
        used = time.monotonic()
        while not self._over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                self._mirrors.tick()
                if self._clients or self._forwards.busy or self._mirrors.wanted:
                    used = time.monotonic()
                elif self._retired:
                    break
                elif time.monotonic() - used > idle:
                    self.retire()  # whoever has connected until now is in the queue, and served
                continue
            used = time.monotonic()
            self._welcome(connection)
        self.retire()
        self._dismiss([*self._clients.values()], ConnectionLostError("the broker has ended"))

    def retire(self) -> None:
        """Take nobody in any more than those who have connected already, and leave the ports to another."""
        self._retired = True
        self._owned.give_up()
        self._forwards.release()
        self._mirrors.end()

    def leave(self, client: BrokerClient) -> None:
        """A client has gone; so does its command if that has not ended."""
        with self._lock:
            self._clients.pop(client.number, None)
        if client.opened:
            self._outbox.put(Frame(Kind.CLOSE, client.number))

    def pass_on(self, client: BrokerClient, frame: Frame) -> None:
        """Act on what a client says."""
        if frame.kind == Kind.PING:
            client.put(frames.pong(frame, time.time_ns()))
        elif frame.kind == Kind.CLOSE and frame.session == 0:
            self.retire()
            if frame.payload:
                self._over.set()
        elif frame.kind == Kind.AGENT:
            self._agents.allow(json.loads(frame.payload))
        elif self._link is not None:
            if frame.kind == Kind.OPEN and self._waits_for_mirrors(frame):
                client.held = [frame]
                threading.Thread(target=self._settle, args=(client, frame), daemon=True).start()
            elif not self._hold(client, frame):
                self._forward(client, frame)

    def _forward(self, client: BrokerClient, frame: Frame) -> None:
        client.opened = client.opened or frame.kind == Kind.OPEN
        client.session = frame.session
        self._outbox.put(frame._replace(session=client.number))

    def _waits_for_mirrors(self, frame: Frame) -> bool:
        self._mirrors.tick()
        return self._mirrors.wanted and self._mirrors.concern(request.decode(frame.payload))

    def _hold(self, client: BrokerClient, frame: Frame) -> bool:
        """Keep what belongs to a command that waits for its files; False when it waits for none."""
        with self._lock:
            if client.held is None:
                return False
            if frame.kind == Kind.SIGNAL and frame.payload in _INTERRUPTING:
                client.held.clear()
                ending = {"signal": _INTERRUPTING[frame.payload]}
                client.put(Frame(Kind.EXIT, frame.session, json.dumps(ending).encode()))
            else:
                client.held.append(frame)
        return True

    def _settle(self, client: BrokerClient, opening: Frame) -> None:
        """Thread: let the command go when the mirrors are as this host's files are, or tell why they cannot be."""
        told: set[str] = set()

        def waiting(host: str) -> None:
            if client.number not in self._clients or not client.held:
                raise ConnectionLostError("nobody waits for it")
            if host not in told:
                told.add(host)
                client.put(
                    Frame(Kind.STDERR, opening.session, f"devbox: bringing {host} to the machine\n".encode())
                )

        ending = {}
        try:
            self._mirrors.settle(request.decode(opening.payload), waiting)
        except DevboxError as error:
            ending = {"error": error.message}
        with self._lock:
            held, client.held = client.held or [], None
            if client.number not in self._clients or opening not in held:
                return
            if ending:
                client.put(Frame(Kind.EXIT, opening.session, json.dumps(ending).encode()))
                return
            for frame in held:
                self._forward(client, frame)

    def _keep_connected(self) -> None:
        """Thread: a link, and another one when it breaks while ports are held."""
        try:
            self._connect_again_and_again()
        finally:
            self._over.set()

    def _connect_again_and_again(self) -> None:
        gone_since = 0.0
        connect = self._way.connect
        while not self._over.is_set():
            try:
                link = connect()
            except DevboxError as error:
                self._dismiss([*self._clients.values()], error)
                gone_since = gone_since or time.monotonic()
                if not self._kept or time.monotonic() - gone_since > _PATIENCE:
                    break
                self._over.wait(_RETRY)
                continue
            gone_since, connect = 0.0, self._way.again
            ending = self._carry(link)
            self._dismiss([client for client in self._clients.values() if client.opened], ending)
            if not self._kept:
                break

    @property
    def _kept(self) -> bool:
        """Whether there is something that the connection is for when no command runs."""
        return not self._retired and (self._forwards.wanted or self._mirrors.wanted)

    def _carry(self, link: ChannelLink) -> DevboxError:
        """Serve everybody over a link until that ends; why it did."""
        outbox: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._outbox = outbox
        outbox.put(Frame(Kind.PORTS, 0, b'{"follow":true}'))
        self._agents.again()
        if self._way.ours:
            woken = Request(Invocation(("internal", "wake"), {}), "/", {}, Terminal())
            outbox.put(Frame(Kind.OPEN, _OWN_SESSION, request.encode(woken)))
            outbox.put(Frame(Kind.STDIN_END, _OWN_SESSION))
        with self._lock:
            self._link = link
            for client in self._clients.values():
                self._greet(client)
        sender = threading.Thread(target=_send, args=(link, outbox), daemon=True)
        sender.start()
        self._mirrors.reached(yes=True)
        try:
            return self._receive(link, outbox)
        finally:
            self._mirrors.reached(yes=False)
            with self._lock:
                self._link = None
            link.close()
            outbox.put(None)

    def _receive(self, link: ChannelLink, outbox: queue.SimpleQueue[Frame | None]) -> DevboxError:
        inbound = Inbound(self._clients, lambda: outbox.put(frames.ping(time.time_ns())))
        link.listen(inbound.take)
        ticked = time.monotonic()
        pinged = 0.0
        while not self._over.is_set():
            try:
                frame = inbound.next(_TICK)
                if frame is not None:
                    self._deliver(frame)
            except EOFError:
                return frames.lost(link.complaint())
            except (OSError, DevboxError) as error:
                return frames.lost(str(error))
            now = time.monotonic()
            if now - ticked > _WAKING:
                inbound.heard = now
            elif now - inbound.heard > SILENCE:
                return frames.silent(SILENCE)
            if now - pinged > PING_EVERY or now - ticked > _WAKING:
                pinged = now
                outbox.put(frames.ping(time.time_ns()))
            ticked = now
        return ConnectionLostError("the broker has ended")

    def _deliver(self, frame: Frame) -> None:
        flows = frame.kind in (Kind.AGENT, Kind.DATAGRAM)  # whose numbers are no sessions
        client = None if flows else self._clients.get(frame.session)
        if client is not None:
            client.put(frame._replace(session=client.session))
            if frame.kind == Kind.EXIT:
                client.opened = False
        elif frame.kind == Kind.PONG:
            self._compare_clocks(*frames.read_pong(frame))
        elif frame.kind == Kind.PORTS:
            self._settle_ports(json.loads(frame.payload))
        elif frame.kind == Kind.AGENT:
            self._agents.receive(frame)
        elif frame.kind == Kind.DATAGRAM:
            self._forwards.arrived(frame.session, frames.read_datagram(frame)[1])
        elif frame.session == _OWN_SESSION and frame.kind in (Kind.STDOUT, Kind.STDERR):
            sys.stderr.write(frame.payload.decode(errors="replace"))
            sys.stderr.flush()

    def _compare_clocks(self, asked: int, answered: int) -> None:
        move = clock.correction(asked, answered, time.time_ns()) if self._way.ours else 0
        if move:
            self._outbox.put(frames.clock(move))

    def _settle_ports(self, document: dict[str, Any]) -> None:
        if "claim" in document:
            refused = self._forwards.claim(document["claim"])
            self._outbox.put(Frame(Kind.PORTS, 0, forwards.answer(document["id"], refused)))
        elif not self._retired:
            self._forwards.settle(document["published"])

    def _dial(self, address: str, port: int, peer: tuple[str, int]) -> forwards.Stream:
        link = self._link
        if link is None:
            raise ConnectionRefusedError("there is no connection to the machine")
        return link.dial(address, port, peer)

    def _send_datagram(self, flow: int, port: int, data: bytes) -> None:
        if self._link is not None and self._outbox.qsize() < _DATAGRAMS_WAITING:
            self._outbox.put(frames.datagram(flow, port, data))

    def _welcome(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        with self._lock:
            self._number += 1
            client = BrokerClient(connection, self._number)
            self._clients[client.number] = client
            if self._link is not None:
                self._greet(client)
        client.start(self)

    def _greet(self, client: BrokerClient) -> None:
        if not client.greeted:
            client.greeted = True
            client.put(Frame(Kind.HELLO, 0, json.dumps({"ready": True, "stamp": self._owned.stamp}).encode()))

    def _dismiss(self, clients: list[BrokerClient], error: DevboxError) -> None:
        """Tell clients why it is over, and give them a moment to hear it."""
        for client in clients:
            client.dismiss(error)
        deadline = time.monotonic() + _LAST_BYTES
        for client in clients:
            client.written.wait(max(0.0, deadline - time.monotonic()))


def _send(link: ChannelLink, outbox: queue.SimpleQueue[Frame | None]) -> None:
    """Thread: what goes to the agent. When it cannot, the receiving side sees the end."""
    with contextlib.suppress(OSError):
        while (frame := outbox.get()) is not None:
            link.send(frames.encode(frame))
            link.grant()
        return
    link.close()
