'''Turn a typed Python function into a function the model may call.

    def opening_hours(day: Literal["weekday", "weekend"], museum: str = "main") -> str:
        """Tell when the museum is open. (More under "Args:", one line each.)"""

    declared = declare(opening_hours)
    declared.declaration()                 # name, description, parameters in the service's OpenAPI subset
    declared.arguments({"day": "weekend"}) # checked and converted; BadArguments with a sentence for the model

The name is the function's, the description its docstring up to "Args:", the parameters its annotations: str, int,
float, bool, a Literal of strings, an Enum of strings, list[...] of these, and Optional of these. A default makes a
parameter optional. `@tool(...)` adds what the signature cannot say: another name, whether the model waits, a deadline.
What cannot be declared is refused with `CannotDeclare`, naming function and parameter: a tool the model would misuse
is worse than none.
Pure: nothing is called here.
'''

from __future__ import annotations

import enum
import inspect
import re
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, overload

Behaviour = Literal["blocking", "non-blocking"]
Scheduling = Literal["when-idle", "interrupt", "silent"]
_Function = TypeVar("_Function", bound=Callable[..., Any])

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}")  # what every family of models takes
_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Return|Yields|Raises|Example|Examples|Note|Notes):\s*")
_ENTRY = re.compile(r"(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")


class CannotDeclare(ValueError):
    """The function cannot be offered to the model; the sentence names it, the parameter and what is allowed."""


class BadArguments(ValueError):
    """The model called with arguments that do not fit; the sentence is for the model."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `@tool` adds to a function."""

    name: str | None = None
    behaviour: Behaviour | None = None
    deadline_s: float | None = None
    scheduling: Scheduling | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of one value: an upper-case OpenAPI type, allowed words for an enum, items for an array.

    OBJECT stands for whatever only a JSON Schema can say; no Python function is declared with it.
    """

    api_type: Literal["STRING", "INTEGER", "NUMBER", "BOOLEAN", "ARRAY", "OBJECT"]
    words: tuple[str, ...] = ()
    items: Kind | None = None
    nullable: bool = False
    enum: type[enum.Enum] | None = None

    def schema(self) -> dict[str, Any]:
        """Return the schema the service reads."""
        schema: dict[str, Any] = {"type": self.api_type}
        if self.words:
            schema["enum"] = list(self.words)
        if self.items:
            schema["items"] = self.items.schema()
        if self.nullable:
            schema["nullable"] = True
        return schema

    def convert(self, value: Any, where: str) -> Any:
        """Return `value` as the function expects it.

        Raises:
            BadArguments: the value does not fit; the sentence starts with `where`.
        """
        if value is None:
            if self.nullable:
                return None
            raise BadArguments(f"{where} must not be null")
        if self.api_type == "ARRAY" and self.items is not None:
            if not isinstance(value, list):
                raise BadArguments(f"{where} must be an array")
            return [self.items.convert(item, f"{where}[{index}]") for index, item in enumerate(value)]
        if self.api_type == "INTEGER" and isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON has one number type; models write 3.0
        if not isinstance(value, _ACCEPTED[self.api_type]) or (isinstance(value, bool) and self.api_type != "BOOLEAN"):
            raise BadArguments(f"{where} must be {_SPOKEN[self.api_type]}")
        if self.words and value not in self.words:
            raise BadArguments(f"{where} must be one of " + ", ".join(self.words))
        if self.enum is not None:
            return self.enum(value)
        return float(value) if self.api_type == "NUMBER" and isinstance(value, int) else value


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool."""

    name: str
    kind: Kind
    description: str
    required: bool


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call, ready to be declared, checked and run."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    function: Callable[..., Any]
    options: Options = Options()
    source: str = "built in"

    def declaration(self, behaviours: Collection[str] | None = None) -> dict[str, Any]:
        """Return the function declaration: keys name, description, parameters (when there are any), behavior (if set).

        Args:
            behaviours: What the model's family takes, BLOCKING or NON_BLOCKING; a wish for another is left out, so
                that a tool works with every model. None: any.

        Source: the Live API's FunctionDeclaration.
        """
        declared: dict[str, Any] = {"name": self.name, "description": self.description}
        if self.parameters:
            properties = {}
            for parameter in self.parameters:
                properties[parameter.name] = parameter.kind.schema()
                if parameter.description:
                    properties[parameter.name]["description"] = parameter.description
            declared["parameters"] = {"type": "OBJECT", "properties": properties}
            required = [parameter.name for parameter in self.parameters if parameter.required]
            if required:
                declared["parameters"]["required"] = required
        return declared | self._behavior(behaviours)

    def _behavior(self, behaviours: Collection[str] | None) -> dict[str, Any]:
        if self.options.behaviour is None:
            return {}
        wish = self.options.behaviour.upper().replace("-", "_")
        return {"behavior": wish} if behaviours is None or wish in behaviours else {}

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return keyword arguments for the function, checked and converted.

        Raises:
            BadArguments: a sentence that tells the model what to send instead.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                takes = "takes only " + ", ".join(known) if known else "takes no arguments"
                raise BadArguments(f"{self.name} has no argument {name}; it {takes}")
        converted = {}
        for name, parameter in known.items():
            if name in given:
                converted[name] = parameter.kind.convert(given[name], f"argument {name} of {self.name}")
            elif parameter.required:
                raise BadArguments(f"{self.name} needs the argument {name}")
        return converted


