"""The device's own tools: what the model may do to the device it speaks from.

    found = find_tools(functions=device_tools(controls, camera=True), ...)

The functions know the device only as `DeviceControls`, which the daemon implements. There is no tool that unmutes: mute
cannot be undone by voice or by the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from edge_agent.errors import Stop
from edge_agent.tools.declare import tool


class DeviceControls(Protocol):
    """What the daemon lets tools do; called on the event loop. Each may raise AgentError with a sentence."""

    def set_volume(self, volume: int) -> None:
        """Set the perceptual loudness, 0 to 100."""

    def end_conversation(self) -> None:
        """End the conversation once the present answer has been played."""

    async def look(self) -> None:
        """Send a fresh picture to the model."""

    def status(self) -> dict[str, Any]:
        """Return plain facts about the device."""


def device_tools(controls: DeviceControls, *, camera: bool) -> list[Callable[..., Any]]:
    """Return the functions to offer; `look` only where there is a camera."""
    tools = DeviceTools(controls)
    offered: list[Callable[..., Any]] = [tools.set_volume, tools.end_conversation, tools.device_status]
    return [*offered, tools.look] if camera else offered


class DeviceTools:
    """The functions, with what the model reads about them. Async, because the controls belong to the event loop."""

    def __init__(self, controls: DeviceControls) -> None:
        self._controls = controls

    @tool
    async def set_volume(self, volume: int) -> str:
        """Set how loud this device speaks. Use it when the person asks to speak louder or more quietly.

        Args:
            volume: Loudness from 0 (silent) to 100 (loudest); a step of 15 is clearly heard.
        """
        if not 0 <= volume <= 100:
            raise Stop("volume must be from 0 to 100")
        self._controls.set_volume(volume)
        return f"The volume is now {volume}."

    @tool
    async def end_conversation(self) -> str:
        """End this conversation. Use it when the person says goodbye or asks to stop."""
        self._controls.end_conversation()
        return "The conversation ends after this answer."

    @tool
    async def device_status(self) -> dict[str, Any]:
        """Tell how this device is: volume, mode, faults."""
        return self._controls.status()

    @tool(behaviour="blocking")
    async def look(self) -> str:
        """Look through the camera. Use it when the person asks about something they show or see."""
        await self._controls.look()
        return "The picture has been sent."


class NoDevice:
    """Stands in where no daemon runs, so that the tools can be listed."""

    def set_volume(self, volume: int) -> None:
        """Refuse."""
        raise Stop(f"Only the running daemon can set the volume to {volume}; try edge-agent ctl volume {volume}.")

    def end_conversation(self) -> None:
        """Refuse."""
        raise Stop("Only the running daemon can end a conversation; try edge-agent ctl end.")

    async def look(self) -> None:
        """Refuse."""
        raise Stop("Only the running daemon can look; try edge-agent ctl look.")

    def status(self) -> dict[str, Any]:
        """Refuse."""
        raise Stop("Only the running daemon knows its status; try edge-agent ctl status.")
