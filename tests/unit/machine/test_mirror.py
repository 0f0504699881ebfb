"""What a mirror leaves out, what Unison says, and what we tell it of changes."""

from __future__ import annotations

import os
import re
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox.errors import HostError, NotFoundError, UsageError
from devbox.machine import shared, shares
from devbox.machine.mirroring import ignorefile, unison
from devbox.machine.mirroring.monitor import Monitor
from devbox.machine.mirroring.unison import Said
from devbox.machine.settings import MachineSettings
from devbox.machine.translation.mountmap import MountMap, Share


@pytest.mark.parametrize(
    ("pattern", "out", "within"),
    [
        ("node_modules", ("node_modules", "a/node_modules"), ("node_modulesx", "node_modules/x")),
        ("/build", ("build",), ("a/build",)),
        ("a/b", ("a/b",), ("x/a/b",)),
        ("a/**/b", ("a/b", "a/x/b", "a/x/y/b"), ("ab", "x/a/b")),
        ("logs/**", ("logs/x", "logs/a/b"), ("logs",)),
        ("**/tmp", ("tmp", "a/tmp"), ("atmp",)),
        ("a b \t", ("a b",), ("a b ",)),
        ("a\\ ", ("a ",), ("a",)),
        ("\\#x", ("#x",), ("x",)),
        ("[!ab]?.c", ("cx.c",), ("ax.c", "c/.c", "/x.c")),
        ("x[]]", ("x]",), ("x",)),
        ("$HOME+(a)|.", ("$HOME+(a)|.",), ("HOME",)),
    ],
)
def test_a_pattern_means_what_it_means_to_git(pattern: str, out: tuple[str, ...], within: tuple[str, ...]) -> None:
    (expression,) = ignorefile.parse(pattern, "f").out
    assert all(re.fullmatch(expression, name) for name in out), expression
    assert not any(re.fullmatch(expression, name) for name in within), expression


def test_comments_say_nothing_and_exceptions_stand_at_the_end() -> None:
    found = ignorefile.parse("# all\n\n*.log\n!keep.log\n", "f")
    assert [*ignorefile.words(found)] == [
        *("-ignore", r"Regex (.*/)?[^/]*\.log"),
        *("-ignorenot", r"Regex (.*/)?keep\.log"),
    ]
    for text, said in (
        ("!a\nb", "f:2: b stands after"),
        ("/", "f:1: / names nothing"),
        ("a[", "a \\[ stands alone"),
    ):
        with pytest.raises(UsageError, match=said):
            ignorefile.parse(text, "f")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Synchronization complete at 15:10:24  (1 item transferred, 0 skipped, 0 failed)", Said(ended=True)),
        ("Synchronization incomplete at 15:10:24  (0 items transferred, 0 skipped, 1 failed)", Said(ended=True)),
        ("Nothing to do: replicas have not changed since last sync.", Said(ended=True)),
        ("changed  ====> deleted    a b.txt  ", Said(conflict="a b.txt")),
        ("new file ====> new file   x  ", Said(conflict="x")),
        ("deleted  <-?-> changed    d/del  ", Said(conflict="d/del")),
        ("file     ---->            x  ", Said()),
        ("Failed [a/b]: Permission denied", Said(failure="a/b: Permission denied")),
        ("Fatal error: Lost connection with the server", Said(failure="Lost connection with the server")),
        ("or invoke Unison with -ignorearchives flag.", Said(rebuild=True)),
        ("devbox: unison is not installed in the machine", Said(failure="unison is not installed in the machine")),
        ("100%  00:00 ETA", Said()),
    ],
)
def test_what_unison_says_is_understood(line: str, said: Said) -> None:
    assert unison.read(line) == said


