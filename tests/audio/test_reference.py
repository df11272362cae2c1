"""The echo reference follows what is really played, whatever clocks, rings and threads do.

Promised: a constant lead with one clock; two clocks up to 200 ppm apart are followed within 1.5 ms; single blocks that
err move nothing, and neither does a period of up to 20 ms that a sound server tells for nothing, though it raises a
doubt; a larger fall is followed within 0.3 s and a larger rise within two seconds; after a loss that was told the next
block is believed. It is never behind what is played.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.filters import Decimator
from edge_agent.audio.pacer import OutputPacer
from edge_agent.audio.reference import RATE, Reference, lead_for

CARD = 48_000


@dataclass
class Played:
    """What was committed, and when it sounded: straight lines (from second, to second, from frame, to frame)."""

    lines: list[tuple[float, float, float, float]] = field(default_factory=list)

    def place(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The committed frame that sounds at each time, -inf where the loudspeaker had nothing."""
        since, until, first, last = np.array(self.lines).T
        line = (np.searchsorted(since, times, side="right") - 1).clip(min=0)
        inside = (times >= since[line]) & (times < until[line])
        place = first[line] + (times - since[line]) * (last - first)[line] / (until - since)[line]
        return np.where(inside, place, -np.inf)


def keys(sound: NDArray[np.int16]) -> NDArray[np.int64]:
    """A number for each sample and the three after it; 0 where all are silent."""
    wide = np.append(sound, np.zeros(3, np.int16)).astype(np.int64)
    return ((wide[:-3] * 100_003 + wide[1:-2]) * 100_003 + wide[2:-1]) * 100_003 + wide[3:]


@dataclass(frozen=True)
class Look:
    """The reference for one block, complete at `at_s`, and when the microphone heard each of its samples."""

    at_s: float
    far: NDArray[np.int16]
    loud: bool
    times: NDArray[np.float64]


