"""Every setting of edge-agent, once: name, type, unit, default, reason, and when a reload takes effect.

The tables below are dataclasses; each field is declared with `setting(...)` of the module `settings`. From them come
the TOML reader, its error sentences, `edge-agent config show|explain|check`, and the reload log. Nothing else in the
program reads a file to learn a setting.

    config = load(Path("/etc/edge-agent/config.toml"))     # ConfigError: one sentence, file, key, allowed values
    config.audio.block_ms

A reload compares two configurations with `changes(old, new)` and is told for every changed key whether it takes
effect `now`, at the next `connection`, or at `restart`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from edge_agent.errors import ConfigError
from edge_agent.mcp_table import McpServer
from edge_agent.mcp_table import check as check_mcp
from edge_agent.settings import Setting, between, device, keep, read_table, setting, walk

DEFAULT_PATH = Path("/etc/edge-agent/config.toml")


def _live_url(value: str) -> str | None:
    if not value:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        return f"a URL ({error})"
    loopback = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if port == 0 or parts.username or parts.password or parts.query or parts.fragment:
        return "scheme, host and port (1 to 65535) only; keys never stand in a URL"
    if parts.scheme == "wss" and parts.hostname:
        return None
    if parts.scheme == "ws" and loopback:
        return None
    return "wss://HOST[:PORT], or ws:// to this machine only"


_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,99}/[a-z][a-z0-9-]{1,39}")


_PROXIES = {"http", "socks5", "socks5h", "socks4", "socks4a"}


def _proxy(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        known = parts.scheme in _PROXIES and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if value in {"", "none"} or (known and parts.path in {"", "/"} and not parts.query and not parts.fragment):
        return None
    if value.startswith(("file:", "env:")) and "@" not in value and value.partition(":")[2]:
        return None
    return '"", "none", file:NAME, env:NAME, or http://, socks5://, socks5h://, socks4:// or socks4a://[user:password@]host:port'


def _credential(value: str) -> str | None:
    kind, _, rest = value.partition(":")
    if kind == "ephemeral" and rest:
        return _broker_url(rest)
    if kind == "vertex" and rest:
        return None if _PLACE.fullmatch(rest) else "vertex:PROJECT/LOCATION, such as vertex:museum-1/europe-west4"
    if kind in {"file", "env"} and rest:
        return None
    return "file:NAME, env:NAME, ephemeral:URL or vertex:PROJECT/LOCATION"


def _broker_url(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return "ephemeral:https://HOST[:PORT][/PATH]"
    if port == 0 or parts.username or parts.password or parts.query or parts.fragment:
        return "ephemeral: with scheme, host, port and path only; secrets never stand in a URL, see [broker]"
    loopback = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        return None
    return "ephemeral:https://HOST[:PORT][/PATH], or http:// to this machine only"


def _secret(value: str) -> str | None:
    kind, _, rest = value.partition(":")
    if not value or (kind in {"file", "env"} and rest):
        return None
    return "file:NAME, env:NAME or nothing; the secret itself does not go there"


def _file(value: str) -> str | None:
    kind, _, rest = value.partition(":")
    return None if not value or (kind == "file" and rest) else "file:NAME, file:PATH or nothing"


@dataclass(slots=True)
class Live:
    """The connection to the Live API."""

    url: str = setting(
        "",
        "Empty: Google's service. Else scheme, host and port of a twin or proxy "
        "(a path given replaces the standard one); ws:// only to this machine.",
        effect="connection",
        check=_live_url,
        private=True,
    )
    api_version: str = setting(
        "v1beta",
        "The version in the service's path; v1beta is the documented one.",
        effect="connection",
        check=lambda v: None if v in {"v1beta", "v1alpha", "v1"} else "v1beta, v1alpha or v1",
    )
    model: str = setting("gemini-3.8-live", "The Live model; what it accepts is known by family.", effect="connection")
    voice: str = setting("Puck", "The prebuilt voice of the answers.", effect="connection")
    system_instruction: str = setting("", "Who the device is; a persona folder wins over it.", effect="connection")
    language: str = setting("", "BCP-47 code such as de-DE; empty: the model follows the speaker.", effect="connection")
    credential: str = setting(
        "file:gemini-key",
        "Where the key lies: file:NAME in $CREDENTIALS_DIRECTORY or a path, env:NAME; else ephemeral:URL, a broker "
        "of short-lived tokens, or vertex:PROJECT/LOCATION, a Google Cloud account.",
        effect="connection",
        check=_credential,
        private=True,
    )
    fallback: str = setting(
        "gemini-3.6-flash",
        "Where WebSockets are blocked: the model asked by single requests over HTTPS, its text spoken by the local "
        "voice; empty: never.",
        effect="connection",
        check=lambda v: None if all(c.isalnum() or c in "-._" for c in v) else 'the name of a model, or ""',
    )
    message_ms: int = setting(
        40, "Microphone sound per message, a multiple of audio.block_ms.", unit="ms", check=between(10, 200)
    )
    prewarm: bool = setting(
        False,
        "Keep a clean connection open while idle, so that the first answer comes sooner (costs a session).",
        effect="connection",
    )
    connection_limit_s: float = setting(
        540.0,
        "A connection is changed for a new one, at a quiet moment, before it is this old; the service is known to end "
        "them after ten minutes; 0: when the service announces it.",
        unit="s",
        effect="now",
        check=between(0, 86400),
    )
    resume_replay: Literal["turn", "gap"] = setting(
        "turn",
        "After a cut: send an open turn younger than 15 s again whole, or only what was not yet written.",
        effect="now",
    )
    interruptible: bool = setting(
        True, "Speech cuts an answer off; false: it is heard to its end (open microphone only).", effect="connection"
    )
    turn_coverage: Literal["", "only-activity", "all-input", "audio-activity-and-all-video"] = setting(
        "",
        "What of sound and stills becomes part of a turn, and is billed; empty: only speech, with a camera its stills.",
        effect="connection",
    )
    thinking: Literal["", "minimal", "low", "medium", "high"] = setting(
        "", "How long the model thinks, for families that take a level; empty: the model's own.", effect="connection"
    )
    thinking_budget: int = setting(
        -1,
        "Tokens the model may think with, for families that take a budget; 0: none, -1: the model's own.",
        effect="connection",
        check=between(-1, 65_536),
    )
    temperature: float = setting(
        -1.0,
        "Of sampling, 0 to 2: low is even, high is lively; -1: the model's own.",
        effect="connection",
        check=lambda v: None if v == -1 or 0 <= v <= 2 else "a number from 0 to 2, or -1 for the model's own",
    )
    media_resolution: Literal["", "low", "medium", "high"] = setting(
        "",
        "How closely stills are looked at: low takes 64 tokens each, medium and high 256; empty: the model's own.",
        effect="connection",
    )
    google_search: bool = setting(
        False, "Let the model search the web; it costs extra, and the key needs quota for it.", effect="connection"
    )
    translate_to: str = setting(
        "", "BCP-47 code that the translation model translates into; no other model takes it.", effect="connection"
    )
    echo_translation: bool = setting(
        False, "The translation model repeats what is already said in that language.", effect="connection"
    )
    compress_at_tokens: int = setting(
        25_000,
        "The context is cut once it holds so many tokens, every one billed with every turn; 0: never, "
        "and a session ends after about 15 minutes.",
        effect="connection",
        check=lambda v: None if v == 0 or 5_000 <= v <= 128_000 else "0, or a whole number from 5000 to 128000",
    )
    compress_to_tokens: int = setting(
        8_000,
        "What is kept of it, the newest; 0: half of compress_at_tokens.",
        effect="connection",
        check=between(0, 128_000),
    )
    initial_history: str = setting(
        "",
        "A TOML file of earlier turns that every conversation begins with; history.toml in the persona folder wins.",
        effect="connection",
    )


@dataclass(slots=True)
class Broker:
    """The token broker that live.credential = "ephemeral:URL" names."""

    certificate: str = setting(
        "",
        "This device's certificate for the broker (PEM, file:NAME or file:PATH); empty: none is shown.",
        effect="connection",
        check=_file,
        private=True,
    )
    key: str = setting(
        "",
        "The private key of that certificate; empty: it stands in the certificate's file.",
        effect="connection",
        check=_file,
        private=True,
    )
    ca: str = setting(
        "",
        "Certificates that the broker's own may be signed by, alone; empty: those the system trusts.",
        effect="connection",
        check=_file,
        private=True,
    )
    secret: str = setting(
        "",
        "What this device shows the broker as a bearer token: file:NAME or env:NAME; empty: nothing.",
        effect="connection",
        check=_secret,
        private=True,
    )
    timeout_s: float = setting(
        8.0,
        "The broker must have answered in this time; a person waits meanwhile.",
        unit="s",
        effect="connection",
        check=between(1, 60),
    )


@dataclass(slots=True)
class Vertex:
    """The Google Cloud account behind live.credential = "vertex:PROJECT/LOCATION"."""

    account: str = setting(
        "",
        "Key file of a service account, or configuration of a workload identity (file:NAME or file:PATH); "
        "empty: application default credentials.",
        effect="connection",
        check=_file,
        private=True,
    )


@dataclass(slots=True)
class Link:
    """The network between the device and the service."""

    metered: bool = setting(
        False,
        "The network is paid by volume: no connection is kept open ahead, and stills are sent only when asked for.",
        effect="connection",
    )
    max_mb_per_day: float = setting(
        0.0,
        "Data per day, both ways; at 80 % the device says so, at 100 % it stops talking until midnight; 0: no limit.",
        unit="MB",
        effect="now",
        check=between(0, 1_000_000),
    )
    proxy: str = setting(
        "",
        "The proxy on the way out: http://[user:password@]host:port, socks5://, socks5h:// (it resolves names) or "
        "socks4://; file:NAME or env:NAME with such a URL; empty: as HTTPS_PROXY, ALL_PROXY and NO_PROXY of the "
        "environment say; none: no proxy at all.",
        effect="connection",
        check=_proxy,
        private=True,
    )


@dataclass(slots=True)
class Budget:
    """What talk may cost. Prices are the service's for the model in use; change them together with it."""

    currency: str = setting(
        "USD",
        "The currency of the prices and caps, as it is shown.",
        effect="now",
        check=lambda v: None if v.isprintable() and 1 <= len(v.strip()) <= 8 else "a code such as USD or EUR",
    )
    audio_in: float = setting(
        3.00, "Price of sound the model hears.", unit="per million tokens", effect="now", check=between(0, 10_000)
    )
    audio_out: float = setting(
        12.00, "Price of sound the model speaks.", unit="per million tokens", effect="now", check=between(0, 10_000)
    )
    image_in: float = setting(
        1.00, "Price of stills the model sees.", unit="per million tokens", effect="now", check=between(0, 10_000)
    )
    text_in: float = setting(
        0.75, "Price of text the model reads.", unit="per million tokens", effect="now", check=between(0, 10_000)
    )
    text_out: float = setting(
        4.50, "Price of text the model writes.", unit="per million tokens", effect="now", check=between(0, 10_000)
    )
    search: float = setting(
        14.00, "Price of web searches the service makes.", unit="per thousand", effect="now", check=between(0, 10_000)
    )
    soft_per_day: float = setting(
        0.0,
        "Money per day from which the device asks for brevity, and sends stills only when asked for; 0: never.",
        unit="currency",
        effect="now",
        check=between(0, 1_000_000),
    )
    hard_per_day: float = setting(
        0.0,
        "Money per day at which the device stops talking until midnight; 0: no limit.",
        unit="currency",
        effect="now",
        check=between(0, 1_000_000),
    )
    soft_per_month: float = setting(
        0.0,
        "Money per calendar month from which the device asks for brevity, as for the day; 0: never.",
        unit="currency",
        effect="now",
        check=between(0, 1_000_000),
    )
    hard_per_month: float = setting(
        0.0,
        "Money per calendar month at which the device stops talking until the next one; 0: no limit.",
        unit="currency",
        effect="now",
        check=between(0, 1_000_000),
    )


