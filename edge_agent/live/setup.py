"""The first message of a connection, built from settings: only what the chosen model accepts.

    profile = profile_for(config.live.model)
    setup = build_setup(model=config.live.model, profile=profile, voice="Puck", language="", instruction="...",
                        tools=[], handle=None, manual_turns=True, captions=True, camera=False)

Always in it: one response modality, explicit `turnCoverage` (its default differs by model, and with all video a
camera would be billed while nobody talks), session resumption, and compression of the context with explicit sizes
(every turn is billed for the whole context, and without compression a session ends when the window is full). In it
when asked for: voice, language, instruction, tools, captions, thinking, history.

A language is pinned by `languageCode` where the model takes it, else by a sentence at the end of the instruction.
What the owner asked for and the model cannot do is an error with a sentence, never a silent omission; the one
exception is the voice, which has a default and is left out where a model has none to choose.

The translation model gets the least: its language, resumption, compression, captions. It hears without turns.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.errors import ConfigError, ServiceRefused
from edge_agent.live import messages
from edge_agent.live.endpoint import Place
from edge_agent.live.models import (
    ALL_INPUT,
    AUDIO_ACTIVITY_AND_ALL_VIDEO,
    MAX_FUNCTIONS,
    ONLY_ACTIVITY,
    Profile,
    model_id,
)
from edge_agent.voices import check_voice

COMPRESSION = (25_000, 8_000)  # tokens: trigger and what remains; the service's own example for long sessions
PLATFORM_TRIGGER = (5_000, 128_000)  # tokens: what the Agent Platform takes as the trigger; the target has no least

_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_SENSITIVITIES = {"high": "HIGH", "low": "LOW"}


@dataclass(frozen=True, slots=True)
class Detection:
    """Wishes for the service's own voice detector; what is empty or None is left to the service.

    `start` and `end`: "high" or "low", how readily speech starts and ends. `prefix_ms`: how long speech must last to
    count as a start. `silence_ms`: silence that ends a turn (the service's default is about 800).
    """

    start: str = ""
    end: str = ""
    prefix_ms: int | None = None
    silence_ms: int | None = None


def build_setup(
    *,
    model: str,
    profile: Profile,
    voice: str = "",
    language: str = "",
    instruction: str = "",
    tools: Sequence[messages.FunctionDeclaration] = (),
    handle: str | None = None,
    manual_turns: bool = False,
    captions: bool = True,
    camera: bool = False,
    compression: tuple[int, int] | None = COMPRESSION,
    history: bool = False,
    interruptible: bool = True,
    detection: Detection | None = None,
    thinking_level: str = "",
    thinking_budget: int | None = None,
    google_search: bool = False,
    translate_to: str = "",
    echo_translation: bool = False,
    temperature: float | None = None,
    media_resolution: str = "",
    caption_languages: Sequence[str] = (),
    vocabulary: Sequence[str] = (),
    turn_coverage: str = "",
    place: Place | None = None,
) -> messages.Setup:
    """Return the setup.

    Args:
        model: id or resource name.
        profile: what the model accepts, from `models.profile_for`.
        voice: name of a prebuilt voice; "" for the service's default.
        language: BCP-47 code to pin; "" lets the model follow the speaker.
        instruction: who the device is.
        tools: functions the model may call; a declaration without `behavior` gets the family's first one.
        handle: of an earlier session, to continue it.
        manual_turns: the client marks turns; the service's voice detector is off.
        captions: ask for transcripts of both sides.
        camera: stills will be sent.
        compression: trigger and target in tokens; 0 leaves either to the service; None: no compression.
        history: the first message after the setup will be the history of an earlier conversation.
        interruptible: False: speech never cuts off an answer.
        detection: wishes for the voice detector; not with `manual_turns`.
        thinking_level: for families that take a level, one of their `thinking_levels`.
        thinking_budget: for families that take a budget, in tokens; 0 is off.
        google_search: let the model search the web (needs quota for it).
        translate_to: BCP-47 code; the translation model needs it, no other takes it.
        echo_translation: repeat what is already said in that language.
        temperature: of sampling, 0 to 2.
        media_resolution: "low" (64 tokens a still), "medium" or "high" (256).
        caption_languages: BCP-47 codes of what is likely to be spoken, a hint for the transcript of the person.
        vocabulary: words that transcripts should get right.
        turn_coverage: "only-activity", "all-input" or "audio-activity-and-all-video"; overrides the family's choice.
        place: of the Agent Platform, whose rules differ; None: the Gemini API.

    Raises:
        ConfigError: a setting is wrong in itself.
        ServiceRefused: the model does not do what was asked for.
    """
    if place is not None:
        profile = _on_platform(profile)
        if not manual_turns and not profile.continuous:
            detection = _keen(detection or Detection())
    _check_family(
        profile=profile,
        model=model,
        instruction=instruction,
        tools=tools,
        google_search=google_search,
        history=history,
        translate_to=translate_to,
        manual_turns=manual_turns,
        camera=camera,
    )
    pinned = _checked_language(language, "live.language")
    in_code = profile.language_code
    if pinned and not in_code and profile.conversation:
        instruction = f"{instruction.rstrip()}\n\nSpeak only the language with the BCP-47 code {pinned}.".lstrip()
    speech = messages.SpeechConfig(
        voice_config=_voice(voice) if profile.voices else None,
        language_code=pinned if pinned and in_code else None,
    )
    hints = [_checked_language(code, "captions.languages") for code in caption_languages if code]
    transcript = messages.Transcription(language_codes=hints or None, custom_vocabulary=list(vocabulary) or None)
    return messages.Setup(
        model=f"{'models' if place is None else place.models}/{model_id(model)}",
        generation_config=messages.GenerationConfig(
            response_modalities=[profile.modality],
            speech_config=speech if speech != messages.SpeechConfig() else None,
            thinking_config=_thinking(profile, thinking_level, thinking_budget),
            translation_config=messages.TranslationConfig(
                target_language_code=_checked_language(translate_to, "live.translate_to"),
                echo_target_language=echo_translation or None,
            )
            if translate_to
            else None,
            temperature=_checked_temperature(temperature),
            media_resolution=_resolution(media_resolution),
        ),
        system_instruction=messages.Content(role="user", parts=[messages.Part(text=instruction)])
        if instruction
        else None,
        tools=_tools(profile, tools, google_search),
        realtime_input_config=_realtime(
            profile=profile,
            manual_turns=manual_turns,
            interruptible=interruptible,
            camera=camera,
            detection=detection,
            turn_coverage=turn_coverage,
        ),
        session_resumption=messages.SessionResumption(handle=handle or None),
        context_window_compression=_compression(compression, limited=place is not None),
        input_audio_transcription=transcript if captions or profile.modality == "TEXT" else None,
        output_audio_transcription=messages.Transcription() if captions and profile.modality == "AUDIO" else None,
        history_config=messages.HistoryConfig(initial_history_in_client_content=True) if history else None,
    )


def _on_platform(profile: Profile) -> Profile:
    """Return what the model accepts on the Agent Platform: there all video is no turn coverage (reported by users)."""
    coverages = tuple(coverage for coverage in profile.coverages if coverage != AUDIO_ACTIVITY_AND_ALL_VIDEO)
    with_camera = profile.coverage_with_camera if profile.coverage_with_camera in coverages else ALL_INPUT
    return dataclasses.replace(profile, coverages=coverages, coverage_with_camera=with_camera)


def _keen(wishes: Detection) -> Detection:
    """Return wishes for a detector that is dull by default: as keen as the Gemini API's, unless wished otherwise."""
    return dataclasses.replace(wishes, start=wishes.start or "high", end=wishes.end or "high")


def _check_family(
    *,
    profile: Profile,
    model: str,
    instruction: str,
    tools: Sequence[messages.FunctionDeclaration],
    google_search: bool,
    history: bool,
    translate_to: str,
    manual_turns: bool,
    camera: bool,
) -> None:
    translates = profile.family == "3.5 live translate"
    refused = {
        "an instruction": instruction and not profile.conversation,
        "tools": tools and not profile.conversation,
        "pictures": camera and not profile.conversation,
        "Google Search": google_search and not profile.google_search,
        "a history": history and profile.client_content == "never",
        "translation (live.translate_to)": translate_to and not translates,
    }
    for what, asked in refused.items():
        if asked:
            raise ServiceRefused(f'The model "{model_id(model)}" does not take {what}; choose another live.model.')
    if manual_turns and not profile.conversation:
        raise ServiceRefused(
            f'The model "{model_id(model)}" listens without turns; set mode = "speaker", or panel.button = "hook".'
        )
    if translates and not translate_to:
        raise ConfigError(
            f'The model "{model_id(model)}" needs live.translate_to, the language to translate into, such as "en".'
        )


def _voice(name: str) -> messages.VoiceConfig | None:
    if not name:
        return None
    return messages.VoiceConfig(prebuilt_voice_config=messages.PrebuiltVoiceConfig(voice_name=check_voice(name)))


def _checked_language(code: str, key: str) -> str:
    if code and not _LANGUAGE.fullmatch(code):
        raise ConfigError(f'{key} = "{code[:40]}": allowed is a BCP-47 code such as en-US or de-DE, or ""')
    return code


def _checked_temperature(temperature: float | None) -> float | None:
    if temperature is not None and not 0.0 <= temperature <= 2.0:
        raise ConfigError(f"live.temperature = {temperature:g}: allowed is a number from 0 to 2")
    return temperature


def _resolution(name: str) -> str | None:
    if name and name not in {"low", "medium", "high"}:
        raise ConfigError(f'live.media_resolution = "{name[:40]}": allowed are low, medium, high')
    return f"MEDIA_RESOLUTION_{name.upper()}" if name else None


def _thinking(profile: Profile, level: str, budget: int | None) -> messages.ThinkingConfig | None:
    if level and budget is not None:
        raise ConfigError("live.thinking and live.thinking_budget exclude each other; no model takes both")
    if level:
        wanted = level.upper()
        if profile.thinking != "level":
            raise ServiceRefused(f"A {profile.family} model takes no thinking level; leave live.thinking empty.")
        if wanted not in profile.thinking_levels:
            allowed = ", ".join(profile.thinking_levels)
            raise ServiceRefused(f"A {profile.family} model has no thinking level {wanted[:20]}; it has {allowed}.")
        return messages.ThinkingConfig(thinking_level=wanted)
    if budget is not None:
        if profile.thinking != "budget":
            raise ServiceRefused(f"A {profile.family} model takes no thinking budget; leave live.thinking_budget out.")
        if budget < 0:
            raise ConfigError("The thinking budget is a number of tokens, 0 for none")
        return messages.ThinkingConfig(thinking_budget=budget)
    return None


def _tools(
    profile: Profile, declarations: Sequence[messages.FunctionDeclaration], google_search: bool
) -> list[messages.Tool] | None:
    tools = []
    if declarations:
        if len(declarations) > MAX_FUNCTIONS:
            raise ServiceRefused(f"{len(declarations)} tools are more than the {MAX_FUNCTIONS} the Live API takes.")
        names = [declaration.name for declaration in declarations]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f'There is more than one tool named "{twice[0]}"')
        tools.append(messages.Tool(function_declarations=[_declared(profile, one) for one in declarations]))
    if google_search:
        tools.append(messages.Tool(google_search=messages.Empty()))
    return tools or None


