"""What each family of models accepts, and the names a person may get wrong."""

from __future__ import annotations

import pytest

from edge_agent.errors import ConfigError, Fault, ServiceRefused
from edge_agent.live.models import FAMILIES, ONLY_ACTIVITY, blocked, model_id, profile_for, wants_more


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gemini-3.8-live", "3.8 live"),
        ("models/gemini-3.8-live", "3.8 live"),
        ("gemini-3.8-live-extended-thinking", "3.8 extended thinking"),
        ("gemini-3.8-live-002", "3.8 live"),
        ("gemini-3.1-flash-live-preview", "3.1 flash live"),
        ("gemini-2.5-flash-native-audio-preview-12-2025", "2.5 native audio"),
        ("gemini-2.5-flash-native-audio-latest", "2.5 native audio"),
        ("publishers/google/models/gemini-live-2.5-flash-native-audio", "2.5 native audio"),
        ("gemini-3.5-live-translate-preview", "3.5 live translate"),
        ("gemini-3.5-transcribe-live", "3.5 transcribe live"),
        ("gemini-3.5-transcribe-live-preview", "3.5 transcribe live"),
    ],
)
def test_a_model_is_known_by_its_family(model: str, family: str) -> None:
    profile = profile_for(model)
    assert profile.family == family
    assert not profile.warning


@pytest.mark.parametrize("model", ["gemini-4.0-live", "gemini-3.8-livestock", "my-tuned-model"])
def test_an_unknown_model_is_asked_only_for_what_all_take_and_says_so(model: str) -> None:
    profile = profile_for(model)
    assert model in profile.warning
    assert (profile.thinking, profile.behaviors, profile.scheduling, profile.language_code) == ("", (), False, False)
    for _, known in FAMILIES:
        if known.conversation:
            assert ONLY_ACTIVITY in known.coverages
            assert known.idle_signal in {profile.idle_signal, "interactionStatus"}


@pytest.mark.parametrize(
    "model",
    ["gemini-2.0-flash-live-001", "gemini-2.5-flash-preview-native-audio-dialog", "models/gemini-3.5-flash"],
)
def test_a_model_that_is_gone_or_no_live_model_is_refused_with_the_one_to_use(model: str) -> None:
    with pytest.raises(ServiceRefused, match=r"gemini-3\.8-live") as refusal:
        profile_for(model)
    assert refusal.value.fault is Fault.SERVICE
    assert model_id(model) in str(refusal.value)


@pytest.mark.parametrize("model", ["", "models/", "gemini 3.8", "https://x/y?key=1"])
def test_what_is_no_model_name_is_a_wrong_setting(model: str) -> None:
    with pytest.raises(ConfigError, match=r"live\.model"):
        profile_for(model)


@pytest.mark.parametrize(
    "reason",
    [
        "RESPONSE_REJECTED",
        "PROHIBITED_INPUT_CONTENT",
        "INPUT_TEXT_CONTAIN_PROMINENT_PERSON_PROHIBITED",
        "INPUT_IMAGE_CELEBRITY",
        "BLOCKLIST",
        "UNSAFE_PROMPT_FOR_IMAGE_GENERATION",
        "GENERATED_AUDIO_SAFETY",
        "GENERATED_CONTENT_BLOCKLIST",
        "GENERATED_IMAGE_IDENTIFIABLE_PEOPLE",
        "GENERATED_OTHER",
        "GENERATED_HOLOGRAM_SAFETY",
    ],
)
def test_a_turn_that_ended_for_what_it_was_about_is_known_by_its_reason(reason: str) -> None:
    assert blocked(reason)
    assert not wants_more(reason)


@pytest.mark.parametrize(
    "reason", ["", "TURN_COMPLETE_REASON_UNSPECIFIED", "MALFORMED_FUNCTION_CALL", "NEED_MORE_INPUT", "SOMETHING_NEW"]
)
def test_other_reasons_blame_nobody(reason: str) -> None:
    assert not blocked(reason)
    assert wants_more(reason) is (reason == "NEED_MORE_INPUT")
