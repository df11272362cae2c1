"""Tools that describe themselves by JSON Schema: what a server lists becomes a tool the model may call.

    one = remote_tool(listed, call, prefix="", options=Options(), source="mcp home")
    one.declaration()             # name, description, parameters_json_schema
    one.arguments({"name": "lamp"})  # checked against the server's schema; BadArguments with a sentence for the model

What a server lists is a stranger's text, so it is bounded and cleaned before a model reads it: control characters go,
descriptions are cut, and of the schema only the keywords that models take are passed on. A tool whose schema is too
large, too deep, or points outside itself is refused with `CannotDeclare`. Regular expressions of the server are neither
passed on nor run: one of them could hold up the whole device.
Pure: nothing is called here.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edge_agent.tools.declare import NAME, BadArguments, CannotDeclare, Kind, Options, Parameter, Tool

MAX_SCHEMA_BYTES = 16 * 1024  # as JSON; the model reads it at every connection, and it is billed
MAX_DEPTH = 16  # levels of a schema; models take far fewer
MAX_REFERENCES = 24  # each may double the work of a check; real schemas have a handful
MAX_DESCRIPTION = 1024  # characters of a tool; a screenful
MAX_NOTE = 300  # characters of a parameter
MAX_ARGUMENT_BYTES = 16 * 1024  # as much as an answer may have

_PASSED_ON = frozenset({
    "$ref", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems", "maxItems",
    "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required", "$defs",
})  # fmt: skip
"""What the service documents for parametersJsonSchema."""

_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value maps names to schemas."""

_NEVER_RUN = frozenset({"pattern", "patternProperties", "$schema", "$id", "$anchor", "$dynamicRef", "$dynamicAnchor"})
"""Keywords that are not checked: expressions may be endless, and the others point at other documents."""


