"""The device in the living room listens by itself: what reaches the service is what was said to it, and nothing else.

Wake words are spoken by voices that the built-in model knows, through a room; whatever is said, muttered or broadcast
besides is in the same microphone. Bytes are counted where they arrive.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acoustics import RATE_HZ
from scenarios.parlour import HEARD_HZ, Parlour, Said, answer, babble, person, places, telling, visit

from edge_agent.errors import Stop

VOICE = "en-us"
WAKE: dict[str, Any] = {"word": "okay_nabu"}
FIRST_S = 0.33
"""A wake word fires at most so long after its last sound: what follows without a pause begins before it is known."""

QUESTION = person("what time is it please")
OTHER = person("and what about tomorrow morning")
CALL = person("okay nabu", voice=VOICE)
BREATH = person("okay nabu, what is the weather going to be like tomorrow", voice=VOICE)
REPLY = answer(3.0)
TALE = answer(30.0)


def wakes(parlour: Parlour) -> list[str]:
    """What came of the wake words, as `ctl wake-log` tells it."""
    entries = parlour.device.agent.talk.listener.log.answer()["heard"]
    return [one["outcome"] for one in entries if one["fired"]]


def all_of(laid: list[float | None]) -> bool:
    """Every piece of what was said was found, and all in one place."""
    found = [at for at in laid if at is not None]
    return len(found) == len(laid) >= 3 and max(found) - min(found) < 0.01


@pytest.mark.parametrize("echo", ["software", "half-duplex"])
@pytest.mark.parametrize("cues", [False, True])
def test_a_question_in_one_breath_with_the_wake_word_arrives_whole(tmp_path: Path, echo: str, cues: bool) -> None:
    """The device's own cue sounds over its second word: that one may suffer, no other."""
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        begun.append(parlour.say(BREATH))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking")
        await parlour.device.until(state="listening")
        assert wakes(parlour) == ["turn"]

    parlour = visit(tmp_path, story, script=telling(REPLY), wake=WAKE, audio={"echo": echo, "cues": cues})
    heard_at = parlour.times("wake", fired=True)[0]
    since_s = heard_at - begun[0].begins - FIRST_S
    laid = places(begun[0].sound, parlour.sent(), since_s=since_s, clean=echo == "half-duplex")
    if cues:
        assert laid[1:3].count(None) == laid.count(None), "only under the cue"
        laid = [at for at in laid if at is not None]
    assert all_of(laid)
    assert len(parlour.session.audio_turns) == 1


def test_a_question_after_a_pause_arrives_whole(tmp_path: Path) -> None:
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        called = parlour.say(CALL)
        await parlour.at(called.ends + 1.5)
        assert parlour.sent_bytes(0.0) == 0, "nobody has said anything to the service"
        begun.append(parlour.say(QUESTION))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking")
        assert wakes(parlour) == ["turn"]

    parlour = visit(tmp_path, story, script=telling(REPLY), wake=WAKE)
    assert all_of(places(begun[0].sound, parlour.sent()))


def test_whoever_is_called_and_hears_nobody_sends_nothing(tmp_path: Path) -> None:
    """A wake word that nobody meant: the ears close after four seconds, and `ctl wake-log` says so."""

    async def story(parlour: Parlour) -> None:
        called = parlour.say(CALL)
        await parlour.at(called.ends)
        await parlour.device.until(state="listening")
        took = await parlour.device.until(state="idle")
        assert 3.0 < took < 5.0
        assert wakes(parlour) == ["nobody spoke"]
        told = await parlour.device.do("wake-log")
        assert [one["outcome"] for one in told["heard"] if one["fired"]] == ["nobody spoke"]

    parlour = visit(tmp_path, story, script=telling(REPLY), wake=WAKE)
    assert parlour.sent_bytes(0.0) == 0
    assert parlour.times("turn") == []


def test_the_wake_word_over_an_answer_stops_it_and_what_follows_is_heard(tmp_path: Path) -> None:
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION, for_s=3.0)
        begun.append(parlour.say(BREATH))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking")
        await parlour.device.until(state="listening")

    parlour = visit(tmp_path, story, script=telling(TALE, REPLY, interrupts=False), wake=WAKE)
    assert parlour.silent_after(begun[0].begins) < 1.5
    assert sum(parlour.flushes().values()) == 1
    since_s = parlour.silent_after(begun[0].begins)
    assert all_of(places(begun[0].sound, parlour.sent(since=begun[0].begins - 1.0), since_s=since_s))


def test_after_an_answer_a_question_needs_no_wake_word(tmp_path: Path) -> None:
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION, for_s=1.0)
        await parlour.device.until(state="listening")
        await asyncio.sleep(4.0)
        begun.append(parlour.say(OTHER))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking")

    parlour = visit(tmp_path, story, script=telling(REPLY))
    assert all_of(places(begun[0].sound, parlour.sent(since=begun[0].begins - 1.0)))
    assert len(parlour.session.audio_turns) == 2