@dataclass(slots=True)
class Audio:
    """Microphone and loudspeaker."""

    input: str = setting(
        "pyaudio:edge_mic", "The microphone.", check=device("pyaudio:NAME", "alsa:PCM", "wav:PATH", "silence:")
    )
    output: str = setting(
        "pyaudio:edge_speaker", "The loudspeaker.", check=device("pyaudio:NAME", "alsa:PCM", "wav:PATH", "null:")
    )
    block_ms: int = setting(
        20,
        "Sound is read and written in blocks of this length; 40 on a Zero 2 W or Pi 3.",
        unit="ms",
        check=lambda v: None if v in {10, 20, 40, 100} else "10, 20, 40 or 100",
    )
    mic_gain_db: float = setting(
        24.0,
        "Gain before the cut to 16 bits; I2S microphones are quiet.",
        unit="dB",
        effect="now",
        check=between(-20, 60),
    )
    mic_channel: Literal["auto", "left", "right", "mono"] = setting(
        "auto", "Which slot the microphone fills; auto takes the louder one of the first second."
    )
    volume: int = setting(
        60,
        "Loudness, perceptual, 0 to 100; the volume last set by a person wins over this.",
        effect="now",
        check=between(0, 100),
    )
    alarm_volume: int = setting(
        40,
        "A timer or alarm rings at least this loud, 0 to 100, however low the volume is.",
        effect="now",
        check=between(0, 100),
    )
    echo: Literal["auto", "hardware", "half-duplex", "off"] = setting(
        "auto",
        "Keeps the device from hearing itself. auto: half-duplex in speaker mode, off in kiosk mode; "
        "hardware: the device cancels its own echo.",
    )
    pre_roll_ms: int = setting(
        500,
        "Sound kept from before the press, so that the first syllable is not lost.",
        unit="ms",
        effect="now",
        check=between(0, 2000),
    )
    cues: bool = setting(True, "Short sounds at the start and end of a turn.", effect="now")
    cue_sounds: str = setting("", "A TOML file of such sounds that replaces the built-in one.")


