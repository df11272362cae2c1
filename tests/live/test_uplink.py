"""The gate: what passes, in which order, and what never passes."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_agent.audio.ring import CaptureRing
from edge_agent.live.uplink import BACKLOG_S, Item, Mark, Picture, Sound, Uplink

BLOCK = 320


def coded(start: int, count: int) -> np.ndarray:
    """Sound whose value tells its sample number (modulo 2**15, never zero)."""
    return ((np.arange(start, start + count) % 32_749) + 1).astype(np.int16)


class Bench:
    """A ring that is filled with coded sound, and a gate on it."""

    def __init__(self, *, manual: bool = True) -> None:
        self.ring = CaptureRing()
        self.uplink = Uplink(self.ring, manual=manual)

    def capture(self, samples: int, *, muted: bool = False, gated: bool = False) -> None:
        for _ in range(samples // BLOCK):
            block = np.zeros(BLOCK, np.int16) if muted else coded(self.ring.written, BLOCK)
            self.ring.append(block, muted=muted, gated=gated)

    def pull(self) -> list[Item]:
        out: list[Item] = []
        while (item := self.uplink.pull()) is not None:
            out.append(item)
        return out


def sound_of(items: list[Item]) -> list[tuple[int, int]]:
    """Joined capture intervals of the sound in `items`; also checks that the bytes are those samples."""
    joined: list[tuple[int, int]] = []
    for item in items:
        if isinstance(item, Sound):
            assert np.array_equal(np.frombuffer(item.pcm, "<i2"), coded(item.start, item.end - item.start))
            if joined and joined[-1][1] == item.start:
                joined[-1] = (joined[-1][0], item.end)
            else:
                joined.append((item.start, item.end))
    return joined


def test_a_turn_goes_out_whole_between_its_marks() -> None:
    bench = Bench()
    bench.uplink.link_up()
    bench.capture(16_000)
    bench.uplink.open(1, 8_000)
    first = bench.pull()
    assert first[0] is Mark.ACTIVITY_START
    assert sound_of(first) == [(8_000, 16_000)]
    assert all(item.end % 640 == 0 for item in first if isinstance(item, Sound)), "messages end where blocks end"
    bench.capture(16_000)
    bench.uplink.close(20_100)
    rest = bench.pull()
    assert sound_of(first + rest) == [(8_000, 20_100)]
    assert rest[-1] is Mark.ACTIVITY_END
    assert bench.uplink.idle


def test_what_was_said_while_connecting_arrives_in_order() -> None:
    bench = Bench()
    bench.capture(16_000)
    bench.uplink.open(1, 8_000)
    bench.capture(48_000)
    assert bench.pull() == []
    bench.uplink.close(60_000)
    bench.uplink.link_up()
    items = bench.pull()
    assert sound_of(items) == [(8_000, 60_000)]
    assert (items[0], items[-1]) == (Mark.ACTIVITY_START, Mark.ACTIVITY_END)


def test_speech_older_than_the_backlog_is_dropped_and_counted() -> None:
    bench = Bench(manual=False)
    bench.uplink.open(1, 0)
    bench.capture(20 * 16_000)
    bench.uplink.link_up()
    ((start, _end),) = sound_of(bench.pull())
    assert start == round((20 - BACKLOG_S) * 16_000)
    assert bench.uplink.dropped_samples == start


def test_of_an_old_unmarked_stream_a_new_connection_gets_the_newest_part_again() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.uplink.open(1, 0)
    for _ in range(8):
        bench.capture(5 * 16_000)
        bench.pull()
    bench.uplink.link_down()
    bench.uplink.link_up()
    ((start, end),) = sound_of(bench.pull())
    assert (start, end) == (round((40 - BACKLOG_S) * 16_000), 40 * 16_000)
    assert bench.uplink.dropped_samples == 0, "it had been sent before"


def test_mute_in_mid_turn_sends_nothing_more_but_the_end_mark() -> None:
    bench = Bench()
    bench.uplink.link_up()
    bench.capture(3_200)
    bench.uplink.open(1, 0)
    bench.pull()
    bench.capture(3_200)
    bench.uplink.void()
    bench.capture(3_200)
    assert bench.pull() == [Mark.ACTIVITY_END]


def test_sound_captured_muted_never_passes_even_inside_a_turn() -> None:
    bench = Bench()
    bench.uplink.link_up()
    bench.capture(3_200)
    bench.capture(3_200, muted=True)
    bench.capture(3_200)
    bench.uplink.open(1, 0)
    bench.uplink.close(9_600)
    assert sound_of(bench.pull()) == [(0, 3_200), (6_400, 9_600)]


def test_an_open_turn_is_sent_again_whole_on_a_new_connection() -> None:
    bench = Bench()
    bench.uplink.link_up()
    bench.capture(16_000)
    bench.uplink.open(1, 0)
    bench.pull()
    bench.uplink.link_down()
    bench.capture(16_000)
    bench.uplink.link_up("turn")
    bench.uplink.close(32_000)
    items = bench.pull()
    assert items[0] is Mark.ACTIVITY_START
    assert sound_of(items) == [(0, 32_000)]


def test_with_gap_only_what_was_not_written_is_sent() -> None:
    bench = Bench()
    bench.uplink.link_up()
    bench.capture(16_000)
    bench.uplink.open(1, 0)
    bench.pull()
    bench.uplink.link_down()
    bench.capture(16_000)
    bench.uplink.link_up("gap")
    bench.uplink.close(32_000)
    items = bench.pull()
    assert items[0] is Mark.ACTIVITY_START
    assert sound_of(items) == [(16_000, 32_000)]


def test_an_answered_sentence_of_the_open_microphone_is_not_sent_twice() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.capture(16_000)
    bench.uplink.open(1, 0)
    bench.pull()
    bench.uplink.answered()
    bench.uplink.link_down()
    bench.capture(16_000)
    bench.uplink.link_up("turn")
    assert sound_of(bench.pull()) == [(16_000, 32_000)]


def test_what_is_said_while_sound_is_held_back_is_dropped_and_the_rest_is_whole() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.uplink.open(1, 0)
    bench.capture(6_400)
    before = sound_of(bench.pull())
    bench.uplink.hold(on=True)
    bench.capture(6_400)
    assert bench.pull() == []
    assert bench.uplink.queued_ms == 0, "what will never be sent does not make the line look slow"
    bench.uplink.hold(on=False)
    bench.capture(6_400)
    after = sound_of(bench.pull())
    assert before == [(0, 6_400)]
    assert after == [(12_800, 19_200)]
    assert bench.uplink.dropped_samples == 6_400
    bench.uplink.close(19_200)
    assert bench.pull() == [Mark.STREAM_END]


def test_a_turn_begun_while_sound_is_held_back_opens_on_the_wire_afterwards() -> None:
    bench = Bench()
    bench.uplink.link_up()
    bench.uplink.hold(on=True)
    bench.uplink.open(1, 0)
    bench.capture(6_400)
    assert bench.pull() == []
    bench.uplink.hold(on=False)
    bench.capture(640)
    assert bench.pull()[0] is Mark.ACTIVITY_START


def test_held_back_sound_is_not_sent_again_on_a_new_connection_either() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.uplink.open(1, 0)
    bench.capture(6_400)
    bench.pull()
    bench.uplink.hold(on=True)
    bench.capture(6_400)
    bench.uplink.hold(on=False)
    bench.uplink.link_down()
    bench.uplink.link_up()
    assert sound_of(bench.pull()) == [(0, 6_400)]


def test_a_still_passes_only_if_it_was_taken_inside_a_turn() -> None:
    bench = Bench()
    bench.uplink.link_up()
    bench.capture(16_000)
    assert not bench.uplink.offer(Picture(9_000, b"jpeg"))
    bench.uplink.open(1, 8_000)
    bench.uplink.close(12_000)
    assert not bench.uplink.offer(Picture(12_000, b"too late"))
    assert bench.uplink.offer(Picture(9_000, b"jpeg"))
    assert Picture(9_000, b"jpeg") in bench.pull()
    bench.uplink.void()
    assert not bench.uplink.offer(Picture(9_000, b"the last visitor's"))


def heard_in(items: list[Item]) -> list[tuple[int, int, str]]:
    """The sound of `items` in the order it goes out: stretches of capture samples, each silence or sound."""
    joined: list[tuple[int, int, str]] = []
    for item in items:
        if not isinstance(item, Sound):
            continue
        heard = np.frombuffer(item.pcm, "<i2")
        edges = [0, *(np.flatnonzero(np.diff((heard != 0).astype(int))) + 1).tolist(), len(heard)]
        for a, b in itertools.pairwise(edges):
            kind = "sound" if heard[a] else "silence"
            if kind == "sound":
                assert np.array_equal(heard[a:b], coded(item.start + a, b - a))
            if joined and joined[-1][1:] == (item.start + a, kind):
                joined[-1] = (joined[-1][0], item.start + b, kind)
            else:
                joined.append((item.start + a, item.start + b, kind))
    return joined


def barge_in(*, replay: bool = False) -> list[tuple[int, int, str]]:
    """A stream is open; the device speaks from 3200 on; a person breaks in at about 9600, which is noticed at 12800."""
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.uplink.open(1, 0)
    bench.capture(3_200)
    bench.capture(9_600, gated=True)
    sent = bench.pull()
    bench.uplink.reveal(9_600)
    bench.capture(3_200)
    sent += bench.pull()
    if replay:
        bench.uplink.link_down()
        bench.capture(3_200)
        bench.uplink.link_up()
        sent = bench.pull()
    return heard_in(sent)


def test_who_broke_in_is_heard_from_the_beginning_after_the_silence_that_went_out_instead() -> None:
    assert barge_in() == [
        (0, 3_200, "sound"), (3_200, 12_800, "silence"), (9_600, 16_000, "sound"),
    ]  # fmt: skip


def test_a_new_connection_gets_the_person_in_place_of_the_silence() -> None:
    assert barge_in(replay=True) == [(0, 3_200, "sound"), (3_200, 9_600, "silence"), (9_600, 19_200, "sound")]


def test_with_a_canceller_an_interruption_sends_nothing_again() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.uplink.open(1, 0)
    bench.capture(12_800)
    sent = bench.pull()
    bench.uplink.reveal(6_400)
    assert bench.pull() == []
    bench.capture(3_200)
    assert heard_in(sent + bench.pull()) == [(0, 16_000, "sound")]


def test_what_is_confirmed_twice_is_sent_once() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.uplink.open(1, 0)
    bench.capture(9_600, gated=True)
    sent = bench.pull()
    bench.uplink.reveal(3_200)
    sent += bench.pull()
    bench.capture(640)
    bench.capture(6_400, gated=True)
    sent += bench.pull()
    bench.uplink.reveal(6_400)
    sent += bench.pull()
    assert heard_in(sent) == [
        (0, 9_600, "silence"), (3_200, 10_240, "sound"), (10_240, 16_640, "silence"), (10_240, 16_640, "sound"),
    ]  # fmt: skip


def test_who_broke_in_where_no_stream_was_open_is_heard_from_the_beginning() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.capture(9_600, gated=True)
    bench.uplink.open(1, 6_400)
    bench.uplink.reveal(6_400)
    bench.capture(3_200)
    assert heard_in(bench.pull()) == [(6_400, 12_800, "sound")]


def test_who_began_before_the_last_stream_was_closed_is_heard_from_the_beginning() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.uplink.open(1, 0)
    bench.capture(6_400, gated=True)
    bench.uplink.close(6_400)
    sent = bench.pull()
    bench.capture(3_200, gated=True)
    bench.uplink.open(2, 3_200)
    bench.uplink.reveal(3_200)
    sent += bench.pull()
    assert heard_in(sent) == [(0, 6_400, "silence"), (3_200, 9_600, "sound")]


def test_what_still_waits_to_be_sent_is_revealed_where_it_stands() -> None:
    bench = Bench(manual=False)
    bench.uplink.open(1, 0)
    bench.capture(6_400, gated=True)
    bench.uplink.close(6_400)
    bench.uplink.open(2, 3_200)
    bench.uplink.reveal(3_200)
    bench.capture(3_200)
    bench.uplink.link_up()
    assert heard_in(bench.pull()) == [(0, 3_200, "silence"), (3_200, 9_600, "sound")]


def test_what_was_revealed_when_the_line_broke_is_sent_once_by_the_next() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.uplink.open(1, 0)
    bench.capture(6_400, gated=True)
    bench.pull()
    bench.uplink.reveal(3_200)
    assert bench.uplink.queued_ms == 200
    bench.uplink.link_down()
    bench.uplink.link_up("turn")
    assert heard_in(bench.pull()) == [(0, 3_200, "silence"), (3_200, 6_400, "sound")]


def test_what_was_revealed_grows_stale_like_all_sound() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.uplink.open(1, 0)
    bench.capture(6_400, gated=True)
    bench.pull()
    bench.uplink.reveal(3_200)
    bench.uplink.link_down()
    bench.capture(round(BACKLOG_S * 16_000) - 1_280)
    bench.uplink.link_up("gap")
    assert heard_in(bench.pull()) == [(5_120, bench.ring.written, "sound")], "the ring still holds what was before"
    assert bench.uplink.dropped_samples == 5_120 - 3_200


def test_a_stream_closed_in_the_past_is_not_sent_again_by_the_next_one() -> None:
    bench = Bench(manual=False)
    bench.uplink.link_up()
    bench.uplink.open(1, 0)
    bench.capture(9_600)
    sent = bench.pull()
    bench.uplink.close(6_400)
    bench.uplink.open(2, 6_400)
    bench.capture(3_200)
    bench.uplink.open(3, 6_400)
    sent += bench.pull()
    bench.capture(3_200)
    sent += bench.pull()
    assert heard_in(sent) == [(0, 16_000, "sound")]


def test_what_was_captured_before_a_mute_and_comes_into_the_ring_after_it_is_not_admitted() -> None:
    bench = Bench()
    bench.uplink.link_up()
    bench.capture(16_000)
    bench.ring.expect(1_600)
    bench.uplink.void()
    bench.capture(3_200)
    bench.uplink.open(1, 0)
    assert sound_of(bench.pull()) == [(17_600, 19_200)]


def test_what_was_captured_before_a_hold_begins_or_ends_belongs_to_that_side_of_it() -> None:
    bench = Bench()
    bench.uplink.link_up()
    bench.capture(16_000)
    bench.uplink.open(1, 12_800)
    bench.ring.expect(1_600)
    bench.uplink.hold(on=True)
    bench.capture(6_400)
    bench.ring.expect(1_280)
    bench.uplink.hold(on=False)
    bench.capture(6_400)
    assert sound_of(bench.pull()) == [(12_800, 17_280), (23_680, 28_800)], "whole messages of 640 samples"
    assert bench.uplink.queued_ms == 0


def test_nothing_captured_before_a_mute_is_admitted_after_it() -> None:
    bench = Bench()
    bench.uplink.link_up()
    bench.capture(6_400)
    bench.uplink.void()
    bench.capture(640, muted=True)
    bench.capture(3_200)
    bench.uplink.open(1, 0)
    bench.uplink.reveal(0)
    assert sound_of(bench.pull()) == [(7_040, 10_240)]


class Echoes(RuleBasedStateMachine):
    """An unmarked stream under the device's own voice: on one connection nothing goes out twice but what was revealed.

    That goes out once as silence and once as sound; and what was gated is sound only if it was revealed.
    """

    @initialize()
    def begin(self) -> None:
        self.bench = Bench(manual=False)
        self.turn = 0
        self.sounded, self.silent, self.revealed = (np.zeros(16_000 * 16, bool) for _ in range(3))

    @rule(blocks=st.integers(1, 20), gated=st.booleans())
    def capture(self, blocks: int, gated: bool) -> None:
        if self.bench.ring.written + blocks * BLOCK < len(self.sounded):
            self.bench.capture(blocks * BLOCK, gated=gated)

    @rule(back=st.integers(0, 16_000))
    def open(self, back: int) -> None:
        self.turn += 1
        self.bench.uplink.open(self.turn, max(0, self.bench.ring.written - back))

    @rule(ahead=st.integers(-16_000, 640))
    def close(self, ahead: int) -> None:
        self.bench.uplink.close(max(0, self.bench.ring.written + ahead))

    @rule()
    def void(self) -> None:
        self.bench.uplink.void()
        self.revealed[:] = False

    @rule(back=st.integers(0, 16_000))
    def reveal(self, back: int) -> None:
        start = max(0, self.bench.ring.written - back)
        self.bench.uplink.reveal(start)
        self.revealed[start : self.bench.ring.written] = True

    @rule(replay=st.sampled_from(["turn", "gap"]))
    def link(self, replay: str) -> None:
        self.bench.uplink.link_down()
        self.bench.uplink.link_up("turn" if replay == "turn" else "gap")
        self.sounded[:] = self.silent[:] = False

    @rule(on=st.booleans())
    def hold(self, on: bool) -> None:
        self.bench.uplink.hold(on=on)

    @rule()
    def answered(self) -> None:
        self.bench.uplink.answered()

    @rule(most=st.integers(1, 60))
    def pull(self, most: int) -> None:
        for _ in range(most):
            item = self.bench.uplink.pull()
            if item is None:
                return
            for start, end, kind in heard_in([item]):
                gated = self.bench.ring.gated(start, end)
                assert not self.sounded[start:end].any(), f"{start}..{end} was sound already, now it is {kind}"
                if kind == "silence":
                    assert gated == [(start, end)]
                    assert not self.silent[start:end].any(), f"{start}..{end} is silence twice"
                    self.silent[start:end] = True
                else:
                    assert all(self.revealed[a:b].all() for a, b in gated), f"{start}..{end} was the device itself"
                    self.sounded[start:end] = True


TestEchoes = Echoes.TestCase
TestEchoes.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


class Gate(RuleBasedStateMachine):
    """Any order of events: every byte that comes out was captured inside a turn, not muted, and not voided."""

    @initialize(manual=st.booleans())
    def begin(self, manual: bool) -> None:
        self.bench = Bench(manual=manual)
        self.manual = manual
        self.muted = False
        self.turn = 0
        self.admitted: list[list[float]] = []
        self.void_before = 0
        self.on_wire: str | None = None

    @rule(blocks=st.integers(1, 60))
    def capture(self, blocks: int) -> None:
        self.bench.capture(blocks * BLOCK, muted=self.muted)

    @rule(back=st.integers(0, 16_000))
    def press(self, back: int) -> None:
        start = max(self.bench.ring.written - back, self.void_before, 0)
        if self.admitted:
            start = max(start, int(min(self.admitted[-1][1], self.bench.ring.written)))
            if self.admitted[-1][1] == float("inf"):
                self.admitted[-1][1] = start
        self.turn += 1
        self.bench.uplink.open(self.turn, start)
        self.admitted.append([start, float("inf")])

    @rule(ahead=st.integers(-320, 640))
    def release(self, ahead: int) -> None:
        end = max(self.bench.ring.written + ahead, 0)
        self.bench.uplink.close(end)
        if self.admitted and self.admitted[-1][1] == float("inf"):
            self.admitted[-1][1] = max(end, self.admitted[-1][0])

    @rule()
    def mute(self) -> None:
        self.muted = True
        self.bench.uplink.void()
        self.admitted.clear()
        self.void_before = self.bench.ring.written

    @rule()
    def unmute(self) -> None:
        self.muted = False

    @rule(up=st.booleans(), replay=st.sampled_from(["turn", "gap"]))
    def link(self, up: bool, replay: str) -> None:
        self.on_wire = None
        if up:
            self.bench.uplink.link_up("turn" if replay == "turn" else "gap")
        else:
            self.bench.uplink.link_down()

    @rule()
    def answered(self) -> None:
        self.bench.uplink.answered()

    @rule()
    def pull(self) -> None:
        for item in self.bench.pull():
            if isinstance(item, Sound):
                inside = any(start <= item.start and item.end <= end for start, end in self.admitted)
                assert inside, f"{item.start}..{item.end} passed, admitted are {self.admitted}"
                assert not self.bench.ring.muted(item.start, item.end)
                sound_of([item])
                if self.manual:
                    assert self.on_wire == "open"
            elif isinstance(item, Mark) and self.manual:
                expected = "open" if item is Mark.ACTIVITY_START else "closed"
                assert self.on_wire != expected, f"{item} twice"
                self.on_wire = expected

    @invariant()
    def the_backlog_is_bounded(self) -> None:
        if hasattr(self, "bench"):
            assert self.bench.uplink.queued_ms <= 16 * 1000 * 8


TestGate = Gate.TestCase
TestGate.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
