"""version, info, system df, events, stats, check, prune and completion."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from devbox import __version__
from devbox.cli import completion
from devbox.store.database import Store
from devbox.store.root import Root
from tests.cli.conftest import NEW, OLD, WEB, Devbox


def test_version(devbox: Devbox) -> None:
    assert devbox("--version").out == f"devbox version {__version__}\n"
    assert devbox("version", "--format", "{{.Client.Version}}").out == f"{__version__}\n"
    assert devbox("version", "-f", "{{.Server.Version}}").out == f"{__version__}\n"
    assert json.loads(devbox("version", "-f", "json").out)["Client"]["Version"] == __version__
    assert devbox("version").lines[:2] == ["Client:", f" Version:           {__version__}"]


def test_info(devbox: Devbox, root: Root) -> None:
    counts = "{{.Containers}} {{.ContainersRunning}} {{.ContainersStopped}} {{.Images}} {{.DockerRootDir}}"
    assert devbox("info", "-f", counts).out == f"4 2 2 1 {root.state}\n"
    assert " Containers: 4" in devbox("system", "info").lines
    assert json.loads(devbox("info", "--format", "json").out)["OSType"] == "linux"


def test_info_keeps_a_proxys_password_to_itself(devbox: Devbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:p@ss@proxy.example:3128/")
    monkeypatch.setenv("NO_PROXY", "localhost,.example")
    shown = devbox("info", "-f", "{{.HttpProxy}} {{.NoProxy}}").out
    assert shown == "http://xxxxx:xxxxx@proxy.example:3128/ localhost,.example\n"


def test_disk_use(devbox: Devbox, root: Root) -> None:
    data = Path(root.volumes, "data", "_data")
    data.mkdir(parents=True)
    (data / "x").write_bytes(b"x" * 12345)
    assert devbox("system", "df").out == (
        "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\n"
        "Images          1         1         1.983MB   0B (0%)\n"
        "Containers      4         2         0B        0B\n"
        "Local Volumes   1         1         12.35kB   0B (0%)\n"
        "Build Cache     0         0         0B        0B\n"
    )
    assert devbox("system", "df", "--format", "{{.Type}}={{.TotalCount}}").lines[0] == "Images=1"
    assert "busybox      latest    " in devbox("system", "df", "-v").out
    assert json.loads(devbox("system", "df", "-v", "--format", "json").out)["Volumes"][0]["Size"] == "12.35kB"


def test_events_of_the_past(devbox: Devbox, store: Store) -> None:
    with Store.open(store.root) as opened:
        opened.event("container", "start", WEB, {"name": "web", "image": "busybox:latest", "tier": "1"})
        opened.event("network", "connect", "b" * 64, {"name": "bridge", "container": WEB})

    def events(*words: str) -> list[str]:
        return devbox("events", "--since", "1h", "--until", "0s", *words).lines

    shown = [line.split(" ", 1)[1] for line in events("--filter", "type=container", "--filter", "type=network")]
    assert shown == [
        f"container start {WEB} (image=busybox:latest, name=web, tier=1)",
        f"network connect {'b' * 64} (container={WEB}, name=bridge)",
    ]
    assert events("-f", "container=web", "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.tier}}") == [
        "container start 1"
    ]
    assert events("-f", "event=connect", "--format", "{{.Actor.ID}}") == ["b" * 64]
    assert events("-f", "label=tier=1", "--format", "{{.Scope}}") == ["local"]
    assert len(events("-f", "image=busybox", "-f", "type=container", "--format", "json")) == 1
    document = json.loads(events("-f", "container=1111", "--format", "{{json .}}")[0])
    assert list(document) == ["Type", "Action", "Actor", "scope", "time", "timeNano"]
    assert document["timeNano"] // 1_000_000_000 == document["time"]


def test_events_until_a_moment_to_come(devbox: Devbox) -> None:
    assert devbox("events", "--until", "-200ms") == (0, "", "")


def test_stats_once(devbox: Devbox) -> None:
    head, *rows = devbox("stats", "--no-stream").lines
    assert " ".join(head.split()) == "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS"
    assert [row.split()[1] for row in rows] == ["web", "redis"]
    assert devbox("stats", "--no-stream", "--format", "{{.Name}} {{.NetIO}}", "old").out == "old 0B / 0B\n"
    assert len(devbox("stats", "--no-stream", "-a").lines) == 5
    assert devbox("stats", "--no-stream", "nosuch").code == 125


@pytest.fixture
def whole(store: Store) -> Store:
    """The directories that the rows promise."""
    for container_id in [row[0] for row in _ids(store)]:
        home = Path(store.root.container(container_id))
        for part in ("diff", "work", "log"):
            (home / part).mkdir(parents=True)
        for part in ("hosts", "hostname", "resolv.conf"):
            (home / part).touch()
    Path(store.root.volumes, "data", "_data").mkdir(parents=True)
    return store


def _ids(store: Store) -> list[tuple[str]]:
    with Store.open(store.root) as opened:
        return [(row["id"],) for row in opened.db.execute("SELECT id FROM containers")]


def test_check_finds_and_repairs_containers_and_volumes(whole: Store) -> None:
    from devbox.container import check

    with Store.open(whole.root) as store:
        assert check.find(store) == []
        shutil.rmtree(store.root.container(OLD))
        shutil.rmtree(store.root.container(NEW) + "/diff")
        os.makedirs(store.root.container("9" * 64))
        shutil.rmtree(store.root.volumes + "/data")
        os.makedirs(store.root.volumes + "/orphan/_data")
        sentences = [problem.sentence for problem in check.repair(store)]
        assert sentences == [
            "container old has lost its directory",
            "container new has lost diff",
            f"the directory containers/{'9' * 64} belongs to no container",
            "volume data has lost its directory: it will be empty",
            "the directory volumes/orphan belongs to no volume",
        ]
        assert check.find(store) == []


def test_check_tells_of_a_row_that_cannot_be_read(whole: Store) -> None:
    from devbox.container import check

    with Store.open(whole.root) as store:
        store.db.execute("UPDATE containers SET config_json = '{' WHERE name = 'old'")
        assert [problem.sentence for problem in check.repair(store)] == ["the row of container old cannot be read"]


def test_completion_knows_the_names(
    devbox: Devbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def words(line: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", line)
        completion.answer("bash_complete")
        return [item.partition(",")[2] for item in capsys.readouterr().out.splitlines() if item]

    assert words("devbox rm ") == ["new", "old", "redis", "web"]
    assert words("devbox stop ") == words("devbox exec ") == ["redis", "web"]
    assert words("devbox start ") == ["new", "old"]
    assert words("devbox pause r") == ["redis"]
    assert words("devbox unpause ") == []
    assert words("devbox exec -it w") == ["web"]
    assert words("devbox run bus") == ["busybox:latest", "busybox"]
    assert words("devbox volume rm ") == ["data"]
    assert words("devbox run --network br") == ["bridge"]
    assert words("devbox run --link re") == ["redis"]
    assert "complete" in devbox("completion", "bash").out


@pytest.mark.parametrize(
    ("words", "answer", "warning"),
    [
        (["container", "prune"], "n", "WARNING! This will remove all stopped containers."),
        (
            ["system", "prune", "-a", "--volumes"],
            "",
            "  - all anonymous volumes not used by at least one container",
        ),
        (["system", "reset"], "no", "WARNING! This will remove every container, network, volume and image"),
    ],
)
def test_nothing_is_pruned_without_a_yes(
    devbox: Devbox, monkeypatch: pytest.MonkeyPatch, words: list[str], answer: str, warning: str
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    printed = devbox(*words)
    assert printed.code == 0
    assert warning in printed.out
    assert "[y/N]" in printed.out
    assert len(devbox("ps", "-aq").lines) == 4
