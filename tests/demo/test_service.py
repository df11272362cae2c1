"""The demo's twin answers what was understood, names the picture that came, and follows the plan where it is deaf."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from edge_agent.demo.service import STILLS, STORY, UNKNOWN, Mind, still_subjects
from edge_agent.demo.speech import UTTERANCES, recording
from edge_agent.simulator import Hear, Say, Turn

NOON = dt.datetime(2026, 11, 21, 12, 5, tzinfo=dt.UTC)


class Parrot:
    """An ear that hears what it is told to."""

    def __init__(self, phrase: str) -> None:
        self.phrase = phrase

    def hear(self, pcm: bytes) -> str:
        return self.phrase if pcm else ""


def turn(*images: bytes) -> Turn:
    return Turn(1, 1, "audio", "", b"\0\0" * 1600, images, (), {})


def answer(mind: Mind, *images: bytes) -> list[object]:
    async def steps() -> list[object]:
        brain = mind.script().brain
        assert brain is not None
        return [step async for step in brain(turn(*images))]

    return asyncio.run(steps())


def mind(phrase: str | None) -> Mind:
    return Mind(subjects=still_subjects(), ear=None if phrase is None else Parrot(phrase), now=lambda: NOON)


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        ("what time is it", "It is 12:05."),
        ("what day is it", "Today is Saturday, the 21 of November."),
        ("tell me a story", STORY),
        ("bananas", UNKNOWN),
    ],
)
def test_it_answers_what_it_understood_not_what_it_expected(phrase: str, said: str) -> None:
    one = mind(phrase)
    one.expect("joke")
    assert answer(one) == [Hear(phrase), Say(said)]
    assert (one.heard[0].expected, one.heard[0].phrase, one.heard[0].answer) == ("joke", phrase, said)


def test_it_names_the_picture_that_came() -> None:
    picture = next(path for path in sorted(STILLS.glob("*.jpg")) if "teapot" in path.name).read_bytes()
    assert answer(mind("what do you see"), picture)[-1] == Say("I see a red teapot.")
    assert answer(mind("what do you see"), b"another")[-1] == Say("I see a picture I do not know.")
    assert answer(mind("what do you see"))[-1] == Say("No picture came with your question.")


def test_deaf_it_follows_the_plan_and_claims_no_understanding() -> None:
    one = mind(None)
    one.expect("time")
    assert answer(one) == [Hear("what time is it"), Say("It is 12:05.")]
    assert one.heard[0].phrase == ""
    assert not one.understands


def test_every_shipped_still_has_a_name_of_its_own() -> None:
    subjects = still_subjects()
    assert sorted(subjects.values()) == ["a red teapot", "a yellow bicycle", "three green apples"]


@pytest.mark.parametrize("name", list(UTTERANCES))
def test_every_recording_is_short_loud_enough_and_not_clipped(name: str) -> None:
    sound = recording(name)
    assert 0.5 < len(sound) / 16_000 < 2.0
    assert 0.2 < abs(sound).max() < 0.99


@pytest.mark.parametrize("name", list(UTTERANCES))
def test_every_recording_is_understood_by_the_local_voice(name: str) -> None:
    pytest.importorskip("pocketsphinx")
    from edge_agent.simulator.voice import Ear

    assert Ear().hear((recording(name) * 32767).astype("<i2").tobytes()) == UTTERANCES[name].text
