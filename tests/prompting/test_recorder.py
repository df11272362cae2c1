"""Sentences spoken by the twin: over real sockets, and in virtual time where it takes minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import KEY, find, pcm
from prompting.conftest import seconds_for, speaker, speech, spoken
from virtual.loop import run

from edge_agent import config as settings
from edge_agent.conversation.budget import Ledger, Limits, Prices
from edge_agent.errors import ConfigError, Stop
from edge_agent.prompting.recorder import INSTRUCTION, Line, Result, StudioOpening, Take, judge, record
from edge_agent.simulator import (
    Complete,
    Drop,
    End,
    GoAway,
    Hang,
    Raw,
    Say,
    Script,
    SyncTwin,
    Text,
    Twin,
    Wait,
)

READY, BYE, DE = Line("ready", "I am ready.", "en"), Line("goodbye", "Goodbye.", "en"), Line("muted", "Stumm.", "de")

Configured = Callable[..., Path]


class Studio:
    """A recording and what was told of it."""

    def __init__(self, path: Path, *, patience_s: float = 1.0, voice: str = "Kore") -> None:
        self.opening = StudioOpening(settings.load(path), voice=voice)
        self.patience_s = patience_s
        self.again: list[tuple[str, str]] = []
        self.ledger = Ledger(Prices(text_in=1.0, audio_out=10.0), Limits())

    async def record(self, *lines: Line) -> list[Result]:
        coming = record(
            lines,
            self.opening,
            patience_s=self.patience_s,
            on_again=lambda line, why: self.again.append((line.name, why)),
            ledger=self.ledger,
        )
        return [result async for result in coming]


def whole(result: Result) -> bool:
    """True if the recording holds the sentence's sound and hardly more."""
    assert result.sound is not None, result.why
    wanted = pcm(speech(result.line.text))[round(0.4 * 24_000) :][: round(seconds_for(result.line.text) * 24_000)]
    return len(result.sound) < len(wanted) + 0.3 * 24_000 and find(wanted, result.sound)[1] > 0.99


def test_every_sentence_comes_back_as_it_was_spoken_on_one_connection(twin: SyncTwin, configured: Configured) -> None:
    studio = Studio(configured(twin.url))
    results = asyncio.run(studio.record(READY, BYE, DE))
    assert all(whole(result) for result in results)
    assert not studio.again
    (session,) = twin.sessions
    assert [text.partition(": ")[0] for text in session.texts] == [
        "Speak in English",
        "Speak in English",
        "Speak in German",
    ]
    assert session.closed_by == "client"
    assert studio.ledger.month.money > 0


def test_the_model_is_asked_for_nothing_but_its_voice(twin: SyncTwin, configured: Configured, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir(mode=0o755)
    (tmp_path / "tools" / "price.py").write_text('def price() -> str:\n    """Tell a price."""\n    return "12"\n')
    (tmp_path / "otto").mkdir()
    (tmp_path / "otto" / "instruction.md").write_text("You are Otto, guide of the museum.")
    more = f'[captions]\nshow = false\n[tools]\nfolder = "{tmp_path / "tools"}"\n[camera]\nsource = "files:{tmp_path}"'
    path = configured(twin.url, live='google_search = true\nlanguage = "de-DE"', more=more)
    path.write_text(f'persona = "{tmp_path / "otto"}"\n' + path.read_text())
    asyncio.run(Studio(path).record(READY))
    setup = twin.session.setup
    assert setup["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"] == "Kore"
    assert setup["systemInstruction"]["parts"] == [{"text": INSTRUCTION}]
    assert "outputAudioTranscription" in setup
    assert not setup.get("tools")
    assert "Otto" not in str(setup)


def test_a_model_without_turns_in_writing_is_asked_by_live_text(twin: SyncTwin, configured: Configured) -> None:
    path = configured(twin.url, live='model = "gemini-3.1-flash-live-preview"')
    (result,) = asyncio.run(Studio(path).record(READY))
    assert whole(result)
    assert "text" in twin.session.kinds("client")


def test_a_thinking_model_is_heard_to_the_end(configured: Configured) -> None:
    steps = (
        Text("Let me see.", thought=True),
        Complete(status="IN_PROGRESS"),
        spoken(READY.text),
        Complete(status="IDLE"),
    )
    with SyncTwin(speaker({READY.text: [steps]}), key=KEY) as twin:
        path = configured(twin.url, live='model = "gemini-3.8-live-extended-thinking"')
        (result,) = asyncio.run(Studio(path).record(READY))
    assert whole(result)


def at(path: Path, url: str) -> Path:
    """Put the address of a service into a configuration that was written before it was known."""
    path.write_text(path.read_text().replace("URL", url))
    return path


def story(
    script: Script, path: Path, *lines: Line, patience_s: float = 20.0, **more: Any
) -> tuple[Studio, list[Result], Twin]:
    """Record in virtual time."""

    async def play() -> tuple[Studio, list[Result], Twin]:
        async with Twin(script, key=KEY, clock=asyncio.get_running_loop().time, **more) as twin:
            studio = Studio(at(path, twin.url), patience_s=patience_s)
            results = await studio.record(*lines)
        assert not twin.errors
        return studio, results, twin

    return run(play())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ((spoken(READY.text, "Sure! I am ready."),), 'it said "Sure! I am ready."'),
        ((spoken(READY.text, ""),), "the service sent no transcript of what it said"),
        ((Say(READY.text, bytes(48_000), pace=0),), "the service sent silence"),
        ((Say(READY.text, speech("I"), pace=0),), "only 0.2 s of its sound came"),
        ((Say(READY.text, speech("x" * 310), pace=0),), "it took 15.7 s, more than the 15 s of a sentence"),
        ((Complete(reason="RESPONSE_REJECTED"),), "the service sent no sound (RESPONSE_REJECTED)"),
        ((spoken(READY.text, interrupt_after_s=0.1, pace=1.0),), "The service broke its answer off."),
    ],
)
def test_what_came_out_differently_is_asked_for_again(
    configured: Configured, wrong: tuple[Any, ...], told: str
) -> None:
    studio, (ready, bye), twin = story(speaker({READY.text: [wrong, wrong]}), configured("URL"), READY, BYE)
    assert whole(ready)
    assert whole(bye)
    assert studio.again == [("ready", told)] * 2
    assert sum(len(session.texts) for session in twin.sessions) == 4


