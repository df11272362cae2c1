"""The device's own sentences: what it says when the model cannot, in the owner's language.

    prompts = load("de")                       # or load("de", extra_dir=Path("/etc/edge-agent/prompts"))
    found = prompts.sentence("fault-4")        # text and language
    found = sentence("fault-4", "de", folder)  # when it is to be said: files of the owner's that broke are passed over
    check("de", folder)                        # ConfigError: a file that broke, or no such language
    speech = speak(found.text, found.language) # in a thread: (s16le mono bytes, sample rate), or None

Each language is a file `<code>.toml` beside this module, `name = "sentence"`. An owner's folder may change single
sentences or add a language. What a language lacks is said in English, in an English voice. `NAMES` lists every sentence
and when it is said.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.config import checks
from edge_agent.errors import ConfigError, Fault
from edge_agent.prompts.voice import speak

__all__ = ["NAMES", "Prompts", "Sentence", "check", "languages", "load", "sentence", "speak"]

log = logging.getLogger(__name__)

FALLBACK = "en"
MAX_CHARACTERS = 300  # a sentence is heard in one breath, not read

NAMES: dict[str, str] = {
    "offline": "A person wants to talk while there is no network.",
    "waiting_for_clock": "A person wants to talk before the clock is right.",
    "no_answer": "The service did not answer in time.",
    "refused_topic": "The service will not answer this question because of what it is about.",
    "muted": "Somebody presses the button of a device that its owner has muted.",
    "muted_by_switch": "Somebody presses the button of a device whose microphone is off by the switch on it.",
    "unmuted": "A press of the button lets the microphone hear again, which the model had muted.",
    "slow_line": "The line is slower than speech.",
    "speech_lost": "Speech was dropped because the line was away for too long.",
    "turn_too_long": "A turn ended by itself.",
    "conversation_too_long": "A conversation ended by itself.",
    "conversation_too_long_wake": "The same where the device has a wake word.",
    "conversation_too_long_handset": "The same where the device has a handset.",
    "budget_low": "Most of a budget is used up.",
    "timer_over": "A timer rings; its name follows.",
    "alarm_rings": "An alarm rings; its name follows.",
    "alarm_missed": "Timers or alarms were due while the device was off or did not know the time; their names follow.",
    **{f"fault-{fault.value}": f"Fault {fault.value} ({fault.name.lower()}), with what to do." for fault in Fault},
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, and the language it is written in."""

    text: str
    language: str


@dataclass(frozen=True, slots=True)
class Prompts:
    """Every sentence of `NAMES`, in the language asked for where it exists."""

    language: str
    sentences: Mapping[str, Sentence]

    def sentence(self, name: str) -> Sentence:
        """Return the sentence called `name`, a key of `NAMES` (KeyError otherwise)."""
        return self.sentences[name]


def languages(extra_dir: Path | None = None) -> list[str]:
    """Return the codes of all languages, the owner's included."""
    return sorted({path.stem for folder in _folders(extra_dir) for path in folder.glob("*.toml")})


def load(language: str, extra_dir: Path | None = None) -> Prompts:
    """Read the sentences of a language.

    Args:
        language: A code such as `de` or `de-CH`; the region counts only if there is a file for it.
        extra_dir: The owner's folder, whose sentences win.

    Raises:
        ConfigError: names a file that cannot be read, its key, and what is allowed; or the code can be none. An
            unknown language is no error: it is logged, and English is used.
    """
    found = _load(language, extra_dir)
    if not _is_known(language, extra_dir):
        log.warning("%s; the device speaks English", _unknown(language, extra_dir))
    return found


def check(language: str, extra_dir: Path | None = None) -> None:
    """Read a language as `load` does, for somebody who wants to know before anything is to be said.

    Raises:
        ConfigError: as `load`; or there is neither a file of sentences nor a folder of sounds for this language.
    """
    _load(language, extra_dir)
    if not _is_known(language, extra_dir):
        raise ConfigError(_unknown(language, extra_dir))


def sentence(name: str, language: str, extra_dir: Path | None = None) -> Sentence:
    """Return one sentence, as `load` finds it; the built-in one where the owner's files have become unusable.

    That is logged. What the device has to say is said all the same.
    """
    try:
        return load(language, extra_dir).sentence(name)
    except ConfigError as error:
        log.warning("%s; the built-in sentence is spoken", error)
        return load(language).sentence(name)


def _load(language: str, extra_dir: Path | None) -> Prompts:
    allowed = checks.language(language)
    if allowed is not None:
        raise ConfigError(f"{language!r} is no code of a language; allowed is {allowed}")
    sentences = {name: Sentence(text, FALLBACK) for name, text in _read(Path(__file__).with_name("en.toml")).items()}
    code = language.replace("_", "-")
    base = code.partition("-")[0].lower()
    for folder in _folders(extra_dir):
        for stem in dict.fromkeys((base, code)):
            path = folder / f"{stem}.toml"
            if _is_there(path):
                sentences |= {name: Sentence(text, stem) for name, text in _read(path).items()}
    return Prompts(code if _is_known(language, extra_dir) else FALLBACK, sentences)


def _is_known(language: str, extra_dir: Path | None) -> bool:
    """There are words or, in the owner's folder, sounds for it."""
    code = language.replace("_", "-")
    stems = {code, code.partition("-")[0].lower()}
    words = any(_is_there(folder / f"{stem}.toml") for folder in _folders(extra_dir) for stem in stems)
    return words or (extra_dir is not None and any(_is_there(extra_dir / stem) for stem in stems))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # the folder may not be looked into
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _unknown(language: str, extra_dir: Path | None) -> str:
    known = ", ".join(languages(extra_dir))
    return f"There are no sentences in {language!r} (conversation.prompts); there are {known}"


def _folders(extra_dir: Path | None) -> list[Path]:
    return [Path(__file__).parent, *([extra_dir] if extra_dir else [])]


def _read(path: Path) -> dict[str, str]:
    try:
        tree: dict[str, Any] = tomllib.loads(path.read_bytes().decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    for name, text in tree.items():
        if name not in NAMES:
            raise ConfigError(f"{path}: unknown sentence {name}; allowed are {', '.join(NAMES)}")
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"{path}: {name} must be a text that is not empty")
        if len(text) > MAX_CHARACTERS:
            raise ConfigError(f"{path}: {name} has {len(text)} characters; at most {MAX_CHARACTERS} are allowed")
    return tree
