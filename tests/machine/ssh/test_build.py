"""Builds in a machine: contexts, secrets and outputs are the caller's, wherever they lie."""

from __future__ import annotations

import subprocess
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
