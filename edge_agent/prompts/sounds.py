"""Where the sound of a sentence lies: WAVs of the owner's, recordings of the model's voice, and what goes for which.

    for wav in sources("fault-4", sentence, "de-AT", places):   # the best first; espeak-ng speaks where none is left
        wav.path, wav.own
    keep(place, "fault-4", recording, data)                     # a recording, with the note of what it says
    found = recording(place, "fault-4", "de")                   # None: there is none, or it is torn

A place is a folder. In it the owner's own sounds are `<language>/<name>.wav`; what `edge-agent prompts record` makes is
`<language>/recorded/<name>.wav`, each with a note beside it, `<name>.json`: the words, the voice, the model. It goes
for the words it was made of, and for no others: where a sentence was changed since, its recording is passed over. A WAV
whose note is missing or is not its own (the power went between the two) counts as not recorded.

Own sounds go before recordings, and are looked for from the language asked for down to the one the sentence is written
in: with `de-AT` in `de-AT/` and in `de/`, but in `de-AT/` alone where that has words of its own. Whether a WAV can be
played is found out by who plays it. All of it waits for a disk.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from edge_agent.prompts import Sentence
from edge_agent.service.state import write_atomically

RECORDED = "recorded"
MAX_NOTE_BYTES = 4096  # a sentence, three names and a sum
MAX_WAV_BYTES = 12_000_000  # 15 s in stereo at 96 kHz and 32 bits; what is larger is music, not a sentence

_CODE = re.compile(r"[A-Za-z0-9-]{2,35}")  # of a language, as a folder may be named after it


class Wav(NamedTuple):
    """A file that may hold the sound of a sentence; `own`: the owner put it there."""

    path: Path
    own: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """What is known of a recording."""

    text: str
    """The words that were spoken."""
    voice: str
    model: str
    at: str
    """When, ISO 8601."""
    sha256: str
    """Of the WAV."""


def sources(name: str, sentence: Sentence, language: str, places: Sequence[Path]) -> Iterator[Wav]:
    """Yield the files that may be played for a sentence, the best first.

    Args:
        name: of the sentence.
        sentence: as `prompts.sentence` found it.
        language: asked for.
        places: folders; those the owner writes into first.
    """
    for place in places:
        for code in languages_of(sentence, language):
            path = place / code / f"{name}.wav"
            if _is_file(path):
                yield Wav(path, own=True)
    for place in places:
        found = recording(place, name, sentence.language)
        if found is not None and found.text == sentence.text:
            yield Wav(wav_of(place, name, sentence.language), own=False)


def languages_of(sentence: Sentence, language: str) -> list[str]:
    """Return the codes whose own sounds go for a sentence, the most particular first."""
    code = language.replace("_", "-")
    chain = list(dict.fromkeys((code, code.partition("-")[0].lower(), sentence.language)))
    wanted = chain[: chain.index(sentence.language) + 1]
    return [one for one in wanted if _CODE.fullmatch(one)]


def wav_of(place: Path, name: str, language: str) -> Path:
    """Return where the recording of a sentence lies or would lie."""
    return place / language / RECORDED / f"{name}.wav"


def recording(place: Path, name: str, language: str) -> Recording | None:
    """Return what is known of a recording; None if there is none that is whole. Never raises."""
    path = wav_of(place, name, language)
    try:
        with path.with_suffix(".json").open("rb") as file:
            note = json.loads(file.read(MAX_NOTE_BYTES))
        found = Recording(**{field.name: note[field.name] for field in fields(Recording)})
        whole = all(isinstance(value, str) for value in asdict(found).values())
        return found if whole and found.sha256 == _sum(path) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def keep(place: Path, name: str, language: str, wav: bytes, *, text: str, voice: str, model: str, at: str) -> Path:
    """Put a recording into a place so that a power cut leaves the old one, the new one or none; return its path.

    Folders and files are readable by everybody: who records and who speaks may be two users, and nothing is secret.

    Raises:
        OSError: it cannot be written.
    """
    path = wav_of(place, name, language)
    make_folder(path.parent)
    write_atomically(path, wav, mode=0o644)
    note = Recording(text=text, voice=voice, model=model, at=at, sha256=hashlib.sha256(wav).hexdigest())
    data = json.dumps(asdict(note), indent=1, ensure_ascii=False).encode() + b"\n"
    write_atomically(path.with_suffix(".json"), data, mode=0o644)
    for one in (path, path.with_suffix(".json")):
        one.chmod(0o644)  # whatever the umask took away
    return path


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, for everybody to read.

    Raises:
        OSError: it cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        one.chmod(0o755)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be looked into holds nothing for us
        return False


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(MAX_WAV_BYTES)).hexdigest()
