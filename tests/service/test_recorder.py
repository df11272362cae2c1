"""What the flight recorder keeps, what it must not, and the file it writes."""

from __future__ import annotations

import base64
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.service import logs
from edge_agent.service.recorder import FILES, Recorder

SETUP = {
    "setup": {
        "model": "models/gemini-3.8-live",
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "sessionResumption": {"handle": "the-first-handle"},
    }
}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Callable[..., Recorder]:
    return lambda **how: Recorder(tmp_path / "flights", **{"clock": clock, **how})


def sound(size: int, rate: int = 16_000) -> bytes:
    data = base64.b64encode(bytes(size)).decode()
    return f'{{"realtimeInput":{{"audio":{{"mimeType":"audio/pcm;rate={rate}","data":"{data}"}}}}}}'.encode()


def answer(**content: Any) -> bytes:
    return json.dumps({"serverContent": content}).encode()


def read(path: Path | None) -> list[dict[str, Any]]:
    assert path is not None
    return [json.loads(line) for line in path.read_text().splitlines()]


def messages(recorder: Recorder) -> list[dict[str, Any]]:
    return [entry["m"] for entry in read(recorder.dump("test"))[1:] if entry["kind"] == "wire"]


def test_a_message_keeps_its_shape_and_loses_what_was_said(make: Callable[..., Recorder]) -> None:
    recorder = make()
    pcm = base64.b64encode(bytes(4800)).decode()
    part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": pcm}}
    recorder.wire(
        "down", answer(modelTurn={"parts": [part]}, outputTranscription={"text": "Hello Ann", "finished": True})
    )
    recorder.wire("up", b'{"realtimeInput":{"text":"my secret question"}}')
    recorder.wire("up", b'{"realtimeInput":{"video":{"mimeType":"image/jpeg","data":"AAAA"}}}')
    calls = [{"id": "c1", "name": "set_timer", "args": {"name": "pizza", "minutes": 9, "type": "oven"}}]
    recorder.wire("down", json.dumps({"toolCall": {"functionCalls": calls}}).encode())
    recorder.wire(
        "up",
        json.dumps(
            {"toolResponse": {"functionResponses": [{"id": "c1", "name": "set_timer", "response": {"kitchen": "on"}}]}}
        ).encode(),
    )
    recorder.wire("down", b"\xff not JSON")
    assert messages(recorder) == [
        {
            "serverContent": {
                "modelTurn": {"parts": [{"inlineData": {"ms": 100.0, "rate": 24000}}]},
                "outputTranscription": {"text": {"chars": 9}, "finished": True},
            }
        },
        {"realtimeInput": {"text": {"chars": 18}}},
        {"realtimeInput": {"video": {"bytes": 3, "mimeType": "image/jpeg"}}},
        {
            "toolCall": {
                "functionCalls": [
                    {
                        "id": "c1",
                        "name": "set_timer",
                        "args": {"name": {"chars": 5}, "minutes": 9, "type": {"chars": 4}},
                    }
                ]
            }
        },
        {"toolResponse": {"functionResponses": [{"id": "c1", "name": "set_timer", "response": {"chars": 17}}]}},
        {"unreadable": {"bytes": 10}},
    ]


def test_words_are_kept_where_the_owner_wants_them_sound_never(make: Callable[..., Recorder]) -> None:
    recorder = make(captions=True)
    recorder.wire("down", answer(outputTranscription={"text": "Hello Ann"}))
    recorder.wire("up", sound(1280))
    first, second = messages(recorder)
    assert first["serverContent"]["outputTranscription"]["text"] == "Hello Ann"
    assert second == {"realtimeInput": {"audio": {"ms": 40.0}}}


