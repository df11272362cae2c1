"""Timers and alarms: due when they should be, through power cuts, clocks that are set late, and changes of the zone."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import Stop
from edge_agent.service.state import MAX_SECTION_BYTES
from edge_agent.tools.timers import (
    CLOCK_WAIT_S,
    LATE_S,
    MAX_AHEAD_S,
    MAX_ENTRIES,
    MAX_MISSED,
    MAX_NAME,
    MAX_TIMER_S,
    Moment,
    Timers,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 22, 12, tzinfo=BERLIN).timestamp()
UNSET = 0.0  # where a clock without a battery stands


@dataclass
class Clocks:
    """A machine's clocks, and a device on it that may be restarted or lose its power."""

    wall: float = NOON
    steady: float = 100.0
    sure: bool = True
    boot: int = 1

    def __post_init__(self) -> None:
        self.timers = Timers(zone=BERLIN, boot="1")

    @property
    def now(self) -> Moment:
        return Moment(self.wall, self.steady, self.sure)

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def restart(self) -> list[str]:
        """The daemon starts again from what is on the card."""
        tree = json.loads(json.dumps(self.timers.dump(self.now), allow_nan=False))
        self.timers = Timers(zone=BERLIN, boot=str(self.boot))
        return self.timers.load(tree, self.now)

    def power_cut(self, seconds: float, *, clock_survives: bool = False) -> None:
        """The power is away; the wall clock comes back as the hardware lets it."""
        tree = json.loads(json.dumps(self.timers.dump(self.now)))
        self.boot += 1
        self.real = self.wall + seconds
        self.wall, self.steady, self.sure = (self.real, 5.0, True) if clock_survives else (UNSET, 5.0, False)
        self.timers = Timers(zone=BERLIN, boot=str(self.boot))
        assert self.timers.load(tree, self.now) == []

    def clock_set(self, wall: float) -> None:
        self.wall, self.sure = wall, True

    def rings(self) -> list[str]:
        return [entry.name for entry in self.timers.due(self.now).ring]


def test_several_timers_ring_in_their_turn() -> None:
    device = Clocks()
    device.timers.set_timer(600, "pasta", device.now)
    device.timers.set_timer(60, "egg", device.now)
    assert device.timers.next_s(device.now) == 60
    device.wait(59.9)
    assert device.rings() == []
    device.wait(0.1)
    assert device.rings() == ["egg"]
    assert device.rings() == [], "each is told once"
    assert [entry.name for entry in device.timers.ringing] == ["egg"]
    assert [entry.name for entry in device.timers.stop()] == ["egg"]
    assert device.timers.next_s(device.now) == 540
    device.wait(540)
    assert device.rings() == ["pasta"]
    assert device.timers.next_s(device.now) is None


def test_an_alarm_rings_at_its_time_of_day() -> None:
    device = Clocks()
    entry = device.timers.set_alarm("07:00", "school", device.now)
    assert entry.asked == "2026-11-23T07:00:00"
    assert device.timers.next_s(device.now) == 19 * 3600
    device.wait(19 * 3600)
    assert device.rings() == ["school"]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, 40 * 365 * 86_400.0])
def test_setting_the_clock_does_not_move_a_timer(jump: float) -> None:
    device = Clocks()
    device.timers.set_timer(300, "tea", device.now)
    device.wait(100)
    device.wall += jump
    assert not device.timers.due(device.now)
    assert device.timers.next_s(device.now) == 200
    device.wait(200)
    assert device.rings() == ["tea"]


def test_without_a_clock_timers_run_and_alarms_are_refused() -> None:
    device = Clocks(wall=UNSET, sure=False)
    device.timers.set_timer(300, "tea", device.now)
    with pytest.raises(Stop, match="does not know the time yet"):
        device.timers.set_alarm("07:00", "school", device.now)
    assert device.timers.overview(device.now)["timers"][0]["at"] is None
    device.wait(120)
    device.clock_set(NOON)
    assert device.timers.overview(device.now)["timers"] == [
        {"name": "tea", "kind": "timer", "ringing": False, "rings_in_s": 180, "at": "2026-11-22 12:03:00+01:00"}
    ]
    device.wait(180)
    assert device.rings() == ["tea"]


