"""Images from Dockerfiles, with real programs on a real kernel."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.builds import Builder, context, executed, leftovers
from tests.engine.conftest import ENTRY, Box
from tests.engine.registries import registry
from tests.engine.terminals import Terminal


@pytest.fixture
def build(box: Box, tmp_path: Path, name: str) -> Iterator[Builder]:
    yield Builder(box, tmp_path / "context", name)
    box("rmi", "-f", name, check=False)


def test_instructions_make_the_image_that_they_say(build: Builder) -> None:
    build.write({"app/main.sh": "echo $GREETING from $(pwd)\n"})
    build(
        """
        FROM busybox
        ARG WHO=world
        ENV GREETING="hello $WHO" B=2
        WORKDIR /srv/app
        COPY app .
        RUN chmod 755 main.sh && touch made
        LABEL a.b="c d" e=f
        EXPOSE 80 53/udp
        VOLUME /data
        USER 65534:65534
        STOPSIGNAL SIGINT
        HEALTHCHECK --interval=5s CMD true
        ENTRYPOINT ["sh"]
        CMD ["main.sh"]
        """,
        *("--build-arg", "WHO=you"),
    )
    config = json.loads(build.box.out("image", "inspect", "-f", "{{json .Config}}", build.name))
    assert build.run() == "hello you from /srv/app"
    assert config["Labels"] == {"a.b": "c d", "e": "f"}
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"}
    assert config["Volumes"] == {"/data": {}}
    assert (config["User"], config["StopSignal"]) == ("65534:65534", "SIGINT")
    assert config["Entrypoint"] == ["sh"]
    assert config["Cmd"] == ["main.sh"]
    assert config["Healthcheck"]["Test"] == ["CMD-SHELL", "true"]
    assert not [item for item in config["Env"] if item.startswith("WHO=")]
    history = build.box.out("history", "--no-trunc", "--format", "{{.CreatedBy}}", build.name)
    assert "RUN |1 WHO=you /bin/sh -c chmod 755 main.sh && touch made" in history


def test_only_what_is_needed_is_built_and_what_is_independent_at_once(build: Builder) -> None:
    times = "cat /proc/uptime > /{0}; sleep 1; cat /proc/uptime >> /{0}"
    said = build(
        f"FROM busybox AS one\nRUN {times.format('one')}\n"
        f"FROM busybox AS two\nRUN {times.format('two')}\n"
        "FROM busybox AS useless\nRUN echo never; false\n"
        "FROM busybox\nCOPY --from=one /one /\nCOPY --from=1 /two /\n"
    )
    assert "never" not in said
    begun_1, ended_1, begun_2, ended_2 = (
        float(line.split()[0]) for line in build.run("cat", "/one", "/two").splitlines()
    )
    assert max(begun_1, begun_2) < min(ended_1, ended_2)


def test_a_stage_can_be_the_target(build: Builder) -> None:
    build("FROM busybox AS first\nRUN touch /first\nFROM first\nRUN touch /second\n", "--target", "first")
    assert build.run("sh", "-c", "ls /first /second 2>/dev/null || true") == "/first"
    assert "has no stage 'frist'" in build.fails("FROM busybox AS first\n", "--target", "frist", code=125)


def test_a_failing_step_tells_where_and_what_it_said(build: Builder) -> None:
    said = build.fails("FROM busybox\n\nRUN echo begun; echo the reason >&2; exit 7\n")
    assert "Dockerfile:3: RUN echo begun; echo the reason >&2; exit 7 failed with exit code 7" in said
    assert said.splitlines()[-2:] == ["  | begun", "  | the reason"]
    assert not leftovers(build.box)


@pytest.mark.parametrize(
    ("dockerfile", "code", "message"),
    [
        ("FROM busybox\nCOPY nothere /\n", 1, 'Dockerfile:2: "/nothere": not found'),
        ("FROM no-such-image-here\n", 125, "Dockerfile:1: "),
        ("FROM busybox AS t\nCOPY --from=later /a /a\nFROM busybox AS later\n", 125, "must be defined before"),
        ("FROM a AS t\nFROM busybox AS a\n", 125, "circular dependency"),
        ("FROM busybox\nRNU true\n", 125, "Dockerfile:2: unknown instruction: RNU"),
        ("FROM scratch\nRUN true\n", 1, "Dockerfile:2: exec: "),
        ("FROM busybox\nRUN --security=insecure true\n", 125, "security.insecure is not allowed"),
        ("FROM busybox\nRUN --mount=type=secret,id=x,required true\n", 1, "needs the secret 'x'"),
        ("FROM busybox\nUSER nobody-here\nRUN true\n", 1, "unable to find user nobody-here"),
        ("FROM --platform=linux/mips64 busybox\n", 125, "image busybox is not for the platform linux/mips64"),
    ],
)
def test_mistakes_are_told_in_a_sentence(build: Builder, dockerfile: str, code: int, message: str) -> None:
    said = build.fails(dockerfile, *(("--target", "t") if " AS t" in dockerfile else ()), code=code)
    assert message in said
    assert not leftovers(build.box)


def test_the_same_layer_may_be_in_an_image_twice(build: Builder) -> None:
    build.write({"file": "x"})
    again = "COPY --link file /f\n"
    build(f"FROM busybox\n{again}RUN rm /f\n{again}RUN rm /f; touch /g\n{again}")
    assert build.run("cat", "/f") == "x"
    layers = json.loads(build.box.out("image", "inspect", "-f", "{{json .RootFS.Layers}}", build.name))
    assert len(layers) == 6
    assert layers[1] == layers[3] == layers[5]


def test_an_empty_stage_has_no_files(build: Builder, tmp_path: Path) -> None:
    build(
        "FROM scratch AS one\nFROM busybox\nCOPY --from=one * /x/\nRUN --mount=from=one,target=/m ls -A /m > /l\n"
    )
    assert build.run("cat", "/l") == ""
    build.box("build", "-q", "-f", "-", "-o", str(tmp_path / "o"), str(build.place), input="FROM scratch\n")
    assert os.listdir(tmp_path / "o") == []


def test_a_short_name_is_no_beginning_of_an_id(build: Builder) -> None:
    build("FROM busybox\nENV a=b\n")
    digits = build.id().removeprefix("sha256:")
    assert build(f"FROM {digits[:12]}\n")
    error = build.fails(f"FROM {digits[:5]}\n", code=125)
    assert "registry docker.io is blocked" in error


def test_an_image_may_be_settings_alone(build: Builder, fresh_box: Box, tmp_path: Path) -> None:
    build("FROM scratch\nENV a=b\n")
    archive = str(tmp_path / "a.tar")
    build.box("save", "-o", archive, build.name)
    fresh_box("load", "-q", "-i", archive)
    assert fresh_box.out("image", "inspect", "-f", "{{.Id}} {{.Size}}", build.name) == f"{build.id()} 0"
    assert "no such file" in fresh_box.fails("run", "--rm", build.name, "/tool", code=127)
    child = Builder(fresh_box, tmp_path / "child", "child")
    child(f"FROM {build.name}\nCOPY <<EOF /file\nx\nEOF\n")
    assert fresh_box.out("image", "diff", "--format", "{{.Path}}", build.name, "child") == "/file"
    assert "a=b" in fresh_box.out("image", "inspect", "-f", "{{.Config.Env}}", "child")
    assert fresh_box.out("check") == "the store is in order"


def test_flags_that_scripts_give_to_docker_are_taken_or_explained(build: Builder) -> None:
    build("FROM scratch\nENV a=b\n", "--rm", "--force-rm=true", "--compress", "--provenance=false", "--sbom=false")
    for flag, said in (
        ("--sbom=true", "no attestations are made"),
        ("--squash", "layers are what the cache keeps"),
        ("--memory=1g", "a RUN has no limits of its own"),
    ):
        assert said in build.fails("FROM scratch\nENV a=b\n", flag, code=125)


def test_a_device_is_written_to_an_archive_only(build: Builder, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN mknod /null c 1 3\n"
    error = build.fails(text, "-o", str(tmp_path / "out"), code=125)
    assert "null" in error
    assert "--output type=tar,dest=FILE" in error
    build(text, "-o", f"type=tar,dest={tmp_path}/out.tar")
    listed = subprocess.run(
        ["tar", "tvf", tmp_path / "out.tar", "null"], check=True, capture_output=True, text=True
    )
    assert listed.stdout.startswith("crw")


def test_heredocs_run_and_become_files(build: Builder) -> None:
    build(
        "FROM busybox\n"
        "RUN <<EOF\necho $((1 + 2)) > /three\nEOF\n"
        'RUN <<SCRIPT\n#!/bin/sh\necho "by $0" > /by\nSCRIPT\n'
        "COPY --chmod=600 --chown=7:8 <<'FILE' /etc/conf\nas $IT is\nFILE\n"
    )
    assert build.run("cat", "/three", "/by", "/etc/conf").splitlines() == [
        "3",
        "by /dev/pipes/SCRIPT",
        "as $IT is",
    ]
    assert build.run("stat", "-c", "%a %u:%g", "/etc/conf") == "600 7:8"


def test_a_change_makes_only_what_comes_after_it_anew(build: Builder) -> None:
    dockerfile = "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /a\nCOPY file /\nRUN cat /file > /b\n"
    build.write({"file": "1"})
    assert len(executed(build(dockerfile))) == 3
    first = build.id()
    os.utime(build.place / "file", (1, 1))
    assert executed(build(dockerfile)) == []
    assert build.id() == first
    build.write({"file": "2"})
    assert executed(build(dockerfile)) == ["COPY file /", "RUN cat /file > /b"]
    build.write({"file": "1"})
    assert executed(build(dockerfile)) == []
    assert build.id() == first
    assert len(executed(build(dockerfile, "--no-cache"))) == 3
    assert build.id() != first


def test_secrets_reach_the_step_and_nothing_else(build: Builder, tmp_path: Path) -> None:
    secret = "s3cr3t-0f-th3-t3st"
    (tmp_path / "secret").write_text(secret)
    said = build(
        "FROM busybox\n"
        "RUN --mount=type=secret,id=token --mount=type=secret,id=token,env=TOKEN "
        'test "$(cat /run/secrets/token)" = "$TOKEN" && cat /run/secrets/token && '
        "wc -c < /run/secrets/token > /n\n",
        *("--secret", f"id=token,src={tmp_path}/secret"),
    )
    assert "***" in said
    assert build.run("sh", "-c", "cat /n; ls -A /run 2>/dev/null | wc -l").split() == ["18", "0"]
    found = subprocess.run(["grep", "-r", "-l", secret, str(build.box.root)], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "")
    assert secret not in said


def test_a_secret_is_on_no_disk_while_its_step_runs(build: Builder, tmp_path: Path) -> None:
    secret = "an0ther-s3cr3t"
    dockerfile = "FROM busybox\nRUN --mount=type=secret,id=a,env=A --mount=type=secret,id=a,target=/s sleep 1234\n"
    build.write({"Dockerfile": dockerfile})
    running = _begin(build, "--secret", "id=a,env=GIVEN", GIVEN=secret)
    found = subprocess.run(["grep", "-r", "-l", secret, str(build.box.root)], capture_output=True, text=True)
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in os.listdir("/proc") if pid.isdigit()]
    running.terminate()
    running.wait(10)
    assert (found.returncode, found.stdout) == (1, "")
    assert not [line for line in lines if secret.encode() in line and b"grep" not in line]


def test_a_cache_mount_is_kept_and_no_part_of_the_image(build: Builder) -> None:
    line = "RUN --mount=type=cache,target=/cache,id=test-of-cache echo {0} >> /cache/log && cp /cache/log /log\n"
    build("FROM busybox\n" + line.format(1))
    build("FROM busybox\n" + line.format(2))
    assert build.run("cat", "/log").split() == ["1", "2"]
    assert build.run("sh", "-c", "ls -d /cache || true") == ""


def test_other_mounts_are_seen_and_leave_nothing(build: Builder) -> None:
    build.write({"d/file": "x", "d/ignored": "y", ".dockerignore": "d/ignored"})
    said = build(
        "FROM busybox AS other\nRUN mkdir /o && echo o > /o/o\n"
        "FROM busybox\n"
        "RUN --mount=type=tmpfs,target=/t,size=1m --mount=source=d,target=/d "
        "--mount=from=other,source=/o,target=/o,rw "
        "touch /t/x /o/new && ls /d /o && df /t | tail -1 && ! touch /d/x\n"
    )
    assert [line.split()[-1] for line in said.splitlines() if line.split()[-1:] in (["file"], ["o"], ["ignored"])]
    assert "ignored" not in said.replace("d/ignored", "")
    assert build.run("sh", "-c", "ls -d /t /d /o 2>/dev/null || true") == ""


def test_an_agent_reaches_the_step_that_asks_for_it(build: Builder, tmp_path: Path) -> None:
    line = "FROM busybox\nRUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK\nRUN test -z $SSH_AUTH_SOCK\n"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        given = ("--ssh", f"default={tmp_path}/agent")
        build(line, *given)
    assert build.run("sh", "-c", "ls -A /run 2>/dev/null || true") == ""
    assert "which was not given" in build.fails(line, "--no-cache")
    assert "given to root only" in build.fails(
        "FROM busybox\nRUN --mount=type=ssh,uid=7 true\n", "--ssh", f"default={tmp_path}/agent"
    )


@pytest.mark.parametrize(("mode", "lines"), [("none", 0), ("default", 1)])
def test_the_network_of_a_step_is_the_one_asked_for(build: Builder, mode: str, lines: int) -> None:
    build(
        f"FROM busybox\nRUN --network={mode} ip -o link | grep -vc ' lo:' > /n; hostname > /h; "
        "grep -w db /etc/hosts > /db\n",
        *("--add-host", "db:10.1.2.3"),
    )
    assert build.run("cat", "/n", "/h", "/db").split() == [str(lines), "buildkitsandbox", "10.1.2.3", "db"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_stopped_leaves_nothing(build: Builder, number: int) -> None:
    build.write({"Dockerfile": "FROM busybox\nRUN touch /x; sleep 1234\n"})
    running = _begin(build)
    begun = time.monotonic()
    running.send_signal(number)
    running.wait(10)
    assert time.monotonic() - begun < 2
    assert running.returncode == (130 if number == signal.SIGINT else -number)
    assert not _sleepers()
    assert not leftovers(build.box)


def test_the_next_command_clears_up_after_a_killed_build(build: Builder) -> None:
    build.write({"Dockerfile": "FROM busybox\nRUN echo kept > /kept\nRUN touch /x; sleep 1234\n"})
    running = _begin(build)
    running.kill()
    running.wait(10)
    build.box("ps")
    assert not _sleepers()
    assert not leftovers(build.box)
    assert build.box("check").returncode == 0
    said = build("FROM busybox\nRUN echo kept > /kept\nRUN cat /kept\n")
    assert executed(said) == ["RUN cat /kept"]


def _begin(build: Builder, *options: str, **env: str) -> subprocess.Popen[bytes]:
    """Start a build, and wait until its sleep runs."""
    running = subprocess.Popen(
        [*ENTRY, "build", *options, str(build.place)],
        env={**build.box.env, **env},
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it may be ignored here
    )
    deadline = time.monotonic() + 20
    while not _sleepers():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return running


def _sleepers() -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[-3:-1] == [b"sleep", b"1234"]:
            found.append(pid)
    return found


def test_two_builds_at_once_share_their_steps(build: Builder) -> None:
    build.write({"Dockerfile": "FROM busybox\nRUN sleep 1; cat /proc/sys/kernel/random/uuid > /when\n"})
    pair = [
        subprocess.Popen(
            [*ENTRY, "build", "-q", "--no-cache-filter", "none", str(build.place)],
            env=build.box.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ids = [each.communicate(timeout=30)[0].strip() for each in pair]
    assert ids[0] == ids[1] != ""


def test_the_same_inputs_make_the_same_image_in_two_stores(build: Builder, fresh_box: Box) -> None:
    fresh_box("bootstrap", "busybox")
    other = Builder(fresh_box, build.place.parent / "elsewhere", "other")
    for each in (build, other):
        each.write({"src/a": "a", "src/b/c": "c"})
        os.utime(each.place / "src/a", (each.place.stat().st_mtime - 1000,) * 2)
        each(
            "FROM busybox AS stage\nRUN mkdir /made && echo 1 > /made/one && ln /made/one /made/two\n"
            "FROM busybox\nWORKDIR /w\nCOPY src .\nCOPY --from=stage /made made\n"
            "RUN touch a/../new; rm b/c; mkdir -p deep/er; echo $SOURCE_DATE_EPOCH > when\n"
        )
        time.sleep(1.1)
    assert other.id() == build.id()


def test_source_date_epoch_is_the_time_of_everything(build: Builder) -> None:
    build("FROM busybox\nRUN touch /x\nCOPY . /c\n", env={"SOURCE_DATE_EPOCH": "1000000000"})
    assert build.run("stat", "-c", "%Y", "/x", "/c").split() == ["1000000000", "1000000000"]
    assert build.box.out("image", "inspect", "-f", "{{.Created}}", build.name) == "2001-09-09T01:46:40Z"


def test_pruning_the_cache_leaves_images_as_they_are(fresh_box: Box, tmp_path: Path) -> None:
    fresh_box("bootstrap", "busybox")
    build = Builder(fresh_box, tmp_path / "context", "pruned")
    dockerfile = "FROM busybox AS a\nRUN echo big > /big\nFROM busybox\nCOPY --from=a /big /copy\n"
    build(dockerfile)
    assert "EXEC" not in fresh_box.out("builder", "du")
    fresh_box("builder", "prune", "-f")
    assert executed(build(dockerfile)) == ["RUN echo big > /big"]  # what it makes is copied already
    fresh_box("builder", "prune", "-af")
    assert fresh_box.out("builder", "du").splitlines()[1:] == []
    assert build.run("cat", "/copy") == "big"
    fresh_box("rmi", "-f", "pruned")
    assert "in order" in fresh_box.out("check")


def test_the_result_can_be_files_or_an_archive(build: Builder, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox AS b\nRUN mkdir /o && echo hi > /o/f && ln -s f /o/l\nFROM scratch\nCOPY --from=b /o /\n"
    )
    before = build.box.out("images", "-aq")
    line = ("build", "-q", "-f", "-", str(build.place))
    build.box(*line, "-o", str(tmp_path / "files"), input=dockerfile)
    device = "FROM busybox\nRUN mknod /null c 1 3\n"
    assert "device" in build.fails(device, "-o", str(tmp_path / "device"), code=125)
    assert (tmp_path / "files/l").read_text() == "hi\n"
    assert os.readlink(tmp_path / "files/l") == "f"
    build.box(*line, "-o", f"type=tar,dest={tmp_path}/o.tar", input=dockerfile)
    assert (
        subprocess.run(["tar", "tf", str(tmp_path / "o.tar")], capture_output=True, text=True).stdout == "f\nl\n"
    )
    assert build.box.out("images", "-aq") == before
    build.box(*line, "-t", build.name, "-o", f"type=oci,dest={tmp_path}/oci.tar", input=dockerfile)
    image = build.id()
    build.box("rmi", "-f", build.name)
    assert build.name in build.box.out("load", "-i", str(tmp_path / "oci.tar"))
    assert build.id() == image


def test_a_context_can_be_an_archive_or_a_dockerfile_alone(build: Builder) -> None:
    build.write({"Dockerfile": "FROM busybox\nCOPY . /c\n", "file": "x", ".dockerignore": "Dockerfile"})
    archive = subprocess.run(["tar", "cz", "."], cwd=build.place, capture_output=True, check=True).stdout
    line = [*ENTRY, "build", "-q", "-t", build.name, "-"]
    subprocess.run(line, input=archive, env=build.box.env, check=True, capture_output=True)
    assert build.run("ls", "/c") == "file"
    dockerfile = b"FROM busybox\nRUN echo alone > /alone\n"
    subprocess.run(line, input=dockerfile, env=build.box.env, check=True, capture_output=True)
    assert build.run("cat", "/alone") == "alone"


def test_add_unpacks_archives_and_fetches_what_a_checksum_names(build: Builder, served: tuple[Path, str]) -> None:
    folder, url = served
    (folder / "data").write_text("fetched")
    build.write({"inner/file": "packed"})
    subprocess.run(["tar", "czf", "inner.tar.gz", "inner"], cwd=build.place, check=True)
    digest = "sha256:" + hashlib.sha256(b"fetched").hexdigest()
    line = "FROM busybox\nADD inner.tar.gz /here/\nADD --unpack=false inner.tar.gz /as-it-is/\n"
    line += f"ADD --checksum={digest} {url}/data /data\n"
    build(line)
    assert build.run("cat", "/here/inner/file", "/data") == "packedfetched"
    assert build.run("ls", "/as-it-is") == "inner.tar.gz"
    (folder / "data").unlink()
    assert executed(build(line)) == []
    (folder / "data").write_text("altered")
    assert "Dockerfile:2: " in build.fails(f"FROM busybox\nADD --checksum={digest} {url}/data /other\n")
    assert "source can't be a URL for COPY" in build.fails(f"FROM busybox\nCOPY {url}/data /\n", code=125)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL that it is served at."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_debug_opens_a_shell_in_the_step_that_failed(build: Builder) -> None:
    build.write({"Dockerfile": "FROM busybox\nRUN echo seen > /made; exit 7\n"})
    terminal = Terminal([*ENTRY, "build", "--debug", str(build.place)], build.box.env)
    terminal.expect(b"/ # ")
    terminal.type(b"cat /ma''de; exit\n")
    terminal.expect(b"seen")
    terminal.expect(b"failed with exit code 7", 20)
    assert terminal.wait() == 1
    terminal.close()


def test_a_cache_can_be_carried_to_another_store(build: Builder, fresh_box: Box, tmp_path: Path) -> None:
    fresh_box("bootstrap", "busybox")
    other = Builder(fresh_box, build.place, "carried")
    dockerfile = (
        "FROM busybox AS a\nRUN cat /proc/sys/kernel/random/uuid > /id\nRUN true\n"
        "FROM busybox\nCOPY --from=a /id /id\nRUN cat /id > /copy\n"
    )
    place = tmp_path / "cache"
    build(dockerfile, "--cache-to", f"type=local,dest={place}")
    assert executed(other(dockerfile, "--cache-from", f"type=local,src={place}")) == []
    assert other.id() == build.id()
    (blob, *_) = (place / "blobs/sha256").iterdir()
    blob.write_bytes(b"altered" + blob.read_bytes()[7:])
    fresh_box("rmi", "-f", "carried")
    fresh_box("builder", "prune", "-af")
    said = other.fails(dockerfile, "--cache-from", f"type=local,src={place}", code=125)
    assert "damaged" in said or "archive" in said
    assert "not supported" in other.fails(dockerfile, "--cache-from", "type=gha", code=125)


def test_a_cache_can_be_in_a_registry(build: Builder, fresh_box: Box, tmp_path: Path) -> None:
    fresh_box("bootstrap", "busybox")
    other = Builder(fresh_box, build.place, "cached")
    dockerfile = (
        "FROM busybox AS a\nRUN cat /proc/sys/kernel/random/uuid > /id\nFROM busybox\nCOPY --from=a /id /id\n"
    )
    with registry(tmp_path / "registry") as place:
        cache = f"type=registry,ref={place.host}/app:cache"
        said = build(dockerfile, "--cache-from", cache, "--cache-to", cache)
        assert f"no cache from {place.host}/app:cache" in said
        assert executed(other(dockerfile, "--cache-from", f"{place.host}/app:cache")) == []
        assert other.id() == build.id()
        for box in (build.box, fresh_box):
            assert "app" not in box.out("images", "--format", "{{.Repository}}")
        assert "in order" in fresh_box.out("check")


def test_a_build_can_push_what_another_begins_with(build: Builder, fresh_box: Box, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as place:
        name = f"{place.host}/team/base:1"
        line = ("build", "-q", "-t", name, "--push", "-")
        build.box(*line, input="FROM busybox\nRUN echo base > /base\n")
        other = Builder(fresh_box, build.place, "child")
        said = other(f"FROM {name}\nRUN cat /base > /copy\n")
        assert "Unable to find image" in said
        assert other.run("cat", "/copy") == "base"
        build.box(*line, input="FROM busybox\nRUN echo newer > /base\n")
        other(f"FROM {name}\nRUN cat /base > /copy\n")
        assert other.run("cat", "/copy") == "base"
        other(f"FROM {name}\nRUN cat /base > /copy\n", "--pull")
        assert other.run("cat", "/copy") == "newer"
        assert "wants a name" in build.box.fails("build", "--push", "-", input="FROM busybox\n")


def test_further_contexts_have_names(build: Builder, tmp_path: Path) -> None:
    context(tmp_path / "other", {"kept": "kept", "left": "left", ".dockerignore": "left"})
    dockerfile = "FROM base\nCOPY --from=other . /o\nRUN --mount=from=other,target=/m cat /m/kept > /seen\n"
    named = ("--build-context", f"other={tmp_path}/other", "--build-context", "base=docker-image://busybox")
    build(dockerfile, *named)
    assert build.run("sh", "-c", "ls /o; cat /seen").split() == ["kept", "kept"]
    assert executed(build(dockerfile, *named)) == []


def test_the_disk_use_counts_the_cache_and_a_system_prune_takes_it(fresh_box: Box, tmp_path: Path) -> None:
    fresh_box("bootstrap", "busybox")
    build = Builder(fresh_box, tmp_path / "context", "counted")
    build("FROM busybox AS a\nRUN head -c 3000 /dev/zero > /big\nFROM busybox\nCOPY --from=a /etc/passwd /p\n")
    rows = {
        row["Type"]: row for row in map(json.loads, fresh_box.out("system", "df", "--format", "json").splitlines())
    }
    assert (rows["Build Cache"]["TotalCount"], rows["Build Cache"]["Size"]) == ("3", "3kB")
    assert "build cache objects" in fresh_box.out("system", "prune", "-f")
    assert build.run("head", "-n1", "/p").startswith("root:")