class Rig:
    """A microphone that paces, a loudspeaker with a clock and a ring of its own, and the device's pacer between them.

    Args:
        block_ms: of the microphone.
        ppm: how much faster the loudspeaker's clock runs.
        grain: frames: the loudspeaker tells what it holds in steps of so many.
        phase: where in a step it stands.
        ring_ms: of the loudspeaker.
    """

    def __init__(
        self, *, block_ms: int = 20, ppm: float = 0.0, grain: int = 1, phase: float = 0.0, ring_ms: float = 200.0
    ) -> None:
        self.block = block_ms * 48
        self.reference = Reference(lead=lead_for(self.block))
        self.looks: list[Look] = []
        self.underruns = 0
        self.rate = CARD * (1 + ppm * 1e-6)
        self.lie: Callable[[int], int] = lambda _: 0  # frames that block number n is told too many
        self.sounding: Callable[[int], bool] = lambda _: True
        self.grain, self.phase = grain, phase * grain
        self.ring = round(ring_ms * 48)
        self.pacer = OutputPacer(block_frames=self.block, ring_ms=ring_ms)
        self.played = Played()
        self.committed: list[NDArray[np.int32]] = []
        self.put = self.mic = self.skipped = 0
        self.now = 0.0  # seconds up to where the loudspeaker has been followed
        self.held = 0.0  # frames it still has to play
        self.random = np.random.default_rng(7)
        self.silent_for = 0

    def run(self, seconds: float, late: Sequence[float] = (0.0,)) -> None:
        """Let time pass; `late`: seconds by which the thread reads each block too late, over and over."""
        for lateness in itertools.islice(itertools.cycle(late), round(seconds * CARD / self.block)):
            self.mic += self.block
            complete = (self.mic + self.skipped) / CARD
            self.step(complete, max(complete + lateness, self.now))

    def step(self, complete: float, read: float) -> None:
        self.advance(read)
        free = self.ring - min(self.ring, self.tell())
        frames = self.pacer.frames(self.block, free)
        count = self.block // 3
        queued = max(0, self.pacer.fill - frames + self.lie(len(self.looks)))
        far, loud = self.reference.take(count, queued=queued)
        times = complete + (np.arange(count) - count) * 3 / CARD
        self.looks.append(Look(complete, far.copy(), loud, times))
        silent = not self.sounding(self.put)
        sound = np.zeros((frames, 2), np.int32)
        if not silent:
            sound[:, :] = (self.random.integers(-3_000, 3_000, frames) << 16)[:, None]
        self.silent_for = self.silent_for + frames if silent else 0
        self.reference.put(sound, silent=silent and self.silent_for - frames >= 960)
        self.committed.append(sound)
        if frames and not self.held and self.put:
            self.underruns += 1
            self.pacer.xrun(output=True)
            self.reference.realign()
        self.put += frames
        self.held += frames

    def tell(self) -> int:
        """What the loudspeaker says it holds."""
        consumed = self.put - self.held
        known = np.floor((consumed + self.phase) / self.grain) * self.grain - self.phase if self.grain > 1 else consumed
        return round(self.put - max(0.0, known)) if self.held else 0

    def advance(self, until: float) -> None:
        """Let the loudspeaker play."""
        span = until - self.now
        if span > 0:
            frames = min(self.held, span * self.rate)
            if frames:
                first = self.put - self.held
                self.played.lines.append((self.now, self.now + frames / self.rate, first, first + frames))
            self.held = 0.0 if frames == self.held else self.held - frames
            self.now = until

    def lose_microphone(self, seconds: float) -> None:
        """So much of the microphone's sound is never read, and the device says so."""
        self.skipped += round(seconds * CARD)
        self.reference.realign()

    def told(self, since_s: float = 0.0, until_s: float = np.inf) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Where the reference stood in what was committed, for samples that can be told, and what really sounded."""
        looks = [look for look in self.looks if since_s <= look.at_s < until_s]
        far = np.concatenate([look.far for look in looks])
        times = np.concatenate([look.times for look in looks])
        whole = keys(self.as_heard())
        order = np.argsort(whole)
        at = np.arange(0, len(far) - 3, 16)
        wanted = keys(far)[at]
        found = order[np.searchsorted(whole[order], wanted).clip(max=len(whole) - 1)]
        known = (whole[found] == wanted) & (wanted != 0)
        return found[known], self.played.place(times[at])[known] / 3

    def ahead_ms(self, since_s: float = 0.0, until_s: float = np.inf) -> NDArray[np.float64]:
        """By how much the reference runs ahead of what sounds."""
        places, true = self.told(since_s, until_s)
        ahead: NDArray[np.float64] = (places - true)[np.isfinite(true)] / 16
        return ahead

    def as_heard(self) -> NDArray[np.int16]:
        """All that was committed, at the microphone's rate."""
        down = Decimator(channel="left")
        pieces = [down.process(sound).copy() for sound in self.committed]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def within(rig: Rig, since_s: float, *, early_ms: float = 1.5, behind_ms: float = 0.0) -> None:
    lead = lead_for(rig.block) / 16
    ahead = rig.ahead_ms(since_s)
    assert len(ahead) > 100
    assert ahead.min() >= lead - behind_ms - 1.0
    assert ahead.max() <= lead + early_ms


@pytest.mark.parametrize("block_ms", [10, 20, 40, 100])
def test_with_one_clock_it_runs_a_constant_lead_ahead(block_ms: int) -> None:
    rig = Rig(block_ms=block_ms)
    rig.run(6.0)
    assert np.ptp(rig.ahead_ms(0.5)) < 0.1
    within(rig, 0.5, early_ms=0.1)
    assert rig.reference.jumps == 0, "the loudspeaker's first sound, and no other"
    assert rig.reference.slips == 0


@pytest.mark.parametrize("ppm", [-200, -50, 50, 200])
def test_two_clocks_are_followed_sample_by_sample(ppm: int) -> None:
    rig = Rig(ppm=ppm)
    rig.run(40.0)
    within(rig, 0.5)
    assert rig.reference.jumps == 0
    assert rig.reference.slips == pytest.approx(abs(ppm) * 1e-6 * 40 * RATE, abs=20)


