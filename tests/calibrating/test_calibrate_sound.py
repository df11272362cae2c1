"""Calibrating through PyAudio and a sound server at real time: a driver's rings and periods, other programs beside."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

import pytest

from edge_agent.audio.calibration import Calibration
from edge_agent.calibrating import command
from edge_agent.demo.soundserver import SoundServer
from edge_agent.service.state import StateFile

AIR_MS = 60
"""What the server is asked to hold sound back between loudspeaker and microphone."""


@pytest.mark.sound
def test_the_way_through_a_sound_server_is_measured(tmp_path: Path, sound_env: SoundServer) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[audio]\ninput = "pyaudio:edge_mic"\noutput = "pyaudio:edge_speaker"\n'
        f'[control]\nsocket = "{tmp_path}/control.sock"\n'
    )
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = ["--config", str(path), "--state", str(tmp_path), "--picture", str(tmp_path / "page.png")]
    args = parser.parse_args([*words, "--yes", "--no-speech", "--volume", "60"])
    air = ["source=speaker.monitor", "sink=person", f"latency_msec={AIR_MS}", "adjust_time=0"]
    environment = os.environ | sound_env.env
    loaded = subprocess.run(
        ["pactl", "load-module", "module-loopback", *air], env=environment, capture_output=True, text=True, check=True
    )
    try:
        assert command.run(args) == 0
    finally:
        subprocess.run(["pactl", "unload-module", loaded.stdout.strip()], env=environment, check=True)
    state = StateFile(tmp_path)
    assert state.load() == []
    found = Calibration.from_section(state.section("calibration"))
    assert found is not None
    assert AIR_MS - 30 < found.delay_ms < AIR_MS + 100
    assert found.echo_gain_db == pytest.approx(0, abs=0.5)
    assert found.distortion < 0.005
    assert abs(found.drift_ppm) < 100
