"""What the configuration wishes of the service: in the setup, taken by the twin's own table, or refused in one line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from edge_agent import config as settings
from edge_agent.agent import wishes
from edge_agent.config import Config
from edge_agent.errors import ConfigError
from edge_agent.live import messages
from edge_agent.live.messages import FunctionDeclaration
from edge_agent.live.models import profile_for
from edge_agent.persona import Persona, read_history
from edge_agent.simulator import models, schema

LIVE = "gemini-3.8-live"
THINKING = "gemini-3.8-live-extended-thinking"
OLD = "gemini-3.1-flash-live-preview"
NATIVE = "gemini-2.5-flash-native-audio-latest"
TRANSLATE = "gemini-3.5-live-translate-preview"
TRANSCRIBE = "gemini-3.5-transcribe-live"

SPEAKER: dict[str, Any] = {"mode": "speaker"}
TRANSLATOR: dict[str, Any] = {"mode": "speaker", "live": {"model": TRANSLATE, "translate_to": "pl"}}


def configured(**tables: Any) -> Config:
    return settings.parse(tables, source="test")


def asked(config: Config, persona: Persona | None = None, **more: Any) -> dict[str, Any]:
    """The setup as the twin reads it, after its own table has accepted it."""
    wanted: dict[str, Any] = {"declarations": [FunctionDeclaration(name="lights")], "handle": None, "history": False}
    setup = wishes.setup_for(config, persona=persona, **(wanted | more))
    kind, body = schema.parse(messages.encode(messages.ClientMessage(setup=setup)))
    assert kind == "setup"
    models.check_setup(body)
    return body


def test_every_setting_reaches_the_setup() -> None:
    config = configured(
        mode="speaker",
        live={
            "model": OLD,
            "voice": "kore",
            "language": "de-DE",
            "system_instruction": "Be brief.",
            "interruptible": False,
            "turn_coverage": "all-input",
            "thinking": "low",
            "temperature": 0.5,
            "media_resolution": "low",
            "google_search": True,
            "compress_at_tokens": 60_000,
            "compress_to_tokens": 0,
        },
        vad={"start": "low", "end": "high", "prefix_padding_ms": 40, "silence_ms": 600},
        captions={"languages": ["de-DE", "en-GB"], "vocabulary": ["Zwinger"]},
    )
    assert asked(config, handle="h", history=True) == {
        "model": f"models/{OLD}",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "temperature": 0.5,
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
            "speechConfig": {
                "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}},
                "languageCode": "de-DE",
            },
            "thinkingConfig": {"thinkingLevel": "LOW"},
        },
        "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "lights"}]}, {"googleSearch": {}}],
        "realtimeInputConfig": {
            "automaticActivityDetection": {
                "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
                "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
                "prefixPaddingMs": 40,
                "silenceDurationMs": 600,
            },
            "activityHandling": "NO_INTERRUPTION",
            "turnCoverage": "TURN_INCLUDES_ALL_INPUT",
        },
        "sessionResumption": {"handle": "h"},
        "contextWindowCompression": {"triggerTokens": 60_000, "slidingWindow": {}},
        "inputAudioTranscription": {"languageCodes": ["de-DE", "en-GB"], "customVocabulary": ["Zwinger"]},
        "outputAudioTranscription": {},
        "historyConfig": {"initialHistoryInClientContent": True},
    }


@pytest.mark.parametrize("model", [LIVE, THINKING, OLD, NATIVE])
@pytest.mark.parametrize("mode", ["kiosk", "speaker"])
def test_the_plain_device_is_taken_by_every_talking_family(model: str, mode: str) -> None:
    config = configured(mode=mode, live={"model": model, "language": "de-DE", "system_instruction": "Be kind."})
    body = asked(config)
    assert body["contextWindowCompression"] == {"triggerTokens": 25_000, "slidingWindow": {"targetTokens": 8_000}}
    for never in ("thinkingConfig", "temperature", "mediaResolution", "translationConfig"):
        assert never not in body["generationConfig"]
    assert body["tools"][0]["functionDeclarations"][0]["name"] == "lights"
    wishes.check(config)


def test_the_persona_has_the_say_in_voice_language_and_who_it_is() -> None:
    config = configured(live={"voice": "Puck", "language": "en-GB", "system_instruction": "A helper."})
    body = asked(config, Persona(instruction="A whale.", voice="Kore", language="de-DE"))
    assert body["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"] == "Kore"
    text = body["systemInstruction"]["parts"][0]["text"]
    assert "whale" in text
    assert "de-DE" in text
    assert "helper" not in text


def test_no_compression_where_it_is_switched_off() -> None:
    assert "contextWindowCompression" not in asked(configured(live={"compress_at_tokens": 0, "compress_to_tokens": 0}))


@pytest.mark.parametrize(
    ("tables", "prefix_ms"),
    [
        (SPEAKER, wishes.ECHO_PREFIX_MS),
        (SPEAKER | {"vad": {"prefix_padding_ms": 40}}, 40),
        (SPEAKER | {"audio": {"echo": "hardware"}}, None),
        ({"mode": "kiosk"}, None),
    ],
)
def test_what_a_canceller_lets_through_is_too_short_for_the_service(
    tables: dict[str, Any], prefix_ms: int | None
) -> None:
    detection = asked(configured(**tables)).get("realtimeInputConfig", {}).get("automaticActivityDetection", {})
    assert detection.get("prefixPaddingMs") == prefix_ms


def test_a_thinking_budget_of_none_is_not_the_model_s_own() -> None:
    assert "thinkingConfig" not in asked(configured(live={"model": NATIVE}))["generationConfig"]
    off = asked(configured(live={"model": NATIVE, "thinking_budget": 0}))
    assert off["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 0}


@pytest.mark.parametrize("panel", ["button", "hook"])
def test_a_translator_gets_neither_the_tools_of_the_device_nor_a_voice(panel: str) -> None:
    mode = {"button": "speaker", "hook": "kiosk"}[panel]
    body = asked(configured(**(TRANSLATOR | {"mode": mode, "panel": {"button": panel}})))
    assert "tools" not in body
    assert body["generationConfig"] == {
        "responseModalities": ["AUDIO"],
        "translationConfig": {"targetLanguageCode": "pl"},
    }
    assert wishes.continuous(configured(**TRANSLATOR))


def test_only_a_translator_speaks_without_turns() -> None:
    assert not wishes.continuous(configured())
    assert not wishes.continuous(configured(live={"model": "no model at all"}))


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        ({"live": {"voice": "Nobody"}}, "live.voice"),
        ({"live": {"model": "gemini-2.0-flash-live-001"}}, "gemini-3.8-live"),
        ({"live": {"thinking": "low"}}, "live.thinking"),
        ({"live": {"thinking_budget": 0}}, "live.thinking_budget"),
        ({"live": {"model": THINKING, "thinking": "minimal"}}, "LOW, MEDIUM, HIGH"),
        ({"live": {"translate_to": "pl"}}, "live.translate_to"),
        ({"live": {"model": TRANSLATE}} | SPEAKER, "live.translate_to"),
        ({"live": {"model": TRANSLATE, "translate_to": "pl"}}, 'mode = "speaker"'),
        ({"live": {"model": TRANSLATE, "translate_to": "pl", "google_search": True}} | SPEAKER, "Google Search"),
        (TRANSLATOR | {"camera": {"source": "files:stills"}}, "pictures"),
        (TRANSLATOR | {"vad": {"end": "low"}}, "[vad]"),
        ({"live": {"model": TRANSCRIBE, "system_instruction": "x"}} | SPEAKER, "instruction"),
        ({"vad": {"silence_ms": 500}}, "[vad]"),
        ({"live": {"interruptible": False}}, "live.interruptible"),
        ({"live": {"model": NATIVE, "turn_coverage": "audio-activity-and-all-video"}}, "live.turn_coverage"),
        ({"live": {"compress_at_tokens": 8000, "compress_to_tokens": 8000}}, "live.compress_to_tokens"),
        ({"captions": {"languages": ["German"[:1]]}}, "captions.languages"),
        ({"live": {"initial_history": "/nowhere/history.toml"}}, "/nowhere/history.toml"),
        ({"persona": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_the_model_cannot_do_is_one_line_at_the_start(tables: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        wishes.check(configured(**tables))
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_refusal_names_the_file_that_the_wish_stands_in() -> None:
    with pytest.raises(ConfigError, match=r"^device\.toml: .*no such voice"):
        wishes.check(configured(live={"voice": "Bella"}), Path("device.toml"))


def test_the_persona_s_history_wins_over_the_configuration_s(tmp_path: Path) -> None:
    file = tmp_path / "turns.toml"
    file.write_text('[[turn]]\nuser = "From the file."\n')
    config = configured(live={"initial_history": str(file)})
    assert wishes.first_turns(configured(), None) == ()
    assert wishes.first_turns(config, None) == (("user", "From the file."),)
    assert wishes.first_turns(config, Persona(instruction="x")) == (("user", "From the file."),)
    own = Persona(instruction="x", history=(("model", "From the persona."),))
    assert wishes.first_turns(config, own) == (("model", "From the persona."),)


def test_a_history_that_the_model_does_not_take_is_refused_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "turns.toml"
    file.write_text('[[turn]]\nuser = "Hi."\n')
    wishes.check(configured(live={"initial_history": str(file)}))
    with pytest.raises(ConfigError, match="a history"):
        wishes.check(configured(mode="speaker", live={**TRANSLATOR["live"], "initial_history": str(file)}))


PAGE = (Path(__file__).parents[2] / "docs" / "live-settings.md").read_text()


def test_every_setting_of_the_page_can_be_done_or_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        if "[[turn]]" in block:
            (tmp_path / "history.toml").write_text(block)
            assert read_history(tmp_path / "history.toml")
        else:
            wishes.check(settings.parse(tomllib.loads(block), source="live-settings.md"))


def test_every_key_that_the_page_names_exists() -> None:
    known = {entry.key for entry in settings.settings(Config())}
    named = set(re.findall(r"`((?:live|vad|captions|audio|tools)\.\w+)", PAGE))
    assert named - known == set()


def test_the_table_of_families_says_what_is_taken() -> None:
    rows = {
        cells[0].strip("` "): [cell.strip() for cell in cells[1:]]
        for line in PAGE.splitlines()
        if line.startswith("| `live.")
        for cells in [line.strip("|").split("|")]
    }
    for column, model in enumerate((LIVE, THINKING, OLD, NATIVE, TRANSLATE)):
        profile = profile_for(model)
        assert (rows["live.thinking"][column] != "no") is (profile.thinking == "level")
        assert (rows["live.thinking_budget"][column] != "no") is (profile.thinking == "budget")
        assert (rows["live.google_search"][column] == "yes") is profile.google_search
        assert (rows["live.language` is"][column] == "a code") is profile.language_code
        assert (rows["live.voice"][column] == "yes") is profile.voices
