"""Archives of a hostile author: refused or harmless, and nothing outside is touched (SAFETY 1-4)."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from devbox.errors import RefusedError
from devbox.image.tar.limits import RECORD_MAX, Limits
from devbox.image.tar.unpack import Policy

DIR, LINK, HARD, FIFO, CHAR = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE
Tar = Callable[..., bytes]
M = Callable[..., Any]


@pytest.mark.parametrize("name", ["../outside/x", "a/../../outside/x", "..", "a/..", "/../outside/x", "./../x"])
def test_a_name_with_dots_is_refused(place: Any, tar: Tar, member: M, name: str) -> None:
    with pytest.raises(RefusedError, match="leads out"):
        place.unpack(tar(member(name, b"x")))
    assert os.listdir(place.path) == []


def test_an_absolute_name_is_taken_from_the_top(place: Any, tar: Tar, member: M) -> None:
    place.unpack(tar(member(f"{place.outside}/canary", b"x"), member("//etc//./passwd", b"y")))
    assert (place.path / str(place.outside)[1:] / "canary").read_bytes() == b"x"
    assert (place.path / "etc/passwd").read_bytes() == b"y"


@pytest.mark.parametrize("depth", ["..", "../..", "../../../../../../../.."])
def test_a_file_through_a_relative_link_stays_inside(place: Any, tar: Tar, member: M, depth: str) -> None:
    hostile = tar(member("link", type=LINK, linkname=f"{depth}/outside"), member("link/canary", b"x"))
    with pytest.raises(RefusedError):
        place.unpack(hostile)


@pytest.mark.parametrize("last", ["canary", "new", "deep/er", ".wh.canary", ".wh..wh..opq"])
def test_nothing_is_written_or_deleted_through_an_absolute_link(
    place: Any, tar: Tar, member: M, last: str
) -> None:
    hostile = tar(member("link", type=LINK, linkname=str(place.outside)), member(f"link/{last}", b"x"))
    with pytest.raises(RefusedError):
        place.unpack(hostile)


def test_a_chain_of_links_stays_inside(place: Any, tar: Tar, member: M) -> None:
    links = [member(f"l{n}", type=LINK, linkname=f"l{n + 1}") for n in range(10)]
    hostile = tar(*links, member("l10", type=LINK, linkname="../outside"), member("l0/canary", b"x"))
    with pytest.raises(RefusedError):
        place.unpack(hostile)


def test_a_link_within_the_tree_may_be_a_parent(place: Any, tar: Tar, member: M) -> None:
    place.unpack(
        tar(
            member("usr/lib", type=DIR, mode=0o755),
            member("lib", type=LINK, linkname="usr/lib"),
            member("abs", type=LINK, linkname="/usr/lib"),
            member("lib/x", b"x"),
            member("abs/y", b"y"),
        )
    )
    assert sorted(os.listdir(place.path / "usr/lib")) == ["x", "y"]


def test_the_top_itself_cannot_become_a_link(place: Any, tar: Tar, member: M) -> None:
    for name in (".", "./", "/"):
        with pytest.raises(RefusedError):
            place.unpack(tar(member(name, type=LINK, linkname=str(place.outside)), member("canary", b"x")))


def test_a_link_that_replaces_a_directory_is_not_entered(place: Any, tar: Tar, member: M) -> None:
    hostile = tar(
        member("d", type=DIR, mode=0o700, mtime=1),
        member("d/x", b"x"),
        member("d", type=LINK, linkname=str(place.outside)),
        member("d/canary", b"x"),
    )
    before = place.outside.stat()
    with pytest.raises(RefusedError):
        place.unpack(hostile)
    assert place.outside.stat().st_mode == before.st_mode


def test_a_directory_replaced_by_a_link_gives_the_target_no_mode(place: Any, tar: Tar, member: M) -> None:
    before = place.outside.stat()
    place.unpack(
        tar(member("d", type=DIR, mode=0o777, mtime=1), member("d", type=LINK, linkname=str(place.outside)))
    )
    assert place.outside.stat().st_mode == before.st_mode
    assert place.outside.stat().st_mtime == before.st_mtime


def test_a_directory_replaced_by_a_link_within_the_tree_gives_no_mode_either(
    place: Any, tar: Tar, member: M
) -> None:
    place.unpack(
        tar(
            member("other", type=DIR, mode=0o700, mtime=1),
            member("d", type=DIR, mode=0o777, mtime=2),
            member("d", type=LINK, linkname="other"),
        )
    )
    assert (place.path / "other").stat().st_mode & 0o777 == 0o700
    assert (place.path / "other").stat().st_mtime == 1


def test_what_comes_after_a_directory_that_was_replaced_goes_into_the_new_one(
    place: Any, tar: Tar, member: M
) -> None:
    place.unpack(
        tar(member("d/old", b"old"), member("d", b"a file"), member("d", type=DIR), member("d/new", b"new"))
    )
    assert (place.path / "d/new").read_bytes() == b"new"
    assert os.listdir(place.path / "d") == ["new"]


def test_a_file_replaces_a_link_and_leaves_its_target(place: Any, tar: Tar, member: M) -> None:
    target = str(place.outside / "canary")
    place.unpack(tar(member("f", type=LINK, linkname=target), member("f", b"new", mode=0o777)))
    assert (place.path / "f").read_bytes() == b"new"
    assert not (place.path / "f").is_symlink()


def test_owner_and_time_of_a_link_are_its_own(place: Any, tar: Tar, member: M) -> None:
    before = (place.outside / "canary").stat()
    target = str(place.outside / "canary")
    place.unpack(tar(member("f", type=LINK, linkname=target, mtime=5, mode=0o777)))
    after = (place.outside / "canary").stat()
    assert (before.st_uid, before.st_mode, before.st_mtime) == (after.st_uid, after.st_mode, after.st_mtime)
    assert (place.path / "f").lstat().st_mtime == 5


@pytest.mark.parametrize(
    "target", ["../outside/canary", "absent", "link/canary", "link", "d", "/", "", "../../etc/passwd"]
)
def test_hard_links_lead_to_files_of_the_archive_only(place: Any, tar: Tar, member: M, target: str) -> None:
    hostile = tar(
        member("d", type=DIR, mode=0o755),
        member("link", type=LINK, linkname=str(place.outside)),
        member("hard", type=HARD, linkname=target),
    )
    if target == "link":
        place.unpack(hostile)
        assert (place.path / "hard").is_symlink()
        return
    with pytest.raises(RefusedError):
        place.unpack(hostile)


def test_a_hard_link_through_a_link_within_the_tree_is_refused(place: Any, tar: Tar, member: M) -> None:
    hostile = tar(
        member("d/f", b"x"),
        member("link", type=LINK, linkname="d"),
        member("hard", type=HARD, linkname="link/f"),
    )
    with pytest.raises(RefusedError):
        place.unpack(hostile)


def test_writing_to_a_hard_link_replaces_it(place: Any, tar: Tar, member: M) -> None:
    place.unpack(
        tar(member("a", b"one"), member("b", type=HARD, linkname="a"), member("b", b"two"), member("b", b"three"))
    )
    assert (place.path / "a").read_bytes() == b"one"
    assert (place.path / "b").read_bytes() == b"three"


def test_a_hard_link_to_itself_keeps_the_file(place: Any, tar: Tar, member: M) -> None:
    place.unpack(tar(member("a", b"one"), member("a", type=HARD, linkname="./a")))
    assert (place.path / "a").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["d/.wh.", "d/.wh...", ".wh..", ".wh.x/y", "d/.wh.x/.wh.y"])
def test_a_malformed_deletion_is_refused(place: Any, tar: Tar, member: M, name: str) -> None:
    with pytest.raises(RefusedError):
        place.unpack(tar(member("d", type=DIR, mode=0o755), member(name, b"")))


def test_deletions_become_marks_and_keep_what_the_layer_itself_has(place: Any, tar: Tar, member: M) -> None:
    place.unpack(
        tar(
            member("own", b"kept"),
            member(".wh.own"),
            member("d/.wh.gone", b"data of a mark is nothing"),
            member(".wh..wh.plnk"),
            member("back/.wh.file"),
            member("back/file", b"new"),
        )
    )
    gone = (place.path / "d/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert (place.path / "own").read_bytes() == b"kept"
    assert (place.path / "back/file").read_bytes() == b"new"
    assert sorted(os.listdir(place.path)) == ["back", "d", "own"]


def test_without_whiteouts_the_names_are_ordinary(place: Any, tar: Tar, member: M) -> None:
    policy = Policy(whiteouts=False, owner=(os.getuid(), os.getgid()))
    place.unpack(tar(member(".wh.x", b"1"), member(".wh..wh..opq", b"2")), policy=policy)
    assert (place.path / ".wh.x").read_bytes() == b"1"
    assert (place.path / ".wh..wh..opq").read_bytes() == b"2"


def test_devices_are_refused_where_they_are_not_wanted(place: Any, tar: Tar, member: M) -> None:
    policy = Policy(devices=False)
    with pytest.raises(RefusedError, match="device"):
        place.unpack(tar(member("null", type=CHAR, devmajor=1, devminor=3)), policy=policy)
    with pytest.raises(RefusedError, match="device"):
        place.unpack(tar(member("big", type=CHAR, devmajor=1 << 13, devminor=3)))


def test_a_fifo_blocks_nobody(place: Any, tar: Tar, member: M) -> None:
    place.unpack(tar(member("f", type=FIFO, mode=0o600), member("f", b"file now"), member("g", type=FIFO)))
    assert (place.path / "f").read_bytes() == b"file now"
    assert stat.S_ISFIFO((place.path / "g").lstat().st_mode)


@pytest.mark.parametrize("parts", [2047, 5000])
def test_paths_up_to_what_a_process_can_name(place: Any, tar: Tar, member: M, parts: int) -> None:
    data = tar(member("d/" * parts + "f", b"x"))
    if parts < 2048:
        place.unpack(data)
    else:
        with pytest.raises(RefusedError, match="4095 bytes"):
            place.unpack(data)


def test_links_that_add_up_to_great_depth_stay_removable(place: Any, tar: Tar, member: M) -> None:
    deep = "/".join(["d"] * 1000)
    place.unpack(
        tar(
            member(deep, type=DIR, mode=0o755),
            member("l", type=LINK, linkname=deep),
            member("l/" + deep, type=DIR, mode=0o755),
            member("m", type=LINK, linkname="l/" + deep),
            member("m/" + deep + "/f", b"x"),
        )
    )


def test_a_file_as_a_parent_is_refused(place: Any, tar: Tar, member: M) -> None:
    with pytest.raises(RefusedError):
        place.unpack(tar(member("f", b"x"), member("f/g", b"y")))


@pytest.mark.parametrize("uid", [-1, 2147483648, 4294967295])
def test_owners_out_of_range_are_refused(place: Any, tar: Tar, member: M, uid: int) -> None:
    with pytest.raises(RefusedError, match="owner"):
        place.unpack(tar(member("f", b"x", pax_headers={"uid": str(uid)})))


@pytest.mark.parametrize("records", [{"size": "-1"}, {"size": "9" * 19}, {"size": "1e3"}, {"mtime": "nan"}])
def test_impossible_numbers_are_refused(place: Any, tar: Tar, member: M, records: dict[str, str]) -> None:
    with pytest.raises(RefusedError):
        place.unpack(tar(member("f", b"x", pax_headers=records)))


def test_negative_sizes_in_base_256_are_refused(place: Any, tar: Tar, member: M) -> None:
    block = bytearray(tar(member("f"))[:512])
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(RefusedError, match="impossible size"):
        place.unpack(bytes(block) + bytes(1024))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_huge_records_are_refused(place: Any, tar: Tar, member: M, form: int) -> None:
    with pytest.raises(RefusedError, match="extended header"):
        place.unpack(tar(member("n" * (RECORD_MAX + 1), b"x"), form=form))


def test_many_records_for_one_entry_add_up(place: Any, tar: Tar, member: M) -> None:
    long = tar(member("n" * 400_000, b""), form=tarfile.GNU_FORMAT)[: 512 + 400_384]
    with pytest.raises(RefusedError, match="extended header"):
        place.unpack(long * 3)


@pytest.mark.parametrize("data", [b"5 a\n", b"99 path=x\n", b"x path=y\n", b"9 path=x\n\n", b"0 =\n", b"8 path=x"])
def test_malformed_pax_records_are_refused(place: Any, tar: Tar, member: M, data: bytes) -> None:
    records = tar(member("h", data, type=tarfile.XHDTYPE))
    with pytest.raises(RefusedError):
        place.unpack(records[:1024] + tar(member("f", b"x")))


def test_names_with_nul_are_refused(place: Any, tar: Tar, member: M) -> None:
    with pytest.raises(RefusedError, match="NUL"):
        place.unpack(tar(member("f", b"x", pax_headers={"path": "a\0b"})))


def test_truncated_and_damaged_archives_are_refused(place: Any, tar: Tar, member: M) -> None:
    data = tar(member("f", b"x" * 2000))
    for cut in (100, 600, 1500):
        with pytest.raises(RefusedError, match="ends in the middle"):
            place.unpack(data[:cut])
    with pytest.raises(RefusedError, match="checksum"):
        place.unpack(b"not a tar archive" * 100)
    with pytest.raises(RefusedError, match="checksum"):
        place.unpack(b"g" + data[1:])


def test_unknown_types_are_refused(place: Any, tar: Tar, member: M) -> None:
    with pytest.raises(RefusedError, match="unknown type"):
        place.unpack(tar(member("f", type=b"Z")))


def test_bytes_and_entries_stop_at_their_limits(place: Any, tar: Tar, member: M) -> None:
    with pytest.raises(RefusedError, match="more than 10000 bytes"):
        place.unpack(tar(member("f", b"x" * 20_000)), limits=Limits(size=10_000))
    large = bytearray(tar(member("f", b"x" * 20_000)))
    large[124:136] = b"%011o\0" % (1 << 32)
    large[148:156] = b"%06o\0 " % (sum(large[:148]) + sum(large[156:512]) + 8 * 32)
    with pytest.raises(RefusedError, match="more than"):
        place.unpack(bytes(large), limits=Limits(size=1 << 20))
    assert os.listdir(place.path) == []  # told before a byte of it is written
    many = tar(*(member(f"f{n}") for n in range(20)))
    with pytest.raises(RefusedError, match="more than 10 entries"):
        place.unpack(many, limits=Limits(entries=10))
    assert Limits().for_input(1000).size == Limits().free
    assert Limits().for_input(1 << 30).size == Limits().size


def test_holes_count_as_bytes(place: Any, tar: Tar, member: M) -> None:
    records = {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,1"}
    with pytest.raises(RefusedError, match="more than"):
        place.unpack(tar(member("f", b"x", pax_headers=records)))


@pytest.mark.parametrize(
    ("pieces", "size"), [("0,2", "9"), ("5,1,0,0", "9"), ("9,1", "9"), ("0", "9"), ("-1,1", "9"), ("0,1", "-1")]
)
def test_malformed_sparse_maps_are_refused(place: Any, tar: Tar, member: M, pieces: str, size: str) -> None:
    records = {"GNU.sparse.size": size, "GNU.sparse.map": pieces}
    with pytest.raises(RefusedError):
        place.unpack(tar(member("f", b"x", pax_headers=records)))
