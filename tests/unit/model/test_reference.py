from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import UsageError
from devbox.model.reference import familiar, parse, parse_tagged

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "tagged"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("me/app", "docker.io/me/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/me/app:x", "docker.io/me/app:x"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/a/b:T_1.x-y", "localhost:5000/a/b:T_1.x-y"),
        ("registry.example.com/app", "registry.example.com/app:latest"),
        ("Registry/app", "Registry/app:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest"),
    ],
)
def test_short_names_become_whole_ones(text: str, tagged: str) -> None:
    assert parse(text).tagged == tagged


@pytest.mark.parametrize(
    "text",
    ["", ":", "busybox:", "@" + DIGEST, "Busybox", "a//b", "/a", "a/", "-a", "a..b", "a___b", "a b", "a\n", "../a",
     "a:" + "t" * 129, "a:-t", "a@sha256:xyz", "a@md5:00", "0" * 64, "x" * 256, "http://a/b"],
)  # fmt: skip
def test_what_docker_refuses_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid reference format"):
        parse(text)


def test_a_digest_is_kept_beside_the_tag() -> None:
    reference = parse("me/app:1@" + DIGEST)
    assert (reference.tag, reference.digest) == ("1", DIGEST)
    with pytest.raises(UsageError):
        parse_tagged("me/app@" + DIGEST)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("docker.io/library/busybox:latest", "busybox:latest"),
        ("docker.io/me/app:1", "me/app:1"),
        ("docker.io/library/me/app:1", "library/me/app:1"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
    ],
)
def test_familiar_names(name: str, short: str) -> None:
    assert familiar(name) == short


@given(st.text(max_size=40))
def test_anything_is_parsed_or_refused_and_its_familiar_form_means_the_same(text: str) -> None:
    try:
        reference = parse_tagged(text)
    except UsageError:
        return
    assert parse(familiar(reference.tagged)).tagged == reference.tagged
