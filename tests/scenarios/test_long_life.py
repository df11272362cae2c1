"""A conversation that outlives its connections, from end to end: resumed, handed over, retold, healed; or forgotten."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from faults.heard import conversation, verdict
from scenarios.house import House, answer, answering, live_in
from showing import Shown
from virtual.sound import Utterance

from edge_agent.simulator import End, GoAway, Hang, Hear, Rule, Script, SessionRecord, When

SPEAKER: dict[str, Any] = {"mode": "speaker", "audio": {"echo": "hardware"}}
NAME = "my name is Ada"
KNOWS = answer("You are Ada.", seed=21)
STRANGER = answer("Pleased to meet you.", seed=22)
ADA = Script(
    rules=(
        Rule((Hear("who am I"), KNOWS), when=When(history=STRANGER.text)),
        Rule((Hear(NAME), STRANGER)),
    )
)
"""Whoever begins says a name; whoever has been greeted is known by it."""


def remembered() -> dict[str, Any]:
    """What stands in the state file."""
    tree: dict[str, Any] = json.loads((Path(os.environ["XDG_STATE_HOME"]) / "edge-agent" / "state.json").read_text())
    return tree


def words(session: SessionRecord) -> list[tuple[str, str]]:
    """What the model of a session knows was said in words."""
    return [(entry.role, entry.text) for entry in session.history if entry.text]


# Remembering.


def test_a_household_goes_on_where_it_stopped_until_it_is_too_long_ago(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        await house.talk()
        await house.device.do("end")
        await asyncio.sleep(100.0)
        assert not house.device.status()["connected"]
        await house.talk()
        assert house.played(KNOWS), "the conversation went on"
        assert house.twin.session.resumed_from == house.twin.sessions[0].handles[-1]
        await house.device.do("end")
        await asyncio.sleep(140.0)
        await house.talk()
        third = house.twin.sessions[2]
        assert not third.resumed_from
        assert len(third.history) == 2, "this question, and its answer"

    live_in(tmp_path, shown, story, script=ADA, conversation={"remember_s": 120}, **SPEAKER)


@pytest.mark.parametrize(("away_s", "known"), [(20.0, True), (400.0, False)])
def test_a_household_goes_on_after_a_restart(tmp_path: Path, shown: Shown, away_s: float, known: bool) -> None:
    async def story(house: House) -> None:
        await house.talk()
        await house.switch_off()
        await asyncio.sleep(away_s)
        await house.switch_on()
        await house.talk()
        assert house.played(KNOWS) is known
        assert bool(house.twin.session.resumed_from) is known

    live_in(tmp_path, shown, story, script=ADA, **SPEAKER)


def test_a_service_that_forgot_the_household_meanwhile_is_simply_talked_to(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        await house.talk()
        await house.switch_off()
        house.twin._handles._snapshots.clear()
        await house.switch_on()
        said = await house.talk(3.0)
        refused, last = house.twin.sessions[1:]
        assert refused.closed is not None
        assert refused.closed[0] == 1007
        assert not last.resumed_from
        assert house.delivered(said)
        assert house.prompted() == []
        assert house.device.status()["fault"] is None

    live_in(tmp_path, shown, story, script=ADA, unforgiven=False, **SPEAKER)


def test_another_model_is_not_asked_to_go_on_with_what_it_never_heard(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        await house.talk()
        house.tables["live"] = {"model": "gemini-2.5-flash-native-audio-preview-12-2025"}
        await house.restart()
        await house.talk()
        assert "handle" not in house.twin.session.setup["sessionResumption"]
        assert house.prompted() == []

    live_in(tmp_path, shown, story, script=ADA, **SPEAKER)


def test_a_visitor_leaves_nothing_behind_for_the_next(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        await house.talk()
        await asyncio.sleep(15.0)
        assert "nobody there" in house.whys("conversation")
        await house.talk()
        assert house.twin.session.number == 2
        await house.restart()
        assert not remembered().get("handle"), "also where it was switched off in mid-conversation"
        await house.talk()
        for session in house.twin.sessions:
            assert not session.resumed_from
            assert "handle" not in session.setup.get("sessionResumption", {})
            assert "historyConfig" not in session.setup
            assert len(session.history) == 2
        assert not house.played(KNOWS)

    live_in(tmp_path, shown, story, script=ADA)


# Handing over.


def test_a_connection_is_changed_before_it_is_too_old_and_nothing_is_lost(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        await house.talk()
        await house.sessions(2, within_s=30.0)
        first, second = house.twin.sessions
        assert first.closed_by == "client", "nobody had to be sent away"
        assert second.resumed_from == first.handles[-1]
        assert set(house.lit()) <= {"starting", "idle", "connecting", "listening", "thinking", "speaking"}
        said = await house.talk()
        assert house.delivered(said)
        assert house.played(KNOWS), "and it knows what was said before"
        assert house.prompted() == []
        assert house.device.status()["fault"] is None

    live_in(
        tmp_path,
        shown,
        story,
        script=ADA,
        live={"connection_limit_s": 20.0},
        conversation={"idle_timeout_s": 120.0},
    )


def test_a_connection_is_not_changed_under_a_person_who_holds_the_button(tmp_path: Path, shown: Shown) -> None:
    """Its time is over in mid-sentence: the sentence arrives whole, once, before the change."""

    async def story(house: House) -> None:
        await house.talk()
        await asyncio.sleep(4.0)
        said = await house.ask(9.0)
        await house.answered()
        assert house.delivered(said, session=0), "by the old connection, whose time was over half-way"
        await house.sessions(2)
        assert house.twin.session.resumed_from == house.twin.sessions[0].handles[-1]
        assert not house.twin.session.audio_turns, "and not again"
        again = await house.talk()
        assert house.delivered(again)

    live_in(tmp_path, shown, story, live={"connection_limit_s": 20.0}, conversation={"idle_timeout_s": 120.0})


def test_a_change_under_a_person_who_talks_to_an_open_microphone_takes_the_sentence_along(
    tmp_path: Path, shown: Shown
) -> None:
    """Nobody can tell that the service is being talked to, so the new session gets what the old one had heard of it."""

    async def story(house: House) -> None:
        await house.talk()
        change_at = house.device.agent.talk.machine._line.change_at
        await asyncio.sleep(change_at - 2.0 - house.device.now)
        said = await house.ask(4.0)
        await house.answered()
        assert len(house.twin.sessions) == 2
        assert house.delivered(said)

    live_in(
        tmp_path,
        shown,
        story,
        live={"connection_limit_s": 22.0},
        conversation={"idle_timeout_s": 120.0},
        **SPEAKER,
    )


@pytest.mark.parametrize("how", ["changed", "cut"])
def test_what_is_said_after_a_long_silence_survives_a_change_and_a_cut_under_it(
    tmp_path: Path, shown: Shown, how: str
) -> None:
    """The microphone has been open for longer than speech is kept, and the sentence has just begun."""

    async def story(house: House) -> None:
        await house.talk()
        await asyncio.sleep(house.device.agent.talk.machine._line.change_at - 2.0 - house.device.now)
        said = house.device.air.say(4.0)
        await asyncio.sleep(2.0)
        if how == "cut":
            house.device.network.cut()
        await house.answered()
        assert len(house.twin.sessions) == 2
        assert house.delivered(said)

    live_in(
        tmp_path,
        shown,
        story,
        live={"connection_limit_s": 54.0 if how == "changed" else 56.0},
        conversation={"idle_timeout_s": 120.0},
        **SPEAKER,
    )


def test_a_service_that_says_goodbye_is_left_for_another_that_knows_it_all(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        await house.talk()
        await house.twin.perform(GoAway(30.0))
        await house.sessions(2)
        assert house.twin.sessions[0].closed_by == "client"
        said = await house.talk()
        assert house.delivered(said)
        assert house.played(KNOWS)
        assert "the service will close this connection" in house.whys("connection")

    live_in(tmp_path, shown, story, script=ADA)


@pytest.mark.parametrize("code", [1007, 1008, 1011])
def test_a_handle_that_is_refused_leads_to_a_session_that_is_told_the_story(
    tmp_path: Path, shown: Shown, code: int
) -> None:
    async def story(house: House) -> None:
        await house.talk()
        usual = house.twin.script
        said = await house.device.begin_to_ask(4.0)
        await asyncio.sleep(1.5)
        if code == 1007:
            house.twin._handles._snapshots.clear()  # the service has forgotten it: the twin refuses by itself
        else:
            house.twin.script = dataclasses.replace(usual, end_before_setup=End(code, "Internal error encountered."))
        house.device.network.cut()
        await house.twin.wait_for(lambda t: len(t.sessions) == 2 and t.session.closed)
        house.twin.script = usual
        await asyncio.sleep(max(0.0, said.ends + 0.2 - house.device.now))
        await house.device.release()
        await house.answered()
        refused, last = house.twin.sessions[1], house.twin.session
        assert refused.setup["sessionResumption"]["handle"] in house.twin.sessions[0].handles
        assert refused.closed is not None
        assert refused.closed[0] == code
        assert not last.resumed_from
        assert last.setup["historyConfig"] == {"initialHistoryInClientContent": True}
        assert words(last)[:2] == [("user", NAME), ("model", STRANGER.text)]
        assert house.delivered(said), "and the question is not part of what is told: it comes as it was said"
        assert house.played(KNOWS)
        assert house.prompted() == []

    live_in(tmp_path, shown, story, script=ADA, unforgiven=code != 1007)


# Healing.


AGAIN = "can you hear me"
DUMB = (answering("Hello.", heard=NAME, seed=24, times=1), Rule((Hear(AGAIN), Hang())))
"""The first question is answered, no other ever is."""


def known(house: House, session: SessionRecord, said: Utterance) -> bool:
    """True if a session knows the question, and only once: as it was said, or at the end of the story it was told."""
    told = ("user", AGAIN) in words(session)
    return verdict(conversation(house.twin, session), said) == ("not" if told else "whole, once")


def test_an_answer_that_never_comes_is_asked_for_in_every_way_and_then_the_person_is_told(
    tmp_path: Path, shown: Shown
) -> None:
    async def story(house: House) -> None:
        await house.talk()
        asked = house.device.now
        said = await house.ask()
        await house.device.event("prompt", name="no_answer")
        after_s = house.device.now - asked
        assert after_s < 30.0, "the owner's patience is 20 s"
        await house.device.until(lambda status: status["state"] == "idle")
        first, second, third = house.twin.sessions[:3]
        nudge = first.first("clientContent")
        assert nudge is not None
        assert nudge.detail == {"turns": 0, "turnComplete": True}
        assert second.resumed_from == first.handles[-1]
        assert known(house, second, said)
        assert not third.resumed_from
        assert words(third)[:2] == [("user", NAME), ("model", "Hello.")]
        assert known(house, third, said)
        steps = [event["step"] for event in house.device.events if event["event"] == "healing"]
        assert steps == ["nudge", "reopen", "retell"]
        lights = [light for light in house.lit() if light.startswith("healing")]
        assert list(dict.fromkeys(lights)) == ["healing-1", "healing-2", "healing-3"]
        assert (await house.ctl("metrics"))["figures"]["healing"] == {"nudge": 1, "reopen": 1, "retell": 1}
        assert house.prompted() == ["no_answer"]
        await asyncio.sleep(4.0)  # its own voice has ended
        await house.twin.answer(KNOWS)
        again = await house.talk()
        assert house.delivered(again), "the next question gets another connection"

    live_in(tmp_path, shown, story, script=Script(rules=DUMB))


@pytest.mark.parametrize(
    ("rung", "session", "when"),
    [
        ("nudge", 1, When(session=1, kind="text")),
        ("reopen", 2, When(session=2)),
        ("retell", 3, When(session=3)),
    ],
)
def test_each_way_of_asking_again_is_enough_where_it_helps(
    tmp_path: Path, shown: Shown, rung: str, session: int, when: When
) -> None:
    helped = answer("Here I am.", seed=25)

    async def story(house: House) -> None:
        await house.talk()
        said = await house.ask()
        await house.device.event("healing", step=rung)
        await house.answered()
        assert house.played(helped)
        assert len(house.twin.sessions) == session
        assert known(house, house.twin.session, said)
        assert f"{rung} helped" in [event["step"] for event in house.device.events if event["event"] == "healing"]
        assert house.prompted() == []
        assert house.device.status()["light"] == "idle"

    live_in(tmp_path, shown, story, script=Script(rules=(Rule((helped,), when=when), *DUMB)))


def test_an_open_microphone_whose_words_are_never_answered_gets_another_connection(
    tmp_path: Path, shown: Shown
) -> None:
    script = Script(rules=(Rule((Hear("are you there"), Hang()), when=When(session=1, nth=2)), answering()))

    async def story(house: House) -> None:
        await house.talk()
        await house.ask()
        await house.device.event("healing", step="reopen")
        await house.sessions(2)
        assert house.twin.session.resumed_from in house.twin.sessions[0].handles
        await house.device.until(state="listening")
        said = await house.talk()
        assert house.delivered(said)

    live_in(tmp_path, shown, story, script=script, **SPEAKER)
