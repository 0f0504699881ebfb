"""Options about the network: modes, networks, names, ports, links, resolver."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import re
from collections.abc import Iterable
from typing import NamedTuple

from devbox.cli.options.confinement import namespace
from devbox.container import records
from devbox.container.spec import configjson
from devbox.errors import UsageError
from devbox.model.container import ContainerConfig
from devbox.model.image import ImageConfig
from devbox.model.invocation import Invocation
from devbox.model.network import EndpointWish, PortWish
from devbox.model.network_parse import ALIAS, parse_add_host, parse_expose, parse_link, parse_publish
from devbox.model.options_parse import parse_hostname
from devbox.store.database import Store

_MAC = r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}"
_ALONE = ("host", "none", "container")


class _Wish(NamedTuple):
    name: str
    aliases: tuple[str, ...] = ()
    address: str = ""
    mac: str = ""


def joined(wanted: ContainerConfig, store: Store, invocation: Invocation, image: ImageConfig) -> ContainerConfig:
    """The config with everything about its network; networks and containers that it names exist."""
    wishes = _wishes(invocation)
    kind = wishes[0].name.partition(":")[0]
    if kind in _ALONE:
        _check_alone(wishes, kind, invocation)
        wanted = wanted._replace(network_mode=_mode(store, wishes[0].name))
    else:
        places = tuple(_endpoint(store, wish) for wish in wishes)
        if len({place.network for place in places}) < len(places):
            raise UsageError("a network is given twice", hint="give each --network once")
        wanted = wanted._replace(network_mode=places[0].network, endpoints=places)
    return _resolving(_named(_publishing(wanted, invocation, image), store, invocation), invocation)


def _wishes(invocation: Invocation) -> list[_Wish]:
    """The networks asked for; what is given beside them is for the first one."""
    wishes = [_wish(text) for text in invocation.many("network")] or [_Wish("bridge")]
    wishes = [wish._replace(name="bridge") if wish.name == "default" else wish for wish in wishes]
    first = wishes[0]
    wishes[0] = first._replace(
        aliases=first.aliases + invocation.many("network_alias"),
        address=invocation.text("ip") or first.address,
        mac=invocation.text("mac_address") or first.mac,
    )
    for wish in wishes:
        _check(wish)
    return wishes


def _wish(text: str) -> _Wish:
    """NAME, or docker's long form: name=NAME,alias=X,ip=ADDRESS,mac-address=MAC."""
    if "=" not in text:
        return _Wish(text)
    values = [field.partition("=")[::2] for field in text.split(",")]
    for key, _ in values:
        if key not in ("name", "alias", "ip", "mac-address"):
            raise UsageError(
                f"unknown key {key!r} in '--network {text}'", hint="use name, alias, ip and mac-address"
            )
    last = dict(values)
    aliases = tuple(value for key, value in values if key == "alias")
    return _Wish(last.get("name", ""), aliases, last.get("ip", ""), last.get("mac-address", ""))


def _check(wish: _Wish) -> None:
    if not wish.name:
        raise UsageError("--network has no name")
    for alias in wish.aliases:
        if not re.fullmatch(ALIAS, alias):
            raise UsageError(f"invalid network alias {alias!r}", hint="it is a host name")
    if wish.mac and not re.fullmatch(_MAC, wish.mac):
        raise UsageError(f"{wish.mac!r} is not a MAC address", hint="write it as 02:42:ac:11:00:02")
    if wish.mac and int(wish.mac[:2], 16) & 1:
        raise UsageError(f"{wish.mac} is a multicast address", hint="the first byte of a MAC address is even")
    if wish.address:
        _check_address(wish.address, "--ip", version=4)


def _check_address(text: str, option: str, *, version: int = 0) -> None:
    import ipaddress

    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"invalid {option} {text!r}: it is not an IP address") from None
    if version and address.version != version:
        raise UsageError(f"invalid {option} {text!r}: only IPv{version} addresses can be given so far")