def test_the_clock_set_at_boot_does_not_fire_what_lies_behind() -> None:
    device = Clocks()
    device.timers.set_alarm("13:00", "lunch", device.now)
    device.timers.set_alarm("12:20", "oven", device.now)
    device.timers.set_alarm("07:00", "school", device.now)
    device.power_cut(3605)
    device.wait(30)
    assert not device.timers.due(device.now), "nobody knows the time yet"
    assert device.timers.next_s(device.now) is None
    device.clock_set(device.real + 30)
    due = device.timers.due(device.now)
    assert [entry.name for entry in due.missed] == ["oven"], "45 minutes late"
    assert [entry.name for entry in due.ring] == ["lunch"], "half a minute late, in the power cut"
    assert [entry.name for entry in device.timers.waiting] == ["school"]
    assert device.timers.overview(device.now)["missed"] == [
        {"name": "oven", "kind": "alarm", "at": "2026-11-22 12:20:00+01:00"}
    ]


@pytest.mark.parametrize(("late", "rings"), [(LATE_S, True), (LATE_S + 1, False)])
def test_how_late_is_too_late(late: float, rings: bool) -> None:
    device = Clocks()
    device.timers.set_timer(60, "tea", device.now)
    device.power_cut(60 + late, clock_survives=True)
    due = device.timers.due(device.now)
    assert bool(due.ring) is rings
    assert bool(due.missed) is not rings


def test_a_timer_counts_on_through_a_power_cut() -> None:
    device = Clocks()
    device.timers.set_timer(600, "pasta", device.now)
    device.wait(100)
    device.power_cut(200)
    device.wait(20)
    device.clock_set(device.real + 20)
    assert device.timers.next_s(device.now) == 280
    device.wait(280)
    assert device.rings() == ["pasta"]


def test_a_clock_set_right_before_the_power_cut_counts() -> None:
    device = Clocks()
    device.timers.set_timer(600, "pasta", device.now)
    device.wall += 3 * 86_400
    device.power_cut(200, clock_survives=True)
    assert device.timers.next_s(device.now) == 400


def test_a_timer_rings_late_rather_than_never_where_no_clock_comes_back() -> None:
    device = Clocks()
    device.timers.set_timer(600, "pasta", device.now)
    device.power_cut(200)
    device.wait(599)
    assert device.rings() == []
    device.wait(1)
    assert device.rings() == ["pasta"]


def test_a_timer_set_without_a_clock_survives_a_power_cut() -> None:
    device = Clocks(wall=UNSET, sure=False)
    device.timers.set_timer(600, "pasta", device.now)
    device.wait(400)
    device.power_cut(10)
    device.clock_set(NOON)
    assert device.timers.next_s(device.now) == 200
    device.wait(200)
    assert device.rings() == ["pasta"]


def test_a_restart_of_the_program_costs_nothing() -> None:
    device = Clocks(wall=UNSET, sure=False)
    device.timers.set_timer(600, "pasta", device.now)
    device.wait(100)
    assert device.restart() == []
    device.wait(499)
    assert device.rings() == []
    device.wait(1)
    assert device.rings() == ["pasta"]


def test_what_rang_in_the_power_cut_rings_again_unless_it_was_long() -> None:
    device = Clocks()
    device.timers.set_timer(60, "tea", device.now)
    device.wait(60)
    assert device.rings() == ["tea"]
    short = Clocks()
    short.timers.load(device.timers.dump(device.now), short.now)
    device.power_cut(30)
    assert device.rings() == [], "the clock is awaited"
    device.wait(CLOCK_WAIT_S - 1)
    device.clock_set(device.real + CLOCK_WAIT_S - 1)
    assert device.rings() == ["tea"]
    device.power_cut(86_400, clock_survives=True)
    assert [entry.name for entry in device.timers.due(device.now).missed] == ["tea"]


def test_ringing_that_nobody_hears_is_missed_and_forgotten_after_a_day() -> None:
    device = Clocks()
    device.timers.set_timer(60, "tea", device.now)
    device.wait(60)
    device.timers.due(device.now)
    assert [entry.name for entry in device.timers.give_up()] == ["tea"]
    assert device.timers.ringing == ()
    assert device.restart() == []
    assert [one["name"] for one in device.timers.overview(device.now)["missed"]] == ["tea"]
    device.wait(2 * 86_400)
    assert device.timers.overview(device.now) == {"timers": [], "missed": []}
    assert device.timers.dump(device.now) == {}, "nothing is left on the card"


def test_only_the_newest_missed_ones_are_kept() -> None:
    device = Clocks()
    for number in range(2 * MAX_MISSED):
        device.timers.set_timer(60 + number, f"t{number}", device.now)
    device.wait(3600)
    device.timers.due(device.now)
    missed = [one["name"] for one in device.timers.overview(device.now)["missed"]]
    assert missed == [f"t{number}" for number in range(MAX_MISSED, 2 * MAX_MISSED)]