def test_after_three_tries_a_sentence_is_given_up_and_the_next_is_spoken(configured: Configured) -> None:
    wrong = (spoken(READY.text, "I am Freddy."),)
    studio, (ready, bye), twin = story(speaker({READY.text: [wrong] * 9}), configured("URL"), READY, BYE)
    assert (ready.sound, ready.why, ready.asked) == (None, 'it said "I am Freddy."', True)
    assert whole(bye)
    assert len(studio.again) == 2
    assert len(twin.sessions) == 1


def test_a_transcript_that_comes_after_the_turn_is_waited_for(configured: Configured) -> None:
    late = {"serverContent": {"outputTranscription": {"text": "I am ready."}}}
    steps = (spoken(READY.text, ""), Complete(), Wait(1.0), Raw(late), Hang())
    studio, (ready,), _ = story(speaker({READY.text: [steps]}), configured("URL"), READY)
    assert whole(ready)
    assert not studio.again


@pytest.mark.parametrize("steps", [(End(1011, "boom"),), (Drop(),), (Hang(),), (spoken(READY.text), Drop())])
def test_a_lost_connection_is_opened_anew(configured: Configured, steps: tuple[Any, ...]) -> None:
    studio, results, twin = story(speaker({READY.text: [steps]}), configured("URL"), READY, BYE)
    assert all(whole(result) for result in results)
    assert [name for name, _ in studio.again] == ["ready"]
    assert len(twin.sessions) == 2


def test_a_connection_that_is_about_to_end_is_left_between_two_sentences(configured: Configured) -> None:
    steps = (GoAway(10.0), spoken(READY.text, pace=1.0))
    studio, results, twin = story(speaker({READY.text: [steps]}), configured("URL"), READY, BYE)
    assert all(whole(result) for result in results)
    assert not studio.again
    assert [len(session.texts) for session in twin.sessions] == [1, 1]


def test_a_service_that_never_ends_a_turn_is_given_up(configured: Configured) -> None:
    endless = (*(one for _ in range(60) for one in (spoken(READY.text), Wait(3.0))), Hang())
    studio, (ready,), _ = story(speaker({READY.text: [endless] * 3}), configured("URL"), READY)
    assert ready.sound is None
    assert "90 s" in ready.why
    assert len(studio.again) == 2


def test_what_cannot_succeed_is_not_tried_again_and_again(configured: Configured) -> None:
    with SyncTwin(Script(handshake_status=403)) as twin:
        results = asyncio.run(Studio(configured(twin.url)).record(READY, BYE, DE))
        assert len(twin.refused) == 1
    assert [result.asked for result in results] == [True, False, False]
    assert len({result.why for result in results}) == 1


def test_without_a_line_two_tries_are_enough(configured: Configured) -> None:
    studio, results, _ = story(Script(handshake_status=503), configured("URL"), READY, BYE)
    assert [result.asked for result in results] == [True, False]
    assert len(studio.again) <= 1


def test_what_is_wrong_with_a_setting_is_raised(twin: SyncTwin, configured: Configured) -> None:
    studio = Studio(configured(twin.url), voice="Pucks")
    with pytest.raises(ConfigError, match="did you mean Puck"):
        asyncio.run(studio.record(READY))
    assert not twin.sessions


def test_a_model_that_takes_no_text_is_refused_at_once(configured: Configured) -> None:
    studio = Studio(configured("ws://127.0.0.1:9", live='model = "gemini-3.5-live-translate"'))
    with pytest.raises(Stop, match=r"speaks no sentence it is given; set live\.model"):
        asyncio.run(studio.record(READY))


def test_sound_at_another_rate_is_converted() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(8_000) / 16_000)
    take = Take("I am ready.", bytearray((tone * 16_000).astype("<i2").tobytes()), 16_000)
    sound, why = judge(take, READY)
    assert not why
    assert sound is not None
    assert len(sound) == 12_000
