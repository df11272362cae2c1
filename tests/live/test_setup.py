"""The setup by model: what is always in it, and what is never sent to a model that refuses it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_agent.errors import AgentError, ConfigError, ServiceRefused
from edge_agent.live import messages
from edge_agent.live.endpoint import Place
from edge_agent.live.messages import FunctionDeclaration
from edge_agent.live.models import profile_for
from edge_agent.live.setup import Detection, build_setup

LIVE = "gemini-3.8-live"
THINKING = "gemini-3.8-live-extended-thinking"
OLD = "gemini-3.1-flash-live-preview"
NATIVE = "gemini-2.5-flash-native-audio-latest"
TRANSLATE = "gemini-3.5-live-translate-preview"
TRANSCRIBE = "gemini-3.5-transcribe-live"
UNKNOWN = "gemini-9-live"
TALKING = [LIVE, THINKING, OLD, NATIVE, UNKNOWN]


def setup(model: str = LIVE, **wishes: Any) -> Any:
    built = build_setup(model=model, profile=profile_for(model), **wishes)
    return json.loads(messages.encode(messages.ClientMessage(setup=built)))["setup"]


def test_the_device_setup_as_a_whole() -> None:
    assert setup(voice="puck", instruction="Be kind.", manual_turns=True) == {
        "model": "models/gemini-3.8-live",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}}},
        },
        "systemInstruction": {"role": "user", "parts": [{"text": "Be kind."}]},
        "realtimeInputConfig": {
            "automaticActivityDetection": {"disabled": True},
            "turnCoverage": "TURN_INCLUDES_ONLY_ACTIVITY",
        },
        "sessionResumption": {},
        "contextWindowCompression": {"triggerTokens": 25000, "slidingWindow": {"targetTokens": 8000}},
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
    }


@pytest.mark.parametrize("model", TALKING)
@pytest.mark.parametrize("camera", [False, True])
def test_turn_coverage_is_always_said_and_leaves_video_out_without_a_camera(model: str, camera: bool) -> None:
    coverage = setup(model, camera=camera)["realtimeInputConfig"]["turnCoverage"]
    assert coverage in profile_for(model).coverages
    assert (coverage == "TURN_INCLUDES_ONLY_ACTIVITY") is not camera


def test_another_turn_coverage_may_be_asked_for_if_the_model_knows_it() -> None:
    assert setup(OLD, turn_coverage="all-input")["realtimeInputConfig"]["turnCoverage"] == "TURN_INCLUDES_ALL_INPUT"
    with pytest.raises(ServiceRefused, match=r"live\.turn_coverage"):
        setup(NATIVE, turn_coverage="audio-activity-and-all-video")


@pytest.mark.parametrize("model", TALKING)
def test_nothing_that_a_family_refuses_is_sent_by_default(model: str) -> None:
    whole = setup(model, voice="Kore", language="de-DE", instruction="Hi.", tools=[FunctionDeclaration(name="f")])
    text = json.dumps(whole)
    for never in ("thinkingConfig", "proactivity", "enableAffectiveDialog", "googleSearch", "mediaChunks", "labels"):
        assert never not in text
    profile = profile_for(model)
    assert ("languageCode" in text) is profile.language_code
    assert ("code de-DE" in whole["systemInstruction"]["parts"][0]["text"]) is not profile.language_code
    declared = whole["tools"][0]["functionDeclarations"][0]
    assert declared.get("behavior") == (profile.behaviors[0] if profile.behaviors else None)


def test_a_pinned_language_needs_no_instruction() -> None:
    assert "de-DE" in setup(language="de-DE")["systemInstruction"]["parts"][0]["text"]
    assert "systemInstruction" not in setup()


def test_captions_can_be_left_out_and_words_hinted_at() -> None:
    assert "Transcription" not in json.dumps(setup(captions=False))
    assert setup(vocabulary=["Zwinger"], caption_languages=["de-DE"])["inputAudioTranscription"] == {
        "languageCodes": ["de-DE"],
        "customVocabulary": ["Zwinger"],
    }
    with pytest.raises(ConfigError, match=r"captions\.languages"):
        setup(caption_languages=["German"[:1]])


def test_a_handle_continues_a_session() -> None:
    assert setup(handle="h")["sessionResumption"] == {"handle": "h"}
    assert setup(handle="")["sessionResumption"] == {}


def test_compression_sizes() -> None:
    assert "contextWindowCompression" not in setup(compression=None)
    assert setup(compression=(9000, 0))["contextWindowCompression"] == {"triggerTokens": 9000, "slidingWindow": {}}
    with pytest.raises(ConfigError):
        setup(compression=(8000, 8000))


def test_thinking_by_family() -> None:
    assert setup(THINKING, thinking_level="high")["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "HIGH"}
    assert setup(OLD, thinking_level="minimal")["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "MINIMAL"}
    assert setup(NATIVE, thinking_budget=0)["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 0}


def test_tools_by_family() -> None:
    blocking = [FunctionDeclaration(name="f", behavior="BLOCKING")]
    beside = [FunctionDeclaration(name="f", behavior="NON_BLOCKING")]
    assert setup(LIVE, tools=blocking)["tools"][0]["functionDeclarations"][0]["behavior"] == "BLOCKING"
    assert "behavior" not in setup(OLD, tools=blocking)["tools"][0]["functionDeclarations"][0]
    for model, tools in ((THINKING, blocking), (OLD, beside), (UNKNOWN, beside)):
        with pytest.raises(ServiceRefused, match='"f"'):
            setup(model, tools=tools)


def test_google_search_stands_beside_our_tools() -> None:
    assert setup(google_search=True)["tools"] == [{"googleSearch": {}}]
    assert len(setup(google_search=True, tools=[FunctionDeclaration(name="f")])["tools"]) == 2


def test_voice_detection_wishes() -> None:
    wishes = Detection(start="low", end="high", prefix_ms=20, silence_ms=500)
    assert setup(detection=wishes)["realtimeInputConfig"]["automaticActivityDetection"] == {
        "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
        "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
        "prefixPaddingMs": 20,
        "silenceDurationMs": 500,
    }


def test_a_translating_model_gets_its_language_and_nothing_that_belongs_to_turns() -> None:
    assert setup(TRANSLATE, translate_to="pl", echo_translation=True, voice="Puck") == {
        "model": "models/gemini-3.5-live-translate-preview",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "translationConfig": {"targetLanguageCode": "pl", "echoTargetLanguage": True},
        },
        "sessionResumption": {},
        "contextWindowCompression": {"triggerTokens": 25000, "slidingWindow": {"targetTokens": 8000}},
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
    }
    assert setup(TRANSLATE, translate_to="pl", handle="h")["sessionResumption"] == {"handle": "h"}


def test_a_transcribing_model_answers_in_text_and_has_no_voice() -> None:
    whole = setup(TRANSCRIBE, voice="Puck", captions=False)
    assert whole["generationConfig"] == {"responseModalities": ["TEXT"]}
    assert "inputAudioTranscription" in whole
    assert "outputAudioTranscription" not in whole


@pytest.mark.parametrize(
    ("model", "wishes", "kind"),
    [
        (LIVE, {"thinking_level": "low"}, ServiceRefused),
        (LIVE, {"thinking_budget": 0}, ServiceRefused),
        (THINKING, {"thinking_level": "minimal"}, ServiceRefused),
        (NATIVE, {"thinking_budget": -1}, ConfigError),
        (UNKNOWN, {"google_search": True}, ServiceRefused),
        (TRANSLATE, {}, ConfigError),
        (TRANSLATE, {"translate_to": "pl", "instruction": "x"}, ServiceRefused),
        (TRANSLATE, {"translate_to": "pl", "history": True}, ServiceRefused),
        (TRANSCRIBE, {"tools": [FunctionDeclaration(name="f")]}, ServiceRefused),
        (LIVE, {"translate_to": "pl"}, ServiceRefused),
        (TRANSLATE, {"translate_to": "Polish, please"}, ConfigError),
        (TRANSLATE, {"translate_to": "pl", "manual_turns": True}, ServiceRefused),
        (TRANSLATE, {"translate_to": "pl", "camera": True}, ServiceRefused),
        (TRANSLATE, {"translate_to": "pl", "detection": Detection(silence_ms=500)}, ServiceRefused),
        (OLD, {"thinking_level": "low", "thinking_budget": 0}, ConfigError),
        (LIVE, {"manual_turns": True, "interruptible": False}, ConfigError),
        (LIVE, {"voice": "Nobody"}, ConfigError),
        (LIVE, {"language": "German please"}, ConfigError),
        (LIVE, {"temperature": 3.0}, ConfigError),
        (LIVE, {"media_resolution": "ultra"}, ConfigError),
        (LIVE, {"manual_turns": True, "detection": Detection()}, ConfigError),
        (LIVE, {"detection": Detection(start="LOUD")}, ConfigError),
        (LIVE, {"turn_coverage": "ALL"}, ServiceRefused),
        (LIVE, {"tools": [FunctionDeclaration(name="2 words")]}, ConfigError),
        (LIVE, {"tools": [FunctionDeclaration(name="f")] * 2}, ConfigError),
        (LIVE, {"tools": [FunctionDeclaration(name=f"f{n}") for n in range(513)]}, ServiceRefused),
        (LIVE, {"tools": [FunctionDeclaration(name="f", parameters={}, parameters_json_schema={})]}, ConfigError),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(model: str, wishes: dict[str, Any], kind: type[AgentError]) -> None:
    with pytest.raises(kind) as refusal:
        setup(model, **wishes)
    assert len(str(refusal.value)) > 30


PLATFORM = Place("museum-1", "europe-west4")


def test_on_the_agent_platform_a_model_is_a_resource_of_the_project() -> None:
    named = "projects/museum-1/locations/europe-west4/publishers/google/models/gemini-3.8-live"
    assert setup(place=PLATFORM)["model"] == named
    assert setup(f"models/{LIVE}", place=PLATFORM)["model"] == named


def test_on_the_agent_platform_the_detector_is_as_keen_as_elsewhere() -> None:
    def detector(**wishes: Any) -> Any:
        return setup(place=PLATFORM, **wishes)["realtimeInputConfig"].get("automaticActivityDetection")

    keen = {"startOfSpeechSensitivity": "START_SENSITIVITY_HIGH", "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH"}
    assert detector() == keen
    assert detector(detection=Detection(start="low", silence_ms=600)) == {
        **keen,
        "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
        "silenceDurationMs": 600,
    }
    assert detector(manual_turns=True) == {"disabled": True}
    assert "realtimeInputConfig" not in setup(TRANSLATE, translate_to="de", place=PLATFORM)


def test_on_the_agent_platform_all_video_is_no_turn_coverage() -> None:
    assert setup(camera=True)["realtimeInputConfig"]["turnCoverage"] == "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO"
    assert setup(camera=True, place=PLATFORM)["realtimeInputConfig"]["turnCoverage"] == "TURN_INCLUDES_ALL_INPUT"
    with pytest.raises(ServiceRefused, match="turn_coverage"):
        setup(turn_coverage="audio-activity-and-all-video", place=PLATFORM)


@pytest.mark.parametrize("sizes", [(4_999, 1_000), (128_001, 1_000), (0, 128_001)])
def test_the_agent_platform_limits_compression(sizes: tuple[int, int]) -> None:
    assert setup(compression=sizes)
    with pytest.raises(ConfigError, match="5000 to 128000"):
        setup(compression=sizes, place=PLATFORM)
    assert setup(compression=(5_000, 0), place=PLATFORM)["contextWindowCompression"]["triggerTokens"]
