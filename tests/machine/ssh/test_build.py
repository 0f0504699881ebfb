"""Builds in a machine: contexts, secrets and outputs are the caller's, wherever they lie."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

from tests.machine.ssh.conftest import Host

DOCKERFILE = """\
FROM busybox AS build
COPY file /file
RUN --mount=type=secret,id=token cat /file /run/secrets/token | tr a-z A-Z > /made
FROM scratch
COPY --from=build /made /made
"""


def test_a_build_takes_its_files_from_here_and_brings_them_back(host: Host, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "file").write_text("content ")
    (tmp_path / "token").write_text("of the caller")
    line = ("build", "--secret", "id=token,src=token", "--iidfile", "id", "-o", "out", "context")
    host(*line, cwd=tmp_path)
    assert (tmp_path / "out/made").read_text() == "CONTENT OF THE CALLER"
    host("build", "-t", "built", "--iidfile", "id", "--secret", "id=token,src=token", "context", cwd=tmp_path)
    assert (tmp_path / "id").read_text() == host.out("image", "inspect", "-f", "{{.Id}}", "built").strip()
    again = host("build", "--progress", "plain", "--secret", "id=token,src=token", "context", cwd=tmp_path)
    assert again.stderr.count("CACHED") == 4
    host("rmi", "built")


def test_a_build_that_fails_there_fails_here(host: Host, tmp_path: Path) -> None:
    said = host.fails("build", "-", input="FROM busybox\nRUN echo why; exit 7\n", code=1)
    assert "Dockerfile:2: RUN echo why; exit 7 failed with exit code 7" in said
    assert said.rstrip().endswith("| why")


def test_an_archive_on_stdin_is_a_context_there(host: Host, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY file /file\nCMD cat /file\n")
    (tmp_path / "file").write_text("sent")
    archive = subprocess.run(["tar", "cz", "."], cwd=tmp_path, capture_output=True, check=True).stdout
    host("build", "-q", "-t", "archived", "-", input=archive)
    assert host.out("run", "--rm", "archived") == "sent"
    host("rmi", "archived")


def test_what_is_ignored_is_not_sent(host: Host, tmp_path: Path) -> None:
    """It would not be looked at, may be large, and its owner may not let it be read."""
    context = tmp_path / "context"
    (context / "node_modules/kept").mkdir(parents=True)
    (context / "Dockerfile").write_text("FROM busybox\nCOPY . /c\nRUN cd /c && find . -type f | sort > /list\n")
    (context / ".dockerignore").write_text("node_modules\n!node_modules/kept\nDockerfile\n.git*\n")
    (context / ".gitignore").write_text("")
    (context / "node_modules/kept/file").write_text("")
    (context / "node_modules/huge").write_bytes(b"")
    os.truncate(context / "node_modules/huge", 1 << 40)
    host("build", "-t", "ignoring", "context", cwd=tmp_path)
    assert host.out("run", "--rm", "ignoring", "cat", "/list") == "./.dockerignore\n./node_modules/kept/file\n"
    (tmp_path / "other").write_text("FROM busybox\nCOPY . /c\nRUN cd /c && find . -type f | sort > /list\n")
    (tmp_path / "other.dockerignore").write_text("node_modules\n.docker*\n")
    host("build", "-t", "ignoring", "-f", "other", "context", cwd=tmp_path)
    assert host.out("run", "--rm", "ignoring", "cat", "/list") == "./.gitignore\n./Dockerfile\n"
    host("rmi", "ignoring")


def test_every_file_that_a_build_names_is_the_callers(host: Host, tmp_path: Path) -> None:
    for name in ("context", "more"):
        (tmp_path / name).mkdir()
    (tmp_path / "more/file").write_text("of the other context")
    (tmp_path / "made.dockerfile").write_text("FROM scratch\nCOPY --from=more file /file\n")
    line = ("build", "-f", "made.dockerfile", "--build-context", "more=more")
    host(*line, "--metadata-file", "about", "--cache-to", "type=local,dest=cache", "context", cwd=tmp_path)
    assert "containerimage.config.digest" in json.loads((tmp_path / "about").read_text())
    assert (tmp_path / "cache/index.json").exists()
    cached = ("--cache-from", "type=local,src=cache")
    host(*line, *cached, "-o", "type=tar,dest=out.tar", "context", cwd=tmp_path)
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert tar.getnames() == ["file"]
    host(*line, "-o", "type=oci,dest=oci.tar", "context", cwd=tmp_path)
    with tarfile.open(tmp_path / "oci.tar") as tar:
        assert "index.json" in tar.getnames()
    dockerfile = (tmp_path / "made.dockerfile").read_bytes()
    piped = ("build", "-f", "-", "--build-context", "more=more", "-o", "out", "context")
    host(*piped, input=dockerfile, cwd=tmp_path)
    assert (tmp_path / "out/file").read_text() == "of the other context"
    (tmp_path / "more/Dockerfile").write_text("FROM scratch\nCOPY file /again\n")
    subprocess.run(["tar", "cf", "context.tar", "-C", "more", "."], cwd=tmp_path, check=True)
    host("build", "-o", "out", "context.tar", cwd=tmp_path)
    assert (tmp_path / "out/again").exists()
