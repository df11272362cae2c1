"""The engine in virtual time: what is said is heard once, what is stopped is gone, what is muted never gets in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.bargein import NearEndDetector
from edge_agent.audio.echo import Canceller, HalfDuplex, Trusted, open_canceller
from edge_agent.audio.engine import AnswerEnded, AnswerStarted, Duplex, EngineEvent, Flushed, Level, Underrun
from edge_agent.audio.filters import Decimator, Interpolator
from edge_agent.audio.ring import CaptureRing

BLOCK = 960
FULL = 2.0**31
SILENT_MIC = np.zeros((BLOCK, 2), np.int32)


def duplex(
    *, seconds: float = 16.0, volume: int = 100, input_ring_ms: float = 0.0, canceller: Canceller | None = None
) -> tuple[Duplex, CaptureRing]:
    ring = CaptureRing(seconds)
    engine = Duplex(
        block_frames=BLOCK,
        ring=ring,
        mic_gain_db=0.0,
        mic_channel="left",
        volume=volume,
        input_ring_ms=input_ring_ms,
        canceller=canceller,
    )
    return engine, ring


def noise(count: int, seed: int, level: float = 0.1) -> NDArray[np.int16]:
    return (np.random.default_rng(seed).normal(0, level, count).clip(-0.8, 0.8) * 32_767).astype(np.int16)


def loud_mic(count: int = BLOCK, seed: int = 1) -> NDArray[np.int32]:
    block = np.zeros((count, 2), np.int32)
    block[:, 0] = noise(count, seed).astype(np.int32) << 16
    return block


class Bench:
    """Steps an engine block by block and keeps what came out."""

    def __init__(self, engine: Duplex) -> None:
        self.engine = engine
        self.now = 100.0
        self.heard: list[NDArray[np.int32]] = []
        self.events: list[EngineEvent] = []

    def run(self, blocks: int, *, mic: NDArray[np.int32] = SILENT_MIC, frames: int = BLOCK) -> NDArray[np.float64]:
        first = len(self.heard)
        for _ in range(blocks):
            self.now += len(mic) / 48_000
            step = self.engine.step(mic.copy(), self.now, frames)  # a muted block is zeroed in place
            assert step.speaker.shape == (frames, 2)
            self.heard.append(step.speaker.copy())
            self.events += step.events
        fresh = self.heard[first:] or [np.zeros((0, 2), np.int32)]
        return np.concatenate(fresh)[:, 0] / FULL

    @property
    def sound(self) -> NDArray[np.float64]:
        return np.concatenate(self.heard)[:, 0] / FULL


def rendered(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """What the filter makes of samples at full volume."""
    tail = np.zeros(240, np.int16)
    return Interpolator().process(np.append(samples, tail))[:, 0] / FULL


def alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Equal but for the rounding of float32, which may differ by the row of the filter's product."""
    return one.shape == other.shape and bool(np.abs(one - other).max() < 2**-21)


def correlation(sound: NDArray[np.float64], code: NDArray[np.float64]) -> float:
    """The highest normalised match of `code` anywhere in `sound`."""
    size = 1 << (len(sound) + len(code)).bit_length()
    match = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(code, size)), size)
    return float(np.abs(match).max() / (np.linalg.norm(code) ** 2))


def test_an_answer_comes_out_whole_and_its_ends_are_told() -> None:
    engine, _ = duplex()
    bench = Bench(engine)
    bench.run(3)
    answer = noise(24_000, 7)
    for at in range(0, 24_000, 960):
        assert engine.play(answer[at : at + 960].tobytes()) == 0.0
    engine.end_of_answer()
    assert engine.queue_ms == 1_000.0
    sound = bench.run(55)
    assert alike(sound[: 48_000 + 64], rendered(answer)[: 48_000 + 64])
    assert not sound[48_000 + 64 :].any()
    assert bench.events == [AnswerStarted(3 * BLOCK + 32), AnswerEnded(3 * BLOCK + 48_000 + 32)]
    assert engine.frames_out_total == 58 * BLOCK


