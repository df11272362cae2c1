"""Look through the folders of sounds for what will never be heard, or no longer says what it should.

found = inspect(places, "de-AT", sentences, voice="Puck", model="gemini-3.8-live")
found.faults            # one sentence for each file that cannot be used
found.notes             # and for each that is used, though the voice or the model has changed since
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.agent.utterance import read, told
from edge_agent.prompts import NAMES, Sentence, sounds


@dataclass(slots=True)
class Findings:
    """Sentences for a person."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def inspect(
    places: Iterable[Path], language: str, sentences: Mapping[str, Sentence], *, voice: str, model: str
) -> Findings:
    """Return what is wrong with the sounds of a language.

    Args:
        places: the folders in which sounds are looked for.
        language: asked for.
        sentences: as `prompts.load` found them.
        voice: that the model has now.
        model: that is configured now.
    """
    found = Findings()
    codes = sorted({code for sentence in sentences.values() for code in sounds.languages_of(sentence, language)})
    for folder in (place / code for place in places for code in codes):
        for path in _files(folder):
            found.faults += _fault(path)
        for path in _files(folder / sounds.RECORDED):
            if path.suffix != ".json":
                _look_at_recording(found, path, sentences, voice=voice, model=model)
    return found


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _fault(path: Path) -> list[str]:
    if path.suffix != ".wav":
        return [f"{path} is not looked at; sounds are called NAME.wav."]
    if path.stem not in NAMES:
        return [f"{path}: there is no sentence of this name; edge-agent prompts list shows them."]
    try:
        read(path)
    except (OSError, ValueError) as error:
        return [f"{told(error, path)}."]
    return []


def _look_at_recording(
    found: Findings, path: Path, sentences: Mapping[str, Sentence], *, voice: str, model: str
) -> None:
    fault = _fault(path)
    if fault:
        found.faults += fault
        return
    language, place = path.parents[1].name, path.parents[2]
    sentence = sentences[path.stem]
    if sentence.language != language:
        return  # another language's, whose sentences are not the question
    known = sounds.recording(place, path.stem, language)
    if known is None:
        found.faults.append(f"{path} has no note that tells what it says; record it again.")
    elif known.text != sentence.text:
        found.faults.append(f'{path} says "{known.text}", and the sentence is another one now; record it again.')
    elif (known.voice, known.model) != (voice, model):
        was = f"the voice {known.voice} of {known.model}"
        found.notes.append(f"{path} was recorded with {was}; it is played all the same.")
