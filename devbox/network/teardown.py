"""Taking the network of a root off this machine."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.network import bridges, firewall, naming
from devbox.store.database import Store
from devbox.system.interfaces import Interfaces


def teardown(store: Store) -> None:
    """Delete every interface and the nft table of this root; its rows stay. Absent is fine."""
    firewall.remove(store)
    known = {row["bridge"] for row in store.db.execute("SELECT bridge FROM networks WHERE bridge <> ''")}
    with bridges.host_lock(), Interfaces() as netlink:
        for name in bridges.interfaces():
            if name in known or naming.is_ours(store.root, name):
                netlink.delete_link(name)
