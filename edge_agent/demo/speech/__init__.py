"""What the demo's visitors say: recordings of 16 kHz, mono, made by `scripts/make-speech`, and their words.

The words are phrases the twin's local voice understands, spoken by other voices than the device's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.wavfile import read_wav

RATE_HZ = 16_000
FIRST_VISITOR, SECOND_VISITOR = "first visitor", "second visitor"


@dataclass(frozen=True, slots=True)
class Utterance:
    """A recording: its name, who speaks, and the words."""

    name: str
    speaker: str
    text: str


UTTERANCES: dict[str, Utterance] = {
    utterance.name: utterance
    for utterance in (
        Utterance("time", FIRST_VISITOR, "what time is it"),
        Utterance("see", FIRST_VISITOR, "what do you see"),
        Utterance("story", FIRST_VISITOR, "tell me a story"),
        Utterance("day", FIRST_VISITOR, "what day is it"),
        Utterance("joke", FIRST_VISITOR, "please tell me a joke"),
        Utterance("who", FIRST_VISITOR, "who are you"),
        Utterance("hello", SECOND_VISITOR, "good morning"),
    )
}


@lru_cache
def recording(name: str) -> NDArray[np.float32]:
    """Return the samples of an utterance, float32 (n,), 16 kHz, full scale -1 to 1. KeyError: no such utterance."""
    UTTERANCES[name]
    with resources.as_file(resources.files(__package__) / f"{name}.wav") as path:
        samples, _ = read_wav(path)
    return samples[:, 0]
