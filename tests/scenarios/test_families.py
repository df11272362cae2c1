"""Every family of models that talks, from end to end: its setup is taken, it is asked in sound and text, it answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness import Device, coded_noise, find, s16

from edge_agent.simulator import Complete, Hear, Raw, Rule, Say, Script, SyncTwin, When

SPOKEN = coded_noise(1.0, seed=41, rate=48_000)
WRITTEN = coded_noise(1.0, seed=42, rate=48_000)

FAMILIES: dict[str, dict[str, Any]] = {
    "gemini-3.8-live": {"temperature": 0.7, "media_resolution": "low"},
    "gemini-3.8-live-extended-thinking": {"thinking": "high", "language": "de-DE"},
    "gemini-3.1-flash-live-preview": {"thinking": "minimal", "language": "de-DE", "google_search": True},
    "gemini-2.5-flash-native-audio-preview-12-2025": {"thinking_budget": 0, "language": "de-DE"},
}


def answer(sound: Any) -> Say:
    return Say("an answer", sound=s16(sound, rate=48_000, to_rate=24_000))


@pytest.mark.parametrize("model", FAMILIES)
def test_a_family_is_asked_aloud_and_in_writing_and_answers_both(model: str, tmp_path: Path) -> None:
    thinks = "extended" in model
    between = (Say("let me see"), Complete(status="IN_PROGRESS")) if thinks else ()
    script = Script(
        rules=(
            Rule((Hear("a question"), *between, answer(SPOKEN)), when=When(kind="audio")),
            Rule((answer(WRITTEN),), when=When(text="in writing")),
        )
    )

    async def story() -> None:
        async with Device(
            tmp_path, twin, microphone=coded_noise(4.0, seed=40), live={"model": model, **FAMILIES[model]}
        ) as device:
            await asyncio.sleep(0.6)
            await device.hold(1.0)
            await device.until(lambda _: any("answer" in event.get("line", "") for event in device.events))
            await device.until(state="speaking")
            await device.until(state="idle")
            await device.ask("ask", text="And now in writing?")
            await device.until(state="speaking")
            await device.until(state="idle")
            assert (await device.status())["fault"] is None
            await device.quit()
            played, _ = device.played()
        for sound in (SPOKEN, WRITTEN):
            assert find(sound[:, 0], played)[1] > 0.9

    with SyncTwin(script) as twin:
        asyncio.run(story())
        assert not twin.twin.errors
        (session,) = twin.sessions
    assert session.violations == []
    assert session.texts == ["And now in writing?"]
    assert session.setup["model"] == f"models/{model}"


def test_every_conversation_begins_with_the_turns_the_owner_wrote(tmp_path: Path) -> None:
    persona = tmp_path / "persona"
    persona.mkdir()
    (persona / "instruction.md").write_text("You are a whale.")
    (persona / "history.toml").write_text('[[turn]]\nuser = "Are you real?"\n[[turn]]\nmodel = "As real as bones."\n')
    script = Script(rules=(Rule((answer(SPOKEN),), when=When(history="real as bones"), times=2),))

    async def story() -> None:
        async with Device(tmp_path, twin, microphone=coded_noise(9.0, seed=43), persona=str(persona)) as device:
            for _ in range(2):
                await device.hold(0.8)
                await device.until(state="speaking")
                await device.until(state="idle")
                await device.ask("end")

    with SyncTwin(script) as twin:
        asyncio.run(story())
        assert not twin.twin.errors
        sessions = twin.sessions
    assert len(sessions) == 2
    for session in sessions:
        assert session.violations == []
        assert [entry.text for entry in session.history[:2]] == ["Are you real?", "As real as bones."]


def test_a_search_is_told_to_who_watches_with_its_pages_and_suggestions(tmp_path: Path) -> None:
    found = {
        "webSearchQueries": ["weather dresden"],
        "groundingChunks": [{"web": {"uri": "https://example.org/w", "title": "example.org"}}],
        "searchEntryPoint": {"renderedContent": "<div>weather dresden</div>"},
    }
    script = Script(rules=(Rule((answer(SPOKEN), Raw({"serverContent": {"groundingMetadata": found}}))),))

    async def story() -> dict[str, Any]:
        async with Device(tmp_path, twin, live={"google_search": True}) as device:
            await device.ask("ask", text="How is the weather?")
            return await device.event("grounding")

    with SyncTwin(script) as twin:
        told = asyncio.run(story())
        (session,) = twin.sessions
    assert {"googleSearch": {}} in session.setup["tools"]
    assert told["queries"] == ["weather dresden"]
    assert told["sources"] == [{"title": "example.org", "uri": "https://example.org/w"}]
    assert told["suggestions"] == "<div>weather dresden</div>"


@pytest.mark.parametrize(("reason", "said"), [("PROHIBITED_INPUT_CONTENT", "refused_topic"), ("NEED_MORE_INPUT", None)])
def test_a_turn_that_ends_without_an_answer_says_why_or_nothing(reason: str, said: str | None, tmp_path: Path) -> None:
    script = Script(rules=(Rule((Complete(reason=reason, generation=False),), times=1), Rule((answer(SPOKEN),))))

    async def story() -> list[str]:
        async with Device(tmp_path, twin) as device:
            await device.ask("ask", text="Tell me something")
            await device.until(state="idle")
            if said:
                await device.event("prompt", name=said)
            await device.ask("ask", text="Something else, then")
            await device.until(state="speaking")
            return [event["name"] for event in device.events if event.get("event") == "prompt"]

    with SyncTwin(script) as twin:
        told = asyncio.run(story())
    assert [name for name in told if name != "ready"] == ([said] if said else [])