@pytest.mark.parametrize("ppm", [-200, 0, 200])
@pytest.mark.parametrize("phase", [0.0, 0.5, 0.99])
def test_a_loudspeaker_that_tells_whole_periods_is_never_heard_before_its_reference(ppm: int, phase: float) -> None:
    rig = Rig(ppm=ppm, grain=480, phase=phase)
    rig.run(30.0)
    within(rig, 0.5, behind_ms=10.0)
    assert rig.ahead_ms(0.5).min() >= 3.5
    assert rig.underruns == 0


@settings(max_examples=25, deadline=None)
@given(
    late=st.lists(st.one_of(st.floats(0, 0.018), st.floats(0, 0.15)), min_size=1, max_size=8),
    on_time=st.integers(4, 40),
    ppm=st.sampled_from([-100, 0, 100]),
    block_ms=st.sampled_from([20, 40]),
)
@example(late=[0.15], on_time=4, ppm=0, block_ms=20)
@example(late=[0.015, 0.008], on_time=4, ppm=100, block_ms=20)
def test_a_late_thread_moves_nothing_unless_the_loudspeaker_runs_dry(
    late: list[float], on_time: int, ppm: int, block_ms: int
) -> None:
    rig = Rig(ppm=ppm, block_ms=block_ms)
    rig.run(2.0)
    rig.run(8.0, late=[one for slow in late for one in (slow, *[0.0] * on_time)])
    ahead = rig.ahead_ms(0.5)
    lead = lead_for(rig.block) / 16
    assert ahead.min() >= -1.0, "an echo before its sound cannot be cancelled"
    if not rig.underruns:
        assert ahead.max() <= lead + 1.5
        assert rig.reference.jumps == 0
    assert np.diff(rig.told()[0]).min() >= 15, "no sound is read again but a sample for drift"
    rig.run(2.5)
    within(rig, rig.now - 0.4)


def test_after_an_underrun_it_finds_the_sound_again() -> None:
    rig = Rig()
    rig.run(3.0)
    rig.run(0.02, late=[0.3])
    assert rig.reference.jumps == 0
    rig.run(2.0)
    assert rig.underruns == 1
    within(rig, 3.62)  # 0.3 s after the thread has read what it missed
    assert rig.reference.jumps >= 1


@pytest.mark.parametrize("block_ms", [10, 20, 40, 100])
@pytest.mark.parametrize("lie_ms", [-20, 10, 20])
def test_single_blocks_that_err_move_nothing(block_ms: int, lie_ms: int) -> None:
    rig = Rig(block_ms=block_ms)
    rig.lie = lambda number: lie_ms * 48 if number % 15 == 14 else 0
    rig.run(10.0)
    assert np.ptp(rig.ahead_ms(1.5)) < 0.1
    within(rig, 1.5, early_ms=0.1)
    assert rig.reference.jumps == 0
    assert rig.reference.slips == 0
    assert rig.reference.doubts <= 1


@pytest.mark.parametrize("every", [3, 5])
def test_a_sound_server_that_beats_with_the_blocks_moves_nothing(every: int) -> None:
    rig = Rig()
    rig.lie = lambda number: 960 if number // 200 % 2 and number % every == 0 else 0  # on and off, 4 s each
    rig.run(24.0)
    assert np.ptp(rig.ahead_ms(1.5)) < 0.1
    assert rig.reference.jumps == 0
    assert rig.reference.slips == 0


@pytest.mark.parametrize("block_ms", [20, 100])
def test_where_nothing_is_played_nothing_is_doubted(block_ms: int) -> None:
    rig = Rig(block_ms=block_ms)
    rig.sounding = lambda put: put < 3 * CARD
    rig.lie = lambda number: 960 if number * block_ms > 4_000 and number * block_ms // 500 % 2 else 0
    rig.run(20.0)
    assert rig.reference.doubts == 0
    assert rig.reference.jumps == 0


