"""How well wake words are heard, on synthetic voices; `python tests/wakewords.py` prints the tables of docs/wake.md.

    said = utterance("okay nabu", voice="flite:slt", wpm=165, room=True)
    heard = listen(WakeDetector([find("okay_nabu")]), said.sound)     # every Heard, and the sample that decided it

Voices are ten of espeak-ng at two speeds and five of flite. "clean" is the voice at -26 dBFS in silence; "room" is the
voice from 2.5 m in a room of 0.4 s reverberation at -32 dBFS, in pink noise 30 dB below it. It takes some two minutes.
"""
# ruff: noqa: T201  run as a program it prints its tables

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import acoustics
import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.echo import open_canceller
from edge_agent.audio.wavfile import resample
from edge_agent.wake import Heard, WakeDetector, find

RATE = 16_000
PHRASES = {
    "okay_nabu": "okay nabu",
    "hey_jarvis": "hey jarvis",
    "hey_mycroft": "hey mycroft",
    "alexa": "alexa",
}
ESPEAK = tuple(
    (voice, wpm)
    for voice in (
        "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029",
        "en-us+f2", "en-us+f4", "en-gb+f3", "en-us+m3", "en-gb+m7",
    )
    for wpm in (150, 180)
)  # fmt: skip
FLITE = tuple((f"flite:{voice}", 165) for voice in ("kal", "kal16", "awb", "rms", "slt"))
OTHER_TALK = (
    "Okay, now book a table for two at seven.",
    "Okay, Nathan, put the book on the table.",
    "Hey Marvin, did you see my jacket anywhere?",
    "Hey Jarvin, are you coming with us?",
    "Hey Michael, lift the croft door a little.",
    "Alex, a letter came for you this morning.",
    "The museum opens at ten and closes at six.",
    "Could somebody please turn the light off in the hall?",
    "I think it is going to rain all afternoon.",
    "She said the answer was on the second page.",
    "There are three trains in the morning, and the last is the fastest.",
    "A good deal of patience is needed to bake bread.",
)
"""The first six sound like the words; nobody calls the device in any of them."""

_ANSWER = (
    "The kettle was put on at seven, and the whole house smelled of toast before anyone had said a word. "
    "There are three trains in the morning, two of them stop at the harbour, and the last is the fastest by far."
)
_BEFORE_S, _AFTER_S = 1.0, 1.0


@dataclass(frozen=True, slots=True)
class Utterance:
    """Sound of int16 at 16 kHz, and the sample at which the voice ends in it."""

    sound: NDArray[np.int16]
    end: int


@functools.lru_cache(maxsize=512)
def utterance(text: str, *, voice: str, wpm: int, room: bool) -> Utterance:
    """Return a sentence with a second before and after it."""
    said = acoustics.speech(text, voice=voice, wpm=wpm, dbfs=-26)
    rate = acoustics.RATE_HZ
    padded = np.concatenate((np.zeros(round(_BEFORE_S * rate)), said, np.zeros(round(_AFTER_S * rate))))
    if room:
        padded = acoustics.convolve(padded, _room())
        padded *= 10 ** ((-32 - acoustics.active_level(padded)) / 20)
        padded += acoustics.pink(len(padded) / rate, dbfs=-62, seed=7)[: len(padded)]
    sound = np.clip(np.rint(resample(padded.astype(np.float32), rate, RATE) * 32768), -32768, 32767).astype(np.int16)
    return Utterance(sound, round((_BEFORE_S + len(said) / rate) * RATE))


def listen(detector: WakeDetector, sound: NDArray[np.int16], block: int = 320) -> list[tuple[int, Heard]]:
    """Return all that a fresh detector hears, each with the sample at which it was decided."""
    detector.reset()
    found = []
    for start in range(0, len(sound), block):
        part = sound[start : start + block]
        found += [(start + len(part) - heard.ago, heard) for heard in detector.hear(part)]
    return found


@dataclass(frozen=True, slots=True)
class Score:
    """Of one word on some voices: how many there were, how many fired, and how long after the voice's end, in ms."""

    said: int
    hits: int
    twice: int
    late_ms: tuple[float, ...]


def score(word: str, voices: Sequence[tuple[str, int]], *, room: bool, sensitivity: float = 0.5) -> Score:
    """Say a word in each voice and count."""
    detector = WakeDetector([find(word)], sensitivity=sensitivity)
    hits, twice, late = 0, 0, []
    for voice, wpm in voices:
        said = utterance(PHRASES[word], voice=voice, wpm=wpm, room=room)
        fired = [at for at, heard in listen(detector, said.sound) if heard.fired]
        hits += bool(fired)
        twice += len(fired) > 1
        late += [(at - said.end) / RATE * 1e3 for at in fired[:1]]
    return Score(len(voices), hits, twice, tuple(late))


def false_accepts(word: str, voices: Sequence[tuple[str, int]], *, room: bool, sensitivity: float = 0.5) -> Score:
    """Say what is not the word, in each voice; hits are false."""
    detector = WakeDetector([find(word)], sensitivity=sensitivity)
    said, hits = 0, 0
    for voice, wpm in voices:
        for sentence in OTHER_TALK:
            sound = utterance(sentence, voice=voice, wpm=wpm, room=room).sound
            said += 1
            hits += sum(heard.fired for _, heard in listen(detector, sound))
    return Score(said, hits, 0, ())


