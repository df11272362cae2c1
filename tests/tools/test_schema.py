"""What a stranger's server lists becomes a bounded, clean tool, or is refused with a sentence."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.live import messages
from edge_agent.tools.declare import BadArguments, CannotDeclare, Options
from edge_agent.tools.schema import MAX_SCHEMA_BYTES, SchemaTool, plain, remote_tool

pytest.importorskip("jsonschema")


async def _call(**arguments: Any) -> Any:
    return arguments


def _tool(schema: Any = None, name: str = "lamp", description: str = "A lamp.", **more: Any) -> SchemaTool:
    listed = {"name": name, "description": description, "inputSchema": schema or {"type": "object"}}
    return remote_tool(listed, _call, source="mcp home", **more)


def _properties(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("name", "prefix", "made"),
    [
        ("HassTurnOn", "", "HassTurnOn"),
        ("home/turn-on.now", "", "home_turn_on_now"),
        ("7up", "", "_7up"),
        ("add", "notes_", "notes_add"),
        ("Licht_schön", "", "Licht_sch_n"),
        ("x" * 100, "", "x" * 64),
    ],
)
def test_a_name_becomes_one_that_models_take(name: str, prefix: str, made: str) -> None:
    assert _tool(name=name, prefix=prefix).name == made


@given(st.text(max_size=3000), st.integers(1, 500))
def test_a_strangers_text_is_one_clean_bounded_line(text: str, limit: int) -> None:
    line = plain(text, limit)
    assert len(line) <= limit
    assert not any(unicodedata.category(one).startswith("C") for one in line)
    assert line == line.strip()
    assert "\n" not in line


def test_texts_in_the_schema_are_cleaned_too() -> None:
    tool = _tool(
        _properties(a={"type": "string", "description": "One\x1b[2J\nline" + "x" * 999, "title": "A\u202eB"}),
        description="Do.\x00 " + "y" * 5000,
    )
    shown = tool.declaration()["parameters_json_schema"]["properties"]["a"]
    assert shown["description"].startswith("One [2J line")
    assert len(shown["description"]) == 300
    assert shown["title"] == "A B"
    assert len(tool.description) == 1024


def test_only_keywords_that_models_take_are_passed_on_but_all_that_is_safe_is_checked() -> None:
    tool = _tool({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": "^(a+)+$", "maxLength": 50, "default": "x"},
            "kind": {"const": "lamp"},
            "level": {"type": "integer", "minimum": 0, "exclusiveMaximum": 101},
        },
        "definitions": {"x": {"type": "string"}},
        "additionalProperties": False,
    })  # fmt: skip
    assert tool.declaration()["parameters_json_schema"] == {
        "type": "object",
        "properties": {
            "pattern": {"type": "string"},
            "kind": {"enum": ["lamp"]},
            "level": {"type": "integer", "minimum": 0},
        },
        "$defs": {"x": {"type": "string"}},
        "additionalProperties": False,
    }
    assert tool.arguments({"pattern": "a" * 40 + "!"}), "an expression of the server is never run"
    for arguments, part in (
        ({"pattern": "a" * 51}, "argument pattern of lamp: "),
        ({"kind": "door"}, "'lamp' was expected"),
        ({"level": 101}, "argument level of lamp: 101 is greater"),
        ({"other": 1}, "the arguments of lamp: Additional properties"),
    ):
        with pytest.raises(BadArguments, match=part):
            tool.arguments(arguments)


def test_the_declaration_is_one_the_wire_takes() -> None:
    options = Options(behaviour="non-blocking")
    declaration = messages.FunctionDeclaration(
        **_tool(_properties(a={"type": "string"}), options=options).declaration()
    )
    assert declaration.behavior == "NON_BLOCKING"
    assert declaration.parameters is None
    assert declaration.parameters_json_schema == _properties(a={"type": "string"})
    tool = messages.Tool(function_declarations=[declaration])
    setup = messages.encode(messages.ClientMessage(setup=messages.Setup(model="models/m", tools=[tool])))
    (sent,) = json.loads(setup)["setup"]["tools"][0]["functionDeclarations"]
    assert set(sent) == {"name", "description", "behavior", "parametersJsonSchema"}


def test_whole_numbers_are_written_as_such() -> None:
    tool = _tool(_properties(a={"type": "integer"}, b={"type": "array", "items": {"type": "number"}}))
    arguments = tool.arguments({"a": 3.0, "b": [1.0, 1.5]})
    assert json.dumps(arguments) == '{"a": 3, "b": [1, 1.5]}'


def test_references_within_the_schema_are_followed() -> None:
    tool = _tool({**_properties(a={"$ref": "#/definitions/x"}), "definitions": {"x": {"type": "string"}}})
    assert tool.declaration()["parameters_json_schema"]["properties"]["a"] == {"$ref": "#/$defs/x"}
    assert tool.arguments({"a": "b"}) == {"a": "b"}
    with pytest.raises(BadArguments):
        tool.arguments({"a": 1})


def _deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return _properties(a=schema)


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ({"type": "string"}, "not that of an object"),
        ("text", "not that of an object"),
        (_properties(a={"type": "strange"}), "its input schema is wrong"),
        (_properties(a={"$ref": "file:///etc/passwd"}), "points to file:///etc/passwd"),
        (_properties(a={"$ref": "http://10.0.0.1/x.json"}), "only #/ is followed"),
        (_deep(20), "deeper than 16"),
        (_properties(a={"enum": ["x" * MAX_SCHEMA_BYTES]}), "at most 16384 are taken"),
        (_properties(**{f"p{n}": {"$ref": "#/properties/p0"} for n in range(30)}), "refers to itself more than 24"),
    ],
)
def test_what_is_refused(schema: Any, part: str) -> None:
    with pytest.raises(CannotDeclare, match=part) as caught:
        _tool(schema)
    assert "lamp" in str(caught.value)


def test_arguments_are_bounded() -> None:
    with pytest.raises(BadArguments, match="larger than 16 KiB"):
        _tool(_properties(a={"type": "string"})).arguments({"a": "x" * 20_000})


def test_parameters_are_shown_to_people() -> None:
    schema = _properties(
        name={"type": "string", "description": "Which."},
        rooms={"type": "array", "items": {"type": "string"}},
        mode={"type": "string", "enum": ["on", "off"]},
        more={"anyOf": [{"type": "string"}, {"type": "null"}]},
    )
    tool = _tool(schema | {"required": ["name"]})
    assert [(one.name, one.kind.api_type, one.required) for one in tool.parameters] == [
        ("name", "STRING", True), ("rooms", "ARRAY", False), ("mode", "STRING", False), ("more", "OBJECT", False),
    ]  # fmt: skip


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda deeper: (
        st.lists(deeper, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "$ref", "enum", "anyOf", "pattern", "required", "x"]),
            deeper,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON, st.dictionaries(st.text(max_size=5), _JSON, max_size=3))
def test_any_schema_is_taken_or_refused_and_any_arguments_too(schema: Any, arguments: dict[str, Any]) -> None:
    try:
        tool = _tool(schema)
    except CannotDeclare:
        return
    json.dumps(tool.declaration())
    try:
        assert isinstance(tool.arguments(arguments), dict)
    except (BadArguments, RecursionError):
        return