def test_another_zone_keeps_the_time_of_day_that_was_asked() -> None:
    device = Clocks()
    device.timers.set_alarm("07:00", "school", device.now)
    device.timers.set_alarm("2026-11-23T07:00+01:00", "call", device.now)
    device.timers.set_timer(600, "tea", device.now)
    device.timers.rezone(ZoneInfo("America/New_York"))
    by_name = {entry.name: entry for entry in device.timers.waiting}
    assert by_name["school"].wall == datetime(2026, 11, 23, 7, tzinfo=ZoneInfo("America/New_York")).timestamp()
    assert by_name["call"].wall == datetime(2026, 11, 23, 6, tzinfo=UTC).timestamp(), "an offset was asked for"
    assert device.timers.next_s(device.now) == 600


def test_the_second_of_two_hours_stays_the_second() -> None:
    device = Clocks(wall=datetime(2026, 10, 25, 2, 40, tzinfo=BERLIN).timestamp())
    entry = device.timers.set_alarm("02:30", "nightly", device.now)
    assert entry.wall == datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN).timestamp()
    device.restart()
    assert device.timers.waiting == (entry,)


def test_names_are_tidied_found_and_kept_apart() -> None:
    timers, now = (device := Clocks()).timers, device.now
    assert timers.set_timer(60, "  Soft\n eggs ", now).name == "Soft eggs"
    assert [timers.set_timer(60, "", now).name for _ in range(2)] == ["1", "2"]
    assert timers.cancel("1").spoken_name == "", "a number nobody gave is not spoken"
    assert timers.set_timer(60, "", now).name == "1", "the lowest free one"
    with pytest.raises(Stop, match="already a timer or alarm named soft EGGS"):
        timers.set_timer(60, "soft EGGS", now)
    assert timers.cancel("SOFT eggs").spoken_name == "Soft eggs"
    with pytest.raises(Stop, match=r"no timer or alarm named soft eggs; there are: 2, 1\."):
        timers.cancel("soft eggs")
    with pytest.raises(Stop, match=f"at most {MAX_NAME} characters"):
        timers.set_timer(60, "x" * (MAX_NAME + 1), now)


def test_a_ringing_one_can_be_cancelled_by_name() -> None:
    device = Clocks()
    device.timers.set_timer(60, "tea", device.now)
    device.wait(60)
    device.timers.due(device.now)
    with pytest.raises(Stop, match="already a timer"):
        device.timers.set_timer(60, "tea", device.now)
    device.timers.cancel("tea")
    assert device.timers.ringing == ()


@pytest.mark.parametrize("seconds", [0, 0.5, -3, MAX_TIMER_S + 1, float("inf"), float("nan")])
def test_lengths_have_bounds(seconds: float) -> None:
    device = Clocks()
    with pytest.raises(Stop, match="from 1 second to 7 days"):
        device.timers.set_timer(seconds, "", device.now)


def test_alarms_lie_ahead_and_within_a_year() -> None:
    device = Clocks()
    with pytest.raises(Stop, match=r"has already passed; here it is 2026-11-22 12:00"):
        device.timers.set_alarm("2026-11-22T11:59", "", device.now)
    with pytest.raises(Stop, match="more than a year away"):
        device.timers.set_alarm("2028-01-01T00:00", "", device.now)
    device.timers.set_alarm("2027-11-22T12:00", "", device.now)


def test_there_is_a_most_and_it_fits_the_state_file() -> None:
    device = Clocks()
    for number in range(MAX_ENTRIES):
        device.timers.set_timer(MAX_TIMER_S - number / 7, chr(0x1F600 + number) * MAX_NAME, device.now)
    with pytest.raises(Stop, match=f"already {MAX_ENTRIES} timers"):
        device.timers.set_timer(60, "", device.now)
    assert len(json.dumps(device.timers.dump(device.now))) < MAX_SECTION_BYTES
    assert device.restart() == []
    assert len(device.timers.waiting) == MAX_ENTRIES


_GOOD = {"name": "a", "kind": "timer", "asked": "60", "wall": NOON, "steady": 150.0, "by_wall": False, "left_s": 50.0}


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 61},
        {"name": "a\nb"},
        {"name": 3},
        {"kind": "egg"},
        {"left_s": None},
        {"left_s": 1e9},
        {"wall": 1e12},
        {"wall": -1},
        {"asked": 3},
        {"kind": "alarm", "asked": "soon"},
        {"kind": "alarm", "asked": "0001-01-01T00:00"},
        {"kind": "alarm", "asked": "2026-11-23T07:00", "wall": None},
    ],
)
def test_a_broken_entry_is_named_and_hurts_no_other(change: dict[str, Any]) -> None:
    device = Clocks()
    tree = {"boot": "1", "entries": [_GOOD | change, _GOOD | {"name": "b"}], "missed": [{"name": 3}]}
    (sentence,) = device.timers.load(tree, device.now)
    assert "could not be understood" in sentence
    assert [entry.name for entry in device.timers.waiting] == ["b"]


