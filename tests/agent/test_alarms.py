"""Timers and alarms on a device: told, heard, spoken, stopped, missed, and there again after a restart.

The clocks are virtual: the loop jumps to the next thing to do, so ten minutes of ringing take no time.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from virtual.loop import run

from edge_agent import prompts
from edge_agent.agent import alarms as module
from edge_agent.agent import utterance
from edge_agent.agent.alarms import BEAT_S, CHECK_S, EARLIEST, RING_S, Alarms, boot_id, system_zone
from edge_agent.audio.engine import Duplex
from edge_agent.audio.ring import CaptureRing
from edge_agent.config import Config
from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.machine import Machine
from edge_agent.conversation.moves import State
from edge_agent.conversation.rules import Rules
from edge_agent.errors import Stop
from edge_agent.prompts.voice import Speech
from edge_agent.service.state import StateFile

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 22, 12, tzinfo=BERLIN).timestamp()


class Device:
    """Alarms with everything around them that a test can look at; answers `AlarmRings` as the machine does."""

    def __init__(self, folder: Path, *, boot: str = "1", offset: float = NOON - 1000.0) -> None:
        self.loop = asyncio.get_running_loop()
        self.config = Config()
        self.state = StateFile(folder)
        self.state.load()
        self.offset = offset
        self.zone: tzinfo = BERLIN
        self.clock_is_set = True
        self.told: list[ev.Event] = []
        self.heard: list[tuple[float, str]] = []
        self.events: list[tuple[str, str]] = []
        self.prompt_ms = 0.0
        self.answers = True
        self.alarms = Alarms(
            lambda: self.config,
            self.state,
            engine=self,
            louder=lambda on: self.heard.append((self.loop.time(), "louder" if on else "as before")),
            tell=self.tell,
            save=self.save,
            publish=lambda _event, **fields: self.events.append((fields["phase"], fields["name"])),
            clock_is_set=lambda: self.clock_is_set,
            wall=lambda: self.loop.time() + self.offset,
            zone=lambda: self.zone,
            boot=boot,
        )

    def tell(self, event: ev.Event) -> None:
        self.told.append(event)
        if isinstance(event, ev.AlarmRings) and self.answers:
            self.alarms.ring(on=True)

    def save(self) -> None:
        assert self.state.flush() is None

    def cue(self, name: str) -> None:
        self.heard.append((self.loop.time(), name))

    def say(self, pcm: bytes, *, rate: int) -> None:
        assert rate == 2
        self.heard.append((self.loop.time(), pcm.decode().rstrip("\0")))

    def hush(self) -> None:
        self.heard.append((self.loop.time(), "hush"))

    def sounds(self, name: str) -> int:
        return sum(one == name for _, one in self.heard)


@pytest.fixture(autouse=True)
def _voice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A voice whose sound is its text, half a second a letter, without a thread."""

    async def at_once(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    monkeypatch.setattr(prompts, "speak", lambda text, _language: Speech(text.encode().ljust(16, b"\0"), 2))
    monkeypatch.setattr(utterance, "RATE", 2)
    monkeypatch.setattr(asyncio, "to_thread", at_once)


def test_a_timer_rings_and_a_press_stops_it(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.alarms.start()
        begin = device.loop.time()
        assert device.alarms.set_timer(300, "pasta") == {
            "name": "pasta",
            "kind": "timer",
            "ringing": False,
            "rings_in_s": 300,
            "at": "2026-11-22 12:05:00+01:00",
        }
        await asyncio.sleep(299)
        assert device.heard == []
        await asyncio.sleep(2)
        assert device.told == [ev.AlarmRings("pasta")]
        assert device.heard == [(begin + 300, "louder"), (begin + 300, "alarm")]
        await asyncio.sleep(60)
        cues = [at for at, name in device.heard if name == "alarm"]
        gaps = {round(b - a, 3) for a, b in itertools.pairwise(cues)}
        assert min(gaps) == BEAT_S
        assert device.sounds("Time is up. pasta.") == 3, "now and then"
        assert device.alarms.list_timers()["timers"][0]["ringing"]
        device.heard.clear()
        device.alarms.ring(on=False)
        await asyncio.sleep(3600)
        assert [name for _, name in device.heard] == ["hush", "as before"]
        assert device.told == [ev.AlarmRings("pasta")], "who stopped it knows that it ended"
        assert device.events == [("set", "pasta"), ("rings", "pasta"), ("stopped", "pasta")]
        assert device.alarms.list_timers() == {"timers": [], "missed": []}
        assert device.state.section("timers") == {}
        await device.alarms.close()

    run(story())


def test_ringing_that_nobody_hears_ends_by_itself_and_is_missed(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.alarms.start()
        device.alarms.set_alarm("12:01", "school")
        await asyncio.sleep(60 + RING_S + 1)
        assert device.told == [ev.AlarmRings("school"), ev.AlarmEnded()]
        assert device.heard[-2:] == [(1060 + RING_S, "hush"), (1060 + RING_S, "as before")]
        assert device.sounds("It is time. school.") > 10
        assert [one["name"] for one in device.alarms.list_timers()["missed"]] == ["school"]
        await device.alarms.close()

    run(story())


def test_a_timer_without_a_name_rings_with_the_sentences_own_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def utter(name: str, _sentence: prompts.Sentence, _config: Config) -> utterance.Utterance:
        asked.append(name)
        return utterance.Utterance("own", Speech(b"bell", 2))

    monkeypatch.setattr(module, "utter", utter)

    async def story() -> None:
        device = Device(tmp_path)
        device.alarms.start()
        device.alarms.set_timer(10, "")
        device.alarms.set_timer(100, "egg")
        await asyncio.sleep(30)
        assert device.sounds("bell")
        device.alarms.ring(on=False)
        await asyncio.sleep(100)
        assert device.sounds("Time is up. egg."), "nobody has recorded the name"
        assert set(asked) == {"timer_over"}
        await device.alarms.close()

    run(story())


def test_two_at_once_are_both_named_and_stopped_together(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.alarms.start()
        device.alarms.set_timer(10, "egg")
        device.alarms.set_timer(11, "")
        await asyncio.sleep(90)
        assert device.told == [ev.AlarmRings("egg"), ev.AlarmRings("1")]
        assert device.sounds("Time is up. egg.")
        assert device.sounds("Time is up."), "a number that nobody gave is not spoken"
        device.alarms.ring(on=False)
        assert device.alarms.list_timers()["timers"] == []
        await device.alarms.close()

    run(story())


def test_the_voice_waits_while_another_sentence_is_heard(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.alarms.start()
        device.prompt_ms = 5000.0
        device.alarms.set_timer(10, "egg")
        await asyncio.sleep(60)
        assert device.sounds("alarm") > 20
        assert device.sounds("Time is up. egg.") == 0
        await device.alarms.close()

    run(story())


def test_a_ringing_one_is_cancelled_by_name_and_the_conversation_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.alarms.start()
        device.alarms.set_timer(10, "egg")
        device.alarms.set_timer(10, "tea")
        device.alarms.set_timer(1000, "cake")
        await asyncio.sleep(12)
        assert device.alarms.cancel_timer("EGG") == {"name": "egg"}
        assert ev.AlarmEnded() not in device.told, "the tea still rings"
        device.alarms.cancel_timer("tea")
        assert device.told[-1] == ev.AlarmEnded()
        assert device.heard[-1][1] == "as before"
        device.alarms.cancel_timer("cake")
        assert device.told.count(ev.AlarmEnded()) == 1
        with pytest.raises(Stop, match="there are: none"):
            device.alarms.cancel_timer("cake")
        await device.alarms.close()

    run(story())


def test_an_alarm_nobody_let_ring_ends_as_well(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.answers = False
        device.alarms.start()
        device.alarms.set_timer(10, "egg")
        device.alarms.set_timer(20, "tea")
        await asyncio.sleep(12)
        device.alarms.cancel_timer("egg")
        assert device.told == [ev.AlarmRings("egg"), ev.AlarmEnded()]
        await asyncio.sleep(2 * RING_S)
        assert device.told[2:] == [ev.AlarmRings("tea"), ev.AlarmEnded()]
        assert device.heard == []
        await device.alarms.close()

    run(story())


def test_timers_are_there_again_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        first = Device(tmp_path)
        first.alarms.start()
        first.alarms.set_timer(600, "pasta")
        first.alarms.set_alarm("07:00", "school")
        await asyncio.sleep(100)
        await first.alarms.close()
        second = Device(tmp_path)
        second.alarms.start()
        assert [(one["name"], one["rings_in_s"]) for one in second.alarms.list_timers()["timers"]] == [
            ("pasta", 500),
            ("school", 19 * 3600 - 100),
        ]
        await asyncio.sleep(501)
        assert second.told == [ev.AlarmRings("pasta")]
        await second.alarms.close()

    run(story())


def test_what_rings_at_a_restart_rings_on(tmp_path: Path) -> None:
    async def story() -> None:
        first = Device(tmp_path)
        first.alarms.start()
        first.alarms.set_timer(10, "pasta")
        await asyncio.sleep(12)
        await first.alarms.close()
        assert first.heard[-2:] == [(1012.0, "hush"), (1012.0, "as before")]
        second = Device(tmp_path)
        second.alarms.start()
        assert second.told == [ev.AlarmRings("pasta")]
        await second.alarms.close()

    run(story())


def test_what_fell_due_while_it_was_off_is_announced_once_the_time_is_known(tmp_path: Path) -> None:
    async def story() -> None:
        first = Device(tmp_path)
        first.alarms.start()
        first.alarms.set_alarm("12:20", "oven")
        first.alarms.set_alarm("12:21", "")
        first.alarms.set_alarm("13:00", "lunch")
        await first.alarms.close()
        second = Device(tmp_path, boot="2", offset=0.0)
        second.clock_is_set = False
        second.alarms.start()
        await asyncio.sleep(100)
        assert second.told == [], "nobody knows the time"
        second.offset, second.clock_is_set = NOON + 3605 - second.loop.time(), True
        await asyncio.sleep(CHECK_S)
        assert second.told == [
            ev.AlarmRings("lunch"),
            ev.Announced("Something was due while I could not ring. oven."),
        ]
        assert {one["name"] for one in second.alarms.list_timers()["missed"]} == {"oven", "1"}
        await second.alarms.close()
        third = Device(tmp_path, boot="3", offset=NOON + 90_000)
        third.alarms.start()
        await asyncio.sleep(1)
        assert third.told == [ev.Announced("Something was due while I could not ring. lunch.")]
        await third.alarms.close()

    run(story())


def test_a_clock_set_forward_is_followed_within_half_a_minute(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.alarms.start()
        device.alarms.set_alarm("14:00", "call")
        await asyncio.sleep(45)
        device.offset += 7200 - 45 - 100
        await asyncio.sleep(CHECK_S)
        assert device.told == []
        assert device.alarms.list_timers()["timers"][0]["rings_in_s"] == 70
        await asyncio.sleep(71)
        assert device.told == [ev.AlarmRings("call")]
        await device.alarms.close()

    run(story())


def test_the_card_learns_of_a_clock_that_was_set_and_of_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path, offset=0.0)
        device.clock_is_set = False
        device.alarms.start()
        device.alarms.set_timer(3600, "cake")
        written = device.state.path.stat().st_mtime_ns
        await asyncio.sleep(600)
        assert device.state.path.stat().st_mtime_ns == written, "a card wears out"
        assert device.state.section("timers")["entries"][0]["wall"] is None
        device.offset, device.clock_is_set = NOON - device.loop.time(), True
        await asyncio.sleep(CHECK_S + 1)
        assert device.state.section("timers")["entries"][0]["wall"] == NOON + 3000
        await device.alarms.close()

    run(story())


@pytest.mark.parametrize(("jump", "known_before"), [(0.0, False), (3600.0, True), (1.0, True)])
def test_what_the_card_should_learn_of_the_clock(tmp_path: Path, jump: float, known_before: bool) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.clock_is_set = known_before
        device.alarms.start()
        device.alarms.set_timer(3600, "cake")
        before = device.state.section("timers")["entries"][0]["wall"]
        await asyncio.sleep(CHECK_S + 1)
        device.offset, device.clock_is_set = device.offset + jump, True
        await asyncio.sleep(CHECK_S + 1)
        after = device.state.section("timers")["entries"][0]["wall"]
        assert (after == before) is (jump == 1.0), "a second is trimmed without wearing the card"
        await device.alarms.close()

    run(story())


def test_a_device_that_moves_to_another_zone_wakes_by_its_clock(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.alarms.start()
        device.alarms.set_alarm("13:00", "lunch")
        device.zone = ZoneInfo("Europe/London")
        await asyncio.sleep(3600 + 60)
        assert device.told == []
        await asyncio.sleep(3600)
        assert device.told == [ev.AlarmRings("lunch")]
        await device.alarms.close()

    run(story())


def test_with_nothing_set_nothing_wakes_the_processor(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.alarms.start()
        assert device.alarms._timer is None
        device.alarms.set_timer(10, "egg")
        device.alarms.cancel_timer("egg")
        assert device.alarms._timer is None
        device.alarms.ring(on=True)
        assert device.heard == []
        await device.alarms.close()

    run(story())


def test_before_the_start_and_without_a_clock_wishes_are_refused(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        wishes: list[Callable[[], object]] = [
            lambda: device.alarms.set_timer(10, ""),
            lambda: device.alarms.set_alarm("07:00", ""),
            lambda: device.alarms.cancel_timer("x"),
        ]
        for wish in wishes:
            with pytest.raises(Stop, match="still starting"):
                wish()
        device.clock_is_set = False
        device.alarms.start()
        with pytest.raises(Stop, match="does not know the time yet"):
            device.alarms.set_alarm("07:00", "")
        await device.alarms.close()

    run(story())


def test_a_clock_before_this_program_was_written_is_not_set(tmp_path: Path) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        for wall, good in ((0.0, False), (EARLIEST - 1, False), (EARLIEST, True)):
            alarms = Alarms(
                Config,
                device.state,
                engine=device,
                louder=lambda _on: None,
                tell=device.tell,
                save=device.save,
                wall=functools.partial(float, wall),
            )
            assert alarms._now().sure is good

    run(story())


def test_a_broken_memory_is_named_and_does_not_stop_the_device(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        device.state.put("timers", {"entries": [{"name": "egg"}]})
        with caplog.at_level(logging.WARNING):
            device.alarms.start()
        assert "could not be understood" in caplog.text
        assert "egg" not in caplog.text, "what a person said stays out of the log"
        await device.alarms.close()

    run(story())


def test_a_broken_file_of_sentences_leaves_the_alarm_its_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        device = Device(tmp_path)
        (tmp_path / "en.toml").write_text("timer_over = 3")
        device.config.conversation.prompts_folder = str(tmp_path)
        device.alarms.start()
        device.alarms.set_timer(5, "egg")
        await asyncio.sleep(20)
        assert device.sounds("alarm") > 5
        assert device.sounds(f"{prompts.load('en').sentence('timer_over').text} egg.") == 1
        assert f"{tmp_path / 'en.toml'}: timer_over must be a text" in caplog.text
        await device.alarms.close()

    run(story())


def _broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("no sound today")


@pytest.mark.parametrize("part", ["voice", "cue"])
def test_an_alarm_of_which_one_half_fails_is_heard_by_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    if part == "voice":
        monkeypatch.setattr(prompts, "speak", _broken)

    async def story() -> None:
        device = Device(tmp_path)
        if part == "cue":
            device.cue = _broken  # type: ignore[method-assign]
        device.alarms.start()
        device.alarms.set_timer(10, "egg")
        await asyncio.sleep(130)
        if part == "voice":
            assert device.sounds("alarm") == 60, "to the beat"
        else:
            assert device.sounds("Time is up. egg.") > 10, "more often than beside the cue"
        assert device.told == [ev.AlarmRings("egg")], "it is heard"
        assert [record.message for record in caplog.records].count(caplog.records[-1].message) == 1, "logged once"
        assert "no sound today" in caplog.text
        device.alarms.ring(on=False)
        assert device.heard[-2][1] == "hush"
        await device.alarms.close()

    run(story())


def test_an_alarm_of_which_nothing_can_be_heard_is_announced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(prompts, "speak", _broken)

    async def story() -> None:
        device = Device(tmp_path)
        device.cue = _broken  # type: ignore[method-assign]
        device.alarms.start()
        device.alarms.set_timer(10, "egg")
        await asyncio.sleep(300)
        assert device.told == [ev.AlarmRings("egg"), ev.Announced("Time is up. egg.")]
        assert len([record for record in caplog.records if record.message.startswith("defect: ")]) == 2
        await asyncio.sleep(RING_S)
        assert device.told[2:] == [ev.AlarmEnded()]
        await device.alarms.close()

    run(story())


def test_the_files_of_an_alarm_are_read_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = 0

    async def counted(function: Callable[..., Any], *args: Any) -> Any:
        nonlocal beside
        beside += 1
        try:
            return function(*args)
        finally:
            beside -= 1

    read = prompts.load

    def loaded(*args: Any) -> prompts.Prompts:
        assert beside, "a slow card would stop the sound of the talk"
        return read(*args)

    monkeypatch.setattr(asyncio, "to_thread", counted)
    monkeypatch.setattr(prompts, "load", loaded)

    async def story() -> None:
        device = Device(tmp_path)
        device.alarms.start()
        device.alarms.set_timer(10, "")
        await asyncio.sleep(20)
        device.alarms._announce_missed(())
        await asyncio.sleep(1)
        assert device.sounds("Time is up.") == 1
        assert ev.Announced(read("en").sentence("alarm_missed").text) in device.told
        await device.alarms.close()

    run(story())


def test_a_person_at_the_device_hears_sees_and_stops_it(tmp_path: Path) -> None:
    """With the real conversation: muted and without a line, it rings; one press ends it and starts nothing else."""

    async def story() -> None:
        device = Device(tmp_path)
        machine = Machine(Rules(manual=True), muted=True)

        def tell(event: ev.Event) -> None:
            for action in machine.handle(event, device.loop.time()):
                if isinstance(action, do.Ring):
                    device.alarms.ring(on=action.on)

        device.alarms._tell = tell
        tell(ev.Ready())
        device.alarms.start()
        device.alarms.set_timer(60, "tea")
        await asyncio.sleep(61)
        assert machine.light == "ringing"
        assert device.sounds("alarm") == 1
        tell(ev.Pressed(0))
        tell(ev.Released(1600))
        assert (machine.light, machine.state) == ("muted", State.IDLE)
        assert device.alarms.list_timers()["timers"] == []
        device.alarms.set_timer(60, "egg")
        await asyncio.sleep(60 + RING_S + 1)
        assert machine.light == "muted", "the end by itself is told"
        await device.alarms.close()

    run(story())


def test_the_engine_plays_what_an_alarm_asks_for() -> None:
    engine = Duplex(block_frames=960, ring=CaptureRing(), mic_gain_db=0, mic_channel="left", volume=0)
    speaker: module.Loudspeaker = engine

    def peak_db() -> float:
        block = np.zeros((960, 2), np.int32)
        steps = [np.abs(engine.step(block, number / 50, 960).speaker).max() for number in range(1, 40)]
        return float(20 * np.log10(max(*steps, 1) / 2**31))

    speaker.cue("alarm")
    assert peak_db() < -60, "a silent device"
    engine.set_volume(Config().audio.alarm_volume)
    speaker.cue("alarm")
    assert peak_db() > -40, "is heard when it rings"
    speaker.say(b"\0\0" * 1000, rate=16_000)
    assert speaker.prompt_ms > 0
    speaker.hush()


def test_the_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    summer = datetime(2026, 7, 1, 12)  # noqa: DTZ001  the zone under test is added below
    monkeypatch.setenv("TZ", "America/New_York")
    assert (
        summer.replace(tzinfo=system_zone()).utcoffset()
        == summer.replace(tzinfo=ZoneInfo("America/New_York")).utcoffset()
    )
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    monkeypatch.setattr(module, "_LOCALTIME", link)
    for unknown in ("Nowhere/City", "CET-1CEST", "/etc", "../etc/passwd", ""):
        monkeypatch.setenv("TZ", unknown)
        assert summer.replace(tzinfo=system_zone()).utcoffset() == summer.replace(tzinfo=BERLIN).utcoffset(), unknown
    link.unlink()
    assert summer.replace(tzinfo=system_zone()).utcoffset() == summer.replace(tzinfo=ZoneInfo("UTC")).utcoffset()


def test_a_start_of_the_machine_has_an_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert boot_id() == boot_id()
    monkeypatch.setattr(module, "_BOOT_ID", tmp_path / "none")
    assert boot_id() != boot_id(), "without one, nothing is taken for the same start"
