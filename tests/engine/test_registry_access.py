"""Who is let in: passwords, tokens, helpers, TLS, and what is said to those who are not."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import Box
from tests.engine.image_archives import LAYER, Layout, member, tar
from tests.engine.registries import PASSWORD, STRICT, USER, Handler, Liar, Registry, registry, serving

FILE = tar(member("file", b"x" * 100))
WRONG = "not the word"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A box that has the image app:1."""
    box = Box(tmp_path_factory.mktemp("access") / "root")
    layout = Layout()
    layout.list(layout.image([FILE]), "app:1")
    box("load", "-q", "-i", str(layout.write(box.root.parent / "layout")))
    yield box
    box.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("guarded"), password=True) as running:
        yield running


@pytest.fixture
def auth(tmp_path: Path) -> dict[str, str]:
    return {"REGISTRY_AUTH_FILE": str(tmp_path / "own/auth.json")}


def login(box: Box, host: str, env: dict[str, str], password: str = PASSWORD) -> str:
    done = box("login", "-u", USER, "--password-stdin", host, input=password + "\n", env=env, check=False)
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_one_who_is_known_is_let_in(box: Box, guarded: Registry, auth: dict[str, str]) -> None:
    name = f"{guarded.host}/private/app:1"
    box("tag", "app:1", name)
    error = box.fails("push", name, env=auth)
    assert "lets nobody unknown at private/app" in error
    assert f"devbox login {guarded.host}" in error
    assert "lets nobody unknown" in box.fails("pull", name, env=auth)
    assert "does not let ali" in login(box, guarded.host, auth, WRONG)
    assert not os.path.exists(auth["REGISTRY_AUTH_FILE"])

    assert "Login Succeeded" in login(box, guarded.host, auth)
    kept = Path(auth["REGISTRY_AUTH_FILE"])
    assert kept.stat().st_mode & 0o777 == 0o600
    packed = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert json.loads(kept.read_text()) == {"auths": {guarded.host: {"auth": packed}}}
    box("push", name, env=auth)
    box("pull", "-q", name, env=auth)
    assert box.json("image", "inspect", name)[0]["RepoTags"].count(name) == 1

    assert box.out("logout", guarded.host, env=auth) == f"Removing login credentials for {guarded.host}"
    assert box.out("logout", guarded.host, env=auth) == f"Not logged in to {guarded.host}"
    assert "lets nobody unknown" in box.fails("pull", name, env=auth)


def test_docker_s_own_file_is_read(box: Box, guarded: Registry, tmp_path: Path) -> None:
    packed = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {f"https://{guarded.host}/v2/": {"auth": packed}}}))
    env = {"DOCKER_CONFIG": str(tmp_path), "REGISTRY_AUTH_FILE": ""}
    box("tag", "app:1", f"{guarded.host}/docker:1")
    box("push", f"{guarded.host}/docker:1", env=env)
    (tmp_path / "config.json").write_text("{")
    assert "is not valid JSON" in box.fails("push", f"{guarded.host}/docker:1", env=env)


HELPER = """#!/bin/sh
file=$(dirname "$0")/secret
case $1 in
store) cat > "$file" ;;
get) [ -e "$file" ] && cat "$file" || { echo credentials not found; exit 1; } ;;
erase) rm "$file" ;;
esac
"""


