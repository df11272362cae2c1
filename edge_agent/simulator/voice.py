"""The twin's local voice: what was said is understood by a grammar, what is answered is spoken by espeak-ng.

No network, no model beyond what the packages bring: pocketsphinx (optional, `pip install pocketsphinx`) with the JSGF
grammar `data/commands.gram`, and the espeak-ng program (optional, `apt install espeak-ng`). It is honest about what it
is: a dozen commands, and one sentence for everything else. Where a part is absent, `why_deaf` and `why_mute` say so in
a sentence; an absent espeak-ng is replaced by tones, so that a script still runs.

`brain(voice)` gives a script's brain: it hears the turn in a worker thread, so that the twin goes on serving.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import importlib.util
import io
import logging
import re
import shutil
import subprocess
import wave
from collections.abc import AsyncIterator, Callable, Iterable
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from edge_agent.simulator.script import Brain, Call, FunctionCall, Hear, Say, Step, Turn
from edge_agent.simulator.sound import ANSWER_RATE, HEARD_RATE, babble, from_pcm, resample, rms_dbfs, to_pcm

log = logging.getLogger(__name__)

SPEAKING_DEADLINE_S = 20.0
UNKNOWN = "I only know a few phrases here, and that was none of them. Try: what time is it."
NOTHING = "I heard nothing."

_FLOOR = 20.0 / 32768.0  # RMS of the noise floor, about -64 dBFS

_STORY = (
    "Once there was a lighthouse keeper who counted the ships every night. One night he counted one too many, "
    "and went out to see. It was the moon, he said, lying on the water, and she had only come to say good evening. "
    "From then on he kept a place for her in his book, between the mail boat and the fishermen."
)


def why_mute() -> str:
    """Say why text cannot be spoken on this machine; empty when it can."""
    if shutil.which("espeak-ng"):
        return ""
    return "espeak-ng is not installed, so tones stand in for the voice: install it with `apt install espeak-ng`"


def why_deaf() -> str:
    """Say why speech cannot be understood on this machine; empty when it can."""
    if importlib.util.find_spec("pocketsphinx"):
        return ""
    return "pocketsphinx is not installed, so speech is not understood: install it with `pip install pocketsphinx`"


@lru_cache(maxsize=64)  # sentences of 100 kB
def speak(text: str, *, language: str = "en") -> bytes:
    """Return text as 24 kHz s16le mono from espeak-ng, or tones of the same length where it is absent.

    Blocks for some ten milliseconds a sentence; call it off the event loop.
    """
    if not text.strip():
        return b""
    if why_mute():
        log.warning("%s", why_mute())
        return babble(text)
    command = ["espeak-ng", "-v", language, "-s", "165", "--stdin", "--stdout"]
    try:
        spoken = subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=SPEAKING_DEADLINE_S, check=True
        )
        pcm, rate = _wav(spoken.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.warning("espeak-ng did not speak (%s), tones stand in for it", error)
        return babble(text)
    return resample(pcm, rate, ANSWER_RATE)


async def voiced(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps with the sound of their text, spoken in a worker thread."""
    spoken: list[Step] = []
    for step in steps:
        if isinstance(step, Say) and step.sound is None:
            spoken.append(dataclasses.replace(step, sound=await asyncio.to_thread(speak, step.text)))
        elif isinstance(step, Call) and step.reply:
            spoken.append(dataclasses.replace(step, reply=await voiced(step.reply)))
        else:
            spoken.append(step)
    return tuple(spoken)


def _wav(data: bytes) -> tuple[bytes, int]:
    """Read espeak-ng's WAV, whose sizes are unknown when it is written to a pipe."""
    try:
        with wave.open(io.BytesIO(data), "rb") as sound:
            return sound.readframes(sound.getnframes()), sound.getframerate()
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV stream: {error}") from None


