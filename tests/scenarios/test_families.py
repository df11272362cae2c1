"""Every family of models that talks, from end to end: its setup is taken, it is asked in sound and text, it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scenarios.house import House, answer, live_in
from showing import Shown

from edge_agent.simulator import Complete, Hear, Raw, Rule, Say, Script, When

SPOKEN = answer("an answer", seconds=1.0, seed=41)
WRITTEN = answer("an answer", seconds=1.0, seed=42)

FAMILIES: dict[str, dict[str, Any]] = {
    "gemini-3.8-live": {"temperature": 0.7, "media_resolution": "low"},
    "gemini-3.8-live-extended-thinking": {"thinking": "high", "language": "de-DE"},
    "gemini-3.1-flash-live-preview": {"thinking": "minimal", "language": "de-DE", "google_search": True},
    "gemini-2.5-flash-native-audio-preview-12-2025": {"thinking_budget": 0, "language": "de-DE"},
}


@pytest.mark.parametrize("model", FAMILIES)
def test_a_family_is_asked_aloud_and_in_writing_and_answers_both(model: str, tmp_path: Path, shown: Shown) -> None:
    thinks = "extended" in model
    between = (Say("let me see"), Complete(status="IN_PROGRESS")) if thinks else ()
    script = Script(
        rules=(
            Rule((Hear("a question"), *between, SPOKEN), when=When(kind="audio")),
            Rule((WRITTEN,), when=When(text="in writing")),
        )
    )

    async def story(house: House) -> None:
        said = await house.ask(1.0)
        await house.device.until(lambda _: any("answer" in event.get("line", "") for event in house.device.events))
        await house.device.until(state="idle")
        assert house.delivered(said)
        assert house.played(SPOKEN)
        await house.ctl("ask", text="And now in writing?")
        await house.answered()
        assert house.played(WRITTEN)
        assert house.device.status()["fault"] is None
        (session,) = house.twin.sessions
        assert session.texts == ["And now in writing?"]
        assert session.setup["model"] == f"models/{model}"

    live_in(tmp_path, shown, story, script=script, live={"model": model, **FAMILIES[model]})


def test_every_conversation_begins_with_the_turns_the_owner_wrote(tmp_path: Path, shown: Shown) -> None:
    persona = tmp_path / "persona"
    persona.mkdir()
    (persona / "instruction.md").write_text("You are a whale.")
    (persona / "history.toml").write_text('[[turn]]\nuser = "Are you real?"\n[[turn]]\nmodel = "As real as bones."\n')
    script = Script(rules=(Rule((SPOKEN,), when=When(history="real as bones"), times=2),))

    async def story(house: House) -> None:
        for _ in range(2):
            await house.talk()
            await house.ctl("end")
        assert len(house.twin.sessions) == 2
        for session in house.twin.sessions:
            assert [entry.text for entry in session.history[:2]] == ["Are you real?", "As real as bones."]

    live_in(tmp_path, shown, story, script=script, persona=str(persona))


def test_a_search_is_told_to_who_watches_with_its_pages_and_suggestions(tmp_path: Path, shown: Shown) -> None:
    found = {
        "webSearchQueries": ["weather dresden"],
        "groundingChunks": [{"web": {"uri": "https://example.org/w", "title": "example.org"}}],
        "searchEntryPoint": {"renderedContent": "<div>weather dresden</div>"},
    }
    script = Script(rules=(Rule((SPOKEN, Raw({"serverContent": {"groundingMetadata": found}}))),))

    async def story(house: House) -> None:
        await house.ctl("ask", text="How is the weather?")
        told = await house.device.event("grounding")
        assert {"googleSearch": {}} in house.twin.session.setup["tools"]
        assert told["queries"] == ["weather dresden"]
        assert told["sources"] == [{"title": "example.org", "uri": "https://example.org/w"}]
        assert told["suggestions"] == "<div>weather dresden</div>"

    live_in(tmp_path, shown, story, script=script, live={"google_search": True})


@pytest.mark.parametrize(("reason", "said"), [("PROHIBITED_INPUT_CONTENT", ["refused_topic"]), ("NEED_MORE_INPUT", [])])
def test_a_turn_that_ends_without_an_answer_says_why_or_nothing(
    reason: str, said: list[str], tmp_path: Path, shown: Shown
) -> None:
    script = Script(rules=(Rule((Complete(reason=reason, generation=False),), times=1), Rule((SPOKEN,))))

    async def story(house: House) -> None:
        await house.ctl("ask", text="Tell me something")
        await house.device.until(state="idle")
        for name in said:
            await house.device.event("prompt", name=name)
        await house.ctl("ask", text="Something else, then")
        await house.answered()
        assert house.prompted() == said

    live_in(tmp_path, shown, story, script=script)