@given(
    tree=st.recursive(
        st.text(alphabet="abcdefgh", min_size=6, max_size=12).map(lambda word: "spoken" + word),
        lambda deeper: (
            st.lists(deeper, max_size=3)
            | st.dictionaries(
                st.sampled_from(["text", "args", "response", "parts", "title", "query", "newThing", "inlineData"]),
                deeper,
                max_size=3,
            )
        ),
        max_leaves=8,
    )
)
def test_no_word_of_a_message_gets_into_the_file(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    recorder = Recorder(tmp_path_factory.mktemp("flights"))
    recorder.wire("down", json.dumps({"serverContent": tree}).encode())
    path = recorder.dump("test")
    assert path is not None
    assert "spoken" not in path.read_text()


def test_the_setup_is_kept_whole_without_secrets_and_handles(make: Callable[..., Recorder]) -> None:
    logs.secrets.add("token-0123456789")
    recorder = make()
    setup = json.loads(json.dumps(SETUP))
    setup["setup"]["systemInstruction"]["parts"][0]["text"] += " token-0123456789"
    recorder.wire("up", json.dumps(setup).encode())
    update = {"sessionResumptionUpdate": {"newHandle": "the-second-handle", "resumable": True}}
    recorder.wire("down", json.dumps(update).encode())
    recorder.wire("up", json.dumps({"setup": {"sessionResumption": {"handle": "the-second-handle"}}}).encode())
    recorder.note("told", text="the key is token-0123456789")
    path = recorder.dump("token-0123456789")
    assert path is not None
    text = path.read_text()
    assert "Be kind." in text
    assert "token-0123456789" not in text
    assert "the-first-handle" not in text
    assert "the-second-handle" not in text
    assert text.count('"handle-2"') == 2, "it shows which handle was used"


def test_microphone_sound_is_a_line_a_second(make: Callable[..., Recorder], clock: Clock) -> None:
    recorder = make()
    for _ in range(50):
        recorder.wire("up", sound(1280))
        clock.now += 0.04
    recorder.wire("up", b'{"realtimeInput":{"activityEnd":{}}}')
    entries = read(recorder.dump("test"))[1:]
    assert [entry.get("n") for entry in entries] == [25, 25, None]
    assert [entry["m"]["realtimeInput"].get("audio") for entry in entries[:2]] == [{"ms": 1000.0}] * 2
    assert entries[0]["until"] == pytest.approx(100.96)


def test_it_reaches_back_so_many_minutes_and_no_more_bytes_than_it_may(
    make: Callable[..., Recorder], clock: Clock
) -> None:
    recorder = make(minutes=1.0, max_mb=0.5)
    recorder.wire("up", json.dumps(SETUP).encode())
    for number in range(100):
        clock.now += 1.0
        recorder.note("tick", number=number)
    entries = read(recorder.dump("test"))
    assert entries[1]["m"] == {"setup": {**SETUP["setup"], "sessionResumption": {"handle": "handle-1"}}}, (
        "the setup that is in force stays"
    )
    assert [entry["number"] for entry in entries[2:]] == list(range(39, 100))
    for _ in range(3000):
        recorder.note("much", text="x" * 300)
    path = recorder.dump("test")
    assert path is not None
    assert 90_000 < path.stat().st_size < 101_000


def test_files_are_private_named_by_time_and_the_newest_five_stay(make: Callable[..., Recorder]) -> None:
    recorder = make()
    recorder.note("state", state="speaking", level=float("nan"))
    paths = []
    for number in range(FILES + 2):
        path = recorder.dump(f"fault {number}")
        assert path is not None
        os.utime(path, (number, number))
        time.sleep(0.002)  # names go by milliseconds
        paths.append(path)
    assert [path.exists() for path in paths] == [False, False, *[True] * FILES]
    head, entry = read(paths[-1])
    assert head["flight"] == 1
    assert head["why"] == f"fault {FILES + 1}"
    assert entry == {"t": 100.0, "kind": "state", "state": "speaking", "level": None}
    assert stat.S_IMODE(paths[-1].stat().st_mode) == 0o600
    assert paths[-1].name.startswith("flight-20")


def test_a_full_disk_is_a_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert Recorder(tmp_path / "file" / "flights").dump("test") is None
    assert "flight recorder cannot write" in caplog.text


def test_wiping_leaves_nothing(make: Callable[..., Recorder]) -> None:
    recorder = make(captions=True)
    recorder.wire("up", json.dumps(SETUP).encode())
    recorder.wire("down", answer(outputTranscription={"text": "Hello Ann"}))
    recorder.wire("up", sound(1280))
    recorder.wipe()
    assert len(read(recorder.dump("test"))) == 1
