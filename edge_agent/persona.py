"""Who the device is: a folder that an owner writes, read into one value.

    persona/
        instruction.md       who it is and how it talks (required)
        knowledge/*.md       what it knows, in the order of the names
        greeting.txt         what it says first (optional)
        persona.toml         voice, language, max_knowledge_tokens (optional)
        history.toml         turns that every conversation begins with, as if they had been spoken (optional)

    folder = PersonaFolder(Path("/srv/museum"))
    persona = folder.load()          # at every conversation: the files are read again only if one of them changed
    persona.compose()                # the system instruction

A history shows the model by example how it talks; its file is a list of turns:

    [[turn]]
    user = "Are you real?"
    [[turn]]
    model = "As real as the bones above you."

Everything that is wrong is a ConfigError with a sentence naming the file. Knowledge is sent with every connection and
billed with every turn, so it is capped (8000 tokens unless persona.toml says otherwise), and so is the history.

Token counts are an upper estimate without the model's tokenizer, which is not public: three characters of Latin script
to a token (English has about four, German about three), two of Greek, Cyrillic, Arabic or Indic scripts, one of
Chinese, Japanese or Korean, half a one beyond (emoji).
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import ConfigError

MAX_KNOWLEDGE_TOKENS = 8000  # default cap: about 15 pages, a fifth of a cent per turn
MAX_HISTORY_TOKENS = 4000  # a dozen exchanges; it is billed with every turn until the context is cut
MAX_FILE_BYTES = 4 << 20  # far beyond any cap; keeps a film named .md out of memory

_SETTINGS = ("voice", "language", "max_knowledge_tokens")


History = tuple[tuple[str, str], ...]
"""Turns of a conversation in order, each as (role, text) with the role "user" or "model"."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """One knowledge file: its name without `.md`, its text, its estimated tokens."""

    name: str
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Persona:
    """A persona, read and checked. Empty `voice` and `language` leave the configuration's."""

    instruction: str
    knowledge: tuple[Knowledge, ...] = ()
    greeting: str = ""
    voice: str = ""
    language: str = ""
    history: History = ()

    @property
    def tokens(self) -> int:
        """Estimated tokens of the whole system instruction."""
        return estimate_tokens(self.compose())

    def compose(self) -> str:
        """Return the system instruction: the instruction, then every knowledge file under its name."""
        parts = [self.instruction]
        if self.knowledge:
            parts.append("What you know (rely on it before anything else; where it is silent, say so):")
            parts += [f"## {one.name}\n\n{one.text}" for one in self.knowledge]
        return "\n\n".join(parts)