class Talk:
    """Unison's side of the conversation."""

    def __init__(self) -> None:
        to, self.write = os.pipe()
        self.read, back = os.pipe()
        self.monitor = Monitor(to, back)
        threading.Thread(target=self._run, args=(to, back), daemon=True).start()
        assert self.line() == "VERSION 1"

    def _run(self, to: int, back: int) -> None:
        self.monitor.run()
        os.close(to)
        os.close(back)

    def say(self, *lines: str) -> None:
        os.write(self.write, "".join(line + "\n" for line in lines).encode())

    def line(self) -> str:
        data = b""
        while not data.endswith(b"\n"):
            assert select.select([self.read], [], [], 10)[0], data
            data += os.read(self.read, 1)
        return data.decode().rstrip("\n")

    def silent(self) -> bool:
        return not select.select([self.read], [], [], 0.5)[0]

    def changes(self) -> list[str]:
        self.say("CHANGES h")
        return [*iter(self.line, "DONE")]

    def end(self) -> None:
        os.close(self.write)
        assert os.read(self.read, 1) == b""
        os.close(self.read)


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    (tmp_path / "a b").mkdir()
    (tmp_path / "out").mkdir()
    talk = Talk()
    talk.say("VERSION 1", f"START h {tmp_path} ", "DIR a%20b", "DONE")
    assert [talk.line(), talk.line()] == ["OK", "OK"]
    yield talk
    talk.end()


def test_changes_are_told_once_and_only_of_what_was_scanned(talk: Talk, tmp_path: Path) -> None:
    talk.say("WAIT h")
    assert talk.silent()
    (tmp_path / "a b/é").write_text("")
    (tmp_path / "out/x").write_text("")
    assert talk.line() == "CHANGES h"
    assert talk.changes() == ["RECURSIVE a%20b/%C3%A9"]
    assert talk.changes() == []


def test_what_unison_writes_is_no_change_and_a_conflict_is(talk: Talk, tmp_path: Path) -> None:
    for name in ("brought", "x (conflict_on_2026-11-24)"):
        temporary = tmp_path / f".unison.{name}.123.unison.tmp"
        temporary.write_text("")
        temporary.rename(tmp_path / name)
    assert talk.changes() == ["RECURSIVE x%20%28conflict_on_2026-11-24%29"]
    (tmp_path / "brought").write_text("by hand")
    assert talk.changes() == ["RECURSIVE brought"]


def test_a_change_is_covered_by_the_round_after_it(talk: Talk, tmp_path: Path) -> None:
    assert talk.monitor.covered() == 1, "the first round sees everything"
    (tmp_path / "new").write_text("")
    assert talk.monitor.covered() == 2
    talk.changes()
    assert talk.monitor.covered() == 2
    (tmp_path / "new").unlink()
    assert talk.monitor.covered() == 3


def test_a_file_that_is_being_written_is_waited_for(talk: Talk, tmp_path: Path) -> None:
    talk.say("WAIT h")
    began = time.monotonic()
    with (tmp_path / "long").open("w") as file:
        while time.monotonic() < began + 0.15:
            file.write("x")
            file.flush()
    assert talk.line() == "CHANGES h"
    assert time.monotonic() - began > 0.15


def test_mirrors_are_planned_beside_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (Share(str(tmp_path / name), f"/{name}") for name in ("one", "two"))
    settings = MachineSettings("work", "libvirt", shares=(one,), mirrors=(two,))
    with pytest.raises(NotFoundError, match="no such directory"):
        shares.plan(settings)
    for share in (one, two):
        Path(share.host).mkdir()
    assert [(share.guest, share.kind) for share in shares.plan(settings)] == [
        ("/one", "9p"),
        ("/two", shared.MIRROR),
    ]
    without = settings._replace(provider="qemu", shares=())
    assert [share.kind for share in shares.plan(without)] == [shared.MIRROR], "every provider can"
    within = settings._replace(mirrors=(Share(one.host, "/other"),))
    with pytest.raises(UsageError, match="shared twice"):
        shares.plan(within)
    monkeypatch.setattr(shares, "_WATCHED", ())
    with pytest.raises(HostError, match="can have no mirrors"):
        shares.plan(settings)


def test_paths_in_a_mirror_lead_into_the_machine() -> None:
    mapping = MountMap("linux", (Share("/src", "/src"),), (Share("/home/ann/app", "/app"),))
    assert mapping.to_guest("/home/ann/app/x") == "/app/x"
