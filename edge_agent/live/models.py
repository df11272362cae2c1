"""What each Live model accepts, by family: the table that setup and protocol look up, so that nothing refused is sent.

    profile = profile_for("gemini-3.8-live")
    profile.thinking                    # "" : thinkingConfig is not accepted
    blocked("RESPONSE_REJECTED")        # True: why a turn ended without an answer

A model that no family claims gets a conservative profile: only what all known conversation models accept, and
`profile.warning` says so in a sentence. A model that is known to be gone, or never to have been a Live model, is
refused.

Sources: the model pages of Gemini 3.8 Live and 3.8 Live Extended Thinking (September 2026), the guides to capabilities,
thinking and tools of the Live API, and the deprecation list. What only third parties report is marked in the field's
docstring.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edge_agent.errors import ConfigError, ServiceRefused

ONLY_ACTIVITY = "TURN_INCLUDES_ONLY_ACTIVITY"
ALL_INPUT = "TURN_INCLUDES_ALL_INPUT"
AUDIO_ACTIVITY_AND_ALL_VIDEO = "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO"

BLOCKING = "BLOCKING"
NON_BLOCKING = "NON_BLOCKING"

MAX_FUNCTIONS = 512  # the service's limit for the declarations of one setup


@dataclass(frozen=True, slots=True)
class Profile:
    """What one family of models accepts."""

    family: str
    modality: Literal["AUDIO", "TEXT"] = "AUDIO"
    """What it answers with; TEXT only for transcription."""
    conversation: bool = True
    """False: takes nothing but sound: no instruction, tools, text, stills, turn marks (translation, transcription)."""
    continuous: bool = False
    """It speaks while it is spoken to and never ends a turn: no generationComplete, turnComplete or interrupted.
    Third-party measurement."""
    voices: bool = True
    """Whether a voice can be chosen; the translation model imitates the one it hears. Third-party finding."""
    thinking: Literal["", "level", "budget"] = ""
    """Which member of thinkingConfig it takes; "": thinkingConfig itself is refused."""
    thinking_levels: tuple[str, ...] = ()
    idle_signal: Literal["turnComplete", "interactionStatus"] = "turnComplete"
    """What tells that nothing more will come. With interactionStatus a turnComplete ends one utterance only."""
    behaviors: tuple[str, ...] = ()
    """Function behaviours it takes, the one we ask for by default first; (): the field itself is left out."""
    closes_for_sound: bool = False
    """Whether the session ends when microphone sound comes while a blocking call is open. Third-party finding."""
    scheduling: bool = False
    """Whether answers to calls may say when they enter the conversation."""
    client_content: Literal["always", "history", "never"] = "always"
    """When clientContent is taken: at any time, or only to seed the history of a new session."""
    coverage_with_camera: str = AUDIO_ACTIVITY_AND_ALL_VIDEO
    """turnCoverage asked for with a camera; without one it is always ONLY_ACTIVITY. Explicit, as defaults differ."""
    coverages: tuple[str, ...] = (ONLY_ACTIVITY, ALL_INPUT, AUDIO_ACTIVITY_AND_ALL_VIDEO)
    proactivity: Literal["always", "v1alpha", "never"] = "never"
    """Whether it may stay silent when not addressed: always (the field is refused), on request (v1alpha), or not."""
    affective_dialog: bool = False
    """Whether enableAffectiveDialog is taken (v1alpha only)."""
    language_code: bool = False
    """Whether speechConfig.languageCode is taken; elsewhere the instruction names the language. Third-party finding."""
    google_search: bool = True
    warning: str = ""
    """A sentence for the log; "" for a known model."""


# Prefix of the model id, longest first, and what that family accepts.
FAMILIES: tuple[tuple[str, Profile], ...] = (
    (
        "gemini-3.8-live-extended-thinking",
        Profile(
            family="3.8 extended thinking",
            thinking="level",
            thinking_levels=("LOW", "MEDIUM", "HIGH"),
            idle_signal="interactionStatus",
            behaviors=(NON_BLOCKING,),
            proactivity="always",
            language_code=True,
        ),
    ),
    (
        "gemini-3.8-live",
        Profile(
            family="3.8 live",
            behaviors=(NON_BLOCKING, BLOCKING),
            scheduling=True,
            proactivity="always",
        ),
    ),
    (
        "gemini-3.1-flash-live",
        Profile(
            family="3.1 flash live",
            thinking="level",
            thinking_levels=("MINIMAL", "LOW", "MEDIUM", "HIGH"),
            closes_for_sound=True,
            client_content="history",
            language_code=True,
        ),
    ),
    *(
        (
            prefix,
            Profile(
                family="2.5 native audio",
                thinking="budget",
                behaviors=(BLOCKING, NON_BLOCKING),
                closes_for_sound=True,
                scheduling=True,
                coverage_with_camera=ALL_INPUT,
                coverages=(ONLY_ACTIVITY, ALL_INPUT),
                proactivity="v1alpha",
                affective_dialog=True,
            ),
        )
        for prefix in ("gemini-live-2.5-flash-native-audio", "gemini-2.5-flash-native-audio")
    ),
    (
        "gemini-3.5-live-translate",
        Profile(
            family="3.5 live translate",
            conversation=False,
            continuous=True,
            voices=False,
            client_content="never",
            google_search=False,
        ),
    ),
    (
        "gemini-3.5-transcribe-live",
        Profile(
            family="3.5 transcribe live",
            modality="TEXT",
            conversation=False,
            voices=False,
            client_content="never",
            google_search=False,
        ),
    ),
)

_UNKNOWN = Profile(
    family="unknown",
    closes_for_sound=True,
    client_content="history",
    coverage_with_camera=ALL_INPUT,
    coverages=(ONLY_ACTIVITY, ALL_INPUT),
    google_search=False,
)

_GONE = {
    "gemini-2.5-flash-preview-native-audio-dialog": "was shut down on 2025-10-20",
    "gemini-2.5-flash-exp-native-audio-thinking-dialog": "was shut down on 2025-10-20",
    "gemini-live-2.5-flash-preview": "was shut down on 2025-12-09",
    "gemini-2.0-flash-live-001": "was shut down on 2025-12-09",
    "gemini-3.5-flash": "is not a Live model",
    "gemini-3.6-flash": "is not a Live model",
}


def model_id(model: str) -> str:
    """Return the id without the prefix `models/` (or an Agent Platform path) that a person may have pasted."""
    return model.strip().rpartition("models/")[2]


def profile_for(model: str) -> Profile:
    """Return what `model` accepts.

    Raises:
        ConfigError: the name is not that of a model at all.
        ServiceRefused: the model is gone, or never spoke the Live API.
    """
    name = model_id(model)
    if not name or not all(letter.isalnum() or letter in "-._" for letter in name):
        raise ConfigError(f'live.model = "{model[:60]}" is not a model name; the usual one is "gemini-3.8-live"')
    if name in _GONE:
        raise ServiceRefused(f'The model "{name}" {_GONE[name]}; set live.model = "gemini-3.8-live".')
    for prefix, profile in FAMILIES:
        if name == prefix or name.startswith(prefix + "-"):
            return profile
    return replace(
        _UNKNOWN,
        warning=f'The model "{name}" is not known to this version; only what every Live model accepts is asked of it.',
    )


def blocked(reason: str) -> bool:
    """Tell whether a turn ended without an answer because of what it was about.

    `reason` is `turnCompleteReason`, an open list: the words of the ones that exist decide, so that one added later is
    understood too. Whoever asked should be told that this cannot be answered; asking again unchanged will not help.
    """
    return reason in _BLOCKED or any(word in reason for word in _BLOCKED_WORDS)


def wants_more(reason: str) -> bool:
    """Tell whether a turn ended because the model waits for the person to go on: no answer, and nothing wrong."""
    return reason == "NEED_MORE_INPUT"


_BLOCKED = frozenset({"RESPONSE_REJECTED", "INPUT_OTHER", "GENERATED_OTHER"})
_BLOCKED_WORDS = ("PROHIBITED", "SAFETY", "BLOCKLIST", "UNSAFE", "CELEBRITY", "PROMINENT_PE", "IDENTIFIABLE", "MINORS")
