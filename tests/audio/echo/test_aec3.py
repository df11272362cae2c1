"""AEC3: the echo goes, the person stays, and neither chunking, drift, a jump nor a mute spoils it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from echoes import behind_a_gate, erle_db, level_db, scene, through
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.audio.echo.aec3 import Aec3
from edge_agent.errors import DeviceError, Fault


@pytest.mark.parametrize("delay_ms", [20, 60, 150, 250])
def test_the_echo_is_gone_after_a_second_however_late_it_comes(delay_ms: float) -> None:
    heard = scene(12.0, delay_ms=delay_ms)
    assert erle_db(heard.echo, through(Aec3(), heard.near, heard.far), 1.0, 12.0) > 28  # 31 to 40


def test_a_wrong_hint_does_no_harm() -> None:
    heard = scene(12.0)
    assert erle_db(heard.echo, through(Aec3(delay_ms=200), heard.near, heard.far), 1.0, 12.0) > 28


def test_a_loudspeaker_that_distorts_is_still_cancelled() -> None:
    heard = scene(12.0, distortion=0.5)
    assert erle_db(heard.echo, through(Aec3(), heard.near, heard.far), 1.0, 12.0) > 23  # 26


def test_two_clocks_that_drift_apart_cost_next_to_nothing() -> None:
    heard = scene(12.0, drift_ppm=50.0)
    assert erle_db(heard.echo, through(Aec3(), heard.near, heard.far), 1.0, 12.0) > 28  # 31


def test_a_jump_of_the_delay_is_found_within_half_a_second() -> None:
    heard = scene(12.0, jump=(6.0, 40.0))
    out = through(Aec3(), heard.near, heard.far)
    assert erle_db(heard.echo, out, 6.5, 7.0) > 24  # 30
    assert erle_db(heard.echo, out, 7.0, 12.0) > 26  # 30


def test_a_person_alone_is_untouched() -> None:
    heard = scene(8.0, answer=False, person_at=(1.0, 4.5))
    out = through(Aec3(), heard.near, heard.far)
    assert level_db(out, 1.0, 8.0) == pytest.approx(level_db(heard.near, 1.0, 8.0), abs=0.3)


def test_a_person_who_talks_over_the_answer_stands_out() -> None:
    heard = scene(12.0, person_at=(8.0,))
    out = through(Aec3(), heard.near, heard.far)
    assert level_db(out, 8.0, 10.5) > level_db(heard.person, 8.0, 10.5) - 7  # 3 to 5 dB are lost at equal loudness
    assert level_db(out, 8.0, 10.5) > level_db(out, 7.0, 8.0) + 25


def test_a_sound_leaves_as_late_as_the_manual_says() -> None:
    click = np.random.default_rng(1).integers(-20, 20, 16_000).astype(np.int16)
    click[8_000] = 20_000
    out = through(Aec3(), click, np.zeros_like(click))
    assert (int(np.argmax(np.abs(out))) - 8_000) / 16 == pytest.approx(8.0, abs=0.5)


def test_silence_gives_silence() -> None:
    quiet = np.zeros(16_000, np.int16)
    assert not through(Aec3(), quiet, quiet).any()
    assert not through(Aec3(), quiet, scene(12.0).far[:16_000]).any()
    assert not through(Aec3(), quiet, scene(12.0).far[:16_000], muted=(0, 16_000)).any()


def test_a_mute_in_the_middle_of_an_answer_is_survived() -> None:
    heard = scene(16.0, person_at=(9.5, 13.0))
    plain = through(Aec3(), heard.near, heard.far)
    muted = through(Aec3(), heard.near, heard.far, muted=(96_000, 144_000))
    assert not muted[96_000:144_000].any()
    assert level_db(muted, 9.0, 9.5) < -55  # not even the first words after it come back as echo
    assert level_db(muted, 9.0, 9.5) > -70  # and the room's noise, -65 dBFS, is still known for what it is
    for start in (9.5, 10.0, 13.0, 13.5):
        assert level_db(muted, start, start + 0.5) == pytest.approx(level_db(plain, start, start + 0.5), abs=2)


@pytest.mark.parametrize("gate_dbfs", [-50.0, -40.0])
@pytest.mark.parametrize("person_at", [8.0, 9.5])
def test_a_microphone_with_a_noise_gate_loses_no_beginning_of_a_sentence(gate_dbfs: float, person_at: float) -> None:
    """At -40 dBFS it gates the whole echo of this answer, so that the person is the first to be heard."""
    heard = scene(14.0, person_at=(person_at,), echo_db=-30)
    out = through(Aec3(), behind_a_gate(heard.near, gate_dbfs), heard.far)
    began = (person_at, person_at + 0.3)
    assert level_db(out, *began) > level_db(heard.person, *began) - 2.5
    assert level_db(out, 4.0, person_at - 0.2) < -65


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(1, 31_999), max_size=12), muted=st.tuples(st.integers(0, 200), st.integers(0, 80)))
def test_any_chunking_gives_the_same_bits(cuts: list[int], muted: tuple[int, int]) -> None:
    heard = scene(12.0)
    near, far = heard.near[:32_000].copy(), heard.far[:32_000]
    near[-4_000:-2_000] = 0
    mute = (muted[0] * 160, (muted[0] + muted[1]) * 160 + 77)
    assert np.array_equal(through(Aec3(), near, far, cuts, muted=mute), through(Aec3(), near, far, muted=mute))


@pytest.mark.parametrize("frames", [1, 2, 4, 10])
def test_blocks_of_whole_frames_come_back_at_their_own_length(frames: int) -> None:
    canceller, heard = Aec3(), scene(12.0)
    size = frames * 160
    assert all(
        len(canceller.process(heard.near[at : at + size], heard.far[at : at + size])) == size
        for at in range(0, 10 * size, size)
    )


def test_reset_forgets_the_room_and_keeps_the_delay() -> None:
    first, second = scene(12.0), scene(12.0, delay_ms=250)
    canceller = Aec3()
    canceller.delay(150)
    through(canceller, first.near[:32_100], first.far[:32_100])
    canceller.reset()
    fresh = through(Aec3(delay_ms=150), second.near, second.far)
    assert np.array_equal(through(canceller, second.near, second.far), fresh)
    assert canceller._webrtc.stream_delay_ms == 150


@pytest.mark.parametrize("ms", [-1.0, 501.0, float("nan")])
def test_an_impossible_delay_is_refused(ms: float) -> None:
    with pytest.raises(ValueError, match="0 to 500 ms"):
        Aec3().delay(ms)


def test_streams_out_of_step_are_refused() -> None:
    with pytest.raises(ValueError, match="320 samples of the microphone, 160 of the loudspeaker"):
        Aec3().process(np.zeros(320, np.int16), np.zeros(160, np.int16))


def test_without_the_library_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with pytest.raises(DeviceError, match=r"pip install pywebrtc-audio") as caught:
        Aec3()
    assert caught.value.fault is Fault.MICROPHONE
