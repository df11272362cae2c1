"""The stored calibration: read back as written, ignored with a sentence when it is nonsense."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.audio.calibration import Calibration, complaint
from edge_agent.config import Audio
from edge_agent.service.state import StateFile

GOOD = Calibration(
    at="2026-03-01T09:30:00+00:00",
    input="alsa:edge_mic",
    output="alsa:edge_speaker",
    delay_ms=23.5,
    echo_gain_db=-24.0,
    tail_ms=140.0,
    noise_dbfs=-78.0,
    mic_gain_db=25.5,
    mic_channel="right",
    volume_max=72,
    echo="software",
    speech_dbfs=-51.5,
    speech_heard=True,
    ser_db=-8.0,
    distortion=0.04,
    drift_ppm=12.0,
    ring_ms=40.0,
)


def test_what_is_stored_is_what_is_read_back_after_a_restart(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    state.put("calibration", GOOD.to_section())
    assert state.flush() is None
    later = StateFile(tmp_path)
    assert later.load() == []
    assert Calibration.from_section(later.section("calibration")) == GOOD


def test_a_device_that_was_never_calibrated_has_none_and_no_complaint() -> None:
    assert Calibration.from_section({}) is None
    assert complaint({}) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delay_ms", "23"),
        ("delay_ms", math.nan),
        ("delay_ms", True),
        ("mic_gain_db", 61),
        ("volume_max", 0),
        ("volume_max", 55.5),
        ("volume_max", 101),
        ("mic_channel", "auto"),
        ("echo", "auto"),
        ("echo", None),
        ("input", 3),
        ("noise_dbfs", [1]),
        ("speech_heard", 1),
    ],
)
def test_a_section_edited_into_nonsense_is_ignored_with_a_sentence(name: str, value: Any) -> None:
    section = GOOD.to_section() | {name: value}
    assert Calibration.from_section(section) is None
    assert name in complaint(section)
    assert "edge-agent calibrate" in complaint(section)


def test_a_section_without_what_decides_is_ignored_and_one_without_the_rest_is_not() -> None:
    section = GOOD.to_section()
    for name in section:
        fewer = {key: value for key, value in section.items() if key != name}
        read = Calibration.from_section(fewer)
        assert (read is None) == (complaint(fewer) != "")
        if name in {"ser_db", "drift_ppm", "ring_ms", "distortion", "speech_dbfs", "speech_heard"}:
            assert read is not None
        else:
            assert read is None


def test_whole_numbers_are_as_good_and_unknown_keys_do_no_harm() -> None:
    section = GOOD.to_section() | {"delay_ms": 23, "of_a_later_version": {"x": 1}}
    read = Calibration.from_section(section)
    assert read is not None
    assert type(read.delay_ms) is float


def test_it_fits_only_the_devices_it_was_measured_with() -> None:
    audio = Audio(input="alsa:edge_mic", output="alsa:edge_speaker")
    assert GOOD.fits(audio)
    assert not GOOD.fits(dataclasses.replace(audio, output="alsa:other"))
    assert not GOOD.fits(dataclasses.replace(audio, input="alsa:other"))


def test_what_the_owner_wrote_wins_over_what_was_measured() -> None:
    found = GOOD.over(Audio())
    assert (found.mic_gain_db, found.mic_channel, found.volume_max) == (25.5, "right", 72)
    assert found.echo == "software"
    written = Audio(mic_gain_db=30.0, mic_channel="left", volume_max=50, echo="off")
    assert GOOD.over(written) == written


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([field.name for field in dataclasses.fields(Calibration)]), _ANY))
def test_whatever_stands_there_is_read_or_refused_and_never_an_error(changes: dict[str, Any]) -> None:
    section = GOOD.to_section() | changes
    read = Calibration.from_section(section)
    assert (read is None) == bool(complaint(section))
    if read is not None:
        assert Calibration.from_section(read.to_section()) is not None
