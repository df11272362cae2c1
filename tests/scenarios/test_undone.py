"""What a conversation may leave behind, and what undoes it: the volume leaves with its visitor, the button unmutes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from harness import Device, coded_answer

from edge_agent.prompts import load
from edge_agent.simulator import Call, FunctionCall, Say, SyncTwin
from edge_agent.tools.builtin import MuteTool

SOUND = coded_answer(0.4, seed=61)
LOUD = Call((FunctionCall("set_volume", {"volume": 100}),))
MUTE = Call((FunctionCall("mute_microphone", {}),))


def test_a_visitor_has_it_loud_and_the_next_one_meets_the_owners_volume(tmp_path: Path, twin: SyncTwin) -> None:
    twin.answer(LOUD, Say(sound=SOUND))
    twin.answer(Say(sound=SOUND))
    twin.answer(LOUD, Say(sound=SOUND))
    twin.answer(Call((FunctionCall("end_conversation", {}),)), Say(sound=SOUND))

    async def story() -> None:
        async with Device(tmp_path, twin, audio={"volume": 55}) as device:
            await device.ask("volume", volume=40)
            await device.ask("ask", text="Louder!")
            await device.until(state="speaking")
            assert (await device.status())["volume"] == 100
            await device.until(state="idle")
            await device.ask("ask", text="Thanks.")
            await device.until(state="speaking")
            assert (await device.status())["volume"] == 100, "for the whole visit"
            await device.until(state="idle")
            await device.ask("end")
            await device.event("volume", volume=40, by="left")
            assert (await device.status())["volume"] == 40
            await device.ask("ask", text="Louder!")
            await device.until(volume=100)
            await device.until(state="idle")
            await device.ask("ask", text="Goodbye.")
            await device.event("conversation", why="ended")
            await device.until(volume=40)

    async def restarted() -> None:
        async with Device(tmp_path, twin, audio={"volume": 55}) as device:
            assert (await device.status())["volume"] == 40, "nor does a restart remember a visitor"

    asyncio.run(story())
    asyncio.run(restarted())


def test_whoever_asked_it_to_be_deaf_or_meets_it_deaf_presses_the_button(tmp_path: Path, twin: SyncTwin) -> None:
    twin.answer(MUTE, Say(sound=SOUND))

    async def story() -> None:
        async with Device(tmp_path, twin, mode="speaker") as device:
            await device.ask("ask", text="Stop listening.")
            await device.event("mute", muted=True, by="model")
            await device.until(state="muted")

    async def restarted() -> None:
        async with Device(tmp_path, twin, mode="speaker") as device:
            assert (await device.status())["muted_by"] == "model", "a power cut does not undo it"
            await device.hold(0.05)
            await device.event("mute", muted=False, by=None)
            said = await device.event("prompt", name="unmuted")
            assert said["text"] == load("en").sentence("unmuted").text
            assert not (await device.status())["turn_open"], "one press does one thing"
            await device.hold(0.05)
            await device.until(turn_open=True)
            await device.ask("end")
            await device.ask("mute")
            await device.hold(0.05)
            assert (await device.status())["muted_by"] == "ctl", "what the owner did stays"
            await device.event("prompt", name="muted")

    asyncio.run(story())
    asyncio.run(restarted())
    (told,) = twin.sessions[0].responses.values()
    assert "by pressing its button" in str(told)


def test_whoever_lifts_a_handset_is_heard(tmp_path: Path, twin: SyncTwin) -> None:
    twin.answer(MUTE, Say(sound=SOUND))

    async def story() -> None:
        async with Device(tmp_path, twin, mode="speaker", panel={"button": "hook"}) as device:
            await device.ask("ask", text="Stop listening.")
            await device.until(state="muted")
            await device.press()
            await device.until(turn_open=True)
            assert not (await device.status())["muted"]
            await device.release()

    asyncio.run(story())
    (told,) = twin.sessions[0].responses.values()
    assert "by lifting its handset" in str(told)


def test_a_device_that_nobody_could_press_does_not_offer_to_be_deaf(tmp_path: Path, twin: SyncTwin) -> None:
    async def story(pins: str) -> None:
        async with Device(tmp_path, twin, mode="speaker", panel={"pins": pins}) as device:
            await device.ask("ask", text="Hello.")
            await device.until(state="speaking")

    asyncio.run(story("none"))
    asyncio.run(story("mock"))
    none, mock = (str(session.setup.get("tools")) for session in twin.sessions)
    name = MuteTool.mute_microphone.__name__
    assert (name in none, name in mock) == (False, True)
