"""Questions asked of the twin over connections opened as the daemon opens them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Device, find, pcm

from edge_agent import config as settings
from edge_agent import prompts
from edge_agent.audio.wavfile import resample
from edge_agent.rehearsal.asking import Answer, RehearsalOpening, ask
from edge_agent.rehearsal.questions import parse
from edge_agent.simulator import (
    Call,
    Complete,
    Drop,
    End,
    FunctionCall,
    Hang,
    Hear,
    Rule,
    Say,
    Script,
    SyncTwin,
    Text,
    Wait,
    When,
)
from edge_agent.simulator.sound import noise

SOUND = noise(0.3, seed=3)
needs_voice = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="questions are spoken by espeak-ng")


def gather(config: Path, text: str, **more: Any) -> list[Answer]:
    opening = RehearsalOpening(settings.load(config))

    async def collect() -> list[Answer]:
        return [answer async for answer in ask(parse(text, source="q.txt"), opening, **more)]

    return asyncio.run(collect())


def test_every_answer_comes_back_with_words_sound_and_figures(twin: SyncTwin, configured: Callable[..., Path]) -> None:
    twin.answer(Text("Let me think.", thought=True), Wait(0.2), Say("We open at ten.", SOUND, pace=0))
    first, second, third = gather(configured(twin), "When do you open?\nAnd on Monday?\n---\nHow much?")
    assert first.text == "We open at ten."
    assert (bytes(first.pcm), first.rate) == (SOUND, 24_000)
    assert first.seconds == pytest.approx(0.3)
    assert first.first_sound_s is not None
    assert first.first_sound_s >= 0.2
    assert first.prompt_tokens > 0
    assert first.response_tokens > 0
    assert (second.text, third.text) == ("Yes.", "Yes.")
    assert not [one.error for one in (first, second, third) if one.error]
    assert [session.texts for session in twin.sessions] == [["When do you open?", "And on Monday?"], ["How much?"]]
    assert [session.closed_by for session in twin.sessions] == ["client", "client"]


def test_a_rehearsal_is_opened_with_the_setup_that_visitors_get(
    twin: SyncTwin, configured: Callable[..., Path], tmp_path: Path
) -> None:
    path = configured(twin)
    gather(path, "Hello?")

    async def visit() -> None:
        async with Device(tmp_path, twin, persona=str(tmp_path / "otto")) as device:
            await device.ask("ask", text="Hello?")
            await device.until(state="speaking")
            await device.until(state="idle")

    asyncio.run(visit())
    rehearsed, visited = (session.setup for session in twin.sessions)
    assert rehearsed == visited
    assert "Otto" in str(rehearsed)


def test_captions_are_asked_for_even_where_the_device_shows_none(
    twin: SyncTwin, configured: Callable[..., Path]
) -> None:
    path = configured(twin)
    path.write_text(path.read_text() + "[captions]\nshow = false\n")
    (answer,) = gather(path, "Hello?")
    assert answer.text == "Yes."


def test_the_models_calls_are_answered_and_told(
    twin: SyncTwin, configured: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "tools"
    folder.mkdir(mode=0o755)
    (folder / "price.py").write_text(
        'def price(people: int) -> str:\n    """Tell a price."""\n    return f"{people * 12} euros"\n'
    )
    (folder / "price.py").chmod(0o644)
    path = configured(twin)
    path.write_text(path.read_text().replace("no-tools", "tools"))
    twin.answer(
        Call((FunctionCall("price", {"people": 3}), FunctionCall("set_volume", {"volume": 300}))), Say("So.", SOUND)
    )
    (answer,) = gather(path, "How much for three?")
    assert sorted(answer.tools) == [
        "price(people=3) → 36 euros",
        "set_volume(volume=300) → failed: volume must be from 0 to 100",
    ]
    assert answer.text == "So."


def test_when_the_model_ends_the_conversation_the_next_question_opens_a_new_one(
    twin: SyncTwin, configured: Callable[..., Path]
) -> None:
    twin.answer(Call((FunctionCall("end_conversation", {}),)), Say("Goodbye.", SOUND))
    answers = gather(configured(twin), "Goodbye.\nStill there?")
    assert [answer.anew for answer in answers] == [False, True]
    assert [session.texts for session in twin.sessions] == [["Goodbye."], ["Still there?"]]


def test_a_thinking_model_is_heard_to_the_end(twin: SyncTwin, configured: Callable[..., Path]) -> None:
    path = configured(twin)
    path.write_text(path.read_text().replace("[live]\n", '[live]\nmodel = "gemini-3.8-live-extended-thinking"\n'))
    twin.answer(
        Say("One moment. ", SOUND, pace=0), Complete(status="IN_PROGRESS"), Wait(0.5), Say("Done.", SOUND, pace=0),
        Complete(status="IDLE"),
    )  # fmt: skip
    (answer,) = gather(path, "Think hard.")
    assert answer.text == "One moment. Done."
    assert answer.seconds == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ((Hang(),), "The service said nothing for 1 s."),
        ((Complete(reason="RESPONSE_REJECTED"),), "The service ended its turn without an answer (RESPONSE_REJECTED)."),
        ((Say("Well", SOUND, pace=0), End(1011, "boom")), "1011"),
        ((Drop(),), "connection"),
    ],
)
def test_a_question_that_fails_says_why_and_the_next_is_asked_anew(
    twin: SyncTwin, configured: Callable[..., Path], steps: tuple[Any, ...], told: str
) -> None:
    twin.answer(*steps)
    failed, fine = gather(configured(twin), "Fail!\nAnd now?")
    assert told in failed.error
    assert failed.text == ("Well" if len(steps) == 2 else "")
    assert (fine.text, fine.error, fine.anew) == ("Yes.", "", True)


def test_what_cannot_succeed_is_not_tried_again_and_again(configured: Callable[..., Path]) -> None:
    with SyncTwin(Script(handshake_status=403)) as twin:
        answers = gather(configured(twin), "One?\n---\nTwo?\n---\nThree?")
        assert len(twin.refused) == 1
    assert [answer.asked for answer in answers] == [True, False, False]
    assert all(answer.error for answer in answers)
    assert answers[2].error == f"Not asked: {answers[0].error}"


def test_without_a_line_two_tries_are_enough(configured: Callable[..., Path]) -> None:
    with SyncTwin(Script(handshake_status=503)) as twin:
        answers = gather(configured(twin), "One?\nTwo?\nThree?\n---\nFour?")
        assert len(twin.refused) == 2
    assert [answer.asked for answer in answers] == [True, True, False, False]


@needs_voice
@pytest.mark.parametrize("mode", ["kiosk", "speaker"])
def test_a_spoken_question_is_heard_as_the_mode_marks_turns(configured: Callable[..., Path], mode: str) -> None:
    rules = (Rule((Hear("hello there"), Say("Yes.", SOUND, pace=0)), When(kind="audio")),)
    with SyncTwin(Script(rules=rules, think_s=0.0, turn_complete="sent")) as twin:
        (answer,) = gather(configured(twin, f'mode = "{mode}"'), "Hello there!", spoken=True)
        (session,) = twin.sessions
        assert not session.violations
        assert ("activityStart" in session.kinds("client")) == (mode == "kiosk")
        (turn,) = session.audio_turns
    assert (answer.text, answer.heard, answer.error) == ("Yes.", "hello there", "")
    speech = prompts.speak("Hello there!", "en")
    assert speech is not None
    expected = resample(pcm(speech.pcm).astype("float32"), speech.rate, 16_000)
    _, score = find(expected[4000:8000], pcm(turn))
    assert score > 0.99
