"""Go templates print what docker prints: the cases were recorded from `docker inspect -f`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devbox.cli.templates.template import Template
from devbox.cli.templates.values import ABSENT, NIL_LIST, NIL_MAP, GoMap, Row, go_json, plain
from devbox.errors import UsageError

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "docker-templates.json").read_text())
MAPS = {"Labels", "ExposedPorts", "Volumes", "Ports", "Networks", "PortBindings", "Data"}
NIL_LISTS = {"CapAdd", "Entrypoint", "OnBuild", "Aliases"}


def typed(value: Any, key: str = "") -> Any:
    """The recorded document with docker's types."""
    if isinstance(value, dict):
        fields = {name: typed(item, name) for name, item in value.items()}
        return GoMap(fields) if key in MAPS else fields
    if isinstance(value, list):
        return [typed(item) for item in value]
    return NIL_LIST if value is None and key in NIL_LISTS else value


DOCUMENT = typed(RECORDED["document"])


def render(source: str, data: Any = DOCUMENT) -> str:
    try:
        return Template(source).render(data)
    except UsageError as error:
        return error.message


@pytest.mark.parametrize(("source", "printed"), RECORDED["cases"])
def test_a_template_prints_what_docker_prints(source: str, printed: str) -> None:
    assert render(source) == printed


ROW = Row({"ID": "0102", "Names": "redis,web/db", "Ports": "80->80/tcp", "Label": {"a": "1"}.get})


FAILED = "failed to execute template: template: "


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("{{.Names}}", "redis,web/db"),
        ('{{range split .Names ","}}{{.}};{{end}}', "redis;web/db;"),
        ('{{.Label "a"}}', "1"),
        ("{{json .}}", '{"ID":"0102","Names":"redis,web/db","Ports":"80-\\u003e80/tcp"}'),
    ],
)
def test_a_row_is_shown_as_docker_does(source: str, printed: str) -> None:
    assert Template(source, rows=True).render(ROW) == printed


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "{{.Foo}}",
            ':1:2: executing "" at <.Foo>: can\'t evaluate field Foo in type *formatter.ContainerContext',
        ),
        ("{{.Names.x}}", ':1:8: executing "" at <.Names.x>: can\'t evaluate field x in type string'),
        ("{{.Label}}", ':1:2: executing "" at <.Label>: wrong number of args for Label: want 1 got 0'),
    ],
)
def test_a_row_refuses_as_docker_does(source: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Template(source, rows=True).render(ROW)
    assert caught.value.message == FAILED + message


def test_a_misspelt_field_names_the_one_that_was_meant() -> None:
    with pytest.raises(UsageError) as caught:
        Template("{{.Name}}", rows=True).render(ROW)
    assert "Names" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "shown", "as_json"),
    [
        (NIL_LIST, "[]", "null"),
        (NIL_MAP, "map[]", "null"),
        (GoMap(b=1, a=[True, None]), "map[a:[true <nil>] b:1]", '{"a":[true,null],"b":1}'),
        ({"b": 1, "a": ABSENT}, "{1 <nil>}", '{"b":1}'),
        (1.5, "1.5", "1.5"),
        ("é<\u2028", "é<\u2028", '"é<\u2028"'),
    ],
)
def test_values_print_as_go_prints_them(value: Any, shown: str, as_json: str) -> None:
    assert render("{{.}}", value) == shown
    assert render("{{json .}}", value) == as_json


def test_a_field_that_json_leaves_out_can_be_asked_for() -> None:
    document = {"State": {"Health": ABSENT}}
    assert render("{{if .State.Health}}a{{else}}b{{end}}", document) == "b"
    assert "no entry for key" in render("{{.State.Health.Status}}", document)
    assert plain(document) == {"State": {}}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (123456.0, "123456"),
        (1000000.0, "1e+06"),
        (1234567.5, "1.2345675e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.5, "-2.5"),
        (1 / 3, "0.3333333333333333"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Inf"),
    ],
)
def test_floats_print_as_go_prints_them(value: float, shown: str) -> None:
    assert render("{{.}}", value) == shown


_WORDS = """{{ }} {{- -}} . .Name .Mounts $ $x := = | ( ) , if else end range with break continue index len json
    "s" 'c' 1 -1 1.5 nil true printf "%v%5d" slice split join eq lt not and or /* */ ` " \\ é x"""
PIECES = st.sampled_from([*_WORDS.split(), " ", "\n"])


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=60))
def test_whatever_is_no_template_is_a_usage_error(source: str) -> None:
    assert isinstance(render(source), str)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=15).map(lambda pieces: "{{" + " ".join(pieces) + "}}"))
def test_whatever_is_no_action_is_a_usage_error(source: str) -> None:
    assert isinstance(render(source), str)


@pytest.mark.parametrize("source", ["{{if .}}" * 5000, "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}"])
def test_depth_is_limited(source: str) -> None:
    assert "nested too deeply" in render(source)


def test_output_is_limited() -> None:
    nested = "{{range 1000000}}" * 4 + "{{printf `%10000d` 1}}" + "{{end}}" * 4
    assert render(nested).endswith("too long")


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(st.text(), inner)


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), containers)


@given(_JSON)
def test_json_reads_back(value: Any) -> None:
    assert json.loads(go_json(value)) == value
