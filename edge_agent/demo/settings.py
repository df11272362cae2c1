"""The configuration the demo writes for the daemon: a kiosk on mock pins, with a camera of stills.

`demo_config` is for the twin, `live_config` for Google; both give TOML text that `edge_agent.config` accepts.
"""

from __future__ import annotations

import json
from pathlib import Path

from edge_agent.config import Panel

KEY_VARIABLE = "EDGE_AGENT_DEMO_KEY"
"""The environment variable that hands the twin's key to the daemon."""

BLOCK_MS = 20
DEBOUNCE_MS = Panel().debounce_ms
"""For how long the button's level must be stable: the daemon's default, part of every figure that begins at a press."""


def demo_config(*, url: str, microphone: str, loudspeaker: str, camera: Path, socket: Path) -> str:
    """Return the configuration that talks to the twin at `url`."""
    return _toml(
        live={"url": url, "credential": f"env:{KEY_VARIABLE}"},
        audio={
            "input": microphone,
            "output": loudspeaker,
            "mic_gain_db": 0.0,  # the recordings are as loud as a microphone after its gain
        },
        camera=f"files:{camera}",
        socket=socket,
    )


def live_config(*, microphone: str, loudspeaker: str, camera: str, model: str, socket: Path) -> str:
    """Return the configuration that talks to Google with the key in GEMINI_API_KEY."""
    live = {"credential": "env:GEMINI_API_KEY"}
    if model:
        live["model"] = model
    audio: dict[str, object] = {"input": microphone, "output": loudspeaker, "mic_gain_db": 0.0}
    return _toml(live=live, audio=audio, camera=camera, socket=socket)


def _toml(*, live: dict[str, str], audio: dict[str, object], camera: str, socket: Path) -> str:
    tables: dict[str, dict[str, object]] = {
        "live": dict(live),
        "audio": {**audio, "block_ms": BLOCK_MS, "volume": 80},
        "camera": {"source": camera, "when": "turn"},
        "panel": {"pins": "mock", "button_gpio": 17, "led_rgb_gpio": [27, 22, 23]},
        "conversation": {"idle_timeout_s": 20.0},
        "captions": {"show": True, "file": ""},
        "tools": {"folder": str(socket.parent / "tools")},
        "control": {"socket": str(socket)},
    }
    lines = ["# Written by edge-agent demo.", 'mode = "kiosk"', ""]
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
        lines.append("")
    return "\n".join(lines)
