"""What the owner wishes of the Live API, as the setup of a connection: voice, language, turns, tools, captions.

    setup = setup_for(config, persona=persona, declarations=[...], handle=None, history=False)

One place reads the settings that become part of the setup; `live.setup` knows what of it the chosen model takes, and
refuses the rest in a sentence. What the persona says (voice, language, instruction) wins over the configuration.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.config import Config
from edge_agent.live import messages, models
from edge_agent.live.setup import build_setup
from edge_agent.persona import Persona


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
    live = config.live
    return build_setup(
        model=live.model,
        profile=models.profile_for(live.model),
        voice=(persona.voice if persona else "") or live.voice,
        language=(persona.language if persona else "") or live.language,
        instruction=persona.compose() if persona else live.system_instruction,
        tools=declarations,
        handle=handle,
        manual_turns=config.manual_turns,
        captions=config.captions.show,
        camera=config.camera.source != "off",
        history=history,
    )
