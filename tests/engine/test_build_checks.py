"""Warnings of `build`, and --check."""

from __future__ import annotations

from pathlib import Path

from tests.engine.conftest import Box

WARNED = "FROM busybox\nENV PATH=$PAHT:/x SECRET_KEY=1\nCOPY left.log /\nCMD true\n"


def context(tmp_path: Path, dockerfile: str) -> str:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    (tmp_path / "kept").touch()
    (tmp_path / ".dockerignore").write_text("*.log\n")
    return str(tmp_path)


def test_check_tells_all_builds_nothing_and_fetches_nothing(box: Box, tmp_path: Path) -> None:
    place = context(tmp_path, WARNED + "FROM absent.example/image\nCOPY $unknown /\n")
    done = box("build", "--check", "-t", "checked", place, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("Check complete, 4 warnings have been found!\n")
    for text in (
        "Usage of undefined variable '$PAHT' (did you mean $PATH?)",
        '(ENV "SECRET_KEY")',
        'Attempting to Copy file "left.log" that is excluded by .dockerignore',
        "Dockerfile:4\n",
        ">>> CMD true",
    ):
        assert text in done.stdout
    assert "$unknown'" not in done.stdout
    assert box("image", "inspect", "checked", check=False).returncode == 125
    skipping = box("build", "--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", place)
    assert skipping.stdout == "Check complete, no warnings found.\n"


def test_check_tells_a_mistake_as_a_build_does(box: Box, tmp_path: Path) -> None:
    done = box("build", "--check", context(tmp_path, "FROM busybox\nRNU x\n"), check=False)
    assert done.returncode == 125
    assert done.stderr == "devbox: Dockerfile:2: unknown instruction: RNU\n  2 | RNU x\n  did you mean RUN?\n"


def test_a_build_ends_with_its_warnings(box: Box, tmp_path: Path, name: str) -> None:
    place = context(tmp_path, "FROM busybox AS unused\nCMD a\nFROM busybox\nCOPY kept /\nCMD b\n")
    done = box("build", "-t", name, place)
    box("rmi", "-f", name)
    assert "1 warning found" in done.stderr
    assert "JSONArgsRecommended" in done.stderr
    assert "(line 5)" in done.stderr
    assert "warning" not in box("build", "-q", place).stderr


def test_warnings_may_be_errors(box: Box, tmp_path: Path) -> None:
    done = box("build", context(tmp_path, "# check=error=true\nFROM busybox\nCMD a\n"), check=False)
    assert done.returncode == 125
    assert "lint violation found for rules: JSONArgsRecommended" in done.stderr
    assert "#1" not in done.stderr  # nothing was begun
