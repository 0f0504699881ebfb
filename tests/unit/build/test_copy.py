"""COPY: what sources select, the digest of it, and how it is written."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devbox.build.files import chmod, owner
from devbox.build.files.copy import How, write, write_file
from devbox.build.files.selecting import Selection, select
from devbox.errors import ConflictError, DevboxError, NotFoundError, RefusedError, StateError, UsageError
from devbox.model.ignore import Matcher
from devbox.system.files import remove_tree
from devbox.system.walk import make_directories, open_in_root, open_root, opened

OWN = (os.getuid(), os.getgid())


def make(root: Path, *names: str, **contents: str) -> Path:
    """Files (of their own name), directories ("a/") and links ("a -> b")."""
    for name in names:
        path, arrow, target = name.partition(" -> ")
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            place.symlink_to(target)
        elif name.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.write_text(name)
    return root


def tree(root: Path) -> dict[str, str]:
    """Everything below: the content of files, "/" for directories, "-> x" for links."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = f"-> {path.readlink()}"
        else:
            found[str(path.relative_to(root))] = path.read_text() if path.is_file() else "/"
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def chosen(source: Path, *sources: str, ignore: Sequence[str] = (), **options: object) -> Selection:
    with opened(open_root(str(source))) as fd:
        return select(fd, sources, matcher=Matcher(ignore) if ignore else None, **options)  # type: ignore[arg-type]


def names(selection: Selection) -> list[str]:
    found = []
    for origin in selection.origins:
        for folder in origin.folders:
            prefix = folder.path + "/" if folder.path else ""
            found += [prefix + item.name + "/" * stat.S_ISDIR(item.mode) for item in folder.items]
    return sorted(found)


def copy(
    source: Path, target: Path, sources: str, destination: str, how: How | None = None, **options: object
) -> dict[str, str]:
    ignore = options.pop("ignore", ())
    with opened(open_root(str(source))) as fd, opened(open_root(str(target))) as into:
        matcher = Matcher(ignore) if ignore else None  # type: ignore[arg-type]
        selection = select(fd, sources.split(), matcher=matcher, **options)  # type: ignore[arg-type]
        write(selection, into, destination, how or How(owner=OWN))
    return tree(target)


# --- what is selected


def test_the_contents_of_a_directory_are_selected(source: Path) -> None:
    make(source, "d/a", "d/e/", "d/e/b", "x")
    assert names(chosen(source, "d")) == names(chosen(source, "/d/")) == ["a", "e/", "e/b"]
    assert names(chosen(source, ".")) == ["d/", "d/a", "d/e/", "d/e/b", "x"]


def test_no_source_leads_out_of_the_tree(source: Path) -> None:
    make(source, "x", "up -> ../../..", "root -> /", "d/abs -> /x", "d/loop -> loop")
    (source.parent / "secret").write_text("secret")
    for name in ("../secret", "/../secret", "up/secret", "up/source/secret", "root/secret"):
        with pytest.raises(NotFoundError):
            chosen(source, name)
    assert (
        names(chosen(source, "up/x")) == names(chosen(source, "root/x")) == names(chosen(source, "d/abs")) == ["x"]
    )
    with pytest.raises(RefusedError, match="too many symbolic links"):
        chosen(source, "d/loop")


def test_a_source_that_is_a_link_is_what_it_leads_to_but_links_below_stay(source: Path, target: Path) -> None:
    make(source, "d/a", "d/l -> a", "d/out -> /etc/passwd", "link -> d", "file -> d/a")
    assert copy(source, target, "link", "/x/") == {
        "x": "/",
        "x/a": "d/a",
        "x/l": "-> a",
        "x/out": "-> /etc/passwd",
    }
    assert copy(source, target, "file", "/y/")["y/file"] == "d/a"