@overload
def tool(function: _Function) -> _Function: ...
@overload
def tool(
    *,
    name: str | None = None,
    behaviour: Behaviour | None = None,
    deadline_s: float | None = None,
    scheduling: Scheduling | None = None,
) -> Callable[[_Function], _Function]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    behaviour: Behaviour | None = None,
    deadline_s: float | None = None,
    scheduling: Scheduling | None = None,
) -> Any:
    """Mark a function as a tool; in a module with marked functions only these are tools.

    Args:
        function: The function, when used as plain `@tool`.
        name: Its name for the model; the function's own by default.
        behaviour: `blocking`: the model is silent until the answer comes; `non-blocking`: it talks on. The model
            family's default when not given.
        deadline_s: Seconds after which the call is answered with an error; `tools.deadline_s` by default.
        scheduling: How the answer of a non-blocking tool enters the talk.
    """
    options = Options(name, behaviour, deadline_s, scheduling)

    def mark(marked: _Function) -> _Function:
        marked.__dict__["edge_agent_tool"] = options
        return marked

    return mark if function is None else mark(function)


def options_of(function: Any) -> Options | None:
    """Return what `@tool` said about a function; None for an unmarked one."""
    found = getattr(function, "edge_agent_tool", None)
    return found if isinstance(found, Options) else None


def declare(function: Callable[..., Any], *, source: str = "built in") -> Tool:
    """Make a tool of a function or bound method; `source` tells people where it comes from.

    Raises:
        CannotDeclare: a sentence naming the function, the parameter, and what is allowed.
    """
    options = options_of(function) or Options()
    own_name = getattr(function, "__name__", repr(function))
    name = options.name or own_name
    if not NAME.fullmatch(name):
        raise CannotDeclare(f"{name}: a tool's name has up to 64 letters, digits and underscores; rename it with @tool")
    description, described = _docstring(function)
    if not description:
        raise CannotDeclare(f"{name} has no docstring; the model decides by it when to call the tool")
    try:
        hints = get_type_hints(function)
        signature = inspect.signature(function)
    except (NameError, TypeError, ValueError) as error:
        raise CannotDeclare(f"{name}: its annotations cannot be read: {error}") from None
    parameters = tuple(_parameter(name, one, hints, described) for one in signature.parameters.values())
    unknown = set(described) - {parameter.name for parameter in parameters}
    if unknown:
        raise CannotDeclare(f"{name}: its docstring describes {', '.join(sorted(unknown))}, which it does not take")
    return Tool(name, description, parameters, function, options, source)


_ACCEPTED: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "INTEGER": (int,),
    "NUMBER": (int, float),
    "BOOLEAN": (bool,),
}
_SPOKEN = {"STRING": "a string", "INTEGER": "a whole number", "NUMBER": "a number", "BOOLEAN": "true or false"}
_SIMPLE: dict[Any, Kind] = {str: Kind("STRING"), int: Kind("INTEGER"), float: Kind("NUMBER"), bool: Kind("BOOLEAN")}
_ALLOWED = "str, int, float, bool, Literal and Enum of strings, list[...] and Optional[...] of these"


def _parameter(
    function: str, one: inspect.Parameter, hints: Mapping[str, Any], described: Mapping[str, str]
) -> Parameter:
    where = f"{function}: parameter {one.name}"
    if one.kind in {one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY}:
        raise CannotDeclare(f"{where} cannot be passed by name; tools take named parameters only")
    if one.name not in hints:
        raise CannotDeclare(f"{where} has no annotation; allowed are {_ALLOWED}")
    return Parameter(one.name, _kind(hints[one.name], where), described.get(one.name, ""), one.default is one.empty)


def _kind(hint: Any, where: str) -> Kind:
    if hint in (str, int, float, bool):
        return _SIMPLE[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        others = [one for one in inner if one is not type(None)]
        if len(others) == 1 and len(inner) == 2:
            kind = _kind(others[0], where)
            return Kind(kind.api_type, kind.words, kind.items, nullable=True, enum=kind.enum)
    elif origin is Literal and all(isinstance(word, str) and word for word in inner):
        return Kind("STRING", words=inner)
    elif origin is list and len(inner) == 1:
        return Kind("ARRAY", items=_kind(inner[0], where))
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        words = tuple(member.value for member in hint)
        if words and all(isinstance(word, str) and word for word in words):
            return Kind("STRING", words=words, enum=hint)
    shown = hint.__name__ if isinstance(hint, type) and not inner else str(hint).replace("typing.", "")
    raise CannotDeclare(f"{where} has the type {shown}; allowed are {_ALLOWED}")


def _docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return the description and the text of each parameter from a Google-style docstring."""
    text = inspect.getdoc(function) or ""
    summary: list[str] = []
    described: dict[str, str] = {}
    section, indent, current = "", 0, ""
    for line in text.split("\n"):
        found = _SECTION.fullmatch(line)
        if found:
            section, indent, current = found[1], 0, ""
        elif not section:
            summary.append(line)
        elif section in {"Args", "Arguments", "Parameters"} and line.strip():
            depth = len(line) - len(line.lstrip())
            indent = indent or depth
            entry = _ENTRY.fullmatch(line.strip()) if depth == indent else None
            if entry:
                current = entry[1]
                described[current] = entry[2]
            elif current:
                described[current] = f"{described[current]} {line.strip()}".strip()
    return " ".join(" ".join(summary).split()), described
