"""Contexts and the remote sources of ADD: archives, repositories, URLs, stdin, and what is hostile about them."""

from __future__ import annotations

import gzip
import http.server
import io
import lzma
import os
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devbox.build.files import add, fetch, git, giturl
from devbox.build.files.context import Context, Wish, opened_context
from devbox.build.files.copy import How
from devbox.build.files.selecting import select
from devbox.errors import HostError, NotFoundError, RefusedError, UsageError
from devbox.store.root import Root
from devbox.system.walk import open_root, opened

OWN = (os.getuid(), os.getgid())


@pytest.fixture
def root(tmp_path: Path) -> Root:
    place = Root(str(tmp_path / "store"), str(tmp_path / "store/run"))
    os.makedirs(place.scratch)
    return place


def archive(**files: str) -> bytes:
    """A tar with regular files; "-> x" makes a link, "|" a FIFO, "#" a device."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            if content.startswith("-> "):
                info.type, info.linkname = tarfile.SYMTYPE, content[3:]
            elif content in ("|", "#"):
                info.type = tarfile.FIFOTYPE if content == "|" else tarfile.CHRTYPE
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()) if info.isreg() else None)
    return data.getvalue()


@contextmanager
def stdin(data: bytes) -> Iterator[int]:
    reader, writer = os.pipe()

    def feed() -> None:
        with open(writer, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield reader
    finally:
        os.close(reader)
        thread.join()


def names(context: Context) -> list[str]:
    return sorted(os.listdir(context.fd))


@contextmanager
def from_stdin(root: Root, data: bytes, file: str = "") -> Iterator[Context]:
    with stdin(data) as fd, opened_context(root, Wish("-", file, stdin=fd)) as context:
        yield context


# --- a directory


def test_a_directory_with_its_dockerfile(root: Root, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c/Dockerfile").write_text("FROM a")
    (tmp_path / "c/.dockerignore").write_text("*.log\n")
    (tmp_path / "other").write_text("FROM b")
    (tmp_path / "other.dockerignore").write_text("*.txt\n")
    with opened_context(root, Wish("c", cwd=str(tmp_path))) as context:
        assert (context.dockerfile, context.shown) == (b"FROM a", "Dockerfile")
        assert context.matcher is not None
        assert context.matcher.excluded("x.log")
    with opened_context(root, Wish("c", "other", str(tmp_path))) as context:
        assert (context.dockerfile, context.shown) == (b"FROM b", "other")
        assert context.matcher is not None
        assert context.matcher.excluded("x.txt")
        assert not context.matcher.excluded("x.log")
    with stdin(b"FROM c") as fd, opened_context(root, Wish("c", "-", str(tmp_path), stdin=fd)) as context:
        assert context.dockerfile == b"FROM c"
        assert context.matcher is not None
    assert os.listdir(root.scratch) == []


@pytest.mark.parametrize(
    ("source", "file", "part"),
    [
        ("none", "", "cannot use"),
        ("c", "none", "cannot read none"),
        ("c/Dockerfile", "", "neither a directory nor an archive"),
        ("empty", "", "cannot read Dockerfile"),
        ("c", ".", "it is a directory"),
        ("-", "-", "both the context and the Dockerfile"),
    ],
)
def test_what_is_no_context(root: Root, tmp_path: Path, source: str, file: str, part: str) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "c/Dockerfile").write_text("FROM a")
    with (
        pytest.raises((NotFoundError, UsageError, RefusedError), match=part),
        opened_context(root, Wish(source, file, str(tmp_path))),
    ):
        pass


def test_a_fifo_or_a_giant_in_the_place_of_a_file_is_refused(root: Root, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Dockerfile")
    with pytest.raises(RefusedError, match="not a regular file"), opened_context(root, Wish(str(tmp_path))):
        pass
    (tmp_path / "Dockerfile").unlink()
    (tmp_path / "Dockerfile").write_text("FROM a")
    os.mkfifo(tmp_path / ".dockerignore")
    with pytest.raises(RefusedError, match="not a regular file"), opened_context(root, Wish(str(tmp_path))):
        pass
    os.truncate(tmp_path / "Dockerfile", 17 << 20)
    with pytest.raises(RefusedError, match="larger than 16 MiB"), opened_context(root, Wish(str(tmp_path))):
        pass


# --- stdin and archives


def test_a_dockerfile_alone_has_an_empty_context(root: Root) -> None:
    with from_stdin(root, b"FROM a\n") as context:
        assert (context.dockerfile, names(context)) == (b"FROM a\n", [])
    with pytest.raises(UsageError, match="Dockerfile alone"), from_stdin(root, b"FROM a\n", "x"):
        pass
    assert os.listdir(root.scratch) == []


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
def test_an_archive_on_stdin(root: Root, compress: object) -> None:
    data = archive(**{"Dockerfile": "FROM a", ".dockerignore": "x", "d__f": "FROM b", "x": ""})
    packed = compress(data)  # type: ignore[operator]
    with from_stdin(root, packed) as context:
        assert context.dockerfile == b"FROM a"
        assert names(context) == [".dockerignore", "Dockerfile", "d", "x"]
        assert context.matcher is not None
    with from_stdin(root, packed, "d/f") as context:
        assert (context.dockerfile, context.shown) == (b"FROM b", "d/f")
    with pytest.raises(NotFoundError, match="no none in the context"), from_stdin(root, packed, "none"):
        pass


def test_an_archive_in_a_file(root: Root, tmp_path: Path) -> None:
    (tmp_path / "c.tar").write_bytes(archive(Dockerfile="FROM a"))
    with opened_context(root, Wish("c.tar", cwd=str(tmp_path))) as context:
        assert context.dockerfile == b"FROM a"


@pytest.mark.parametrize(
    "files",
    [
        {"Dockerfile": "-> ../../../../../../etc/passwd"},
        {"Dockerfile": "-> /etc/passwd"},
        {"Dockerfile": "FROM a", ".dockerignore": "-> /etc/shadow", "etc__shadow": "|"},
        {"Dockerfile": "|"},
        {"Dockerfile": "-> /"},
        {"Dockerfile": "-> Dockerfile"},
        {"Dockerfile": "FROM a", "dev": "#"},
        {"Dockerfile": "FROM a", "..__x": "y"},
    ],
)
def test_a_hostile_archive_reads_nothing_of_ours(root: Root, files: dict[str, str]) -> None:
    with pytest.raises((NotFoundError, RefusedError)), from_stdin(root, archive(**files)):
        pass
    assert os.listdir(root.scratch) == []


# --- ADD: archives


def unpacked(root: Path, target: Path, *sources: str, unpack: bool = True, destination: str = "/x/") -> list[str]:
    with opened(open_root(str(root))) as fd, opened(open_root(str(target))) as into:
        add.write(select(fd, sources), into, destination, How(owner=OWN), unpack=unpack, archive_owner=OWN)
    return sorted(str(path.relative_to(target)) for path in target.rglob("*"))


def test_archives_are_unpacked_and_other_files_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.mkdir()
    target.mkdir()
    (source / "a.tar.gz").write_bytes(gzip.compress(archive(a__b="1", __wh="2")))
    (source / "plain").write_text("text")
    (source / "BZh").write_text("BZh is no archive")
    (source / "d").mkdir()
    (source / "d/c.tar").write_bytes(archive(c="1"))
    assert unpacked(source, target, "a.tar.gz", "plain", "BZh", "d") == [
        "x",
        "x/BZh",
        "x/a",
        "x/a/b",
        "x/c.tar",
        "x/plain",
        "x/wh",
    ]
    assert "y" in unpacked(source, target, "a.tar.gz", destination="/y", unpack=False)
    assert (target / "y").is_file()


def test_an_archive_does_not_leave_its_destination(tmp_path: Path) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.mkdir()
    target.mkdir()
    (source / "a.tar").write_bytes(archive(l="-> ../../..", l__evil="1"))
    (source / "b.tar").write_bytes(archive(**{"..__evil": "1"}))
    unpacked(source, target, "a.tar")
    assert (target / "x/evil").exists()
    with pytest.raises(RefusedError, match="leads out"):
        unpacked(source, target, "b.tar")
    assert not (tmp_path / "evil").exists()


# --- URLs


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/loop":
            self.redirect("/loop")
        elif self.path == "/away":
            self.redirect("file:///etc/passwd")
        elif self.path == "/there":
            self.redirect("/file.txt")
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"short")
        else:
            super().do_GET()

    def redirect(self, place: str) -> None:
        self.send_response(302)
        self.send_header("Location", place)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    place = tmp_path / "site"
    place.mkdir()
    (place / "file.txt").write_text("hello")
    os.utime(place / "file.txt", (1_000_000_000, 1_000_000_000))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Handler(*args, directory=str(place)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield place, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


HELLO = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def fetched(url: str, path: Path, checksum: str = "") -> fetch.Fetched:
    with opened(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)) as fd:
        return fetch.fetch(url, fd, checksum=checksum)


def test_a_file_is_fetched_and_checked(site: tuple[Path, str], tmp_path: Path) -> None:
    found = fetched(site[1] + "/there", tmp_path / "x", HELLO)
    assert (found.size, found.digest, found.modified) == (5, HELLO, 1_000_000_000)
    assert (tmp_path / "x").read_text() == "hello"
    with pytest.raises(RefusedError, match="digest mismatch"):
        fetched(site[1] + "/file.txt", tmp_path / "x", "sha256:" + "0" * 64)


@pytest.mark.parametrize(
    ("path", "error", "part"),
    [
        ("/none", NotFoundError, "status 404"),
        ("/loop", HostError, "302"),
        ("/away", HostError, "not allowed"),
        ("/short", HostError, "ended after 5 of 100|IncompleteRead"),
    ],
)
def test_a_server_that_does_not_do_well(
    site: tuple[Path, str], tmp_path: Path, path: str, error: type[Exception], part: str
) -> None:
    with pytest.raises(error, match=part):
        fetched(site[1] + path, tmp_path / "x")


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="connection refused"):
        fetched("http://127.0.0.1:9/x", tmp_path / "x")
    with pytest.raises(UsageError, match="invalid URL"):
        fetched("http:///x", tmp_path / "x")


def test_a_url_that_is_added(site: tuple[Path, str], root: Root) -> None:
    with add.obtained(root, site[1] + "/file.txt", {}, checksum=HELLO) as got:
        selection = select(got.fd, got.sources)
        assert [(origin.name, origin.folders[0].items[0].mode & 0o777) for origin in selection.origins] == [
            ("file.txt", 0o600)
        ]
    assert os.listdir(root.scratch) == []


def test_a_context_from_a_url(site: tuple[Path, str], root: Root) -> None:
    (site[0] / "c.tgz").write_bytes(gzip.compress(archive(Dockerfile="FROM a", x="1")))
    (site[0] / "d").write_text("FROM b")
    with opened_context(root, Wish(site[1] + "/c.tgz")) as context:
        assert (context.dockerfile, names(context)) == (b"FROM a", ["Dockerfile", "x"])
    with opened_context(root, Wish(site[1] + "/d")) as context:
        assert context.dockerfile == b"FROM b"


@pytest.mark.parametrize(
    ("sources", "checksum", "is_add", "part"),
    [
        (("http://x/y",), "", False, "can't be a URL for COPY"),
        (("git@x:y.git",), "", False, "can't be a URL for COPY"),
        (("a",), HELLO, True, "requires HTTP"),
        (("http://x/y", "z"), HELLO, True, "multiple sources"),
        (("http://x/y",), "md5:7e55db001d319a94b0b713529a756623", True, "invalid checksum"),
        (("http://x/y",), "sha256:12", True, "invalid checksum"),
    ],
)
def test_sources_that_do_not_go_together(sources: tuple[str, ...], checksum: str, is_add: bool, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        add.check_sources(sources, checksum, add=is_add)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://x/a/b.txt?c=d#e", "b.txt"),
        ("http://x", "__unnamed__"),
        ("http://x/..", "__unnamed__"),
        ("http://x/a%2Fb", "__unnamed__"),
        ("http://x/a%20b", "a b"),
        ("http://x/d/", "d"),
    ],
)
def test_names_of_fetched_files(url: str, name: str) -> None:
    assert fetch.file_name(url) == name


# --- git


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://h/o/r.git", giturl.GitUrl("https://h/o/r.git")),
        ("https://h/o/r.git#main:d/e", giturl.GitUrl("https://h/o/r.git", "main", "d/e")),
        ("https://h/o/r.git#:d", giturl.GitUrl("https://h/o/r.git", "", "d")),
        ("git@h:o/r.git#v1", giturl.GitUrl("git@h:o/r.git", "v1")),
        ("git://h/r", giturl.GitUrl("git://h/r")),
        ("ssh://u@h:22/r.git", giturl.GitUrl("ssh://u@h:22/r.git")),
        ("github.com/o/r#x", giturl.GitUrl("https://github.com/o/r", "x")),
        (
            "https://h/r.git?branch=a&subdir=b&submodules=false&keep-git-dir&commit=ab",
            giturl.GitUrl("https://h/r.git", "refs/heads/a", "b", "ab", True, False),
        ),
        ("https://h/r.tar.gz", None),
        ("./r.git", None),
        ("/r.git", None),
        ("file:///r.git", None),
        ("ext::sh -c x", None),
        ("a@b", None),
    ],
)
def test_which_sources_are_repositories(source: str, expected: giturl.GitUrl | None) -> None:
    assert giturl.parse(source) == expected


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("a", "local"),
        ("github.com/o/r", "local"),
        ("a@b", "local"),
        ("./x.git", "local"),
        ("https://h/r", "url"),
        ("https://h/r.git", "git"),
        ("git@h:r.git", "git"),
        ("git://h/r", "git"),
    ],
)
def test_where_a_source_comes_from(source: str, kind: str) -> None:
    assert add.kind_of(source) == kind


@pytest.mark.parametrize("source", ["https://h/r.git#--upload-pack=x", "https://h/r.git?x=y", "git@h:r.git#a b"])
def test_references_that_are_none(source: str) -> None:
    with pytest.raises(UsageError):
        giturl.parse(source)


def run_git(place: Path, *words: str) -> str:
    settings = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main")
    argv = ["git", *settings, "-C", str(place), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(site: tuple[Path, str]) -> tuple[Path, str]:
    """A repository that is served without a program: the protocol that cannot be shallow."""
    work = site[0] / "work"
    (work / "d").mkdir(parents=True)
    (work / "Dockerfile").write_text("FROM a")
    (work / "d/Dockerfile").write_text("FROM b")
    (work / "run").write_text("#!")
    (work / "run").chmod(0o700)
    (work / "out").symlink_to("/etc/passwd")
    run_git(work, "init", "-q")
    run_git(work, "add", ".")
    run_git(work, "commit", "-q", "-m", "one")
    run_git(work, "tag", "v1")
    (work / "Dockerfile").write_text("FROM c")
    run_git(work, "commit", "-q", "-a", "-m", "two")
    run_git(site[0], "clone", "-q", "--bare", "work", "r.git")
    run_git(site[0] / "r.git", "update-server-info")
    return work, site[1] + "/r.git"


def test_a_context_from_a_repository(repository: tuple[Path, str], root: Root) -> None:
    work, url = repository
    with opened_context(root, Wish(url)) as context:
        assert context.dockerfile == b"FROM c"
        assert names(context) == ["Dockerfile", "d", "out", "run"]
        assert os.stat("run", dir_fd=context.fd).st_mode & 0o777 == 0o755
        assert os.stat("Dockerfile", dir_fd=context.fd).st_mode & 0o777 == 0o644
    first = run_git(work, "rev-parse", "v1")
    for ref in ("v1", first, first[:12], "refs/tags/v1"):
        with opened_context(root, Wish(f"{url}#{ref}")) as context:
            assert context.dockerfile == b"FROM a"
    with opened_context(root, Wish(f"{url}#main:d")) as context:
        assert context.dockerfile == b"FROM b"
    with pytest.raises(NotFoundError), opened_context(root, Wish(url, "out")):
        pass


@pytest.mark.parametrize(
    ("tail", "part"),
    [("#none", "does not have the reference none"), ("#:none", "no directory none"), ("x.git", "cannot fetch")],
)
def test_what_a_repository_does_not_have(repository: tuple[Path, str], root: Root, tail: str, part: str) -> None:
    with pytest.raises((NotFoundError, HostError), match=part), opened_context(root, Wish(repository[1] + tail)):
        pass
    assert os.listdir(root.scratch) == []


def test_a_repository_that_is_added(repository: tuple[Path, str], root: Root) -> None:
    work, url = repository
    commit = run_git(work, "rev-parse", "HEAD")
    with add.obtained(root, url, {}, checksum=commit, keep_git_dir=True) as got:
        assert got.sources == (".",)
        assert ".git" in os.listdir(got.fd)
    with pytest.raises(RefusedError, match="expected commit 00"), add.obtained(root, url, {}, checksum="00" * 20):
        pass


def test_a_checkout_can_be_stopped(repository: tuple[Path, str], root: Root) -> None:
    asked = []

    def stop() -> None:
        asked.append(1)
        if len(asked) > 3:
            raise InterruptedError

    started = time.monotonic()
    with pytest.raises(InterruptedError), add.obtained(root, repository[1], {}, check=stop):
        pass
    assert time.monotonic() - started < 5
    assert os.listdir(root.scratch) == []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_server_that_can_be_shallow(repository: tuple[Path, str], tmp_path: Path) -> None:
    port = free_port()
    argv = ["git", "daemon", "--export-all", f"--base-path={repository[0].parent}", "--listen=127.0.0.1"]
    with subprocess.Popen([*argv, f"--port={port}"], stderr=subprocess.DEVNULL) as daemon:
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            url = giturl.parse(f"git://127.0.0.1:{port}/r.git#v1")
            assert url is not None
            place = tmp_path / "checkout"
            place.mkdir()
            git.checkout(url, str(place), {}, keep_git_dir=True)
            assert (place / "Dockerfile").read_text() == "FROM a"
            assert (place / ".git/shallow").exists()
        finally:
            daemon.terminate()