@settings(max_examples=30, deadline=None)
@given(splits=st.lists(st.integers(0, 3_000), min_size=1, max_size=40))
def test_any_split_of_the_output_gives_the_same_sound(splits: list[int]) -> None:
    total = 24_000
    parts = []
    for sizes in ([*splits, max(0, total - sum(splits))], [480] * 50):
        engine, _ = duplex(volume=70)
        engine.play(noise(3_000, 1).tobytes())
        engine.end_of_answer()
        engine.play(noise(2_000, 2, level=0.9).tobytes())
        engine.end_of_answer()
        engine.cue("listen")
        engine.say(noise(1_600, 3).tobytes(), rate=16_000)
        engine.say(noise(500, 4).tobytes(), rate=24_000)
        bench = Bench(engine)
        for size in sizes:
            bench.run(1, frames=size)
        parts.append((np.concatenate(bench.heard)[:total], bench.events))
    assert np.array_equal(parts[0][0], parts[1][0])
    assert parts[0][1] == parts[1][1]


@settings(max_examples=30, deadline=None)
@given(lead=st.integers(0, 70), frames=st.sampled_from([480, 960, 961, 959, 1_920, 317]), queued=st.integers(1, 4))
def test_after_a_flush_ten_milliseconds_of_fade_and_then_nothing(lead: int, frames: int, queued: int) -> None:
    assume(lead * frames < 48_000 * queued - 2_000)
    engine, _ = duplex()
    old, new = noise(24_000 * queued, 11), noise(12_000, 12)
    engine.play(old.tobytes())
    bench = Bench(engine)
    bench.run(lead, frames=frames)
    before = engine.frames_out_total
    engine.flush()
    after = bench.run(2_400 // frames + 1, frames=frames)
    assert not after[480:].any()
    reference = rendered(old)[before : before + 480]
    fading = after[: min(480, len(after))]
    if before:
        assert np.abs(fading).max() <= np.abs(reference).max() * 1.05
        assert np.linalg.norm(fading[336:]) < 0.1 * np.linalg.norm(reference)
    flushed = [event for event in bench.events if isinstance(event, Flushed)]
    assert len(flushed) == 1
    assert flushed[0].frame <= before + 480
    played_on = min(before + 480, flushed[0].frame) / 48
    assert flushed[0].dropped_ms == pytest.approx(1_000 * queued - played_on, abs=1.0)
    engine.play(new.tobytes())
    engine.end_of_answer()
    later = bench.run(48_000 // frames + 1, frames=frames)
    assert correlation(later, rendered(new)) > 0.999
    assert correlation(later, rendered(old[: 24_000 * queued])[-24_000:]) < 0.05


def test_an_answer_queued_right_behind_a_flush_is_whole() -> None:
    engine, _ = duplex()
    engine.play(noise(48_000, 1).tobytes())
    bench = Bench(engine)
    bench.run(10)
    engine.flush()
    new = noise(24_000, 2)
    engine.play(new.tobytes())
    engine.end_of_answer()
    sound = bench.run(60)
    assert alike(sound[336 + 64 : 336 + 48_000], rendered(new)[64:48_000])
    names = [type(event) for event in bench.events]
    assert names == [AnswerStarted, Flushed, AnswerStarted, AnswerEnded]


def test_sixty_seconds_of_duplex_lose_and_double_nothing() -> None:
    engine, ring = duplex(seconds=70.0)
    spoken, answer = loud_mic(60 * 48_000, 3), noise(60 * 24_000, 4)
    bench = Bench(engine)
    rng = np.random.default_rng(5)
    fed = at = 0
    while at < 60 * 48_000:
        if fed < len(answer) and engine.queue_ms < 400:
            size = int(rng.integers(1, 5_000))
            engine.play(answer[fed : fed + size].tobytes())
            fed += size
        bench.run(1, mic=spoken[at : at + BLOCK], frames=int(rng.integers(800, 1_000)))
        at += BLOCK
    engine.play(answer[fed:].tobytes())
    engine.end_of_answer()
    bench.run(400)
    assert np.array_equal(np.frombuffer(ring.read(0, 960_000), np.int16), Decimator(channel="left").process(spoken))
    start = next(event.frame for event in bench.events if isinstance(event, AnswerStarted)) - 32
    assert alike(bench.sound[start : start + 120 * 24_000], rendered(answer)[: 120 * 24_000])
    assert [type(event) for event in bench.events] == [AnswerStarted, AnswerEnded]


def test_a_dry_answer_is_an_underrun_and_goes_on() -> None:
    engine, _ = duplex()
    bench = Bench(engine)
    engine.play(noise(4_800, 1).tobytes())
    bench.run(20)
    engine.play(noise(9_600, 2).tobytes())
    engine.end_of_answer()
    bench.run(30)
    started, underrun, ended = bench.events
    assert isinstance(started, AnswerStarted)
    assert underrun == Underrun(20 * BLOCK + 32, 200.0)
    assert ended == AnswerEnded(20 * BLOCK + 19_200 + 32)
    assert engine.counters["underruns"] == 1


def test_a_prompt_waits_for_the_answer_and_survives_its_flush() -> None:
    engine, _ = duplex()
    prompt = noise(4_800, 8)
    bench = Bench(engine)
    engine.play(noise(48_000, 1).tobytes())
    engine.say(prompt.tobytes(), rate=24_000)
    bench.run(10)
    assert correlation(bench.sound, rendered(prompt)) < 0.1
    assert engine.prompt_ms == 200
    engine.flush()
    sound = bench.run(20)
    assert alike(sound[336 + 64 : 336 + 9_600], rendered(prompt)[64:9_600])
    assert engine.prompt_ms == 0


def test_an_answer_that_stalls_does_not_keep_a_prompt_waiting_and_then_goes_on() -> None:
    engine, _ = duplex()
    prompt, rest = noise(4_800, 8), noise(9_600, 9)
    bench = Bench(engine)
    engine.play(noise(4_800, 1).tobytes())
    engine.say(prompt.tobytes(), rate=24_000)
    bench.run(50)
    assert correlation(bench.sound, rendered(prompt)) > 0.99
    engine.play(rest.tobytes())
    engine.end_of_answer()
    assert correlation(bench.run(30), rendered(rest)) > 0.98


def test_hush_stops_prompts_and_cues_but_not_the_answer() -> None:
    engine, _ = duplex()
    bench = Bench(engine)
    engine.say(noise(48_000, 1).tobytes(), rate=24_000)
    engine.say(noise(48_000, 2).tobytes(), rate=24_000)
    bench.run(5)
    engine.cue("error")
    engine.hush()
    assert not bench.run(10)[480:].any()
    answer = noise(9_600, 3)
    engine.play(answer.tobytes())
    engine.end_of_answer()
    engine.hush()
    assert alike(bench.run(20)[:19_200], rendered(answer)[:19_200])


def test_cues_are_mixed_over_the_answer() -> None:
    engine, _ = duplex()
    answer = noise(24_000, 1)
    engine.play(answer.tobytes())
    engine.end_of_answer()
    engine.cue("done")
    bench = Bench(engine)
    over = bench.run(50) - rendered(answer)[:48_000]
    alone_engine, _ = duplex()
    alone_engine.cue("done")
    alone = Bench(alone_engine).run(50)
    assert np.abs(over - alone).max() < 1e-6
    assert np.abs(alone).max() > 0.05
    with pytest.raises(LookupError, match="no cue bell; there are listen"):
        engine.cue("bell")


def test_a_storm_of_cues_is_no_louder_than_four() -> None:
    storms = []
    for count in (4, 30):
        engine, _ = duplex(volume=30)
        for _ in range(count):
            engine.cue("wait")
        storms.append(Bench(engine).run(10))
    assert np.array_equal(storms[0], storms[1])


def test_loud_things_together_are_bent_not_wrapped() -> None:
    engine, _ = duplex()
    t = np.arange(24_000)
    engine.play((32_000 * np.sin(t * 0.1)).astype(np.int16).tobytes())
    engine.end_of_answer()
    for _ in range(6):
        engine.cue("error")
    sound = Bench(engine).run(50)
    assert 0.9 < np.abs(sound).max() <= 1.0
    assert np.abs(np.diff(sound)).max() < 0.2


def test_volume_changes_without_a_click_and_zero_is_silence() -> None:
    engine, _ = duplex(volume=50)
    engine.play((16_000 * np.ones(48_000)).astype(np.int16).tobytes())
    bench = Bench(engine)
    bench.run(5)
    engine.set_volume(0)
    sound = bench.run(5)
    assert np.abs(np.diff(sound)).max() < 0.01
    assert not sound[-2 * BLOCK :].any()
    engine.set_volume(100)
    assert bench.run(5)[-1] == pytest.approx(16_000 / 32_768, rel=1e-3)
    with pytest.raises(ValueError, match="volume 101"):
        engine.set_volume(101)


def test_a_volume_set_in_silence_holds_from_the_first_sample() -> None:
    engine, _ = duplex(volume=100)
    bench = Bench(engine)
    bench.run(2)
    engine.set_volume(0)
    bench.run(2)
    engine.cue("ready")
    assert not bench.run(20).any()


@settings(max_examples=40, deadline=None)
@given(
    switches=st.lists(st.tuples(st.booleans(), st.integers(0, 7)), min_size=1, max_size=15),
    ring_ms=st.sampled_from([0.0, 20.0, 40.0, 65.0]),
    frames=st.sampled_from([480, 960, 1_920, 700]),
)
def test_nothing_captured_before_or_during_mute_reaches_the_ring(
    switches: list[tuple[bool, int]], ring_ms: float, frames: int
) -> None:
    """The microphone hands over blocks as late as its ring allows; each sample's loudness tells if it was forbidden."""
    engine, ring = duplex(input_ring_ms=ring_ms)
    late = ring_ms / 1_000
    block_s = frames / 48_000
    now, muted, opened = 50.0, False, -1.0
    wanted_open = []
    for mute, blocks in [*switches, (False, 12)]:
        engine.set_mute(mute)
        first = now + block_s  # the step that learns of it
        if muted and not mute:
            opened = first
        muted = mute
        for _ in range(blocks):
            now += block_s
            times = now - late - block_s + np.arange(frames) / 48_000
            forbidden = muted or bool((times < opened - 1e-9).any())
            mic = np.zeros((frames, 2), np.int32)
            mic[:, 0] = np.where(forbidden, 2**30, 2**12) * (-1) ** (np.arange(frames) // 24)
            before = ring.written
            engine.step(mic, now, frames)
            if ring.written > before:
                wanted_open.append((before, ring.written, forbidden))
    for start, end, forbidden in wanted_open:
        if frames != 700:  # a ragged block shares its 10 ms with its neighbours
            assert ring.muted(start, end) == forbidden
        block = np.frombuffer(ring.read(start, end), np.int16)
        assert np.abs(block.astype(int)).max() < 200
    assert not wanted_open[-1][2]


def test_mute_holds_from_the_block_being_stepped() -> None:
    engine, ring = duplex()
    bench = Bench(engine)
    bench.run(1, mic=loud_mic())
    engine.set_mute(True)
    bench.run(1, mic=loud_mic())
    assert not ring.muted(0, 320)
    assert ring.muted(320, 640)
    assert ring.read(320, 640) == bytes(640)
    assert engine.counters["blocks_muted"] == 1


def test_unmute_waits_for_the_first_block_captured_wholly_after_it() -> None:
    engine, ring = duplex(input_ring_ms=40.0)
    engine.set_mute(True)
    bench = Bench(engine)
    bench.run(2, mic=loud_mic())
    engine.set_mute(False)
    bench.run(6, mic=loud_mic())
    assert [ring.muted(at, at + 320) for at in range(0, 8 * 320, 320)] == [True] * 5 + [False] * 3
    assert np.frombuffer(ring.read(5 * 320, 6 * 320), np.int16).any()


def test_half_duplex_is_deaf_while_it_speaks_and_300_ms_longer() -> None:
    engine, ring = duplex(canceller=HalfDuplex())
    bench = Bench(engine)
    bench.run(5, mic=loud_mic())
    engine.play(noise(4_800, 1).tobytes())  # 200 ms, ten blocks
    engine.end_of_answer()
    bench.run(40, mic=loud_mic())
    open_blocks = [bool(np.frombuffer(ring.read(at, at + 320), np.int16).any()) for at in range(0, ring.written, 320)]
    assert open_blocks[:6] == [True] * 6  # the sixth was captured before its answer was
    assert open_blocks[6 : 6 + 10 + 15] == [False] * 25
    assert all(open_blocks[6 + 10 + 17 :])
    assert not ring.muted(0, ring.written)


def test_half_duplex_keeps_what_it_did_not_let_through_until_somebody_says_it_was_a_person() -> None:
    engine, ring = duplex(canceller=HalfDuplex())
    engine.play(noise(24_000, 1).tobytes())
    Bench(engine).run(10, mic=loud_mic())
    assert not np.frombuffer(ring.read(5 * 320, 10 * 320), np.int16).any()
    assert np.frombuffer(ring.read(5 * 320, 10 * 320, gated=True), np.int16).any()


def test_half_duplex_hears_all_along_when_nothing_is_audible() -> None:
    engine, ring = duplex(canceller=HalfDuplex(), volume=0)
    engine.play(noise(24_000, 1).tobytes())
    Bench(engine).run(20, mic=loud_mic())
    assert all(np.frombuffer(ring.read(at, at + 320), np.int16).any() for at in range(0, ring.written, 320))


def test_the_loop_is_woken_only_when_it_asked() -> None:
    engine, _ = duplex()
    assert not engine.step(SILENT_MIC, 1.0, BLOCK).wake
    engine.wake_loop(1)
    assert engine.step(SILENT_MIC, 1.02, BLOCK).wake
    assert not engine.step(SILENT_MIC[:10], 1.04, BLOCK).wake
    engine.wake_loop(640)
    assert [engine.step(SILENT_MIC, 1.06 + 0.02 * block, BLOCK).wake for block in range(4)].count(True) == 2
    engine.wake_loop(0)
    assert not engine.step(SILENT_MIC, 1.06, BLOCK).wake


def test_levels_come_ten_times_a_second_and_only_when_asked() -> None:
    engine, _ = duplex()
    bench = Bench(engine)
    bench.run(50, mic=loud_mic())
    assert not bench.events
    engine.levels(True)
    t = np.arange(48_000)
    engine.play((16_384 * np.sign(np.sin(t * 0.05))).astype(np.int16).tobytes())
    engine.set_gain(6.0)
    bench.run(50, mic=loud_mic())
    levels = [event for event in bench.events if isinstance(event, Level)]
    assert len(levels) == 10
    assert levels[5].speaker_dbfs == pytest.approx(-6.0, abs=0.2)
    assert levels[5].mic_dbfs == pytest.approx(-20.0 - 5.2 + 6.0, abs=0.7)  # a third of the band is left
    engine.set_mute(True)
    bench.events.clear()
    bench.run(20, mic=loud_mic())
    last = bench.events[-1]
    assert isinstance(last, Level)
    assert (last.mic_dbfs, last.clipped) == (-120.0, 0)


def test_half_a_sample_and_a_full_queue_are_told() -> None:
    engine, _ = duplex()
    with pytest.raises(ValueError, match="3 bytes are no whole number"):
        engine.play(b"abc")
    assert engine.play(bytes(2 * 24_000 * 121)) == pytest.approx(1_000)
    engine.say(bytes(2 * 24_000 * 121), rate=24_000)
    assert engine.counters["prompt_ms_dropped"] == 121_000
    assert engine.prompt_ms == 0


def test_an_answer_at_another_rate_keeps_its_pitch() -> None:
    engine, _ = duplex()
    t = np.arange(16_000) / 16_000
    engine.play((8_000 * np.sin(2 * np.pi * 1_000 * t)).astype(np.int16).tobytes(), rate=16_000)
    engine.end_of_answer()
    sound = Bench(engine).run(50)
    assert np.argmax(np.abs(np.fft.rfft(sound))) == 1_000


class Resting:
    """Two engines that hear and play the same, one of which takes blocks together at rest."""

    def __init__(self) -> None:
        self.rings = [CaptureRing(), CaptureRing()]
        self.engines = [
            Duplex(
                block_frames=BLOCK, ring=ring, mic_gain_db=0.0, mic_channel="left", volume=100, idle_blocks=idle_blocks
            )
            for ring, idle_blocks in zip(self.rings, (1, 5), strict=True)
        ]
        self.now = 100.0
        self.wakes: list[list[bool]] = [[], []]

    def each(self, do: Callable[[Duplex], object]) -> None:
        for engine in self.engines:
            do(engine)

    def run(self, blocks: int, *, seed: int = 1) -> None:
        for number in range(blocks):
            self.now += BLOCK / 48_000
            mic = loud_mic(seed=seed + number)
            heard = [engine.step(mic.copy(), self.now, BLOCK) for engine in self.engines]
            assert np.array_equal(heard[0].speaker, heard[1].speaker)
            assert self.engines[0].captured == self.engines[1].captured
            for wakes, step in zip(self.wakes, heard, strict=True):
                wakes.append(step.wake)

    @property
    def behind(self) -> int:
        """Samples that stand in the one ring and not yet in the other, which is otherwise the same."""
        eager, resting = self.rings
        end = resting.written
        assert eager.read(0, end) == resting.read(0, end)
        assert all(eager.muted(at, at + 320) == resting.muted(at, at + 320) for at in range(0, end, 320))
        return eager.written - end


def test_at_rest_blocks_go_through_together_and_are_counted_as_they_come() -> None:
    pair = Resting()
    behind = []
    for number in range(10):
        pair.run(1, seed=number)
        behind.append(pair.behind // 320)
    assert behind == [1, 2, 3, 4, 0, 1, 2, 3, 4, 0]
    assert pair.engines[1].counters["blocks_captured"] == 10


@pytest.mark.parametrize("kept", range(5))
def test_whoever_wants_sound_has_all_of_it_with_the_next_block(kept: int) -> None:
    wants: list[Callable[[Duplex], object]] = [
        lambda engine: engine.wake_loop(640),
        lambda engine: engine.attend(True),
        lambda engine: engine.levels(True),
    ]
    for want in wants:
        pair = Resting()
        pair.run(10 + kept)
        pair.each(want)
        for number in range(4):
            pair.run(1, seed=number)
            assert pair.behind == 0
        eager, resting = (wakes[-4:] for wakes in pair.wakes)
        assert resting[1:] == eager[1:]
        assert resting[0] >= eager[0], "a message's end among the kept blocks tells the loop as well"


@pytest.mark.parametrize("kept", range(1, 5))
def test_what_was_kept_is_wiped_with_the_visitor(kept: int) -> None:
    pair = Resting()
    _, resting = pair.engines
    pair.run(10 + kept)
    pair.each(lambda engine: engine.wipe())
    for ring in pair.rings:
        ring.wipe()
    resting.wake_loop(1)
    left = pair.rings[1].written
    resting.step(SILENT_MIC.copy(), pair.now + 0.02, BLOCK)
    found = pair.rings[1].read(left, pair.rings[1].written)
    assert len(found) == 2 * 320 * (kept + 1)
    assert not np.frombuffer(found, np.int16).any()


@pytest.mark.parametrize("kept", range(5))
def test_mute_falls_between_the_same_blocks_at_rest(kept: int) -> None:
    pair = Resting()
    pair.run(10 + kept)
    for engine in pair.engines:
        engine.set_mute(True)
    pair.run(3)
    assert pair.behind == 0
    for engine in pair.engines:
        engine.set_mute(False)
    pair.run(12)
    pair.each(lambda engine: engine.wake_loop(1))
    pair.run(1)
    assert pair.behind == 0


def test_what_was_captured_is_never_told_to_be_less_than_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop may ask while the sound thread takes what was kept."""
    ring = CaptureRing()
    engine = Duplex(block_frames=BLOCK, ring=ring, mic_gain_db=0.0, mic_channel="left", volume=100, idle_blocks=5)
    told: list[int] = []
    process = Decimator.process

    def asked_meanwhile(down: Decimator, block: NDArray[np.int32]) -> NDArray[np.int16]:
        told.append(engine.captured)
        return process(down, block)

    monkeypatch.setattr(Decimator, "process", asked_meanwhile)
    for number in range(23):
        engine.step(SILENT_MIC.copy(), 100.0 + number / 50, BLOCK)
        told.append(engine.captured)
    assert told == sorted(told)
    assert told[-1] == 23 * BLOCK // 3
    assert ring.captured - ring.written == 3 * BLOCK // 3


def test_a_device_that_sounds_does_not_rest() -> None:
    pair = Resting()
    pair.run(7)
    pair.each(lambda engine: engine.cue("listen"))
    pair.run(3)
    assert pair.behind == 0


@pytest.mark.parametrize("idle_blocks", [1, 5])
@pytest.mark.parametrize("before", range(50, 55))
def test_the_echo_reference_is_told_right_what_the_loudspeaker_holds_also_of_blocks_that_were_kept(
    idle_blocks: int, before: int
) -> None:
    """The loudspeaker holds a block more than is played; whatever is taken is told so, rest or not."""
    engine = Duplex(
        block_frames=BLOCK,
        ring=CaptureRing(),
        mic_gain_db=0.0,
        mic_channel="left",
        volume=100,
        canceller=Trusted(),
        idle_blocks=idle_blocks,
    )
    reference = engine._near._reference
    take = reference.take
    told: list[int] = []

    def spied(count: int, *, queued: int) -> tuple[NDArray[np.int16], bool]:
        told.append(reference._put - queued // 3 - (reference._taken + count))
        return take(count, queued=queued)

    reference.take = spied  # type: ignore[method-assign]
    engine.step(SILENT_MIC.copy(), 100.0, BLOCK)
    for number in range(before):
        engine.step(SILENT_MIC.copy(), 100.0 + number / 50, BLOCK, queued=BLOCK)
    engine.cue("listen")
    for number in range(before, before + 10):
        engine.step(SILENT_MIC.copy(), 100.0 + number / 50, BLOCK, queued=BLOCK)
    assert len(told) > 10
    assert set(told[1:]) == {-BLOCK // 3 * 2}


def test_the_figures_tell_whether_the_canceller_is_believed_and_what_became_of_the_echos_path() -> None:
    ring = CaptureRing()
    engine = Duplex(
        block_frames=BLOCK,
        ring=ring,
        mic_gain_db=0.0,
        mic_channel="left",
        volume=100,
        canceller=open_canceller("software"),
        detector=NearEndDetector(lambda _: False),
    )
    bench = Bench(engine)
    assert math.isnan(engine.counters["noise_dbfs"]), "nothing was heard yet"
    engine.attend(True)
    for seed in range(50):
        bench.run(1, mic=loud_mic(seed=seed) // 100)
    assert engine.counters["noise_dbfs"] == pytest.approx(-60 - 5, abs=1.5)  # a third of the band is left
    assert engine.counters["canceller_trusted"] == 0
    engine.play(noise(4 * 24_000, 1).tobytes())
    for seed in range(100):
        bench.run(1, mic=loud_mic(seed=seed) // 100)
    assert engine.counters["canceller_trusted"] == 1
    assert [engine.counters[name] for name in ("canceller_doubted", "echo_drift", "echo_jumps", "echo_doubts")] == [
        0
    ] * 4
    engine.sound_lost()
    bench.run(1)
    engine.step(SILENT_MIC.copy(), bench.now, BLOCK, queued=5 * BLOCK)
    assert engine.counters["canceller_trusted"] == 0
    assert engine.counters["canceller_doubted"] == 1
    engine.sound_lost()
    engine.step(SILENT_MIC.copy(), bench.now, BLOCK, queued=5 * BLOCK)
    assert engine.counters["echo_jumps"] == 1
    assert engine.counters["canceller_doubted"] == 1, "it had not been believed again yet"


def test_without_a_canceller_there_is_nothing_to_doubt() -> None:
    engine, _ = duplex()
    assert engine.counters["canceller_trusted"] == 1
    assert math.isnan(engine.counters["noise_dbfs"])