def _declared(profile: Profile, declaration: messages.FunctionDeclaration) -> messages.FunctionDeclaration:
    name = declaration.name
    if not _FUNCTION_NAME.fullmatch(name):
        raise ConfigError(f'"{name[:60]}" is no name for a tool: letters, digits, _ . : - and at most 128 of them')
    if declaration.parameters is not None and declaration.parameters_json_schema is not None:
        raise ConfigError(f'The tool "{name}" describes its parameters twice; give one of the two schemas')
    behavior = declaration.behavior
    if not profile.behaviors:
        if behavior == "NON_BLOCKING":
            raise ServiceRefused(f'A {profile.family} model waits for every tool; "{name}" cannot run beside the talk.')
        behavior = None
    elif behavior is None:
        behavior = profile.behaviors[0]
    elif behavior not in profile.behaviors:
        allowed = " or ".join(profile.behaviors)
        raise ServiceRefused(f'A {profile.family} model takes tools as {allowed} only; "{name}" asks for {behavior}.')
    return messages.FunctionDeclaration(
        name=name,
        description=declaration.description,
        parameters=declaration.parameters,
        parameters_json_schema=declaration.parameters_json_schema,
        response_json_schema=declaration.response_json_schema,
        behavior=behavior,
    )


def _realtime(
    *,
    profile: Profile,
    manual_turns: bool,
    interruptible: bool,
    camera: bool,
    detection: Detection | None,
    turn_coverage: str,
) -> messages.RealtimeInputConfig | None:
    wanted = f"TURN_INCLUDES_{turn_coverage.upper().replace('-', '_')}" if turn_coverage else ""
    coverage = wanted or (profile.coverage_with_camera if camera else ONLY_ACTIVITY)
    if coverage not in profile.coverages:
        raise ServiceRefused(f"A {profile.family} model does not take live.turn_coverage = {turn_coverage[:60]}.")
    if manual_turns and detection is not None:
        raise ConfigError("[vad] tunes the service's voice detector, which is off where the button marks the turns")
    if manual_turns and not interruptible:
        raise ConfigError("live.interruptible = false is for the open microphone; a pressed button always interrupts")
    if profile.continuous:
        if wanted or detection is not None or not interruptible:
            raise ServiceRefused(
                f"A {profile.family} model knows no turns; leave [vad], live.turn_coverage and live.interruptible out."
            )
        return None
    automatic = None
    if manual_turns:
        automatic = messages.AutomaticActivityDetection(disabled=True)
    elif detection is not None:
        automatic = messages.AutomaticActivityDetection(
            start_of_speech_sensitivity=_sensitivity("START", detection.start),
            end_of_speech_sensitivity=_sensitivity("END", detection.end),
            prefix_padding_ms=detection.prefix_ms,
            silence_duration_ms=detection.silence_ms,
        )
    return messages.RealtimeInputConfig(
        automatic_activity_detection=automatic,
        activity_handling=None if interruptible else "NO_INTERRUPTION",
        turn_coverage=coverage,
    )


def _sensitivity(side: str, name: str) -> str | None:
    if name and name not in _SENSITIVITIES:
        raise ConfigError(f'The sensitivity "{name[:40]}" does not exist; [vad] knows high and low')
    return f"{side}_SENSITIVITY_{_SENSITIVITIES[name]}" if name else None


def _compression(sizes: tuple[int, int] | None, *, limited: bool) -> messages.ContextWindowCompression | None:
    if sizes is None:
        return None
    trigger, target = sizes
    if trigger < 0 or target < 0 or (trigger and target >= trigger):
        raise ConfigError(
            f"live.compress_to_tokens = {target} must be smaller than live.compress_at_tokens = {trigger}"
        )
    low, high = PLATFORM_TRIGGER
    if limited and ((trigger and not low <= trigger <= high) or target > high):
        raise ConfigError(
            f"live.compress_at_tokens = {trigger}: the Agent Platform takes {low} to {high}, and at most {high} "
            "for live.compress_to_tokens"
        )
    return messages.ContextWindowCompression(
        sliding_window=messages.SlidingWindow(target_tokens=target or None), trigger_tokens=trigger or None
    )
