"""The sound study's test set, made by script: who speaks where, over which answer, through which loudspeaker and room.

    for case in interruptions("held-out"):          # 120 people who talk over an answer
        scene = build(case, folder)                 # room file, answer at 24 kHz, person at the microphone at 48 kHz

Nothing is stored: voices are espeak-ng's and flite's, rooms come from the image method, and every number is drawn from
the case's own seed, so a case is the same on each machine that has the same voices. Two halves share no voice,
sentence, room size or seed: `training`, on which thresholds may be chosen, and `held-out`, for the report.

What is spread evenly over the interruptions: speech-to-echo ratio, delay and distortion (each of the 60 combinations
twice in 120). Drawn by lot: room, reverberation, places, voices, sentences, levels, noise; every fourth case has a
loudspeaker clock 50 ppm fast, every sixth an echo path that grows 40 ms longer in mid-answer.

Levels are those behind the microphone's gain, as `edge-agent calibrate` sets it: a person at -30 to -25 dBFS (active
level), less where the peaks of a loud echo would not fit. Loudspeakers are small: below 200 to 450 Hz they fall off by
12 dB an octave.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from acoustics import RATE_HZ, Sound, active_level, convolve, image_rir, level, pink, save_rir, speech
from numpy.typing import NDArray

from edge_agent.audio.echopath import distort
from edge_agent.audio.wavfile import resample, write_wav

Half = Literal["training", "held-out"]
Kind = Literal[
    "interruption",
    "early",
    "reply",
    "silence",
    "television",
    "babble",
    "person",
    "word",
    "over voices",
    "answer over voices",
    "voices begin",
]
_KINDS: tuple[Kind, ...] = get_args(Kind)
Voices = Literal["", "television", "two people"]

ANSWER_HZ = 24_000
SER_DB = (0, -5, -10, -15, -20)
DELAY_MS = (20, 60, 120, 250)
DISTORTION = (0.0, 0.3, 0.8)
INTERRUPTIONS = {"training": 60, "held-out": 120}
EARLY = {"training": 12, "held-out": 24}
VOICES: tuple[Voices, ...] = ("television", "two people")
UNDER_DB = (8, 12, 16, 20)
"""How far other voices in the room are below the person who talks to the device, active level against active level."""
OVER_VOICES = {"training": 48, "held-out": 48}
REPLY_S = 60.0
REPLIES = {"training": 36, "held-out": 36}
"""Answers of a minute that nobody interrupts: half an hour of sound, pauses taken out."""
VOICES_S = 14.0
"""Other voices are heard this long before anybody talks to the device."""
VOICES_BEGIN_S = 3.0
"""Or they begin so long after the answer."""
VOICES_END_S = 15.0

ANSWER_DBFS = -22.0
"""Active level of an answer, as the service speaks."""
PEAKS_DBFS = -1.0
"""Where the peaks of the echo come to at most: calibration lowers the gain until they fit."""
AFTER_S = 2.6
"""How long a case goes on after the person has begun: 1.5 s to be noticed, and some to hear what was sent."""
FOLLOW_UP_S = 40.0

_VOICES: dict[Half, dict[str, tuple[str, ...]]] = {
    "training": {
        "answer": ("en-us", "en-gb+f2", "flite:slt", "en-us+m3", "flite:rms", "en-gb+f4"),
        "person": ("en-us+m1", "en-us+f1", "en-gb+f3", "en-gb", "flite:kal16", "en-us+m4"),
    },
    "held-out": {
        "answer": ("en-gb+m2", "en-us+f3", "flite:awb", "en-us+f5", "en-gb+m7", "en-us+m6"),
        "person": ("en-us+m5", "en-gb+f5", "flite:kal", "en-us+f4", "en-gb-scotland", "en-us+m8"),
    },
}
_ANSWERS: dict[Half, tuple[str, ...]] = {
    "training": (
        (
            "The weather tomorrow will be mostly sunny, with a light breeze from the west. In the afternoon there"
            " may be a few clouds, but no rain is expected before the evening."
        ),
        (
            "Once upon a time there was a small village at the foot of a tall mountain. Every morning the baker "
            "opened his shop, and the smell of fresh bread filled the street."
        ),
        (
            "To make a good tomato soup you need six ripe tomatoes, an onion and two cloves of garlic. First you "
            "chop the onion and fry it gently until it is golden."
        ),
        (
            "A violin has four strings, and each of them is tuned a fifth above the one below. Learning to play "
            "it takes patience, because there are no frets to guide the fingers."
        ),
    ),
    "held-out": (
        (
            "The moon is about three hundred and eighty four thousand kilometres away. Light needs a little more "
            "than one second for that, and a car on the motorway about half a year."
        ),
        (
            "Your first appointment is at nine thirty with the dentist. After that you have lunch with Maria, and"
            " at four o'clock the plumber comes to look at the kitchen."
        ),
        (
            "Bees dance to tell each other where flowers are. The angle of the dance gives the direction from the"
            " sun, and the longer the bee waggles, the further away the meadow is."
        ),
        (
            "The bridge was built in eighteen ninety two by two brothers from the valley. It is ninety metres "
            "long, and on windy days you can hear its cables hum from far away."
        ),
    ),
}
_WORDS: dict[Half, tuple[str, ...]] = {
    "training": (
        "Wait, stop, that is enough.",
        "Hold on a second please.",
        "No, that's not what I meant.",
        "Can you tell me something else?",
        "Sorry, I have another question.",
        "What about the day after tomorrow?",
    ),
    "held-out": (
        "Okay thanks, I know that already.",
        "Stop talking now, please.",
        "Hang on, who is coming at four?",
        "Never mind, play some music instead.",
        "Excuse me, how far is it again?",
        "All right, that will do for today.",
    ),
}
QUESTION = "What do you know about that?"
WAKE_WORD = "Okay Nabu."
_WAKE_VOICES = (
    *("en-us", "en-us+m1", "en-us+f3", "en-gb", "en-gb+m7", "en-gb+f4", "en-us+m5", "en-gb-scotland"),
    *("flite:slt", "flite:rms", "flite:awb", "flite:kal"),
)
_NEARLY = (
    "Okay, now book a table for two.",
    "Okay never mind.",
    "They nabbed him, okay?",
    "Hey, Marvin called again.",
    "I am okay, thank you.",
    "The boy had no clue about that.",
    "Okay, not blue but green.",
    "Tell me about Nairobi.",
)
_ROOMS: dict[Half, tuple[tuple[float, float, float], ...]] = {
    "training": ((3.4, 2.8, 2.5), (4.6, 3.6, 2.6), (6.4, 5.0, 2.8)),
    "held-out": ((3.0, 2.5, 2.4), (5.0, 4.1, 2.5), (7.4, 5.6, 3.0)),
}
_RT60_S = ((0.25, 0.40), (0.30, 0.50), (0.40, 0.60))  # small, middle and large room
_WITH_VOICES = {"over voices", "answer over voices", "voices begin"}
_ANSWERED = {"reply", "interruption", "early", *_WITH_VOICES}
_VOICES_LOOP_S = 45.0  # after that the room hears them again
_UNLIKE_DB = 3.0  # a sentence may be so much louder or softer than the next
_WALL_M = 0.3  # nobody stands nearer than this to a wall


@dataclass(frozen=True, slots=True)
class Case:
    """One recording session that never took place; lengths in metres, times in seconds."""

    kind: Kind
    half: Half
    number: int
    ser_db: int
    delay_ms: int
    distortion: float
    room_m: tuple[float, float, float]
    rt60_s: float
    loudspeaker_m: float
    person_m: float
    loudspeaker_hz: float
    person_dbfs: float
    snr_db: float
    drift_ppm: float
    jump_at_s: float | None
    onset_s: float
    answer_voice: str
    person_voice: str
    words: str
    seed: int
    voices: Voices = ""
    under_db: int = 0

    @property
    def name(self) -> str:
        """For messages: kind, number and what is hard about it."""
        jump = " jump" if self.jump_at_s is not None else ""
        voices = f" {self.voices} {self.under_db} dB below" if self.voices else ""
        return (
            f"{self.half} {self.kind} {self.number}: SER {self.ser_db}, {self.delay_ms} ms, "
            f"distortion {self.distortion:g}{jump}{voices}, {self.person_voice} over {self.answer_voice}"
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """What a case sounds like.

    `answer` is s16 (n,) at 24 kHz; `near` (n,) float32 at 48 kHz, as it reaches the microphone, from second 0 on.
    `question` (n,) is alike: the same person, who asks what is answered. Other people and their television are in the
    room's file, as part of its noise: they never rest. `onset_s` is when the person becomes audible there (None: nobody
    speaks), `words_s` when they have finished.
    """

    room: Path
    answer: NDArray[np.int16]
    near: NDArray[np.float32]
    question: NDArray[np.float32]
    seconds: float
    onset_s: float | None
    words_s: float | None
    noise_dbfs: float
    before_s: float = 0.0
    """The room is heard so long before anybody talks to the device."""


def interruptions(half: Half) -> list[Case]:
    """People who begin to speak 2.2 to 5 s after the answer."""
    return [_case("interruption", half, number) for number in range(INTERRUPTIONS[half])]


def early(half: Half) -> list[Case]:
    """People who begin to speak in the first second of the very first answer, SER 0 to -10 dB."""
    return [_case("early", half, number) for number in range(EARLY[half])]


def replies(half: Half) -> list[Case]:
    """Answers of a minute while nobody speaks."""
    return [_case("reply", half, number) for number in range(REPLIES[half])]


def rooms_without_answer(half: Half) -> list[Case]:
    """What an open microphone hears after an answer: nothing, a television, other people, and somebody who speaks."""
    kinds: tuple[Kind, ...] = ("silence", "television", "babble", "person")
    return [_case(kind, half, number) for kind in kinds for number in range(4)]


def over_voices(half: Half) -> list[Case]:
    """People who talk over an answer in a room in which a television or two other people talk, SER 0 to -10 dB."""
    return [_case("over voices", half, number) for number in range(OVER_VOICES[half])]


def answers_over_voices(half: Half) -> list[Case]:
    """Answers of a minute in such a room, while nobody talks to the device."""
    return [_case("answer over voices", half, number) for number in range(OVER_VOICES[half] // 2)]


def voices_begin(half: Half) -> list[Case]:
    """Answers in whose midst a television is switched on, or two other people begin to talk."""
    return [_case("voices begin", half, number) for number in range(OVER_VOICES[half] // 2)]


def words(half: Half) -> list[Case]:
    """The wake word, and what sounds like it: near the device, across the room, and over answers."""
    found: list[Case] = []
    places: tuple[Literal["near", "room", "answer"], ...] = ("near", "room", "answer")
    for number, (place, voice) in enumerate(itertools.product(places, _WAKE_VOICES)):
        said = (WAKE_WORD, str(np.random.default_rng(number).choice(_NEARLY)))
        for text in said:
            case = _case("interruption" if place == "answer" else "word", half, len(found))
            case = dataclasses.replace(case, words=text, person_voice=voice, jump_at_s=None, ser_db=SER_DB[number % 3])
            if place != "answer":
                metres, snr_db = (0.7, 30.0) if place == "near" else (2.0, 20.0)
                case = dataclasses.replace(case, onset_s=1.0, person_m=metres, snr_db=snr_db)
            found.append(case)
    return found


def build(case: Case, folder: Path) -> Scene:
    """Make the sounds of a case; the room's file and response come into `folder`."""
    rng = np.random.default_rng([case.seed, 7])
    to_loudspeaker, to_person = _responses(case)
    answer = _answer(case, rng)
    heard = convolve(distort(answer[: 10 * RATE_HZ], case.distortion), to_loudspeaker)
    echo_db = case.person_dbfs - case.ser_db - active_level(heard)
    peak_db = 20 * math.log10(float(np.abs(heard).max())) + echo_db
    less_db = max(0.0, peak_db - PEAKS_DBFS)  # of the microphone's gain: person, noise and echo alike
    case = dataclasses.replace(case, person_dbfs=case.person_dbfs - less_db)
    echo = 10 ** ((echo_db - less_db) / 20)
    seconds = _seconds(case)
    near, onset, over = _near(case, to_person, seconds, rng)
    noise = pink(min(seconds, 20.0), dbfs=case.person_dbfs - case.snr_db, seed=case.seed)
    if case.voices and case.kind != "voices begin":
        noise = np.resize(noise, round(_VOICES_LOOP_S * RATE_HZ)) + _others(case)
    name = f"{case.half}-{case.kind}-{case.number}"
    save_rir(folder / f"{name}-rir.wav", to_loudspeaker)
    write_wav(folder / f"{name}-noise.wav", noise, RATE_HZ, bits=32)
    unit = echo * float(np.linalg.norm(to_loudspeaker))
    jumps = f"jumps = [[{case.jump_at_s:.3f}, 40]]\n" if case.jump_at_s is not None else ""
    file = folder / f"{name}.toml"
    file.write_text(
        f'rir = "{name}-rir.wav"\nnoise = "{name}-noise.wav"\n'
        f"delay_ms = {case.delay_ms}\necho_gain_db = {20 * np.log10(unit):.3f}\n"
        f"distortion = {case.distortion}\ndrift_ppm = {case.drift_ppm}\n{jumps}"
    )
    pcm = np.rint(resample(answer.astype(np.float32), RATE_HZ, ANSWER_HZ) * 32_767).astype(np.int16)
    return Scene(
        file,
        pcm,
        near.astype(np.float32),
        _at_microphone(case, QUESTION, 165, to_person).astype(np.float32),
        seconds,
        onset,
        over,
        case.person_dbfs - case.snr_db,
        VOICES_S if case.voices and case.kind != "voices begin" else 0.0,
    )