@pytest.mark.parametrize("television_dbfs", [None, -45.0])
def test_silence_and_television_after_an_answer_send_nothing(tmp_path: Path, television_dbfs: float | None) -> None:
    """The television has been running all the time; whoever speaks to the device is louder, and is heard."""
    running = None if television_dbfs is None else babble(60.0, dbfs=television_dbfs)
    begun: list[Said] = []
    sent: list[int] = []

    async def story(parlour: Parlour) -> None:
        if running is not None:
            parlour.say(running)
            await asyncio.sleep(10.0)
        await parlour.telling(QUESTION, for_s=1.0)
        await parlour.device.until(state="listening", within_s=20.0)
        await parlour.device.until(turn_open=False, within_s=20.0)
        await asyncio.sleep(0.5)
        since = parlour.device.now
        await asyncio.sleep(5.5)
        sent.append(parlour.sent_bytes(since))
        begun.append(parlour.say(OTHER))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking")

    parlour = visit(tmp_path, story, script=telling(REPLY))
    assert sent == [0]
    laid = places(begun[0].sound, parlour.sent(since=begun[0].begins - 1.0))
    assert running is not None or all_of(laid)


def test_ears_that_nobody_speaks_to_close_and_the_device_rests(tmp_path: Path) -> None:
    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION, for_s=1.0)
        await parlour.device.until(light="attentive")
        await asyncio.sleep(0.5)
        since = parlour.device.now
        await parlour.device.until(state="idle", within_s=10.0)
        parlour.say(OTHER)  # not to the device: the ears are closed, and the television is on
        await asyncio.sleep(5.0)
        assert parlour.sent_bytes(since) == 0

    visit(tmp_path, story, script=telling(REPLY))


@pytest.mark.parametrize("moment", ["ears", "turn", "answer"])
@pytest.mark.parametrize("by", ["ctl", "switch"])
def test_not_a_byte_after_a_mute(tmp_path: Path, moment: str, by: str) -> None:
    """With ears open, in mid-sentence, during an answer: whatever is said after the mute, nobody hears it."""
    sentence = person("one two three four five six seven eight nine ten eleven twelve thirteen")
    panel = {"pins": "mock", "mute_gpio": 24, "mute_closed": "muted"} if by == "switch" else {}

    async def story(parlour: Parlour) -> None:
        device = parlour.device
        match moment:
            case "ears":
                await device.tap()
                await device.until(state="listening")
                await asyncio.sleep(0.5)
            case "turn":
                await device.tap()
                said = parlour.say(sentence, after=0.4)
                await parlour.at(said.begins + 2.0)
                assert device.status()["turn_open"]
            case "answer":
                await parlour.telling(QUESTION)
        if by == "switch":
            wire = device.agent.board.switch_wire
            assert wire is not None
            wire.drive(True)
        else:
            await device.do("mute")
        await asyncio.sleep(0.1)  # what was said before it is on its way
        muted_at = device.now
        assert device.status()["muted"]
        if moment == "answer":
            assert device.state == "speaking", "the answer plays on"
        for _ in range(2):
            said = parlour.say(BREATH)
            await parlour.at(said.ends + 1.0)
            await device.tap()
        await asyncio.sleep(5.0)  # it has said that it is muted
        assert parlour.sent_bytes(muted_at) == 0
        ring = device.agent.talk.ring
        since = max(ring.oldest, ring.written - 6 * HEARD_HZ)
        heard = np.frombuffer(ring.read(since, ring.written), "<i2")
        assert not np.any(heard), "it was silenced before anything could look at it"
        assert wakes(parlour) == []
        if by == "switch":
            with pytest.raises(Stop, match="only the switch"):
                await device.do("unmute")
            assert device.status()["muted_by"] == "switch"

    parlour = visit(tmp_path, story, script=telling(answer(12.0)), panel=panel, wake=WAKE)
    assert parlour.near_ends().count("confirmed") == 0


def test_a_mute_in_mid_answer_costs_the_canceller_nothing(tmp_path: Path) -> None:
    """Muted for a while and open again, while the answer goes on: it is not interrupted by itself."""

    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION, for_s=4.0)
        await parlour.device.do("mute")
        await asyncio.sleep(3.0)
        await parlour.device.do("unmute")
        await asyncio.sleep(8.0)
        assert parlour.device.state == "speaking"

    parlour = visit(tmp_path, story, script=telling(TALE))
    assert parlour.flushes() == {}
    assert "confirmed" not in parlour.near_ends()


def test_the_button_over_an_answer_stops_it_at_once(tmp_path: Path) -> None:
    """In a kiosk nobody has to raise their voice."""
    begun: list[Said] = []
    pressed: list[float] = []

    async def story(parlour: Parlour) -> None:
        for_s = len(QUESTION) / RATE_HZ
        await parlour.device.press()
        parlour.say(QUESTION)
        await asyncio.sleep(for_s)
        await parlour.device.release()
        await parlour.device.until(state="speaking")
        await asyncio.sleep(3.0)
        pressed.append(parlour.device.now)
        await parlour.device.press()
        begun.append(parlour.say(OTHER, after=0.3))
        await parlour.at(begun[0].ends)
        await parlour.device.release()
        await parlour.device.until(state="speaking")

    parlour = visit(tmp_path, story, script=telling(TALE, REPLY), mode="kiosk", audio={"echo": "auto", "cues": False})
    assert parlour.silent_after(pressed[0]) < 0.1
    assert parlour.flushes() == {"press": 1}
    assert all_of(places(begun[0].sound, np.frombuffer(parlour.session.audio_turns[1], "<i2") / 32_768))
