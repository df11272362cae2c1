"""The playback queue: everything once and in order, nothing after a flush, gaps that heal."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.playback import (
    FADE_SAMPLES,
    PAUSE_SAMPLES,
    Ended,
    Flushed,
    PlaybackEvent,
    PlaybackQueue,
    Resumed,
    Started,
)

MS = 24


def numbered(start: int, count: int) -> NDArray[np.int16]:
    """Samples that carry their own number; never 0."""
    return (np.arange(start, start + count) % 30_000 + 1).astype(np.int16)


def pull(queue: PlaybackQueue, count: int) -> tuple[NDArray[np.float32], list[PlaybackEvent]]:
    into = np.full(count, 9.0, np.float32)
    events = queue.pull(into)
    return into, events


def ints(x: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.rint(x * 32_768).astype(np.int64)


@settings(max_examples=60, deadline=None)
@given(
    puts=st.lists(st.integers(0, 5_000), min_size=1, max_size=20),
    pulls=st.lists(st.integers(0, 2_000), min_size=1, max_size=30),
)
def test_an_answer_is_heard_once_and_in_order_for_any_chunking(puts: list[int], pulls: list[int]) -> None:
    queue = PlaybackQueue()
    total = sum(puts)
    at = 0
    for size in puts:
        assert queue.put(numbered(at, size)) == 0
        at += size
    queue.end()
    pulled = [pull(queue, size) for size in [*pulls, total + 10]]
    heard = ints(np.concatenate([part for part, _ in pulled]))
    events = [event for _, happened in pulled for event in happened]
    assert np.array_equal(heard[:total], numbered(0, total))
    assert not heard[total:].any()
    assert events == ([Started(0), Ended(total)] if total else [])
    assert queue.idle


def test_an_unfinished_answer_waits_for_its_start_threshold() -> None:
    queue = PlaybackQueue(start_ms=100)
    queue.put(numbered(0, 99 * MS))
    sound, events = pull(queue, 480)
    assert not sound.any()
    assert events == []
    queue.put(numbered(99 * MS, MS))
    sound, events = pull(queue, 480)
    assert np.array_equal(ints(sound), numbered(0, 480))
    assert events == [Started(480)]


def test_a_short_answer_plays_out_when_its_end_is_known() -> None:
    queue = PlaybackQueue(start_ms=100)
    queue.put(numbered(0, 10))
    queue.end()
    sound, events = pull(queue, 24)
    assert np.array_equal(ints(sound), np.append(numbered(0, 10), np.zeros(14)))
    assert events == [Started(0), Ended(10)]


def test_two_answers_follow_each_other_in_one_block() -> None:
    queue = PlaybackQueue()
    queue.put(numbered(0, 100))
    queue.end()
    queue.end()
    queue.put(numbered(100, 100))
    queue.end()
    sound, events = pull(queue, 240)
    assert np.array_equal(ints(sound)[:200], numbered(0, 200))
    assert events == [Started(0), Ended(100), Started(100), Ended(200)]


def test_an_end_without_sound_says_nothing() -> None:
    queue = PlaybackQueue()
    queue.end()
    assert pull(queue, 480)[1] == []
    queue.put(numbered(0, 100))
    queue.flush()
    queue.end()
    assert pull(queue, 480)[1] == [Flushed(480, 100 / MS)]


def test_a_gap_fades_waits_and_goes_on_without_losing_a_sample() -> None:
    queue = PlaybackQueue(start_ms=10, most_ms=400)
    queue.put(numbered(0, 2_400))
    first, events = pull(queue, 4_800)
    assert events == [Started(0)]
    assert np.array_equal(ints(first)[: 2_400 - PAUSE_SAMPLES], numbered(0, 2_400 - PAUSE_SAMPLES))
    assert ints(first)[2_399] <= 2
    assert not first[2_400:].any()
    assert queue.dry_ms == 100
    queue.put(numbered(2_400, 300))  # less than 15 ms: not yet enough
    assert pull(queue, 240)[1] == []
    queue.put(numbered(2_700, 3_000))
    queue.end()
    second, events = pull(queue, 3_301)
    assert events == [Resumed(5_040, 110.0), Ended(5_040 + 3_300)]
    assert ints(second)[0] <= 2
    assert np.array_equal(ints(second)[PAUSE_SAMPLES:3_300], numbered(2_400 + PAUSE_SAMPLES, 3_300 - PAUSE_SAMPLES))
    assert queue.gaps == 1


def test_an_end_that_comes_late_is_no_gap() -> None:
    queue = PlaybackQueue(start_ms=10)
    queue.put(numbered(0, 2_400))
    pull(queue, 4_800)
    queue.end()
    assert pull(queue, 240)[1] == [Ended(2_400)]
    assert queue.gaps == 0
    assert queue.start_ms == 10
    assert queue.idle


def test_the_need_grows_with_gaps_up_to_its_most_and_shrinks_back() -> None:
    queue = PlaybackQueue(start_ms=100, most_ms=400)
    seen = []
    for _ in range(6):
        queue.put(numbered(0, 410 * MS))
        pull(queue, 500 * MS)
        seen.append(round(queue.start_ms))
    assert seen == [100, 150, 225, 338, 400, 400]
    queue.end()
    pull(queue, 24)
    assert round(queue.start_ms) == 400  # that answer had gaps
    for _ in range(20):
        queue.put(numbered(0, 50))
        queue.end()
        pull(queue, 100)
    assert 100 < queue.start_ms < 105


@settings(max_examples=80, deadline=None)
@given(
    before=st.integers(0, 6_000),
    played=st.integers(0, 4_000),
    block=st.sampled_from([240, 480, 960, 2_400]),
    after=st.integers(0, 3_000),
    ended=st.booleans(),
)
def test_nothing_put_before_a_flush_outlives_its_fade_and_nothing_put_after_is_lost(
    before: int, played: int, block: int, after: int, ended: bool
) -> None:
    queue = PlaybackQueue(start_ms=100)
    queue.put(np.full(before, 10_000, np.int16))
    if ended:
        queue.end()
    pull(queue, played)
    audible = queue.playing
    queue.flush()
    queue.put(np.full(after, -10_000, np.int16))
    queue.end()
    parts = [pull(queue, block) for _ in range(16)]
    heard = ints(np.concatenate([part for part, _ in parts]))
    events = [event for _, happened in parts for event in happened]
    old = np.flatnonzero(heard > 0)
    assert len(old) <= FADE_SAMPLES
    assert len(old) == 0 or audible
    assert np.all(np.diff(heard[: len(old)]) <= 0)  # it only gets quieter
    assert np.count_nonzero(heard == -10_000) == after
    flushes = [event for event in events if isinstance(event, Flushed)]
    assert len(flushes) == 1
    assert flushes[0].at == played + len(old)
    gone = max(0, before - max(0, played if audible or queue.gaps else 0)) - len(old)
    if audible:
        assert flushes[0].dropped_ms == pytest.approx(gone / MS)
    if after:
        assert events[-2:] == [Started(played + len(old)), Ended(played + len(old) + after)]


def test_a_flush_voids_every_answer_that_waits() -> None:
    queue = PlaybackQueue()
    for _ in range(3):
        queue.put(numbered(0, 1_000))
        queue.end()
    queue.flush()
    queue.put(numbered(0, 500))
    queue.end()
    sound, events = pull(queue, 600)
    assert events == [Flushed(0, 125.0), Started(0), Ended(500)]
    assert np.array_equal(ints(sound)[:500], numbered(0, 500))


def test_a_flush_while_something_else_is_heard_is_silent() -> None:
    queue = PlaybackQueue()
    queue.put(numbered(0, 4_800))
    pull(queue, 480)
    queue.flush()
    assert queue.hold(480) == [Flushed(480, 180.0)]
    assert not pull(queue, 480)[0].any()


def test_what_was_heard_or_flushed_is_no_longer_in_memory() -> None:
    queue = PlaybackQueue(limit_s=1.0)
    for _ in range(25):
        queue.put(numbered(0, 20_000))
        queue.end()
        pull(queue, 21_000)
    assert not queue._ring.any()
    queue.put(numbered(0, 20_000))
    pull(queue, 480)
    queue.flush()
    pull(queue, 480)
    assert not queue._ring.any()


def test_what_does_not_fit_is_the_newest_and_is_counted() -> None:
    queue = PlaybackQueue(limit_s=1.0)
    assert queue.put(numbered(0, 20_000)) == 0
    assert queue.put(numbered(20_000, 10_000)) == pytest.approx(250)
    assert queue.put(numbered(0, 24)) == 1
    assert queue.queued_ms == 1_000
    assert queue.dropped_ms == pytest.approx(251)
    queue.end()
    assert np.array_equal(ints(pull(queue, 24_000)[0]), numbered(0, 24_000))


def test_a_full_queue_that_is_flushed_takes_the_next_answer_at_once() -> None:
    queue = PlaybackQueue(limit_s=1.0)
    queue.put(numbered(0, 24_000))
    pull(queue, 24)
    queue.flush()
    assert queue.put(np.full(24_000, -5, np.int16)) == 0
    queue.end()
    heard = ints(pull(queue, 24_000 + FADE_SAMPLES)[0])
    assert np.all(heard[FADE_SAMPLES:] == -5)


@pytest.mark.parametrize("ahead", [0, 500], ids=["each heard out before the next", "never empty"])
def test_a_day_of_answers_keeps_its_place(ahead: int) -> None:
    queue = PlaybackQueue(limit_s=2.0)
    queue.put(numbered(0, ahead))
    at = 0
    for size in [31_000, 17_001, 40_000, 3] * 12:
        queue.put(numbered(at + ahead, size))
        queue.end()
        assert np.array_equal(ints(pull(queue, size)[0]), numbered(at, size))
        at += size


@pytest.mark.parametrize("stopped", [False, True])
def test_an_hour_of_short_answers_takes_the_memory_of_one(stopped: bool) -> None:
    queue = PlaybackQueue()
    five_s = 5_000 * MS
    queue._ring[five_s:] = 7
    for _ in range(720):
        queue.put(numbered(0, five_s))
        queue.flush() if stopped else queue.end()
        pull(queue, five_s + 1)
    assert np.all(queue._ring[five_s:] == 7)
    assert not queue._ring[:five_s].any()


def test_two_threads_lose_nothing_and_mix_nothing() -> None:
    """Each answer is a constant of its own; every third one is flushed at some moment of its life."""
    queue = PlaybackQueue(limit_s=5.0, start_ms=0)
    rng = np.random.default_rng(9)
    lengths = rng.integers(500, 4_000, 300)
    kept = [number for number in range(300) if number % 3]

    def put() -> None:
        for number, length in enumerate(lengths):
            while queue.queued_ms > 4_000:
                pass
            for start in range(0, int(length), 400):
                queue.put(np.full(min(400, int(length) - start), number + 100, np.int16))
            if number in kept:
                queue.end()
                while not queue.idle:  # this one is to be heard wholly before the next may be flushed
                    pass
            else:
                queue.flush()

    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    putter = threading.Thread(target=put)
    heard: list[NDArray[np.int64]] = []
    events: list[PlaybackEvent] = []
    try:
        putter.start()
        while putter.is_alive() or not queue.idle:
            sound, happened = pull(queue, 480)
            heard.append(ints(sound))
            events += happened
    finally:
        sys.setswitchinterval(switching)
        putter.join()
    whole = answers_heard(np.concatenate(heard), events)
    assert whole == [(number, lengths[number]) for number in kept]
    assert sum(isinstance(event, Flushed) for event in events) <= 100


def answers_heard(sound: NDArray[np.int64], events: list[PlaybackEvent]) -> list[tuple[int, int]]:
    """Number and length of every answer that was played to its end; no later one may sound in it."""
    found, start, gaps = [], 0, 0
    for event in events:
        if isinstance(event, Started):
            start, gaps = event.at, 0
        elif isinstance(event, Resumed):
            gaps += round(event.gap_ms * MS)
        elif isinstance(event, Ended):
            assert sound[start] == sound[start : event.at].max()
            found.append((int(sound[start]) - 100, event.at - start - gaps))
    return found
