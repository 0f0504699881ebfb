"""What a machine is told instead of a path of the host, for each kind of parameter and each system."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from devbox.cli import grammar
from devbox.cli.parse import parse
from devbox.errors import ConflictError, DevboxError, NotFoundError, UsageError
from devbox.machine import keyagent
from devbox.machine.translation import hostpath, mountmap
from devbox.machine.translation.mountmap import Share
from devbox.machine.translation.translate import translate
from devbox.machine.translation.wish import Fetched, Kind, NotSharedError, Sent, Translated, Wish

S = "/run/devbox/carried"


class Files:
    """Files by their path: a directory is None, a link's value starts with "->"."""

    def __init__(self, platform: str, found: Mapping[str, str | None]) -> None:
        self.platform = platform
        self.found = {hostpath.key(path, platform): content for path, content in found.items()}

    def real(self, path: str) -> str:
        names = hostpath.parts(path, self.platform)
        root = names[0] + "\\" if self.platform == "win32" else "/"
        found = root
        for name in names[self.platform == "win32" :]:
            found = hostpath.join(found, name, self.platform)
            content = self.found.get(hostpath.key(found, self.platform))
            if content and content.startswith("->"):
                found = self.real(content[2:])
        return found

    def kind(self, path: str) -> Kind:
        key = hostpath.key(self.real(path), self.platform)
        if key not in self.found:
            below = any(other[: len(key)] == key for other in self.found)
            return "directory" if below else "absent"
        return "directory" if self.found[key] is None else "file"

    def read(self, path: str) -> bytes:
        return (self.found[hostpath.key(self.real(path), self.platform)] or "").encode()


UNIX = {
    "/home/ann/src/app.py": "x",
    "/home/ann/src/.env": "FROM_FILE=1\nHOST_VAR\nUNSET\n",
    "/home/ann/src/out": "->/data/out",
    "/home/ann/src/in": "->/home/ann/src/sub",
    "/home/ann/src/sub": None,
    "/home/ann/secret.env": "A=b\n",
    "/home/ann/src/file.tar": "",
    "/data/out": None,
    "/data/image.tar": "tar",
    "/data/seccomp.json": "{}",
    "/data/link": "->/data/image.tar",
    "/srv/www": None,
}
WINDOWS = {"C:\\Users\\Ann\\src\\a.txt": "x", "D:\\data\\image.tar": "", "D:\\other": None}


def run(
    line: list[str],
    *,
    platform: str = "linux",
    cwd: str = "",
    environ: Mapping[str, str] | None = None,
    files: Mapping[str, str | None] = UNIX,
) -> Translated:
    command, named = grammar.find(line)
    assert command is not None
    if platform == "win32":
        mapping = mountmap.build([Share("C:\\Users\\Ann\\src", "/mnt/c/Users/Ann/src")], platform)
    else:
        mapping = mountmap.build([Share("/home/ann/src", "/home/ann/src"), Share("/srv/www", "/www")], platform)
    wish = Wish(
        mapping,
        cwd or ("C:\\Users\\Ann\\src" if platform == "win32" else "/home/ann/src"),
        {"HOST_VAR": "h"} if environ is None else environ,
        Files(platform, WINDOWS if platform == "win32" else files),
        "dev",
        "machines.toml",
        S,
    )
    return translate(parse(command, line[named:]), grammar.kinds(command), wish)


