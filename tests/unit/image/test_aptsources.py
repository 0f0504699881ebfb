"""Which archive a machine gets Debian from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devbox.errors import UsageError
from devbox.image import aptsources, debian
from devbox.image.aptsources import Source

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""


def test_deb822() -> None:
    assert list(aptsources.deb822(DEB822)) == [
        Source("http://mirror.example/debian", suite, ("main", "contrib"))
        for suite in ("bookworm", "bookworm-updates")
    ]


def test_one_line() -> None:
    line = "deb [arch=amd64 signed-by=/k] http://m.example/debian sid main # why"
    text = f"{line}\n#deb http://x y z\ndeb-src http://s sid main\n"
    assert list(aptsources.one_line(text)) == [Source("http://m.example/debian", "sid", ("main",))]


@pytest.mark.parametrize(
    ("configured", "archive", "security"),
    [
        ([], "http://deb.debian.org/debian", "http://deb.debian.org/debian-security"),
        (
            [Source("http://docker.example/linux/debian", "bookworm", ("stable",))],
            "http://deb.debian.org/debian",
            "http://deb.debian.org/debian-security",
        ),
        (
            [Source("http://m.example/debian/", "trixie", ("main",))],
            "http://m.example/debian/",
            "http://m.example/debian-security",
        ),
        (
            [
                Source("http://m.example/deb", "bookworm", ("main",)),
                Source("http://s.example/sec", "bookworm-security", ("main",)),
            ],
            "http://m.example/deb",
            "http://s.example/sec",
        ),
    ],
)
def test_the_mirror_of_this_machine_is_used(
    configured: list[Source], archive: str, security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sources() -> Iterator[Source]:
        yield from configured

    monkeypatch.setattr(aptsources, "_configured", sources)
    assert aptsources.for_release("bookworm") == [
        f"deb {archive} bookworm main",
        f"deb {archive} bookworm-updates main",
        f"deb {security} bookworm-security main",
    ]
    assert aptsources.for_release("sid") == [f"deb {archive} sid main"]


def test_the_image_names_no_mirror() -> None:
    assert all("//deb.debian.org/" in line for line in aptsources.official("bookworm"))


@pytest.mark.parametrize(
    "wish",
    [
        debian.Wish("--help"),
        debian.Wish("Bookworm"),
        debian.Wish("book/worm"),
        debian.Wish("bookworm", ("--hook=x",)),
        debian.Wish("bookworm", ("a b",)),
        debian.Wish("bookworm", ("?essential",)),
        debian.Wish("bookworm", variant="tiny"),
    ],
)
def test_nothing_odd_reaches_mmdebstrap(wish: debian.Wish) -> None:
    with pytest.raises(UsageError):
        debian.check(wish)
