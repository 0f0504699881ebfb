from __future__ import annotations

from pathlib import Path

from devbox.network import naming
from devbox.store.root import RUN_DEFAULT, STATE_DEFAULT, Root

DEFAULT = Root(STATE_DEFAULT, RUN_DEFAULT)


def test_the_default_root_has_the_short_names() -> None:
    assert naming.table(DEFAULT) == "devbox"
    assert naming.bridge(DEFAULT, 0) == "devbox0"


def test_names_fit_the_kernel(tmp_path: Path) -> None:
    for root in (DEFAULT, Root(str(tmp_path), "")):
        for name in (naming.bridge(root, 999), naming.veth(root)):
            assert len(name) <= 15
            assert naming.is_ours(root, name)


def test_no_root_takes_the_names_of_another(tmp_path: Path) -> None:
    roots = [DEFAULT, Root(str(tmp_path / "a"), ""), Root(str(tmp_path / "b"), "")]
    assert len({naming.table(root) for root in roots}) == 3
    for root in roots:
        for other in roots:
            for name in (naming.bridge(other, 1), naming.veth(other)):
                assert naming.is_ours(root, name) == (root == other)


def test_interfaces_of_others_are_never_ours() -> None:
    for name in ("lo", "eth0", "docker0", "devbox", "devboxa", "vdevbox", "veth12345678", "xdevbox0"):
        assert not naming.is_ours(DEFAULT, name)


def test_a_link_to_a_root_is_the_same_root(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert naming.table(Root(str(tmp_path / "real"), "")) == naming.table(Root(str(tmp_path / "link"), ""))
