"""`devbox machine explain`: what would be sent, and nothing that is secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devbox.cli import main
from devbox.machine import places, records


@pytest.fixture
def src(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("config", "data"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(tmp_path / name))
    monkeypatch.setenv("HOST_SECRET", "hidden")
    (tmp_path / "src").mkdir()
    share = {"host": str(tmp_path / "src"), "guest": "/code", "kind": "9p", "tag": "t"}
    records.write_json(places.machine("default").shares, {"shares": [share]})
    monkeypatch.chdir(tmp_path / "src")
    return tmp_path / "src"


def test_paths_variables_ports_and_files_are_shown(src: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (src.parent / "labels").write_text("a=b")
    line = [
        "run",
        "-v",
        ".:/src",
        "-e",
        "HOST_SECRET",
        "-e",
        "A=b",
        "-p",
        "8080:80",
        "--label-file",
        "../labels",
        "i",
    ]
    assert main.run(["machine", "explain", "--json", "--", *line]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["machine"], found["command"], found["cwd"]) == ("default", "run", "/code")
    assert found["parameters"]["volume"] == ["/code:/src"]
    assert found["parameters"]["env"] == ["HOST_SECRET=...", "A=..."]
    assert found["ports"] == ["8080:80"]
    assert found["send"][0]["host"] == str(src.parent / "labels")
    assert main.run(["machine", "explain", *line]) == 0
    printed = capsys.readouterr().out
    assert f"directory     {src} -> /code\n" in printed
    assert "volume        .:/src -> /code:/src\n" in printed
    assert "hidden" not in printed


def test_a_refusal_is_explained_as_it_would_be(src: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["machine", "explain", "run", "-v", "/etc:/x", "i"]) == 125
    assert "/etc lies in no share of machine 'default'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["machine", "up"], ["nosuch"], ["version"]])
def test_what_never_goes_to_a_machine_is_told(
    src: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["machine", "explain", "--", *words]) == 125
    assert "is no command that runs in a machine" in capsys.readouterr().err
