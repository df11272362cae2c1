"""The table [live]: the connection to the Live API, and what is asked of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_agent.config import checks
from edge_agent.config.declaring import between, setting


@dataclass(slots=True)
class Live:
    """The connection to the Live API."""

    url: str = setting(
        "",
        "Empty: Google's service. Else scheme, host and port of a twin or proxy "
        "(a path given replaces the standard one); ws:// only to this machine.",
        effect="connection",
        check=checks.live_url,
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
        check=checks.credential,
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
