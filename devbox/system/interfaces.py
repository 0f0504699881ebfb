"""Interfaces, addresses and routes (IPv4), by rtnetlink. Addresses are integers in host order."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import errno
import os
import struct
from typing import NamedTuple

from devbox.system.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE_EXCLUSIVE,
    NLM_F_DUMP,
    Netlink,
    attribute,
    attributes,
)

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER = 1, 3, 4, 10
_IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 18, 26, 28
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_INFO_PEER = 1
_BRPORT_HAIRPIN = 4
_INET6_ADDR_GEN_MODE, _GENERATE_NONE = 8, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RTA_DST, _RTA_GATEWAY = 1, 5
_RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 3, 0, 1
_IFF_UP = 1
_AF_INET, _AF_INET6 = 2, 10

_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBI")
_RTMSG = struct.Struct("=BBBBBBBBI")


class Link(NamedTuple):
    """An interface; `number` is its index, `master` the index of the bridge it is a port of, 0 for none."""

    number: int
    name: str
    up: bool
    master: int
    kind: str
    """"bridge", "veth", ..., empty for hardware and lo"""


class Subnet(NamedTuple):
    """An address or a route's destination, with its prefix length."""

    address: int
    prefix_length: int


class Interfaces(Netlink):
    """The interfaces of the network namespace that was current when this was opened."""

    def __init__(self) -> None:
        super().__init__(NETLINK_ROUTE)

    def links(self) -> list[Link]:
        """All interfaces."""
        body = _IFINFO.pack(0, 0, 0, 0, 0)
        return [_link(message.body) for message in self.request(_RTM_GETLINK, NLM_F_DUMP, body)]

    def link(self, name: str) -> Link | None:
        """The interface of that name."""
        body = _named(name)
        try:
            return _link(self.request(_RTM_GETLINK, 0, body)[0].body)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def add_bridge(self, name: str, mac: bytes, mtu: int) -> int:
        """Create a bridge that is down; returns its index."""
        body = _named(name)
        body += attribute(_IFLA_ADDRESS, mac) + attribute(_IFLA_MTU, struct.pack("=I", mtu))
        body += attribute(_IFLA_LINKINFO, attribute(_INFO_KIND, _string("bridge")))
        self.request(_RTM_NEWLINK, NLM_F_CREATE_EXCLUSIVE, body)
        return self._index(name)

    def add_veth(self, name: str, bridge: int, mtu: int, *, peer: str, peer_mac: bytes, netns: int) -> None:
        """Create a pair: `name`, up, a hairpin port of the bridge; `peer`, down, in the namespace `netns`."""
        size = attribute(_IFLA_MTU, struct.pack("=I", mtu))
        inside = _named(peer) + size
        inside += attribute(_IFLA_ADDRESS, peer_mac) + attribute(_IFLA_NET_NS_FD, struct.pack("=I", netns))
        info = attribute(_INFO_KIND, _string("veth")) + attribute(_INFO_DATA, attribute(_VETH_INFO_PEER, inside))
        body = _named(name) + size
        self.request(_RTM_NEWLINK, NLM_F_CREATE_EXCLUSIVE, body + attribute(_IFLA_LINKINFO, info))
        self.plug(name, bridge)

    def plug(self, name: str, bridge: int) -> None:
        """Make an interface, up, a hairpin port of a bridge; without an address of IPv6's own making."""
        body = _named(name, flags=_IFF_UP, change=_IFF_UP)
        body += attribute(_IFLA_MASTER, struct.pack("=I", bridge)) + _no_link_local()
        self.request(_RTM_NEWLINK, 0, body)
        hairpin = attribute(_BRPORT_HAIRPIN, b"\1")
        slave = attribute(_INFO_SLAVE_KIND, _string("bridge")) + attribute(_INFO_SLAVE_DATA, hairpin)
        body = _named(name)
        self.request(_RTM_NEWLINK, 0, body + attribute(_IFLA_LINKINFO, slave))

    def set_up(self, name: str) -> int:
        """Bring an interface up; returns its index."""
        body = _named(name, flags=_IFF_UP, change=_IFF_UP)
        self.request(_RTM_NEWLINK, 0, body)
        return self._index(name)

    def set_down(self, name: str) -> None:
        """Take an interface down; absent is fine."""
        body = _named(name, change=_IFF_UP)
        try:
            self.request(_RTM_NEWLINK, 0, body)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def delete_link(self, name: str) -> bool:
        """Delete an interface (a veth takes its peer along); False when there was none."""
        body = _named(name)
        try:
            self.request(_RTM_DELLINK, 0, body)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            raise
        return True

    def _index(self, name: str) -> int:
        found = self.link(name)
        if found is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)
        return found.number

    def add_address(self, index: int, subnet: Subnet) -> None:
        """Give an interface an address."""
        address = subnet.address.to_bytes(4, "big")
        broadcast = subnet.address | ((1 << (32 - subnet.prefix_length)) - 1)
        body = _IFADDR.pack(_AF_INET, subnet.prefix_length, 0, 0, index)
        body += attribute(_IFA_LOCAL, address) + attribute(_IFA_ADDRESS, address)
        body += attribute(_IFA_BROADCAST, broadcast.to_bytes(4, "big"))
        self.request(_RTM_NEWADDR, NLM_F_CREATE_EXCLUSIVE, body)

    def addresses(self) -> list[tuple[int, Subnet]]:
        """(interface index, address) of all IPv4 addresses."""
        found = []
        for message in self.request(_RTM_GETADDR, NLM_F_DUMP, _IFADDR.pack(_AF_INET, 0, 0, 0, 0)):
            _, prefix_length, _, _, index = _IFADDR.unpack_from(message.body)
            values = dict(attributes(message.body[_IFADDR.size :]))
            address = values.get(_IFA_LOCAL) or values[_IFA_ADDRESS]
            found.append((index, Subnet(int.from_bytes(address, "big"), prefix_length)))
        return found

    def add_default_route(self, gateway: int) -> None:
        """Send what has no other route to the gateway."""
        body = _route(_RTN_UNICAST) + attribute(_RTA_GATEWAY, gateway.to_bytes(4, "big"))
        self.request(_RTM_NEWROUTE, NLM_F_CREATE_EXCLUSIVE, body)

    def routes(self) -> list[Subnet]:
        """The destinations of all IPv4 unicast routes of all tables, default routes left out."""
        found = []
        for message in self.request(_RTM_GETROUTE, NLM_F_DUMP, _route(0)):
            fields = _RTMSG.unpack_from(message.body)
            destination = dict(attributes(message.body[_RTMSG.size :])).get(_RTA_DST)
            if destination and fields[7] == _RTN_UNICAST:
                found.append(Subnet(int.from_bytes(destination, "big"), fields[1]))
        return found


def _string(text: str) -> bytes:
    return text.encode() + b"\0"


def _named(name: str, *, flags: int = 0, change: int = 0) -> bytes:
    return _IFINFO.pack(0, 0, 0, flags, change) + attribute(_IFLA_IFNAME, _string(name))


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _IFINFO.unpack_from(body)
    values = dict(attributes(body[_IFINFO.size :]))
    info = dict(attributes(values.get(_IFLA_LINKINFO, b"")))
    return Link(
        number=index,
        name=values[_IFLA_IFNAME].rstrip(b"\0").decode(errors="surrogateescape"),
        up=bool(flags & _IFF_UP),
        master=int.from_bytes(values.get(_IFLA_MASTER, b""), sys.byteorder),
        kind=info.get(_INFO_KIND, b"").rstrip(b"\0").decode(),
    )


def _no_link_local() -> bytes:
    mode = attribute(_INET6_ADDR_GEN_MODE, bytes((_GENERATE_NONE,)))
    return attribute(_IFLA_AF_SPEC, attribute(_AF_INET6, mode))


def _route(kind: int) -> bytes:
    return _RTMSG.pack(_AF_INET, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, kind, 0)