def test_a_helper_keeps_the_password(box: Box, guarded: Registry, tmp_path: Path) -> None:
    (tmp_path / "docker-credential-box").write_text(HELPER)
    (tmp_path / "docker-credential-box").chmod(0o755)
    (tmp_path / "auth.json").write_text(json.dumps({"credHelpers": {guarded.host: "box"}}))
    env = {
        "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    box("tag", "app:1", f"{guarded.host}/helped:1")
    assert "Login Succeeded" in login(box, guarded.host, env)
    assert json.loads((tmp_path / "secret").read_text())["Secret"] == PASSWORD
    assert PASSWORD not in (tmp_path / "auth.json").read_text()
    box("push", f"{guarded.host}/helped:1", env=env)
    box("logout", guarded.host, env=env)
    assert not (tmp_path / "secret").exists()
    assert "lets nobody unknown" in box.fails("push", f"{guarded.host}/helped:1", env=env)
    (tmp_path / "docker-credential-box").unlink()
    assert "docker-credential-box is not installed" in box.fails("push", f"{guarded.host}/helped:1", env=env)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("login", "-u", "a", "localhost:1"), "a name and a password are wanted"),
        (("login", "--password-stdin", "localhost:1"), "needs --username"),
        (("login", "-u", "a", "-p", "b", "--password-stdin", "localhost:1"), "mutually exclusive"),
        (("login", "-u", "a", "-p", "b", "localhost:1"), "nothing answers at localhost:1"),
        (("login", "-u", "a", "-p", "b", "nosuch"), "is no registry"),
        (("logout", "not a host"), "is no registry"),
    ],
)
def test_what_login_refuses(box: Box, auth: dict[str, str], words: tuple[str, ...], said: str) -> None:
    assert said in box.fails(*words, env=auth, input="")


def test_certificates_are_checked_unless_one_says_not_to(box: Box, tmp_path: Path) -> None:
    with registry(tmp_path / "tls", tls=True, name=STRICT) as there:
        name = f"{there.host}/app:1"
        box("tag", "app:1", name)
        error = box.fails("push", name)
        assert f"the certificate of {there.host} is not trusted" in error
        assert "certs.d" in error
        box("push", name, env={"SSL_CERT_FILE": str(there.place / "tls.crt")})
        box("pull", "-q", "--insecure", name)
        box("pull", "-q", f"localhost:{there.port}/app:1")  # this machine is trusted, as docker does it


def test_a_registry_without_tls_is_asked_only_where_it_may_be(box: Box, tmp_path: Path) -> None:
    with registry(tmp_path / "plain", name=STRICT) as there:
        name = f"{there.host}/app:1"
        box("tag", "app:1", name)
        error = box.fails("push", name)
        assert f"{there.host} does not speak TLS" in error
        assert "--insecure" in error
        box("push", "--insecure", name)
        conf = tmp_path / "registries.conf"
        conf.write_text(f'[[registry]]\nlocation = "{there.host}"\ninsecure = true\n')
        box("pull", "-q", name, env={"CONTAINERS_REGISTRIES_CONF": str(conf)})
        conf.write_text("[[registry]\n")
        assert "is not valid TOML" in box.fails("pull", name, env={"CONTAINERS_REGISTRIES_CONF": str(conf)})


