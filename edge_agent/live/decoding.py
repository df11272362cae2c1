"""A frame of the service, read into the wire types of `messages`: fast where it can be, forgiving where it must be.

    message, problems = decode(b'{"serverContent":{"turnComplete":true}}')

`decode` takes msgspec's fast path first. A message that fails it (URL-safe or unpadded base64, an int64 or a boolean as
a string, one field of a wrong type) is taken apart field by field, and keys in snake_case are understood there too:
what can be read is kept, and what cannot is named in `problems`. Nothing in here raises, whatever the frame.

Source of what is tolerated: the protobuf JSON mapping (field names in both cases, int64 as number or string, base64 of
both alphabets with or without padding, null for a default, durations such as "9.500s").
"""

from __future__ import annotations

import binascii
from typing import Any

import msgspec

from edge_agent.live.messages import ServerMessage

_decode = msgspec.json.Decoder(ServerMessage).decode
_decode_any = msgspec.json.Decoder().decode

# msgspec's errors are ValueErrors since 0.20 only; bad UTF-8 is a ValueError, nesting a RecursionError.
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

_STANDARD_ALPHABET = str.maketrans("-_", "+/")


def decode(frame: bytes | bytearray | memoryview | str) -> tuple[ServerMessage, list[str]]:
    """Read one message; see the module's docstring for what is tolerated.

    Returns:
        The message, and what of it could not be read, one short phrase each (never the content itself).
    """
    try:
        return _decode(frame), []
    except _UNREADABLE:
        return decode_leniently(frame)


def decode_leniently(frame: bytes | bytearray | memoryview | str) -> tuple[ServerMessage, list[str]]:
    """Read one message field by field: snake_case, both base64 alphabets, numbers as strings, broken neighbours."""
    try:
        tree = _decode_any(frame)
    except RecursionError:
        return ServerMessage(), ["nested too deeply"]
    except (msgspec.MsgspecError, ValueError):
        return ServerMessage(), ["not JSON"]
    if not isinstance(tree, dict):
        return ServerMessage(), [f"a JSON {type(tree).__name__} instead of an object"]
    problems: list[str] = []
    return _struct(tree, ServerMessage, "", problems), problems


def keys(frame: bytes | bytearray | memoryview | str) -> list[str]:
    """Return the paths of the keys of a message, two levels deep, for a log line; [] if it is not a JSON object."""
    try:
        tree = _decode_any(frame)
    except _UNREADABLE:
        return []
    if not isinstance(tree, dict):
        return []
    paths = []
    for key, value in tree.items():
        paths += [f"{key}.{inner}" for inner in value] if isinstance(value, dict) and value else [key]
    return [path[:80] for path in paths[:8]]


def seconds(duration: str | None) -> float | None:
    """Return the seconds of a protobuf duration ("9.500s"); None if absent or not a finite duration of 0 or more."""
    if duration is None or not duration.endswith("s"):
        return None
    try:
        value = float(duration[:-1])
    except ValueError:
        return None
    return value if 0.0 <= value < 1e9 else None


def _camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


_FIELDS: dict[type[msgspec.Struct], dict[str, msgspec.structs.FieldInfo]] = {}


def _fields(cls: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    if cls not in _FIELDS:
        _FIELDS[cls] = {info.encode_name: info for info in msgspec.structs.fields(cls)}
    return _FIELDS[cls]


def _struct(tree: dict[str, Any], cls: type[Any], where: str, problems: list[str]) -> Any:
    fields = _fields(cls)
    values: dict[str, Any] = {}
    for key, value in tree.items():
        info = fields.get(key) or fields.get(_camel(key))
        if info is None or value is None:
            continue
        path = f"{where}.{info.encode_name}" if where else info.encode_name
        try:
            values[info.name] = _value(value, info.type, path, problems)
        except _UNREADABLE:
            problems.append(f"{path} has a form not understood")
    return cls(**values)


def _value(value: Any, hint: Any, path: str, problems: list[str]) -> Any:
    inner = _not_none(hint)
    if inner is bytes:
        return _base64(value)
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        if not isinstance(value, dict):
            raise ValueError(path)  # noqa: TRY004  the caller collects ValueError
        return _struct(value, inner, path, problems)
    items = _item_struct(inner)
    if items is not None:
        if not isinstance(value, list):
            raise ValueError(path)
        good = [item for item in value if isinstance(item, dict)]
        if len(good) < len(value):
            problems.append(f"{path} holds something that is not an object")
        return [_struct(item, items, f"{path}[]", problems) for item in good]
    return msgspec.convert(value, inner, strict=False)


def _not_none(hint: Any) -> Any:
    kinds = [kind for kind in getattr(hint, "__args__", ()) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and type(None) in hint.__args__ else hint


def _item_struct(hint: Any) -> type[msgspec.Struct] | None:
    if getattr(hint, "__origin__", None) is not list:
        return None
    (item,) = hint.__args__
    return item if isinstance(item, type) and issubclass(item, msgspec.Struct) else None


def _base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError("bytes must be a string")  # noqa: TRY004  the caller collects ValueError
    standard = text.translate(_STANDARD_ALPHABET).rstrip("=")
    return binascii.a2b_base64(standard + "=" * (-len(standard) % 4), strict_mode=True)
