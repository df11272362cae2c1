"""What an MCP server answered, as the model and the owner are told: results as plain JSON, failures as one sentence.

    value("home", {"content": [{"type": "text", "text": "done"}]})     # "done"
    reason(error)                                                      # "nobody answers at its address"

Pure.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.errors import AgentError, Stop
from edge_agent.tools.schema import plain

MAX_SENTENCE = 280  # characters of a server's own words; the runner's errors hold 300


class Lost(Exception):
    """The session is over; the text says why."""


def value(server: str, result: Mapping[str, Any]) -> Any:
    """Return a tool's result as plain JSON.

    Raises:
        Stop: the tool reports an error, or answers with nothing but what cannot be passed on.
    """
    content: Sequence[Mapping[str, Any]] = result.get("content") or []
    texts = [str(one["text"]) for one in content if one.get("type") == "text"]
    texts += [
        str(one["resource"]["text"]) for one in content if one.get("type") == "resource" and "text" in one["resource"]
    ]
    if result.get("isError"):
        raise Stop(plain(" ".join(texts), MAX_SENTENCE) or f"{server} could not do it and did not say why")
    if result.get("structuredContent") is not None:
        return result["structuredContent"]
    other = sorted({str(one.get("type")) for one in content} - {"text", "resource"})
    if other and not texts:
        raise Stop(f"the answer is not text but {', '.join(other)}, which this device does not pass on")
    text = "\n".join(texts)
    if len(texts) == 1 and text.lstrip().startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)  # as an object it is shorter to read than as a text of an object
    return text or None


def refusal(status: int) -> str:
    """Say what an HTTP status from 400 on means here."""
    if status in {401, 403}:
        return "it refused the token; make a new one and put it where the setting token points"
    if status == 404:
        return "there is no MCP server at its url, or no longer our session (HTTP 404)"
    return f"it answered with HTTP {status}"


def reason(error: BaseException) -> str:
    """Say in one sentence why a session is over."""
    error = first_error(error)
    if isinstance(error, Lost | AgentError):
        return str(error)
    if isinstance(error, ImportError):
        return "the package mcp, version 2 or later, is not installed; type: pip install 'edge-agent[mcp]'"
    name = type(error).__name__
    if name in {"ConnectError", "ConnectTimeout"}:
        return "nobody answers at its address"
    if isinstance(error, TimeoutError) or name.endswith("Timeout"):
        return "it does not answer"
    return plain(f"{name}: {error}", 160)


def first_error(error: BaseException) -> BaseException:
    """Return the first plain error of what the package's task groups raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