@dataclass(slots=True)
class Camera:
    """The camera."""

    source: str = setting("off", "The camera.", check=device("picamera2:", "v4l2:/dev/video0", "files:DIR", "off"))
    when: Literal["turn", "stream", "ask"] = setting(
        "turn",
        "turn: one still as a turn starts; stream: at most one a second while listening; "
        "ask: only when the model calls look.",
        effect="connection",
    )
    max_px: int = setting(768, "Longest side of a still; the model's native size.", unit="px", check=between(64, 4096))
    max_kb: int = setting(256, "A larger still is not sent.", unit="kB", check=between(8, 4096))


@dataclass(slots=True)
class Panel:
    """Button and light."""

    pins: Literal["lgpio", "mock", "none"] = setting(
        "lgpio", "The pin library: lgpio on a Pi, mock for tests and demo, none without a panel."
    )
    button_gpio: int = setting(17, "BCM number of the button's pin.", check=between(0, 53))
    button: Literal["button", "hook"] = setting(
        "button", "What sits on the pin: a push button, or a handset's hook switch (closed while lifted)."
    )
    led_gpio: int = setting(27, "BCM number of the light's pin.", check=between(0, 53))
    led_rgb_gpio: list[int] = setting(  # noqa: RUF009  a field with a factory, not a shared list
        [],
        "Three BCM numbers, red, green, blue, for an RGB light; wins over led_gpio.",
        check=lambda v: (
            None
            if len(v) in {0, 3} and all(0 <= n <= 53 for n in v)
            else "three BCM numbers from 0 to 53, such as [27, 22, 23]"
        ),
    )
    tap_ms: int = setting(
        250,
        "A press shorter than this is a tap: start, then tap again to end.",
        unit="ms",
        effect="now",
        check=between(50, 2000),
    )
    long_press_ms: int = setting(
        1500,
        "A press at least this long ends the conversation (open microphone only; "
        "with push-to-talk a long press is a long sentence).",
        unit="ms",
        effect="now",
        check=between(500, 10000),
    )
    debounce_ms: int = setting(
        5,
        "A level must be stable this long to count; more for an old, noisy contact.",
        unit="ms",
        effect="now",
        check=between(0, 100),
    )
    patterns: str = setting("", "A TOML file of light patterns that replaces the built-in one.")


