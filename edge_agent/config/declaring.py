"""How settings are declared, read from TOML, refused in one sentence, and explained: the machinery under `config`.

    @dataclass(slots=True)
    class Audio:
        volume: int = setting(60, "Loudness.", effect="now", check=between(0, 100))

    audio = read_table(Audio, {"volume": 70}, source="config.toml")     # ConfigError: file, key, fault, what is allowed
    list(walk(audio))                                                   # Setting values for show and explain

A table is a dataclass; a field that is a dataclass is a table within it, and one that is a `dict[str, dataclass]`
holds tables whose names the owner chooses (`[mcp.NAME]`). Values are bool, int, float, str, a Literal of strings, or a
list of int or str. Pure.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from edge_agent.errors import ConfigError

Effect = Literal["now", "connection", "restart"]
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")  # of a table the owner names: short in a key, bare in TOML
_LOGIN = re.compile(r"://[^/\s]*@")  # of a URL; up to the last @ before the path, as a password may hold one
Check = Callable[[Any], str | None]
"""Takes a value of the right type, returns what is allowed when it is refused, None when it is fine."""


def setting(
    default: Any,
    why: str,
    *,
    effect: Effect = "restart",
    unit: str = "",
    check: Check | None = None,
    private: bool = False,
) -> Any:
    """Declare one setting of a table; `why` is the sentence `config explain` prints.

    A refused value of a `private` setting is never shown: people paste keys where a reference to one belongs.
    """
    metadata = {"why": why, "effect": effect, "unit": unit, "check": check, "private": private}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def between(low: float, high: float) -> Check:
    """Allow numbers from `low` to `high`, both included."""

    def check(value: float) -> str | None:
        return None if low <= value <= high else f"a number from {low:g} to {high:g}"

    return check


def device(*schemes: str) -> Check:
    """Allow a device string `SCHEME:REST`; other schemes may come from plug-ins and are checked when opened."""

    def check(value: str) -> str | None:
        scheme = value.partition(":")[0]
        if value == "off" or (":" in value and scheme.replace("_", "").replace("-", "").isalnum()):
            return None
        return "one of " + ", ".join(schemes)

    return check


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as `config show|explain` print it."""

    key: str
    value: Any
    default: Any
    type: str
    unit: str
    effect: Effect
    why: str

    @property
    def shown(self) -> Any:
        """The value as people and logs may see it: a URL without the user name and password in it."""
        return _LOGIN.sub("://***@", self.value) if isinstance(self.value, str) else self.value


def read_table(cls: type[Any], tree: Any, *, source: str, prefix: str = "") -> Any:
    """Build a table of class `cls` from a parsed TOML tree.

    Args:
        cls: A dataclass whose fields are declared with `setting`.
        tree: What the TOML file holds for it.
        source: Name of the file, for the error.
        prefix: Dotted name of the table, with a final dot.

    Raises:
        ConfigError: one sentence naming the file, the key, what is wrong and what is allowed.
    """
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: {prefix.rstrip('.')} must be a table, not {_toml_name(tree)}")
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in fields:
            raise ConfigError(f"{source}: unknown key {prefix}{key}{_nearest(key, fields, prefix)}")
        hint = hints[key]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            values[key] = read_table(hint, value, source=source, prefix=f"{prefix}{key}.")
        elif get_origin(hint) is dict:
            values[key] = _named(get_args(hint)[1], value, source=source, prefix=f"{prefix}{key}.")
        else:
            values[key] = _value(hint, value, fields[key], f"{source}: {prefix}{key}")
    return cls(**values)


def walk(table: Any, prefix: str = "") -> Iterator[Setting]:
    """Yield every setting of a table with its value, in the order of the file: plain keys before deeper tables."""
    hints = get_type_hints(type(table))
    fresh = type(table)()
    tables = []
    for declared in dataclasses.fields(table):
        value = getattr(table, declared.name)
        if dataclasses.is_dataclass(value):
            tables.append((value, f"{prefix}{declared.name}."))
            continue
        if isinstance(value, dict):
            tables += [(one, f"{prefix}{declared.name}.{name}.") for name, one in value.items()]
            continue
        hint = hints[declared.name]
        kind = (
            " | ".join(get_args(hint))
            if get_origin(hint) is Literal
            else f"list of {_LISTED[get_args(hint)[0]]}"
            if get_origin(hint) is list
            else _type_name(hint)
        )
        meta = declared.metadata
        yield Setting(
            f"{prefix}{declared.name}",
            value,
            getattr(fresh, declared.name),
            kind,
            meta["unit"],
            meta["effect"],
            meta["why"],
        )
    for value, deeper in tables:
        yield from walk(value, deeper)


def named_tables(table: Any) -> Iterator[Setting]:
    """Yield the settings of the tables an owner may add, with their defaults, under the name NAME."""
    for name, hint in get_type_hints(type(table)).items():
        if get_origin(hint) is dict:
            yield from walk(get_args(hint)[1](), f"{name}.NAME.")


def keep(old: Any, new: Any, effect: Effect) -> Any:
    """Return `new` with every setting of this effect as it stands in `old`, a table of the same class."""
    values = {}
    for declared in dataclasses.fields(new):
        before, after = getattr(old, declared.name), getattr(new, declared.name)
        if dataclasses.is_dataclass(after):
            values[declared.name] = keep(before, after, effect)
        elif isinstance(after, dict):
            values[declared.name] = {
                name: keep(before[name], one, effect) if name in before else one for name, one in after.items()
            }
        else:
            values[declared.name] = before if declared.metadata["effect"] == effect else after
    return type(new)(**values)


def _named(cls: type[Any], tree: Any, *, source: str, prefix: str) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: {prefix.rstrip('.')} must hold tables [{prefix}NAME], not {_toml_name(tree)}")
    for name in tree:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{source}: {prefix}{name[:60]!r}: a name has up to 32 small letters, digits, _ and -, a letter first"
            )
    return {name: read_table(cls, one, source=source, prefix=f"{prefix}{name}.") for name, one in tree.items()}


def _value(hint: Any, value: Any, declared: dataclasses.Field[Any], where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1 << 53 else math.inf  # what a float holds exactly; no setting goes near
    given = where if declared.metadata["private"] else f"{where} = {_shown(value)}"
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            allowed = ", ".join(f'"{choice}"' for choice in get_args(hint))
            raise ConfigError(f"{given}: allowed are {allowed}")
    elif get_origin(hint) is list:
        (item,) = get_args(hint)
        if not isinstance(value, list) or any(type(entry) is not item for entry in value):
            raise ConfigError(f"{given}: must be a list of {_LISTED[item]}")
    elif type(value) is not hint:
        raise ConfigError(f"{given}: must be {_type_name(hint)}, not {_toml_name(value)}")
    check: Check | None = declared.metadata["check"]
    allowed_sentence = check(value) if check else None
    if allowed_sentence:
        raise ConfigError(f"{given}: allowed is {allowed_sentence}")
    return value


def _nearest(key: str, fields: dict[str, Any], prefix: str) -> str:
    close = difflib.get_close_matches(key, fields, n=1)
    if close:
        return f"; did you mean {prefix}{close[0]}?"
    return "; allowed are " + ", ".join(sorted(fields))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool)) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."  # a line of a terminal


def _type_name(hint: Any) -> str:
    return {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}[hint]


_LISTED = {int: "whole numbers", str: "strings"}


def _toml_name(value: Any) -> str:
    return {
        int: "a whole number",
        float: "a number",
        str: "a string",
        bool: "true or false",
        list: "a list",
        dict: "a table",
    }.get(type(value), type(value).__name__)