def _case(kind: Kind, half: Half, number: int) -> Case:
    seed = 300_000 * (half == "held-out") + 1_000 * _KINDS.index(kind) + number
    rng = np.random.default_rng(seed)
    sers = SER_DB[:3] if kind in {"early", *_WITH_VOICES} else SER_DB
    ser = sers[number % len(sers)]
    row = number // len(sers)
    size = int(rng.integers(3))
    low, high = _RT60_S[size]
    person = float(rng.uniform(-30, -25))
    onset = float(rng.uniform(0.35, 0.9) if kind == "early" else rng.uniform(2.2, 5.0))
    jumps = kind in {"interruption", "reply"} and number % 6 == 4
    bent = number + number // 3 if kind in {"reply", "answer over voices"} else row // len(DELAY_MS)
    voices = _VOICES[half]
    others: Voices = VOICES[row // len(UNDER_DB) % len(VOICES)] if kind in _WITH_VOICES else ""
    under = UNDER_DB[row % len(UNDER_DB)] if others else 0
    return Case(
        kind=kind,
        half=half,
        number=number,
        ser_db=ser,
        delay_ms=DELAY_MS[(row + number if others else row) % len(DELAY_MS)],
        distortion=DISTORTION[bent % len(DISTORTION)],
        room_m=_ROOMS[half][size],
        rt60_s=float(rng.uniform(low, high)),
        loudspeaker_m=float(rng.uniform(0.05, 0.15)),
        person_m=min(float(rng.uniform(0.7, 2.5)), _reach_m(_ROOMS[half][size])),
        loudspeaker_hz=float(rng.choice([200, 300, 450])),
        person_dbfs=person,
        snr_db=under + float(rng.uniform(5, 15)) if others else float(rng.uniform(10, 25)),
        drift_ppm=50.0 if number % 4 == 3 else 0.0,
        jump_at_s=(float(rng.uniform(20, 40)) if kind == "reply" else onset - float(rng.uniform(0.6, 1.4)))
        if jumps
        else None,
        onset_s=onset,
        answer_voice=str(rng.choice(voices["answer"])),
        person_voice=str(rng.choice(voices["person"])),
        words=str(rng.choice(_WORDS[half])),
        seed=seed,
        voices=others,
        under_db=under,
    )


def _reach_m(room_m: tuple[float, float, float]) -> float:
    """Return how far from the microphone a person can stand, wherever it is."""
    return 0.9 * math.hypot(0.7 * room_m[0] - _WALL_M, 0.7 * room_m[1] - _WALL_M)


def _seconds(case: Case) -> float:
    match case.kind:
        case "reply" | "answer over voices":
            return REPLY_S
        case "voices begin":
            return VOICES_END_S
        case "silence" | "television" | "babble" | "person":
            return FOLLOW_UP_S
    return case.onset_s + AFTER_S


def _responses(case: Case) -> tuple[Sound, Sound]:
    """Return the responses from the loudspeaker and from the person to the microphone."""
    rng = np.random.default_rng([case.seed, 3])
    size = np.asarray(case.room_m)
    while True:
        microphone = np.append(size[:2] * rng.uniform(0.3, 0.7, 2), rng.uniform(0.7, 1.0))
        angle = rng.uniform(0, 2 * np.pi)
        away = np.array([np.cos(angle), np.sin(angle), 0.0]) * case.person_m
        person = microphone + away + (0, 0, rng.uniform(0.1, 0.7))
        if np.all(person > _WALL_M) and np.all(person < size - _WALL_M):
            break
    turn = rng.uniform(0, 2 * np.pi)
    loudspeaker = microphone + case.loudspeaker_m * np.array([np.cos(turn), np.sin(turn), 0.0])
    near = _response(case, person, microphone)
    return _small(_response(case, loudspeaker, microphone), case.loudspeaker_hz), near


def _response(case: Case, source: Sound, microphone: Sound) -> Sound:
    points = [(float(x), float(y), float(z)) for x, y, z in (source, microphone)]
    return image_rir(case.room_m, rt60_s=round(case.rt60_s, 2), source_m=points[0], mic_m=points[1])


def _small(response: Sound, cut_hz: float) -> Sound:
    """Return a response through a small loudspeaker: a Butterworth high-pass of second order."""
    size = 1 << (len(response) + 2_048).bit_length()
    turns = 1j * np.fft.rfftfreq(size, 1 / RATE_HZ) / cut_hz
    gain = turns**2 / (1 + np.sqrt(2) * turns + turns**2)
    small: Sound = np.fft.irfft(np.fft.rfft(response, size) * gain, size)[: len(response)]
    return small


def _answer(case: Case, rng: np.random.Generator) -> Sound:
    """Return the answer at 48 kHz: all sentences of the half in some order, with pauses, as long as the case needs."""
    pieces: list[Sound] = []
    wanted = _seconds(case) if case.kind in _ANSWERED else 10.0  # for the echo's level
    texts = list(_ANSWERS[case.half])
    while sum(map(len, pieces)) < wanted * RATE_HZ:
        rng.shuffle(texts)
        wpm = int(rng.integers(155, 185))
        for text in texts:
            pieces.append(_said(text, case.answer_voice, wpm, ANSWER_DBFS))
            pieces.append(np.zeros(int(RATE_HZ * rng.uniform(0.2, 0.6))))
    return np.clip(np.concatenate(pieces)[: round(wanted * RATE_HZ)], -0.99, 0.99)


def _near(
    case: Case, to_person: Sound, seconds: float, rng: np.random.Generator
) -> tuple[Sound, float | None, float | None]:
    """Return what people and television give to the microphone, when the person begins, and when they are done."""
    near = np.zeros(round(seconds * RATE_HZ))
    if case.kind in {"reply", "silence", "answer over voices"}:
        return near, None, None
    if case.kind == "voices begin":
        first = round(VOICES_BEGIN_S * RATE_HZ)
        near[first:] = _others(case)[: len(near) - first]
        return near, None, None
    if case.kind == "television":
        _fill(near, [_talk(case, to_person, seconds, rng)], case.person_dbfs - rng.uniform(6, 14))
        return near, None, None
    if case.kind == "babble":
        _fill(near, [_talk(case, to_person, seconds, rng) for _ in range(4)], case.person_dbfs - rng.uniform(6, 14))
        return near, None, None
    wpm = int(rng.integers(150, 185))
    said = _said(case.words, case.person_voice, wpm, -26.0)
    heard = _at_microphone(case, case.words, wpm, to_person)
    if case.kind == "person":
        _fill(near, [_talk(case, to_person, seconds, rng)], case.person_dbfs - 14)
        begins = 20.0
    else:
        begins = case.onset_s
    first = round(begins * RATE_HZ)
    piece = heard[: len(near) - first]
    near[first : first + len(piece)] += piece
    return near, begins + audible_s(piece, case.person_dbfs), begins + len(said) / RATE_HZ


def _at_microphone(case: Case, text: str, wpm: int, to_person: Sound) -> Sound:
    """Return what the person says as the microphone hears it, with its reverberation."""
    said = _said(text, case.person_voice, wpm, -26.0)
    heard = convolve(np.append(said, np.zeros(len(to_person))), to_person)
    return heard * 10 ** ((case.person_dbfs - active_level(heard)) / 20)


def audible_s(heard: Sound, dbfs: float) -> float:
    """Return when speech of an active level first comes within 20 dB of it, in frames of 10 ms, seconds."""
    size = RATE_HZ // 100
    frames = heard[: len(heard) // size * size].reshape(-1, size)
    loud = np.flatnonzero(np.mean(frames**2, axis=1) > 10 ** ((dbfs - 20) / 10))
    return float(loud[0]) / 100 if len(loud) else 0.0


def _talk(case: Case, response: Sound, seconds: float, rng: np.random.Generator) -> Sound:
    """Return somebody of the other half who talks on and on, through the room."""
    other: Half = "training" if case.half == "held-out" else "held-out"
    voice = str(rng.choice(_VOICES[other]["answer"]))
    pieces: list[Sound] = []
    while sum(map(len, pieces)) < seconds * RATE_HZ:
        pieces.append(_said(str(rng.choice(_ANSWERS[other])), voice, int(rng.integers(150, 190)), -26.0))
        pieces.append(np.zeros(int(RATE_HZ * rng.uniform(0.1, 0.5))))
    shift = int(rng.integers(RATE_HZ * 3))
    return convolve(np.roll(np.concatenate(pieces)[: round(seconds * RATE_HZ)], shift), response)


def _others(case: Case) -> Sound:
    """Return what a television, or two other people, say all the while, with hardly a pause, now louder, now softer."""
    rng = np.random.default_rng([case.seed, 11])
    other: Half = "training" if case.half == "held-out" else "held-out"
    names = rng.choice(_VOICES[other]["answer"], 3 if case.voices == "television" else 2, replace=False)
    size = np.asarray(case.room_m)
    places = [rng.uniform(_WALL_M, size - _WALL_M) for _ in names]
    microphone = rng.uniform(0.3, 0.7, 3) * size
    if case.voices == "television":
        places = places[:1] * len(names)
    pieces: list[Sound] = []
    while sum(map(len, pieces)) < _VOICES_LOOP_S * RATE_HZ:
        number = int(rng.integers(len(names)))
        text = str(rng.choice(str(rng.choice(_ANSWERS[other])).split(". ")))
        said = _said(text, str(names[number]), int(rng.integers(150, 190)), -26.0)
        heard = convolve(said, _response(case, places[number], microphone))
        pieces.append(heard * 10 ** ((rng.uniform(-_UNLIKE_DB, _UNLIKE_DB) - active_level(heard) - 26.0) / 20))
        pieces.append(np.zeros(int(RATE_HZ * rng.uniform(0.1, 0.6))))
    whole = np.concatenate(pieces)[: round(_VOICES_LOOP_S * RATE_HZ)]
    return whole * 10 ** ((case.person_dbfs - case.under_db - active_level(whole)) / 20)


def _fill(near: Sound, voices: list[Sound], dbfs: float) -> None:
    mixed = np.sum(voices, axis=0)
    near += mixed * 10 ** ((dbfs - level(mixed)) / 20)


@functools.lru_cache(maxsize=32)
def _said(text: str, voice: str, wpm: int, dbfs: float) -> NDArray[Any]:
    return speech(text, voice=voice, wpm=wpm, dbfs=dbfs)