class Ear:
    """Understands 16 kHz sound as one phrase of the grammar; what only begins like one is not understood.

    A grammar must fit what it hears to something: a sentence that sounds much like a phrase is taken for it.

    Raises:
        RuntimeError: pocketsphinx is absent; the sentence of `why_deaf`.
    """

    def __init__(self) -> None:
        if why_deaf():
            raise RuntimeError(why_deaf())
        from pocketsphinx import Decoder  # noqa: PLC0415  optional, and 40 MB once loaded

        grammar = resources.files("edge_agent.simulator") / "data" / "commands.gram"
        with resources.as_file(grammar) as path:
            self._decoder: Any = Decoder(jsgf=str(path), samprate=HEARD_RATE, cmn="batch", loglevel="FATAL")

    def hear(self, pcm: bytes) -> str:
        """Return the phrase in 16 kHz s16le mono, empty where it is none of the grammar; blocks for about 0.1 s."""
        if rms_dbfs(from_pcm(pcm)) < -60.0:  # nobody spoke
            return ""
        padded = np.pad(from_pcm(pcm), HEARD_RATE * 3 // 10)
        # The acoustic model never met digital silence: without a noise floor nothing is recognised.
        floor = np.random.Generator(np.random.PCG64(1)).normal(0.0, _FLOOR, len(padded))
        self._decoder.start_utt()
        self._decoder.process_raw(to_pcm(padded + floor), no_search=False, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        phrase = str(found.hypstr) if found is not None else ""
        return phrase if _COMPLETE.fullmatch(phrase) else ""


def reply(phrase: str, turn: Turn, now: dt.datetime) -> tuple[Step, ...]:
    """Return the steps that answer a phrase of the grammar."""
    for pattern, make in _REPLIES:
        found = re.search(pattern, phrase)
        if found:
            return make(found, turn, now)
    return (Say(UNKNOWN),)


def _time(_: re.Match[str], __: Turn, now: dt.datetime) -> tuple[Step, ...]:
    return (Say(f"It is {now:%H:%M}."),)


def _date(_: re.Match[str], __: Turn, now: dt.datetime) -> tuple[Step, ...]:
    return (Say(f"Today is {now:%A}, the {now.day} of {now:%B}."),)


def _see(_: re.Match[str], turn: Turn, __: dt.datetime) -> tuple[Step, ...]:
    if not turn.images:
        return (Say("No picture came with your question, so I see nothing."),)
    size = len(turn.images[-1])
    return (Say(f"I got a picture of {round(size / 1000)} kilobytes, but this twin cannot look at pictures."),)


def _light(found: re.Match[str], turn: Turn, _: dt.datetime) -> tuple[Step, ...]:
    wanted = found.group(1) == "on"
    declared = {
        declaration.get("name")
        for tool in turn.setup.get("tools", [])
        for declaration in tool.get("functionDeclarations", [])
    }
    for name in ("set_light", "set_led"):
        if name in declared:
            done = Say(f"The light is {found.group(1)}.")
            return (Call((FunctionCall(name, {"on": wanted}),)), done)
    return (Say("This device has declared no tool for its light."),)


def _fixed(text: str) -> Callable[[re.Match[str], Turn, dt.datetime], tuple[Step, ...]]:
    return lambda _, __, ___: (Say(text),)


_REPLIES: tuple[tuple[str, Callable[[re.Match[str], Turn, dt.datetime], tuple[Step, ...]]], ...] = (
    ("what time is it", _time),
    ("what day is it", _date),
    ("what do you see|what is this", _see),
    ("turn the light (on|off)", _light),
    ("tell me a story", _fixed(_STORY)),
    ("tell me a joke", _fixed("I would tell you a joke about silence, but nobody ever hears it.")),
    ("who are you", _fixed("I am the local voice of the Live A P I twin. I run on this machine alone.")),
    ("how are you", _fixed("All my queues are empty. That is as well as I can be.")),
    ("good morning", _fixed("Good morning!")),
    ("good night", _fixed("Good night. Sleep well.")),
    ("hello", _fixed("Hello! Ask me what time it is.")),
    ("thank you", _fixed("You are welcome.")),
    ("stop", _fixed("All right.")),
    ("good bye", _fixed("Good bye.")),
)

_COMPLETE = re.compile("(?:please )?(?:" + "|".join(pattern for pattern, _ in _REPLIES) + ")")


def brain(*, ear: Ear | None = None, clock: Callable[[], dt.datetime] | None = None) -> Brain:
    """Make a script's brain of the local voice; without an ear it answers typed text only, and says so to speech."""
    tell_time = clock or (lambda: dt.datetime.now().astimezone())
    lock = asyncio.Lock()  # the decoder serves one turn at a time

    async def answer(turn: Turn) -> AsyncIterator[Step]:
        if turn.kind == "text":
            phrase = re.sub(r"[^a-z ]", "", turn.text.lower()).strip()
        elif ear is None:
            yield Say("I cannot understand speech here. Please type.")
            return
        else:
            async with lock:
                phrase = await asyncio.to_thread(ear.hear, turn.audio)
            turn.text = phrase
            yield Hear(phrase or "[not understood]")
            if rms_dbfs(from_pcm(turn.audio)) < -60.0:
                yield Say(NOTHING)
                return
        for step in reply(phrase, turn, tell_time()):
            yield step

    return answer
