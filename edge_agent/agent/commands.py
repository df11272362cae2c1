"""What the control socket may ask of the device: one case for each verb of `service.verbs`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from edge_agent.conversation import events as ev
from edge_agent.conversation.moves import State
from edge_agent.errors import Stop

if TYPE_CHECKING:
    from edge_agent.agent.agent import Agent

FINGER_STEP_S, FINGER_STEPS = 0.002, 500  # how long a driven button may take to be believed: debounce, and a margin


class Commands:
    """Carries requests out on one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._loop = asyncio.get_running_loop()

    async def do(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: C901, PLR0911, PLR0912  one case for each verb
        """Carry out one well-formed request; return what the answer holds.

        Raises:
            AgentError: it cannot be done; the sentence says why.
        """
        agent = self._agent
        talk = agent.talk
        match request["do"]:
            case "status":
                return agent.status()
            case "press":
                await self._finger(down=True)
            case "release":
                await self._finger(down=False)
            case "tap":
                await self._finger(down=True)
                await self._finger(down=False)
            case "mute":
                agent.silence.mute("ctl")
            case "unmute":
                agent.silence.unmute("ctl")
            case "volume":
                if request.get("volume") is None:
                    return {"volume": agent.loudness.volume}
                change = agent.loudness.set(request["volume"], by="ctl")
                return {"volume": change.volume, **({"note": change.note} if change.note else {})}
            case "ask":
                self._must_be_ready()
                if not talk.takes_text:
                    raise Stop("The translation model takes no text; talk to it, or set another live.model.")
                talk.tell(ev.TextAsked(request["text"]))
            case "say" | "converse" as verb:
                self._must_be_ready()
                talk.tell(ev.Announced(request["text"], listen=verb == "converse"))
            case "timers":
                return agent.alarms.list_timers()
            case "cancel":
                return {"cancelled": agent.alarms.cancel_timer(request["name"])["name"]}
            case "wake-log":
                return talk.listener.log.answer()
            case "look":
                await agent.look()
            case "metrics":
                return {"text": agent.metrics.text(), "figures": agent.metrics.figures()}
            case "account":
                return talk.link.spending.account(request.get("used"))
            case "record":
                return {"file": await agent.record()}
            case "end":
                talk.tell(ev.EndAsked())
        return {"state": talk.machine.shown_state}

    def _must_be_ready(self) -> None:
        if self._agent.talk.machine.state is State.STARTING:
            raise Stop("The device is still starting; ask again in a moment.")

    async def _finger(self, *, down: bool) -> None:
        """Move the button: electrically on mock pins, else as an event."""
        agent = self._agent
        if agent.config.panel.pins == "mock":
            agent.panel.drive_button(down)
            for _ in range(FINGER_STEPS):
                if agent.button.down is down:
                    return
                await asyncio.sleep(FINGER_STEP_S)
        elif down:
            agent.press(self._loop.time())
        else:
            agent.talk.release(self._loop.time())
