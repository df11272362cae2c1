"""The sound of the device's own sentences, from the best source there is: owner, recording, espeak-ng, or none.

    found = prompts.sentence("fault-4", "de", folder)
    utterance = utter("fault-4", found, config)      # in a thread
    utterance.speech                                 # s16le mono at 24 kHz, as the engine takes it without more work
    utterance.source                                 # "own", "recorded", "espeak-ng"; "none" without a voice

    speech = await spoken("Dinner is ready.", "de")  # any other text: by espeak-ng, at 24 kHz

A WAV that cannot be played (no WAV, a coding that is not read, empty, longer than `MAX_S`) is passed over with a
sentence in the log, and the next source speaks. The places are the owner's folder and `prompts` in the state folder.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_agent import prompts
from edge_agent.audio.wavfile import encode, read_wav, resample, to_s32
from edge_agent.config import Config
from edge_agent.prompts import Sentence, sounds
from edge_agent.prompts.voice import Speech
from edge_agent.service.state import default_folder

log = logging.getLogger(__name__)

RATE = 24_000  # of the playback queue
MAX_S = 15.0  # the longest sentence lasts 8 s; nobody waits longer for a device that cannot talk


class Utterance(NamedTuple):
    """What is played for a sentence, where it is from, and the file where it is one."""

    source: Literal["own", "recorded", "espeak-ng", "none"]
    speech: Speech | None
    path: Path | None = None


def places(config: Config) -> list[Path]:
    """Return the folders in which sounds are looked for, the owner's first."""
    return [config.prompts_folder, default_folder() / "prompts"]


def utter(name: str, sentence: Sentence, config: Config) -> Utterance:
    """Return the sound of a sentence; blocks for a tenth of a second or more, call it in a thread.

    Args:
        name: of the sentence.
        sentence: as `prompts.sentence` found it.
        config: the configuration in force.
    """
    for wav in sounds.sources(name, sentence, config.conversation.prompts, places(config)):
        try:
            return Utterance("own" if wav.own else "recorded", read(wav.path), wav.path)
        except (OSError, ValueError) as error:
            log.warning("%s; the next voice speaks", told(error, wav.path))
    speech = _by_espeak(sentence.text, sentence.language)
    return Utterance("none" if speech is None else "espeak-ng", speech)


async def spoken(text: str, language: str) -> Speech | None:
    """Return a text as espeak-ng speaks it, at 24 kHz; None if there is no voice."""
    return await asyncio.to_thread(_by_espeak, text, language)


def read(path: Path) -> Speech:
    """Read the WAV of a sentence: any rate, any number of channels.

    Raises:
        ValueError: not a WAV that can be read, empty, or too long.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > sounds.MAX_WAV_BYTES:
        raise ValueError(
            f"{path} has more than {sounds.MAX_WAV_BYTES / 1e6:g} MB; a sentence lasts {MAX_S:g} s at most"
        )
    samples, rate = read_wav(path)
    if not len(samples):
        raise ValueError(f"{path} holds no sound")
    if len(samples) > MAX_S * rate:
        raise ValueError(f"{path} lasts {len(samples) / rate:.1f} s; a sentence lasts {MAX_S:g} s at most")
    return Speech(s16(samples.mean(axis=1), rate), RATE)


def s16(samples: NDArray[np.float32], rate: int) -> bytes:
    """Return mono sound of full scale -1.0 to 1.0, shape (n,), as s16le at 24 kHz."""
    return encode(to_s32(resample(samples, rate, RATE)), 16)


def told(error: OSError | ValueError, path: Path) -> str:
    """Return what is wrong with a file, without a full stop."""
    return f"{path} cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)


def _by_espeak(text: str, language: str) -> Speech | None:
    speech = prompts.speak(text, language)
    if speech is None or speech.rate == RATE:
        return speech
    samples = np.frombuffer(speech.pcm, "<i2").astype(np.float32) / np.float32(32_768)
    return Speech(s16(samples, speech.rate), RATE)
