"""Whole frames in order, and no muted microphone in a canceller's ears."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.audio.echo.frames import FRAME, Feed, Frames, Sound


def counting(count: int, start: int = 1) -> Sound:
    return np.arange(start, start + count).astype(np.int16)


class Library:
    """Stands for a canceller: takes half of the loudspeaker from the microphone, and notes what it was given."""

    def __init__(self) -> None:
        self.near = self.far = np.zeros(0, np.int16)

    def cancel(self, near: Sound, far: Sound) -> Sound:
        assert len(near) == len(far)
        assert len(near) % FRAME == 0
        self.near, self.far = np.concatenate([self.near, near]), np.concatenate([self.far, far])
        return near - far // np.int16(2)


@given(st.lists(st.integers(0, 700), max_size=12))
def test_whole_frames_come_out_in_order_and_the_rest_waits(sizes: list[int]) -> None:
    frames = Frames()
    total = sum(sizes)
    near, far = counting(total), counting(total, 20_000)
    taken, at = [], 0
    for size in sizes:
        taken.append(frames.take(near[at : at + size], far[at : at + size]))
        at += size
        assert sum(len(one) for one, _ in taken) == at // FRAME * FRAME
    for side, whole in ((0, near), (1, far)):
        joined = np.concatenate([np.zeros(0, np.int16), *(pair[side] for pair in taken)])
        assert np.array_equal(joined, whole[: total // FRAME * FRAME])


def test_every_second_sample_of_a_wider_array_is_taken_too() -> None:
    both = np.repeat(counting(FRAME)[:, None], 2, axis=1)
    near, far = Frames().take(both[:, 0], both[:, 1])
    assert np.array_equal(near, counting(FRAME))
    assert near.flags.c_contiguous
    assert far.flags.c_contiguous


def test_streams_out_of_step_are_refused() -> None:
    with pytest.raises(ValueError, match="160 samples of the microphone, 0 of the loudspeaker"):
        Frames().take(counting(160), counting(0))


def test_a_muted_microphone_is_kept_from_the_library_and_the_answer_of_that_time_is_made_up_for() -> None:
    library = Library()
    feed = Feed(library.cancel)
    room = np.random.default_rng(2).normal(0, 30, 16_000).astype(np.int16)
    far = counting(64_000)
    near = np.concatenate([room, np.zeros(32_000, np.int16), room])
    out = np.concatenate(
        [
            feed.process(near[at : at + 320], far[at : at + 320], muted=16_000 <= at < 48_000)
            for at in range(0, 64_000, 320)
        ]
    )
    assert not out[16_000:48_000].any()
    assert np.array_equal(out[48_000:], room - far[48_000:] // np.int16(2))
    assert np.array_equal(library.far, np.concatenate([far[:16_000], far[48_000 - 5_120 :]]))  # the last 320 ms
    assert library.near[16_000:21_120].std() == pytest.approx(30, rel=0.2)  # beside noise as loud as the room's


def test_a_short_silence_loses_nothing_of_the_answer() -> None:
    library = Library()
    feed = Feed(library.cancel)
    near, far = counting(4_800), counting(4_800)
    for start in range(0, 4_800, 1_600):
        feed.process(near[start : start + 1_600], far[start : start + 1_600], muted=start == 1_600)
    assert np.array_equal(library.far, far)


def test_zeros_of_a_microphone_that_is_not_muted_are_its_own_silence_in_a_room_with_noise() -> None:
    library = Library()
    feed = Feed(library.cancel)
    room = np.random.default_rng(2).normal(0, 30, 16_000).astype(np.int16)
    near = np.concatenate([room, np.zeros(3_200, np.int16), room])
    far = counting(len(near))
    out = np.concatenate(
        [feed.process(near[at : at + 320], far[at : at + 320], muted=False) for at in range(0, len(near), 320)]
    )
    assert np.array_equal(library.far, far), "nothing is kept from it"
    assert library.near[16_000:19_200].std() == pytest.approx(30, rel=0.2)
    assert np.array_equal(library.near[19_200:], room)
    assert not out[16_000:19_200].any()


def test_a_room_that_was_never_heard_is_not_free_of_noise() -> None:
    library = Library()
    feed = Feed(library.cancel)
    assert not feed.process(np.zeros(1_600, np.int16), counting(1_600), muted=False).any()
    assert 3 < library.near.std() < 7


def test_a_microphone_that_was_never_heard_has_no_noise_to_imitate() -> None:
    library = Library()
    feed = Feed(library.cancel)
    assert not feed.process(np.zeros(1_600, np.int16), counting(1_600), muted=True).any()
    feed.process(counting(160), counting(160), muted=False)
    assert not library.near[:1_600].any()
    assert np.array_equal(library.near[1_600:], counting(160))


def test_reset_forgets_what_waits() -> None:
    library = Library()
    feed = Feed(library.cancel)
    feed.process(np.zeros(200, np.int16), counting(200), muted=True)
    feed.reset()
    assert np.array_equal(feed.process(counting(160), np.zeros(160, np.int16), muted=False), counting(160))
    assert np.array_equal(library.near, counting(160))


def test_the_result_is_the_callers_to_change() -> None:
    feed = Feed(lambda near, _far: near.copy())
    near = counting(160)
    feed.process(near, near, muted=False)[:] = 0
    empty = feed.process(near[:0], near[:0], muted=False)
    assert len(empty) == 0
    assert near.all()


@given(
    mutes=st.lists(st.tuples(st.integers(0, 12_000), st.integers(1, 8_000)), max_size=3),
    gaps=st.lists(st.tuples(st.integers(0, 15_000), st.integers(0, 800)), max_size=2),
    cuts=st.lists(st.integers(1, 15_999), max_size=10),
)
def test_what_the_library_is_given_does_not_depend_on_the_chunking(
    mutes: list[tuple[int, int]], gaps: list[tuple[int, int]], cuts: list[int]
) -> None:
    near = (np.random.default_rng(3).normal(0, 1, 16_000) * np.linspace(400, 10, 16_000)).astype(np.int16)
    mute = np.zeros(16_000, bool)
    for start, length in mutes:
        mute[start : start + length] = True
    near[mute] = 0
    for start, length in gaps:
        near[start : start + length] = 0
    far = counting(16_000)
    given = []
    switched = (np.flatnonzero(np.diff(mute)) + 1).tolist()
    for edges in (sorted({0, 16_000, *switched}), sorted({0, 16_000, *switched, *cuts})):
        library = Library()
        feed = Feed(library.cancel)
        out = [feed.process(near[a:b], far[a:b], muted=bool(mute[a])) for a, b in itertools.pairwise(edges)]
        given.append((np.concatenate(out), library.near, library.far))
    for one, other in zip(*given, strict=True):
        assert np.array_equal(one, other)