def during_answer(word: str, voices: Sequence[tuple[str, int]], *, ser_db: float, ducked: bool) -> Score:
    """Say a word 4 s into an answer of the device, whose echo is louder by -ser_db, on AEC3's output.

    `ducked`: the answer falls by 18 dB 200 ms into the word, as it does where the device suspects a voice.

    Only what fires from the word's beginning on counts as a hit; what fires before counts in `twice`.
    """
    rate = acoustics.RATE_HZ
    detector = WakeDetector([find(word)])
    answer = acoustics.speech(_ANSWER, voice="en-us", dbfs=-22)
    beside = acoustics.image_rir((5.0, 4.0, 2.5), rt60_s=0.4, source_m=(1.38, 1.7, 1.0), mic_m=(1.3, 1.7, 1.0))
    beside = np.concatenate((np.zeros(round(0.06 * rate)), beside))
    hits, early, late = 0, 0, []
    for voice, wpm in voices:
        said = acoustics.speech(PHRASES[word], voice=voice, wpm=wpm, dbfs=-26)
        begin, count = 4 * rate, 4 * rate + len(said) + rate
        far = answer[:count].copy()
        if ducked:
            far[begin + rate // 5 :] *= 10 ** (-18 / 20)
        person = np.concatenate((np.zeros(begin), said, np.zeros(count - begin - len(said))))
        person, loud, echo = (
            acoustics.convolve(*pair) for pair in ((person, _room()), (answer[:count], beside), (far, beside))
        )
        person *= 10 ** ((-32 - acoustics.active_level(person)) / 20)
        echo /= acoustics.to_ser(person, loud, ser_db)
        near = person + echo + acoustics.pink(count / rate, dbfs=-62, seed=7)[:count]
        canceller = open_canceller("software")
        assert canceller is not None
        clean = canceller.process(*(_at_16k(one) for one in (near, far)))
        fired = [at for at, heard in listen(detector, clean) if heard.fired]
        hit = [at for at in fired if at >= 4 * RATE]
        hits += bool(hit)
        early += len(fired) - len(hit)
        late += [(at - (begin + len(said)) / rate * RATE) / RATE * 1e3 for at in hit[:1]]
    return Score(len(voices), hits, early, tuple(late))


def _at_16k(sound: NDArray[np.float64]) -> NDArray[np.int16]:
    """Return whole blocks of int16 at 16 kHz."""
    found = np.clip(np.rint(resample(sound.astype(np.float32), acoustics.RATE_HZ, RATE) * 32768), -32768, 32767)
    return found[: len(found) // 160 * 160].astype(np.int16)


@functools.cache
def _room() -> NDArray[np.float64]:
    return acoustics.image_rir((5.0, 4.0, 2.5), rt60_s=0.4, source_m=(3.7, 2.3, 1.5), mic_m=(1.3, 1.7, 1.0))


def tables() -> Iterator[str]:
    """Yield the lines of the page's tables."""
    yield "| word | espeak-ng clean, room | flite clean, room | false, clean and room | fires after the word's end |"
    yield "|---|---|---|---|---|"
    for word in PHRASES:
        cells, late = [], []
        for voices in (ESPEAK, FLITE):
            pair = [score(word, voices, room=room) for room in (False, True)]
            cells.append(", ".join(f"{one.hits}/{one.said}" for one in pair))
            late += [ms for one in pair for ms in one.late_ms]
        false = [false_accepts(word, ESPEAK[::2] + FLITE, room=room) for room in (False, True)]
        cells.append(", ".join(f"{one.hits}/{one.said}" for one in false))
        spread = f"{statistics.median(late):.0f} ms ({min(late):.0f} to {max(late):.0f})"
        yield f"| {word} | {' | '.join(cells)} | {spread} |"
    yield ""
    yield "| sensitivity | okay_nabu heard | false | hey_jarvis heard | false |"
    yield "|---|---|---|---|---|"
    for sensitivity in (0.0, 0.25, 0.5, 0.75, 1.0):
        cells = []
        for word in ("okay_nabu", "hey_jarvis"):
            heard = score(word, ESPEAK + FLITE, room=True, sensitivity=sensitivity)
            false = [false_accepts(word, ESPEAK[::2] + FLITE, room=True, sensitivity=sensitivity)]
            cells += [f"{heard.hits}/{heard.said}", f"{false[0].hits}/{false[0].said}"]
        yield f"| {sensitivity} | {' | '.join(cells)} |"
    yield ""
    yield "| speech over echo | okay_nabu, answer goes on | answer is ducked | alexa, answer goes on | ducked | false |"
    yield "|---|---|---|---|---|---|"
    for ser_db in (0, -5, -10, -20):
        both = [
            during_answer(word, ESPEAK + FLITE, ser_db=ser_db, ducked=ducked)
            for word in ("okay_nabu", "alexa")
            for ducked in (False, True)
        ]
        cells = [*(f"{one.hits}/{one.said}" for one in both), str(sum(one.twice for one in both))]
        yield f"| {ser_db} dB | {' | '.join(cells)} |"
    yield ""
    yield "| words | 20 ms blocks | 40 ms | 100 ms |"
    yield "|---|---|---|---|"
    for words in (("okay_nabu",), ("okay_nabu", "hey_jarvis", "alexa")):
        cells = [f"{cost_ms(words, 16 * ms):.1f} ms/s" for ms in (20, 40, 100)]
        yield f"| {len(words)} | {' | '.join(cells)} |"


def cost_ms(words: Sequence[str], block: int) -> float:
    """Return processor time in ms per second of sound: the least of five runs of 20 s."""
    noise = (np.random.default_rng(3).standard_normal(20 * RATE) * 800).astype(np.int16)
    detector = WakeDetector([find(word) for word in words])
    blocks = np.split(noise, range(block, len(noise), block))
    times = []
    for _ in range(5):
        begun = time.process_time()
        for one in blocks:
            detector.hear(one)
        times.append(time.process_time() - begun)
    return min(times) / 20 * 1e3


if __name__ == "__main__":
    for line in tables():
        print(line, flush=True)
