"""What the network of this root should not have, or lacks: found, and put right."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import os
import time

from devbox.errors import HostError
from devbox.model.network import Endpoint
from devbox.model.problem import Problem
from devbox.network import bridges, endpoints, firewall, naming, networks, plumbing, rules
from devbox.store.database import Store
from devbox.system import process
from devbox.system.interfaces import Interfaces

_VANISHING_SECONDS = 1.0
"""the kernel takes the interfaces of a namespace down some time after its last process"""


def find(store: Store) -> list[Problem]:
    """Everything that is wrong; reads only."""
    return [
        *_surplus_interfaces(store),
        *_stale_rows(store),
        *_broken_bridges(store),
        *_no_forwarding(store),
        *_broken_rules(store),
        *_foreign_drops(store),
    ]


def repair(store: Store) -> list[Problem]:
    """Put right what can be; returns what was found."""
    problems = find(store)
    for problem in problems:
        if problem.kind == "interface":
            with Interfaces() as netlink:
                netlink.delete_link(problem.name)
        elif problem.kind == "rows":
            firewall.withdraw(store, problem.name)
            with store.transaction():
                endpoints.release(store, problem.name)
    if any(problem.kind in ("bridge", "port of a bridge", "forwarding") for problem in problems):
        _mend_bridges(store)
    if any(problem.mendable for problem in problems):
        firewall.ensure(store)
    return problems


def _surplus_interfaces(store: Store) -> list[Problem]:
    surplus = _unknown_interfaces(store)
    deadline = time.monotonic() + _VANISHING_SECONDS
    while surplus and time.monotonic() < deadline:
        time.sleep(0.05)
        surplus &= _unknown_interfaces(store)
    return [Problem("interface", name, f"interface {name} belongs to nothing") for name in sorted(surplus)]


def _unknown_interfaces(store: Store) -> set[str]:
    known = {
        row[0]
        for row in store.db.execute("SELECT bridge FROM networks UNION SELECT host_interface FROM endpoints")
    }
    return {name for name in bridges.interfaces() if naming.is_ours(store.root, name)} - known


def _stale_rows(store: Store) -> list[Problem]:
    """Addresses and ports of containers that neither run nor are about to: a start makes its bundle first."""
    rows = store.db.execute(
        "SELECT id, name FROM containers WHERE status NOT IN ('running', 'paused') AND "
        "(id IN (SELECT container_id FROM endpoints) OR id IN (SELECT container_id FROM ports))"
    )
    return [
        Problem("rows", row["id"], f"container {row['name']} does not run and has addresses or ports")
        for row in rows.fetchall()
        if not os.path.lexists(store.root.bundle(row["id"]))
    ]


def _broken_bridges(store: Store) -> list[Problem]:
    problems = []
    with Interfaces() as netlink:
        links = {link.name: link for link in netlink.links()}
    for network in networks.every(store):
        places = endpoints.on(store, network.id)
        if not places:
            continue
        bridge = links.get(network.bridge)
        if bridge is None or not bridge.up:
            problems.append(
                Problem("bridge", network.bridge, f"the bridge {network.bridge} of network {network.name} is gone")
            )
        for place in places:
            port = links.get(place.host_interface)
            if port and bridge and port.master != bridge.number:
                sentence = f"interface {port.name} is not on the bridge {network.bridge}"
                problems.append(Problem("port of a bridge", port.name, sentence))
    return problems


def _no_forwarding(store: Store) -> list[Problem]:
    outward = store.db.execute("SELECT 1 FROM endpoints WHERE gateway <> '' LIMIT 1").fetchone()
    if not outward or bridges.forwards():
        return []
    sentence = "net.ipv4.ip_forward is 0: containers are cut off from the outside"
    return [Problem("forwarding", "net.ipv4.ip_forward", sentence)]


def _mend_bridges(store: Store) -> None:
    for network in networks.every(store):
        places: tuple[Endpoint, ...] = endpoints.on(store, network.id)
        if places:
            with store.transaction():
                networks.up(store, network)
            plumbing.replug(network, places)


def _broken_rules(store: Store) -> list[Problem]:
    table = naming.table(store.root)
    in_use = store.db.execute("SELECT 1 FROM endpoints LIMIT 1").fetchone()
    if not in_use or firewall.is_whole(store):
        return []
    if firewall.is_blocked(store):
        where = f"{rules.FOREIGN_CHAIN} of iptables"
        return [
            Problem(
                "firewall", table, f"the chain {where} drops what goes to containers: published ports time out"
            )
        ]
    return [Problem("firewall", table, f"the nft table {table} is not as it should be")]


def _foreign_drops(store: Store) -> list[Problem]:
    """Another firewall's word is final where it drops what it does not know."""
    try:
        result = process.run(["nft", "-j", "list", "chains"])
        chains = [item["chain"] for item in json.loads(result.output)["nftables"] if "chain" in item]
    except (HostError, process.ProcessError, ValueError, KeyError):
        return []  # without nft there are no chains that could be seen
    return [
        Problem(
            "foreign firewall",
            chain["table"],
            f"chain {chain['name']} of nft table {chain['family']} {chain['table']} drops what it does not know: "
            "allow forwarding from and to the bridges of devbox there",
            mendable=False,
        )
        for chain in chains
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and not firewall.passes(store, chain)
    ]
