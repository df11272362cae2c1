"""The tables [conversation], [vad], [captions], [tools] and [budget]: how people and the model talk, and the price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_agent.config import checks
from edge_agent.config.declaring import between, setting


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
    follow_up_s: float = setting(
        8.0,
        "Speaker mode: so long after an answer the device listens for more by itself, and sends only what it takes for "
        "speech to it; 0: whoever wants to say more taps, or says the wake word.",
        unit="s",
        effect="now",
        check=between(0, 60),
    )
    voice_detector: Literal["device", "service"] = setting(
        "device",
        "Speaker mode: who decides when somebody speaks. device: only speech is sent, not silence and not the "
        "television; service: from a tap, or a wake word that may be a false one, to the end of the conversation all "
        "the microphone hears is sent, and billed.",
        effect="now",
    )
    remember_s: float = setting(
        300.0,
        "Speaker mode: a conversation that begins this soon after the last one goes on with it, also after a restart; "
        "0: every conversation is a new one. Kiosk mode never remembers.",
        unit="s",
        effect="now",
        check=between(0, 7200),
    )
    prompts: str = setting(
        "en", "Language of the device's own sentences, a BCP-47 code such as de.", effect="now", check=checks.language
    )
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
        "How long speech must last to count as a start; 0: the service's own, or 120 where the device cancels echo.",
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
