"""Which of the device's sentences is right here: the conversation knows the moment, the device what it has. Pure.

    wording("muted", config, muted_by="switch")                      # "muted_by_switch"
    wording("conversation_too_long", config, muted_by=None)          # "conversation_too_long_wake"

A sentence that tells what to do must name what is there: a button, a handset, a wake word, a switch, an owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.config import Config
from edge_agent.errors import MUTE_SWITCH

if TYPE_CHECKING:
    from edge_agent.agent.silence import By

_MUTED: dict[By | None, str] = {"switch": "muted_by_switch", "fault": MUTE_SWITCH.prompt}


def wording(prompt: str, config: Config, *, muted_by: By | None) -> str:
    """Return the name of the sentence to say for a prompt of the conversation; its own where there is but one.

    Args:
        prompt: a name of `prompts.NAMES`.
        config: the configuration in force.
        muted_by: who keeps the microphone shut.
    """
    match prompt:
        case "muted":
            return _MUTED.get(muted_by, prompt)
        case "conversation_too_long" if config.panel.button == "hook":
            return "conversation_too_long_handset"
        case "conversation_too_long" if config.mode == "speaker" and config.wake.word:
            return "conversation_too_long_wake"
        case _:
            return prompt
