"""The pure session: what may be said when, and that what is said is what the service takes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.live import events as e
from edge_agent.live.messages import FunctionResponse
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol, ProtocolMisuse
from edge_agent.live.setup import build_setup

MODEL = "gemini-3.8-live"


def session(model: str = MODEL, **wishes: Any) -> LiveProtocol:
    profile = profile_for(model)
    return LiveProtocol(build_setup(model=model, profile=profile, **wishes), profile)


def ready(model: str = MODEL, **wishes: Any) -> LiveProtocol:
    protocol = session(model, **wishes)
    protocol.setup()
    assert protocol.receive(b'{"setupComplete":{}}') == [e.SetupComplete()]
    return protocol


EVERYTHING: list[Callable[[LiveProtocol], bytes]] = [
    lambda p: p.audio(b"\0\0"),
    lambda p: p.image(b"\xff\xd8"),
    lambda p: p.text("x"),
    lambda p: p.turn("x"),
    lambda p: p.stop_answer(),
    lambda p: p.history([("user", "x")]),
    lambda p: p.activity_start(),
    lambda p: p.activity_end(),
    lambda p: p.audio_stream_end(),
    lambda p: p.tool_responses([FunctionResponse(id="1", name="f", response={})]),
]


@pytest.mark.parametrize("say", EVERYTHING)
@pytest.mark.parametrize("manual", [False, True])
def test_nothing_is_said_before_the_setup_is_complete(say: Callable[[LiveProtocol], bytes], manual: bool) -> None:
    protocol = session(manual_turns=manual)
    with pytest.raises(ProtocolMisuse):
        say(protocol)
    protocol.setup()
    with pytest.raises(ProtocolMisuse):
        say(protocol)


def test_the_setup_is_sent_once() -> None:
    protocol = session()
    protocol.setup()
    with pytest.raises(ProtocolMisuse):
        protocol.setup()


def test_turn_marks_come_in_pairs_and_only_when_we_mark_turns() -> None:
    automatic = ready()
    with pytest.raises(ProtocolMisuse):
        automatic.activity_start()
    manual = ready(manual_turns=True)
    with pytest.raises(ProtocolMisuse):
        manual.audio_stream_end()
    with pytest.raises(ProtocolMisuse):
        manual.activity_end()
    manual.activity_start()
    with pytest.raises(ProtocolMisuse):
        manual.activity_start()
    manual.activity_end()
    assert not manual.activity_open
    manual.activity_start()


def test_a_history_that_was_announced_comes_first_and_asks_for_no_reply() -> None:
    protocol = ready(history=True)
    for say in (EVERYTHING[0], EVERYTHING[2], EVERYTHING[3]):
        with pytest.raises(ProtocolMisuse):
            say(protocol)
    content = json.loads(protocol.history([("user", "a"), ("model", "b")]))["clientContent"]
    assert [turn["role"] for turn in content["turns"]] == ["user", "model"]
    assert content["turnComplete"] is True  # ends the history; the service answers what comes after it
    protocol.audio(b"\0\0")
    assert json.loads(protocol.history([("user", "c")]))["clientContent"]["turnComplete"] is False


def test_a_history_that_was_announced_may_be_empty() -> None:
    protocol = ready(history=True)
    assert json.loads(protocol.history([])) == {"clientContent": {"turnComplete": True}}
    protocol.audio(b"\0\0")


def test_the_first_turns_stand_before_the_story_so_far() -> None:
    profile = profile_for(MODEL)
    setup = build_setup(model=MODEL, profile=profile, history=True)
    protocol = LiveProtocol(setup, profile, first_turns=[("user", "Who?"), ("model", "A whale.")])
    protocol.setup()
    protocol.receive(b'{"setupComplete":{}}')
    assert protocol.history_due
    sent = json.loads(protocol.history([("user", "And now?")]))["clientContent"]
    assert [turn["parts"][0]["text"] for turn in sent["turns"]] == ["Who?", "A whale.", "And now?"]
    assert sent["turnComplete"] is True
    assert not protocol.history_due


def test_roles_are_user_and_model() -> None:
    with pytest.raises(ProtocolMisuse):
        ready().history([("system", "x")])


def test_a_model_that_takes_history_only_gets_no_turn_in_mid_session() -> None:
    protocol = ready("gemini-3.1-flash-live-preview")
    for say in (EVERYTHING[3], EVERYTHING[4], EVERYTHING[5]):
        with pytest.raises(ProtocolMisuse):
            say(protocol)
    protocol.text("live text is fine")


def test_a_translator_gets_sound_and_nothing_else() -> None:
    protocol = ready("gemini-3.5-live-translate-preview", translate_to="pl")
    assert protocol.audio(b"\1\0")
    assert protocol.audio_stream_end()
    saying: list[Callable[[], bytes]] = [
        lambda: protocol.text("Hello"),
        lambda: protocol.turn("Hello"),
        lambda: protocol.image(b"\xff\xd8"),
        protocol.stop_answer,
        protocol.activity_start,
        lambda: protocol.history([("user", "Hello")]),
    ]
    for say in saying:
        with pytest.raises(ProtocolMisuse):
            say()


def test_the_answer_can_be_stopped_without_speech() -> None:
    assert json.loads(ready().stop_answer()) == {"clientContent": {"turnComplete": False}}


def test_scheduling_is_left_out_where_the_model_does_not_know_it() -> None:
    reply = [FunctionResponse(id="1", name="f", response={"output": 1}, scheduling="SILENT", will_continue=True)]
    sent = json.loads(ready("gemini-3.8-live-extended-thinking").tool_responses(reply))
    assert sent["toolResponse"]["functionResponses"] == [{"id": "1", "name": "f", "response": {"output": 1}}]
    sent = json.loads(ready().tool_responses(reply))
    assert sent["toolResponse"]["functionResponses"][0]["scheduling"] == "SILENT"


@given(pcm=st.binary(max_size=3000))
def test_sound_arrives_as_it_was_given(pcm: bytes) -> None:
    protocol = ready()
    if len(pcm) % 2:
        with pytest.raises(ProtocolMisuse):
            protocol.audio(pcm)
        return
    blob = json.loads(protocol.audio(pcm))["realtimeInput"]["audio"]
    assert base64.b64decode(blob["data"], validate=True) == pcm
    assert blob["mimeType"] == "audio/pcm;rate=16000"


def test_a_png_still_says_so() -> None:
    assert b"image/png" in ready().image(b"\x89PNG\r\n\x1a\n")


@given(text=st.text(max_size=200))
def test_any_text_of_a_visitor_makes_valid_json(text: str) -> None:
    assert json.loads(ready().text(text)) == {"realtimeInput": {"text": text}}


def test_half_a_character_becomes_a_question_mark() -> None:
    assert json.loads(ready().text("a\ud800b")) == {"realtimeInput": {"text": "a?b"}}
    assert b"a?b" in ready().turn("a\ud800b")
    assert b"a?b" in ready().history([("user", "a\ud800b")])


@pytest.mark.parametrize("result", [{"output": object()}, {"output": "\ud800"}])
def test_an_answer_that_is_no_json_is_refused_with_a_sentence(result: dict[str, Any]) -> None:
    with pytest.raises(ProtocolMisuse, match="plain JSON"):
        ready().tool_responses([FunctionResponse(id="1", name="f", response=result)])