def volume(text: str, **surroundings: str) -> object:
    return run(["run", "-v", text, "busybox"], **surroundings).invocation.params["volume"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (".:/x", "/home/ann/src:/x"),
        ("./sub/..:/x:ro", "/home/ann/src:/x:ro"),
        ("/srv/www/a:/x:ro,z", "/www/a:/x:ro,z"),
        ("/home/ann/src/in/deep:/x", "/home/ann/src/sub/deep:/x"),
        ("/home/ann/src/new:/x", "/home/ann/src/new:/x"),
        ("data:/x", "data:/x"),
        ("/anonymous", "/anonymous"),
        ("~/x:/y", "~/x:/y"),
        ("", ""),
    ],
)
def test_volumes(text: str, found: str) -> None:
    assert volume(text) == (found,)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("C:\\Users\\Ann\\src:/x", "/mnt/c/Users/Ann/src:/x"),
        ("c:/users/ann/SRC/a:/x:ro", "/mnt/c/Users/Ann/src/a:/x:ro"),
        (".:/x", "/mnt/c/Users/Ann/src:/x"),
        (".\\a b:/x", "/mnt/c/Users/Ann/src/a b:/x"),
        ("C:sub:/x", "/mnt/c/Users/Ann/src/sub:/x"),
        ("/c/Users/Ann/src:/x", "/mnt/c/Users/Ann/src:/x"),
        ("//c/Users/Ann/src:/x", "/mnt/c/Users/Ann/src:/x"),
        ("/mnt/c/Users/Ann/src:/x", "/mnt/c/Users/Ann/src:/x"),
        ("\\\\?\\C:\\Users\\Ann\\src:/x", "/mnt/c/Users/Ann/src:/x"),
        ("data:/x", "data:/x"),
        ("/anonymous", "/anonymous"),
        ("C:\\Users\\Ann\\src;C:\\Program Files\\Git\\app\\x", "/mnt/c/Users/Ann/src:/app/x"),
        ("C:\\Users\\Ann\\src;C:/Program Files/Git/app", "/mnt/c/Users/Ann/src:/app"),
    ],
)
def test_volumes_on_windows(text: str, found: str) -> None:
    assert volume(text, platform="win32", environ={"EXEPATH": "C:\\Program Files\\Git\\bin"}) == (found,)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["C:\\Users\\Ann\\src", "C:\\a;C:\\b", "D:x:/x", "\\\\.\\pipe\\x:/x"])
def test_refused_on_windows(text: str) -> None:
    with pytest.raises(UsageError):
        volume(text, platform="win32")


def test_a_mount_outside_every_share_is_refused_with_the_line_to_write() -> None:
    with pytest.raises(NotSharedError) as caught:
        volume("/data/out:/x")
    assert caught.value.message == "-v /data/out:/x: /data/out lies in no share of machine 'dev'"
    assert 'write shares = ["/home/ann/src", "/srv/www:/www", "/data/out"] to [machines.dev]' in caught.value.hint
    with pytest.raises(NotSharedError) as caught:
        volume("/data/image.tar:/x")
    assert '"/data"]' in caught.value.hint, "a file cannot be shared"
    with pytest.raises(NotSharedError) as caught:
        volume("/home/ann:/x")
    assert 'shares = ["/srv/www:/www", "/home/ann"]' in caught.value.hint, "the inner share would overlap"
    with pytest.raises(NotSharedError) as caught:
        volume("D:\\other:/x", platform="win32")
    assert "shares = ['C:\\Users\\Ann\\src', 'D:\\other']" in caught.value.hint


def test_a_link_that_leads_out_of_the_shares_is_outside() -> None:
    with pytest.raises(NotSharedError, match="/home/ann/src/out lies in no share"):
        volume("./out:/x")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("type=bind,source=.,target=/x", "type=bind,source=/home/ann/src,target=/x"),
        ("type=bind,src=/srv/www,dst=/x,ro", "type=bind,source=/www,dst=/x,ro"),
        ('type=bind,"source=./a,b",target=/x', 'type=bind,"source=/home/ann/src/a,b",target=/x'),
        ("source=data,target=/x", "source=data,target=/x"),
        ("type=tmpfs,target=/x", "type=tmpfs,target=/x"),
        ("type=bind,source=name,target=/x", "type=bind,source=name,target=/x"),
    ],
)
def test_mounts(text: str, found: str) -> None:
    assert run(["run", "--mount", text, "busybox"]).invocation.params["mount"] == (found,)


def test_a_mount_of_what_is_not_shared_is_refused() -> None:
    with pytest.raises(NotSharedError, match="--mount"):
        run(["run", "--mount", "type=bind,source=/data/out,target=/x", "busybox"])
    with pytest.raises(NotSharedError, match="-o device=/data"):
        run(["volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", "device=/data/out"])


def test_a_volume_that_binds_and_one_that_does_not() -> None:
    made = run(["volume", "create", "-o", "o=bind", "-o", "device=/srv/www"])
    assert made.invocation.params["opt"] == ("o=bind", "device=/www")
    made = run(["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs"])
    assert made.invocation.params["opt"] == ("type=tmpfs", "device=tmpfs")


