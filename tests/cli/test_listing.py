"""ps and port print what docker prints."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import NEW, OLD, REDIS, WEB, Devbox

TABLE = """\
CONTAINER ID   IMAGE            COMMAND                 CREATED         STATUS                   PORTS                           NAMES
111111111111   busybox:latest   "httpd -f -p '80 81'"   5 minutes ago   Up 5 minutes (healthy)   443/tcp, 0.0.0.0:8080->80/tcp   web
222222222222   busybox          "redis-server"          6 minutes ago   Up 6 minutes             6379/tcp                        redis,web/db
"""  # noqa: E501


def test_the_table_shows_what_runs(devbox: Devbox) -> None:
    assert devbox("ps") == (0, TABLE, "")
    assert devbox("container", "ls", "--format", "table") == (0, TABLE, "")


def test_all_shows_what_has_ended_too(devbox: Devbox) -> None:
    newest, *_, oldest = devbox("ps", "-a").lines[1:]
    assert newest.split()[:6] == [NEW[:12], "busybox", '"sh', "-c", "'exit", "3'\""]
    assert " Created " in newest
    # the name it was made of means nothing by now: the image's id
    assert "Exited (3) 2 hours ago" in oldest
    assert " gone:1 " not in oldest


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["-q"], [WEB[:12], REDIS[:12]]),
        (["-q", "--no-trunc"], [WEB, REDIS]),
        (["-aq", "--no-trunc"], [NEW, WEB, REDIS, OLD]),
        (["-lq", "--no-trunc"], [NEW]),
        (["-q", "--no-trunc", "-n", "2"], [NEW, WEB]),
        (["-q", "--no-trunc", "-n", "-1"], [WEB, REDIS]),
    ],
)
def test_ids(devbox: Devbox, words: list[str], ids: list[str]) -> None:
    assert devbox("ps", *words).lines == ids


def test_quiet_wins_over_a_format(devbox: Devbox) -> None:
    printed = devbox("ps", "-q", "--format", "{{.Names}}")
    assert printed.lines == [WEB[:12], REDIS[:12]]
    assert printed.err.startswith("WARNING: Ignoring custom format")


@pytest.mark.parametrize(
    ("template", "lines"),
    [
        ("{{.Names}}", ["web", "redis"]),
        ("{{.ID}}: {{.Image}}", ["111111111111: busybox:latest", "222222222222: busybox"]),
        ('{{.Label "tier"}}|{{.Labels}}', ["1|com.example.role=front,tier=1", "|"]),
        ("{{.State}} {{.Status}}", ["running Up 5 minutes (healthy)", "running Up 6 minutes"]),
        ("{{.Mounts}} {{.LocalVolumes}}", ["data,/home/me/src 1", " 0"]),
        ("{{.Networks}}\\t{{.Ports}}", ["bridge\t443/tcp, 0.0.0.0:8080->80/tcp", "bridge\t6379/tcp"]),
        ("{{.RunningFor}} {{.Size}}", ["5 minutes ago 0B (virtual 1.98MB)", "6 minutes ago 0B (virtual 1.98MB)"]),
        ("{{upper .Names}}{{if .Labels}}!{{end}}", ["WEB!", "REDIS"]),
        (
            "table {{.Names}}\\t{{.Ports}}",
            ["NAMES     PORTS", "web       443/tcp, 0.0.0.0:8080->80/tcp", "redis     6379/tcp"],
        ),
        (
            'table {{.ID}} {{.Label "com.example.role"}}',
            ["CONTAINER ID role", "111111111111 front", "222222222222"],
        ),
        ("table {{.LocalVolumes}}\\t{{.CreatedAt}}", ["LOCAL VOLUMES   CREATED AT"]),
    ],
)
def test_templates(devbox: Devbox, template: str, lines: list[str]) -> None:
    assert devbox("ps", "--format", template).lines[: len(lines)] == lines


def test_names_of_consumers_follow_with_no_trunc(devbox: Devbox) -> None:
    assert devbox("ps", "--no-trunc", "--format", "{{.Names}}").lines == ["web", "redis,web/db"]


def test_json_has_docker_s_keys_a_line_each(devbox: Devbox) -> None:
    for format_ in ("json", "{{json .}}"):
        rows = [json.loads(line) for line in devbox("ps", "--format", format_).lines]
        assert [row["Names"] for row in rows] == ["web", "redis"]
        assert list(rows[0]) == [
            *("Command", "CreatedAt", "ID", "Image", "Labels", "LocalVolumes", "Mounts", "Names"),
            *("Networks", "Ports", "RunningFor", "Size", "State", "Status"),
        ]


def test_a_field_that_is_not_there(devbox: Devbox) -> None:
    printed = devbox("ps", "--format", "{{.Name}}")
    assert printed.code == 125
    where = 'devbox: failed to execute template: template: :1:2: executing "" at <.Name>: '
    what = "can't evaluate field Name in type *formatter.ContainerContext\n  did you mean Names?\n"
    assert printed.err == where + what


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["name=we"], ["web"]),
        (["name=^/web$"], ["web"]),
        (["id=2222"], ["redis"]),
        (["label=tier"], ["web"]),
        (["label=tier=2"], []),
        (["status=exited"], ["old"]),
        (["status=exited", "status=created"], ["new", "old"]),
        (["exited=3", "status=exited"], ["old"]),
        (["exited=0", "status=exited"], []),
        (["ancestor=busybox"], ["web", "redis"]),
        (["ancestor=nosuch"], []),
        (["network=bridge"], ["web", "redis"]),
        (["network=" + "b" * 12], ["web", "redis"]),
        (["network=other"], []),
        (["volume=data"], ["web"]),
        (["volume=/src"], ["web"]),
        (["publish=8080"], ["web"]),
        (["publish=8000-8090/tcp"], ["web"]),
        (["publish=8080/udp"], []),
        (["publish=80"], []),
        (["expose=6379"], ["redis"]),
        (["health=healthy"], ["web"]),
        (["health=none"], ["redis"]),
        (["before=web"], ["redis", "old"]),
        (["since=old"], ["new", "web", "redis"]),
        (["is-task=true"], []),
        (["name=web", "name=redis", "label=tier"], ["web"]),
    ],
)
def test_filters(devbox: Devbox, filters: list[str], names: list[str]) -> None:
    words = [word for text in filters for word in ("--filter", text)]
    assert devbox("ps", "--format", "{{.Names}}", *words).lines == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae=x", "invalid filter 'nmae'"),
        ("name", "invalid filter 'name'"),
        ("status=up", "invalid filter 'status=up'"),
        ("health=fine", "invalid filter 'health=fine'"),
        ("exited=x", "invalid filter 'exited=x'"),
        ("before=nosuch", "no such container: nosuch"),
        ("publish=x", "invalid port in '--expose x'"),
    ],
)
def test_wrong_filters(devbox: Devbox, text: str, message: str) -> None:
    printed = devbox("ps", "--filter", text)
    assert (printed.code, printed.err.splitlines()[0]) == (125, f"devbox: {message}")


def test_no_whole_number(devbox: Devbox) -> None:
    assert devbox("ps", "-n", "two").err == "devbox: --last wants a whole number, not 'two'\n"


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["web"], "80/tcp -> 0.0.0.0:8080\n"),
        (["web", "80"], "0.0.0.0:8080\n"),
        (["web", "80/tcp"], "0.0.0.0:8080\n"),
        (["redis"], ""),
    ],
)
def test_ports(devbox: Devbox, words: list[str], out: str) -> None:
    assert devbox("port", *words) == (0, out, "")


def test_a_port_that_is_not_published(devbox: Devbox) -> None:
    printed = devbox("port", "web", "443")
    assert printed.code == 125
    assert printed.err.splitlines()[0] == "devbox: no public port '443/tcp' published for web"
