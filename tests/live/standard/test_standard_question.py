"""What a question is: by turn marks, by the energy of an open microphone, by typing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.live import messages
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.setup import build_setup
from edge_agent.live.standard.question import (
    MAX_QUESTION_S,
    Answered,
    Asked,
    Began,
    Collector,
    Ear,
    Question,
    Stopped,
    Told,
)
from edge_agent.simulator.sound import noise, silence, tone

JPEG = b"\xff\xd8 a picture"


def protocol(*, manual: bool = True, history: bool = False) -> LiveProtocol:
    profile = profile_for("gemini-3.8-live")
    made = LiveProtocol(
        build_setup(model="gemini-3.8-live", profile=profile, manual_turns=manual, history=history), profile
    )
    made.setup()
    made.receive(b'{"setupComplete":{}}')
    return made


def heard(ear: Ear, sound: bytes, *, cuts: list[int] | None = None) -> list[bytes | None]:
    edges = [0, *sorted(cuts or []), len(sound)]
    return [found for start, end in itertools.pairwise(edges) for found in ear.hear(sound[start:end])]


def room(seconds: float, level_dbfs: float = -65.0, seed: int = 1) -> bytes:
    return noise(seconds, seed=seed, level_dbfs=level_dbfs, rate=16_000)


def test_marks_make_a_question_of_what_lies_between_them() -> None:
    wire, collector = protocol(), Collector(manual=True, history=False)
    assert collector.take(wire.audio(room(0.1))) == [], "sound outside a turn belongs to nothing"
    assert collector.take(wire.activity_start()) == [Began()]
    pcm = tone(0.3, rate=16_000)
    assert collector.take(wire.audio(pcm)) == []
    assert collector.take(wire.image(JPEG)) == []
    assert collector.take(wire.text("and this")) == [], "typed while speaking: one question"
    assert collector.take(wire.activity_end()) == [Asked(Question(pcm, [JPEG], ["and this"]))]
    collector.take(wire.activity_start())
    (second,) = collector.take(wire.activity_end())
    assert isinstance(second, Asked)
    assert second.question.empty, "nothing is left of the first"


def test_a_long_question_keeps_its_end() -> None:
    wire, collector = protocol(), Collector(manual=True, history=False)
    collector.take(wire.activity_start())
    collector.take(wire.audio(silence(MAX_QUESTION_S, rate=16_000)))
    end = tone(5.0, rate=16_000)
    collector.take(wire.audio(end))
    (asked,) = collector.take(wire.activity_end())
    assert isinstance(asked, Asked)
    assert len(asked.question.pcm) == MAX_QUESTION_S * 32_000
    assert asked.question.pcm.endswith(end)


def test_typing_asks_and_stops_and_tells() -> None:
    wire, collector = protocol(history=True), Collector(manual=True, history=True)
    assert collector.take(wire.history([("user", "I am Ann."), ("model", "Hello.")])) == [
        Told("user", "I am Ann."),
        Told("model", "Hello."),
    ]
    assert collector.take(wire.text("hello")) == [Began(), Asked(Question(texts=["hello"]))]
    assert collector.take(wire.turn("look", picture=JPEG)) == [Began(), Asked(Question(b"", [JPEG], ["look"]))]
    assert collector.take(wire.stop_answer()) == [Stopped()]
    assert collector.take(wire.turn("by the way", turn_complete=False)) == [Told("user", "by the way")]


def test_answers_of_functions_bring_the_pictures_they_took() -> None:
    wire, collector = protocol(), Collector(manual=True, history=False)
    collector.take(wire.image(JPEG))
    response = messages.FunctionResponse(id="1", name="look", response={"result": "sent"})
    assert collector.take(wire.tool_responses([response])) == [Answered([response], [JPEG])]
    assert collector.take(wire.tool_responses([response])) == [Answered([response], [])]


@given(cuts=st.lists(st.integers(0, 2 * 16_000 * 4), max_size=12), loud=st.integers(-35, -3))
def test_the_ear_finds_the_utterance_however_the_sound_is_cut(cuts: list[int], loud: int) -> None:
    speech = noise(0.7, seed=3, level_dbfs=float(loud), rate=16_000)
    stream = room(1.0) + speech + room(2.3, seed=2)
    began, utterance = heard(Ear(), stream, cuts=cuts)
    assert began is None
    assert utterance is not None
    assert speech in utterance, "not a sample of it is lost"
    assert len(utterance) < len(speech) + 2 * 16_000 * 1.4, "little more than it is sent"


def test_a_click_and_a_fan_are_no_questions() -> None:
    assert heard(Ear(), room(1.0) + tone(0.06, rate=16_000) + room(2.0)) == []
    fan = heard(Ear(), room(1.0) + room(60.0, level_dbfs=-42.0))
    assert fan[0] is None
    assert len(fan) == 2, "a fan that is switched on may be heard once, and is known from then on"
    assert fan[1] is not None
    assert len(fan[1]) < 15 * 32_000


def test_a_soft_beginning_belongs_to_the_utterance() -> None:
    consonant = noise(0.2, seed=8, level_dbfs=-55.0, rate=16_000)
    found = heard(Ear(), room(1.0) + consonant + tone(0.5, rate=16_000) + room(1.5))
    assert found[1] is not None
    assert consonant in found[1]


def test_who_speaks_at_once_is_heard() -> None:
    began, utterance = heard(Ear(), tone(0.5, rate=16_000) + silence(1.0, rate=16_000))
    assert began is None
    assert utterance is not None


def test_a_speaker_without_end_is_cut_into_questions() -> None:
    sound = (tone(0.4, rate=16_000) + room(0.2)) * 150
    ends = [found for found in heard(Ear(), sound) if found is not None]
    assert [round(len(end) / 32_000) for end in ends] == [60]


@pytest.mark.parametrize("speaking", [True, False])
def test_the_end_of_the_stream_ends_the_utterance(speaking: bool) -> None:
    wire, collector = protocol(manual=False), Collector(manual=False, history=False)
    collector.take(wire.audio(room(0.5)))
    if speaking:
        assert collector.take(wire.audio(tone(0.5, rate=16_000))) == [Began()]
    signs = collector.take(wire.audio_stream_end())
    assert [type(sign) for sign in signs] == ([Asked] if speaking else [])
    assert collector.take(wire.audio_stream_end()) == []
