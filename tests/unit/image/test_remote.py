"""Which image of an index is taken, and what is no manifest at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devbox.errors import RefusedError
from devbox.image.transfers import remote
from devbox.image.transfers.remote import Platform
from devbox.registry.repository import Manifest

INDEX = "application/vnd.oci.image.index.v1+json"


def entry(name: str) -> dict[str, Any]:
    system, architecture, *variant = name.split("/")
    platform = {"os": system, "architecture": architecture}
    return {"digest": name, "platform": {**platform, **({"variant": variant[0]} if variant else {})}}


BIG = [
    *("unknown/unknown", "windows/amd64", "linux/amd64", "linux/386"),
    *("linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"),
]


@pytest.mark.parametrize(
    ("names", "wanted", "taken"),
    [
        (BIG, Platform("linux", "amd64"), "linux/amd64"),
        (BIG, Platform("linux", "arm"), "linux/arm/v7"),
        (BIG, Platform("linux", "arm", "v6"), "linux/arm/v6"),
        (BIG, Platform("linux", "arm64"), "linux/arm64/v8"),
        (BIG, Platform("linux", "arm64", "v8"), "linux/arm64/v8"),
        (BIG, Platform("linux", "s390x"), None),
        (BIG, Platform("linux", "arm", "v5"), None),
        (["linux/amd64/v3", "linux/amd64"], Platform("linux", "amd64"), "linux/amd64"),
        (["linux/arm64"], Platform("linux", "arm64", "v8"), "linux/arm64"),
        ([], Platform("linux", "amd64"), None),
    ],
)
def test_the_entry_of_a_platform(names: list[str], wanted: Platform, taken: str | None) -> None:
    found = remote._fitting([entry(name) for name in names], wanted)
    assert (found["digest"] if found else None) == taken


def test_an_entry_that_says_nothing_fits_nobody() -> None:
    assert remote._fitting([{"digest": "x"}, {"digest": "y", "platform": 7}], Platform("linux", "amd64")) is None


@pytest.mark.parametrize(
    "document",
    [
        {"schemaVersion": 1},
        {"schemaVersion": 2, "mediaType": "text/html"},
        {"schemaVersion": 2, "mediaType": INDEX},
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "config": {}},
        {"schemaVersion": 2, "mediaType": ["x"], "manifests": []},
        [],
    ],
)
def test_what_is_no_manifest_is_refused(document: Any) -> None:
    with pytest.raises(RefusedError):
        remote.parse(Manifest(json.dumps(document).encode(), "sha256:" + "0" * 64, INDEX))


def test_a_manifest_without_a_type_has_the_one_that_it_came_with() -> None:
    data = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    assert remote.is_index(remote.parse(Manifest(data, "sha256:" + "0" * 64, INDEX)))


@pytest.mark.parametrize("size", [-1, True, 1.5, "3", None, 1 << 60])
def test_a_size_is_a_size(size: Any) -> None:
    with pytest.raises(RefusedError, match="is said to have the size"):
        remote.blob_of({"digest": "sha256:" + "0" * 64, "size": size})