class TestTokens:
    """A registry that sends those who come to an authority."""

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        liar = Liar([FILE])
        with serving(liar):
            yield liar

    def guard(self, liar: Liar, answer: str, *, realm: str = "") -> None:
        challenge = f'Bearer realm="{realm or f"http://{liar.host}/token"}",service="s",scope="repository:x:pull"'

        def manifest(handler: Handler) -> None:
            if handler.headers.get("Authorization") == "Bearer good":
                handler.reply(200, liar.document)
            else:
                handler.reply(401, b"{}", {"WWW-Authenticate": challenge})

        liar.answers["/v2/x/manifests/1"] = manifest
        liar.answers["/token"] = lambda handler: handler.reply(200, answer.encode())

    def test_a_token_lets_in(self, fresh_box: Box, liar: Liar) -> None:
        self.guard(liar, '{"token": "good"}')
        fresh_box("pull", "-q", f"{liar.host}/x:1")
        asked = liar.requests("/token")
        assert asked == ["GET /token?service=s&scope=repository%3Ax%3Apull"]
        assert all(
            headers.get("Authorization") == "Bearer good" for _, path, headers in liar.seen if "blobs" in path
        )

    def test_a_password_is_shown_to_the_authority_alone(self, fresh_box: Box, liar: Liar, tmp_path: Path) -> None:
        self.guard(liar, '{"access_token": "good"}')
        secret = base64.b64encode(b"me:pw").decode()
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {liar.host: {"auth": secret}}}))
        fresh_box("pull", "-q", f"{liar.host}/x:1", env={"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})
        shown = {path.partition("?")[0] for _, path, headers in liar.seen if secret in str(headers)}
        assert shown == {"/token"}

    def test_an_identity_token_is_exchanged(self, fresh_box: Box, liar: Liar, tmp_path: Path) -> None:
        self.guard(liar, '{"access_token": "good"}')
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {liar.host: {"identitytoken": "long"}}}))
        fresh_box("pull", "-q", f"{liar.host}/x:1", env={"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})
        assert liar.requests("/token") == ["POST /token"]

    @pytest.mark.parametrize(
        ("answer", "realm", "said"),
        [
            ("{}", "", "answers what is no token"),
            ('{"token": "a\\r\\nX-Injected: 1"}', "", "answers what is no token"),
            ("[" * 100_000, "", "answers what is no token"),
            ('{"token": "bad"}', "", "lets nobody unknown"),
            ("", "file:///etc/passwd", "which is no address with TLS"),
            ("", "http://localhost:1/token", "nothing answers at localhost:1"),
        ],
    )
    def test_an_authority_that_is_none(
        self, fresh_box: Box, liar: Liar, answer: str, realm: str, said: str
    ) -> None:
        self.guard(liar, answer, realm=realm)
        assert said in fresh_box.fails("pull", f"{liar.host}/x:1")
        assert fresh_box.out("images", "-aq") == ""

    def test_a_mount_asks_for_both_repositories(self, fresh_box: Box, liar: Liar) -> None:
        squeezed = liar.add(gzip.compress(FILE))
        liar.layers = [squeezed]
        liar.manifest["layers"] = [{**squeezed, "mediaType": LAYER + "+gzip"}]
        fresh_box("pull", "-q", f"{liar.host}/x:1")
        fresh_box("tag", f"{liar.host}/x:1", f"{liar.host}/y:1")
        self.guard(liar, '{"token": "good"}')

        def guarded(status: int) -> Callable[[Handler], None]:
            def act(handler: Handler) -> None:
                handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
                if handler.headers.get("Authorization") == "Bearer good":
                    handler.reply(status)
                else:
                    challenge = f'Bearer realm="http://{liar.host}/token"'
                    handler.reply(401, b"{}", {"WWW-Authenticate": challenge})

            return act

        liar.answer(f"/v2/y/blobs/{liar.layers[0]['digest']}", guarded(404))
        liar.answer("/v2/y/blobs/uploads/", guarded(201))
        liar.answer("/v2/y/manifests/1", guarded(201))
        assert "Mounted from x" in fresh_box.out("push", f"{liar.host}/y:1")
        first, second = liar.requests("/token")
        assert first == "GET /token?scope=repository%3Ay%3Apull%2Cpush"
        assert second == first + "&scope=repository%3Ax%3Apull"

    def test_no_secret_goes_along_to_another_host(self, fresh_box: Box, liar: Liar) -> None:
        self.guard(liar, '{"token": "good"}')
        with serving(Liar([FILE])) as other:
            there = f"http://{other.host}{liar.blob_path()}"
            liar.answers[liar.blob_path()] = lambda handler: handler.reply(307, b"", {"Location": there})
            fresh_box("pull", "-q", f"{liar.host}/x:1")
            assert [headers.get("Authorization") for _, _, headers in other.seen] == [None]


def test_who_cannot_write_is_told_so(box: Box) -> None:
    liar = Liar([FILE])
    body = json.dumps({"errors": [{"code": "DENIED", "message": "\x1b[31mread only"}]}).encode()
    with serving(liar):
        name = f"{liar.host}/y:1"
        box("tag", "app:1", name)
        liar.answers["/v2/y/blobs/uploads/"] = lambda handler: handler.reply(403, body)
        assert "lets nobody unknown at y" in box.fails("push", name)
        liar.answers["/v2/y/blobs/uploads/"] = lambda handler: handler.reply(405, body)
        error = box.fails("push", name)
        assert "refuses: 405 denied: \\x1b[31mread only" in error


def test_the_config_of_an_image_is_no_secret_in_an_error(box: Box) -> None:
    liar = Liar([FILE], config={"Env": [f"SECRET={PASSWORD}"], "Volumes": 7})
    with serving(liar):
        error = box.fails("pull", f"{liar.host}/x:1")
        assert "'Volumes'" in error
        assert PASSWORD not in error
