from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it gives up a power that only root has")

CODE = """
from devbox.system.netlink import NETLINK_NETFILTER, Netlink

change = (10 << 8 | 12, 0, bytes((2, 0, 0, 0)))
try:
    Netlink(NETLINK_NETFILTER).batch(10, [change, change])
except OSError as error:
    print(error.strerror)
"""


def test_a_transaction_that_is_refused_as_a_whole_is_not_waited_for() -> None:
    powerless = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c", CODE]
    done = subprocess.run(powerless, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "Operation not permitted\n"
