"""All tables as one `Config`: read from TOML, checked across tables, compared with another."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from edge_agent.config.access import Broker, Link, Vertex
from edge_agent.config.declaring import Setting, keep, read_table, setting, walk
from edge_agent.config.device import Audio, Camera, Control, Panel, Recorder, Wake
from edge_agent.config.live import Live
from edge_agent.config.mcp import McpServer
from edge_agent.config.mcp import check as check_mcp
from edge_agent.config.talk import Budget, Captions, Conversation, Tools, Vad
from edge_agent.errors import ConfigError

DEFAULT_PATH = Path("/etc/edge-agent/config.toml")


@dataclass(slots=True)
class Config:
    """All settings."""

    mode: Literal["kiosk", "speaker"] = setting(
        "kiosk", "kiosk: push-to-talk, every visitor a fresh conversation. speaker: open microphone after a tap."
    )
    persona: str = setting(
        "", "Folder with instruction.md, knowledge/*.md, greeting.txt, persona.toml.", effect="connection"
    )
    live: Live = field(default_factory=Live)
    broker: Broker = field(default_factory=Broker)
    vertex: Vertex = field(default_factory=Vertex)
    link: Link = field(default_factory=Link)
    budget: Budget = field(default_factory=Budget)
    audio: Audio = field(default_factory=Audio)
    camera: Camera = field(default_factory=Camera)
    panel: Panel = field(default_factory=Panel)
    wake: Wake = field(default_factory=Wake)
    conversation: Conversation = field(default_factory=Conversation)
    vad: Vad = field(default_factory=Vad)
    captions: Captions = field(default_factory=Captions)
    tools: Tools = field(default_factory=Tools)
    mcp: dict[str, McpServer] = field(default_factory=dict)
    control: Control = field(default_factory=Control)
    recorder: Recorder = field(default_factory=Recorder)

    @property
    def idle_timeout_s(self) -> float:
        """The idle time-out in force, seconds."""
        return self.conversation.idle_timeout_s or (12.0 if self.mode == "kiosk" else 30.0)

    @property
    def prompts_folder(self) -> Path:
        """The owner's folder of sentences; it need not exist."""
        return Path(self.conversation.prompts_folder)

    @property
    def manual_turns(self) -> bool:
        """True where the device marks the turns itself (push-to-talk); False with the open microphone."""
        return self.mode == "kiosk" and self.panel.button == "button"

    @property
    def echo(self) -> Literal["auto", "software", "hardware", "half-duplex", "off"]:
        """The echo policy in force; `auto`: what calibration found, else software.

        A handset's earpiece is too quiet at its microphone to echo.
        """
        if self.audio.echo == "auto" and self.panel.button == "hook":
            return "off"
        return self.audio.echo


def load(path: Path) -> Config:
    """Read and check a TOML file.

    Raises:
        ConfigError: one sentence naming the file, the key, what is wrong and what is allowed.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give another with --config") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}; it must be a file that this user may read"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not TOML: no UTF-8 text (at byte {error.start})") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    return parse(tree, source=str(path))


def parse(tree: dict[str, Any], *, source: str) -> Config:
    """Build a configuration from a parsed TOML tree; see `load` for the errors."""
    config: Config = read_table(Config, tree, source=source)
    if config.live.message_ms % config.audio.block_ms:
        raise ConfigError(
            f"{source}: live.message_ms = {config.live.message_ms} is not a multiple of "
            f"audio.block_ms = {config.audio.block_ms}"
        )
    budget = config.budget
    for period in ("day", "month"):
        soft, hard = getattr(budget, f"soft_per_{period}"), getattr(budget, f"hard_per_{period}")
        if hard and soft > hard:
            raise ConfigError(
                f"{source}: budget.soft_per_{period} = {soft:g} is above budget.hard_per_{period} = {hard:g}; "
                "the notice would come after the end"
            )
    if config.mode == "kiosk" and (config.wake.word or config.wake.stop):
        key = "wake.word" if config.wake.word else "wake.stop"
        raise ConfigError(
            f'{source}: {key} is of no use with mode = "kiosk", where people press a button; leave it empty, or set '
            'mode = "speaker"'
        )
    if config.broker.key and not config.broker.certificate:
        raise ConfigError(f"{source}: broker.key is of no use without broker.certificate, which is empty")
    _check_pins(config.panel, source)
    for name, server in config.mcp.items():
        check_mcp(name, server, source=source)
    return config


def settings(config: Config) -> Iterator[Setting]:
    """Return every setting with its value in `config`, in the order of the file."""
    return walk(config)


def changes(old: Config, new: Config) -> list[Setting]:
    """Return the settings of `new` whose value differs from `old`; their `effect` says when each takes hold.

    A setting of a table `[mcp.NAME]` that only one of the two has counts as its default in the other.
    """
    before = {entry.key: entry for entry in settings(old)}
    after = {entry.key: entry for entry in settings(new)}
    changed = [entry for key, entry in after.items() if before.get(key, _fresh(entry)).value != entry.value]
    return changed + [_fresh(entry) for key, entry in before.items() if key not in after and entry != _fresh(entry)]


def adopt(old: Config, new: Config) -> Config:
    """Return `new` with every setting that takes effect at a restart as it stands in `old`."""
    return cast("Config", keep(old, new, "restart"))


def _fresh(entry: Setting) -> Setting:
    return replace(entry, value=entry.default)


def _check_pins(panel: Panel, source: str) -> None:
    """Refuse wires that share a pin, and a mute switch that nobody reads."""
    wires = {"panel.button_gpio": [panel.button_gpio]}
    wires |= {"panel.led_rgb_gpio": panel.led_rgb_gpio} if panel.led_rgb_gpio else {"panel.led_gpio": [panel.led_gpio]}
    if panel.mute_gpio >= 0:
        wires["panel.mute_gpio"] = [panel.mute_gpio]
        if panel.pins == "none":
            raise ConfigError(
                f'{source}: panel.mute_gpio = {panel.mute_gpio} cannot be read with panel.pins = "none"; '
                "a device without pins needs panel.mute_gpio = -1"
            )
    if panel.volume_knob != "none":
        wires["panel.volume_gpio"] = panel.volume_gpio
    taken: dict[int, str] = {}
    for key, pins in wires.items():
        for pin in pins:
            if taken.get(pin) == key:
                raise ConfigError(f"{source}: {key} uses one pin twice, {pin}; every wire needs its own")
            if pin in taken:
                raise ConfigError(
                    f"{source}: {key} and {taken[pin]} = {pin} use one pin twice; every wire needs its own"
                )
            taken[pin] = key
