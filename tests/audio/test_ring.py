"""The capture ring gives back exactly what was captured, or says that it cannot."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.audio.ring import RATE, CaptureRing


def numbered(start: int, count: int) -> np.ndarray:
    """Samples that carry their own number, so that any displacement shows."""
    return (np.arange(start, start + count) * 7 % 30_011).astype(np.int16)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 3_000), st.booleans()), min_size=1, max_size=40),
    seconds=st.sampled_from([0.01, 0.25, 0.5]),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_what_is_readable_is_what_was_captured(
    sizes: list[tuple[int, bool]], seconds: float, cut: tuple[float, float]
) -> None:
    ring = CaptureRing(seconds)
    everything = np.zeros(0, np.int16)
    mute = np.zeros(0, bool)
    for size, muted in sizes:
        block = numbered(len(everything), size)
        ring.append(block, muted=muted)
        everything = np.append(everything, np.zeros_like(block) if muted else block)
        mute = np.append(mute, np.full(size, muted))
    assert ring.written == len(everything)
    assert ring.oldest == max(0, ring.written - round(seconds * RATE))
    low, high = sorted(round(ring.oldest + part * (ring.written - ring.oldest)) for part in cut)
    assert ring.read(low, high) == everything[low:high].tobytes()
    assert ring.muted(low, high) == mute[low:high].any()


@settings(max_examples=60, deadline=None)
@given(
    blocks=st.lists(st.tuples(st.integers(1, 900), st.sampled_from(["", "muted", "gated"])), min_size=1, max_size=40),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_gated_sound_reads_as_silence_unless_it_is_asked_for(
    blocks: list[tuple[int, str]], cut: tuple[float, float]
) -> None:
    ring = CaptureRing(0.5)
    raw, plain, gated = (np.zeros(0, np.int16) for _ in range(3))
    for size, kind in blocks:
        block = numbered(len(raw) + 1, size)
        ring.append(block, muted=kind == "muted", gated=kind == "gated")
        raw = np.append(raw, block * (kind != "muted"))
        plain = np.append(plain, block * (kind == ""))
        gated = np.append(gated, np.full(size, kind == "gated"))
    low, high = sorted(round(ring.oldest + part * (ring.written - ring.oldest)) for part in cut)
    assert ring.read(low, high) == plain[low:high].tobytes()
    assert ring.read(low, high, gated=True) == raw[low:high].tobytes(), "what was muted stays silence"
    inside = [at for start, end in ring.gated(low, high) for at in range(start, end)]
    assert inside == (low + np.flatnonzero(gated[low:high])).tolist()


def test_what_is_gone_or_to_come_is_refused() -> None:
    ring = CaptureRing(0.1)
    ring.append(numbered(0, 2_000))
    assert ring.oldest == 400
    for start, end in [(399, 500), (400, 2_001), (500, 450), (-1, 0)]:
        with pytest.raises(LookupError):
            ring.read(start, end)
        with pytest.raises(LookupError):
            ring.muted(start, end)
        with pytest.raises(LookupError):
            ring.gated(start, end)
    assert ring.read(400, 2_000) == numbered(400, 1_600).tobytes()


def test_a_muted_block_holds_silence_and_stays_marked() -> None:
    ring = CaptureRing(1.0)
    ring.append(numbered(1, 320))
    ring.append(numbered(321, 320), muted=True)
    ring.append(numbered(641, 320))
    assert ring.read(320, 640) == bytes(640)
    assert ring.muted(319, 321)
    assert ring.muted(639, 960)
    assert not ring.muted(0, 320)
    assert not ring.muted(640, 960)


@pytest.mark.parametrize("before", [5_000, 100_000])
def test_a_wipe_leaves_nothing_behind(before: int) -> None:
    ring = CaptureRing(1.0)
    for start in range(0, before, 250):
        ring.append(numbered(start, 250), muted=start % 500 == 0)
    ring.wipe()
    assert not ring._data.any()
    assert not ring._marks.any()
    with pytest.raises(LookupError):
        ring.read(before - 1, before)
    ring.append(numbered(before, 500))
    assert ring.oldest == before
    assert ring.read(before, before + 500) == numbered(before, 500).tobytes()


def test_what_is_expected_counts_as_captured_and_cannot_be_read_yet() -> None:
    ring = CaptureRing()
    ring.append(numbered(0, 320))
    ring.expect(640)
    assert (ring.captured, ring.written) == (960, 320)
    with pytest.raises(LookupError):
        ring.read(320, 640)
    ring.append(numbered(320, 320))
    assert (ring.captured, ring.written) == (960, 640)
    ring.append(numbered(640, 640))
    assert (ring.captured, ring.written) == (1_280, 1_280)


def test_a_ring_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="holds nothing"):
        CaptureRing(0.0)


def test_a_reader_beside_a_writer_never_sees_a_mixture() -> None:
    ring = CaptureRing(0.05)
    total = 400_000
    period = 30_011
    table = numbered(0, period + 1_000)
    enough = threading.Event()  # on a busy machine the writer may be through before the reader gets a turn

    def write() -> None:
        at = 0
        while at < total or not enough.is_set():
            ring.append(table[at % period : at % period + 160])
            at += 160

    writer = threading.Thread(target=write)
    writer.start()
    good = lost = 0
    try:
        while ring.written < total or not good:
            start, end = ring.oldest, ring.written
            if start >= end:
                continue
            try:
                found = ring.read(start, end)
            except LookupError:
                lost += 1
                continue
            assert found == table[start % period : start % period + end - start].tobytes()
            good += 1
    finally:
        enough.set()
        writer.join()