def test_variables_are_those_of_the_host() -> None:
    line = [
        "run",
        "--env-file",
        "../secret.env",
        "--env-file",
        ".env",
        "-e",
        "HOST_VAR",
        "-e",
        "A=c",
        "-e",
        "NO",
        "i",
    ]
    found = run(line)
    assert found.invocation.params["env"] == ("A=c", "FROM_FILE=1", "HOST_VAR=h")
    assert found.invocation.params["env_file"] == ()
    assert not found.send
    with pytest.raises(NotFoundError, match="--env-file"):
        run(["exec", "--env-file", "missing", "c", "true"])


def test_files_outside_the_shares_are_sent() -> None:
    assert run(["run", "--label-file", "app.py", "i"]).send == ()
    found = run(["run", "--label-file", "/data/image.tar", "--security-opt", "seccomp=/data/seccomp.json", "i"])
    assert found.invocation.params["label_file"] == (f"{S}/0/image.tar",)
    assert found.invocation.params["security_opt"] == (f"seccomp={S}/1/seccomp.json",)
    assert found.send[0] == Sent("/data/image.tar", f"{S}/0/image.tar", "--label-file", follow=True)
    assert run(["run", "--security-opt", "seccomp=unconfined", "i"]).invocation.params["security_opt"] == (
        "seccomp=unconfined",
    )


def test_archives_go_through_the_streams() -> None:
    found = run(["load", "-i", "/data/image.tar"])
    assert (found.stdin, found.invocation.params["input"]) == ("/data/image.tar", "-")
    found = run(["load", "-i", "./file.tar"])
    assert (found.stdin, found.invocation.params["input"]) == ("", "/home/ann/src/file.tar")
    found = run(["import", "/data/image.tar", "name"])
    assert (found.stdin, found.invocation.params["source"]) == ("/data/image.tar", "-")
    assert run(["import", "/data/out"]).send == (Sent("/data/out", f"{S}/0/out", "source", follow=True),)
    assert run(["import", "-"]).invocation.params["source"] == "-"
    found = run(["save", "-o", "/data/new.tar", "i"])
    assert (found.stdout, found.invocation.params["output"]) == ("/data/new.tar", None)
    assert run(["export", "-o", "x.tar", "c"]).invocation.params["output"] == "/home/ann/src/x.tar"
    for line in (["load", "-i", "/data/none"], ["save", "-o", "/none/x", "i"], ["export", "-o", "/none/x", "c"]):
        with pytest.raises(NotFoundError):
            run(line)


def test_the_cidfile_comes_back() -> None:
    found = run(["run", "--cidfile", "/data/cid", "i"])
    assert found.invocation.params["cidfile"] == f"{S}/0/cid"
    assert found.fetch == (Fetched(f"{S}/0/cid", "/data/cid", "--cidfile", "absent"),)
    with pytest.raises(ConflictError):
        run(["run", "--cidfile", "/data/image.tar", "i"])
    with pytest.raises(NotFoundError):
        run(["run", "--cidfile", "/none/cid", "i"])


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (".", "/home/ann/src/."),
        ("app.py", "/home/ann/src/app.py"),
        ("./app.py", "/home/ann/src/app.py"),
        ("sub/", "/home/ann/src/sub/"),
        ("out", "/home/ann/src/out"),  # the link itself
        ("/srv/www/.", "/www/."),
        ("-", "-"),
        ("other:/file", "other:/file"),
    ],
)
def test_cp_from_a_share(typed: str, found: str) -> None:
    translated = run(["cp", typed, "c:/x"])
    assert translated.invocation.params["source"] == found
    assert translated.invocation.params["destination"] == "c:/x"
    assert not translated.send


def test_cp_from_elsewhere() -> None:
    found = run(["cp", "/data/out/.", "c:/x"])
    assert found.invocation.params["source"] == f"{S}/0/out/."
    assert found.send == (Sent("/data/out", f"{S}/0/out", "source", follow=True),)
    assert run(["cp", "/data/link", "c:/x"]).send == (Sent("/data/link", f"{S}/0/link", "source", follow=False),)
    assert run(["cp", "-L", "/data/link", "c:/x"]).send[0].follow
    assert run(["cp", "-L", "out", "c:/x"]).send == (
        Sent("/home/ann/src/out", f"{S}/0/out", "source", follow=True),
    ), "what a link leads to is not in the machine"
    with pytest.raises(NotFoundError):
        run(["cp", "/data/none", "c:/x"])


