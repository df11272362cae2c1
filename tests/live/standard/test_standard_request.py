"""Bodies of requests, and what is made of answers, odd ones included."""

from __future__ import annotations

import io
import json
import wave
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.live import messages
from edge_agent.live.models import profile_for
from edge_agent.live.setup import build_setup
from edge_agent.live.standard.question import Question
from edge_agent.live.standard.request import MAX_EXCHANGES, MAX_TEXT, Dialogue, Reply, sentences, wav
from edge_agent.simulator import schema

LIGHT = messages.FunctionDeclaration(name="set_light", description="Switch the light.", behavior="BLOCKING")

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda deeper: st.lists(deeper, max_size=3)
    | st.dictionaries(
        st.sampled_from(["candidates", "content", "parts", "text", "functionCall", "name", "args", "inlineData",
                         "mimeType", "data", "usageMetadata", "promptFeedback", "finishReason", "thought"]),
        deeper, max_size=4,
    ),
    max_leaves=16,
)  # fmt: skip


def dialogue(**wishes: Any) -> Dialogue:
    profile = profile_for("gemini-3.8-live")
    return Dialogue(build_setup(model="gemini-3.8-live", profile=profile, **wishes))


def answer(*parts: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"candidates": [{"content": {"role": "model", "parts": list(parts)}}], **more}).encode()


def body(of: Dialogue, **how: Any) -> dict[str, Any]:
    """As the service reads it, strictly."""
    return schema.parse_request(of.body(**how))


def test_what_only_the_live_api_knows_stays_out() -> None:
    talk = dialogue(
        instruction="Be kind.", voice="Kore", tools=[LIGHT], temperature=0.5, media_resolution="low", manual_turns=True
    )
    talk.ask(Question(texts=["hello"]))
    sent = body(talk)
    assert set(sent) == {"systemInstruction", "tools", "generationConfig", "contents"}
    assert sent["generationConfig"] == {"temperature": 0.5, "mediaResolution": "MEDIA_RESOLUTION_LOW"}
    assert "behavior" not in sent["tools"][0]["functionDeclarations"][0]
    assert sent["systemInstruction"]["parts"][0]["text"].startswith("Be kind.\n\n")


def test_search_goes_along_only_where_there_are_no_functions() -> None:
    alone, beside = dialogue(google_search=True), dialogue(google_search=True, tools=[LIGHT])
    for talk in (alone, beside):
        talk.ask(Question(texts=["hello"]))
    assert body(alone)["tools"] == [{"googleSearch": {}}]
    assert [set(tool) for tool in body(beside)["tools"]] == [{"functionDeclarations"}]
    assert "toolConfig" not in body(alone, functions=False)


def test_sound_is_a_wav_any_player_reads() -> None:
    pcm = bytes(range(200))
    with wave.open(io.BytesIO(wav(pcm))) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 16_000)
        assert sound.readframes(1000) == pcm


def test_the_history_is_short() -> None:
    talk = dialogue()
    for number in range(MAX_EXCHANGES + 3):
        talk.ask(Question(bytes(6400), [b"\xff\xd8"], [f"question {number}"]))
        talk.add(talk.read(answer({"text": f"answer {number}"})))
    contents = body(talk)["contents"]
    assert len(contents) == 2 * MAX_EXCHANGES
    assert contents[0]["parts"] == [{"text": "question 3"}]
    assert [len(content["parts"]) for content in contents[-4::2]] == [3, 3]
    spoken = dialogue()
    for _ in range(3):
        spoken.ask(Question(bytes(6400)))
    assert "sound is no longer" in body(spoken)["contents"][0]["parts"][0]["text"]


def test_functions_are_answered_right_behind_their_calls_with_signatures_and_pictures() -> None:
    talk = dialogue(tools=[LIGHT])
    talk.ask(Question(texts=["light!"]))
    called = {"functionCall": {"name": "set_light", "args": {"on": True}}, "thoughtSignature": "c2ln"}
    reply = talk.read(answer(called, {"functionCall": {"id": "7", "name": "look"}}))
    talk.add(reply)
    first, second = reply.calls
    assert first == {"id": "call-1", "name": "set_light", "args": {"on": True}}
    assert second == {"id": "7", "name": "look", "args": {}}
    talk.answer(
        [messages.FunctionResponse(id=one["id"], name=one["name"], response={}) for one in reply.calls], [b"\xff\xd8"]
    )
    _, model, responses, pictures = json.loads(talk.body())["contents"]
    assert model["parts"][0] == called, "as it came"
    assert [part["functionResponse"] for part in responses["parts"]] == [
        {"name": "set_light", "response": {}},
        {"name": "look", "response": {}, "id": "7"},
    ]
    assert pictures["parts"][0]["inlineData"]["mimeType"] == "image/jpeg"
    assert body(talk, functions=False)["toolConfig"] == {"functionCallingConfig": {"mode": "NONE"}}


def test_a_call_that_was_cut_off_does_not_stay() -> None:
    talk = dialogue(tools=[LIGHT])
    talk.ask(Question(texts=["light!"]))
    talk.add(talk.read(answer({"functionCall": {"name": "set_light"}})))
    talk.abandon()
    talk.ask(Question(texts=["never mind"]))
    assert [content["role"] for content in body(talk)["contents"]] == ["user", "user"]


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("[en] Hello.", "en", "Hello."),
        (" [pt-BR]Bom dia.", "pt-BR", "Bom dia."),
        ("Hello [en].", "", "Hello [en]."),
        ("[1] is a number.", "", "[1] is a number."),
        ("x" * 5000, "", "x" * MAX_TEXT),
    ],
)
def test_the_language_stands_in_front_and_is_not_spoken(text: str, language: str, words: str) -> None:
    reply = dialogue().read(answer({"text": text}))
    assert (reply.language, reply.text) == (language, words)


def test_sound_is_handed_on_with_its_rate_and_left_out_of_the_history() -> None:
    sound = {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": "AAAA"}}
    reply = dialogue().read(answer(sound, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}))
    assert reply.parts == [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}}]
    assert reply.content is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html>", "UNREADABLE"),
        (b"[]", "NO_ANSWER"),
        (b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}', "PROHIBITED_CONTENT"),
        (b'{"candidates":[{"finishReason":"RECITATION"}]}', "RECITATION"),
        (answer({"text": "only a thought", "thought": True}), "NO_ANSWER"),
    ],
)
def test_no_answer_has_a_reason(data: bytes, reason: str) -> None:
    assert dialogue().read(data).reason == reason


@given(_JSON)
def test_any_json_is_read(tree: Any) -> None:
    talk = dialogue()
    talk.ask(Question(texts=["hello"]))
    reply = talk.read(json.dumps(tree).encode())
    assert isinstance(reply, Reply)
    talk.add(reply)
    assert json.loads(talk.body())


@given(st.text(alphabet="ab .!?。\n", max_size=200))
def test_sentences_lose_no_word(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
