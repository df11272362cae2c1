"""The loop around the devices: what comes back is where it should be, whatever the block, and losses are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calibrating.site import Site
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.audio.calibrate import programme as programmes
from edge_agent.audio.calibrate.programme import LEAST, Programme, decibels, nearest_volume
from edge_agent.audio.pacer import RATE_HZ
from edge_agent.errors import DeviceError, Fault, StreamEnded


@pytest.mark.parametrize("block_ms", [10, 20, 40, 100])
def test_a_click_comes_back_after_the_delay_of_the_room_alone(tmp_path: Path, block_ms: int) -> None:
    sound = np.zeros(RATE_HZ // 2, np.float32)
    sound[12_000] = 0.5
    with Site(tmp_path, delay_ms=30, echo_gain_db=0).loopback(block_ms) as loopback:
        take = loopback.run(sound)
        again = loopback.run(sound)
    for one in (take, again):
        heard = int(np.abs(one.microphone[:, 0].astype(np.int64)).argmax())
        assert heard - 12_000 - one.offset == pytest.approx(0.030 * RATE_HZ, abs=48)
        assert one.microphone[heard, 0] == pytest.approx(0.5 * 2**31, rel=1e-3)
        assert one.lost == 0
    assert take.ring_ms == pytest.approx(2 * block_ms, abs=1)


def test_the_end_of_the_sound_is_recorded_too(tmp_path: Path) -> None:
    sound = np.zeros(RATE_HZ // 2, np.float32)
    sound[-1] = 0.5
    with Site(tmp_path, delay_ms=250, echo_gain_db=0).loopback() as loopback:
        assert np.abs(loopback.run(sound).microphone).max() > 0.4 * 2**31


def test_lost_sound_is_counted(tmp_path: Path) -> None:
    site = Site(tmp_path, worn=Stumbling)
    with site.loopback() as loopback:
        assert loopback.run(np.zeros(RATE_HZ // 2, np.float32)).lost > 0


def test_a_device_that_is_not_there_leaves_the_other_one_free(tmp_path: Path) -> None:
    closed: list[str] = []

    class Loudspeaker:
        ring_ms = 40.0

        def close(self) -> None:
            closed.append("loudspeaker")

    site = Site(tmp_path)
    loopback = site.loopback()
    loopback._open_output = lambda *_a, **_k: Loudspeaker()  # type: ignore[assignment]

    def refuse(*_a: Any, **_k: Any) -> Any:
        raise DeviceError("no microphone")

    loopback._open_input = refuse
    with pytest.raises(DeviceError, match="no microphone"), loopback:
        pass
    assert closed == ["loudspeaker"]


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_loudspeaker_that_does_not_take_its_sound_ends_it_with_a_sentence(tmp_path: Path, share: float) -> None:
    site = Site(tmp_path)
    with site.loopback() as loopback:
        loudspeaker = loopback._loudspeaker
        whole, given = loudspeaker.writable, [0.0]

        def reluctant() -> int:
            given[0] += share * 960
            taken = min(whole(), int(given[0]) // 48 * 48)
            given[0] -= taken
            return taken

        loudspeaker.writable = reluctant  # type: ignore[method-assign]
        began = site.clock.now
        with pytest.raises(StreamEnded, match=r"The loudspeaker room:.* took .* of 6\.0 s .*: switch it off") as raised:
            loopback.run(np.zeros(6 * RATE_HZ, np.float32))
    assert raised.value.fault is Fault.LOUDSPEAKER
    assert site.clock.now - began < (2.5 if not share else 16.0)


class Stumbling:
    """A microphone that loses sound in every block."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self.name, self.ring_ms = device.name, device.ring_ms

    def read(self, into: Any) -> int:
        return int(self._device.read(into)) + 1

    def close(self) -> None:
        self._device.close()


@settings(max_examples=20)
@given(st.integers(LEAST, 100))
def test_the_programme_grows_louder_up_to_the_volume_asked_for(loudest: int) -> None:
    programme = Programme.up_to(loudest)
    assert list(programme.volumes) == sorted(set(programme.volumes))
    assert programme.volumes[-1] == loudest
    peaks = [np.abs(programme.sound[start : start + 2 * RATE_HZ]).max() for start in programme.starts]
    for volume, peak in zip(programme.volumes, peaks, strict=True):
        assert 20 * np.log10(peak) == pytest.approx(decibels(volume) - 3, abs=0.1)
    assert not programme.sound[programme.quiet].any()
    assert decibels(programme.volumes[0]) == pytest.approx(decibels(loudest) - 20, abs=1)


@pytest.mark.parametrize("loudest", [LEAST - 1, 101])
def test_a_volume_that_leaves_no_room_is_refused(loudest: int) -> None:
    with pytest.raises(ValueError, match=str(loudest)):
        Programme.up_to(loudest)


def test_a_volume_is_found_by_its_decibels() -> None:
    assert all(nearest_volume(decibels(volume)) == volume for volume in range(1, 101))
    assert nearest_volume(-90) == 1


def test_the_beep_is_short_and_then_it_is_silent() -> None:
    sound = programmes.beep_then_silence(60, 1.0)
    beep = round(programmes.BEEP_S * RATE_HZ)
    assert np.abs(sound[:beep]).max() > 0.01
    assert not sound[beep:].any()
    assert len(sound) == beep + RATE_HZ
