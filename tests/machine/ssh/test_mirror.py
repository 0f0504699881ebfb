"""Directories that are kept the same on both sides, with a real Unison behind a real sshd.

The machine shares this host's file system, so both sides of a mirror can be looked at from here.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devbox.machine.mirroring import ignorefile
from tests.machine.ssh.conftest import Host, processes, serving, wait_until

pytestmark = pytest.mark.skipif(shutil.which("unison") is None, reason="Unison is not installed")


class Mirror:
    """Here, and there."""

    def __init__(self, host: Host, here: Path, there: Path) -> None:
        self.host, self.here, self.there = host, here, there

    def settled(self) -> None:
        """A command that has to wait for it has waited."""
        assert "no such container" in self.host.fails("cp", "nosuch:/x", "-")

    def state(self) -> dict[str, object]:
        found = json.loads(self.host.out("machine", "mirror", "--json"))
        assert len(found) == 1
        return dict(found[0])

    def unisons(self) -> list[int]:
        return [pid for pid, line in processes() if line.startswith("unison ") and str(self.here) in line]


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """For many files: a disk without a journal takes a minute to delete them."""
    if os.geteuid() != 0:
        pytest.skip("it takes root to mount")
    directory = Path(tempfile.mkdtemp(prefix="devbox-mirror-", dir="/var/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)
    directory.rmdir()


@pytest.fixture(scope="module")
def lab(memory: Path) -> Iterator[Host]:
    with serving() as host:
        host("bootstrap", "busybox")
        yield host


@pytest.fixture
def mirror(lab: Host, request: pytest.FixtureRequest) -> Iterator[Mirror]:
    """A mirror of its own for each test."""
    name = request.node.name
    here, there = lab.home / name / "here", lab.guest.home / name / "there"
    here.mkdir(parents=True)
    yield from kept(lab, here, there)


@pytest.fixture
def quick_mirror(lab: Host, memory: Path) -> Iterator[Mirror]:
    (memory / "here").mkdir()
    yield from kept(lab, memory / "here", memory / "there")


def kept(lab: Host, here: Path, there: Path) -> Iterator[Mirror]:
    (here / "first").write_text("1")
    wish(lab, f"{here}:{there}")
    yield Mirror(lab, here, there)
    wish(lab)


def wish(host: Host, *mirrors: str) -> None:
    host.configure()
    file = host.home / "config/devbox/machines.toml"
    file.write_text(file.read_text() + f"mirrors = {json.dumps(mirrors)}\n")
    host("machine", "up", "lab")


def took(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    wait_until(condition)
    return time.monotonic() - began


def test_a_command_finds_the_files_as_they_are_here(mirror: Mirror) -> None:
    run = ("run", "--rm", "--network", "none", "-v", f"{mirror.here}:/src", "busybox")
    assert mirror.host.out(*run, "cat", "/src/first") == "1"
    for number in range(3):
        (mirror.here / "first").write_text(f"now {number}")
        (mirror.here / f"sub{number}/sub").mkdir(parents=True)
        (mirror.here / f"sub{number}/sub/x").write_text("x")
        assert mirror.host.out(*run, "cat", "/src/first", f"/src/sub{number}/sub/x") == f"now {number}x"
    mirror.host(
        *run, "sh", "-c", "mkdir /src/made; echo there >/src/made/it; rm -r /src/sub0; chmod 700 /src/made/it"
    )
    wait_until(lambda: (mirror.here / "made/it").exists() and not (mirror.here / "sub0").exists())
    assert ((mirror.here / "made/it").read_text(), (mirror.here / "made/it").stat().st_mode & 0o777) == (
        "there\n",
        0o700,
    )
    assert mirror.state() | {"detail": ""} == {
        "host": str(mirror.here),
        "guest": str(mirror.there),
        "state": "in step",
        "detail": "",
        "conflicts": [],
    }


def test_changes_arrive_in_no_time_and_as_they_are(mirror: Mirror) -> None:
    mirror.settled()
    here, there = mirror.here / "file", mirror.there / "file"
    times = []
    for change, seen in (
        (lambda: here.write_text("one"), lambda: there.exists() and there.read_text() == "one"),
        (lambda: here.write_text("two"), lambda: there.read_text() == "two"),
        (
            lambda: here.rename(here.with_name("new")),
            lambda: there.with_name("new").exists() and not there.exists(),
        ),
        (lambda: here.with_name("new").unlink(), lambda: not there.with_name("new").exists()),
    ):
        time.sleep(1.5)  # Unison rests for a second after each round
        change()
        times.append(took(seen))
    assert sorted(times)[1] < 0.5, times
    here.symlink_to("first")
    here.with_name("tool").write_text("#!")
    here.with_name("tool").chmod(0o755)
    os.mkdir(os.path.join(os.fsencode(mirror.here), b"\xff bytes $(x)"))
    mirror.settled()
    assert there.readlink() == Path("first")
    assert there.with_name("tool").stat().st_mode & 0o777 == 0o755
    assert b"\xff bytes $(x)" in os.listdir(os.fsencode(mirror.there))


def test_ten_thousand_changes_at_once_arrive_and_none_comes_back(quick_mirror: Mirror) -> None:
    mirror = quick_mirror
    mirror.settled()
    watch = subprocess.Popen(
        ["inotifywait", "-qmr", "-e", "create,modify,move,delete,close_write", mirror.here],
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(1)
    for number in range(10_000):
        (mirror.here / f"{number % 7}").mkdir(exist_ok=True)
        (mirror.here / f"{number % 7}/{number}").write_text(str(number))
    mirror.settled()
    assert sum(len(files) for _, _, files in os.walk(mirror.there)) == 10_001
    for number in range(7):
        shutil.rmtree(mirror.here / f"{number}")
    mirror.settled()
    assert [name for _, _, files in os.walk(mirror.there) for name in files] == ["first"]
    time.sleep(2.5)
    watch.terminate()
    told, _ = watch.communicate()
    assert ".unison." not in told, "something was brought back"


def test_a_file_that_both_have_changed_is_kept_twice_and_reported(mirror: Mirror) -> None:
    mirror.settled()
    for pid in mirror.unisons():
        os.kill(pid, signal.SIGSTOP)
    (mirror.here / "first").write_text("mine")
    (mirror.there / "first").write_text("theirs")
    for pid in mirror.unisons():
        os.kill(pid, signal.SIGCONT)
    mirror.settled()
    for side in (mirror.here, mirror.there):
        wait_until(lambda: [*side.glob("first (conflict*")])  # noqa: B023 - it is called here
        other = next(side.glob("first (conflict*"))
        assert ((side / "first").read_text(), other.read_text()) == ("mine", "theirs")
    assert mirror.state()["conflicts"] == ["first"]
    assert "  changed on both sides: first\n" in mirror.host.out("machine", "mirror", "lab")


def test_what_devboxignore_names_stays_on_its_side(mirror: Mirror) -> None:
    (mirror.here / ".devboxignore").write_text("node_modules\n/build\n*.log\n!keep.log\n")
    for name in ("node_modules/a/x", "sub/node_modules/y", "build/z", "sub/build/in", "a.log", "keep.log"):
        (mirror.here / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror.here / name).write_text("")
    wish(mirror.host, f"{mirror.here}:{mirror.there}")
    mirror.settled()

    def there() -> set[str]:
        found = (path.relative_to(mirror.there) for path in mirror.there.rglob("*") if path.is_file())
        return {str(path) for path in found}

    assert there() == {".devboxignore", "first", "keep.log", "sub/build/in"}
    (mirror.there / "node_modules").mkdir()
    (mirror.there / "node_modules/own").write_text("")
    (mirror.here / ".devboxignore").write_text("node_modules\n")
    wait_until(lambda: "build/z" in there() and "a.log" in there())
    assert not (mirror.here / "node_modules/own").exists()
    (mirror.here / ".devboxignore").write_text("!a\nb\n")
    wait_until(lambda: "stands after a line with !" in str(mirror.state()["detail"]))
    said = mirror.host.fails("run", "-v", f"{mirror.here}:/x", "busybox", "true")
    assert ".devboxignore:2: b stands after" in said


def test_it_outlives_a_broken_connection_and_a_killed_broker(mirror: Mirror) -> None:
    mirror.settled()
    for pid in mirror.host.guest.servers()[1:]:
        os.kill(pid, signal.SIGKILL)
    (mirror.here / "after").write_text("the break")
    wait_until(lambda: (mirror.there / "after").exists())
    old = mirror.unisons()
    for pid in mirror.host.brokers():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(old) & set(mirror.unisons()))
    (mirror.here / "after").write_text("the kill")
    mirror.settled()
    assert (mirror.there / "after").read_text() == "the kill"
    assert len(mirror.unisons()) == 1


def test_an_emptied_side_empties_no_other_and_a_lost_memory_merges(mirror: Mirror) -> None:
    (mirror.here / "second").write_text("2")
    mirror.settled()
    mirror.host.end_broker()
    shutil.rmtree(mirror.there)
    said = mirror.host.fails("run", "-v", f"{mirror.here}:/x", "busybox", "true")
    assert "emptied as a whole" in said
    assert (mirror.here / "second").read_text() == "2"
    mirror.host.end_broker()
    shutil.rmtree(mirror.host.guest.root / "mirrors")
    mirror.there.mkdir(exist_ok=True)
    (mirror.there / "own").write_text("own")
    (mirror.there / "second").write_text("other")
    mirror.settled()
    assert (mirror.there / "first").read_text() == "1"
    wait_until(lambda: (mirror.here / "own").exists())
    assert {path.read_text() for path in mirror.here.glob("second*")} == {"2", "other"}


def test_a_command_that_waits_for_files_can_be_interrupted(mirror: Mirror) -> None:
    mirror.settled()
    for pid in mirror.unisons():
        os.kill(pid, signal.SIGSTOP)
    (mirror.here / "first").write_text("changed")
    line = ("run", "--rm", "-i", "--network", "none", "-v", f"{mirror.here}:/src", "busybox")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with mirror.host.popen(*line, "cat", "/src/first", **pipes) as impatient:
        assert impatient.stderr is not None
        assert impatient.stderr.readline() == f"devbox: bringing {mirror.here} to the machine\n".encode()
        impatient.send_signal(signal.SIGINT)
        assert impatient.wait(30) == 130
    with mirror.host.popen(*line, "sh", "-c", "cat /src/first -", **pipes) as patient:
        assert patient.stdin is not None
        patient.stdin.write(b" and fed")
        patient.stdin.close()
        assert patient.stderr is not None
        assert b"bringing" in patient.stderr.readline()
        for pid in mirror.unisons():
            os.kill(pid, signal.SIGCONT)
        assert patient.stdout is not None
        assert patient.stdout.read() == b"changed and fed"


def test_without_a_broker_nothing_runs_with_old_files(mirror: Mirror) -> None:
    alone = {"DEVBOX_NO_BROKER": "1"}
    said = mirror.host.fails("run", "-v", f"{mirror.here}:/x", "busybox", "true", env=alone)
    assert "kept by the broker" in said
    assert mirror.host.out("ps", "-q", env=alone) == ""


def test_a_machine_without_unison_says_so(mirror: Mirror) -> None:
    mirror.settled()
    mirror.host.end_broker()
    where = shutil.which("unison")
    mirror.host.guest.run("mount", "--bind", "/dev/null", os.path.realpath(str(where)))
    try:
        said = mirror.host.fails("run", "-v", f"{mirror.here}:/x", "busybox", "true")
    finally:
        mirror.host.guest.run("umount", os.path.realpath(str(where)))
    assert "is not up to date: " in said


RELOADER = """
import http.server, os, subprocess, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(page)
page = open("/src/page.html", "rb").read()
server = http.server.HTTPServer(("", 80), Page)
watch = subprocess.Popen(
    ["inotifywait", "-qm", "-e", "close_write,moved_to", "/src"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
)
os.set_inheritable(watch.stdout.fileno(), True)
server.timeout = 0.02
os.set_blocking(watch.stdout.fileno(), False)
print("ready", flush=True)
while True:
    server.handle_request()
    if b"page.html" in (watch.stdout.read() or b""):
        os.execv(sys.executable, [sys.executable, *sys.argv])
"""


def test_watchers_in_containers_see_what_happens_here(mirror: Mirror) -> None:
    (mirror.here / "page.html").write_text("before")
    (mirror.here / "server.py").write_text(RELOADER)
    mirror.settled()
    guest, words = mirror.host.guest, []
    for source, target in (("/usr", "/usr"), ("/usr/lib", "/lib"), ("/usr/lib64", "/lib64")):
        words += ["-v", f"{source}:{target}:ro"]
    words += ["-v", f"{mirror.there}:/src", "-e", "PYTHONUNBUFFERED=1", "busybox"]
    guest.devbox("run", "-d", "--name", "watcher", *words, "inotifywait", "-qm", "--format", "%e %f", "/src")
    guest.devbox("run", "-d", "--name", "web", *words, "/usr/bin/python3", "/src/server.py")
    address = guest.devbox("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").strip()

    def served(text: str) -> bool:
        line: list[str] = [
            "python3",
            "-c",
            f"import urllib.request as r; print(r.urlopen('http://{address}').read().decode())",
        ]
        try:
            return guest.run(*line).stdout.decode().strip() == text
        except subprocess.CalledProcessError:
            return False

    try:
        wait_until(lambda: served("before"))
        for change in (
            lambda: (mirror.here / "page.html").write_text("after"),
            lambda: (mirror.here / "new").write_text(""),
            lambda: (mirror.here / "new").rename(mirror.here / "newer"),
            lambda: (mirror.here / "newer").unlink(),
        ):
            change()
            mirror.settled()
        wait_until(lambda: served("after"))
        told = guest.devbox("logs", "watcher").splitlines()
    finally:
        guest.devbox("rm", "-f", "watcher", "web")
    found = [line for line in told if line.partition(" ")[2] in ("page.html", "new", "newer")]
    assert {"MOVED_TO page.html", "MOVED_TO new", "MOVED_TO newer"} <= {*found}
    assert [line for line in found if line.endswith("newer")][-1].split()[0] in ("DELETE", "MOVED_FROM")


PATTERNS = (
    ("node_modules", ("node_modules", "a/node_modules"), ("node_modulesx", "a/b")),
    ("*.pyc", ("x.pyc", "a/b.pyc"), ("x.py", "pyc")),
    ("/build", ("build",), ("a/build",)),
    ("a/**/b", ("a/b", "a/x/b", "a/x/y/b"), ("ab", "x/a/b")),
    ("logs/**", ("logs/x", "logs/a/b"), ("logs",)),
    ("**/tmp", ("tmp", "a/tmp"), ("atmp",)),
    ("a b", ("a b", "x/a b"), ("ab",)),
    ("w -> y", ("w -> y",), ("w",)),
    ("[ab]?.c", ("ax.c",), ("cx.c", "a.c", "a/.c")),
    ("[!ab].c", ("c.c",), ("a.c",)),
    ("a+(b)$^{c}|.", ("a+(b)$^{c}|.",), ("aa",)),
    ("\\*x", ("*x",), ("ax",)),
    ("dist/", ("dist", "a/dist"), ("distx",)),
    ("é*", ("éa",), ("e",)),
    ("-x", ("-x",), ("x",)),
)


@pytest.mark.parametrize(("pattern", "out", "within"), PATTERNS)
def test_unison_reads_a_pattern_as_we_do(
    pattern: str, out: tuple[str, ...], within: tuple[str, ...], tmp_path: Path
) -> None:
    for number, name in enumerate(out + within):
        one, two = tmp_path / f"one{number}", tmp_path / f"two{number}"
        (one / name).parent.mkdir(parents=True)
        (one / name).write_text("")
        (one / ".kept").write_text("")
        two.mkdir()
        line: list[str] = [
            "unison",
            str(one),
            str(two),
            "-batch",
            "-dumbtty",
            "-log=false",
            *ignorefile.words(ignorefile.parse(pattern, "f")),
        ]
        subprocess.run(
            line,
            env={**os.environ, "UNISON": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        assert (two / ".kept").exists()
        assert (two / name).exists() == (name in within), name
