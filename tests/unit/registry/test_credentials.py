"""Auth files: which entry is taken for a repository."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from devbox.errors import UsageError
from devbox.registry import credentials
from devbox.registry.credentials import Credentials


def auth(user: str, password: str = "pw") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def known(place: Path, auths: dict[str, Any]) -> dict[str, str]:
    (place / "auth.json").write_text(json.dumps({"auths": auths}))
    return {"REGISTRY_AUTH_FILE": str(place / "auth.json")}


@pytest.mark.parametrize(
    ("domain", "path", "user"),
    [
        ("r.example", "a/b", "deep"),
        ("r.example", "a/c", "above"),
        ("r.example", "x", "registry"),
        ("r.example:5000", "x", ""),
        ("url.example", "x", "url"),
        ("docker.io", "library/x", "hub"),
        ("other.example", "x", ""),
    ],
)
def test_the_narrowest_entry_counts(domain: str, path: str, user: str, tmp_path: Path) -> None:
    environ = known(
        tmp_path,
        {
            "r.example": auth("registry"),
            "r.example/a": auth("above"),
            "r.example/a/b": auth("deep"),
            "https://url.example/v1/": auth("url"),
            "https://index.docker.io/v1/": auth("hub"),
        },
    )
    found = credentials.find(domain, path, environ)
    assert (found.user if found else "") == user


def test_a_password_may_have_colons_and_a_token_no_user(tmp_path: Path) -> None:
    environ = known(tmp_path, {"a.example": auth("me", "a:b:ü"), "b.example": {"identitytoken": "t"}})
    assert credentials.find("a.example", "x", environ) == Credentials("me", "a:b:ü")
    token = credentials.find("b.example", "x", environ)
    assert token is not None
    assert token.is_token


@pytest.mark.parametrize("entry", [{"auth": "%%%"}, {"auth": base64.b64encode(b"nocolon").decode()}])
def test_a_damaged_entry_is_named(entry: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the entry of r.example in .*auth.json is damaged"):
        credentials.find("r.example", "x", known(tmp_path, {"r.example": entry}))


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": [1]}', "[" * 100_000])
def test_a_file_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_text(text)
    with pytest.raises(UsageError, match=r"auth\.json"):
        credentials.find("r.example", "x", {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})


def test_what_else_is_in_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"psFormat": "x", "auths": {"b.example": auth("b")}}))
    environ = {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert credentials.keep("a.example", Credentials("a", "pw"), environ) == str(file)
    assert credentials.forget("b.example", environ)
    assert json.loads(file.read_text()) == {"psFormat": "x", "auths": {"a.example": auth("a")}}
    assert credentials.find("a.example", "x", environ) == Credentials("a", "pw")


def test_all_files_are_read_in_order(tmp_path: Path) -> None:
    runtime = tmp_path / "run/containers"
    runtime.mkdir(parents=True)
    (runtime / "auth.json").write_text(json.dumps({"auths": {"a.example": auth("podman")}}))
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert credentials.find("a.example", "x", environ) == Credentials("podman", "pw")
    credentials.keep("a.example", Credentials("docker", "pw"), environ)
    assert credentials.find("a.example", "x", environ) == Credentials("docker", "pw")
    assert credentials.forget("a.example", environ)
    assert credentials.find("a.example", "x", environ) is None
