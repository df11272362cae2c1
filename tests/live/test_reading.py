"""What the service says, whatever it says: the order of events, samples put together, and nothing that raises."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.live import events as e
from edge_agent.live.models import profile_for
from edge_agent.live.reading import MAX_MESSAGE_BYTES, Reader

MODEL = "gemini-3.8-live"


def reader(model: str = MODEL) -> Reader:
    return Reader(profile_for(model))


def sound(pcm: bytes, mime: str = "audio/pcm;rate=24000", *, urlsafe: bool = False) -> bytes:
    data = base64.urlsafe_b64encode(pcm).rstrip(b"=") if urlsafe else base64.b64encode(pcm)
    part = {"inlineData": {"mimeType": mime, "data": data.decode()}}
    return json.dumps({"serverContent": {"modelTurn": {"parts": [part]}}}).encode()


def test_the_silence_of_a_translator_is_no_speech_and_that_of_a_talker_is_a_pause() -> None:
    translator = reader("gemini-3.5-live-translate-preview")
    assert translator.read(sound(bytes(4800))) == [e.Ignored("silence")]
    assert translator.read(sound(bytes(4798) + b"\1\0")) == [e.Audio(bytes(4798) + b"\1\0", 24_000)]
    assert reader().read(sound(bytes(4800))) == [e.Audio(bytes(4800), 24_000)]


def test_search_suggestions_are_passed_on_whole_or_not_at_all() -> None:
    def suggested(html: str) -> e.ServerEvent:
        entry = {"webSearchQueries": ["weather"], "searchEntryPoint": {"renderedContent": html}}
        (event,) = reader().read(json.dumps({"serverContent": {"groundingMetadata": entry}}))
        return event

    assert suggested("<style>a{}</style><div>weather</div>") == e.Grounding(
        ("weather",), (), "<style>a{}</style><div>weather</div>"
    )
    assert suggested("x" * 100_000) == e.Grounding(("weather",), ())


@given(pcm=st.binary(min_size=1, max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6), urlsafe=st.booleans())
def test_samples_cut_in_two_are_put_together(pcm: bytes, cuts: list[int], urlsafe: bool) -> None:
    reading = reader()
    edges = [0, *sorted(min(cut, len(pcm)) for cut in cuts), len(pcm)]
    heard = []
    for start, end in itertools.pairwise(edges):
        (event,) = reading.read(sound(pcm[start:end], urlsafe=urlsafe))
        assert isinstance(event, e.Audio)
        assert len(event.pcm) % 2 == 0
        heard.append(event.pcm)
    assert b"".join(heard) == pcm[: len(pcm) // 2 * 2]


def test_half_a_sample_does_not_shift_the_next_answer() -> None:
    reading = reader()
    reading.read(sound(b"\1\2\3"))
    reading.read(b'{"serverContent":{"interrupted":true}}')
    assert reading.read(sound(b"\5\6")) == [e.Audio(b"\5\6", 24_000)]


@pytest.mark.parametrize(
    ("mime", "expected"),
    [
        ("audio/pcm;rate=16000", e.Audio(b"\0\0", 16_000)),
        ("audio/pcm; rate=48000; channels=1", e.Audio(b"\0\0", 48_000)),
        ("Audio/PCM", e.Audio(b"\0\0", 24_000)),
        ("audio/opus", e.Ignored("media of type audio/opus")),
        ("image/png", e.Ignored("media of type image/png")),
        ("audio/pcm;rate=0", e.Malformed("sound of type audio/pcm;rate=0")),
        ("audio/pcm;rate=²", e.Malformed("sound of type audio/pcm;rate=²")),
        ("audio/pcm;rate=999999999999", e.Malformed("sound of type audio/pcm;rate=999999999999")),
    ],
)
def test_the_rate_is_the_mime_types(mime: str, expected: e.ServerEvent) -> None:
    assert reader().read(sound(b"\0\0", mime)) == [expected]


def test_a_thought_is_never_sound() -> None:
    part = {"thought": True, "inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}, "text": "hm"}
    message = json.dumps({"serverContent": {"modelTurn": {"parts": [part]}}})
    assert reader().read(message) == [e.Ignored("media of a thought")]


def test_several_fields_come_out_in_the_order_to_act_on() -> None:
    message = {
        "usageMetadata": {"totalTokenCount": 7},
        "serverContent": {
            "interactionStatus": "IDLE",
            "turnComplete": True,
            "interrupted": True,
            "generationComplete": True,
            "outputTranscription": {"text": "said"},
            "inputTranscription": {"text": "heard"},
            "modelTurn": {"parts": [{"text": "a"}, {"inlineData": {"data": "AAAA"}}]},
        },
    }
    kinds = [type(event) for event in reader().read(json.dumps(message))]
    assert kinds == [
        e.Text,
        e.Audio,
        e.InputCaption,
        e.OutputCaption,
        e.GenerationComplete,
        e.Interrupted,
        e.TurnComplete,
        e.Interaction,
        e.Usage,
    ]


def test_tokens_are_read_by_either_name_and_by_modality() -> None:
    details = [{"modality": "AUDIO", "tokenCount": 8}, {"modality": "AUDIO", "tokenCount": 2}, {"tokenCount": 9}]
    for said in ("response", "candidates"):
        usage = {
            "promptTokenCount": 12,
            f"{said}TokenCount": 20,
            "toolUsePromptTokenCount": 4,
            "thoughtsTokenCount": "5",
            "totalTokenCount": 41,
            "promptTokensDetails": details,
            f"{said}TokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
            "toolUsePromptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
        }
        assert reader().read(json.dumps({"usageMetadata": usage})) == [
            e.Usage(
                prompt=12,
                response=20,
                tool_use=4,
                thoughts=5,
                total=41,
                prompt_by_modality={"AUDIO": 10},
                response_by_modality={"AUDIO": 20},
                tool_use_by_modality={"TEXT": 4},
            )
        ]


def test_the_interaction_status_counts_beside_the_content_too() -> None:
    message = {"serverContent": {"turnComplete": True}, "interactionStatus": "IN_PROGRESS"}
    assert reader().read(json.dumps(message)) == [e.TurnComplete("", False), e.Interaction("IN_PROGRESS", False)]


def test_one_bent_field_does_not_cost_its_neighbours() -> None:
    message = {
        "serverContent": {
            "modelTurn": {"parts": [{"inlineData": {"data": "_-8="}}, 5, {"inlineData": {"data": "!"}}]},
            "groundingMetadata": {"webSearchQueries": "not a list"},
            "turn_complete": "true",
        },
        "usageMetadata": {"totalTokenCount": "12", "promptTokenCount": "many"},
        "goAway": 5,
    }
    events = reader().read(json.dumps(message))
    assert e.Audio(b"\xff\xef", 24_000) in events
    assert e.TurnComplete("", True) in events
    assert e.Usage(total=12) in events
    reasons = " ".join(event.why for event in events if isinstance(event, e.Malformed))
    for bent in ("parts[]", "webSearchQueries", "promptTokenCount", "goAway"):
        assert bent in reasons
    assert "many" not in reasons  # content of a message is never quoted


def test_a_call_without_a_name_is_named_and_the_others_are_made() -> None:
    message = {
        "toolCall": {"functionCalls": [{"id": "1"}, {"id": "2", "name": "look", "args": {"turn_on": {"a_b": 1}}}]}
    }
    events = reader().read(json.dumps(message))
    assert events[0] == e.ToolCall((e.Call("2", "look", {"turn_on": {"a_b": 1}}),))
    assert isinstance(events[1], e.Malformed)


def test_the_arguments_of_a_call_are_left_as_they_are_on_the_slow_path_too() -> None:
    message = {"tool_call": {"function_calls": [{"id": "1", "name": "f", "args": {"turn_on": "true", "n": "1"}}]}}
    assert reader().read(json.dumps(message)) == [e.ToolCall((e.Call("1", "f", {"turn_on": "true", "n": "1"}),))]


def test_a_message_beyond_the_bound_is_not_even_parsed() -> None:
    message = b'{"serverContent":{"turnComplete":true}}'
    padding = b" " * (MAX_MESSAGE_BYTES - len(message))
    assert reader().read(message + padding) == [e.TurnComplete("", True)]
    (event,) = reader().read(message + padding + b" ")
    assert isinstance(event, e.Malformed)


def test_events_can_be_logged_without_showing_what_was_said() -> None:
    shown = repr([
        e.Audio(b"hush" * 100, 24_000),
        e.Text("hush", False),
        e.InputCaption("hush", True),
        e.OutputCaption("hush", True),
        e.Resumption("hush", True),
        e.ToolCall((e.Call("1", "f", {"secret": "hush"}),)),
        e.Grounding(("hush",), (("hush", "hush"),)),
    ])  # fmt: skip
    assert "hush" not in shown


WORDS = """
setupComplete serverContent modelTurn parts inlineData mimeType data text thought interrupted turnComplete toolCall
turnCompleteReason functionCalls id name args toolCallCancellation ids usageMetadata promptTokensDetails modality
tokenCount goAway timeLeft sessionResumptionUpdate newHandle resumable inputTranscription voiceActivity type error
audioOffset interactionStatus groundingMetadata groundingChunks web uri server_content turn_complete unknown
"""
KEYS = st.sampled_from(WORDS.split())
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["9.5s", "-1s", "infs", "nans", "AAAB", "AA", "_-", "IDLE", "audio/pcm", "audio/pcm;rate=8000"])
)
TREES = st.recursive(VALUES, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(KEYS, deeper, max_size=4))


@given(tree=st.dictionaries(KEYS, TREES, max_size=4))
def test_no_json_raises_and_every_message_leaves_a_trace(tree: dict[str, Any]) -> None:
    events = reader().read(json.dumps(tree))
    assert events
    assert all(len(event.pcm) % 2 == 0 for event in events if isinstance(event, e.Audio))
    repr(events)


@given(frame=st.binary(max_size=200) | st.text(max_size=100) | st.binary(max_size=40).map(bytearray))
def test_no_bytes_raise(frame: bytes | str) -> None:
    assert reader().read(frame)


@pytest.mark.parametrize(
    "frame",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"toolCall":{"functionCalls":[{"name":"f","args":' + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"}]}}",
        b'{"serverContent":{"modelTurn":' * 2000,
        b'{"goAway":{"timeLeft":"\xff"}}',
        b'{"goAway":{"timeLeft":"\\ud800"}}',
        "\ud800",
        b'{"usageMetadata":{"totalTokenCount":1e999}}',
        b'{"usageMetadata":{"totalTokenCount":' + b"9" * 5000 + b"}}",
    ],
)
def test_hostile_frames_are_malformed_and_not_raised(frame: bytes | str) -> None:
    assert any(isinstance(event, e.Malformed) for event in reader().read(frame))
