"""The device's own tools: what the model may do to the device it speaks from.

    found = find_tools(functions=device_tools(controls, camera=True, mute=mute, timers=timers), ...)

The functions know the device only as `DeviceControls` and `TimerControls`, which the daemon implements. The model may
mute the microphone but there is no tool that unmutes: mute cannot be undone by voice or by the model. Muting and timers
outlive a conversation, so a device that strangers talk to, one after the other, should not offer them: leave them out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from edge_agent.errors import Stop
from edge_agent.tools.declare import tool


class DeviceControls(Protocol):
    """What the daemon lets tools do; called on the event loop. Each may raise AgentError with a sentence."""

    def set_volume(self, volume: int) -> str | None:
        """Set the perceptual loudness, 0 to 100; return a sentence where it has become another."""

    def end_conversation(self) -> None:
        """End the conversation once the present answer has been played."""

    async def look(self) -> None:
        """Send a fresh picture to the model."""

    def status(self) -> dict[str, Any]:
        """Return plain facts about the device."""


class TimerControls(Protocol):
    """What the daemon lets tools do with timers and alarms; called on the event loop. Each may raise Stop."""

    def set_timer(self, duration_s: int, name: str) -> dict[str, Any]:
        """Set a timer; return its facts."""

    def set_alarm(self, time: str, name: str) -> dict[str, Any]:
        """Set an alarm; return its facts."""

    def cancel_timer(self, name: str) -> dict[str, Any]:
        """Take back a timer or alarm, or stop it if it rings; return which."""

    def list_timers(self) -> dict[str, Any]:
        """Return what is set, and what was missed."""


def device_tools(
    controls: DeviceControls,
    *,
    camera: bool,
    mute: Callable[[], None] | None = None,
    unmuting: str = "pressing its button",
    timers: TimerControls | None = None,
) -> list[Callable[..., Any]]:
    """Return the functions to offer.

    Args:
        controls: The device.
        camera: Offer `look`.
        mute: Mutes the microphone as a person would; None: the model may not. Where nobody at the device could undo it,
            it must not be given.
        unmuting: How a person at the device undoes that, to end the words "only somebody at the device can, by".
        timers: The timers and alarms; None: none are offered.
    """
    tools = DeviceTools(controls)
    offered: list[Callable[..., Any]] = [tools.set_volume, tools.end_conversation, tools.device_status]
    if camera:
        offered.append(tools.look)
    if mute is not None:
        offered.append(MuteTool(mute, unmuting).mute_microphone)
    if timers is not None:
        clock = TimerTools(timers)
        offered += [clock.set_timer, clock.set_alarm, clock.list_timers, clock.cancel_timer]
    return offered


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
        return self._controls.set_volume(volume) or f"The volume is now {volume}."

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


class MuteTool:
    """The one thing about the mute that the model may do."""

    def __init__(self, mute: Callable[[], None], unmuting: str) -> None:
        self._mute = mute
        self._unmuting = unmuting

    @tool
    async def mute_microphone(self) -> str:
        """Mute this device's microphone. Use it only when the person asks you to stop listening.

        It cannot be undone by voice or by you; you will be told how a person undoes it, so tell them.
        """
        self._mute()
        return (
            "The microphone is mute now and stays so, over restarts too. You cannot undo it and nobody can by voice: "
            f"only somebody at the device can, by {self._unmuting}. Tell them so."
        )


class TimerTools:
    """Timers and alarms, with what the model reads about them."""

    def __init__(self, timers: TimerControls) -> None:
        self._timers = timers

    @tool
    async def set_timer(self, duration_s: int, name: str = "") -> dict[str, Any]:
        """Set a timer on this device. It rings when the time is up, also offline, until somebody stops it.

        Args:
            duration_s: Length in seconds, from 1 to 604800; ten minutes are 600.
            name: What it is for, in the person's words, such as pasta; leave it out if they did not say.
        """
        return self._timers.set_timer(duration_s, name)

    @tool
    async def set_alarm(self, time: str, name: str = "") -> dict[str, Any]:
        """Set an alarm on this device for a time of day. It rings once, also offline, until somebody stops it.

        Args:
            time: Local time as HH:MM with 24 hours (the next one), or date and time such as 2027-03-01T07:30.
            name: What it is for, in the person's words; leave it out if they did not say.
        """
        return self._timers.set_alarm(time, name)

    @tool
    async def list_timers(self) -> dict[str, Any]:
        """Tell which timers and alarms are set, when each rings, and which were missed in the last day."""
        return self._timers.list_timers()

    @tool
    async def cancel_timer(self, name: str) -> dict[str, Any]:
        """Cancel a timer or an alarm, or stop it while it rings.

        Args:
            name: Its name as `list_timers` tells it; nameless ones are called 1, 2 and so on.
        """
        return self._timers.cancel_timer(name)


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

    def mute(self) -> None:
        """Refuse."""
        raise Stop("Only the running daemon can mute the microphone; try edge-agent ctl mute.")

    def set_timer(self, duration_s: int, name: str) -> dict[str, Any]:
        """Refuse."""
        raise Stop(f"Only the running daemon can keep a timer of {duration_s} s{_named(name)}.")

    def set_alarm(self, time: str, name: str) -> dict[str, Any]:
        """Refuse."""
        raise Stop(f"Only the running daemon can keep an alarm for {time}{_named(name)}.")

    def cancel_timer(self, name: str) -> dict[str, Any]:
        """Refuse."""
        raise Stop(f"Only the running daemon can cancel a timer; try edge-agent ctl cancel {name}.")

    def list_timers(self) -> dict[str, Any]:
        """Refuse."""
        raise Stop("Only the running daemon knows its timers; try edge-agent ctl timers.")


def _named(name: str) -> str:
    return f" named {name}" if name else ""