def _check_alone(wishes: list[_Wish], kind: str, invocation: Invocation) -> None:
    """Refuse what has no meaning with the host's network, another container's, or none."""
    if len(wishes) > 1:
        raise UsageError(f"conflicting options: the network {kind!r} cannot be joined beside others")
    wish = wishes[0]
    if wish.aliases or wish.address:
        raise UsageError(
            f"conflicting options: an alias or address and the network mode {kind!r}",
            hint="both are for networks that 'devbox network create' made",
        )
    conflicts = [name for name in ("link",) if invocation.many(name)]
    if wish.mac:
        conflicts.append("mac-address")
    if kind == "container":
        conflicts += [
            name
            for name in ("publish", "expose", "dns", "dns_search", "dns_option", "add_host")
            if invocation.many(name)
        ]
        conflicts += [name for name in ("hostname", "publish_all") if invocation.params[name]]
    if kind == "none":
        conflicts += [name for name in ("publish", "publish_all") if invocation.params[name]]
    if conflicts:
        raise UsageError(f"conflicting options: --{conflicts[0].replace('_', '-')} and the network mode {kind!r}")


def _mode(store: Store, text: str) -> str:
    kind, _, name = text.partition(":")
    if kind != "container":
        return kind
    if not name:
        raise UsageError("invalid container format container:<name|id>", hint="write --network container:NAME")
    other = records.get(store, name)
    # a container that uses the network of a third one has none of its own
    shared = other.config.network_mode
    return shared if shared.startswith("container:") else f"container:{other.id}"


def _endpoint(store: Store, wish: _Wish) -> EndpointWish:
    from devbox.network import endpoints  # not loaded for a container without a network of its own

    place = EndpointWish(wish.name, wish.aliases, wish.address, wish.mac.lower().replace("-", ":"))
    return place._replace(network=endpoints.check(store, place).name)


def _publishing(wanted: ContainerConfig, invocation: Invocation, image: ImageConfig) -> ContainerConfig:
    ports: list[PortWish] = []
    for text in invocation.many("publish"):
        ports += parse_publish(text)
    exposed = {*image.exposed, *(f"{port.container_port}/{port.protocol}" for port in ports)}
    for text in invocation.many("expose"):
        exposed.update(parse_expose(text))
    host = wanted.network_mode == "host"
    return wanted._replace(
        exposed=tuple(sorted(exposed, key=_port_order)),
        ports=() if host else tuple(dict.fromkeys(ports)),
        publish_all=invocation.flag("publish_all") and not host,
    )


def _port_order(port: str) -> tuple[int, str]:
    number, _, protocol = port.partition("/")
    return int(number), protocol


def _named(wanted: ContainerConfig, store: Store, invocation: Invocation) -> ContainerConfig:
    """Host and domain name: the host's own, or the other container's, where its names are shared."""
    uts, own = namespace(store, invocation.text("uts"), "uts", ()), invocation.text("hostname")
    if uts and (own or invocation.text("domainname")):
        raise UsageError(f"conflicting options: --hostname and --uts {invocation.text('uts')}")
    domain = invocation.text("domainname")
    name = parse_hostname(own, "--hostname") if own else _name_of_namespace(wanted, store, uts)
    return wanted._replace(
        uts_mode=uts, hostname=name, domainname=parse_hostname(domain, "--domainname") if domain else ""
    )


def _name_of_namespace(wanted: ContainerConfig, store: Store, uts: str) -> str:
    for mode in (uts, wanted.network_mode):
        kind, _, container_id = mode.partition(":")
        if kind == "container":
            return configjson.hostname(records.by_id(store, container_id))
        if kind == "host":
            import os

            return os.uname().nodename
    return ""


def _resolving(wanted: ContainerConfig, invocation: Invocation) -> ContainerConfig:
    for address in invocation.many("dns"):
        _check_address(address, "--dns")
    _check_words(invocation.many("dns_search"), "--dns-search")
    _check_words(invocation.many("dns_option"), "--dns-option")
    return wanted._replace(
        extra_hosts=tuple(parse_add_host(text) for text in invocation.many("add_host")),
        dns=invocation.many("dns"),
        dns_search=invocation.many("dns_search"),
        dns_options=invocation.many("dns_option"),
    )


def _check_words(words: Iterable[str], option: str) -> None:
    """A word that could end its line in resolv.conf would make another line of it."""
    for word in words:
        if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,253}", word):
            raise UsageError(f"invalid {option} {word!r}")


def links(invocation: Invocation) -> tuple[tuple[str, str], ...]:
    """(target, alias) pairs of --link."""
    pairs = tuple(parse_link(text) for text in invocation.many("link"))
    for index, (_, alias) in enumerate(pairs):
        if alias in [other for _, other in pairs[:index]]:
            raise UsageError(f"two links have the alias {alias!r}", hint="write --link CONTAINER:ALIAS")
    return pairs
