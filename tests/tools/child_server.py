"""An MCP server over stdin and stdout, written by hand so that it can misbehave; the tests start it as a program.

    python child_server.py [WORD ...]      words: see the code; what it is told is written to $JOURNAL, one JSON a line

It speaks version 2025-06-18 of the protocol and offers `add`, `slow` (never answers), `picture`, `die`, `grow` (one
more tool from then on, and says so), `environment` and others.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

WORDS = set(sys.argv[1:])
_MODERN = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}  # what version 2026-07-28 asks of results
_NUMBERS = {
    "type": "object",
    "properties": {"a": {"type": "integer", "description": "One\u202e number."}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}
TOOLS: list[dict[str, Any]] = [
    {"name": "add", "description": "Add two\x07 numbers.", "inputSchema": _NUMBERS},
    *(
        {"name": name, "description": f"Do {name}.", "inputSchema": {"type": "object"}}
        for name in ("slow", "picture", "die", "grow", "environment", "fail", "huge", "text")
    ),
    {
        "name": "doubtful",
        "description": "Point elsewhere.",
        "inputSchema": {"type": "object", "$ref": "https://example.org/s.json"},
    },
]


def send(message: dict[str, Any]) -> None:
    """Write one message."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def text(words: str, **more: Any) -> dict[str, Any]:
    """Return a result of one text."""
    return {"content": [{"type": "text", "text": words}], **more}


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:  # noqa: PLR0911  one for each tool
    """Return the result of a tool; None: no answer."""
    if name == "add":
        return text("see structure", structuredContent={"sum": arguments["a"] + arguments["b"]})
    if name == "slow":
        return None
    if name == "die":
        os._exit(3)
    if name == "grow":
        TOOLS.append({"name": "new", "description": "Is new.", "inputSchema": {"type": "object"}})
        send({"method": "notifications/tools/list_changed"})
    if name == "picture":
        return {"content": [{"type": "image", "data": "aGk=", "mimeType": "image/png"}]}
    if name == "environment":
        return text(json.dumps(sorted(os.environ)) if "values" not in WORDS else os.environ.get("NOTE", ""))
    if name == "fail":
        return text("the\x1b[31m shelf is empty", isError=True)
    if name == "huge":
        return text("x" * 20_000)
    return text("done")


def main() -> None:  # noqa: C901, PLR0912  one word, one fault
    """Serve until stdin closes, or for ever."""
    if "stubborn" in WORDS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", "61.25"])
    for number in range(40 if "chatty" in WORDS else 0):
        sys.stderr.write(f"line {number} \x1b[31mof a {'long' * 200} story\n")
    if "broken" in WORDS:
        sys.exit("no settings found")
    if "nonsense" in WORDS:
        sys.stdout.write("Welcome to the server!\n")
    sys.stderr.flush()
    sys.stdout.flush()
    for line in sys.stdin:
        message = json.loads(line)
        if journal := os.environ.get("JOURNAL"):
            with Path(journal).open("a") as file:
                file.write(line)
        result: dict[str, Any] | None = None
        match message.get("method"):
            case "initialize" if "modern" in WORDS:
                send({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
            case "server/discover":
                result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
            case "initialize":
                result = {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {"tools": {"listChanged": True}},
                    "serverInfo": {"name": "child", "version": "1"},
                }
            case "tools/list":
                half = len(TOOLS) // 2  # in two pages
                later = "cursor" in (message.get("params") or {})
                result = {"tools": TOOLS[half:]} if later else {"tools": TOOLS[:half], "nextCursor": "2"}
            case "tools/call":
                result = call(message["params"]["name"], message["params"].get("arguments") or {})
        if result is not None:
            result |= _MODERN if "modern" in WORDS else {}
            send({"id": message["id"], "result": result})
    while "stubborn" in WORDS:
        signal.pause()


if __name__ == "__main__":
    main()
