"""What the demo writes is a configuration the daemon accepts, for the twin and for Google."""

from __future__ import annotations

import tomllib
from pathlib import Path

from edge_agent import config
from edge_agent.demo.daemon import socket_path
from edge_agent.demo.settings import KEY_VARIABLE, demo_config, live_config


def test_the_demo_is_a_kiosk_on_mock_pins_with_stills_and_the_twin(tmp_path: Path) -> None:
    text = demo_config(
        url="ws://127.0.0.1:4242",
        microphone="pyaudio:edge_mic",
        loudspeaker="pyaudio:edge_speaker",
        camera=tmp_path / 'a "strange" folder',
        socket=socket_path(tmp_path),
    )
    found = config.parse(tomllib.loads(text), source="demo")
    assert found.mode == "kiosk"
    assert found.manual_turns
    assert found.live.url == "ws://127.0.0.1:4242"
    assert found.live.credential == f"env:{KEY_VARIABLE}"
    assert (found.audio.input, found.audio.output) == ("pyaudio:edge_mic", "pyaudio:edge_speaker")
    assert found.camera.source == f'files:{tmp_path}/a "strange" folder'
    assert found.panel.pins == "mock"
    assert found.captions.file == ""
    assert Path(found.control.socket).parent == tmp_path


def test_live_differs_in_service_key_and_devices_only(tmp_path: Path) -> None:
    socket = socket_path(tmp_path)
    demo = demo_config(url="ws://127.0.0.1:1", microphone="wav:a", loudspeaker="wav:b", camera=tmp_path, socket=socket)
    live = live_config(
        microphone="pyaudio:default", loudspeaker="pyaudio:default", camera=f"files:{tmp_path}", model="", socket=socket
    )
    before = config.parse(tomllib.loads(demo), source="demo")
    after = config.parse(tomllib.loads(live), source="live")
    differing = {entry.key for entry in config.changes(before, after)}
    assert differing == {"live.url", "live.credential", "audio.input", "audio.output"}
    assert after.live.url == ""
    assert after.live.credential == "env:GEMINI_API_KEY"


def test_a_model_may_be_chosen_for_live(tmp_path: Path) -> None:
    text = live_config(
        microphone="silence:", loudspeaker="null:", camera="off", model="gemini-x", socket=socket_path(tmp_path)
    )
    assert config.parse(tomllib.loads(text), source="live").live.model == "gemini-x"
