"""What the owner wishes: of the service, as the setup of a connection, and of the conversation, as its rules.

    setup = setup_for(config, persona=persona, declarations=[...], handle=None, history=False)
    check(config)                          # at start and `config check`: can the chosen model do all that?
    first_turns(config, persona)           # what a new conversation begins with, before anybody has spoken
    machine.rules = rules_for(config)

One place reads the settings that become part of the setup: voice, language, turns, tools, captions, search; the module
`live.setup` knows what of it the chosen model takes, and refuses the rest in a sentence. What the persona says (voice,
language, instruction, history) wins over the configuration. A model that takes nothing but sound is not offered the
device's own tools.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edge_agent.config import Config
from edge_agent.conversation.rules import Rules
from edge_agent.errors import AgentError, ConfigError
from edge_agent.live import messages, models
from edge_agent.live.endpoint import Place
from edge_agent.live.setup import Detection, build_setup
from edge_agent.persona import History, Persona, load_persona, read_history

ECHO_PREFIX_MS = 120
"""So long must the service hear speech before it stops an answer: what an echo canceller lets through is shorter."""


def setup_for(
    config: Config,
    *,
    persona: Persona | None,
    declarations: Sequence[messages.FunctionDeclaration],
    handle: str | None,
    history: bool,
) -> messages.Setup:
    """Return the setup of one connection.

    Args:
        config: the configuration in force.
        persona: who the device is; None where the configuration names no folder.
        declarations: functions the model may call.
        handle: of the session to continue; None: a new one.
        history: the first message after the setup will be the history of an earlier conversation.

    Raises:
        ConfigError: a setting is wrong in itself.
        ServiceRefused: the model does not do what was asked for.
    """
    live, captions = config.live, config.captions
    profile = models.profile_for(live.model)
    return build_setup(
        model=live.model,
        profile=profile,
        voice=(persona.voice if persona else "") or live.voice,
        language=(persona.language if persona else "") or live.language,
        instruction=persona.compose() if persona else live.system_instruction,
        tools=declarations if profile.conversation else (),
        handle=handle,
        manual_turns=config.manual_turns,
        captions=captions.show,
        camera=config.camera.source != "off",
        compression=(live.compress_at_tokens, live.compress_to_tokens) if live.compress_at_tokens else None,
        history=history,
        interruptible=live.interruptible,
        detection=_detection(config),
        thinking_level=live.thinking,
        thinking_budget=live.thinking_budget if live.thinking_budget >= 0 else None,
        google_search=live.google_search,
        translate_to=live.translate_to,
        echo_translation=live.echo_translation,
        temperature=live.temperature if live.temperature >= 0 else None,
        media_resolution=live.media_resolution,
        caption_languages=captions.languages,
        vocabulary=captions.vocabulary,
        turn_coverage=live.turn_coverage,
        place=Place.of(live.credential),
    )


def check(config: Config, file: Path | None = None) -> None:
    """Build the setup that the first press would, and throw it away; cheap, and nothing is sent.

    Args:
        config: what is checked.
        file: where it was read; the sentence then begins with it, as those of `config.load` do.

    Raises:
        ConfigError: the persona or a setting cannot be used, or not with this model; one sentence.
    """
    try:
        persona = load_persona(Path(config.persona)) if config.persona else None
        turns = first_turns(config, persona)
        setup_for(config, persona=persona, declarations=(), handle=None, history=bool(turns))
    except AgentError as error:
        raise ConfigError(str(error) if file is None else f"{file}: {error}") from None


def first_turns(config: Config, persona: Persona | None) -> History:
    """Return the turns that a new conversation begins with, as (role, text); () for none.

    A connection that continues a conversation must not send them again.

    Raises:
        ConfigError: the file of `live.initial_history` cannot be used.
    """
    if persona is not None and persona.history:
        return persona.history
    path = config.live.initial_history
    if not path:
        return ()
    turns = read_history(Path(path))
    if turns is None:
        raise ConfigError(f"live.initial_history = {path}: no such file")
    return turns


def continuous(config: Config) -> bool:
    """Tell whether the model speaks without turns, as the translation model does; False for a name it cannot be."""
    try:
        return models.profile_for(config.live.model).continuous
    except AgentError:
        return False


def rules_for(config: Config) -> Rules:
    """Return what of the configuration the conversation goes by, and what of the model."""
    try:
        profile = models.profile_for(config.live.model)
    except AgentError:
        profile = models.Profile("none")  # opening a connection will say what is wrong with the model
    return Rules(
        manual=config.manual_turns,
        hook=config.panel.button == "hook",
        pre_roll_s=config.audio.pre_roll_ms / 1000,
        tap_s=config.panel.tap_ms / 1000,
        long_press_s=config.panel.long_press_ms / 1000,
        idle_timeout_s=config.idle_timeout_s,
        max_turn_s=config.conversation.max_turn_s,
        max_conversation_s=config.conversation.max_conversation_s,
        answer_timeout_s=config.conversation.answer_timeout_s,
        prewarm=config.live.prewarm and not config.link.metered,
        continuous=profile.continuous,
        nudges=profile.client_content == "always",
        holds=profile.closes_for_sound,
        connection_limit_s=config.live.connection_limit_s or math.inf,
        detects=config.mode == "speaker" and config.conversation.voice_detector == "device",
        follow_up_s=config.conversation.follow_up_s,
        interruptible=config.live.interruptible,
        remember_s=config.conversation.remember_s if config.mode == "speaker" else 0.0,
    )


def _detection(config: Config) -> Detection | None:
    vad = config.vad
    hears_itself = not config.manual_turns and config.echo in {"auto", "software"} and not continuous(config)
    wishes = Detection(
        start=vad.start,
        end=vad.end,
        prefix_ms=vad.prefix_padding_ms or (ECHO_PREFIX_MS if hears_itself else None),
        silence_ms=vad.silence_ms or None,
    )
    return None if wishes == Detection() else wishes
