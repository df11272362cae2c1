"""Whoever talks over the answer is heard, and nobody else: a whole device in a room, its own voice in its microphone.

Voices are espeak-ng's, the echo comes through a room and is cancelled by the device, and the service hears what is left
with its own detector. Times are those of the loudspeaker, when it is heard.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acoustics import RATE_HZ, level, speech
from harness import find, pcm
from scenarios.parlour import (
    ANSWER_HZ,
    HEARD_HZ,
    SAME,
    Parlour,
    Said,
    answer,
    person,
    places,
    telling,
    visit,
)

from edge_agent.audio.wavfile import resample
from edge_agent.simulator import Hear, Rule, Say, Script

QUESTION = person("what time is it please")
OBJECTION = person("excuse me could you please tell me something else, what is the weather tomorrow")
TALE = answer(30.0)
REPLY = answer(3.0, voice="en-us+m3")
GRUNT_S = 0.14
RINGS_S = 0.2
"""The room goes on ringing after the answer, and the canceller takes that away with what is said meanwhile."""


def whole_once(parlour: Parlour, said: Said, *, from_s: float, clean: bool = False) -> None:
    """What a person said from a moment of their sentence on has reached the service whole, in order, and once."""
    sent = parlour.sent(since=said.begins - 1.0)
    laid = places(said.sound, sent, since_s=from_s, clean=clean)
    assert len(laid) >= 4, "speech was looked for"
    assert None not in laid, f"a piece is missing: {laid}"
    offsets = np.array(laid, np.float64)
    assert np.ptp(offsets) < 0.01, f"in one piece: {laid}"
    first = max(0, round((offsets[0] + from_s) * HEARD_HZ))
    rest = np.concatenate([sent[:first], sent[first + round((len(said.sound) / 48_000 - from_s) * HEARD_HZ) :]])
    assert not [at for at in places(said.sound, rest, since_s=from_s, clean=clean) if at is not None], "sent twice"


def played(parlour: Parlour, sound: bytes) -> bool:
    """True if the loudspeaker has played this answer, whole."""
    wanted = resample(pcm(sound).astype(np.float32), ANSWER_HZ, HEARD_HZ).astype(np.float64)
    heard = resample(parlour.air.record.loudspeaker, 48_000, HEARD_HZ).astype(np.float64)
    return find(wanted, heard)[1] > SAME


@pytest.mark.parametrize(
    ("latency_s", "interrupts"),
    [(0.02, True), (0.8, True), (0.02, False)],
    ids=["the service is first", "the service is late", "the service never interrupts"],
)
def test_a_person_talks_over_the_answer_and_it_yields(tmp_path: Path, latency_s: float, interrupts: bool) -> None:
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION)
        parlour.device.network.latency_s = latency_s
        begun.append(parlour.say(OBJECTION))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking", within_s=40.0)
        await parlour.device.until(state="listening", within_s=40.0)

    script = telling(TALE, REPLY, resumption_updates=False, interrupts=interrupts)
    parlour = visit(tmp_path, story, script=script)
    said = begun[0]
    assert parlour.silent_after(said.begins) < 1.5
    assert sum(parlour.flushes().values()) == 1, "one silence, whoever asks for it"
    whole_once(parlour, said, from_s=parlour.silent_after(said.begins) + RINGS_S)
    assert played(parlour, REPLY), "the next answer is heard whole"
    assert len(parlour.twin.sessions) == 1
    assert len(parlour.session.audio_turns) == 2, "one question, one objection"


def test_an_answer_that_is_to_be_heard_to_its_end_is_not_even_lowered(tmp_path: Path) -> None:
    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION)
        await parlour.at(parlour.say(OBJECTION).ends)
        await parlour.device.until(state="listening", within_s=40.0)

    parlour = visit(tmp_path, story, script=telling(TALE, REPLY), live={"interruptible": False})
    assert parlour.flushes() == {}
    assert not parlour.times("near-end")
    assert played(parlour, TALE)


def test_the_old_answer_that_still_comes_in_is_not_heard_again(tmp_path: Path) -> None:
    """A service that does not stop sends the rest of the old answer at the pace of speech."""
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION)
        begun.append(parlour.say(OBJECTION))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking", within_s=40.0)
        await parlour.device.until(state="listening", within_s=40.0)

    slow = Rule((Hear("a question"), Say("A tale.", sound=answer(12.0), pace=1.0)), times=1)
    parlour = visit(tmp_path, story, script=Script(rules=(slow, *telling(REPLY).rules), interrupts=False))
    assert parlour.flushes() == {"near-end": 1}
    assert played(parlour, REPLY)
    quiet_from = begun[0].begins + parlour.silent_after(begun[0].begins)
    speaking = [t for t in parlour.times("state", state="speaking") if t > quiet_from]
    assert parlour.loudness(quiet_from, speaking[0]) < -60, "silent until the next answer"


def test_a_person_talks_over_an_answer_while_nothing_is_sent(tmp_path: Path) -> None:
    """A question in writing is answered; whoever talks over the answer opens the stream, from their first word on."""
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        await parlour.telling_in_writing(for_s=3.0)
        assert parlour.sent_bytes(0.0) == 0
        begun.append(parlour.say(OBJECTION))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking")
        await parlour.device.until(state="listening")

    parlour = visit(tmp_path, story, script=telling(TALE, REPLY))
    assert parlour.flushes() == {"near-end": 1}
    whole_once(parlour, begun[0], from_s=parlour.silent_after(begun[0].begins) + RINGS_S)
    assert played(parlour, REPLY)


def test_with_headphones_whoever_talks_over_it_is_heard_from_before_the_first_word(tmp_path: Path) -> None:
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        await parlour.telling_in_writing(for_s=3.0)
        begun.append(parlour.say(OBJECTION))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking")

    parlour = visit(tmp_path, story, script=telling(TALE, REPLY), ser_db=60.0, audio={"echo": "off"})
    assert parlour.flushes() == {"near-end": 1}
    whole_once(parlour, begun[0], from_s=0.0, clean=True)
    first = places(begun[0].sound, parlour.sent(since=begun[0].begins), clean=True)[0]
    assert first is not None
    assert first > 0.3, "with what was before it: a first word can be too soft to be noticed at once"


def test_a_short_sound_ducks_the_answer_and_it_comes_back(tmp_path: Path) -> None:
    whole = speech("ah", dbfs=-16.0)
    grunt = whole[len(whole) // 3 :][: round(GRUNT_S * RATE_HZ)] * np.hanning(round(GRUNT_S * RATE_HZ))
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        await parlour.telling_in_writing(for_s=5.0)
        begun.append(parlour.say(grunt))
        await parlour.device.until(state="idle", within_s=60.0)

    tale = answer(12.0)
    parlour = visit(tmp_path, story, script=telling(tale))
    assert parlour.near_ends()[-2:] == ["suspected", "cleared"]
    assert parlour.flushes() == {}
    down = next(t for t in parlour.times("near-end", step="suspected") if t > begun[0].begins) + 0.25
    up = next(t for t in parlour.times("near-end", step="cleared") if t > down) + 0.4
    heard = parlour.air.record.loudspeaker
    asked = resample(pcm(tale).astype(np.float32), ANSWER_HZ, 48_000)
    at, _ = find(asked[:48_000], heard)
    gain_db = [
        20 * np.log10(np.linalg.norm(heard[a : a + 9_600]) / np.linalg.norm(asked[a - at : a - at + 9_600]))
        for a in (parlour.air.frame(down), parlour.air.frame(up))
    ]
    assert gain_db[0] < gain_db[1] - 15, "lowered by 18 dB, and back"
    assert parlour.sent_bytes(0.0) == 0


@pytest.mark.parametrize(
    ("minutes", "ser_db"),
    [(1, -10), (1, -20), pytest.param(5, -20, marks=[pytest.mark.slow, pytest.mark.virtual, pytest.mark.timeout(300)])],
)
def test_the_device_does_not_interrupt_itself(tmp_path: Path, minutes: int, ser_db: int) -> None:
    """From the first word of the first answer on, and the service hears nothing that it takes for a person."""
    dbfs = -28.0 if ser_db > -15 else -37.0  # a louder echo would not fit into the microphone
    question = person("what time is it please", dbfs=dbfs)

    async def story(parlour: Parlour) -> None:
        await parlour.telling(question, for_s=60.0 * minutes - 5.0)
        assert parlour.device.state == "speaking"

    tale = Rule((Hear("a question"), Say("A tale.", sound=answer(60.0 * minutes), pace=1.0)))
    script = Script(rules=(tale,))
    parlour = visit(tmp_path, story, script=script, ser_db=ser_db, person_dbfs=dbfs, keep=())
    assert parlour.flushes() == {}
    assert "confirmed" not in parlour.near_ends()
    assert "interrupted" not in parlour.session.kinds("server")
    assert len(parlour.session.audio_turns) == 1


def test_every_conversation_begins_with_what_the_last_one_taught(tmp_path: Path) -> None:
    """The canceller knows the room after the first visitor: the second's answer is not interrupted, not even ducked."""

    async def story(parlour: Parlour) -> None:
        for _ in range(2):
            await parlour.telling(QUESTION, for_s=5.0)
            await parlour.device.do("end")
            await parlour.device.until(state="idle")
            await asyncio.sleep(2.0)

    parlour = visit(tmp_path, story, script=telling(TALE))
    assert [session.kinds("server").count("interrupted") for session in parlour.twin.sessions] == [0, 0]
    second = parlour.twin.sessions[1]
    asked = next(mark.t for mark in second.marks if mark.kind == "audio" and mark.who == "server")
    heard = [m.detail for m in second.marks if m.kind == "audio" and m.who == "client" and asked < m.t < asked + 4.0]
    clean = pcm(second.audio[heard[0]["at"] + 32_000 * 3 // 10 : heard[-1]["at"]])
    frames = clean[: len(clean) // 320 * 320].reshape(-1, 320)
    assert np.any(clean), "what goes up is the canceller's, not silence"
    assert 10 * np.log10(np.mean(frames**2, axis=1).max() + 1e-12) < -50


def test_lost_sound_stops_nothing(tmp_path: Path) -> None:
    """The sound thread is late by 300 ms in mid-answer, three times: microphone sound is lost, the answer has gaps."""

    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION, for_s=4.0)
        for _ in range(3):
            sound: Any = parlour.device.agent.sound
            sound.stall(0.3)
            await asyncio.sleep(4.0)
        assert parlour.device.state == "speaking"
        assert parlour.device.status()["xruns"] >= 3

    parlour = visit(tmp_path, story, script=telling(TALE))
    assert parlour.flushes() == {}
    assert "confirmed" not in parlour.near_ends()
    assert "interrupted" not in parlour.session.kinds("server")


def test_an_echo_that_comes_later_all_at_once_stops_nothing(tmp_path: Path) -> None:
    async def story(parlour: Parlour) -> None:
        await parlour.telling_in_writing(for_s=20.0)
        assert parlour.device.state == "speaking"
        assert parlour.device.now - parlour.air.epoch > 22.0, "the jump was heard"

    parlour = visit(tmp_path, story, script=telling(TALE), room="jumps = [[17.0, 40.0]]")
    assert parlour.flushes() == {}
    assert "confirmed" not in parlour.near_ends()


def test_a_microphone_that_is_lost_and_found_leaves_the_answer_alone(tmp_path: Path) -> None:
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION)
        sound: Any = parlour.device.agent.sound
        sound.unplug("the microphone was pulled out")
        await parlour.device.event("fault", code=4)
        await parlour.device.until(lambda status: status["fault"] is None, within_s=8.0)
        assert parlour.device.state == "speaking", "the answer went on"
        await asyncio.sleep(3.0)
        assert parlour.flushes() == {}
        begun.append(parlour.say(OBJECTION))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking")

    parlour = visit(tmp_path, story, script=telling(TALE, REPLY))
    assert sum(parlour.flushes().values()) == 1
    whole_once(parlour, begun[0], from_s=parlour.silent_after(begun[0].begins) + RINGS_S)


def test_half_duplex_is_silent_upwards_and_a_loud_person_is_heard_whole(tmp_path: Path) -> None:
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION, for_s=8.0)
        begun.append(parlour.say(OBJECTION))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking")
        await parlour.device.until(state="listening")

    parlour = visit(tmp_path, story, script=telling(TALE, REPLY), ser_db=12, audio={"echo": "half-duplex"})
    said = begun[0]
    speaking = parlour.times("state", state="speaking")[0]
    assert len(parlour.sent(speaking + 0.5, said.begins)) > 6 * HEARD_HZ
    width = HEARD_HZ // 50
    frames = parlour.sent(speaking + 0.5, said.begins)
    frames = frames[: len(frames) // width * width].reshape(-1, width)
    assert np.mean(np.any(frames, axis=1)) < 0.05, "silence goes up while the device speaks, but in its own pauses"
    assert max(level(frame) for frame in frames) < -55, "and never its echo"
    assert sum(parlour.flushes().values()) == 1
    assert parlour.silent_after(said.begins) < 1.5
    whole_once(parlour, said, from_s=0.0, clean=True)
    assert played(parlour, REPLY)


def test_a_sound_card_that_cancels_by_itself_is_believed(tmp_path: Path) -> None:
    begun: list[Said] = []

    async def story(parlour: Parlour) -> None:
        await parlour.telling(QUESTION)
        begun.append(parlour.say(OBJECTION))
        await parlour.at(begun[0].ends)
        await parlour.device.until(state="speaking")
        await parlour.device.until(state="listening")

    parlour = visit(tmp_path, story, script=telling(TALE, REPLY), ser_db=40, audio={"echo": "hardware"})
    assert sum(parlour.flushes().values()) == 1
    assert parlour.silent_after(begun[0].begins) < 1.0
    whole_once(parlour, begun[0], from_s=0.0, clean=True)
    assert played(parlour, REPLY)
