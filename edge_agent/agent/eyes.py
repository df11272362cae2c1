"""The stills that belong to a turn: when they are taken, which of them goes to the gate, and which is kept until asked.

    eyes = Eyes(config.camera, photographer, uplink, ...)
    eyes.open(turn)              # a turn opened: take its still, or one a second (`camera.when`)
    await eyes.look()            # the model, or ctl, asks for a picture
    eyes.wipe()                  # the visitor has left

A picture is only ever taken while a turn is open and nobody muted the device. With `when = "ask"` it stays here until
the model calls `look`, so that it shows what the person meant while speaking. Where data or money are to be spared,
every setting of `when` behaves as `ask`: a still goes up only for a turn that needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol

from edge_agent.config import Camera
from edge_agent.errors import DeviceError, Stop
from edge_agent.live.uplink import Picture, Uplink
from edge_agent.vision.photographer import Photographer

STREAM_S = 1.0  # the service looks at one image a second at most


class Turns(Protocol):
    """What of the conversation decides about pictures."""

    muted: bool
    turns: int

    @property
    def turn_open(self) -> bool:
        """True while a person talks."""


class Eyes:
    """Takes the stills of turns.

    Args:
        settings: the configuration's table [camera].
        photographer: takes one still.
        uplink: the gate they pass.
        turns: the conversation.
        sample_of: the capture sample heard at a moment of the monotonic clock.
        on_offered: a picture waits at the gate.
        on_fault: the camera failed (the error) or works (None).
        frugal: True while data or money are to be spared.
    """

    def __init__(
        self,
        settings: Camera,
        photographer: Photographer,
        uplink: Uplink,
        turns: Turns,
        *,
        sample_of: Callable[[float], int],
        on_offered: Callable[[], None],
        on_fault: Callable[[DeviceError | None], None],
        frugal: Callable[[], bool] = lambda: False,
    ) -> None:
        self._when = settings.when
        self._frugal = frugal
        self._present = settings.source != "off"
        self._photographer = photographer
        self._uplink = uplink
        self._turns = turns
        self._sample_of = sample_of
        self._on_offered = on_offered
        self._on_fault = on_fault
        self._kept: Picture | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def when(self) -> Literal["turn", "stream", "ask"]:
        """When stills go up, as things stand."""
        return "ask" if self._frugal() else self._when

    def prepare(self) -> None:
        """Begin to open the camera, so that the first still comes soon."""
        if self._present:
            self._photographer.prepare()

    def open(self, turn: int) -> None:
        """Take the still or the stills of the turn that has just been opened."""
        if self._present:
            self._stop()
            self._task = asyncio.get_running_loop().create_task(self._follow(turn))

    async def look(self) -> None:
        """Put a picture before the gate: a fresh one while a turn is open, else the one kept from the last turn.

        Raises:
            Stop: there is no camera, the device is muted, or no picture was taken in this turn.
        """
        if not self._present:
            raise Stop("There is no camera; set camera.source.")
        if self._turns.muted:
            raise Stop("The device is muted; its camera is blind too.")
        picture = await self._take() if self._turns.turn_open else self._kept
        if picture is None or not self._uplink.offer(picture):
            raise Stop("There is no picture of this turn; pictures are only taken while a person is talking.")
        self._on_offered()

    def wipe(self) -> None:
        """Forget every picture."""
        self._stop()
        self._kept = None
        self._photographer.wipe()

    async def close(self) -> None:
        """Stop, and close the camera."""
        self._stop()
        await self._photographer.close()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _follow(self, turn: int) -> None:
        while self._turns.turn_open and self._turns.turns == turn and not self._turns.muted:
            picture = await self._take()
            if picture is None:
                return
            when = self.when
            if when == "ask":
                self._kept = picture
                return
            if self._uplink.offer(picture):
                self._on_offered()
            if when == "turn":
                return
            await asyncio.sleep(STREAM_S)

    async def _take(self) -> Picture | None:
        try:
            still = await self._photographer.take()
        except DeviceError as error:
            self._on_fault(error)
            return None
        if still is None:
            return None
        self._on_fault(None)
        return Picture(self._sample_of(still.taken_at), still.jpeg)