@dataclass(slots=True)
class Wake:
    """The wake word."""

    word: str = setting(
        "",
        "Empty: button only. The wake word comes with a later version.",
        check=lambda v: None if not v else 'nothing but "" in this version',
    )


@dataclass(slots=True)
class Conversation:
    """Turn-taking."""

    idle_timeout_s: float = setting(
        0.0,
        "A conversation ends this long after its last sound; 0: 12 in kiosk mode, 30 in speaker mode.",
        unit="s",
        effect="now",
        check=between(0, 3600),
    )
    max_turn_s: float = setting(
        60.0, "A turn ends by itself after this.", unit="s", effect="now", check=between(1, 600)
    )
    max_conversation_s: float = setting(
        600.0,
        "A conversation ends by itself after this, at the end of a turn.",
        unit="s",
        effect="now",
        check=between(10, 86400),
    )
    answer_timeout_s: float = setting(
        20.0,
        "No answer within this time after the end of a turn: the device says so and is ready again.",
        unit="s",
        effect="now",
        check=between(1, 300),
    )
    remember_s: float = setting(
        300.0,
        "Speaker mode: a conversation that begins this soon after the last one goes on with it, also after a restart; "
        "0: every conversation is a new one. Kiosk mode never remembers.",
        unit="s",
        effect="now",
        check=between(0, 7200),
    )
    prompts: str = setting("en", "Language of the device's own sentences.", effect="now")
    prompts_folder: str = setting(
        "/etc/edge-agent/prompts", "Folder with sentences of your own, one file per language.", effect="now"
    )


