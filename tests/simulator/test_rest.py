"""The twin's standard API as any HTTP client meets it: on the port of the WebSockets, strict, and cut where told."""

from __future__ import annotations

import base64
import http.client
import io
import json
import wave
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from edge_agent.simulator import Call, Drop, FunctionCall, Raw, Rule, Say, Script, SyncTwin, Truncated, When
from edge_agent.simulator.sound import tone

PATH = "/v1beta/models/gemini-3.6-flash:generateContent"
DOOR = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


@pytest.fixture
def twin() -> Iterator[SyncTwin]:
    rules = (Rule(when=When(text="time"), steps=(Say("It is ten."),)), Rule(steps=(Say("Hello."),)))
    with SyncTwin(Script(rules=rules, think_s=0.0)) as running:
        yield running


def post(twin: SyncTwin, body: Any, *, path: str = PATH, key: str | None = "test-key") -> tuple[int, Any]:
    line = http.client.HTTPConnection("127.0.0.1", twin.twin.port, timeout=10)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        line.request("POST", path, data, {} if key is None else {"x-goog-api-key": key})
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        line.close()


def said(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}


def test_text_is_answered_by_the_rules_of_the_script(twin: SyncTwin) -> None:
    status, answer = post(twin, said("what time is it"))
    assert status == 200
    (candidate,) = answer["candidates"]
    assert candidate["content"] == {"role": "model", "parts": [{"text": "It is ten."}]}
    assert candidate["finishReason"] == "STOP"
    assert answer["usageMetadata"]["totalTokenCount"] > 0
    assert post(twin, said())[1]["candidates"][0]["content"]["parts"] == [{"text": "Hello."}]


def test_sound_and_pictures_are_kept_as_they_came(twin: SyncTwin) -> None:
    pcm, file = tone(0.1, rate=16_000), io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(pcm)
    blobs = [("audio/wav", file.getvalue()), ("image/jpeg", b"\xff\xd8 picture")]
    parts = [{"inlineData": {"mimeType": kind, "data": base64.b64encode(data).decode()}} for kind, data in blobs]
    assert post(twin, {"contents": [{"role": "user", "parts": parts}]})[0] == 200
    turn = twin.twin.requests[-1].turn
    assert turn is not None
    assert (turn.kind, turn.audio, turn.images) == ("audio", pcm, (b"\xff\xd8 picture",))


@pytest.mark.parametrize(
    ("body", "how", "status", "words"),
    [
        (said(), {"path": "/v1beta/models"}, 404, "not found"),
        (said(), {"path": PATH.replace("3.6-flash", "3.8-live")}, 404, "not supported"),
        (said(), {"key": None}, 403, "unregistered"),
        (said(), {"key": "wrong"}, 400, "API key not valid"),
        (b"{", {}, 400, "JSON"),
        ({"contents": []}, {}, 400, "contents"),
        (said(setup={}), {}, 400, "Unknown name"),
        (said(generationConfig={"speechConfig": {}}), {}, 400, "text output"),
        (said(tools=[{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}]), {}, 400, "BidiGenerate"),
        (said(tools=[{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}]), {}, 400, "combined"),
    ],
)
def test_what_is_wrong_is_refused_in_the_services_words(
    twin: SyncTwin, body: Any, how: dict[str, Any], status: int, words: str
) -> None:
    got, answer = post(twin, body, **how)
    assert (got, answer["error"]["code"]) == (status, status)
    assert words in answer["error"]["message"]
    assert not twin.twin.sessions


def test_a_call_must_be_answered_at_once_with_its_signature(twin: SyncTwin) -> None:
    twin.answer(Call((FunctionCall("look", {}),)), Say("A lighthouse."))
    _, answer = post(twin, said("what is this"))
    (part,) = answer["candidates"][0]["content"]["parts"]
    asked = said("what is this")["contents"]
    response = {"functionResponse": {"id": part["functionCall"]["id"], "name": "look", "response": {"result": "seen"}}}
    back = {"role": "user", "parts": [response]}
    unsigned = {"role": "model", "parts": [{"functionCall": part["functionCall"]}]}
    assert "signature" in post(twin, {"contents": [*asked, unsigned, back]})[1]["error"]["message"]
    model = {"role": "model", "parts": [part]}
    assert "number of function" in post(twin, {"contents": [*asked, model, *asked]})[1]["error"]["message"]
    _, answer = post(twin, {"contents": [*asked, model, back]})
    assert answer["candidates"][0]["content"]["parts"] == [{"text": "A lighthouse."}]


def test_lines_are_cut_and_messages_sent_as_they_stand(twin: SyncTwin) -> None:
    twin.answer(Drop())
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        post(twin, said())
    twin.answer(Truncated())
    with pytest.raises(http.client.IncompleteRead):
        post(twin, said())
    twin.answer(Raw({"odd": 1}))
    assert post(twin, said()) == (200, {"odd": 1})


def test_behind_a_proxy_that_blocks_upgrades_requests_get_through(twin: SyncTwin) -> None:
    twin.twin.blocked_with = 403
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(twin.url + DOOR, additional_headers={"x-goog-api-key": "test-key"}, proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 403
    assert refused.value.response.headers["Content-Type"] == "text/html"
    assert b"<h1>" in (refused.value.response.body or b"")
    assert post(twin, said())[0] == 200
    twin.twin.blocked_with = None
    with connect(twin.url + DOOR, additional_headers={"x-goog-api-key": "test-key"}, proxy=None) as line:
        assert line.response is not None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_official_client_talks_with_it_functions_included(twin: SyncTwin) -> None:
    genai = pytest.importorskip("google.genai", reason="the official SDK comes with the test extra")
    switched = []

    def set_light(on: bool) -> str:
        """Switch the light."""
        switched.append(on)
        return "done"

    twin.answer(Call((FunctionCall("set_light", {"on": True}),)), Say("It is on."))
    options = genai.types.HttpOptions(base_url=f"http://127.0.0.1:{twin.twin.port}", api_version="v1beta")
    client = genai.Client(api_key="test-key", http_options=options)
    try:
        wishes = genai.types.GenerateContentConfig(tools=[set_light], system_instruction="Be kind.")
        answer = client.models.generate_content(model="gemini-3.6-flash", contents="light!", config=wishes)
        assert (answer.text, switched) == ("It is on.", [True])
        assert client.models.count_tokens(model="gemini-3.6-flash", contents=".").total_tokens == 1
        with pytest.raises(genai.errors.ClientError, match="not supported for generateContent"):
            client.models.generate_content(model="gemini-3.8-live", contents="hello")
    finally:
        client.close()