def test_too_many_or_doubled_entries_are_named() -> None:
    device = Clocks()
    many = [_GOOD | {"name": f"t{number}"} for number in range(MAX_ENTRIES + 1)]
    (sentence,) = device.timers.load({"boot": "1", "entries": many}, device.now)
    assert "number 33 is gone" in sentence
    (sentence,) = device.timers.load({"boot": "1", "entries": [_GOOD, _GOOD | {"name": "A"}]}, device.now)
    assert "could not be understood" in sentence


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=5), deeper, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "boot": _JSON | st.just("1"),
            "missed": _JSON,
            "entries": _JSON
            | st.lists(
                st.fixed_dictionaries({key: st.just(value) | _JSON for key, value in _GOOD.items()}), max_size=4
            ),
        },
    )
)
def test_any_section_is_survived(tree: dict[str, Any]) -> None:
    device = Clocks()
    device.timers.load(tree, device.now)
    device.timers.overview(device.now)
    device.timers.due(device.now)
    json.dumps(device.timers.dump(device.now), allow_nan=False)
    assert device.restart() == []


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("timer"), st.integers(1, 4000)),
        st.tuples(st.just("alarm"), st.integers(1, 4000)),
        st.tuples(st.just("wait"), st.integers(0, 2000)),
        st.tuples(st.just("jump"), st.integers(-5000, 5000)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("unsure"), st.just(0)),
        st.tuples(st.just("sure"), st.just(0)),
    ),
    max_size=25,
)


class _Promises(Clocks):
    """A device whose timers are checked against when they were promised to ring."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.promised: dict[str, float] = {}

    def set(self, kind: str, value: int, name: str) -> None:
        if kind == "timer":
            self.promised[self.timers.set_timer(value, name, self.now).name] = self.steady + value
        elif self.sure:
            self.timers.set_alarm(datetime.fromtimestamp(self.wall + value, UTC).isoformat(), name, self.now)

    def let_pass(self, seconds: int) -> None:
        until = self.steady + seconds
        while self.steady < until:
            next_s = self.timers.next_s(self.now)
            self.wait(min(until - self.steady, 30.0 if next_s is None else max(next_s, 1e-3)))
            due = self.timers.due(self.now)
            assert not [entry for entry in due.missed if entry.kind == "timer"]
            for entry in due.ring:
                if entry.kind == "timer":
                    assert abs(self.promised.pop(entry.name) - self.steady) < 0.01
                else:
                    assert self.sure
                    assert entry.wall is not None
                    assert -0.01 < self.wall - entry.wall <= LATE_S

    def start_again(self) -> None:
        ringing = {entry.name for entry in self.timers.ringing if entry.kind == "timer"}
        assert self.restart() == []
        again = self.timers.due(self.now)
        names = {entry.name for entry in (*again.ring, *again.missed)}
        assert names >= ringing
        for name in names:
            self.promised.pop(name, None)


@given(_STEPS)
def test_nothing_rings_early_or_twice_and_no_timer_late(steps: list[tuple[str, int]]) -> None:
    """While the machine keeps running: whatever is done to the wall clock, a timer rings at its second."""
    device = _Promises()
    for number, (step, value) in enumerate(steps):
        match step:
            case "timer" | "alarm":
                device.set(step, value, f"t{number}")
            case "wait":
                device.let_pass(value)
            case "jump":
                device.wall += value
            case "restart":
                device.start_again()
            case _:
                device.sure = step == "sure"
        names = [entry.name for entry in (*device.timers.waiting, *device.timers.ringing)]
        assert len(names) == len(set(names))
    left = {entry.name for entry in device.timers.waiting if entry.kind == "timer"}
    assert left == {name for name, due in device.promised.items() if due > device.steady}


def test_an_entry_says_how_far_away_it_is() -> None:
    device = Clocks()
    entry = device.timers.set_alarm("12:10", "", device.now)
    assert entry.late_s(device.now) == -600
    assert entry.late_s(replace(device.now, sure=False)) is None
    assert MAX_AHEAD_S > 365 * 86_400