def test_wildcards_match_names_and_nothing_is_an_answer(source: Path, target: Path) -> None:
    make(source, "a.go", "b.go", "c.txt", "s/1/f", "s/2/f", "s/3/g", "s/l -> 1", "br[1]")
    assert sorted(origin.name for origin in chosen(source, "*.go").origins) == ["a.go", "b.go"]
    assert len(chosen(source, "s/*/f").origins) == 2
    assert len(chosen(source, "s/[12]/?").origins) == 2
    assert [origin.name for origin in chosen(source, "br\\[1\\]").origins] == ["br[1]"]
    assert chosen(source, "*.none").origins == chosen(source, "s/*.none").origins == ()
    with pytest.raises(NotFoundError):
        chosen(source, "none/*")
    assert copy(source, target, "*.none", "/x/") == {}
    assert copy(source, target, "s/*", "/x/") == {"x": "/", "x/f": "s/1/f", "x/g": "s/3/g"}


def test_what_is_absent_is_told_with_its_neighbour(source: Path) -> None:
    make(source, "package.json")
    with pytest.raises(NotFoundError) as caught:
        chosen(source, "pakage.json")
    assert caught.value.message == '"/pakage.json": not found'
    assert caught.value.hint == "did you mean package.json?"


def test_dockerignore_takes_files_out(source: Path) -> None:
    make(source, "a", "b.log", "n/x", "n/keep/y", "n/keep/z.log", "m/x")
    ignore = ("*.log", "**/*.log", "n", "!n/keep", "m")
    # the last pattern that matches is "!n/keep", whatever the file is called
    expected = ["a", "n/", "n/keep/", "n/keep/y", "n/keep/z.log"]
    assert names(chosen(source, ".", ignore=ignore)) == expected
    for name in ("b.log", "m", "m/x", "n/x"):
        with pytest.raises(NotFoundError) as caught:
            chosen(source, name, ignore=ignore)
        assert "excluded by .dockerignore" in caught.value.hint
    with pytest.raises(NotFoundError):
        chosen(source, "m/*", ignore=ignore)
    assert [origin.name for origin in chosen(source, "?", ignore=ignore).origins] == ["a", "n"]


def test_an_excluded_directory_is_there_only_for_what_is_in_it(source: Path) -> None:
    make(source, "d/x/y", "e/keep", "l/on -> ../e", "e/z")
    ignore = ("d", "e", "!**/keep", "l/on")
    assert names(chosen(source, "e", ignore=ignore)) == ["keep"]
    assert [origin.name for origin in chosen(source, "?", ignore=ignore).origins] == ["e", "l"]
    for name in ("d", "d/x", "l/on", "l/on/keep"):
        with pytest.raises(NotFoundError):
            chosen(source, name, ignore=ignore)


def test_excludes_are_below_the_source(source: Path) -> None:
    make(source, "d/a.txt", "d/b", "d/e/c.txt", "d/e/d", "f.txt", "g")
    assert names(chosen(source, "d", excludes=["*.txt"])) == ["b", "e/", "e/c.txt", "e/d"]
    assert names(chosen(source, "d", excludes=["**/*.txt"])) == ["b", "e/", "e/d"]
    assert names(chosen(source, "d", excludes=["*", "!e/d"])) == ["e/", "e/d"]
    assert [origin.name for origin in chosen(source, "*", excludes=["*.txt"]).origins] == ["d", "g"]
    assert names(chosen(source, "f.txt", excludes=["*.txt"])) == ["f.txt"]


def test_parents_keep_the_path_from_the_pivot_on(source: Path, target: Path) -> None:
    make(source, "a/b/c/d/foo", "a/b/c/d/e/bay", "a/b2/c/d/e/bar", "a/b/c2/d/e/baz")

    def there(*sources: str) -> list[str]:
        return [name for name in names(chosen(source, *sources, parents=True)) if not name.endswith("/")]

    assert there("a/b/c/d") == there("./a/b/c/d/.") == ["a/b/c/d/e/bay", "a/b/c/d/foo"]
    assert there("a/b/./c/d") == ["c/d/e/bay", "c/d/foo"]
    assert there("/a/./*/c") == ["b/c/d/e/bay", "b/c/d/foo", "b2/c/d/e/bar"]
    assert there("a/b*/./c/**/e") == ["c/d/e/bar", "c/d/e/bay"]
    assert there("a/b/c*/./d/**/baz") == ["d/e/baz"]
    assert there("a/none*/c") == []
    with pytest.raises(NotFoundError):
        chosen(source, "a/none", parents=True)
    assert copy(source, target, "a/b/c/d/foo", "/o/", parents=True)["o/a/b/c/d/foo"] == "a/b/c/d/foo"
    assert "o/a/b2" not in tree(target)


