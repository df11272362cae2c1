"""Server messages: how the twin's session hands them to its shell, how they are written, how the log names them.

`Emit` is one WebSocket message, `Close` ends the connection with a close frame, `Cut` without one, `HalfFrame`
announces a frame, sends half of it and cuts. `describe` names every field of a message as the log does.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from edge_agent.simulator.sound import ANSWER_RATE, BYTES_PER_SAMPLE

Described = tuple[tuple[str, dict[str, Any]], ...]
"""(kind, detail) of each field of a message."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Send this as one message, in a binary or text frame."""

    data: bytes
    binary: bool
    described: Described


@dataclass(frozen=True, slots=True)
class Close:
    """Send a close frame."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Cut:
    """Abort the TCP connection."""


@dataclass(frozen=True, slots=True)
class HalfFrame:
    """Send the head of a frame of `size` bytes and half of its payload, then abort."""

    size: int = 4096


Out = Emit | Close | Cut | HalfFrame


@dataclass(frozen=True, slots=True)
class Style:
    """How messages are written on this connection."""

    binary: bool = True
    urlsafe: bool = False
    unknown_keys: bool = False
    mime: str = "audio/pcm;rate=24000"


def encode(message: dict[str, Any], style: Style) -> bytes:
    """Write a message as JSON, with keys from the future if the style asks for them."""
    if style.unknown_keys:
        message = dict(message, futureField={"a": [1, None]})
        if "serverContent" in message:
            message["serverContent"] = dict(message["serverContent"], futureDetail={"b": "c"})
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def emit(message: dict[str, Any], style: Style) -> Emit:
    """Make the WebSocket message of a JSON object."""
    return Emit(encode(message, style), style.binary, describe(message))


def emit_raw(message: str | bytes, style: Style) -> Emit:
    """Make a message of text or bytes that need not be JSON; text goes into a text frame."""
    data = message.encode() if isinstance(message, str) else message
    binary = style.binary and isinstance(message, bytes)
    return Emit(data, binary, (("raw", {"bytes": len(data)}),))


def audio_part(pcm: bytes, style: Style) -> dict[str, Any]:
    """Return the part of a model turn that carries 24 kHz s16le sound."""
    text = (base64.urlsafe_b64encode if style.urlsafe else base64.b64encode)(pcm).decode()
    return {"inlineData": {"mimeType": style.mime, "data": text}}


def content(**fields: Any) -> dict[str, Any]:
    """Return a serverContent message."""
    return {"serverContent": fields}


@dataclass(slots=True)
class Tokens:
    """Token counts of a turn, as usageMetadata gives them: the whole context is counted again in every turn."""

    text: int = 0
    audio: float = 0.0  # 25 tokens a second
    image: int = 0  # 258 tokens a still
    answer_audio: float = 0.0

    def message(self, *, platform: bool) -> dict[str, Any]:
        """Return the value of `usageMetadata`."""
        counted = {"TEXT": self.text, "AUDIO": round(self.audio), "IMAGE": self.image}
        details = [{"modality": name, "tokenCount": count} for name, count in counted.items() if count]
        prompt, answer = sum(counted.values()), round(self.answer_audio)
        said = "candidates" if platform else "response"
        return {
            "promptTokenCount": prompt,
            f"{said}TokenCount": answer,
            "totalTokenCount": prompt + answer,
            "promptTokensDetails": details,
            f"{said}TokensDetails": [{"modality": "AUDIO", "tokenCount": answer}],
        }


def describe(message: dict[str, Any]) -> Described:
    """Name every field of a server message: ("audio", {"bytes": n, "seconds": s}), ("turnComplete", {}), ..."""
    named: list[tuple[str, dict[str, Any]]] = []
    for key, value in message.items():
        if key == "serverContent" and isinstance(value, dict):
            for name, inner in value.items():
                if name == "modelTurn" and isinstance(inner, dict) and isinstance(inner.get("parts"), list):
                    named += [_part(part) for part in inner["parts"]]
                else:
                    named.append((name, inner if isinstance(inner, dict) else {"value": inner}))
        else:
            named.append((key, value if isinstance(value, dict) else {"value": value}))
    return tuple(named)


def _part(part: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(part, dict):
        return "part", {"value": part}
    if isinstance(part.get("inlineData"), dict):
        size = len(str(part["inlineData"].get("data", "")).rstrip("=")) * 3 // 4
        return "audio", {"bytes": size, "seconds": size / BYTES_PER_SAMPLE / ANSWER_RATE}
    if part.get("thought"):
        return "thought", {"text": part.get("text", "")}
    return "text", {"text": part.get("text", "")}