def test_cp_to_elsewhere() -> None:
    found = run(["cp", "c:/x", "/data/out/"])
    assert found.invocation.params["destination"] == f"{S}/0/out/"
    assert found.fetch == (Fetched(f"{S}/0/out", "/data/out", "destination", "directory"),)
    assert run(["cp", "c:/x", "/data/new"]).fetch[0].prepare == "absent"
    assert run(["cp", "c:/x", "/data/image.tar"]).fetch[0].prepare == "file"
    assert run(["cp", "c:/x", "./out/y"]).fetch[0].host == "/home/ann/src/out/y", (
        "through the link, out of the share"
    )
    with pytest.raises(NotFoundError):
        run(["cp", "c:/x", "/none/new"])


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("C:\\Users\\Ann\\src\\a.txt", "/mnt/c/Users/Ann/src/a.txt"),
        ("c:/users/ann/src/a.txt", "/mnt/c/Users/Ann/src/a.txt"),
        (".\\a.txt", "/mnt/c/Users/Ann/src/a.txt"),
        (".\\", "/mnt/c/Users/Ann/src/"),
        ("c:data", "c:data"),
        ("web:/etc", "web:/etc"),
        ("D:\\data\\image.tar", f"{S}/0/image.tar"),
    ],
)
def test_cp_on_windows(typed: str, found: str) -> None:
    assert run(["cp", typed, "c:/x"], platform="win32").invocation.params["source"] == found


def test_the_working_directory() -> None:
    assert run(["ps"]).cwd == "/home/ann/src"
    assert run(["ps"], cwd="/srv/www/a").cwd == "/www/a"
    assert run(["ps"], cwd="/data/out").cwd == "/"
    assert run(["ps"], cwd="/home/ann/src/in").cwd == "/home/ann/src/sub"


def test_what_is_no_path_stays_as_it_is() -> None:
    line = [
        "run",
        "-w",
        "/data",
        "-l",
        "x=/data/out",
        "--name",
        "web",
        "i",
        "cat",
        "/data/out",
        "./x",
        "-v",
        "a:b",
    ]
    command, named = grammar.find(line)
    assert command
    before = parse(command, line[named:])
    assert run(line).invocation == before


def test_every_path_of_the_command_line_has_a_kind() -> None:
    """A new option that names a file of the host must say so, or a machine would read its own."""
    plain = {"text", "many"}
    known = {"--tmpfs", "--shm-size", "--workdir", "--device", "--format"}
    for command in grammar.every():
        for option in command.options:
            if option.kind in plain and not known & set(option.flags):
                assert option.metavar not in ("FILE", "PATH", "DIR", "DIRECTORY"), f"{command.path} {option.flags}"
        for argument in command.arguments:
            if argument.kind == "text":
                assert argument.complete != "file", f"{command.path} {argument.name}"


def test_errors_are_the_familys() -> None:
    assert issubclass(NotSharedError, DevboxError)


def test_a_build_sees_its_files() -> None:
    found = run(["build", "-f", "sub/Dockerfile", "--build-context", "www=/srv/www", "."]).invocation.params
    assert (found["context"], found["file"]) == ("/home/ann/src", "/home/ann/src/sub/Dockerfile")
    assert found["build_context"] == ("www=/www",)
    found = run(["build", "-f", "Dockerfile.x", "https://example.org/x.git"]).invocation.params
    assert (found["context"], found["file"]) == ("https://example.org/x.git", "Dockerfile.x")
    assert run(["build", "-"]).invocation.params["context"] == "-"
    sent = run(["build", "--build-arg", "HOST_VAR", "/data/out"])
    assert sent.send == (Sent("/data/out", f"{S}/0/out", "--context", follow=True),)
    assert sent.invocation.params["build_arg"] == ("HOST_VAR=h",)