# --- the digest


def test_what_counts_and_what_does_not(source: Path) -> None:
    make(source, "d/a", "d/l -> a", "d/e/", "other -> b")
    before = chosen(source, "d").digest
    os.utime(source / "d/a", (1, 1))
    assert chosen(source, "d").digest == before
    changes = (
        lambda: (source / "d/a").write_text("other"),
        lambda: (source / "d/a").chmod(0o755),
        lambda: (source / "d/e").chmod(0o711),
        lambda: (source / "d/e").rename(source / "d/f"),
        lambda: os.replace(source / "other", source / "d/l"),
        lambda: (source / "d/new").touch(),
    )
    seen = {before}
    for change in changes:
        change()
        seen.add(chosen(source, "d").digest)
    assert len(seen) == len(changes) + 1


def test_the_name_of_a_file_counts_and_that_of_a_directory_does_not(source: Path) -> None:
    make(source, "d/x")
    (source / "a").write_text("1")
    (source / "b").write_text("1")
    assert chosen(source, "a").digest != chosen(source, "b").digest
    before = chosen(source, "d").digest
    (source / "d").rename(source / "e")
    assert chosen(source, "e").digest == before


def test_owners_count_only_where_they_are_kept(source: Path) -> None:
    if os.getuid():
        pytest.skip("needs root to change an owner")
    make(source, "d/a")
    before = chosen(source, "d").digest, chosen(source, "d", keep_owner=True).digest
    os.chown(source / "d/a", 7, 8)
    assert chosen(source, "d").digest == before[0]
    assert chosen(source, "d", keep_owner=True).digest != before[1]


