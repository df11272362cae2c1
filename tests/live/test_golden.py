"""The golden captures: every frame of the official SDK that this device has a use for, and every message it may get."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.live import events as e
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.messages import Blob, FunctionDeclaration, FunctionResponse, FunctionResponsePart
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol, ProtocolMisuse
from edge_agent.live.setup import build_setup

DATA = Path(__file__).parent / "data"
CLIENT = {line["n"]: line for line in map(json.loads, (DATA / "golden-client.jsonl").read_text().splitlines())}
SERVER = {line["n"]: line for line in map(json.loads, (DATA / "golden-server.jsonl").read_text().splitlines())}

PCM = b"\x00\x00\x01\x00\xff\xff"
JPEG = b"\xff\xd8\xff\xd9"
LED = FunctionDeclaration(
    name="set_led",
    description="Turns the status LED on or off.",
    parameters={
        "type": "OBJECT",
        "properties": {
            "on": {"type": "BOOLEAN", "description": "true to light it"},
            "color": {"type": "STRING", "enum": ["red", "green"]},
        },
        "required": ["on"],
    },
)
PYFUNC = FunctionDeclaration(
    name="pyfunc",
    description="Dims the lights.\n\nArgs:\n  room: the room",
    parameters_json_schema={
        "type": "object",
        "properties": {"room": {"type": "string"}, "level": {"type": "integer", "default": 3}},
        "required": ["room"],
    },
    response_json_schema={"type": "object", "additionalProperties": True},
)


def session(model: str = "gemini-3.8-live", **wishes: Any) -> LiveProtocol:
    profile = profile_for(model)
    return LiveProtocol(build_setup(model=model, profile=profile, **wishes), profile)


def ready(**wishes: Any) -> LiveProtocol:
    protocol = session(**wishes)
    protocol.setup()
    protocol.receive(b'{"setupComplete":{}}')
    return protocol


def answer(id_: str, name: str, response: dict[str, Any], **more: Any) -> FunctionResponse:
    return FunctionResponse(id=id_, name=name, response=response, **more)


def manual_end() -> bytes:
    protocol = ready(manual_turns=True)
    protocol.activity_start()
    return protocol.activity_end()


# Realtime, content and tool frames: equal in meaning. The second number is the same call on the Agent Platform.
FRAMES: dict[tuple[int, int], Callable[[], bytes]] = {
    (3, 42): lambda: ready().audio(PCM),
    (4, 43): lambda: ready().image(JPEG),
    (5, 44): lambda: ready().text("What do you see?"),
    (6, 45): lambda: ready().audio_stream_end(),
    (7, 46): lambda: ready(manual_turns=True).activity_start(),
    (8, 47): manual_end,
    (10, 49): lambda: ready().turn("Hello"),
    (11, 50): lambda: ready().history([("user", "Capital of France?"), ("model", "Paris.")]),
    (12, 51): lambda: ready().turn("Look", picture=JPEG),
    (13, 52): lambda: ready().turn(""),
    (14, 53): lambda: ready().tool_responses([answer("fc-1", "set_led", {"output": {"ok": True}})]),
    (15, 54): lambda: ready().tool_responses([answer("fc-2", "set_led", {"output": "done"}, scheduling="WHEN_IDLE")]),
    (16, 55): lambda: ready().tool_responses([
        answer("fc-3", "a", {"result": 1}, scheduling="SILENT"),
        answer("fc-4", "b", {"error": "sensor offline"}, scheduling="INTERRUPT"),
        answer("fc-5", "c", {"progress": 50}, will_continue=True),
    ]),
    (17, 56): lambda: ready().tool_responses([
        answer(
            "fc-6",
            "take_photo",
            {"output": "see image"},
            parts=[FunctionResponsePart(inline_data=Blob(mime_type="image/jpeg", data=JPEG))],
        )
    ]),
    (21, 60): lambda: ready().turn("hi"),
}  # fmt: skip

# Setups: all that the capture says, plus only what every setup of ours says.
SETUPS: dict[int, Callable[[], bytes]] = {
    1: lambda: session(captions=False).setup(),
    26: lambda: session(voice="kore", instruction="You are a small desk robot.", compression=(0, 0)).setup(),
    27: lambda: session(handle="handle-1", captions=False).setup(),
    28: lambda: session(manual_turns=True, captions=False).setup(),
    29: lambda: session(interruptible=False, captions=False).setup(),
    30: lambda: session("gemini-3.8-live-extended-thinking", thinking_level="low", tools=[LED], captions=False).setup(),
    31: lambda: session("gemini-2.5-flash-native-audio-preview-12-2025", thinking_budget=0, captions=False).setup(),
    32: lambda: session("gemini-3.5-live-translate-preview", translate_to="pl", echo_translation=True).setup(),
    33: lambda: session("gemini-3.5-transcribe-live").setup(),
    35: lambda: session(tools=[PYFUNC], captions=False).setup(),
    38: lambda: session(captions=False).setup(),
}
ALWAYS_SAID = {
    "setup.generationConfig",
    "setup.generationConfig.responseModalities",
    "setup.sessionResumption",
    "setup.realtimeInputConfig",
    "setup.realtimeInputConfig.turnCoverage",
    "setup.contextWindowCompression",
    "setup.contextWindowCompression.triggerTokens",
    "setup.contextWindowCompression.slidingWindow.targetTokens",
    "setup.tools[].functionDeclarations[].behavior",
}

NOT_USED = {
    2: "every field at once, a superset that no model accepts; what we use of it is in 26 to 35",
    9: "mediaChunks: current models close the connection on it",
    18: "contextUpdate: not in the Gemini API's reference; a new instruction comes with the next connection",
    19: "contextUpdate, as 18",
    20: "contextUpdate, as 18",
    34: "avatar: the device has no screen",
    39: "ephemeral token: comes with a later version",
    40: "Agent Platform: comes with a later version",
    41: "Agent Platform: comes with a later version",
    48: "mediaChunks, as 9",
    57: "contextUpdate, as 18",
    58: "contextUpdate, as 18",
    59: "contextUpdate, as 18",
    62: "an answer to a call without its id: refused by us, as the Gemini API needs it",
    65: "Agent Platform: comes with a later version",
}


def camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(word.title() for word in rest)


def meaning(tree: Any, key: str = "") -> Any:
    """Keys in camelCase and base64 decoded, so that two spellings of one message are equal."""
    if isinstance(tree, dict):
        return {camel(k): meaning(v, k) for k, v in tree.items()}
    if isinstance(tree, list):
        return [meaning(item) for item in tree]
    return base64.urlsafe_b64decode(tree.replace("+", "-").replace("/", "_")) if key == "data" else tree


def differences(ours: Any, golden: Any, path: str) -> tuple[set[str], set[str]]:
    """Paths that we say beyond the capture, and paths of the capture that we lack or say otherwise."""
    if isinstance(ours, dict) and isinstance(golden, dict):
        more = {f"{path}.{key}" for key in ours.keys() - golden.keys()}
        less = {f"{path}.{key}" for key in golden.keys() - ours.keys()}
        for key in ours.keys() & golden.keys():
            deeper_more, deeper_less = differences(ours[key], golden[key], f"{path}.{key}")
            more |= deeper_more
            less |= deeper_less
        return more, less
    if isinstance(ours, list) and isinstance(golden, list) and len(ours) == len(golden):
        pairs = [differences(a, b, f"{path}[]") for a, b in zip(ours, golden, strict=True)]
        return set().union(*(p[0] for p in pairs)), set().union(*(p[1] for p in pairs))
    return set(), set() if ours == golden else {path}


def test_every_line_of_the_client_capture_is_accounted_for() -> None:
    refused = {n for n, line in CLIENT.items() if "sdk_refuses" in line}
    produced = {n for pair in FRAMES for n in pair} | set(SETUPS)
    assert produced | set(NOT_USED) | refused == set(CLIENT)
    assert not produced & set(NOT_USED)


@pytest.mark.parametrize("numbers", FRAMES, ids=str)
def test_our_frame_means_what_the_sdk_frame_means(numbers: tuple[int, int]) -> None:
    ours = meaning(json.loads(FRAMES[numbers]()))
    for n in numbers:
        assert ours == meaning(CLIENT[n]["message"]), CLIENT[n]["desc"]


@pytest.mark.parametrize("number", SETUPS)
def test_our_setup_says_all_that_the_sdk_setup_says(number: int) -> None:
    ours = meaning(json.loads(SETUPS[number]()))
    more, less = differences(ours["setup"], meaning(CLIENT[number]["message"])["setup"], "setup")
    assert not less, CLIENT[number]["desc"]
    assert more <= ALWAYS_SAID


def test_a_picture_turn_is_jpeg_and_a_still_a_picture() -> None:
    with pytest.raises(ProtocolMisuse):  # capture 25: a video is no still
        ready().image(b"\x00\x00\x00\x18ftypmp42")
    with pytest.raises(ProtocolMisuse):
        ready().turn("Look", picture=b"GIF89a")


def test_an_answer_without_the_id_of_its_call_is_refused() -> None:
    with pytest.raises(ProtocolMisuse):  # captures 23 and 62
        ready().tool_responses([answer("", "x", {})])


@pytest.mark.parametrize(("number", "version"), [(1, "v1"), (38, "v1alpha")])
def test_the_path_is_the_sdks(number: int, version: str) -> None:
    assert Endpoint.resolve("", version).path == CLIENT[number]["path"]


AUDIO = e.Audio(PCM, 24_000)
EXPECTED: dict[int, list[e.ServerEvent]] = {
    1: [e.SetupComplete()],
    2: [e.SetupComplete()],
    3: [e.SetupComplete()],
    4: [AUDIO],
    5: [AUDIO],
    6: [AUDIO],
    7: [AUDIO],
    8: [AUDIO, e.Text("hello", False), AUDIO],
    9: [AUDIO, e.OutputCaption("Hel", False)],
    10: [e.Text("Checking the sensor.", True)],
    11: [e.Ignored("an empty modelTurn")],
    12: [e.Ignored("an empty modelTurn")],
    13: [e.Ignored("executableCode"), e.Ignored("codeExecutionResult")],
    14: [e.InputCaption(" turn on", False)],
    15: [e.InputCaption("the light", True)],
    16: [e.InputCaption("", True)],
    17: [e.InputCaption("hi", True, "en-US")],
    18: [e.Ignored("serverContent.interimInputTranscription")],
    19: [e.OutputCaption("Sure, ", False)],
    20: [e.GenerationComplete()],
    21: [e.TurnComplete("", True)],
    22: [
        e.TurnComplete("", True),
        e.Usage(
            prompt=522,
            response=42,
            thoughts=136,
            total=564,
            prompt_by_modality={"TEXT": 332, "AUDIO": 165},
            response_by_modality={"AUDIO": 42},
        ),
    ],
    23: [e.Interrupted()],
    24: [e.Interrupted(), e.TurnComplete("", True)],
    25: [e.TurnComplete("NEED_MORE_INPUT", True)],
    26: [e.TurnComplete("RESPONSE_REJECTED", True)],
    27: [e.TurnComplete("SOMETHING_NEW", True)],
    28: [e.WaitingForInput()],
    29: [AUDIO, e.TurnComplete("", False), e.Interaction("IN_PROGRESS", False)],
    30: [e.TurnComplete("", True), e.Interaction("IDLE", True)],
    31: [e.TurnComplete("", True), e.Interaction("REQUIRES_ACTION", True)],
    32: [e.Grounding(("weather",), (("Example", "https://example.com"),), "<div/>")],
    33: [e.Ignored("serverContent.urlContextMetadata")],
    34: [e.ToolCall((e.Call("fc-1", "set_led", {"on": True}), e.Call("fc-2", "get_temperature", {})))],
    35: [e.ToolCall((e.Call("fc-3", "ping", {}),))],
    36: [e.Interaction("IN_PROGRESS", False), e.ToolCall((e.Call("fc-4", "search", {"q": "x"}),))],
    37: [e.ToolCancel(("fc-1", "fc-2"))],
    38: [e.GoAway(50.0)],
    39: [e.GoAway(9.5)],
    40: [e.GoAway(None)],
    41: [e.Resumption("handle-1", True)],
    42: [e.Resumption(None, False)],
    43: [e.Resumption(None, False)],
    44: [e.Resumption("handle-2", True)],
    45: [
        e.Usage(
            prompt=10,
            response=20,
            thoughts=5,
            total=35,
            prompt_by_modality={"AUDIO": 8, "VIDEO": 2},
            response_by_modality={"AUDIO": 20},
        )
    ],
    46: [e.Usage(prompt=10, response=20, total=30, response_by_modality={"AUDIO": 20})],
    47: [e.VoiceActivity(True, 1.5)],
    48: [e.VoiceActivity(False, 2.75)],
    49: [e.VoiceActivity(True, None)],
    50: [e.Ignored("serverContent.speechState")],
    51: [e.TurnComplete("", True)],
    52: [e.Ignored("somethingNew.a")],
    53: [e.Ignored("an empty message")],
    54: [e.Ignored("error 400 INVALID_ARGUMENT: bad")],
    55: [e.TurnComplete("", True)],
    56: [e.TurnComplete("", True)],
    57: [e.Malformed("not JSON")],
    58: [e.Ignored("an empty message")],
}


def frame(line: dict[str, Any]) -> bytes:
    return (line["raw"] if "raw" in line else json.dumps(line["message"])).encode()


def test_every_line_of_the_server_capture_is_accounted_for() -> None:
    assert set(EXPECTED) == set(SERVER)


@pytest.mark.parametrize("number", SERVER)
def test_every_server_message_is_understood_or_knowingly_ignored(number: int) -> None:
    line = SERVER[number]
    assert session().receive(frame(line)) == EXPECTED[number], line["desc"]
    assert session().receive(frame(line).decode()) == EXPECTED[number]


@pytest.mark.parametrize("number", [n for n, line in SERVER.items() if "ends_receive_loop" in line and n != 31])
def test_idle_agrees_with_the_sdk(number: int) -> None:
    # 31: REQUIRES_ACTION, by the guide IDLE's deprecated name; the SDK goes on waiting there.
    said = [event.idle for event in EXPECTED[number] if isinstance(event, e.TurnComplete)]
    assert any(said) == SERVER[number]["ends_receive_loop"]


def test_with_extended_thinking_a_turn_complete_alone_is_not_idle() -> None:
    thinking = session("gemini-3.8-live-extended-thinking")
    assert thinking.receive(frame(SERVER[21])) == [e.TurnComplete("", False)]
    assert thinking.receive(frame(SERVER[30]))[0] == e.TurnComplete("", True)
