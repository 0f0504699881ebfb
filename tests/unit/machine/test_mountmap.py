"""Paths of every system as they are typed, and the same place on both sides."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import UsageError
from devbox.machine.translation import hostpath, mountmap
from devbox.machine.translation.mountmap import Share

HERE = "C:\\Users\\Ann\\src"
NFC, NFD = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("C:\\src", "C:\\src"),
        ("c:/src/", "C:\\src"),
        ("C:\\a\\..\\b\\.", "C:\\b"),
        ("D:\\", "D:\\"),
        ("sub\\x", HERE + "\\sub\\x"),
        ("./sub/../x", HERE + "\\x"),
        (".", HERE),
        ("..", "C:\\Users\\Ann"),
        ("C:sub", HERE + "\\sub"),
        ("c:", HERE),
        ("\\tmp", "C:\\tmp"),
        ("/tmp/x", "C:\\tmp\\x"),
        ("\\\\server\\share\\a/b", "\\\\server\\share\\a\\b"),
        ("//server/share/a", "\\\\server\\share\\a"),
        ("\\\\?\\C:\\very\\long", "C:\\very\\long"),
        ("\\\\?\\UNC\\server\\share\\x", "\\\\server\\share\\x"),
        ("\\\\wsl.localhost\\Debian\\home\\ann", "\\\\wsl.localhost\\Debian\\home\\ann"),
        ("/c/Users/Ann", "C:\\Users\\Ann"),
        ("//c/Users/Ann", "C:\\Users\\Ann"),
        ("/c", "C:\\"),
        ("/mnt/d/x y", "D:\\x y"),
        ("/cygdrive/e/x", "E:\\x"),
        ("/mnt/data", "C:\\mnt\\data"),
    ],
)
def test_a_path_typed_on_windows(typed: str, found: str) -> None:
    assert hostpath.absolute(typed, HERE, "win32") == found
    assert PureWindowsPath(found).is_absolute()
    assert str(PureWindowsPath(found)).rstrip("\\") == found.rstrip("\\")


@pytest.mark.parametrize("typed", ["D:sub", "\\\\.\\pipe\\docker_engine", "//./pipe/x", "a\0b"])
def test_what_names_no_place_on_windows_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        hostpath.absolute(typed, HERE, "win32")


@pytest.mark.parametrize(
    ("typed", "platform", "found"),
    [
        ("../x/./y/", "linux", "/home/x/y"),
        ("//etc", "linux", "/etc"),
        ("/private/tmp/x", "darwin", "/tmp/x"),
        ("/private/var/folders/a", "darwin", "/var/folders/a"),
        ("/private/tmpx", "darwin", "/private/tmpx"),
        ("/private/tmp", "linux", "/private/tmp"),
        ("/Volumes/Data 2/x", "darwin", "/Volumes/Data 2/x"),
        ("C:\\x", "linux", "/home/ann/C:\\x"),
    ],
)
def test_a_path_typed_on_unix(typed: str, platform: str, found: str) -> None:
    assert hostpath.absolute(typed, "/home/ann", platform) == found


@pytest.mark.parametrize(
    ("host", "platform", "guest"),
    [
        ("/home/ann/src", "linux", "/home/ann/src"),
        ("/Users/Ann", "darwin", "/Users/Ann"),
        ("C:\\Users\\Ann", "win32", "/mnt/c/Users/Ann"),
        ("D:\\", "win32", "/mnt/d"),
        ("\\\\server\\share\\a b", "win32", "/mnt/unc/server/share/a b"),
    ],
)
def test_where_a_share_is_in_the_machine_unless_it_says_so(host: str, platform: str, guest: str) -> None:
    assert hostpath.default_guest(host, platform) == guest


@pytest.mark.parametrize(
    ("platform", "host", "guest"),
    [
        ("linux", "/home/ann/src", "/home/ann/src"),
        ("linux", "/home/ann/src/a/b", "/home/ann/src/a/b"),
        ("linux", "/home/ann/srcs", None),
        ("linux", "/home/ann/SRC", None),
        ("linux", "/data/x", "/mnt/data/x"),
        ("linux", "/home/ann", None),
        ("darwin", "/home/ANN/Src/A", "/home/ann/src/A"),
        ("darwin", f"/{NFD}/x", f"/{NFC}/x"),
        ("darwin", f"/{NFC.upper()}/x", f"/{NFC}/x"),
    ],
)
def test_from_the_host_to_the_machine(platform: str, host: str, guest: str | None) -> None:
    shares = [Share(each, each) for each in ("/home/ann/src", "/" + NFC)] + [Share("/data", "/mnt/data")]
    assert mountmap.build(shares, platform).to_guest(host) == guest


@pytest.mark.parametrize(
    ("host", "guest"),
    [
        ("C:\\Users\\Ann\\x", "/mnt/c/Users/Ann/x"),
        ("c:\\users\\ANN\\X", "/mnt/c/Users/Ann/X"),
        ("C:\\Users\\Anna", None),
        ("E:\\deep\\x", "/mnt/e/deep/x"),
        ("\\\\SERVER\\share\\a", "/mnt/unc/server/share/a"),
        ("\\\\server\\other\\a", None),
    ],
)
def test_from_windows_to_the_machine(host: str, guest: str | None) -> None:
    roots = ("C:\\Users\\Ann", "E:\\", "\\\\server\\share")
    shares = [Share(root, hostpath.default_guest(root, "win32")) for root in roots]
    assert mountmap.build(shares, "win32").to_guest(host) == guest


names = st.text(st.characters(exclude_characters="/\\\0:", codec="utf-8"), min_size=1).filter(
    lambda name: name not in (".", "..") and name == name.rstrip(". ")
)


@given(st.lists(names, max_size=4))
def test_every_name_below_a_share_goes_along(below: list[str]) -> None:
    unix = mountmap.build([Share("/code", "/mnt/w"), Share("/wor", "/x")], "linux")
    path = str(PurePosixPath("/code", *below))
    assert unix.to_guest(path) == str(PurePosixPath("/mnt/w", *below))
    windows = mountmap.build([Share("C:\\work", "/mnt/c/work")], "win32")
    path = "\\".join(("C:\\work", *below))
    assert windows.to_guest(path) == "/".join(("/mnt/c/work", *below))


@pytest.mark.parametrize(
    ("platform", "one", "other"),
    [
        ("linux", ("/a", "/a"), ("/a/b", "/c")),
        ("linux", ("/x", "/mnt/x"), ("/y", "/mnt/x/y")),
        ("linux", ("/a", "/a"), ("/a", "/b")),
        ("darwin", ("/Users/ann", "/one"), ("/users/ANN/x", "/two")),
        ("win32", ("C:\\Src", "/one"), ("c:/src/x", "/two")),
    ],
)
def test_shares_may_not_overlap(platform: str, one: tuple[str, str], other: tuple[str, str]) -> None:
    for shares in ((one, other), (other, one)):
        with pytest.raises(UsageError, match=r"overlap|twice"):
            mountmap.build([Share(*share) for share in shares], platform)
    assert mountmap.build([Share("/A", "/one"), Share("/a", "/two")], "linux")


@pytest.mark.parametrize("guest", ["/", "/home", "/etc", "/usr", "/var", "/proc/x", "/dev/shm", "/home/vagrant"])
def test_a_share_never_hides_what_the_machine_needs(guest: str) -> None:
    with pytest.raises(UsageError, match="nothing can be shared onto"):
        mountmap.build([Share("/src", guest)], "linux")


@pytest.mark.parametrize("guest", ["/home/ann", "/srv", "/etc2", "/var/www", "/home/vagrant/src", "/usr/src/app"])
def test_a_share_may_lie_elsewhere(guest: str) -> None:
    assert mountmap.build([Share("/src", guest)], "linux").to_guest("/src/x") == f"{guest}/x"
