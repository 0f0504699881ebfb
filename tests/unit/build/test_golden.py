"""BuildKit's own tables; where they come from stands in tests/data/ORIGINS.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devbox.build.language.lines import read
from devbox.build.language.syntax import Instruction
from devbox.build.language.words import WordError, expand
from devbox.model import ignore

DATA = Path(__file__).parents[2] / "data"
FILES = sorted(path.name for path in (DATA / "dockerfile-parser").iterdir())


def quoted(text: str) -> str:
    """As Go's %q prints it."""
    result = json.dumps(text, ensure_ascii=False)
    return "".join(f"\\x{ord(char):02x}" if char < " " else char for char in result.replace("\\u0000", "\\x00"))


def shown(instruction: Instruction) -> str:
    """The form of the `result` files."""
    parts = [instruction.keyword]
    if instruction.flags:
        flags = [f"--{name}" if value is None else f"--{name}={value}" for name, value in instruction.flags]
        parts.append("[" + " ".join(quoted(flag) for flag in flags) + "]")
    if instruction.trigger:
        parts.append(shown(instruction.trigger))
    else:
        parts += [quoted(word) for word in instruction.words]
    return "(" + " ".join(parts) + ")"


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_buildkit_reads_it(name: str) -> None:
    folder = DATA / "dockerfile-parser" / name
    source = read((folder / "Dockerfile").read_bytes(), "Dockerfile")
    expected = (folder / "result").read_text().splitlines()
    assert [shown(instruction) for instruction in source.instructions] == expected


def word_rows() -> list[tuple[str, str]]:
    rows = []
    for line in (DATA / "dockerfile-env-words.txt").read_text().splitlines():
        if line and not line.startswith(("#", "W|")):
            system, word, expected = line.split("|")
            assert system.strip() in ("A", "U")
            rows.append((word.strip(), expected.strip()))
    return rows


VALUES = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": ""}


def test_the_table_of_words_is_whole() -> None:
    assert len(word_rows()) == 228


@pytest.mark.parametrize(("word", "expected"), word_rows())
def test_a_word_is_expanded_as_buildkit_expands_it(word: str, expected: str) -> None:
    if expected == "error":
        with pytest.raises(WordError):
            expand(word, VALUES.get)
    else:
        assert expand(word, VALUES.get) == expected


TABLES = json.loads((DATA / "dockerignore-matches.json").read_text())


@pytest.mark.parametrize(("pattern", "path", "expected"), TABLES["matches"])
def test_a_pattern_of_dockerignore_matches_as_docker_matches(pattern: str, path: str, expected: bool) -> None:
    assert ignore.Matcher([pattern]).excluded(path) is expected


@pytest.mark.parametrize(("pattern", "name", "expected", "is_error"), TABLES["filepath_match"])
def test_a_wildcard_matches_as_in_go(pattern: str, name: str, expected: bool, is_error: bool) -> None:
    if is_error:
        with pytest.raises(ignore.PatternError):
            ignore.Matcher([pattern])
        with pytest.raises(ignore.PatternError):
            ignore.wildcard(pattern)
    else:
        assert ignore.Matcher([pattern]).excluded(name) is expected
        # docker's table has one row where the pattern matches the directory that the name lies in
        itself = expected and (pattern, name) != ("a*", "ab/c")
        assert (ignore.wildcard(pattern).fullmatch(name) is not None) is itself