@dataclass(slots=True)
class Vad:
    """The service's own voice detector; the open microphone only."""

    start: Literal["", "high", "low"] = setting(
        "", "How readily speech begins: high for quiet talkers, low for noisy rooms.", effect="connection"
    )
    end: Literal["", "high", "low"] = setting(
        "", "How readily it ends: high answers sooner, low waits for slow talkers.", effect="connection"
    )
    prefix_padding_ms: int = setting(
        0,
        "How long speech must last to count as a start; 0: the service's own.",
        unit="ms",
        effect="connection",
        check=between(0, 2000),
    )
    silence_ms: int = setting(
        0,
        "Silence that ends a turn: 500 to 800 is good, less chops sentences; 0: the service's own, about 800. "
        "Not every model minds it.",
        unit="ms",
        effect="connection",
        check=between(0, 10_000),
    )


@dataclass(slots=True)
class Captions:
    """What was said, as text."""

    show: bool = setting(True, "Ask the service for transcripts and show them in `ctl watch`.", effect="connection")
    file: str = setting("", "A file that captions are appended to; empty: they never touch the disk.", effect="now")
    languages: list[str] = setting(  # noqa: RUF009  a field with a factory, not a shared list
        [], "BCP-47 codes of what people speak here, a hint for the transcripts; empty: any.", effect="connection"
    )
    vocabulary: list[str] = setting(  # noqa: RUF009  a field with a factory, not a shared list
        [],
        "Names and words that transcripts should get right; about a hundred help, more do not.",
        effect="connection",
        check=lambda v: None if len(v) <= 1000 and all(v) else "up to 1000 words or phrases, none of them empty",
    )


@dataclass(slots=True)
class Tools:
    """Functions the model may call."""

    allow: list[str] = setting(  # noqa: RUF009  a field with a factory, not a shared list
        [], "Names of the tools the model may call; empty: every tool that was found.", effect="connection"
    )
    folder: str = setting(
        "/etc/edge-agent/tools", "Python files that define tools; only files owned by root count.", effect="connection"
    )
    deadline_s: float = setting(
        10.0, "A tool that takes longer is answered with an error.", unit="s", effect="now", check=between(0.1, 120)
    )


@dataclass(slots=True)
class Control:
    """Local control."""

    socket: str = setting(
        "/run/edge-agent/control.sock", "Path of the control socket; who may use it is decided by file permission."
    )


@dataclass(slots=True)
class Recorder:
    """The flight recorder: the last minutes before a fault, without sound."""

    folder: str = setting("", "Folder for its files, made when missing; empty: nothing is recorded.")
    minutes: float = setting(
        5.0, "How far back a file reaches, at most.", unit="minutes", effect="restart", check=between(0.5, 60)
    )
    max_mb: float = setting(
        8.0,
        "Room for the newest five files together; one of them, and the memory it grows in, is a fifth of this.",
        unit="MB",
        check=between(0.5, 200),
    )
    captions: bool = setting(False, "Record what people and the model said, in words; else only how long it was.")


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
    def echo(self) -> Literal["hardware", "half-duplex", "off"]:
        """The echo policy in force. A handset's earpiece is too quiet at its microphone to echo."""
        if self.audio.echo != "auto":
            return self.audio.echo
        return "half-duplex" if self.mode == "speaker" else "off"


def load(path: Path) -> Config:
    """Read and check a TOML file.

    Raises:
        ConfigError: one sentence naming the file, the key, what is wrong and what is allowed.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give another with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
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
    if config.broker.key and not config.broker.certificate:
        raise ConfigError(f"{source}: broker.key is of no use without broker.certificate, which is empty")
    panel = config.panel
    light = panel.led_rgb_gpio or [panel.led_gpio]
    if len({panel.button_gpio, *light}) != 1 + len(light):
        key = "panel.led_rgb_gpio" if panel.led_rgb_gpio else "panel.led_gpio"
        raise ConfigError(
            f"{source}: {key} and panel.button_gpio = {panel.button_gpio} use one pin twice; every wire needs its own"
        )
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
