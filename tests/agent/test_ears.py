"""What the sound engine listens with: as configured, as calibrated, and as far as the libraries are there."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from echoes import coupling_db

from edge_agent import config as settings
from edge_agent.agent.ears import Ears, open_ears, open_wake
from edge_agent.audio.calibration import Calibration
from edge_agent.audio.echo import HalfDuplex, Trusted
from edge_agent.audio.echo.aec3 import Aec3
from edge_agent.audio.echo.speex import LIBRARY, Speex
from edge_agent.audio.nearend import TAIL_S
from edge_agent.config import Config

MEASURED = Calibration(
    at="2026-11-20T10:00:00+01:00",
    input="silence:",
    output="null:",
    delay_ms=85.0,
    echo_gain_db=-30.0,
    tail_ms=220.0,
    noise_dbfs=-70.0,
    mic_gain_db=24.0,
    mic_channel="left",
    volume_max=80,
    echo="software",
)


def config(**tables: Any) -> Config:
    tree: dict[str, Any] = {"mode": "speaker", "audio": {"input": "silence:", "output": "null:", "mic_gain_db": 24.0}}
    for name, table in tables.items():
        tree[name] = {**tree.get(name, {}), **table} if isinstance(table, dict) else table
    return settings.parse(tree, source="test")


def shut_s(ears: Ears) -> tuple[float, float]:
    """From when to when half-duplex is shut around a sound of 0.1 s."""
    assert isinstance(ears.canceller, HalfDuplex)
    sound = np.random.default_rng(1).normal(0, 3_000, 1_600).astype(np.int16)
    far = np.concatenate([sound, np.zeros(32_000, np.int16)])
    shut = []
    for at in range(0, len(far), 160):
        ears.canceller.process(np.zeros(160, np.int16), far[at : at + 160])
        shut.append(ears.canceller.shut)
    return shut.index(True) / 100, (len(shut) - shut[::-1].index(True)) / 100


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    monkeypatch.setattr("edge_agent.audio.echo.speex.LIBRARY", f"no-{LIBRARY}")


@pytest.mark.parametrize(
    ("echo", "kind", "full_duplex"),
    [("auto", Aec3, True), ("software", Aec3, True), ("hardware", Trusted, True), ("half-duplex", HalfDuplex, False)],
)
def test_the_policy_chooses_the_canceller(echo: str, kind: type, full_duplex: bool) -> None:
    ears = open_ears(config(audio={"echo": echo}), None)
    assert isinstance(ears.canceller, kind)
    assert ears.echo == ("software" if echo == "auto" else echo)
    assert ears.full_duplex is full_duplex
    assert ears.tail_s == TAIL_S


@pytest.mark.parametrize(
    ("tables", "full_duplex"),
    [
        ({"audio": {"echo": "off"}}, True),  # headphones
        ({"panel": {"button": "hook"}}, True),  # a handset
        ({"mode": "kiosk"}, False),  # push-to-talk: its own sentences are in the room
    ],
)
def test_where_nothing_echoes_or_nobody_listens_there_is_no_canceller(
    tables: dict[str, Any], full_duplex: bool
) -> None:
    ears = open_ears(config(**tables), None)
    assert ears.canceller is None
    assert ears.full_duplex is full_duplex


@pytest.mark.usefixtures("no_libraries")
@pytest.mark.parametrize("calibration", [None, MEASURED])
def test_without_any_library_it_goes_on_in_half_duplex_and_says_so(
    calibration: Calibration | None, caplog: pytest.LogCaptureFixture
) -> None:
    ears = open_ears(config(), calibration)
    assert isinstance(ears.canceller, HalfDuplex)
    assert ears.echo == "half-duplex"
    assert not ears.full_duplex
    (line,) = caplog.messages
    assert "pip install pywebrtc-audio" in line
    assert "apt install libspeexdsp1" in line
    assert "half-duplex" in line


def test_without_aec3_it_takes_speex_and_stays_full_duplex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    ears = open_ears(config(), MEASURED)
    assert isinstance(ears.canceller, Speex)
    assert ears.full_duplex


def test_without_the_voice_detector_the_device_still_starts_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    ears = open_ears(config(), None)
    assert ears.detector is None
    assert isinstance(ears.canceller, Aec3)
    assert "install webrtcvad-wheels" in caplog.text


@pytest.mark.parametrize(
    ("tables", "asked"),
    [({}, True), ({"mode": "kiosk"}, False), ({"panel": {"button": "hook"}}, False)],
)
def test_only_an_open_microphone_is_asked_whether_somebody_speaks(tables: dict[str, Any], asked: bool) -> None:
    assert (open_ears(config(**tables), None).detector is not None) is asked


def test_what_was_calibrated_is_when_and_how_long_half_duplex_is_shut() -> None:
    begins, ends = shut_s(open_ears(config(audio={"echo": "half-duplex"}), None))
    assert begins == 0.0
    assert ends == pytest.approx(0.1 + 0.3, abs=0.03)
    begins, ends = shut_s(open_ears(config(audio={"echo": "half-duplex"}), MEASURED))
    lead_s = 0.015
    assert begins == pytest.approx(0.085 + lead_s - 0.02, abs=0.011)
    assert ends == pytest.approx(0.1 + 0.085 + lead_s + 0.22, abs=0.031)


def test_the_coupling_counts_the_microphones_gain() -> None:
    ears = open_ears(config(audio={"echo": "half-duplex"}), MEASURED)
    assert isinstance(ears.canceller, HalfDuplex)
    assert coupling_db(ears.canceller) == pytest.approx(-30 + 24)


def test_the_delay_that_was_measured_belongs_to_the_time_in_which_the_device_is_heard() -> None:
    assert open_ears(config(), MEASURED).tail_s == pytest.approx(0.305)


def test_a_longer_block_runs_further_ahead_and_the_canceller_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    monkeypatch.setattr("edge_agent.audio.echo.aec3.Aec3.__init__", lambda _, *, delay_ms=0.0: told.append(delay_ms))
    for block_ms in (10, 20, 40, 100):
        open_ears(config(audio={"block_ms": block_ms}, live={"message_ms": 200}), MEASURED)
    assert told == [85 + 5, 85 + 15, 85 + 20, 85 + 20]


def test_a_wake_word_is_for_speaker_mode() -> None:
    assert open_wake(config()) is None
    detector = open_wake(config(wake={"word": "okay_nabu"}))
    assert detector is not None
    assert detector.words == ("Okay Nabu",)
    detector.close()


def test_what_is_left_when_a_part_has_failed() -> None:
    whole = open_ears(settings.parse({"mode": "speaker"}, source="test"), None)
    assert whole.full_duplex
    left = whole.without("canceller")
    assert (left.echo, left.full_duplex) == ("half-duplex", False)
    assert left.detector is not None
    assert whole.without("detector").detector is None
    assert whole.without("wake") == whole
