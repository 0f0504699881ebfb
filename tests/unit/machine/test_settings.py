"""The settings files: every mistake at once, with its place; then values that do not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbox.errors import NotFoundError
from devbox.machine import settings, settings_parse
from devbox.machine.translation.mountmap import Share


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", "/home/ann")
    path = tmp_path / "config/devbox/machines.toml"
    path.parent.mkdir(parents=True)
    return path


def test_without_files_there_is_one_machine_with_defaults(user: Path) -> None:
    found = settings.load()
    assert found.default == "default"
    assert found.machines["default"].provider == "libvirt"
    assert found.machines["default"].memory == 2048


def test_the_users_file_is_read_and_frozen(user: Path) -> None:
    user.write_text(
        '[machines.work]\nprovider = "virtualbox"\ncpus = 4\n'
        'memory = "3g"\nbox = "~/b.box"\nshares = ["~/src", "/a:/b"]\n'
    )
    work = settings.machine("")
    assert (work.name, work.provider, work.cpus, work.memory) == ("work", "virtualbox", 4, 3072)
    assert work.box == "/home/ann/b.box"
    assert work.shares == (Share("/home/ann/src", "/home/ann/src"), Share("/a", "/b"))
    with pytest.raises(AttributeError):
        work.cpus = 5  # type: ignore[misc]


def test_the_project_fills_in_what_the_user_left_open(user: Path, tmp_path: Path) -> None:
    user.write_text("[machines.default]\ncpus = 1\n")
    below = tmp_path / "project/src"
    below.mkdir(parents=True)
    (tmp_path / "project/devbox.toml").write_text(
        '[machine]\ncpus = 8\nmemory = "512m"\n[services.web]\nimage = "x"\n'
    )
    found = settings.machine("default", str(below))
    assert (found.cpus, found.memory) == (1, 512)


def test_all_mistakes_of_both_files_are_told_at_once(user: Path, tmp_path: Path) -> None:
    user.write_text(
        "defualt = 'x'\n"
        "[machines.work]\n"
        "# comment\n"
        'provder = "libvirt"\n'
        'provider = "virtualbocks"\n'
        "cpus = 0\n"
        'memory = "12"\n'
        'box = "https://example.org/x.box"\n'
        'shares = ["/a", "/a/b"]\n'
        '[machines."Bad Name"]\n'
    )
    (tmp_path / "devbox.toml").write_text("[machine]\ncpus = true\n")
    with pytest.raises(settings.SettingsError) as caught:
        settings.load(str(tmp_path))
    told = {(Path(m.file).name, m.line, m.key) for m in caught.value.mistakes}
    assert told == {
        ("machines.toml", 1, "defualt"),
        ("machines.toml", 4, "machines.work.provder"),
        ("machines.toml", 5, "machines.work.provider"),
        ("machines.toml", 6, "machines.work.cpus"),
        ("machines.toml", 7, "machines.work.memory"),
        ("machines.toml", 8, "machines.work.box"),
        ("machines.toml", 9, "machines.work.shares"),
        ("machines.toml", 10, "machines.Bad Name"),
        ("devbox.toml", 2, "machine.cpus"),
    }
    message = caught.value.message
    assert message.startswith("9 mistakes in the settings:\n")
    assert "did you mean default?" in message
    assert "did you mean provider?" in message
    assert "did you mean virtualbox?" in message


def test_broken_toml_is_told_with_its_line(user: Path) -> None:
    user.write_text("a = 1\nb = = 2\n")
    with pytest.raises(settings.SettingsError) as caught:
        settings.load()
    assert caught.value.mistakes[0].line == 2
    user.write_bytes(b"\xff")
    with pytest.raises(settings.SettingsError, match="UTF-8"):
        settings.load()


def test_an_unknown_machine_is_told_with_those_there_are(user: Path) -> None:
    user.write_text("[machines.work]\n")
    with pytest.raises(NotFoundError) as caught:
        settings.machine("wrok")
    assert "work" in caught.value.hint


@pytest.mark.parametrize("share", ["relative", "/a:relative", "/a:/b/../c", "", 3, "/a\nb"])
def test_a_share_needs_absolute_paths(user: Path, share: object) -> None:
    user.write_text(f"[machines.work]\nshares = [{share!r}]\n".replace("'", '"'))
    with pytest.raises(settings.SettingsError, match=r"machines\.work\.shares"):
        settings.load()


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("C:\\src:/mnt/c/src", Share("C:\\src", "/mnt/c/src")),
        ("C:\\src", Share("C:\\src", "/mnt/c/src")),
        ("c:/src/", Share("C:\\src", "/mnt/c/src")),
        ("D:\\a b:/w/", Share("D:\\a b", "/w")),
        ("\\\\server\\share\\x", Share("\\\\server\\share\\x", "/mnt/unc/server/share/x")),
    ],
)
def test_a_drive_is_no_separator(text: str, share: Share) -> None:
    assert settings_parse.share(text, "win32") == share


def test_what_the_machine_needs_is_not_hidden(user: Path) -> None:
    user.write_text('[machines.work]\nshares = ["/src:/etc"]\n')
    with pytest.raises(settings.SettingsError, match="would hide /etc"):
        settings.load()