@dataclass(frozen=True, slots=True)
class SchemaTool(Tool):
    """A tool whose parameters are JSON Schema; `parameters` serve people who list it or try it."""

    shown: Mapping[str, Any] = field(default_factory=dict)
    """The schema as the model reads it."""
    checked: Mapping[str, Any] = field(default_factory=dict)
    """The schema as arguments are held against it."""

    def declaration(self, behaviours: Collection[str] | None = None) -> dict[str, Any]:
        """Return the function declaration: name, description, parameters_json_schema (if any), behavior (if set)."""
        declared: dict[str, Any] = {"name": self.name, "description": self.description}
        if self.shown.get("properties"):
            declared["parameters_json_schema"] = dict(self.shown)
        return declared | self._behavior(behaviours)

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the server gets them: checked, and whole numbers written as such.

        Raises:
            BadArguments: a sentence that tells the model what to send instead.
        """
        from jsonschema.validators import validator_for  # noqa: PLC0415  needed only where a server is configured
        from referencing import Registry  # noqa: PLC0415

        arguments = _whole(dict(given))
        if len(json.dumps(arguments)) > MAX_ARGUMENT_BYTES:
            raise BadArguments(f"the arguments of {self.name} are larger than {MAX_ARGUMENT_BYTES >> 10} KiB")
        validator = validator_for(self.checked)(self.checked, registry=Registry())
        error = min(validator.iter_errors(arguments), key=lambda one: len(one.absolute_path), default=None)
        if error is not None:
            where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
            subject = f"argument {where.lstrip('.')} of {self.name}" if where else f"the arguments of {self.name}"
            raise BadArguments(f"{subject}: {plain(error.message, MAX_NOTE)}")
        return {str(name): value for name, value in arguments.items()}


def remote_tool(
    listed: Mapping[str, Any],
    call: Callable[..., Any],
    *,
    prefix: str = "",
    options: Options | None = None,
    source: str,
) -> SchemaTool:
    """Make a tool of one entry of a server's list.

    Args:
        listed: Keys `name`, and as they come `title`, `description`, `inputSchema` (JSON Schema of an object).
        call: What runs it, with the arguments by name.
        prefix: Put before its name.
        options: Behaviour, scheduling, deadline.
        source: Tells people where it comes from.

    Raises:
        CannotDeclare: a sentence naming the tool and what is wrong with it.
    """
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415  needed only where a server is configured
    from jsonschema.validators import validator_for  # noqa: PLC0415

    given = plain(str(listed.get("name", "")), 128)
    name = re.sub(r"[^a-zA-Z0-9_]", "_", prefix + given)
    name = (name if NAME.match(name) else f"_{name}")[:64]
    schema = listed.get("inputSchema") or {"type": "object"}
    if not given:
        raise CannotDeclare("a tool without a name")
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise CannotDeclare(f"{given}: its input schema is not that of an object")
    _measure(given, schema)
    checked = _without(schema, _NEVER_RUN, given)
    try:
        validator_for(checked).check_schema(checked)
    except SchemaError as error:
        raise CannotDeclare(f"{given}: its input schema is wrong: {plain(error.message, 120)}") from None
    shown = _shown(checked)
    description = plain(str(listed.get("description") or listed.get("title") or given), MAX_DESCRIPTION)
    return SchemaTool(
        name, description, _parameters(shown), call, options or Options(), source, {**shown, "type": "object"}, checked
    )


def plain(text: str, limit: int) -> str:
    """Return a stranger's text as one line of at most `limit` characters, without control and direction marks."""
    kept = "".join(" " if unicodedata.category(one).startswith(("C", "Z")) else one for one in text[: 4 * limit])
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _measure(name: str, schema: Any) -> None:
    deepest = [(schema, 1)]
    references = 0
    while deepest:
        value, depth = deepest.pop()
        if depth > MAX_DEPTH:
            raise CannotDeclare(f"{name}: its input schema is deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            reference = value.get("$ref")
            references += isinstance(reference, str)
            if isinstance(reference, str) and not reference.startswith("#/"):
                raise CannotDeclare(f"{name}: its input schema points to {plain(reference, 60)}; only #/ is followed")
            deepest += [(one, depth + 1) for one in value.values()]
        elif isinstance(value, list):
            deepest += [(one, depth + 1) for one in value]
    if references > MAX_REFERENCES:
        raise CannotDeclare(f"{name}: its input schema refers to itself more than {MAX_REFERENCES} times")
    size = len(json.dumps(schema))
    if size > MAX_SCHEMA_BYTES:
        raise CannotDeclare(f"{name}: its input schema has {size} bytes; at most {MAX_SCHEMA_BYTES} are taken")


def _without(schema: Any, keywords: frozenset[str], name: str) -> Any:
    """Return a schema without some keywords; what stands under `properties` are names, not keywords."""
    if isinstance(schema, list):
        return [_without(one, keywords, name) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in keywords:
            continue
        if key in _NAMED and isinstance(value, dict):
            kept[key] = {one: _without(inner, keywords, name) for one, inner in value.items()}
        else:
            kept[key] = value if key in {"enum", "const", "default", "examples"} else _without(value, keywords, name)
    return kept


def _shown(schema: Any) -> Any:
    """Return the part of a schema that models take, its texts cleaned and cut."""
    if isinstance(schema, list):
        return [_shown(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    shown: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "const":
            shown["enum"] = [value]
        elif key == "definitions" and isinstance(value, dict):
            shown["$defs"] = {one: _shown(inner) for one, inner in value.items()}
        elif key not in _PASSED_ON:
            continue
        elif key in {"properties", "$defs"} and isinstance(value, dict):
            shown[key] = {one: _shown(inner) for one, inner in value.items()}
        elif key in {"title", "description"}:
            shown[key] = plain(str(value), MAX_NOTE)
        elif key == "$ref":
            shown[key] = str(value).replace("#/definitions/", "#/$defs/")
        else:
            shown[key] = value if key == "enum" else _shown(value)
    return shown


def _parameters(schema: Mapping[str, Any]) -> tuple[Parameter, ...]:
    properties = schema.get("properties")
    required = schema.get("required")
    return tuple(
        Parameter(name, _kind(one), str(one.get("description", "")), isinstance(required, list) and name in required)
        for name, one in (properties.items() if isinstance(properties, dict) else ())
        if isinstance(one, dict)
    )


_KINDS: dict[Any, Literal["STRING", "INTEGER", "NUMBER", "BOOLEAN", "ARRAY", "OBJECT"]] = {
    "string": "STRING", "integer": "INTEGER", "number": "NUMBER", "boolean": "BOOLEAN", "array": "ARRAY",
}  # fmt: skip


def _kind(schema: Mapping[str, Any]) -> Kind:
    named = schema.get("type")
    words = schema.get("enum")
    if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
        return Kind("STRING", words=tuple(words))
    items = schema.get("items")
    if named == "array" and isinstance(items, dict):
        return Kind("ARRAY", items=_kind(items))
    return Kind(_KINDS.get(named if isinstance(named, str) else "", "OBJECT"))


def _whole(value: Any) -> Any:
    """Return JSON with 3.0 as 3: models write either, JSON Schema takes both, and servers may not."""
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
