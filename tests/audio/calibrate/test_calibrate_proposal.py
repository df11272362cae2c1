"""From measurements to settings: what limits the volume, how much gain fits, and what no canceller can do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.audio.calibrate.measures import Heard, Measured, Speech
from edge_agent.audio.calibrate.programme import decibels
from edge_agent.audio.calibrate.proposal import LEAST_CAP, LEAST_SER_DB, Proposal, Unusable, propose

VOLUMES = (21, 47, 100)


def measured(
    *,
    gain_db: float = -24.0,
    distortion: tuple[float, float, float] = (0.003, 0.01, 0.03),
    clipped: tuple[bool, bool, bool] = (False, False, False),
    found: bool = True,
    **changes: Any,
) -> Measured:
    sweeps = tuple(
        Heard(
            volume=volume,
            played_db=decibels(volume) - 3,
            found=found,
            delay_ms=25.0,
            height_db=60.0,
            gain_db=gain_db,
            distortion=share,
            distortion_floor=0.001,
            peak_dbfs=min(0.0, decibels(volume) - 3 + gain_db),
            clipped=100 if over else 0,
        )
        for volume, share, over in zip(VOLUMES, distortion, clipped, strict=True)
    )
    whole = Measured(
        slot="left", channel="left", noise_dbfs=-80.0, sweeps=sweeps, best=2, delay_ms=25.0, echo_gain_db=gain_db,
        tail_ms=120.0, drift_ppm=0.0, wander_ms=0.0, ring_ms=40.0, lost=0, impulse=np.zeros(0), response_db=np.zeros(0),
    )  # fmt: skip
    return dataclasses.replace(whole, **changes)


def proposed(what: Measured, dbfs: float | None = -50.0, **wanted: Any) -> Proposal:
    spoken = None if dbfs is None else Speech(dbfs, 4.0, 0)
    return propose(what, spoken, **({"loudest": 100, "gain_db": 24.0, "heard": False} | wanted))


def test_a_device_without_fault_may_be_as_loud_as_it_was_tried() -> None:
    found = proposed(measured(gain_db=-30.0))
    assert (found.volume_max, found.echo, found.mic_channel) == (100, "software", "left")
    assert found.mic_gain_db == 24.0  # -50 dBFS to -26
    assert found.notes == ()


def test_a_loud_echo_caps_the_volume_where_speech_is_ten_decibels_under_it() -> None:
    found = proposed(measured(gain_db=-14.0))
    assert found.volume_max < 100
    assert found.ser_db >= LEAST_SER_DB
    assert -50.0 - (-20.0 + decibels(found.volume_max + 1) - 14.0) < LEAST_SER_DB
    assert "10 dB under the echo" in found.reasons["volume_max"]


def test_distortion_caps_the_volume() -> None:
    found = proposed(measured(gain_db=-30.0, distortion=(0.01, 0.05, 0.3)))
    assert 47 < found.volume_max < 100
    assert found.distortion == pytest.approx(0.10, rel=0.1)
    assert "distortion" in found.reasons["volume_max"]


def test_an_overdriven_microphone_caps_the_volume_under_full_scale() -> None:
    found = proposed(measured(gain_db=6.0, clipped=(False, False, True), distortion=(0.01, 0.01, 0.5)), -14.0)
    assert decibels(found.volume_max) - 3 + 6 <= -1
    assert found.volume_max >= 47
    assert "overdrive" in found.reasons["volume_max"]


def test_an_answer_nobody_understands_is_no_use() -> None:
    found = proposed(measured(gain_db=-7.0))
    assert found.volume_max == LEAST_CAP
    assert found.ser_db < LEAST_SER_DB
    assert found.echo == "software"
    assert "away from the loudspeaker" in found.reasons["volume_max"]
    assert "missed" in found.reasons["echo"]


def test_the_echo_must_fit_whatever_speech_would_like() -> None:
    found = proposed(measured(gain_db=-20.0), -50.0)
    assert found.mic_gain_db + decibels(found.volume_max) - 20.0 <= -1.0
    assert found.mic_gain_db < 24.0
    assert "clip" in found.reasons["mic_gain_db"]


@pytest.mark.parametrize(
    ("what", "dbfs", "word"),
    [
        (measured(gain_db=8.0), -55.0, "under the echo"),
        (measured(gain_db=-30.0, distortion=(0.4, 0.5, 0.6)), -50.0, "distortion"),
    ],
)
def test_what_no_canceller_can_do_makes_the_device_listen_only_while_quiet(
    what: Measured, dbfs: float, word: str
) -> None:
    found = proposed(what, dbfs)
    assert found.echo == "half-duplex"
    assert word in found.reasons["echo"]
    assert found.mic_gain_db == -26.0 - dbfs  # the echo need not fit: nothing is heard meanwhile


def test_where_nobody_spoke_the_configured_gain_is_kept() -> None:
    found = proposed(measured(gain_db=-40.0), None, gain_db=31.5)
    assert found.mic_gain_db == 31.5
    assert "nobody" in found.reasons["mic_gain_db"].lower()


def test_a_device_that_cancels_by_itself_is_believed_only_when_a_person_heard_it() -> None:
    silent = measured(found=False, gain_db=-100.0)
    with pytest.raises(Unusable, match="--heard"):
        proposed(silent)
    found = proposed(silent, heard=True)
    assert (found.echo, found.volume_max, found.mic_gain_db) == ("hardware", 100, 24.0)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (measured(lost=3), r"lost 3 times.*block_ms"),
        (measured(slot="none", found=False), r"nothing at all.*GPIO 20"),
        (measured(found=False), r"did not hear the loudspeaker.*GPIO 16"),
        (measured(clipped=(True, True, True)), r"overdriven.*alsamixer"),
        (measured(wander_ms=12.0), r"moved by 12 ms"),
    ],
)
def test_what_cannot_be_relied_on_is_refused_with_what_to_check(what: Measured, sentence: str) -> None:
    with pytest.raises(Unusable, match=sentence):
        proposed(what, None)


def test_a_loud_room_a_levelled_echo_and_a_long_delay_are_noted() -> None:
    assert "room is loud" in " ".join(proposed(measured(noise_dbfs=-60.0, gain_db=-30.0)).notes)
    assert "late" in " ".join(proposed(measured(delay_ms=300.0)).notes)
    levelled = measured()
    sweeps = tuple(
        dataclasses.replace(one, gain_db=gain) for one, gain in zip(levelled.sweeps, (-20.0, -28.0, -38.0), strict=True)
    )
    assert "18 dB less" in " ".join(proposed(dataclasses.replace(levelled, sweeps=sweeps)).notes)


@given(
    st.floats(-80, 40),
    st.floats(-90, -5),
    st.tuples(*[st.floats(0, 1)] * 3),
    st.integers(20, 100),
    st.booleans(),
)
def test_whatever_was_measured_the_settings_are_allowed_ones_and_a_cancelled_echo_fits(
    gain_db: float, dbfs: float, distortion: tuple[float, float, float], loudest: int, clipped: bool
) -> None:
    what = measured(gain_db=gain_db, distortion=distortion, clipped=(False, False, clipped))
    found = proposed(what, dbfs, loudest=loudest)
    assert 1 <= found.volume_max <= loudest
    assert -20 <= found.mic_gain_db <= 60
    assert set(found.reasons) == {"mic_gain_db", "mic_channel", "volume_max", "echo"}
    assert all(reason.endswith(".") for reason in found.reasons.values())
    if found.echo == "software" and found.mic_gain_db > -20:
        assert found.mic_gain_db + decibels(found.volume_max) + gain_db <= 0
