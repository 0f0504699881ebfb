"""Imports flow one way, siblings do not know each other, and starting the command line loads little."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "devbox"

GROUND = {"errors", "model"}
ENGINE_GROUND = GROUND | {"system", "store"}
MAY_IMPORT = {
    "errors": set(),
    "model": {"errors"},
    "system": GROUND,
    "store": GROUND | {"system"},
    "__main__": {"cli"},
    "registry": GROUND | {"system"},
    "image": ENGINE_GROUND | {"registry"},
    "network": ENGINE_GROUND,
    "volume": ENGINE_GROUND,
    "container": ENGINE_GROUND | {"image", "network", "volume"},
    "build": ENGINE_GROUND | {"image", "network", "volume", "container"},
    "machine": GROUND,
    "cli": ENGINE_GROUND | {"registry", "image", "network", "volume", "container", "build", "machine"},
}
ONLY_IN = {
    "subprocess": {"system", "machine"},  # the machine room runs where there is no devbox.system
    "ctypes": {"system", "machine"},
    "click": {"cli"},
    "paramiko": {"machine"},
    "platformdirs": {"machine"},
    "vagrant": {"machine"},
}
NOT_AT_START = {
    "argparse",
    "asyncio",
    "click",
    "ctypes",
    "dataclasses",
    "datetime",
    "email",
    "hashlib",
    "importlib.metadata",
    "importlib.resources",
    "inspect",
    "logging",
    "paramiko",
    "pathlib",
    "platformdirs",
    "random",
    "rich",
    "shutil",
    "sqlite3",
    "ssl",
    "subprocess",
    "tarfile",
    "tempfile",
    "threading",
    "urllib",
    "vagrant",
}

NOT_TO_RUN = {
    "click",
    "devbox.container.streams.attach",
    "devbox.image.tar.pack",
    "devbox.image.tar.unpack",
    "devbox.network.endpoints",
    "hashlib",
    "ipaddress",
    "secrets",
    "shlex",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("devbox", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """What a module imports, in functions too; a submodule by its full name."""
    for node in ast.walk(ast.parse(MODULES[name].read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{name} has a relative import"
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


GRAPH = {name: set(imports(name)) for name in MODULES}


def room(name: str) -> str:
    """`devbox.image.tar.pack` lies in "image"; the package itself in ""."""
    return name.partition(".")[2].partition(".")[0]


@pytest.mark.parametrize("name", MODULES)
def test_a_room_imports_only_those_below_it(name: str) -> None:
    allowed = MAY_IMPORT.get(room(name), set()) | {room(name), ""}
    above = {other for other in GRAPH[name] if other.startswith("devbox") and room(other) not in allowed}
    assert not above, f"{name} imports {', '.join(sorted(above))}"


@pytest.mark.parametrize("name", MODULES)
def test_some_modules_have_one_room(name: str) -> None:
    foreign = {top for top in tops(name) if room(name) not in ONLY_IN.get(top, {room(name)})}
    assert not foreign, f"{name} imports {', '.join(sorted(foreign))}"


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) not in ("cli", "machine")])
def test_the_engine_needs_the_standard_library_only(name: str) -> None:
    assert tops(name) <= sys.stdlib_module_names | {"devbox"}


def tops(name: str) -> set[str]:
    return {other.partition(".")[0] for other in GRAPH[name]}


def test_no_module_imports_itself_by_a_detour() -> None:
    assert_no_circle({name: GRAPH[name] & MODULES.keys() for name in MODULES})


def test_no_part_of_a_room_needs_itself_by_a_detour() -> None:
    parts: dict[str, set[str]] = {part(name): set() for name in MODULES if part(name)}
    for name in MODULES:
        if part(name):
            parts[part(name)] |= {part(other) for other in GRAPH[name]} - {"", part(name)}
    assert_no_circle(parts)


def part(name: str) -> str:
    """`devbox.image.tar.pack` is in the part "devbox.image.tar" of its room, what lies beside the parts in ""."""
    folder = name if MODULES.get(name, Path()).name == "__init__.py" else name.rpartition(".")[0]
    return folder if folder.count(".") == 2 else ""


def assert_no_circle(graph: Mapping[str, Iterable[str]]) -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name in done:
            return
        for other in sorted(graph[name]):
            visit(other, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_starting_the_command_line_loads_little() -> None:
    code = "import sys; before = set(sys.modules); import devbox.cli.main; print(*(set(sys.modules) - before))"
    child = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert not NOT_AT_START & set(child.stdout.split())


HOT = ("run", "create", "start", "stop", "kill", "rm", "wait", "exec", "logs", "attach", "ps", "port", "inspect")
NEEDED_BY_THE_ENGINE = {"ctypes", "datetime", "sqlite3"}
"""sqlite3 itself imports datetime"""


def loaded_by(code: str, *words: str) -> set[str]:
    line = f"import sys; before = set(sys.modules); {code}; print(*(set(sys.modules) - before), file=sys.stderr)"
    child = subprocess.run([sys.executable, "-c", line, *words], capture_output=True, text=True, check=True)
    return set(child.stderr.split())


@pytest.mark.parametrize("word", HOT)
def test_a_hot_command_loads_nothing_heavy(word: str) -> None:
    from devbox.cli import grammar

    command, _ = grammar.find([word])
    assert command is not None
    module = command.handler.partition(":")[0]
    loaded = loaded_by(f"import devbox.cli.main, {module}")
    assert not loaded & NOT_AT_START - NEEDED_BY_THE_ENGINE


@pytest.mark.parametrize("line", ["ps", "ps -aq", "version -f {{.Client.Version}}", "run --nmae"])
def test_a_hot_command_runs_without_anything_heavy(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVBOX_ROOT", str(tmp_path))
    loaded = loaded_by("import devbox.cli.main; devbox.cli.main.run(sys.argv[1:])", *line.split())
    assert not loaded & NOT_AT_START - NEEDED_BY_THE_ENGINE


def test_running_a_container_loads_nothing_that_it_can_do_without() -> None:
    code = "import sys, devbox.cli.main, devbox.cli.commands.run; print(*sys.modules)"
    child = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert not NOT_TO_RUN & set(child.stdout.split())
