"""Talk from end to end: a whole device with files as ears and mouth, and the twin as service."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from harness import Device, coded_noise, find, pcm, s16, steps

from edge_agent.simulator import Call, Drop, FunctionCall, Rule, Say, Script, SyncTwin, When

RATE = 16_000


def as_heard(sound: np.ndarray) -> np.ndarray:
    """Coded noise of the microphone as the service should get it."""
    return pcm(s16(sound, rate=48_000, to_rate=RATE))


def answer(seconds: float, seed: int) -> tuple[bytes, np.ndarray]:
    """A coded answer: what the service sends, and the same at 48 kHz for finding it in what was played."""
    sound = coded_noise(seconds, seed=seed, rate=48_000)
    return s16(sound, rate=48_000, to_rate=24_000), sound[:, 0]


def test_a_question_reaches_the_service_and_its_answer_the_loudspeaker(tmp_path: Path, twin: SyncTwin) -> None:
    voice = coded_noise(8.0, seed=1)
    sent, expected = answer(2.0, seed=2)
    twin.answer(Say(sound=sent))

    async def story() -> None:
        async with Device(tmp_path, twin, microphone=voice) as device:
            await asyncio.sleep(0.7)
            await device.hold(2.0)
            await device.until(state="speaking")
            await device.until(state="idle")
            await device.event("turn", why="released")
            figures = (await device.ask("metrics"))["figures"]
            assert figures["blocks_played"] == pytest.approx(figures["blocks_captured"], abs=10), (
                "both run all the time"
            )
            assert "drift_ppm" in figures
            await device.quit()
            played, rate = device.played()
        assert rate == 48_000
        _, score = find(expected, played)
        assert score > 0.95

    asyncio.run(story())
    (turn,) = twin.sessions[0].audio_turns
    assert 2.4 < len(turn) / 2 / RATE < 2.8, "half a second of pre-roll and two seconds of speech"
    _, score = find(pcm(turn), as_heard(voice))
    assert score > 0.99
    assert not twin.sessions[0].violations


def test_the_first_syllable_arrives_though_connecting_takes_three_seconds(tmp_path: Path) -> None:
    """A voice that starts 400 ms before the press and goes on while the line is still being opened."""
    voice = coded_noise(9.0, seed=3)
    silence = np.zeros((48_000 * 2, 1), np.float32)
    with SyncTwin(Script(setup_delay_s=3.0)) as twin:

        async def story() -> float:
            async with Device(tmp_path, twin, microphone=np.concatenate([silence, voice])) as device:
                await device.until(lambda status: status["capture_s"] >= 2.4)
                pressed = await device.press()
                assert pressed["state"] == "connecting"
                at = (await device.status())["capture_s"]
                await asyncio.sleep(4.5)
                await device.release()
                await device.until(state="speaking")
                return float(at)

        pressed_at = asyncio.run(story())
        (turn,) = twin.sessions[0].audio_turns
    # The file carries two seconds of silence before the voice; the pre-roll reaches back before its first syllable.
    heard = pcm(turn)
    offsets = {at for at, score in steps(heard[RATE:], as_heard(voice), RATE) if score > 0.9}
    assert max(offsets) - min(offsets) <= 1, "whole and in order"
    assert len(heard) / RATE > 4.5 + 0.4
    first = as_heard(voice)[: round(0.3 * RATE)]
    at, score = find(first, heard)
    assert score > 0.95, "the first syllable"
    assert at / RATE == pytest.approx(0.5 - (pressed_at - 2.0), abs=0.15)


def test_a_press_over_the_answer_silences_it_within_a_block_and_a_fade(tmp_path: Path, twin: SyncTwin) -> None:
    first, old = answer(10.0, seed=4)
    second, new = answer(1.0, seed=5)
    twin.answer(Say(sound=first, pace=4.0))
    twin.answer(Say(sound=second, pace=4.0))

    async def story() -> float:
        async with Device(tmp_path, twin, microphone=coded_noise(20.0, seed=6, level=0.01)) as device:
            await device.hold(0.6)
            await device.until(state="speaking")
            await asyncio.sleep(1.5)
            await device.press()
            pressed = await device.event("latency", name="interrupt_to_silence")
            await asyncio.sleep(0.8)
            await device.release()
            await device.until(state="speaking")
            await device.until(state="idle")
            await device.quit()
            played, rate = device.played()
            begins, score = find(old[: rate // 2], played)
            assert score > 0.9
            # After the flush is committed not a trace of the old answer is left.
            cut = round(pressed["audio_s"] * rate) + round(0.030 * rate)
            _, later = find(old[cut - begins : cut - begins + rate // 2], played[cut : cut + rate])
            assert later < 0.1, "the old answer went on"
            _, score = find(new[: rate // 2], played[cut:])
            assert score > 0.9, "the new answer was swallowed"
            return float(pressed["ms"])

    milliseconds = asyncio.run(story())
    assert milliseconds < 1000
    kinds = twin.sessions[0].kinds("server")
    assert "interrupted" in kinds


def test_the_open_microphone_is_interrupted_by_voice(tmp_path: Path) -> None:
    quiet = np.zeros((48_000 * 3, 1), np.float32)
    voice = np.concatenate(
        [np.zeros((48_000, 1), np.float32), coded_noise(1.5, seed=7), quiet, coded_noise(2.0, seed=8), quiet]
    )
    sent, _ = answer(12.0, seed=9)
    with SyncTwin(Script(rules=(Rule(steps=(Say(sound=sent, pace=3.0),)),))) as twin:

        async def story() -> None:
            async with Device(
                tmp_path,
                twin,
                microphone=voice,
                mode="speaker",
                audio={"echo": "off", "input": f"wav:{tmp_path}/mic.wav"},
            ) as device:
                await device.ask("tap")
                await device.until(state="listening")
                await device.until(state="speaking")
                await device.until(state="listening")
                await device.event("latency", name="interrupt_to_silence")

        asyncio.run(story())
        assert "interrupted" in twin.sessions[0].kinds("server")


def test_half_duplex_keeps_the_device_from_hearing_itself(tmp_path: Path) -> None:
    """The microphone picks the answer up at full level; what goes up while it speaks is silence."""
    voice = np.concatenate(
        [np.zeros((24_000, 1), np.float32), coded_noise(1.2, seed=10), coded_noise(8.0, seed=11, level=0.0)]
    )
    voice[round(48_000 * 3.2) :] = coded_noise(8.0, seed=12)[: len(voice) - round(48_000 * 3.2)]
    sent, _ = answer(3.0, seed=13)
    with SyncTwin(Script(rules=(Rule(steps=(Say(sound=sent, pace=4.0),)),))) as twin:

        async def story() -> None:
            async with Device(
                tmp_path, twin, microphone=voice, mode="speaker", audio={"echo": "half-duplex"}
            ) as device:
                await device.ask("tap")
                await device.until(state="speaking")
                await asyncio.sleep(2.0)
                assert (await device.status())["state"] == "speaking", "it interrupted itself"

        asyncio.run(story())
        heard = pcm(twin.sessions[0].audio)
        assert np.all(heard[-RATE:] == 0.0)
        assert "interrupted" not in twin.sessions[0].kinds("server")


def test_muted_means_no_byte_and_survives_a_restart(tmp_path: Path, twin: SyncTwin) -> None:
    voice = coded_noise(10.0, seed=14)

    async def story() -> None:
        async with Device(tmp_path, twin, microphone=voice) as device:
            await device.press()
            await device.until(state="listening")
            await asyncio.sleep(0.5)
            await device.ask("mute")
            sent = len(twin.sessions[0].audio)
            await asyncio.sleep(0.6)
            assert len(twin.sessions[0].audio) == sent
            await device.release()
            status = await device.until(lambda status: status["state"] == "muted")
            assert status["light"] == "muted"
            await device.ask("tap")
            await asyncio.sleep(0.3)
            assert len(twin.sessions[0].audio) == sent
            assert not (await device.try_to("look"))["ok"]
        async with Device(tmp_path, twin, microphone=voice) as again:
            assert (await again.status())["muted"] is True
            await again.ask("unmute")
            assert (await again.status())["muted"] is False

    asyncio.run(story())


def test_a_cut_in_mid_turn_is_healed_and_the_turn_arrives_whole(tmp_path: Path, twin: SyncTwin) -> None:
    voice = coded_noise(12.0, seed=15)

    async def story() -> None:
        async with Device(tmp_path, twin, microphone=voice) as device:
            await asyncio.sleep(0.7)
            await device.press()
            await device.until(state="listening")
            await asyncio.sleep(1.0)
            twin.drop_connections()
            await device.until(state="connecting", within_s=3.0)
            await device.until(state="listening")
            await asyncio.sleep(1.0)
            await device.release()
            await device.until(state="speaking")

    asyncio.run(story())
    assert len(twin.sessions) == 2
    (turn,) = twin.sessions[1].audio_turns
    assert len(turn) / 2 / RATE > 2.4, "what was said before the cut is in it"
    offsets = [at for at, _ in steps(pcm(turn), as_heard(voice), RATE)]
    assert max(offsets) - min(offsets) <= 1


def test_a_lost_answer_is_given_again_after_the_cut(tmp_path: Path, twin: SyncTwin) -> None:
    twin.answer(Drop())
    sent, _ = answer(1.0, seed=16)
    twin.answer(Say(sound=sent))

    async def story() -> None:
        async with Device(tmp_path, twin, microphone=coded_noise(8.0, seed=17)) as device:
            await device.hold(0.8)
            await device.until(state="speaking")

    asyncio.run(story())
    assert len(twin.sessions[1].audio_turns) == 1


def test_typed_questions_are_answered_and_captions_are_seen_but_not_kept(tmp_path: Path, twin: SyncTwin) -> None:
    twin.answer(Say(text="It is ten o'clock.", sound=answer(0.5, seed=18)[0]))

    async def story() -> None:
        async with Device(tmp_path, twin) as device:
            await device.ask("ask", text="What time is it?")
            await device.until(state="speaking")
            caption = await device.event("caption", speaker="device")
            assert caption["line"]
            await device.until(state="idle")

    asyncio.run(story())
    written = [path.name for path in tmp_path.rglob("*") if path.is_file() and b"ten o'clock" in path.read_bytes()]
    assert written == []
    assert twin.sessions[0].texts == ["What time is it?"]


def test_the_model_sets_the_volume_and_ends_the_conversation(tmp_path: Path, twin: SyncTwin) -> None:
    sound = answer(0.4, seed=19)[0]
    twin.answer(Call((FunctionCall("set_volume", {"volume": 35}),)), Say(sound=sound))
    twin.answer(Call((FunctionCall("no_such_tool", {}),)), Say(sound=sound))
    twin.answer(Call((FunctionCall("end_conversation", {}),)), Say(sound=sound))

    async def story() -> None:
        async with Device(tmp_path, twin) as device:
            for question in ("quieter", "nonsense", "goodbye"):
                await device.ask("ask", text=question)
                await device.until(state="speaking")
                if question == "nonsense":
                    assert (await device.status())["volume"] == 35
                await device.until(state="idle")
            await device.event("conversation", why="ended")

    asyncio.run(story())
    answers = list(twin.sessions[0].responses.values())
    assert len(answers) == 3
    assert "error" in str(answers[1])


@pytest.mark.parametrize("when", ["turn", "ask"])
def test_pictures_are_taken_only_while_a_person_talks(tmp_path: Path, twin: SyncTwin, when: str) -> None:
    if when == "ask":
        twin.answer(Call((FunctionCall("look", {}),)), Say(sound=answer(0.4, seed=20)[0]))
    stills = Path(__file__).parents[2] / "edge_agent" / "demo" / "stills"

    async def story() -> None:
        async with Device(
            tmp_path, twin, microphone=coded_noise(8.0, seed=21), camera={"source": f"files:{stills}", "when": when}
        ) as device:
            assert not (await device.try_to("look"))["ok"]
            await device.hold(1.0)
            if when == "ask":
                assert not twin.sessions[0].images
            await device.until(state="speaking")
            await device.until(state="idle")

    asyncio.run(story())
    assert len(twin.sessions[0].images) == 1
    assert not twin.sessions[0].violations


def test_two_visitors_get_two_conversations_without_a_handle(tmp_path: Path) -> None:
    with SyncTwin(Script(rules=(Rule(when=When(), steps=(Say(sound=answer(0.3, seed=22)[0]),)),))) as twin:

        async def story() -> None:
            async with Device(
                tmp_path, twin, microphone=coded_noise(20.0, seed=23), conversation={"idle_timeout_s": 1.0}
            ) as device:
                for _ in range(2):
                    await device.hold(0.5)
                    await device.until(state="speaking")
                    await device.event("conversation", why="nobody there")
                    await device.until(connected=False)
                    device.events.clear()

        asyncio.run(story())
        assert len(twin.sessions) == 2
        assert all(not session.resumed_from for session in twin.sessions)
        assert "handle" not in str(twin.sessions[1].setup.get("sessionResumption"))


def test_a_handset_greets_who_lifts_it_and_forgets_who_hangs_up(tmp_path: Path, twin: SyncTwin) -> None:
    persona = tmp_path / "persona"
    persona.mkdir()
    (persona / "instruction.md").write_text("You are the telephone of a lighthouse.")
    (persona / "greeting.txt").write_text("Ahoy!")

    async def story() -> None:
        async with Device(
            tmp_path, twin, microphone=coded_noise(20.0, seed=24), panel={"button": "hook"}, persona=str(persona)
        ) as device:
            await device.press()
            await device.until(turn_open=True)
            await asyncio.to_thread(twin.wait_for, lambda t: t.sessions and t.sessions[0].texts)
            await device.ask("mute")
            await device.until(turn_open=False)
            await device.ask("unmute")
            await device.until(turn_open=True)
            await device.release()
            await device.event("conversation", why="hung up")
            await device.until(state="idle", connected=False)
            await device.press()
            await asyncio.to_thread(twin.wait_for, lambda t: len(t.sessions) == 2 and t.sessions[1].texts)

    asyncio.run(story())
    for session in twin.sessions:
        assert "Ahoy!" in session.texts[0]
        assert not session.resumed_from
        assert not session.violations