def test_a_period_told_for_nothing_is_doubted_and_let_be() -> None:
    rig = Rig()
    rig.lie = lambda number: 960 if 200 <= number < 400 else 0
    rig.run(4.0)
    assert rig.reference.doubts == 0
    rig.run(8.0)
    assert np.ptp(rig.ahead_ms(0.5)) < 0.1
    assert rig.reference.jumps == 0
    assert rig.reference.doubts == 2, "there and back"


@settings(max_examples=20, deadline=None)
@given(lies=st.lists(st.integers(-960, 960), min_size=1, max_size=12), honest=st.integers(9, 20))
def test_lies_of_a_tenth_of_the_blocks_never_move_it(lies: list[int], honest: int) -> None:
    rig = Rig()
    told = [one for lie in lies for one in (*[0] * honest, lie)]
    rig.lie = lambda number: told[number % len(told)]
    rig.run(8.0)
    assert np.ptp(rig.ahead_ms(1.5)) < 0.1
    assert rig.reference.jumps == 0


@pytest.mark.parametrize("seconds", [0.013, 0.3, 1.7])
def test_microphone_sound_that_was_lost_is_made_up_with_the_next_block(seconds: float) -> None:
    rig = Rig(ring_ms=2_000.0)
    rig.run(3.0)
    rig.lose_microphone(seconds)
    rig.run(1.0)
    jumped = rig.reference.jumps
    if not rig.underruns:
        within(rig, 3.02 + seconds)
    assert jumped == 1


def test_a_fall_that_no_device_tells_is_followed_within_a_third_of_a_second() -> None:
    rig = Rig()
    rig.run(3.0)
    jumps = rig.reference.jumps
    rig.lie = lambda _: 30 * 48
    rig.run(2.0)
    ahead = rig.ahead_ms(3.34)  # what is told counts, right or wrong
    assert (ahead.min(), ahead.max()) == pytest.approx((-15.0, -15.0), abs=0.1)
    assert rig.reference.jumps - jumps in {1, 2}, "a block of silence at most is put in at a time"


def test_a_loss_that_no_device_tells_is_made_up_within_two_seconds() -> None:
    rig = Rig()
    rig.run(3.0)
    rig.skipped += 960
    rig.run(4.0)
    within(rig, 5.1)
    assert rig.reference.jumps == 1


def test_where_nothing_is_played_it_is_silent_and_says_so() -> None:
    rig = Rig()
    rig.sounding = lambda put: put // 24_000 % 2 == 1  # half a second of sound, half a second of silence
    rig.run(6.0)
    place = [np.nan_to_num(rig.played.place(look.times), neginf=-1.0) for look in rig.looks]
    margin = 3 * lead_for(rig.block) + 3 * 48  # frames: the lead, and the filter's ends
    sounds = [bool(((at // 24_000 % 2 == 1) | ((at + margin) // 24_000 % 2 == 1)).any()) for at in place]
    for look, near_sound in zip(rig.looks[5:], sounds[5:], strict=True):
        if not near_sound:
            assert np.abs(look.far).max() <= 3, "but for the end of a filter"
            assert not look.loud
        assert look.loud or np.abs(look.far).max() <= 3
    assert 0.5 < np.mean([look.loud for look in rig.looks[5:]]) < 0.6, "nor does it call silence a sound"
    assert rig.reference.jumps == 0


def test_before_anything_was_committed_it_is_silent() -> None:
    far, loud = Reference().take(320, queued=0)
    assert not far.any()
    assert not loud


def test_a_part_of_a_millisecond_waits_and_loses_nothing() -> None:
    reference = Reference(lead=0)
    sound = (np.random.default_rng(1).integers(-3_000, 3_000, 4_800) << 16).astype(np.int32)
    frames = np.stack([sound, sound], axis=1)
    for start in range(0, 4_800, 100):
        reference.put(frames[start : start + 100], silent=False)
    far, _ = reference.take(1_600, queued=0)
    assert np.array_equal(far, Decimator(channel="left").process(frames))
