"""A device on somebody's table, to be calibrated in virtual time: the real command between the two sides of a room.

site = Site(tmp_path, echo_gain_db=-24, noise=-78)      # keys of a room's file
assert site.run("--yes") == 0
site.stored                                             # the section of the state file
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import acoustics
import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.calibrate.loopback import Loopback
from edge_agent.audio.devices import InputDevice
from edge_agent.audio.devices.room import Room
from edge_agent.audio.wavfile import write_wav
from edge_agent.calibrating import command
from edge_agent.calibrating.command import Surroundings

SPEAKS_AT_S = 18.5
"""After the beep, when the programme ran once."""
NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


class Clock:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1e-6)


class Site:
    """See the module's docstring.

    Args:
        folder: for everything.
        near: what is said, (n,) float at 48 kHz; from `SPEAKS_AT_S` on.
        audio: TOML lines of the configuration's [audio].
        worn: wraps the microphone, to make it fail.
        keys: of the room's file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        near: NDArray[np.floating] | None = None,
        audio: str = "",
        worn: Callable[[InputDevice], InputDevice] | None = None,
        **keys: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = Clock()
        self.room = folder / "room.toml"
        self.config = folder / "config.toml"
        self.socket = folder / "control.sock"
        self.picture = folder / "calibration.png"
        self.state = folder / "state"
        self._worn = worn or (lambda device: device)
        if near is not None:
            before = np.zeros(round(SPEAKS_AT_S * acoustics.RATE_HZ))
            write_wav(
                folder / "near.wav", np.concatenate([before, near]).astype(np.float32), acoustics.RATE_HZ, bits=32
            )
            keys["near"] = "near.wav"
        self.room.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
        self.config.write_text(
            f'[audio]\ninput = "room:{self.room}"\noutput = "room:{self.room}"\n{audio}\n'
            f'[control]\nsocket = "{self.socket}"\n'
        )

    def run(self, *words: str, answers: list[str] | None = None) -> int:
        """Run the command; `answers` are what the person types, None: nobody is there."""
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        paths = ["--config", str(self.config), "--state", str(self.state), "--picture", str(self.picture)]
        typed = iter(answers or [])
        around = Surroundings(
            open_input=self.open_input,
            open_output=self.open_output,
            clock=self.clock,
            now=lambda: NOW,
            ask=None if answers is None else lambda: next(typed) + "\n",
        )
        return command.run(parser.parse_args([*paths, *words]), around)

    def loopback(self, block_ms: int = 20) -> Loopback:
        """Build the loop alone."""
        return Loopback(
            input=f"room:{self.room}",
            output=f"room:{self.room}",
            block_ms=block_ms,
            open_input=self.open_input,
            open_output=self.open_output,
            clock=self.clock,
        )

    @property
    def stored(self) -> dict[str, Any]:
        """The section of the state file; empty when nothing was stored."""
        path = self.state / "state.json"
        if not path.exists():
            return {}
        section: dict[str, Any] = json.loads(path.read_text()).get("calibration", {})
        return section

    def open_input(self, device: str, *, block_frames: int, epoch: float) -> InputDevice:  # noqa: ARG002  the interface
        return self._worn(self._room(device, epoch).microphone())

    def open_output(self, device: str, *, block_frames: int, epoch: float) -> Any:  # noqa: ARG002  the interface
        return self._room(device, epoch).loudspeaker()

    def _room(self, device: str, epoch: float) -> Room:
        path = Path(device.partition(":")[2])
        return Room.shared(path, epoch=epoch, clock=self.clock, sleep=self.clock.sleep)


def spoken(dbfs: float) -> NDArray[np.floating]:
    """Return the sentence people are asked to say, at that active level."""
    return acoustics.speech(command.SENTENCE, dbfs=dbfs)
