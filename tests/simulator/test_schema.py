"""The twin's own schema: what passes, and with which code and reason everything else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.simulator import schema
from edge_agent.simulator.models import MODELS, check_setup
from edge_agent.simulator.schema import MEDIA_CHUNKS, Violation, parse
from edge_agent.simulator.script import Rule, Say, Script
from edge_agent.simulator.virtual import MANUAL, MODEL, Talk, setup_of

GOLDEN = [json.loads(line) for line in (Path(__file__).parent / "golden-client.jsonl").read_text().splitlines()]
FRAMES = [entry for entry in GOLDEN if entry.get("message")]

REFUSED = {
    2: "a superset of all fields: thinkingConfig, affective dialog and more are refused by 3.8-live",
    9: "mediaChunks is deprecated",
    34: "avatars are the Agent Platform's",
    41: "as 2, on the Agent Platform",
    48: "mediaChunks is deprecated",
    62: "the Gemini API and the twin want the id of the call",
}


def _refusal(call: Any, *args: Any, **kwargs: Any) -> tuple[int, str]:
    with pytest.raises(Violation) as caught:
        call(*args, **kwargs)
    return caught.value.code, caught.value.reason


@pytest.mark.parametrize("entry", FRAMES, ids=[f"{entry['n']}-{entry['desc'][:40]}" for entry in FRAMES])
def test_every_frame_of_the_official_client_passes_the_field_table(entry: dict[str, Any]) -> None:
    frame, platform = json.dumps(entry["message"]), entry["api"].startswith("vertex")
    if entry["n"] in {9, 48}:
        assert _refusal(parse, frame, platform=platform) == (1007, MEDIA_CHUNKS)
        return
    kind, body = parse(frame, platform=platform)
    assert kind == schema.camel(next(iter(entry["message"])))
    assert not any("_" in name for name in body)


@pytest.mark.parametrize("entry", FRAMES, ids=[f"{entry['n']}-{entry['desc'][:40]}" for entry in FRAMES])
def test_a_session_takes_the_frames_the_service_would_take(entry: dict[str, Any]) -> None:
    message = entry["message"]
    talk = Talk(Script(rules=(Rule((Say(sound=b"\0" * 480),)),)), platform=entry["api"].startswith("vertex"))
    setup = next(iter(message)) == "setup"
    if not setup:
        manual = "activity" in json.dumps(message)
        prefix = "publishers/google/" if talk.session._platform else ""
        talk.open(model=prefix + MODEL, **(MANUAL if manual else {}))
        if "activityEnd" in json.dumps(message):
            talk.realtime(activityStart={})
        for n in range(1, 7):  # the captured responses answer fc-1 to fc-6
            talk.session._performer._names[f"fc-{n}"] = _name(message, n)
            talk.session._performer._cancelled[f"fc-{n}"] = talk.now
    if setup and "handle" in message["setup"].get("sessionResumption", {}):
        handles = talk.session._handles
        known = handles.issue((), model=MODEL, lineage=9, now=0.0)
        message = json.loads(json.dumps(message).replace("handle-1", known))
    talk.send(message)
    assert bool(talk.record.violations) == (entry["n"] in REFUSED), talk.record.violations


def _name(message: dict[str, Any], n: int) -> str:
    responses = message.get("tool_response", {}).get("functionResponses", [])
    return next((response["name"] for response in responses if response.get("id") == f"fc-{n}"), "")


BAD_FRAMES: list[tuple[str | dict[str, Any], str]] = [
    ("{oops", "Invalid JSON payload received. Expecting property name"),
    ('{"setup":{},"setup":{}}', "Invalid JSON payload received. Duplicate name 'setup'"),
    ('{"realtimeInput":{"text":NaN}}', "Invalid JSON payload received. NaN is not JSON"),
    ("[]", "Invalid JSON payload received. The message is not an object."),
    ("[" * 100_000, "Invalid JSON payload received."),
    ({}, "Exactly one of"),
    ({"setup": {}, "realtimeInput": {}}, "Exactly one of"),
    ({"hello": {}}, 'Invalid JSON payload received. Unknown name "hello": Cannot find field.'),
    (
        {"setup": {"generationConfig": {"responseModality": "AUDIO"}}},
        "Invalid JSON payload received. Unknown name \"responseModality\" at 'setup.generationConfig': Cannot find",
    ),
    (
        {"setup": {"tools": [{"functionDeclarations": [{"name": "a", "parameters": {"kind": "OBJECT"}}]}]}},
        "Unknown name \"kind\" at 'setup.tools[0].functionDeclarations[0].parameters'",
    ),
    ({"setup": {"explicitVadSignal": True}}, 'Unknown name "explicitVadSignal" at'),
    ({"setup": {"sessionResumption": {"transparent": True}}}, 'Unknown name "transparent" at'),
    ({"setup": {"systemInstruction": "be kind"}}, "Invalid value at 'setup.systemInstruction' (Content)"),
    ({"setup": {"generationConfig": {"responseModalities": ["audio"]}}}, 'responseModalities[0]\' (Modality), "audio"'),
    ({"setup": {"generationConfig": {"responseModalities": "AUDIO"}}}, "expected a list"),
    (
        {"setup": {"generationConfig": {"topK": 1.5}}},
        "at 'setup.generationConfig.topK' (TYPE_INT32), 1.5",
    ),
    ({"setup": {"generationConfig": {"seed": 1 << 31}}}, "Invalid value at 'setup.generationConfig.seed'"),
    ({"setup": {"generationConfig": {"seed": True}}}, "Invalid value at 'setup.generationConfig.seed'"),
    ({"setup": {"generationConfig": {"temperature": "0.5"}}}, "Invalid value at 'setup.generationConfig.temperature'"),
    ({"setup": {"labels": {"a": 1}}}, "Invalid value at 'setup.labels.a' (TYPE_STRING), 1"),
    ({"setup": {"model": "x", "historyConfig": []}}, "Invalid value at 'setup.historyConfig'"),
    ({"setup": {"sessionResumption": {"handle": 5}}}, "(TYPE_STRING), 5"),
    ({"realtimeInput": {"activityStart": True}}, "Invalid value at 'realtimeInput.activityStart' (Empty)"),
    ({"realtimeInput": {"activityStart": {"now": 1}}}, 'Unknown name "now" at'),
    ({"realtimeInput": {"audioStreamEnd": False}}, "must be true"),
    ({"realtimeInput": {"audioStreamEnd": "true"}}, "(TYPE_BOOL)"),
    ({"realtimeInput": {"audio": {"mimeType": "audio/wav", "data": "AAAA"}}}, "Unsupported mime type"),
    ({"realtimeInput": {"audio": {"data": "AAAA"}}}, "Unsupported mime type"),
    ({"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=1", "data": "AAAA"}}}, "Unsupported mime type"),
    ({"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "A*AA"}}}, "Base64 decoding failed"),
    ({"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "AAAAA"}}}, "Base64 decoding failed"),
    ({"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "AAAA"}}}, "half a 16-bit sample"),
    ({"realtimeInput": {"video": {"mimeType": "video/mp4", "data": "AAAA"}}}, "Unsupported mime type"),
    ({"realtimeInput": {"mediaChunks": []}}, MEDIA_CHUNKS),
    ({"realtimeInput": {"media_chunks": []}}, MEDIA_CHUNKS),
    ({"clientContent": {"turnComplete": True, "turn_complete": True}}, "is set twice"),
    ({"clientContent": {"turns": [{"parts": [{"text": "a", "inlineData": {}}]}]}}, "Only one kind of data"),
    ({"toolResponse": {"functionResponses": [{"id": "a", "response": "done"}]}}, "(TYPE_STRUCT)"),
    ({"toolResponse": {"functionResponses": [{"scheduling": "INTERRUPTED"}]}}, '(Scheduling), "INTERRUPTED"'),
]


@pytest.mark.parametrize(("frame", "reason"), BAD_FRAMES)
def test_what_does_not_parse_is_refused_with_1007_naming_it(frame: str | dict[str, Any], reason: str) -> None:
    code, given_reason = _refusal(parse, frame if isinstance(frame, str) else json.dumps(frame))
    assert code == 1007
    assert reason[: schema.REASON_BYTES] in given_reason
    assert len(given_reason.encode()) <= schema.REASON_BYTES


def test_both_spellings_both_alphabets_and_integral_numbers_are_accepted() -> None:
    for name, padded in (("inline_data", "_9j_2Q=="), ("inlineData", "/9j/2Q")):
        part = {name: {"mime_type": "image/jpeg", "data": padded}}
        _, body = parse(json.dumps({"client_content": {"turns": [{"parts": [part]}], "turnComplete": None}}))
        assert body == {"turns": [{"parts": [{"inlineData": {"mimeType": "image/jpeg", "data": b"\xff\xd8\xff\xd9"}}]}]}
    compression = {"triggerTokens": "25000", "slidingWindow": {"target_tokens": 8000.0}}
    _, setup = parse(json.dumps({"setup": {"contextWindowCompression": compression}}))
    assert setup["contextWindowCompression"] == {"triggerTokens": 25000, "slidingWindow": {"targetTokens": 8000}}


def test_a_reason_is_cut_between_characters() -> None:
    assert schema.cut("é" * 100) == "é" * 61


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_nothing_but_a_violation_ever_comes_out(tree: Any) -> None:
    for frame in (json.dumps(tree), json.dumps({"setup": tree}), json.dumps({"realtimeInput": {"audio": tree}})):
        try:
            kind, _ = parse(frame)
        except Violation as violation:
            kind = f"{violation.code}"
        assert kind in {"1007", *schema.KINDS}


SPEECH = {"speechConfig": {"languageCode": "de-DE"}}
LEVEL = {"thinkingConfig": {"thinkingLevel": "LOW"}}
BLOCKING = {"tools": [{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}]}
BAD_SETUPS: list[tuple[str, dict[str, Any], int, str]] = [
    ("gemini-3.8-live", {"generationConfig": LEVEL}, 1007, "Thinking config is not supported"),
    ("gemini-3.8-live", {"generationConfig": {"thinkingConfig": {}}}, 1007, "Thinking config is not supported"),
    ("gemini-3.8-live", {"generationConfig": SPEECH}, 1007, "Unsupported language code 'de-DE'"),
    ("gemini-3.8-live", {"generationConfig": {"enableAffectiveDialog": False}}, 1007, "Affective dialog"),
    ("gemini-3.8-live", {"proactivity": {"proactiveAudio": False}}, 1007, "cannot be disabled"),
    ("gemini-3.8-live", {"generationConfig": {"responseModalities": ["TEXT"]}}, 1007, "Response modalities"),
    ("gemini-3.8-live", {"generationConfig": {"responseModalities": ["AUDIO", "TEXT"]}}, 1007, "Response modalities"),
    ("gemini-3.8-live", {"tools": [{"codeExecution": {}}]}, 1007, "Tool codeExecution"),
    ("gemini-3.8-live", {"avatarConfig": {}}, 1007, "Avatars"),
    ("gemini-3.8-live", {"generationConfig": {"translationConfig": {}}}, 1007, "Translation config"),
    (
        "gemini-3.8-live",
        {"realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": -1}}},
        1007,
        "silenceDurationMs must not be negative",
    ),
    ("gemini-3.8-live", {"systemInstruction": {"parts": [{"inlineData": {}}]}}, 1007, "must hold text parts only"),
    ("gemini-3.8-live", {"tools": [{"functionDeclarations": [{"name": "f"}, {"name": "f"}]}]}, 1007, "declared twice"),
    ("gemini-3.8-live", {"tools": [{"functionDeclarations": [{"description": "d"}]}]}, 1007, "is empty"),
    (
        "gemini-3.8-live",
        {"tools": [{"functionDeclarations": [{"name": f"f{n}"} for n in range(513)]}]},
        1007,
        "At most 512 functions",
    ),
    (
        "gemini-3.8-live",
        {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {}, "parametersJsonSchema": {}}]}]},
        1007,
        "only one of parameters",
    ),
    ("gemini-3.5-live-translate-preview", {"tools": [{"googleSearch": {}}]}, 1007, "Tools are not supported"),
    ("gemini-3.8-live-extended-thinking", BLOCKING, 1007, "behavior BLOCKING"),
    (
        "gemini-3.8-live-extended-thinking",
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}},
        1007,
        "Thinking level MINIMAL",
    ),
    ("gemini-3.1-flash-live-preview", {"proactivity": {"proactiveAudio": True}}, 1007, "Proactive audio"),
    (
        "gemini-3.1-flash-live-preview",
        {"tools": [{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}]},
        1007,
        "behavior NON_BLOCKING",
    ),
    ("gemini-2.5-flash-native-audio-latest", {"generationConfig": LEVEL}, 1007, "thinkingLevel is not supported"),
    ("gemini-2.5-flash-native-audio-latest", {"proactivity": {"proactiveAudio": True}}, 1007, "Proactive audio"),
    ("gemini-3.5-live-translate-preview", {"systemInstruction": {"parts": []}}, 1007, "System instruction"),
    ("gemini-3.5-transcribe-live", {"generationConfig": {"speechConfig": {}}}, 1007, "Response modalities"),
    (
        "gemini-3.5-flash",
        {},
        1008,
        "models/gemini-3.5-flash is not found for API version v1beta, or is not supported for bidiGenerateContent.",
    ),
    ("gemini-2.0-flash-live-001", {}, 1008, "is not found"),
]


@pytest.mark.parametrize(("model", "fields", "code", "reason"), BAD_SETUPS)
def test_each_model_refuses_what_it_does_not_take(model: str, fields: dict[str, Any], code: int, reason: str) -> None:
    setup = setup_of(model=f"models/{model}") | fields
    if model == "gemini-3.5-transcribe-live":
        setup["generationConfig"]["responseModalities"] = ["AUDIO"]
    _, body = parse(json.dumps({"setup": setup}))
    given_code, given_reason = _refusal(check_setup, body)
    assert (given_code, reason[: schema.REASON_BYTES] in given_reason) == (code, True), given_reason


@pytest.mark.parametrize("model", sorted(MODELS))
def test_each_model_takes_a_plain_setup(model: str) -> None:
    modality = "TEXT" if "transcribe" in model else "AUDIO"
    check_setup({"model": f"models/{model}", "generationConfig": {"responseModalities": [modality]}})
    assert _refusal(check_setup, {"model": model})[0] == 1007
    if modality == "AUDIO":
        voice = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puk"}}}
        setup = {"model": f"models/{model}", "generationConfig": {"speechConfig": voice}}
        assert "Requested voice 'Puk'" in _refusal(check_setup, setup)[1]


def test_affective_dialog_and_proactivity_need_the_old_model_on_v1alpha() -> None:
    setup = {
        "model": "models/gemini-2.5-flash-native-audio-latest",
        "generationConfig": {"enableAffectiveDialog": True},
        "proactivity": {"proactiveAudio": True},
    }
    check_setup(setup, api_version="v1alpha")
    assert "Affective" in _refusal(check_setup, setup, api_version="v1beta")[1]


AUDIO = {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "AAA="}}}


@pytest.mark.parametrize(
    ("manual", "messages", "reason"),
    [
        (None, [AUDIO], "realtimeInput received before setup was complete."),
        (False, [{"setup": setup_of()}], "setup must be the first message and sent only once."),
        (False, [{"realtimeInput": {"activityStart": {}}}], "Explicit activity control is not supported"),
        (False, [{"realtimeInput": {"activityEnd": {}}}], "Explicit activity control is not supported"),
        (True, [{"realtimeInput": {"audioStreamEnd": True}}], "audio_stream_end is not supported"),
        (True, [{"realtimeInput": {"activityEnd": {}}}], "activity_end received without activity_start."),
        (True, [{"realtimeInput": {"activityStart": {}}}] * 2, "activity_start received while an activity is open."),
        (True, [{"toolResponse": {"functionResponses": [{"id": "x"}]}}], "the unknown id 'x'"),
        (True, [{"toolResponse": {"functionResponses": [{}]}}], "the unknown id ''"),
        (True, [{"clientContent": {"turns": [{"role": "assistant"}]}}], "Please use a valid role"),
        (True, [{"contextUpdate": {"tools": {"tools": [{"urlContext": {}}]}}}], "Tool urlContext"),
    ],
)
def test_order_is_kept_as_strictly_as_form(manual: bool | None, messages: list[dict[str, Any]], reason: str) -> None:
    talk = Talk(Script())
    if manual is not None:
        talk.open(**(MANUAL if manual else {}))
    for message in messages:
        talk.send(message)
    assert talk.closed is not None
    assert talk.closed[0] == 1007
    assert reason in talk.closed[1]
    assert reason in talk.record.violations[0]
    assert "violation" in talk.record.kinds("client")
    sent = len(talk.outs)
    talk.send({"realtimeInput": {"text": "too late"}})
    talk.wait(10)
    assert len(talk.outs) == sent


def test_sound_between_setup_and_setup_complete_is_refused() -> None:
    talk = Talk(Script(setup_delay_s=1.0)).open()
    talk.wait(0.5)
    talk.send(AUDIO)
    assert talk.closed == (1007, "realtimeInput received before setup was complete.")
