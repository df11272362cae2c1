"""How loud the device is, by day and by night, under its cap and over its alarm, with a wall clock of the test's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import config as settings
from edge_agent.agent.alarms import EARLIEST
from edge_agent.agent.loudness import STEP, Change, Loudness
from edge_agent.agent.memory import Memory
from edge_agent.audio.engine import Duplex
from edge_agent.audio.ring import CaptureRing
from edge_agent.service.state import StateFile

BERLIN = ZoneInfo("Europe/Berlin")


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


NOON = _at("2026-12-01T12:00")


class Device:
    """Loudness with everything around it that a test can look at."""

    def __init__(self, folder: Path, *, wall: float = NOON, mode: str = "kiosk", **audio: Any) -> None:
        self.config = settings.parse({"mode": mode, "audio": audio}, source="test")
        self.memory = Memory(StateFile(folder), faults=dict, tell=lambda _event: None)
        self.wall = wall
        self.zone = BERLIN
        self.listened_to = False
        self.queue_ms = self.prompt_ms = 0.0
        self.sound = -1
        self.sounds: list[int] = []
        self.cues: list[str] = []
        self.events: list[tuple[int, str]] = []
        self.saves = 0
        save = self.memory.save

        def counted() -> None:
            self.saves += 1
            save()

        self.memory.save = counted  # type: ignore[method-assign]
        self.loudness = Loudness(
            lambda: self.config,
            self.memory,
            engine=self,
            publish=lambda _event, **fields: self.events.append((fields["volume"], fields["by"])),
            may_tick=lambda: not self.listened_to,
            wall=lambda: self.wall,
            zone=lambda: self.zone,
        )

    def cue(self, name: str) -> None:
        self.cues.append(name)

    def set_volume(self, volume: int) -> None:
        self.sound = volume
        self.sounds.append(volume)

    def go(self, time: str) -> None:
        """Let the wall clock be set, and a second pass."""
        self.wall = _at(time)
        self.loudness.second()

    def change(self, **audio: Any) -> None:
        """Reload with other settings."""
        for name, value in audio.items():
            setattr(self.config.audio, name, value)
        self.loudness.reload()


def _run(folder: Path, story: Callable[[Device], Awaitable[None]], **made: Any) -> None:
    async def main() -> None:
        device = Device(folder, **made)
        await story(device)
        await device.memory.close()

    asyncio.run(main())


def test_what_a_person_sets_wins_over_the_configuration_and_over_a_restart(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        assert device.sound == 60
        device.change(volume=50)
        assert (device.sound, device.events) == (50, [(50, "config")]), "nobody has set one"
        assert device.loudness.set(35, by="ctl") == Change(35)
        assert device.sound == 35
        device.change(volume=70)
        assert device.sound == 35
        assert device.events == [(50, "config"), (35, "ctl")]

    _run(tmp_path, story)

    async def again(device: Device) -> None:
        assert (device.sound, device.loudness.volume) == (35, 35)

    _run(tmp_path, again)


@pytest.mark.parametrize("by", ["ctl", "tool"])
def test_asking_for_more_than_the_cap_gives_the_cap_and_says_so(tmp_path: Path, by: Any) -> None:
    async def story(device: Device) -> None:
        assert device.sound == 60
        change = device.loudness.set(90, by=by)
        assert change == Change(70, "The volume is now 70, the loudest this device may be (audio.volume_max).")
        assert device.sound == 70
        for wrong in (-1, 101):
            with pytest.raises(ValueError, match="from 0 to 100"):
                device.loudness.set(wrong, by=by)

    _run(tmp_path, story, volume_max=70)


def test_a_cap_that_comes_down_takes_the_volume_with_it_and_gives_it_back(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.loudness.set(80, by="ctl")
        device.change(volume_max=40)
        assert (device.sound, device.events[-1]) == (40, (40, "config"))
        device.change(volume_max=100)
        assert device.sound == 80

    _run(tmp_path, story)


def test_the_knob_stays_between_silent_and_the_cap(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.loudness.step(1)
        assert device.sound == 60 + STEP
        for _ in range(40):
            device.loudness.step(1)
        assert device.sound == 90
        for _ in range(40):
            device.loudness.step(-1)
        assert device.sound == 0
        assert device.sounds == [*range(60, 90, STEP), *range(90, 0, -STEP), 0], "each volume once"
        assert {by for _, by in device.events} == {"knob"}

    _run(tmp_path, story, volume_max=90)


def test_a_turn_is_heard_where_nothing_else_is(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.loudness.step(1)
        assert device.cues == ["volume"]
        for name in ("queue_ms", "prompt_ms", "listened_to"):
            setattr(device, name, 20)
            device.loudness.step(1)
            setattr(device, name, 0)
        device.loudness.ring(on=True)
        device.loudness.step(1)
        device.loudness.ring(on=False)
        device.loudness.set(30, by="ctl")
        device.change(cues=False)
        device.loudness.step(1)
        assert device.cues == ["volume"]

    _run(tmp_path, story)


def test_a_turning_knob_writes_to_the_card_once_and_is_remembered(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        for _ in range(3):
            for _ in range(5):
                device.loudness.step(-1)
            device.loudness.second()
        assert device.saves == 0, "it still turns"
        device.loudness.second()
        device.loudness.second()
        assert device.saves == 1

    _run(tmp_path, story, volume=80)
    assert json.loads((tmp_path / "state.json").read_text())["volume"] == 80 - 15 * STEP


def test_a_knob_turned_just_before_the_end_is_remembered(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.loudness.step(-1)

    _run(tmp_path, story)
    assert json.loads((tmp_path / "state.json").read_text())["volume"] == 60 - STEP


NIGHT = {"quiet_hours": "22:00-07:00", "quiet_volume": 20}


def test_a_night(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.loudness.set(70, by="ctl")
        device.go("2026-12-01T21:59:59")
        assert device.sound == 70
        device.go("2026-12-01T22:00:00")
        assert (device.sound, device.events[-1]) == (20, (20, "hours"))
        device.go("2026-12-02T06:59:59")
        assert device.sound == 20
        device.go("2026-12-02T07:00:00")
        assert (device.sound, device.events[-1]) == (70, (70, "hours"))
        assert len(device.events) == 3

    _run(tmp_path, story, **NIGHT)


@pytest.mark.parametrize(("asked", "by"), [(45, "ctl"), (5, "tool"), (0, "ctl")])
def test_what_somebody_sets_at_night_holds_until_morning_only(tmp_path: Path, asked: int, by: Any) -> None:
    async def story(device: Device) -> None:
        device.go("2026-12-01T23:00")
        assert device.loudness.set(asked, by=by) == Change(asked)
        for time in ("2026-12-01T23:30", "2026-12-02T06:59"):
            device.go(time)
            assert device.sound == asked
        device.go("2026-12-02T07:00")
        assert device.sound == 60, "the day's"
        device.go("2026-12-02T22:00")
        assert device.sound == 20, "a new night"

    _run(tmp_path, story, **NIGHT)


def test_the_knob_at_night_starts_from_what_is_heard(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.go("2026-12-01T23:00")
        device.loudness.step(1)
        assert device.sound == 20 + STEP

    _run(tmp_path, story, **NIGHT)
    assert not (tmp_path / "state.json").exists(), "the day's volume is untouched"


def test_a_knob_turned_in_the_second_in_which_night_falls_belongs_to_the_night(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.wall = _at("2026-12-01T22:00:00.5")
        device.loudness.set(50, by="ctl")
        device.go("2026-12-02T07:00")
        assert device.sound == 60

    _run(tmp_path, story, **NIGHT)


def test_a_volume_below_the_nights_stays_below(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.loudness.set(10, by="ctl")
        device.go("2026-12-01T23:00")
        assert device.sound == 10

    _run(tmp_path, story, **NIGHT)


def test_a_start_at_night_is_quiet_from_the_first_block(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        assert device.sounds == [20]
        device.change(quiet_hours="")
        assert device.sounds == [20, 60]
        device.change(quiet_hours="23:00-01:00")
        assert device.sounds == [20, 60, 20]

    _run(tmp_path, story, wall=_at("2026-12-01T23:30"), **NIGHT)


def test_hours_of_one_day_need_no_midnight(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        for time, sound in (("12:59", 60), ("13:00", 20), ("14:29", 20), ("14:30", 60), ("23:59", 60), ("00:00", 60)):
            device.go(f"2026-12-01T{time}")
            assert device.sound == sound, time

    _run(tmp_path, story, quiet_hours="13:00-14:30", quiet_volume=20)


def test_a_clock_that_is_not_set_has_no_night(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        assert device.sound == 60
        device.go("2026-12-01T23:30")
        assert device.sound == 20, "the network has told the time"
        device.wall = EARLIEST - 3600
        device.loudness.second()
        assert device.sound == 60

    _run(tmp_path, story, wall=_at("1970-01-01T23:30"), **NIGHT)


def test_a_device_that_travels_has_the_night_of_where_it_is(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.zone = ZoneInfo("Asia/Tokyo")  # noon in Berlin is 20:00 there
        device.wall += 3 * 3600
        for _ in range(30):
            device.loudness.second()
        assert device.sound == 20

    _run(tmp_path, story, **NIGHT)


@pytest.mark.parametrize("day", ["2027-03-27", "2026-10-24", "2027-10-30"])
def test_the_odd_nights_of_the_year_go_by_the_clock_on_the_wall(tmp_path: Path, day: str) -> None:
    async def story(device: Device) -> None:
        moment = datetime.fromisoformat(f"{day}T18:00").replace(tzinfo=BERLIN).astimezone(UTC)
        for _ in range(24 * 12):
            moment += timedelta(minutes=5)
            device.wall = moment.timestamp()
            device.loudness.second()
            wall = moment.astimezone(BERLIN).strftime("%H:%M")
            quiet = device.wall >= EARLIEST and "01:30" <= wall < "03:15"
            assert device.sound == (20 if quiet else 60), wall

    _run(tmp_path, story, quiet_hours="01:30-03:15", quiet_volume=20)


def test_an_alarm_is_heard_at_night_but_not_above_the_cap(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.go("2026-12-01T23:00")
        device.loudness.ring(on=True)
        assert (device.sound, device.loudness.volume) == (40, 20)
        device.loudness.set(5, by="tool")
        assert device.sound == 40, "nobody lowers what has to wake"
        device.loudness.second()
        assert device.sound == 40
        device.loudness.set(60, by="ctl")
        assert device.sound == 60
        device.change(volume_max=30)
        assert device.sound == 30
        device.loudness.set(5, by="knob")
        device.loudness.ring(on=False)
        assert device.sound == 5

    _run(tmp_path, story, **NIGHT)


_CALLS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["set", "visitor"]), st.integers(0, 100)),
        st.tuples(st.just("left"), st.none()),
        st.tuples(st.just("step"), st.integers(-3, 3)),
        st.tuples(st.just("hour"), st.integers(0, 23)),
        st.tuples(st.just("volume_max"), st.integers(1, 100)),
        st.tuples(st.sampled_from(["volume", "alarm_volume", "quiet_volume"]), st.integers(0, 100)),
        st.tuples(st.just("ring"), st.booleans()),
        st.tuples(st.just("sure"), st.booleans()),
    ),
    max_size=40,
)


@dataclass
class World:
    """What of the world the rules look at."""

    device: Device
    hour: int = 12
    sure: bool = True
    ringing: bool = False
    visitor: int | None = None
    """What the visitor who is there has set."""

    def do(self, call: str, value: Any) -> None:
        """Carry one call out, and let a second pass."""
        quiet = self.quiet
        if call in {"set", "step", "left"}:
            self.visitor = None
        match call:
            case "set":
                self.device.loudness.set(value, by="ctl")
            case "visitor":
                self.visitor = self.device.loudness.set(value, by="tool").volume
            case "left":
                self.device.loudness.left()
            case "step":
                self.device.loudness.step(value)
            case "ring":
                self.ringing = value
                self.device.loudness.ring(on=value)
            case "hour" | "sure":
                setattr(self, call, value)
            case _:
                setattr(self.device.config.audio, call, value)
        self.device.wall = _at(f"2026-12-01T{self.hour:02}:30") if self.sure else self.hour * 3600.0
        self.device.loudness.second()
        if self.quiet != quiet:
            self.visitor = None

    @property
    def quiet(self) -> bool:
        """It is night, as far as the device can know."""
        return self.sure and (self.hour >= 22 or self.hour < 7)


@given(_CALLS)
def test_whatever_is_asked_the_rules_hold(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, Any]]
) -> None:
    async def story(device: Device) -> None:
        world, loudness, audio = World(device), device.loudness, device.config.audio
        asked = False
        for call, value in calls:
            world.do(call, value)
            asked = world.quiet and (asked or call in {"set", "step"})
            cap = audio.volume_max
            assert device.sound <= cap
            assert device.sound == min(cap, max(loudness.volume, audio.alarm_volume if world.ringing else 0))
            if world.visitor is not None:
                assert loudness.volume == min(world.visitor, cap)
            elif not world.quiet:
                assert loudness.volume == min(loudness.wanted, cap)
            elif not asked:
                assert loudness.volume == min(loudness.wanted, audio.quiet_volume, cap)
            assert device.events == [] or device.events[-1][0] == loudness.volume

    _run(tmp_path_factory.mktemp("state"), story, **NIGHT)


def test_what_a_visitor_had_the_model_set_leaves_with_the_visitor(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        loudness = device.loudness
        loudness.set(40, by="ctl")
        assert loudness.set(90, by="tool") == Change(90)
        assert (device.sound, device.memory.state.volume) == (90, 40), "nothing of it is remembered"
        loudness.left()
        assert device.sound == 40, "the next visitor meets the owner's volume"
        loudness.set(90, by="tool")
        loudness.set(50, by="ctl")
        loudness.left()
        assert device.sound == 50, "what the owner set meanwhile stays"
        loudness.set(10, by="tool")
        device.go("2026-12-01T22:00")
        assert device.sound == device.config.audio.quiet_volume, "a visit does not outlast the evening"
        loudness.set(10, by="tool")
        assert device.sound == 10
        loudness.left()
        assert device.sound == device.config.audio.quiet_volume
        loudness.left()
        assert device.events[-5:] == [(50, "ctl"), (10, "tool"), (20, "hours"), (10, "tool"), (20, "left")]

    _run(tmp_path, story, quiet_hours="22:00-07:00", quiet_volume=20)


def test_a_visitors_volume_is_forgotten_at_a_restart(tmp_path: Path) -> None:
    async def visited(device: Device) -> None:
        device.loudness.set(90, by="tool")

    async def again(device: Device) -> None:
        assert device.sound == 60

    _run(tmp_path, visited)
    _run(tmp_path, again)


def test_what_a_household_had_the_model_set_stays(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.loudness.set(30, by="tool")
        device.loudness.left()
        assert (device.sound, device.memory.state.volume) == (30, 30)

    _run(tmp_path, story, mode="speaker")


def test_the_engine_ticks_as_loud_as_the_device_is_now(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        engine = Duplex(block_frames=960, ring=CaptureRing(), mic_gain_db=0, mic_channel="left", volume=0)
        loudness = Loudness(lambda: device.config, device.memory, engine=engine, wall=lambda: NOON)

        def peak() -> float:
            loudness.step(-3)
            block = np.zeros((960, 2), np.int32)
            return float(max(np.abs(engine.step(block, number / 50, 960).speaker).max() for number in range(8)))

        first, second = peak(), peak()
        assert first > 2 * 10 ** (-60 / 20) * 2**31
        assert second < 0.9 * first

    _run(tmp_path, story)