class PersonaFolder:
    """A persona folder that is read again only when it changed.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[tuple[str, int, int, int], ...] | None = None
        self._persona: Persona | None = None

    def load(self) -> Persona:
        """Return the persona as the files are now; unchanged files cost a few stat calls.

        Raises:
            ConfigError: names the file and what is wrong with it.
        """
        seen = self._signature()
        if self._persona is None or seen != self._seen:
            self._persona = load_persona(self.path)
            self._seen = seen
        return self._persona

    def _signature(self) -> tuple[tuple[str, int, int, int], ...]:
        found = []
        for path in _files(self.path):
            try:
                status = path.stat()
            except OSError:
                continue  # absent files are optional, or named when they are read
            found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def load_persona(folder: Path) -> Persona:
    """Read a persona folder.

    Raises:
        ConfigError: names the file and what is wrong with it.
    """
    if not folder.is_dir():
        raise ConfigError(f"persona = {folder}: no such folder")
    instruction_file = folder / "instruction.md"
    instruction = _text(instruction_file)
    if instruction is None:
        raise ConfigError(f"{instruction_file}: missing; it says who the device is, and a persona needs it")
    if not instruction:
        raise ConfigError(f"{instruction_file}: empty; it says who the device is")
    settings = _settings(folder / "persona.toml")
    knowledge = []
    for path in _knowledge_files(folder):
        text = _text(path)
        if text:
            knowledge.append(Knowledge(path.stem, text, estimate_tokens(text)))
    _check_size(folder, knowledge, settings["max_knowledge_tokens"])
    return Persona(
        instruction=instruction,
        knowledge=tuple(knowledge),
        greeting=_text(folder / "greeting.txt") or "",
        voice=settings["voice"],
        language=settings["language"],
        history=read_history(folder / "history.toml") or (),
    )


def read_history(path: Path) -> History | None:
    """Read turns that a conversation begins with; None if there is no such file.

    Raises:
        ConfigError: names the file, the turn and what is wrong with it.
    """
    text = _text(path)
    if text is None:
        return None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    listed = tree.pop("turn", [])
    if tree or not isinstance(listed, list) or not listed:
        raise ConfigError(f"{path}: must hold [[turn]] tables and nothing else, each with user or model")
    turns = []
    for number, turn in enumerate(listed, 1):
        entries = list(turn.items()) if isinstance(turn, dict) else []
        good = len(entries) == 1 and entries[0][0] in {"user", "model"} and isinstance(entries[0][1], str)
        if not good or not entries[0][1].strip():
            raise ConfigError(f'{path}: turn {number} must be user = "..." or model = "...", one of them, not empty')
        turns.append((entries[0][0], entries[0][1].strip()))
    total = sum(estimate_tokens(said) for _, said in turns)
    if total > MAX_HISTORY_TOKENS:
        raise ConfigError(f"{path}: about {total} tokens, more than the {MAX_HISTORY_TOKENS} allowed; leave turns out")
    return tuple(turns)


def estimate_tokens(text: str) -> int:
    """Return an upper estimate of the tokens of `text`; the module's docstring says how."""
    weight = 0.0
    for character in text:
        point = ord(character)
        if point < 0x250:  # Latin, with all its accents
            weight += 1 / 3
        elif point < 0x2E80:  # alphabets and abugidas up to the CJK blocks; typographic marks too
            weight += 1 / 2
        elif point < 0x1F000:
            weight += 1
        else:
            weight += 2
    return math.ceil(weight - 1e-6)  # the sum of thirds carries rounding noise


def _check_size(folder: Path, knowledge: list[Knowledge], cap: int) -> None:
    total = sum(one.tokens for one in knowledge)
    if total > cap:
        counted = ", ".join(f"{one.name}.md {one.tokens}" for one in sorted(knowledge, key=lambda one: -one.tokens))
        raise ConfigError(
            f"{folder / 'knowledge'}: about {total} tokens, more than the {cap} allowed ({counted}); "
            "shorten the files or raise max_knowledge_tokens in persona.toml"
        )


def _files(folder: Path) -> list[Path]:
    names = ("instruction.md", "greeting.txt", "persona.toml", "history.toml")
    return [*(folder / name for name in names), *_knowledge_files(folder)]


def _knowledge_files(folder: Path) -> list[Path]:
    return sorted((folder / "knowledge").glob("*.md"))


def _text(path: Path) -> str | None:
    """Return the stripped text of a file, None if there is no such file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB; is it a text?")
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line} is not UTF-8; save the file as UTF-8") from None


def _settings(path: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {"voice": "", "language": "", "max_knowledge_tokens": MAX_KNOWLEDGE_TOKENS}
    text = _text(path)
    if text is None:
        return settings
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    for key, value in tree.items():
        if key not in settings:
            raise ConfigError(f"{path}: unknown key {key}; allowed are {', '.join(_SETTINGS)}")
        if type(value) is not type(settings[key]):
            kind = "a whole number" if key == "max_knowledge_tokens" else "a string"
            raise ConfigError(f"{path}: {key} must be {kind}")
        settings[key] = value
    if settings["max_knowledge_tokens"] < 0:
        raise ConfigError(f"{path}: max_knowledge_tokens must not be negative")
    return settings
