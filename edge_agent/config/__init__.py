"""Every setting of edge-agent, once: name, type, unit, default, reason, and when a reload takes effect.

    config = load(Path("/etc/edge-agent/config.toml"))     # ConfigError: one sentence, file, key, allowed values
    config.audio.block_ms

A table of the file is a dataclass here; each field is declared with `setting(...)` of `declaring`. From them come the
TOML reader, its error sentences, `edge-agent config show|explain|check`, and the reload log. Nothing else in the
program reads a file to learn a setting. Where to find, or add, a setting:

    live       [live]: the connection, and what is asked of the model
    access     [broker], [vertex], [link]: the right to connect, and the way out
    talk       [conversation], [vad], [captions], [tools], [budget]
    device     [audio], [camera], [panel], [wake], [control], [recorder]
    mcp        [mcp.NAME]
    whole      `Config`, its reader, and what no setting shows alone

A reload compares two configurations with `changes(old, new)` and is told for every changed key whether it takes
effect `now`, at the next `connection`, or at `restart`.
"""

from edge_agent.config.access import Broker, Link, Vertex
from edge_agent.config.device import Audio, Camera, Control, Panel, Recorder, Wake
from edge_agent.config.live import Live
from edge_agent.config.mcp import McpServer
from edge_agent.config.talk import Budget, Captions, Conversation, Tools, Vad
from edge_agent.config.whole import DEFAULT_PATH, Config, adopt, changes, load, parse, settings

__all__ = [
    "DEFAULT_PATH",
    "Audio",
    "Broker",
    "Budget",
    "Camera",
    "Captions",
    "Config",
    "Control",
    "Conversation",
    "Link",
    "Live",
    "McpServer",
    "Panel",
    "Recorder",
    "Tools",
    "Vad",
    "Vertex",
    "Wake",
    "adopt",
    "changes",
    "load",
    "parse",
    "settings",
]
