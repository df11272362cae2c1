"""What each Live model accepts in a setup, as the twin's own table.

`check_setup(setup, api_version=..., platform=...)` raises `schema.Violation` with the code and a reason the way the
service words it. A model that is not in the table is refused with 1008 as one that is not found.

Source: the model pages and guides as gathered in the wire reference (state of 2026-11). What rests on third parties
alone: `language_code`; that the translation model never ends a turn (`continuous`) and gives silence without a language
to translate into; that 3.1 refuses a text turn in the middle of a session (`client_content`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_agent.simulator.schema import Violation

VOICES = frozenset(
    {
        "zephyr",
        "puck",
        "charon",
        "kore",
        "fenrir",
        "leda",
        "orus",
        "aoede",
        "callirrhoe",
        "autonoe",
        "enceladus",
        "iapetus",
        "umbriel",
        "algieba",
        "despina",
        "erinome",
        "algenib",
        "rasalgethi",
        "laomedeia",
        "achernar",
        "alnilam",
        "schedar",
        "gacrux",
        "pulcherrima",
        "achird",
        "zubenelgenubi",
        "vindemiatrix",
        "sadachbia",
        "sadaltager",
        "sulafat",
    }
)

MAX_DECLARATIONS = 512

_LEVELS = frozenset({"MINIMAL", "LOW", "MEDIUM", "HIGH"})


@dataclass(frozen=True, slots=True)
class Model:
    """What one family of models accepts and how it answers."""

    modalities: frozenset[str] = frozenset({"AUDIO"})
    thinking: frozenset[str] = frozenset()  # members of thinkingConfig; empty: thinkingConfig is refused
    thinking_levels: frozenset[str] = frozenset()
    behaviors: frozenset[str] = frozenset({"UNSPECIFIED", "BLOCKING", "NON_BLOCKING"})
    scheduling: bool = True
    language_code: bool = True
    affective: bool = False  # on v1alpha only
    proactivity: str = "no"  # no | opt-in (v1alpha) | always (false is refused)
    idle_status: bool = False  # interactionStatus tells when the model is idle
    several_parts: bool = True
    tools: bool = True
    instruction: bool = True
    client_content: bool = True  # in the middle of a session; as initial history it is always taken
    sound_only: bool = False  # realtime text, stills and turn marks are refused
    translation: bool = False
    continuous: bool = False  # translates while the person speaks: no turn is ever ended or interrupted
    transcription_only: bool = False


MODELS: dict[str, Model] = {
    "gemini-3.8-live": Model(language_code=False, proactivity="always"),
    "gemini-3.8-live-extended-thinking": Model(
        thinking=frozenset({"thinkingLevel", "includeThoughts"}),
        thinking_levels=frozenset({"LOW", "MEDIUM", "HIGH"}),
        behaviors=frozenset({"UNSPECIFIED", "NON_BLOCKING"}),
        scheduling=False,
        proactivity="always",
        idle_status=True,
    ),
    "gemini-3.1-flash-live-preview": Model(
        thinking=frozenset({"thinkingLevel", "includeThoughts"}),
        thinking_levels=_LEVELS,
        behaviors=frozenset({"UNSPECIFIED", "BLOCKING"}),
        scheduling=False,
        client_content=False,
    ),
    "gemini-3.5-live-translate-preview": Model(
        tools=False, instruction=False, client_content=False, sound_only=True, translation=True, continuous=True
    ),
    "gemini-3.5-transcribe-live": Model(modalities=frozenset({"TEXT"}), tools=False, transcription_only=True),
}
for _name in (
    "gemini-2.5-flash-native-audio-preview-12-2025",
    "gemini-2.5-flash-native-audio-latest",
    "gemini-live-2.5-flash-native-audio",
):
    MODELS[_name] = Model(
        thinking=frozenset({"thinkingBudget", "includeThoughts"}),
        language_code=False,
        affective=True,
        proactivity="opt-in",
        several_parts=False,
    )
MODELS["gemini-3.5-transcribe-live-preview"] = MODELS["gemini-3.5-transcribe-live"]

_HONOURED_TOOLS = frozenset({"functionDeclarations", "googleSearch"})


def find(name: str, *, api_version: str, platform: bool) -> Model:
    """Return the model a setup names.

    Raises:
        Violation: 1007 without the resource prefix, 1008 for a model that does not exist.
    """
    model_id = name.rpartition("/")[2]
    prefixed = name.startswith("models/") and name.count("/") == 1
    if platform:
        prefixed = "publishers/google/models/" in name
    if not prefixed:
        raise Violation(f"* BidiGenerateContentRequest.setup.model: unexpected model name format: {name!r}")
    if model_id not in MODELS:
        raise Violation(
            f"models/{model_id} is not found for API version {api_version}, "
            "or is not supported for bidiGenerateContent.",
            code=1008,
        )
    return MODELS[model_id]


def check_setup(setup: dict[str, Any], *, api_version: str = "v1beta", platform: bool = False) -> Model:
    """Check a parsed setup against its model and return the model.

    Raises:
        Violation: with the code and reason of the refusal.
    """
    model = find(setup.get("model", ""), api_version=api_version, platform=platform)
    config = setup.get("generationConfig", {})
    _check_generation(model, config, api_version=api_version, platform=platform)
    _check_proactivity(model, setup.get("proactivity"), api_version=api_version)
    check_tools(model, setup.get("tools", []))
    if "avatarConfig" in setup and not platform:
        raise Violation("Avatars are not supported for this model.")
    if platform:
        _check_platform(setup)
    instruction = setup.get("systemInstruction")
    if instruction is not None:
        check_instruction(model, instruction)
    detection = setup.get("realtimeInputConfig", {}).get("automaticActivityDetection", {})
    if model.sound_only and detection.get("disabled"):
        raise Violation("Explicit activity control is not supported for this model.")
    for name in ("prefixPaddingMs", "silenceDurationMs"):
        if detection.get(name, 0) < 0:
            raise Violation(f"{name} must not be negative.")
    return model


def _check_platform(setup: dict[str, Any]) -> None:
    """Refuse what the Agent Platform refuses, and the Gemini API takes."""
    coverage = setup.get("realtimeInputConfig", {}).get("turnCoverage", "")
    if coverage == "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO":
        raise Violation(f"{coverage} is not supported.")
    compression = setup.get("contextWindowCompression", {})
    for name, given, low in (
        ("triggerTokens", compression.get("triggerTokens"), 5_000),
        ("slidingWindow.targetTokens", compression.get("slidingWindow", {}).get("targetTokens"), 0),
    ):
        if given is not None and not low <= int(given) <= 128_000:
            raise Violation(f"contextWindowCompression.{name} must be between {low} and 128000, got {given}.")


def check_instruction(model: Model, instruction: dict[str, Any]) -> None:
    """Refuse a system instruction that is not text, or that the model does not take."""
    if not model.instruction:
        raise Violation("System instruction is not supported for this model.")
    if any("text" not in part for part in instruction.get("parts", [])):
        raise Violation("System instruction must hold text parts only.")


def check_tools(model: Model, tools: list[dict[str, Any]]) -> None:
    """Refuse tools, declarations and behaviours the model does not take."""
    if tools and not model.tools:
        raise Violation("Tools are not supported for this model.")
    names: set[str] = set()
    for tool in tools:
        for kind in tool:
            if kind not in _HONOURED_TOOLS:
                raise Violation(f"Tool {kind} is not supported for this model.")
        for declaration in tool.get("functionDeclarations", []):
            name = declaration.get("name", "")
            if not name or name in names:
                raise Violation(f"Function name {name!r} is empty or declared twice.")
            names.add(name)
            if "parameters" in declaration and "parametersJsonSchema" in declaration:
                raise Violation(f"Function {name}: only one of parameters and parameters_json_schema may be set.")
            behavior = declaration.get("behavior", "UNSPECIFIED")
            if behavior not in model.behaviors:
                raise Violation(f"Function {name}: behavior {behavior} is not supported for this model.")
    if len(names) > MAX_DECLARATIONS:
        raise Violation(f"At most {MAX_DECLARATIONS} functions may be declared, found {len(names)}.")


def _check_generation(model: Model, config: dict[str, Any], *, api_version: str, platform: bool) -> None:
    modalities = config.get("responseModalities", [])
    allowed = model.modalities | ({"VIDEO"} if platform else frozenset())
    if len(modalities) > 1 or not set(modalities) <= allowed:
        raise Violation(f"Response modalities {modalities} are not supported for this model.")
    speech = config.get("speechConfig", {})
    if speech and "AUDIO" not in model.modalities:
        raise Violation("Cannot extract voices from a non-audio request.")
    if "languageCode" in speech and not model.language_code:
        raise Violation(f"Unsupported language code {speech['languageCode']!r} for this model.")
    voice = speech.get("voiceConfig", {}).get("prebuiltVoiceConfig", {}).get("voiceName", "Puck")
    if voice.casefold() not in VOICES:
        raise Violation(f"Requested voice {voice!r} is not available for this model.")
    if "enableAffectiveDialog" in config and not (model.affective and api_version == "v1alpha"):
        raise Violation("Affective dialog is not supported for this model.")
    if "translationConfig" in config and not model.translation:
        raise Violation("Translation config is not supported for this model.")
    if "thinkingConfig" in config:
        _check_thinking(model, config["thinkingConfig"])


def _check_thinking(model: Model, thinking: dict[str, Any]) -> None:
    if not model.thinking:
        raise Violation("Thinking config is not supported for this model.")
    for name in thinking:
        if name not in model.thinking:
            raise Violation(f"{name} is not supported for this model.")
    level = thinking.get("thinkingLevel")
    if level is not None and level not in model.thinking_levels:
        raise Violation(f"Thinking level {level} is not supported for this model.")


def _check_proactivity(model: Model, proactivity: dict[str, Any] | None, *, api_version: str) -> None:
    if proactivity is None:
        return
    if model.proactivity == "no" or (model.proactivity == "opt-in" and api_version != "v1alpha"):
        raise Violation("Proactive audio is not supported for this model.")
    if model.proactivity == "always" and proactivity.get("proactiveAudio") is False:
        raise Violation("Proactive audio cannot be disabled for this model.")
