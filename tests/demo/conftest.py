"""A recorded demonstration made by hand, in which everything happened; tests break one thing at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_agent.audio.wavfile import resample
from edge_agent.demo.checks import Evidence, SessionFacts
from edge_agent.demo.journal import Entry
from edge_agent.demo.performance import STEPS
from edge_agent.demo.service import HeardTurn
from edge_agent.demo.speech import UTTERANCES, recording

RATE_HZ = 16_000  # a third of the real one, and a third of the work

ZERO = 1000.0
"""Monotonic seconds of the recording's first sample."""

AT = {"time": 1.0, "see": 6.0, "story": 11.0, "day": 16.0, "joke": 21.0, "who": 27.0, "hello": 32.0}
"""When each utterance begins."""

PRESSED_IN_ANSWER = 15.8
SILENT_AFTER = 0.05
SECONDS = 38
SESSIONS = {"time": 1, "see": 1, "story": 1, "day": 1, "joke": 2, "hello": 3}
SUBJECT = "a red teapot"

Change = Callable[..., Evidence]


def answer(name: str, seconds: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Coded noise as an answer, 24 kHz: unlike any other, with syllables."""
    rng = np.random.default_rng(sum(name.encode()))
    noise = rng.normal(0, 0.12, round(seconds * 24_000))
    smooth = np.convolve(noise, np.ones(8) / 4, mode="same")
    beat = 0.6 + 0.4 * np.sin(np.arange(len(noise)) * 2 * np.pi * 4 / 24_000)
    return (smooth * beat).clip(-0.9, 0.9).astype(np.float32)


def pcm(samples: Any) -> bytes:
    """Float samples as s16le."""
    return (np.asarray(samples) * 32767).astype("<i2").tobytes()


def entry(t: float, source: Any, event: str, **fields: Any) -> Entry:
    """An entry `t` seconds into the recording."""
    return Entry(ZERO + t, source, event, fields)


def _entries() -> list[Entry]:
    out = [entry(0.2, "device", "status", state="idle", light="idle", muted=False)]
    begins = {"question": 0.9, "picture": 5.9, "interruption": 10.9, "reconnect": 20.9, "mute": 26.5, "goodbye": 30.5}
    out += [entry(begins[step.name], "demo", "step", name=step.name, line=step.line) for step in STEPS]
    for name, t in AT.items():
        seconds = len(recording(name)) / 16_000
        fields = {"name": name, "text": UTTERANCES[name].text, "seconds": seconds, "speaker": "somebody"}
        out.append(entry(t, "person", "says", **fields))
        out.append(entry(PRESSED_IN_ANSWER if name == "day" else t + 0.1, "person", "press"))
        out.append(entry(t + seconds + 0.1, "person", "release"))
        if name == "who":
            continue
        out.append(entry(t + 0.1, "device", "state", state="listening", why=""))
        out.append(entry(t + 0.1, "device", "light", light="listening"))
        out.append(entry(t + 0.15, "twin", "activityStart", who="client", session=SESSIONS[name]))
        sent = {"who": "client", "session": SESSIONS[name], "bytes": 1280}
        out += [entry(t + 0.2 + n / 25, "twin", "audio", **sent) for n in range(20)]
        speaks = t + seconds + 0.4
        out.append(entry(speaks, "device", "state", state="speaking", why=""))
        said = f"I see {SUBJECT}." if name == "see" else f"The answer to {name}."
        out.append(entry(speaks + 0.1, "device", "caption", speaker="device", text=said, line=said, finished=False))
        if name != "story":
            out.append(entry(speaks + 1.5, "device", "state", state="idle", why=""))
    out += [
        entry(21.6, "demo", "cut", why=""),
        entry(22.0, "twin", "setupComplete", who="server", session=2),
        entry(26.6, "device", "mute", muted=True),
        entry(30.0, "device", "mute", muted=False),
        entry(31.0, "twin", "closed", who="server", session=2),
    ]
    return sorted(out, key=lambda e: e.t)


def _room(answers: dict[str, Any], silent_after: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    room = np.zeros(SECONDS * RATE_HZ, np.float32)
    for name, sound in answers.items():
        start = AT[name] + len(recording(name)) / 16_000 + 0.4
        wide = resample(sound, 24_000, RATE_HZ) * np.float32(0.7)
        first = round(start * RATE_HZ)
        if name == "story":
            wide = wide[: round((PRESSED_IN_ANSWER + silent_after - start) * RATE_HZ)]
        room[first : first + len(wide)] += wide
    return room


@pytest.fixture(scope="session")
def good() -> Evidence:
    """Everything happened."""
    answers = {name: answer(name, 12.0 if name == "story" else 1.5) for name in SESSIONS}
    left = np.zeros(SECONDS * RATE_HZ, np.float32)
    for name, t in AT.items():
        sound = resample(recording(name), 16_000, RATE_HZ)
        left[round(t * RATE_HZ) : round(t * RATE_HZ) + len(sound)] += sound
    heard = [
        HeardTurn(
            session,
            name,
            UTTERANCES[name].text,
            bytes(16_000) + pcm(recording(name)) + bytes(3_200),
            (SUBJECT,),
            0 if name == "hello" else 3,
            "",
        )
        for name, session in SESSIONS.items()
    ]
    sessions = [SessionFacts(1, ""), SessionFacts(2, "handle"), SessionFacts(3, "")]
    return Evidence(
        entries=_entries(),
        zero=ZERO,
        left=left,
        right=_room(answers, SILENT_AFTER),
        rate=RATE_HZ,
        heard=heard,
        sessions=sessions,
        figures={
            "output_ring_ms": 60.0,
            "press_to_light": {"count": 6, "p50": 11.0, "p95": 12.0, "p99": 12.0, "max": 12.0},
            "press_to_first_byte": {"count": 4, "p50": 11.0, "p95": 12.0, "p99": 12.0, "max": 12.0},
            "speech_end_to_first_sound": {"turn_end": {"count": 6, "p50": 170, "p95": 180, "p99": 180, "max": 180}},
        },
        answers={name: pcm(sound) for name, sound in answers.items()},
    )


@pytest.fixture
def broken(good: Evidence) -> Change:
    """Returns the good evidence with some of its parts replaced."""

    def change(**parts: Any) -> Evidence:
        return dataclasses.replace(good, **parts)

    return change


@pytest.fixture(scope="session")
def never_silent(good: Evidence) -> Evidence:
    """The story goes on for a second after the press."""
    answers = {name: np.frombuffer(sound, "<i2").astype(np.float32) / 32768 for name, sound in good.answers.items()}
    return dataclasses.replace(good, right=_room(answers, 1.0))
