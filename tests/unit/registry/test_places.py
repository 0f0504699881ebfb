"""registries.conf: which places a name is looked for in."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbox.errors import RefusedError, UsageError
from devbox.model.reference import parse
from devbox.registry.places import Endpoint, endpoint, endpoints, is_loopback

CONF = """
unqualified-search-registries = ["ignored.example"]

[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "one.example/hub"
[[registry.mirror]]
location = "two.example"
insecure = true
pull-from-mirror = "digest-only"

[[registry]]
location = "plain.example:5000"
insecure = true

[[registry]]
prefix = "moved.example/old"
location = "new.example/deep/place"

[[registry]]
prefix = "moved.example/old/secret"
location = "new.example"
blocked = true

[[registry]]
prefix = "*.wild.example"
location = "tame.example"
"""
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "registries.conf").write_text(CONF)
    return {"CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf")}


def found(name: str, environ: dict[str, str]) -> list[tuple[str, str, bool]]:
    return [(place.host, place.path, place.insecure) for place in endpoints(parse(name), environ)]


HUB = "registry-1.docker.io"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("busybox", [("one.example", "hub/library/busybox", False), (HUB, "library/busybox", False)]),
        (
            f"a/b@{DIGEST}",
            [("one.example", "hub/a/b", False), ("two.example", "a/b", True), (HUB, "a/b", False)],
        ),
        ("plain.example:5000/x", [("plain.example:5000", "x", True)]),
        ("plain.example/x", [("plain.example", "x", False)]),
        ("moved.example/old/x", [("new.example", "deep/place/x", False)]),
        ("moved.example/older/x", [("moved.example", "older/x", False)]),
        ("a.b.wild.example/x", [("tame.example", "x", False)]),
        ("wild.example/x", [("wild.example", "x", False)]),
        ("localhost:5000/x", [("localhost:5000", "x", True)]),
        ("127.0.0.1/x", [("127.0.0.1", "x", True)]),
    ],
)
def test_places(name: str, expected: list[tuple[str, str, bool]], environ: dict[str, str]) -> None:
    assert found(name, environ) == expected


def test_a_push_goes_to_the_registry_itself(environ: dict[str, str]) -> None:
    assert endpoint(parse("busybox"), environ) == Endpoint(HUB, "library/busybox")
    assert endpoint(parse("busybox"), environ).domain == "docker.io"
    assert endpoint(parse("x.example/y"), environ, insecure=True).insecure


def test_what_is_blocked_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(RefusedError, match="is blocked"):
        endpoints(parse("moved.example/old/secret/x"), environ)


@pytest.mark.parametrize(
    "text", ["[[registry]", "registry = [1]", '[[registry]]\nlocation = "http://x"', "\xff"], ids=str
)
def test_a_file_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "registries.conf"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"registries\.conf"):
        endpoints(parse("x"), {"CONTAINERS_REGISTRIES_CONF": str(path)})


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("localhost", True),
        ("localhost:1", True),
        ("127.9.9.9:80", True),
        ("[::1]:5000", True),
        ("127.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
    ],
)
def test_this_machine(host: str, near: bool) -> None:
    assert is_loopback(host) is near
