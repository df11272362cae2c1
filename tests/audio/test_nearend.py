"""The near end: the muted is seen by nobody, the gated waits for a person, and numbers name the right sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import acoustics
import echoes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.bargein import (
    NearEndCleared,
    NearEndConfirmed,
    NearEndDetector,
    NearEndSuspected,
    Policy,
    VoiceEnded,
    VoiceStarted,
    webrtc_speech,
)
from edge_agent.audio.echo import Canceller, HalfDuplex, Trusted
from edge_agent.audio.echo.aec3 import Aec3
from edge_agent.audio.echo.speex import Speex
from edge_agent.audio.filters import Decimator, resample
from edge_agent.audio.nearend import NearEnd, NearEvent, PartFailed, WakeHeard
from edge_agent.audio.reference import LEAD
from edge_agent.audio.ring import RATE, CaptureRing
from edge_agent.audio.trust import AGAIN_S, SETTLE_S
from edge_agent.wake import Heard

LOUD = 3_000
NOISE = 40

Sound = NDArray[np.int16]


def card(sound: Sound) -> NDArray[np.int32]:
    """16 kHz sound as the sound card has it: 48 kHz, both slots."""
    wide = np.rint(resample(sound.astype(np.float32), RATE, 48_000) * 65_536).clip(-(2.0**31), 2.0**31 - 128)
    frames = wide.astype(np.int32)[: 3 * len(sound)]
    return np.stack([frames, frames], axis=1)


def noise(seconds: float, level: float = LOUD, seed: int = 1) -> Sound:
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE)).astype(np.int16)


def nothing(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE), np.int16)


class Spy:
    """A canceller that cancels nothing and keeps what it is shown; what it holds back comes out 10 ms later."""

    name = "spy"
    gates = False
    trusted = False
    shut = False

    def __init__(self) -> None:
        self.near: list[Sound] = []
        self.far: list[Sound] = []
        self.muted: list[bool] = []
        self.holds = nothing(0.01)

    def process(self, near: Sound, far: Sound, *, muted: bool = False) -> Sound:
        self.muted.append(muted)
        assert near.shape == far.shape
        self.near.append(near.copy())
        self.far.append(far.copy())
        line = np.concatenate([self.holds, near])
        self.holds = line[len(near) :]
        return line[: len(near)]

    def reset(self) -> None:
        self.holds = nothing(0.01)

    def delay(self, ms: float) -> None:
        raise AssertionError(f"nobody asked for {ms}")


class Ear:
    """A wake word that is heard wherever a sample is `LOUD * 8` or more; a near miss where it is `-LOUD * 8`."""

    def __init__(self) -> None:
        self.heard: list[Sound] = []
        self.resets = 0

    def hear(self, block: Sound) -> list[Heard]:
        self.heard.append(block.copy())
        peaks = np.flatnonzero(np.abs(block.astype(int)) >= LOUD * 7)
        return [Heard("nabu", 0.9, fired=bool(block[at] > 0), ago=len(block) - int(at)) for at in peaks[:1].tolist()]

    def reset(self) -> None:
        self.resets += 1


@dataclass
class Bench:
    """A near end with a clock; the loudspeaker holds a block of what it was given when the microphone's is read."""

    near: NearEnd
    ring: CaptureRing
    block: int = 320
    now: float = 100.0
    events: list[NearEvent] = field(default_factory=list)
    ducked: list[bool] = field(default_factory=list)
    told_more: int = 0
    """Frames that the loudspeaker says it holds, and does not."""

    def run(self, mic: Sound, far: Sound | None = None, *, shut: Callable[[int], bool] | None = None) -> None:
        """Hear `mic` while `far` is played; `shut` tells from which sample on the microphone is muted."""
        size = 3 * self.block
        frames = card(mic)
        played = card(nothing(len(mic) / RATE) if far is None else far)
        self.commit(played[:size])
        for at in range(0, len(frames), size):
            if shut is not None:
                self.near.set_mute(shut(at // 3), self.now)
            self.commit(coming := played[at + size : at + 2 * size])
            self.now += size / 48_000
            self.near.take(frames[at : at + size].copy(), self.now, len(coming) + self.told_more, self.events.append)
            self.ducked.append(self.near.ducking)

    def commit(self, frames: NDArray[np.int32]) -> None:
        self.near.committed(frames, silent=not frames.any())

    def heard(self, start: int = 0, end: int | None = None, *, gated: bool = False) -> Sound:
        return np.frombuffer(self.ring.read(start, self.ring.written if end is None else end, gated=gated), np.int16)

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]


def bench(
    canceller: Canceller | None = None, *, detector: NearEndDetector | None = None, wake: Ear | Broken | None = None,
    attentive: bool = True, block: int = 320, **more: Any,
) -> Bench:  # fmt: skip
    ring = CaptureRing(60.0)
    near = NearEnd(ring, mic_gain_db=0.0, mic_channel="left", canceller=canceller, detector=detector, **more)
    near.listen_for(wake)
    near.attend(attentive, careful=True)
    return Bench(near, ring, block)


ANY_NOISE = Policy(over_noise_db=-200.0)
"""People in these tests are as steady as noise."""


def every_frame(_: bytes) -> bool:
    return True


@pytest.mark.parametrize("make", [Spy, HalfDuplex, Aec3, Speex])
def test_nobody_sees_a_sample_of_a_muted_microphone(make: Callable[[], Canceller], monkeypatch: Any) -> None:
    seen: list[Sound] = []
    canceller = make()
    process = canceller.process

    def spied(near: Sound, far: Sound, *, muted: bool = False) -> Sound:
        seen.append(near.copy())
        return process(near, far, muted=muted)

    monkeypatch.setattr(canceller, "process", spied)
    frames: list[bytes] = []

    def speech(frame: bytes) -> bool:
        frames.append(frame)
        return True

    ear = Ear()
    device = bench(canceller, detector=NearEndDetector(speech), wake=ear)
    device.run(noise(0.5), noise(0.5, seed=2))
    for kept in (seen, frames, ear.heard):
        kept.clear()
    device.run(noise(0.5), noise(0.5, seed=2), shut=lambda _: True)
    assert not any(near.any() for near in seen)
    assert not frames
    assert not ear.heard
    assert not device.heard(RATE // 2).any()
    assert device.ring.muted(RATE // 2, RATE)


def test_the_canceller_is_told_of_a_mute_and_not_left_to_guess_it_from_zeros() -> None:
    spy = Spy()
    device = bench(spy)
    device.run(nothing(0.2))
    start = len(spy.muted)
    device.run(noise(0.4), shut=lambda at: at >= 3_200)
    assert spy.muted[start:] == [False] * 10 + [True] * 10
    assert not any(spy.muted[1:start]), "zeros that the microphone itself gives are no mute"


@pytest.mark.parametrize("make", [Spy, HalfDuplex, Aec3, Speex])
@pytest.mark.parametrize("sounding", [True, False])
@pytest.mark.parametrize("attentive", [True, False])
def test_nothing_from_before_a_mute_comes_out_after_it(
    make: Callable[[], Canceller], sounding: bool, attentive: bool
) -> None:
    device = bench(make(), attentive=attentive, wake=Ear())
    far = noise(0.3, level=100, seed=2) if sounding else None
    device.run(noise(0.3), far)
    device.run(noise(0.3), far, shut=lambda _: True)
    start = device.ring.written
    device.near.attend(True, careful=True)
    device.run(nothing(0.3), far, shut=lambda _: False)
    assert np.abs(device.heard(start).astype(int)).max() < LOUD / 30  # the echo's residue of a soft answer, or nothing


@pytest.mark.parametrize("make", [Spy, Aec3, Speex])
def test_a_canceller_that_begins_to_work_again_lets_out_nothing_from_when_it_stopped(
    make: Callable[[], Canceller],
) -> None:
    device = bench(make())
    device.run(noise(0.5))
    device.near.attend(False, careful=True)
    device.run(nothing(5.0))
    start = device.ring.written
    device.near.attend(True, careful=True)
    device.run(nothing(0.5))
    assert np.abs(device.heard(start).astype(int)).max() < LOUD / 30


def test_after_a_wipe_nothing_of_what_was_heard_comes_out() -> None:
    for make in (Spy, Aec3, Speex, HalfDuplex):
        device = bench(make(), wake=(ear := Ear()))
        device.run(noise(0.5))
        device.near.forget(device.now)
        start = device.ring.written
        device.run(nothing(0.5))
        assert np.abs(device.heard(start).astype(int)).max() < LOUD / 30
        assert ear.resets == 1


def test_the_canceller_rests_while_nobody_listens_and_nothing_sounds() -> None:
    spy = Spy()
    device = bench(spy, attentive=False)
    device.run(noise(2.0))
    assert not spy.near
    device.run(noise(0.1), noise(0.1, seed=2))
    assert len(spy.near) > 0
    device.run(noise(3.0))
    assert len(spy.near) * 320 == pytest.approx(1.1 * RATE, abs=0.2 * RATE)
    worked = len(spy.near)
    device.near.attend(True, careful=True)
    device.run(noise(0.5))
    assert len(spy.near) >= worked + 25


@pytest.mark.parametrize("echo_db", [-10, -30, -50])
def test_however_soft_the_echo_is_who_talks_over_the_answer_is_noticed(echo_db: float) -> None:
    """A good enclosure, or a quiet night: there is hardly an echo for the canceller to prove itself by."""
    scene = echoes.scene(12.0, delay_ms=60, echo_db=echo_db)
    device = bench(Aec3(), detector=NearEndDetector(webrtc_speech()))
    near = scene.near.copy()
    said = resample(acoustics.speech("Wait a moment, please", dbfs=-28.0).astype(np.float32), 48_000, RATE)
    near[8 * RATE : 8 * RATE + len(said)] += np.rint(said * 32_768).astype(np.int16)
    device.run(near, scene.far)
    (confirmed,) = device.of(NearEndConfirmed)
    assert confirmed.sample == pytest.approx(8 * RATE, abs=0.6 * RATE)


@pytest.mark.parametrize("make", [Aec3, Speex])
def test_an_unmute_in_mid_answer_leaks_no_more_than_the_first_blocks(make: Callable[..., Canceller]) -> None:
    scene = echoes.scene(12.0, delay_ms=60, echo_db=-10)
    device = bench(make(delay_ms=60), detector=NearEndDetector(webrtc_speech()))
    device.run(scene.near, scene.far, shut=lambda at: 6 * RATE <= at < 8 * RATE)
    before = echoes.level_db(scene.echo, 8.0, 9.5)
    assert echoes.level_db(device.heard(), 8.02, 8.3) < before - (25 if make is Aec3 else 8)
    assert echoes.level_db(device.heard(), 8.5, 9.5) < before - 18
    assert not [event for event in device.of(NearEndSuspected, NearEndConfirmed) if event.sample >= 8 * RATE]


def test_after_an_unmute_in_mid_answer_nobody_is_suspected_for_half_a_second() -> None:
    device = bench(Trusted(), detector=NearEndDetector(every_frame, ANY_NOISE))
    device.run(noise(5.0), noise(5.0, seed=2), shut=lambda at: at < 3 * RATE)
    assert device.of(NearEndSuspected)[0].sample == pytest.approx(3.5 * RATE, abs=640)


def test_a_suspicion_ends_with_a_mute_and_the_answer_is_as_loud_as_before() -> None:
    device = bench(Trusted(), detector=NearEndDetector(every_frame, ANY_NOISE))
    answer = noise(3.0, seed=2)
    device.run(np.concatenate([noise(1.5, NOISE), noise(0.1), noise(1.4, NOISE)]), answer, shut=lambda at: at >= 25_600)
    assert any(device.ducked)
    assert not any(device.ducked[82:])
    assert [type(event) for event in device.events] == [NearEndSuspected, NearEndCleared]


def test_a_voice_ends_with_a_mute_and_with_the_end_of_listening() -> None:
    for end in ("mute", "attend"):
        device = bench(Trusted(), detector=NearEndDetector(every_frame, ANY_NOISE))
        device.run(noise(0.5, NOISE / 40))
        device.run(noise(0.5))
        if end == "attend":
            device.near.attend(False, careful=True)
        device.run(noise(0.5), shut=lambda _, end=end: end == "mute")  # type: ignore[misc]
        assert [type(event) for event in device.events] == [VoiceStarted, VoiceEnded]


def test_half_duplex_marks_what_it_hears_of_itself_and_keeps_it_whole() -> None:
    device = bench(HalfDuplex(), detector=NearEndDetector(every_frame, ANY_NOISE))
    mic = noise(2.0, LOUD)
    device.run(mic, np.concatenate([nothing(0.5), noise(0.5, seed=2), nothing(1.0)]))
    whole = Decimator(channel="left").process(card(mic))
    gated = device.ring.gated(0, device.ring.written)
    assert len(gated) == 1
    (start, end) = gated[0]
    assert 0.46 * RATE <= start <= 0.5 * RATE
    assert 1.3 * RATE <= end <= 1.36 * RATE
    assert not device.heard(start, end).any()
    assert np.abs(device.heard(start, end, gated=True).astype(int) - whole[start:end]).max() <= 1
    assert device.near.gated_blocks == (end - start) / 320


def test_half_duplex_with_a_known_delay_is_shut_when_the_echo_comes_and_not_before() -> None:
    device = bench(HalfDuplex(delay_ms=200, tail_ms=100, echo_gain_db=0))
    device.run(noise(2.0, LOUD), np.concatenate([nothing(0.5), noise(0.5, seed=2), nothing(1.0)]))
    ((start, end),) = device.ring.gated(0, device.ring.written)
    assert start == pytest.approx(0.68 * RATE, abs=0.03 * RATE)
    assert end == pytest.approx(1.32 * RATE, abs=0.03 * RATE)


def test_a_person_in_half_duplex_opens_the_microphone_until_the_device_has_fallen_silent() -> None:
    device = bench(HalfDuplex(tail_ms=200, echo_gain_db=-20), detector=NearEndDetector(every_frame, ANY_NOISE))
    answer = np.concatenate([noise(4.0, seed=2), nothing(1.0), noise(1.0, seed=3)])
    person = np.concatenate([noise(2.0, NOISE), noise(1.0, 3 * LOUD, seed=4), noise(3.0, NOISE)])
    device.run(person, answer)
    (confirmed,) = device.of(NearEndConfirmed)
    assert confirmed.sample == pytest.approx(2.0 * RATE, abs=640)
    gated = device.ring.gated(0, device.ring.written)
    assert len(gated) == 2
    assert gated[0][1] == pytest.approx(2.2 * RATE, abs=0.15 * RATE), "from confirmation on it is heard"
    assert gated[1][0] == pytest.approx(5.0 * RATE, abs=640), "and the next answer is gated again"
    open_at = device.heard(gated[0][1], round(4.2 * RATE))
    whole = Decimator(channel="left").process(card(person))[gated[0][1] : round(4.2 * RATE)]
    assert np.abs(open_at.astype(int) - whole).max() <= 1, "as it was, without the voice switch's holes"


def test_who_was_heard_before_a_mute_is_not_believed_after_it() -> None:
    device = bench(HalfDuplex(tail_ms=200, echo_gain_db=-20), detector=NearEndDetector(every_frame, ANY_NOISE))
    person = np.concatenate([noise(2.0, NOISE), noise(0.6, 3 * LOUD, seed=4), noise(1.4, NOISE)])
    device.run(person, noise(4.0, seed=2), shut=lambda at: 2.6 * RATE <= at < 3 * RATE)
    assert len(device.of(NearEndConfirmed)) == 1
    assert device.ring.gated(round(2.4 * RATE), round(2.6 * RATE)) == []
    assert device.ring.gated(3 * RATE, 4 * RATE) == [(3 * RATE, 4 * RATE)]


def test_with_headphones_whoever_talks_over_the_device_is_noticed_and_nobody_else() -> None:
    for near, found in ((NOISE, 0), (3 * LOUD, 1)):
        device = bench(detector=NearEndDetector(every_frame, ANY_NOISE))
        device.run(np.concatenate([noise(2.0, NOISE), noise(2.0, near, seed=3)]), noise(4.0, seed=2))
        assert len(device.of(NearEndConfirmed)) == found


def test_the_device_is_in_the_room_for_the_time_told_after_its_last_sound() -> None:
    for tail_s, over_it in ((0.1, False), (0.4, False), (0.6, True), (0.8, True)):
        device = bench(detector=NearEndDetector(every_frame, ANY_NOISE), tail_s=tail_s)
        person = np.concatenate([noise(1.5, NOISE), noise(1.0, LOUD, seed=3)])  # half a second after the device
        device.run(person, np.concatenate([noise(1.0, seed=2), nothing(1.5)]))
        assert bool(device.of(NearEndSuspected)) is over_it


def test_after_sound_was_lost_nobody_is_suspected_for_half_a_second() -> None:
    device = bench(Trusted(), detector=NearEndDetector(every_frame, ANY_NOISE))
    device.near.attend(False, careful=True)
    device.run(noise(3.0, NOISE), noise(3.0, seed=2))  # nobody has listened yet
    device.near.lost()
    device.near.attend(True, careful=True)
    device.run(noise(2.0), noise(2.0, seed=3))
    suspected = device.of(NearEndSuspected)
    assert 3.48 * RATE <= suspected[0].sample < 3.6 * RATE


class Silencer(Spy):
    """A canceller that leaves nothing, ever."""

    def process(self, near: Sound, far: Sound, *, muted: bool = False) -> Sound:
        return np.zeros_like(super().process(near, far, muted=muted))


@pytest.mark.parametrize("told_more", [960, 2_880])
def test_where_the_echo_may_have_moved_the_canceller_is_believed_only_once_it_has_worked_again(told_more: int) -> None:
    device = bench(Silencer())
    device.run(noise(4.0), noise(4.0, seed=2))
    learned = device.near.gated_blocks
    device.run(noise(1.0), noise(1.0, seed=3))
    assert device.near.gated_blocks == learned
    device.told_more = told_more
    device.run(noise(4.0), noise(4.0, seed=4))
    again = device.near.gated_blocks - learned
    assert again * 0.02 >= SETTLE_S + AGAIN_S - 0.04
    device.run(noise(1.0), noise(1.0, seed=5))
    assert device.near.gated_blocks == learned + again


@settings(max_examples=12, deadline=None)
@given(block=st.sampled_from([160, 320, 640, 1_600]), word_at=st.integers(RATE // 2, RATE), fired=st.booleans())
def test_numbers_name_the_same_samples_for_any_length_of_block(block: int, word_at: int, fired: bool) -> None:
    sound = noise(4.8, NOISE / 40)
    sound[word_at] = LOUD * 10 * (1 if fired else -1)
    sound[32_000:48_000] = noise(1.0)
    ear = Ear()
    device = bench(Trusted(), detector=NearEndDetector(every_frame, ANY_NOISE), wake=ear, block=block)
    device.run(sound)
    (heard,) = device.of(WakeHeard)[:1]
    assert heard.sample == pytest.approx(word_at + Decimator.delay_s * RATE, abs=2)
    assert heard.fired is fired
    (started,), (ended,) = device.of(VoiceStarted), device.of(VoiceEnded)
    assert started.sample == 32_000
    assert ended.sample == pytest.approx(48_000, abs=320)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 5_000), min_size=1, max_size=20))
def test_odd_blocks_without_a_canceller_tell_the_same(cuts: list[int]) -> None:
    sound = np.concatenate([noise(0.5, NOISE / 40), noise(0.7), noise(1.2, NOISE / 40)])
    found = []
    for pieces in (cuts, [960]):
        device = bench(detector=NearEndDetector(every_frame, ANY_NOISE))
        frames, at, number = card(sound), 0, 0
        while at < len(frames):
            piece = frames[at : at + pieces[number % len(pieces)]]
            device.now += len(piece) / 48_000
            device.near.take(piece.copy(), device.now, 0, device.events.append)
            at += len(piece)
            number += 1
        found.append((device.events, device.heard().tobytes()))
    assert found[0] == found[1]


def test_the_reference_is_what_was_committed_and_runs_ahead_of_what_is_played() -> None:
    spy = Spy()
    device = bench(spy, lead=LEAD)
    far = noise(1.0, seed=2)
    device.run(nothing(1.0), far)
    played = Decimator(channel="left").process(card(far))
    assert np.array_equal(np.concatenate(spy.far)[-8_000 - 320 : -320], played[-8_000 - 320 + LEAD : -320 + LEAD])


class Broken:
    """A part whose library raises."""

    name, gates, trusted, shut = "broken", False, False, False

    def process(
        self,
        near: NDArray[np.int16],  # noqa: ARG002
        far: NDArray[np.int16],  # noqa: ARG002
        *,
        muted: bool = False,  # noqa: ARG002
    ) -> NDArray[np.int16]:
        raise RuntimeError("invalid state")

    def hear(self, block: NDArray[np.int16]) -> list[Heard]:  # noqa: ARG002
        raise RuntimeError("invalid state")

    def reset(self) -> None:
        pass

    def delay(self, ms: float) -> None:
        pass


def test_a_canceller_that_breaks_leaves_half_duplex_and_sound_goes_on() -> None:
    device = bench(Broken(), detector=NearEndDetector(every_frame, ANY_NOISE))
    device.run(np.concatenate([noise(1.0), noise(1.0)]), np.concatenate([noise(1.0, seed=2), nothing(1.0)]))
    (failed,) = device.of(PartFailed)
    assert (failed.part, str(failed.error)) == ("canceller", "invalid state")
    assert not device.heard()[:RATE].any(), "nothing of its own voice goes up"
    assert device.heard()[round(1.6 * RATE) :].any(), "and it hears again when it is silent"


def test_a_voice_detector_or_wake_word_that_breaks_is_told_once_and_sound_goes_on() -> None:
    def speech(_: bytes) -> bool:
        raise RuntimeError("invalid state")

    device = bench(Trusted(), detector=NearEndDetector(speech), wake=Broken())
    device.run(noise(1.0))
    assert [failed.part for failed in device.of(PartFailed)] == ["detector", "wake"]
    assert device.heard().any()