def test_a_context_is_sent_without_what_is_ignored() -> None:
    files = UNIX | {
        "/ctx/.dockerignore": "*.log\n!a.log\n",
        "/ctx/x.dockerignore": "tmp\n",
        "/more/.dockerignore": "big\n",
    }

    def sent(*words: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(each.host, each.without) for each in run(["build", *words, "/ctx"], files=files).send]

    assert sent() == [("/ctx", ("*.log", "!a.log"))]
    assert sent("-f", "-") == [("/ctx", ("*.log", "!a.log"))]
    files["/ctx/Dockerfile.dockerignore"] = "node_modules\n"
    assert sent() == [("/ctx", ("node_modules",))]
    assert sent("--build-context", "x=/more")[0] == ("/more", ("big",))
    files["/ctx/x"] = "FROM scratch"
    beside = [("/ctx/x", ()), ("/ctx/x.dockerignore", ()), ("/ctx", ("tmp",))]
    assert sent("-f", "/ctx/x") == beside
    places = [each.guest for each in run(["build", "-f", "/ctx/x", "/ctx"], files=files).send]
    assert places[:2] == [f"{S}/0/x", f"{S}/0/x.dockerignore"]


def test_a_cache_in_a_directory_is_carried() -> None:
    found = run(
        ["build", "--cache-from", "type=local,src=/data/out", "--cache-to", "type=local,dest=/data/out", "."]
    )
    assert found.invocation.params["cache_from"] == (f"type=local,src={S}/0/out",)
    assert found.invocation.params["cache_to"] == (f"type=local,dest={S}/1/out",)
    assert found.fetch == (Fetched(f"{S}/1/out", "/data/out", "--cache-to", "directory"),)
    found = run(["build", "--cache-from", "type=registry,ref=x", "--cache-from", "team/x", "."])
    assert found.invocation.params["cache_from"] == ("type=registry,ref=x", "team/x")


def test_secrets_of_a_build_are_files_or_variables() -> None:
    def secret(text: str) -> tuple[object, tuple[Sent, ...]]:
        found = run(["build", "--secret", text, "."])
        return found.invocation.params["secret"], found.send

    assert secret("id=a,src=app.py") == (("id=a,src=/home/ann/src/app.py",), ())
    assert secret("id=HOST_VAR") == (("id=HOST_VAR",), ())
    assert secret("id=a,env=HOST_VAR") == (("id=a,env=HOST_VAR",), ())
    text, sent = secret("id=a,src=../secret.env")
    assert text == (f"id=a,src={S}/0/secret.env",)
    assert sent[0].host == "/home/ann/secret.env"


def test_the_ssh_agent_goes_where_it_is_named_and_nowhere_else() -> None:
    environ = {"SSH_AUTH_SOCK": "/tmp/ssh-x/agent.1"}
    assert not run(["run", "-v", ".:/x", "busybox"], environ=environ).agents
    forms = (
        ["build", "--ssh", "default", "."],
        ["run", "-v", "/tmp/ssh-x/agent.1:/agent", "busybox"],
        ["run", "-v", f"{keyagent.DESKTOP}:/agent:ro", "busybox"],
        ["run", "--mount", f"type=bind,src={keyagent.DESKTOP},target=/agent", "busybox"],
    )
    there = keyagent.place("", "/tmp/ssh-x/agent.1")
    for line in forms:
        found = run(line, environ=environ)
        assert found.agents == {there: "/tmp/ssh-x/agent.1"}
        assert any(there in str(value) for value in found.invocation.params.values())
    found = run(["build", "--ssh", "other=/home/ann/agent", "."], environ={})
    assert found.agents == {keyagent.place("", "/home/ann/agent"): "/home/ann/agent"}
    for line in forms[::2]:
        with pytest.raises(NotFoundError, match="no SSH agent runs here"):
            run(line, environ={})


def test_what_a_build_writes_comes_back() -> None:
    def output(text: str) -> tuple[object, tuple[Fetched, ...]]:
        found = run(["build", "-o", text, "."])
        return found.invocation.params["output"], found.fetch

    assert output("sub") == (("/home/ann/src/sub",), ())
    assert output("-") == (("-",), ())
    assert output("type=image,name=x") == (("type=image,name=x",), ())
    assert output("type=tar,dest=-") == (("type=tar,dest=-",), ())
    text, fetched = output("type=oci,dest=/data/new.tar")
    assert text == (f"type=oci,dest={S}/0/new.tar",)
    assert fetched == (Fetched(f"{S}/0/new.tar", "/data/new.tar", "--output", "absent"),)
    assert output("/data/out")[1][0].prepare == "directory"