def test_a_fifo_is_never_opened_and_a_device_refused(source: Path, target: Path) -> None:
    os.mkfifo(source / "fifo")
    with opened(open_root(str(source))) as fd:
        assert select(fd, ["."]).digest
    copy(source, target, ".", "/x/")
    assert stat.S_ISFIFO((target / "x/fifo").stat().st_mode)
    if os.getuid() == 0:
        os.mknod(source / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        with pytest.raises(RefusedError, match="is a device"):
            chosen(source, ".")


class Book:
    """A memo that tells how often it knew the answer."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.hits: list[str] = []

    def get(self, key: str) -> bytes | None:
        if key in self.entries:
            self.hits.append(key.partition(":")[0])
        return self.entries.get(key)

    def put(self, key: str, value: bytes) -> None:
        self.entries[key] = value


def test_a_memo_saves_reading_and_never_lies(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from devbox.build.files import selecting

    make(source, "d/a", "d/b", "d/c/e")
    memo = Book()
    fresh = chosen(source, "d", memo=memo).digest
    assert not any(
        key.startswith("status") for key in memo.entries
    )  # written a moment ago: they may change unseen
    monkeypatch.setattr(selecting, "_RACY", -(1 << 62))
    assert chosen(source, "d", memo=memo).digest == fresh
    memo.hits.clear()
    assert chosen(source, "d", memo=memo).digest == fresh
    assert memo.hits == ["status"]
    (source / "d/a").write_text("D/A")
    memo.hits.clear()
    changed = chosen(source, "d", memo=memo).digest
    assert memo.hits == ["files"]
    assert changed == chosen(source, "d").digest != fresh


def test_a_file_that_changes_in_between_is_told(source: Path, target: Path) -> None:
    make(source, "d/a")
    with opened(open_root(str(source))) as fd, opened(open_root(str(target))) as into:
        selection = select(fd, ["d"])
        (source / "d/a").write_text("longer than before")
        with pytest.raises(StateError, match="changed while it was read"):
            write(selection, into, "/", How(owner=OWN))
        (source / "d/a").unlink()
        (source / "d/a").symlink_to("/etc/passwd")
        with pytest.raises(StateError, match="changed while it was read"):
            write(selection, into, "/", How(owner=OWN))


def test_a_check_stops_the_walk(source: Path) -> None:
    make(source, "d/a")

    def stop() -> None:
        raise StateError("stopped")

    with pytest.raises(StateError, match="stopped"):
        chosen(source, "d", check=stop)


def test_a_deep_tree_takes_no_stack_and_no_descriptors(source: Path, target: Path) -> None:
    path = "/".join(["d"] * 1050)
    try:
        with opened(open_root(str(source))) as fd, opened(open_root(str(target))) as into:
            os.close(make_directories(fd, path))
            with opened(open_in_root(fd, path, os.O_PATH)) as bottom:
                os.mkfifo("f", dir_fd=bottom)
            write(select(fd, ["."]), into, "/x/", How(owner=OWN))
            with opened(open_in_root(into, f"/x/{path}/f", os.O_PATH)) as copied:
                assert stat.S_ISFIFO(os.fstat(copied).st_mode)
    finally:
        remove_tree(str(source))
        remove_tree(str(target))


# --- how it is written


def test_a_file_gets_the_name_that_the_destination_says(source: Path, target: Path) -> None:
    make(source, "f")
    make(target, "dir/")
    assert copy(source, target, "f", "/new")["new"] == "f"
    assert copy(source, target, "f", "/sub/new")["sub/new"] == "f"
    assert copy(source, target, "f", "/sub2/")["sub2/f"] == "f"
    assert copy(source, target, "f", "/dir")["dir/f"] == "f"
    assert copy(source, target, "f", "/dir/.")["dir/f"] == "f"
    assert copy(source, target, "f", "/")["f"] == "f"


def test_several_files_need_a_directory_and_several_directories_merge(source: Path, target: Path) -> None:
    make(source, "a", "b", "d/x", "e/y")
    with pytest.raises(RefusedError) as caught:
        copy(source, target, "a b", "/both")
    assert caught.value.hint == "write /both/"
    assert copy(source, target, "d e", "/merged") == {"merged": "/", "merged/x": "d/x", "merged/y": "e/y"}
    assert copy(source, target, "a b", "/merged")["merged/b"] == "b"


def test_links_at_the_destination_lead_within_the_tree_and_below_are_replaced(source: Path, target: Path) -> None:
    make(source, "d/f", "d/g", "h")
    make(target, "real/", "link -> /real", "real/f -> /etc/passwd", "file", "tofile -> file", "dangling -> made")
    assert copy(source, target, "d", "/link")["real/f"] == "d/f"
    assert copy(source, target, "h", "/tofile")["file"] == "h"
    assert tree(target)["tofile"] == "-> file"
    assert copy(source, target, "h", "/dangling")["made"] == "h"
    assert Path("/etc/passwd").read_text() != "d/f"


@pytest.mark.parametrize("link", ["/", "../../../..", "/../.."])
def test_no_destination_leads_out_of_the_tree(source: Path, target: Path, link: str) -> None:
    make(source, "d/f", "f")
    make(target, f"out -> {link}")
    copy(source, target, "d", "/out/sub")
    copy(source, target, "f", "/out/sub2/g")
    copy(source, target, "f", "/../../h")
    assert {"sub/f", "sub2/g", "h"} <= tree(target).keys()


def test_directories_and_files_do_not_replace_each_other(source: Path, target: Path) -> None:
    make(source, "d/x/y", "e/x")
    make(target, "file", "a/x", "b/x/")
    with pytest.raises(ConflictError, match="non-directory"):
        copy(source, target, "d", "/file")
    with pytest.raises(ConflictError, match="non-directory"):
        copy(source, target, "d", "/a")
    with pytest.raises(ConflictError, match="cannot replace to directory"):
        copy(source, target, "e", "/b")
    with pytest.raises(ConflictError, match="non-directory"):
        copy(source, target, "e/x", "/file/")


def test_a_directory_does_not_replace_a_link_below(source: Path, target: Path) -> None:
    make(source, "d/x/y")
    make(target, "a/", "real/", "a/x -> /real")
    with pytest.raises(ConflictError):
        copy(source, target, "d", "/a")


def test_modes_of_directories_are_those_of_the_source_but_for_the_top(source: Path, target: Path) -> None:
    make(source, "d/e/f")
    (source / "d").chmod(0o700)
    (source / "d/e").chmod(0o750)
    (source / "d/e/f").chmod(0o640)
    make(target, "there/", "there/e/")
    (target / "there").chmod(0o711)
    copy(source, target, "d", "/there")
    copy(source, target, "d", "/p/new")

    def modes(*paths: str) -> list[int]:
        return [stat.S_IMODE((target / path).stat().st_mode) for path in paths]

    assert modes("there", "there/e", "there/e/f") == [0o711, 0o750, 0o640]
    assert modes("p", "p/new", "p/new/e") == [0o755, 0o755, 0o750]


def test_chmod_is_for_everything_and_for_what_is_made_on_the_way(source: Path, target: Path) -> None:
    make(source, "d/f", "d/e/", "d/l -> f")
    copy(source, target, "d", "/p/x", How(owner=OWN, mode=0o711))
    for path in ("p", "p/x", "p/x/f", "p/x/e"):
        assert stat.S_IMODE((target / path).stat().st_mode) == 0o711
    copy(source, target, "d", "/s", How(owner=OWN, mode="go-rwx"))
    assert stat.S_IMODE((target / "s/f").stat().st_mode) & 0o77 == 0
    assert stat.S_IMODE((target / "s").stat().st_mode) == 0o755


def test_owners_attributes_times_and_hard_links(source: Path, target: Path) -> None:
    if os.getuid():
        pytest.skip("needs root to change an owner")
    make(source, "d/a", "d/e/f", "d/s -> a")
    os.link(source / "d/a", source / "d/e/b")
    os.chown(source / "d/a", 11, 12)
    os.chown(source / "d/s", 13, 14, follow_symlinks=False)
    os.chmod(source / "d/a", 0o4755)
    capability = bytes.fromhex("0100000202000000000000000000000000000000")
    os.setxattr(source / "d/e/f", "security.capability", capability)
    for path in ("d/a", "d/e/f", "d/e"):
        os.utime(source / path, (5, 5))
    copy(source, target, "d", "/k", How(keep_times=True, foreign=True), keep_owner=True)
    a, b = (target / "k/a").stat(), (target / "k/e/b").stat()
    assert (a.st_uid, a.st_gid, stat.S_IMODE(a.st_mode), a.st_mtime) == (11, 12, 0o4755, 5)
    assert (a.st_ino, a.st_nlink) == (b.st_ino, 2)
    link = (target / "k/s").lstat()
    assert (link.st_uid, link.st_gid) == (13, 14)
    assert os.getxattr(target / "k/e/f", "security.capability") == capability
    assert (target / "k/e").stat().st_mtime == 5
    copy(source, target, "d", "/o/p", How(owner=(21, 22)))
    for path in ("o", "o/p", "o/p/a", "o/p/e"):
        assert ((target / path).stat().st_uid, (target / path).stat().st_gid) == (21, 22)
    assert (target / "o/p/a").stat().st_mtime != 5


def test_a_file_can_be_written_from_memory(source: Path, target: Path) -> None:
    with opened(open_root(str(target))) as fd:
        write_file(fd, "/d/", "hello", b"text", How(owner=OWN))
        write_file(fd, "/d/other", "hello", b"text", How(owner=OWN, mode=0o600))
    assert tree(target) == {"d": "/", "d/hello": "text", "d/other": "text"}
    assert stat.S_IMODE((target / "d/other").stat().st_mode) == 0o600
    assert stat.S_IMODE((target / "d/hello").stat().st_mode) == 0o644


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(PATHS, st.sampled_from(["file", "dir", "link"])), max_size=6),
    st.lists(st.tuples(PATHS, st.sampled_from(["file", "dir", "link"])), max_size=4),
    PATHS,
    st.sampled_from(["", "/"]),
)
def test_whatever_is_where_nothing_outside_changes(
    tmp_path_factory: pytest.TempPathFactory,
    sources: list[tuple[str, str]],
    targets: list[tuple[str, str]],
    destination: str,
    slash: str,
) -> None:
    base = tmp_path_factory.mktemp("any")
    for root, wishes in (("source", sources), ("target", targets)):
        (base / root).mkdir()
        for path, kind in wishes:
            place = base / root / path
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                if kind == "dir":
                    place.mkdir()
                elif kind == "link":
                    place.symlink_to(["/a", "../../..", "b"][len(path) % 3])
                else:
                    place.write_text(path)
            except OSError:
                continue
    before = tree(base / "source")
    try:
        copy(base / "source", base / "target", ".", f"/{destination}{slash}")
    except DevboxError:
        pass
    else:
        assert names(chosen(base / "source", ".")) == sorted(
            path + "/" * (kind == "/") for path, kind in before.items()
        )
    assert tree(base / "source") == before
    assert sorted(os.listdir(base)) == ["source", "target"]


# --- --chmod and --chown


@pytest.mark.parametrize(
    ("spec", "mode", "expected"),
    [
        ("0644", stat.S_IFREG | 0o777, 0o644),
        ("7777", stat.S_IFDIR, 0o7777),
        ("u+x", stat.S_IFREG | 0o644, 0o744),
        ("+x", stat.S_IFREG | 0o644, 0o755),
        ("a=r", stat.S_IFREG | 0o755, 0o444),
        ("go=", stat.S_IFREG | 0o755, 0o700),
        ("go=u", stat.S_IFREG | 0o750, 0o777),
        ("u=rwX,go=rX", stat.S_IFREG | 0o600, 0o644),
        ("u=rwX,go=rX", stat.S_IFDIR | 0o600, 0o755),
        ("u=rwX,go=rX", stat.S_IFREG | 0o700, 0o755),
        ("u+s,g+s", stat.S_IFREG | 0o755, 0o6755),
        ("+t", stat.S_IFDIR | 0o777, 0o1777),
        ("u-s", stat.S_IFREG | 0o4755, 0o755),
        ("u=rwx", stat.S_IFREG | 0o4644, 0o744),
        ("u+r-w,o+w", stat.S_IFREG | 0o200, 0o402),
    ],
)
def test_modes_change_as_chmod_changes_them(spec: str, mode: int, expected: int) -> None:
    assert chmod.apply(chmod.read(spec), mode) == expected


@pytest.mark.parametrize("spec", ["64a", "10000", "8", "", "u", "x+u", "u+q", "u+x,", "-1"])
def test_modes_that_are_none(spec: str) -> None:
    with pytest.raises(UsageError):
        chmod.read(spec)


def test_owners_are_the_images_own(target: Path) -> None:
    make(target, "etc/")
    (target / "etc/passwd").write_text("web:x:33:34::/:/bin/sh\n")
    (target / "etc/group").write_text("staff:x:50:\n")
    with opened(open_root(str(target))) as fd:
        assert owner.read(fd, "web") == (33, 34)
        assert owner.read(fd, "web:staff") == (33, 50)
        assert owner.read(fd, "7") == (7, 7)
        assert owner.read(fd, "7:8") == (7, 8)
        assert owner.read(fd, "7:staff") == (7, 50)
        for text in ("nobody", "7:nobody"):
            with pytest.raises(NotFoundError):
                owner.read(fd, text)
        for text in ("", ":7", "7:", "2147483648", "4294967295:0"):
            with pytest.raises(UsageError):
                owner.read(fd, text)
