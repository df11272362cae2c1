"""The line to the service at its worst, end to end: what the person sees and hears, and how it heals."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import pytest
from harness import Device, coded_answer, coded_noise

from edge_agent.conversation import line
from edge_agent.simulator import Call, FunctionCall, Rule, Say, Script, SyncTwin, Text
from edge_agent.simulator.script import Complete, End, GoAway

CERTIFICATES = Path(__file__).parents[1] / "live" / "data"
NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME
STILLS = Path(__file__).parents[2] / "edge_agent" / "demo" / "stills"


def test_a_wrong_clock_is_told_waited_for_and_heals_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "PATIENCE_S", 1.0)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(CERTIFICATES / "cert-not-yet-valid.pem")
    trusted = ssl.create_default_context(cafile=str(CERTIFICATES / "cert-not-yet-valid.pem"))
    with SyncTwin(Script(), tls=served) as twin:

        async def story() -> None:
            async with Device(tmp_path, twin, microphone=coded_noise(20.0, seed=61), ssl_context=trusted) as device:
                await device.hold(0.5)
                status = await device.until(state="waiting-for-clock")
                assert status["light"] == "waiting-for-clock"
                assert status["fault"]["code"] == 2
                assert "clock is wrong" in status["fault"]["text"]
                await device.event("prompt", name="waiting_for_clock")
                await device.ask("end")
                await device.until(state="waiting-for-clock")
                trusted.verify_flags |= NO_CHECK_TIME  # as good as a clock that has been set right
                await device.until(state="idle", fault=None, within_s=20.0)
                await device.hold(0.5)
                await device.until(state="speaking")

        asyncio.run(story())


def test_a_connection_that_will_be_closed_is_changed_between_two_questions(tmp_path: Path, twin: SyncTwin) -> None:
    twin.answer(Say(sound=coded_answer(0.4, seed=62)))

    async def story() -> None:
        async with Device(tmp_path, twin, microphone=coded_noise(20.0, seed=63)) as device:
            await device.hold(0.5)
            await device.until(state="speaking")
            await device.until(state="idle")
            await asyncio.to_thread(twin.wait_for, lambda t: t.sessions[0].handles)
            await asyncio.to_thread(twin.perform, GoAway(5.0))
            await asyncio.to_thread(twin.wait_for, lambda t: len(t.sessions) == 2 and t.sessions[1].setup)
            await device.until(connected=True, state="idle")
            await device.hold(0.5)
            await device.until(state="speaking")
            assert not [event for event in device.events if event.get("light") == "offline"]

    asyncio.run(story())
    assert twin.sessions[1].resumed_from in twin.sessions[0].handles
    assert len(twin.sessions[1].audio_turns) == 1


def test_a_session_ended_while_nobody_speaks_goes_on_in_a_new_one(tmp_path: Path, twin: SyncTwin) -> None:
    async def story() -> None:
        async with Device(tmp_path, twin, microphone=coded_noise(20.0, seed=64)) as device:
            await device.hold(0.5)
            await device.until(state="speaking")
            await device.until(state="idle")
            await device.until(lambda _: device.agent.talk.link.session.handle is not None)
            await asyncio.to_thread(twin.perform, End(1000, ""))
            await asyncio.to_thread(twin.wait_for, lambda t: len(t.sessions) == 2 and t.sessions[1].setup)
            await device.until(connected=True, fault=None)
            await device.hold(0.5)
            await device.until(state="speaking")

    asyncio.run(story())
    assert twin.sessions[1].resumed_from


@pytest.mark.parametrize("how", ["refused", "sent away"])
def test_a_service_that_fails_while_nobody_is_there_is_left_in_peace(
    tmp_path: Path, twin: SyncTwin, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    if how == "refused":
        twin.refuse(503)
    else:
        twin.add_rule(Rule(steps=()))
        twin.twin.script = Script(end_after_s=0.0, end_with=End(1011))

    async def story() -> None:
        async with Device(tmp_path, twin, live={"prewarm": True}) as device:
            await asyncio.sleep(3.0)
            tries = len(twin.refused) + len(twin.sessions)
            assert 2 <= tries <= 15, "at most half a second, one, two, ... apart, by chance less"
            status = await device.status()
            assert status["state"] == "idle", "nobody has asked for anything"

    with caplog.at_level(logging.INFO):
        asyncio.run(story())
    lines = [record for record in caplog.records if "connection" in record.getMessage()]
    assert len(lines) <= 5, "the same failure again and again fills no log"


def test_an_answer_in_writing_only_is_shown_and_the_person_told_that_nothing_will_be_heard(
    tmp_path: Path, twin: SyncTwin
) -> None:
    twin.answer(Text("I cannot speak today."))

    async def story() -> None:
        async with Device(tmp_path, twin) as device:
            await device.ask("ask", text="hello")
            await device.event("caption", speaker="device", text="I cannot speak today.")
            await device.event("turn", why="the answer was empty")
            await device.event("prompt", name="no_answer")
            await device.until(state="idle")

    asyncio.run(story())


def test_the_model_ends_the_conversation_without_another_word(tmp_path: Path, twin: SyncTwin) -> None:
    twin.answer(Call((FunctionCall("end_conversation", {}),)), Complete())

    async def story() -> None:
        async with Device(tmp_path, twin) as device:
            await device.ask("ask", text="goodbye")
            await device.event("conversation", why="ended")
            await device.until(state="idle", connected=False)
            assert not [event for event in device.events if event.get("name") == "no_answer"]

    asyncio.run(story())


def test_a_picture_looked_for_while_connecting_goes_out_inside_its_turn(tmp_path: Path) -> None:
    with SyncTwin(Script(setup_delay_s=0.8)) as twin:

        async def story() -> None:
            async with Device(
                tmp_path,
                twin,
                microphone=coded_noise(20.0, seed=65),
                camera={"source": f"files:{STILLS}", "when": "ask"},
            ) as device:
                await device.press()
                await device.ask("look")
                assert (await device.status())["state"] == "connecting"
                await device.until(state="listening")
                await device.release()
                await device.until(state="speaking")

        asyncio.run(story())
        kinds = twin.sessions[0].kinds("client")
        assert kinds.index("activityStart") < kinds.index("video") < kinds.index("activityEnd")
        assert not twin.sessions[0].violations


def test_a_connection_that_opens_after_the_person_has_left_is_closed_again(tmp_path: Path) -> None:
    with SyncTwin(Script(setup_delay_s=0.5)) as twin:

        async def story() -> None:
            async with Device(tmp_path, twin, microphone=coded_noise(20.0, seed=66)) as device:
                await device.press()
                await device.until(state="connecting")
                await device.ask("end")
                await device.until(state="idle", connected=False)
                await asyncio.sleep(0.8)
                assert not (await device.status())["connected"]

        asyncio.run(story())
        assert not any(session.audio for session in twin.sessions)


def test_mute_in_mid_answer_lets_it_play_and_closes_the_open_microphone(tmp_path: Path) -> None:
    with SyncTwin(Script(rules=(Rule(steps=(Say(sound=coded_answer(2.0, seed=67)),)),))) as twin:

        async def story() -> None:
            async with Device(tmp_path, twin, mode="speaker", audio={"echo": "off"}) as device:
                await device.ask("tap")
                await device.until(state="listening")
                await device.ask("ask", text="hello")
                await device.until(state="speaking")
                await device.ask("mute")
                status = await device.status()
                assert status["state"] == "speaking", "the answer plays on"
                assert not status["turn_open"]
                sent = len(twin.sessions[0].audio)
                await device.until(state="muted", light="muted")
                assert len(twin.sessions[0].audio) == sent

        asyncio.run(story())
        assert twin.sessions[0].kinds("client")[-1] in {"audioStreamEnd", "close", "closed"}
