"""Which archive a machine gets Debian from."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbox.errors import UsageError
from devbox.image.bases import aptsources, debian
from devbox.image.bases.aptsources import Source

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


@pytest.fixture
def tree(tmp_path: Path) -> str:
    """A system with apt, which says in its documentation where its distribution is."""
    example = Path(f"{tmp_path}/usr/share/doc/apt/examples/sources.list")
    example.parent.mkdir(parents=True)
    example.write_text(
        "# See sources.list(5)\n"
        "deb http://own.example/debian bookworm main contrib\n"
        "deb http://own.example/debian bookworm-updates main contrib\n"
        "deb http://safe.example/sec bookworm-security main contrib\n"
        "#deb-src http://own.example/debian bookworm main\n"
    )
    return str(tmp_path)


@pytest.mark.parametrize(
    ("configured", "archive", "security"),
    [
        ([], "http://own.example/debian", "http://safe.example/sec"),
        (
            [Source("http://docker.example/linux/debian", "bookworm", ("stable",))],
            "http://own.example/debian",
            "http://safe.example/sec",
        ),
        (
            [Source("http://m.example/debian/", "trixie", ("main",))],
            "http://m.example/debian/",
            "http://m.example/debian-security",
        ),
        ([Source("http://m.example/deb", "sid", ("main",))], "http://m.example/deb", "http://safe.example/sec"),
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
    configured: list[Source], archive: str, security: str, tree: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aptsources, "_configured", lambda: iter(configured))
    monkeypatch.setattr(aptsources, "_EXAMPLE", tree + aptsources._EXAMPLE)
    assert aptsources.for_release("bookworm") == [
        f"deb {archive} bookworm main",
        f"deb {archive} bookworm-updates main",
        f"deb {security} bookworm-security main",
    ]
    assert aptsources.for_release("sid") == [f"deb {archive} sid main"]


def test_a_machine_that_knows_no_archive_leaves_it_to_mmdebstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aptsources, "_configured", lambda: iter(()))
    monkeypatch.setattr(aptsources, "_EXAMPLE", "/nosuch")
    assert aptsources.for_release("bookworm") == []


def test_the_image_names_the_archive_that_its_own_apt_does(tree: str) -> None:
    assert aptsources.official("trixie", tree) == [
        "deb http://own.example/debian trixie main",
        "deb http://own.example/debian trixie-updates main",
        "deb http://safe.example/sec trixie-security main",
    ]
    assert aptsources.official("trixie", tree + "/usr") == []


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
