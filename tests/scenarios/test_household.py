"""The house around the talk, from end to end: announcements, timers, budgets, and a network that costs money."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness import find
from scenarios.house import SAME_VOICE, House, answer, answering, live_in, voice
from showing import Shown

from edge_agent import prompts
from edge_agent.prompts import voice as local_voice
from edge_agent.simulator import Call, FunctionCall, Rule, Script, When

WORDS = "Dinner is ready, please come down."
SPEAKER: dict[str, Any] = {"mode": "speaker", "audio": {"echo": "hardware"}}
STILLS = Path(__file__).parents[2] / "edge_agent" / "demo" / "stills"


def no_way() -> OSError:
    """What a network that is away answers."""
    return OSError(101, "Network is unreachable")


def sentence(name: str) -> str:
    """The device's own sentence of this name, in English."""
    return prompts.load("en", None).sentence(name).text


# Announcements.


def test_say_without_a_connection_is_spoken_by_the_device_itself(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        assert (await house.ctl("say", text=WORDS))["state"] == "idle"
        await house.device.event("announcement", text=WORDS)
        await asyncio.sleep(6.0)
        assert house.spoke(WORDS)
        assert not house.twin.sessions, "nobody asked the service for it"
        assert (await house.ctl("status"))["state"] == "idle"

    live_in(tmp_path, shown, story)


def test_two_announcements_are_spoken_in_the_order_they_came(tmp_path: Path, shown: Shown) -> None:
    """The second is known by heart, the first has to be spoken anew."""
    local_voice.forget()
    second = voice("The door is open.")

    async def story(house: House) -> None:
        await house.ctl("say", text=WORDS)
        await house.ctl("say", text="The door is open.")
        await asyncio.sleep(8.0)
        heard = house.device.air.heard
        places = [find(sound, heard) for sound in (voice(WORDS), second)]
        assert all(score > SAME_VOICE for _, score in places)
        assert places[0][0] + len(voice(WORDS)) * 0.9 < places[1][0]

    live_in(tmp_path, shown, story)


def test_say_in_a_conversation_is_spoken_by_the_models_voice(tmp_path: Path, shown: Shown) -> None:
    spoken = answer("the words", seed=2)
    script = Script(rules=(Rule((spoken,), when=When(text=WORDS)), answering()))

    async def story(house: House) -> None:
        await house.talk()
        await house.ctl("say", text=WORDS)
        await house.answered()
        assert house.played(spoken)
        assert not house.spoke(WORDS)
        (text,) = house.twin.session.texts
        assert WORDS in text
        assert house.device.state == "idle"
        assert not house.device.agent.talk.machine.turn_open, "nobody is listened to"

    live_in(tmp_path, shown, story, script=script)


def test_say_waits_until_an_answer_has_been_heard(tmp_path: Path, shown: Shown) -> None:
    first, then = answer("a long story", seconds=5.0, seed=3), answer("the words", seed=4)
    script = Script(rules=(Rule((then,), when=When(text=WORDS)), Rule((first,))))

    async def story(house: House) -> None:
        await house.ask()
        await house.device.until(state="speaking")
        await asyncio.sleep(1.0)
        await house.ctl("say", text=WORDS)
        await asyncio.sleep(2.0)
        assert house.device.state == "speaking"
        assert not house.twin.session.texts, "it does not cut in"
        await house.device.until(state="thinking")
        await house.answered()
        assert house.played(first)
        assert house.played(then)
        assert "interrupted" not in house.twin.session.kinds("server")

    live_in(tmp_path, shown, story, script=script)


def test_a_muted_device_still_says_what_it_is_told_to_and_listens_to_nobody(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        await house.ctl("mute")
        house.device.air.say(20.0)
        await house.ctl("say", text=WORDS)
        await asyncio.sleep(5.0)
        await house.ctl("converse", text="Is anybody there?")
        await asyncio.sleep(5.0)
        assert house.spoke(WORDS)
        assert house.spoke("Is anybody there?")
        assert not house.twin.sessions
        status = await house.ctl("status")
        assert (status["state"], status["light"], status["muted"]) == ("muted", "muted", True)

    live_in(tmp_path, shown, story)


@pytest.mark.parametrize("mode", ["kiosk", "speaker"])
def test_converse_speaks_then_listens_and_what_is_said_is_answered(tmp_path: Path, shown: Shown, mode: str) -> None:
    asked, then = answer("May I turn the heating down?", seed=5), answer("Done.", seed=6)
    script = Script(rules=(Rule((asked,), when=When(text="heating")), Rule((then,), when=When(kind="audio"))))

    async def story(house: House) -> None:
        told = await house.ctl("converse", text="May I turn the heating down?")
        assert told["state"] == "connecting"
        await house.device.until(state="speaking")
        assert not house.device.agent.talk.machine.turn_open or mode == "speaker"
        await house.device.until(state="listening")
        assert house.device.status()["light"] == "listening"
        if mode == "speaker":
            said = await house.device.say_aloud(1.5)
        else:
            said = await house.device.ask_aloud(1.5)  # begun before the button is down: it was listening already
        await house.answered()
        assert house.played(asked)
        assert house.played(then)
        assert house.delivered(said)
        assert len(house.twin.sessions) == 1

    live_in(tmp_path, shown, story, script=script, **(SPEAKER if mode == "speaker" else {}))


def test_converse_to_an_empty_room_stops_listening_by_itself(tmp_path: Path, shown: Shown) -> None:
    script = Script(rules=(Rule((answer(seed=7),)),))

    async def story(house: House) -> None:
        await house.ctl("converse", text="Is anybody there?")
        await house.device.until(state="listening")
        listened_s = await house.device.until(lambda status: status["state"] != "listening")
        assert listened_s == pytest.approx(15.0, abs=0.5)
        await house.device.event("turn", why="too long")
        await house.device.until(state="idle", connected=False, within_s=60.0)

    live_in(tmp_path, shown, story, script=script)


def test_converse_without_a_network_speaks_itself_and_does_not_listen(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        house.device.network.refuse = no_way
        await house.ctl("converse", text=WORDS)
        await house.device.event("announcement", text=WORDS)
        await asyncio.sleep(9.0)
        assert house.spoke(WORDS)
        assert house.prompted() == ["offline"], "and why nobody listens"
        await house.ctl("converse", text="Once more.")  # now it is known that there is no way
        await asyncio.sleep(4.0)
        assert house.spoke("Once more.")
        assert "opened" not in house.whys("turn")
        assert house.device.state == "offline"
        house.device.network.refuse = None
        await house.device.until(state="idle", within_s=90.0)

    live_in(tmp_path, shown, story)


# Timers.


def test_a_timer_that_the_model_set_rings_without_a_network_until_the_button_is_pressed(
    tmp_path: Path, shown: Shown
) -> None:
    call = Call((FunctionCall("set_timer", {"duration_s": 90, "name": "pasta"}),))
    script = Script(rules=(Rule((call, answer("Ninety seconds.", seed=8)), times=1), answering()))

    async def story(house: House) -> None:
        await house.talk()
        (told,) = house.twin.session.responses.values()
        assert "error" not in told
        (timer,) = (await house.ctl("timers"))["timers"]
        assert timer["name"] == "pasta"
        await house.device.do("end")
        house.device.network.refuse = no_way
        await house.device.event("timer", name="pasta", phase="rings", within_s=120.0)
        await asyncio.sleep(8.0)
        assert house.device.status()["light"] == "ringing"
        assert house.spoke(f"{sentence('timer_over')} pasta.")
        assert [name for _, name in house.device.cues].count("alarm") >= 3
        await house.device.tap()
        await house.device.event("timer", name="pasta", phase="stopped")
        rang = len(house.device.cues)
        await asyncio.sleep(10.0)
        assert [name for _, name in house.device.cues[rang:]] == []
        assert house.device.state == "idle"
        assert house.whys("turn").count("opened") == 1, "the press that stops it opens no turn"
        assert (await house.ctl("timers"))["timers"] == []

    live_in(tmp_path, shown, story, script=script, **SPEAKER)


def test_a_timer_that_rings_into_an_answer_is_stopped_without_stopping_the_answer(tmp_path: Path, shown: Shown) -> None:
    call = Call((FunctionCall("set_timer", {"duration_s": 10, "name": "tea"}),))
    long = answer("a long story", seconds=20.0, seed=12)
    script = Script(rules=(Rule((call, long)),))

    async def story(house: House) -> None:
        await house.ask()
        await house.device.event("timer", name="tea", phase="rings")
        await asyncio.sleep(3.0)
        status = await house.ctl("status")
        assert (status["state"], status["light"]) == ("speaking", "ringing")
        await house.device.tap()
        await asyncio.sleep(1.0)
        status = await house.ctl("status")
        assert (status["state"], status["light"]) == ("speaking", "speaking")
        await house.device.until(lambda status: status["state"] != "speaking")
        assert house.figure("interruptions") is None
        assert "interrupted" not in house.twin.session.kinds("server")
        assert house.device.agent.talk.machine.turn_open, "nor has it closed the microphone"

    live_in(tmp_path, shown, story, script=script, **SPEAKER)


def test_timers_are_kept_over_a_restart_and_taken_back_by_name(tmp_path: Path, shown: Shown) -> None:
    calls = tuple(
        FunctionCall("set_timer", {"duration_s": seconds, "name": name})
        for seconds, name in ((600, "eggs"), (60, "tea"))
    )
    script = Script(rules=(Rule((Call(calls), answer("Both are set.", seed=9))),))

    async def story(house: House) -> None:
        await house.talk()
        await house.restart()
        assert {one["name"] for one in (await house.ctl("timers"))["timers"]} == {"eggs", "tea"}
        assert (await house.ctl("cancel", name="eggs"))["cancelled"] == "eggs"
        assert "eggs" in await house.refused("cancel", name="eggs")
        await house.device.event("timer", name="tea", phase="rings", within_s=90.0)
        await house.ctl("cancel", name="tea")
        await house.device.until(light="idle")
        assert (await house.ctl("timers"))["timers"] == []
        assert not [event for event in house.device.events if event.get("name") == "eggs" and event["phase"] == "rings"]

    live_in(tmp_path, shown, story, script=script, **SPEAKER)


# Budgets.


def test_a_soft_cap_is_told_once_a_day(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        for _ in range(3):
            await house.talk()
            await asyncio.sleep(5.0)
        assert house.prompted() == ["budget_low"]
        assert house.spoke(sentence("budget_low"))
        assert house.device.status()["fault"] is None
        await house.restart()
        await house.talk()
        await asyncio.sleep(5.0)
        assert house.prompted() == [], "a restart does not make it news"
        house.date = (2027, 1, 16)
        await asyncio.sleep(2.0)
        await house.talk()
        await asyncio.sleep(5.0)
        assert house.prompted() == ["budget_low"]

    live_in(tmp_path, shown, story, budget={"soft_per_day": 0.000_001})


def test_at_a_hard_cap_the_answer_is_heard_and_then_there_is_no_talk_until_the_next_day(
    tmp_path: Path, shown: Shown
) -> None:
    long = answer("a long answer", seconds=4.0, seed=10)
    script = Script(rules=(Rule((long,)),), turn_complete="sent")

    async def story(house: House) -> None:
        await house.talk()
        assert house.played(long), "what it costs to hear it has been spent"
        await house.device.until(state="fault")
        status = await house.ctl("status")
        assert status["fault"]["code"] == 10
        assert "after midnight" in status["fault"]["text"]
        assert status["light"] == "fault-10"
        assert house.prompted() == ["fault-10"]
        await asyncio.sleep(9.0)
        assert house.spoke(sentence("fault-10"))
        sent = house.received()
        for number in range(2, 4):
            await house.ask()
            await asyncio.sleep(9.0)
            assert house.prompted() == ["fault-10"] * number, "who presses is told why"
        await house.ctl("ask", text="And now?")
        await asyncio.sleep(2.0)
        assert house.prompted() == ["fault-10"] * 4
        await house.restart()
        await house.ask()
        await asyncio.sleep(3.0)
        assert house.device.state == "fault"
        assert house.prompted() == ["fault-10"], "a restart is no way round it"
        assert house.received() == sent
        assert [text for session in house.twin.sessions for text in session.texts] == []
        await house.ctl("say", text=WORDS)
        await asyncio.sleep(9.0)
        assert house.spoke(WORDS), "the local voice costs nothing"
        house.date = (2027, 1, 16)
        await house.device.until(state="idle", fault=None)
        said = await house.ask()
        await house.answered()
        assert house.delivered(said)

    live_in(tmp_path, shown, story, script=script, budget={"hard_per_day": 0.000_001})


def test_at_a_hard_cap_an_open_microphone_is_closed(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        await house.talk()
        await house.device.until(state="fault", light="fault-10", turn_open=False, connected=False)
        assert "the budget is used up" in house.whys("conversation")
        sent = house.received()
        house.device.air.say(8.0)
        await house.device.tap()
        await asyncio.sleep(9.0)
        assert house.received() == sent
        assert house.prompted() == ["fault-10"] * 2

    live_in(tmp_path, shown, story, budget={"hard_per_month": 0.000_001}, **SPEAKER)


def test_the_data_of_a_day_end_talk_as_well(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        for _ in range(8):
            await house.talk()
            if house.device.state == "fault":
                break
        status = await house.ctl("status")
        assert status["fault"]["code"] == 10
        assert "data for today are used up" in status["fault"]["text"]
        assert "budget_low" in house.prompted(), "and there was a notice before"
        figures = (await house.ctl("metrics"))["figures"]
        assert 1e6 <= figures["bytes"]["up,day"] + figures["bytes"]["down,day"] < 1.3e6

    live_in(tmp_path, shown, story, link={"max_mb_per_day": 1.0})


def test_a_metered_network_carries_no_stills_by_themselves_and_no_connection_ahead(
    tmp_path: Path, shown: Shown
) -> None:
    look = Script(rules=(Rule((Call((FunctionCall("look"),)), answer(seed=11)), when=When(nth=2)), answering()))

    async def story(house: House) -> None:
        await asyncio.sleep(10.0)
        assert not house.twin.sessions, "nothing is opened ahead"
        await house.talk()
        assert not house.twin.session.images
        await house.talk()
        assert len(house.twin.session.images) == 1, "a still that is asked for is sent"

    live_in(
        tmp_path,
        shown,
        story,
        script=look,
        link={"metered": True},
        live={"prewarm": True},
        camera={"source": f"files:{STILLS}", "when": "turn"},
    )
