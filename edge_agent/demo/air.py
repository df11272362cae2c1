"""Where the visitor's voice and the device meet: a private sound server, or WAV files where there is none.

    air = RoomAir(out / "session.wav")          # or FileAir(folder, out / "session.wav", slots)
    with air:
        ...                                     # start the daemon with air.env, air.microphone, air.loudspeaker
        air.begin(status)                       # the daemon's devices are open
        spoken = air.speak("time")              # returns as the first sample sounds
        air.finish()                            # session.wav is complete
    air.zero                                    # time.monotonic() of its first sample

`RoomAir` is real sound through PulseAudio and PyAudio: the visitor speaks whenever asked. `FileAir` has one file that
begins with the daemon's sound thread: every utterance has its place in it, `speak` waits for it, and says so when the
conversation came too late. `session.wav` is 48 kHz stereo, left the visitor, right the loudspeaker.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.wavfile import read_wav, resample, write_wav
from edge_agent.demo.speech import RATE_HZ as SPEECH_HZ
from edge_agent.demo.speech import recording
from edge_agent.errors import Stop

RATE_HZ = 48_000

SLOTS_S: dict[str, float] = {
    "time": 2.2,
    "see": 6.8,
    "story": 11.1,
    "day": 16.4,
    "joke": 22.0,
    "who": 30.1,
    "hello": 34.0,
}
"""Where each utterance stands in `FileAir`'s microphone file, seconds: after the answer before it, with a second to
spare, and the first after a slow start."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """An utterance that has begun: `time.monotonic()` of its first and last sample."""

    start: float
    end: float


class Air(Protocol):
    """What the stage asks of either."""

    microphone: str
    loudspeaker: str
    zero: float

    @property
    def env(self) -> dict[str, str]:
        """What the daemon's environment needs."""
        ...

    def begin(self, status: Mapping[str, Any]) -> None:
        """Take note that the daemon's devices are open; `status` is its answer."""
        ...

    def approach(self, name: str, lead_s: float) -> None:
        """Wait until `lead_s` before the utterance can begin."""
        ...

    def speak(self, name: str) -> Spoken:
        """Begin an utterance; returns as its first sample sounds. Raises `Stop` when its time is over."""
        ...

    def finish(self) -> None:
        """Complete `session.wav`; the daemon has ended."""
        ...

    def __enter__(self) -> Self:
        """Open it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        ...


class RoomAir:
    """Real sound through a private sound server; `DeviceError` from `with` where none can be had."""

    def __init__(self, session: Path) -> None:
        from edge_agent.demo.soundserver import LOUDSPEAKER, MICROPHONE, SoundServer  # noqa: PLC0415  only if used

        self.microphone, self.loudspeaker = f"pyaudio:{MICROPHONE}", f"pyaudio:{LOUDSPEAKER}"
        self.zero = 0.0
        self._server = SoundServer()
        self._session = session
        self._recording: Any = None

    @property
    def env(self) -> dict[str, str]:
        """What the daemon needs to find it."""
        return self._server.env

    def begin(self, status: Mapping[str, Any]) -> None:  # noqa: ARG002  the room needs no clock of the device
        """See `Air`."""
        self.zero = self._recording.started

    def approach(self, name: str, lead_s: float) -> None:
        """Nothing to wait for: the visitor speaks when asked."""

    def speak(self, name: str) -> Spoken:
        """See `Air`."""
        playing = self._server.play((recording(name), SPEECH_HZ))
        return Spoken(playing.started, playing.started + playing.seconds)

    def finish(self) -> None:
        """See `Air`."""
        self._recording.stop()
        self.zero = self._recording.started

    def __enter__(self) -> Self:
        self._server.start()
        try:
            self._recording = self._server.record(self._session)
        except BaseException:
            self._server.close()
            raise
        self.zero = self._recording.started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recording.stop()
        self._server.close()


class FileAir:
    """WAV files instead of a room; the visitor's sentences have fixed places."""

    def __init__(self, folder: Path, session: Path, slots: Mapping[str, float] | None = None) -> None:
        self._said, self._heard = folder / "person.wav", folder / "device.wav"
        self.microphone, self.loudspeaker = f"wav:{self._said}", f"wav:{self._heard}"
        self.zero = 0.0
        self._session = session
        self._slots = dict(SLOTS_S if slots is None else slots)

    @property
    def env(self) -> dict[str, str]:
        """Files need nothing."""
        return {}

    def begin(self, status: Mapping[str, Any]) -> None:
        """See `Air`; a block is read as it ends, so the clock is right to a block."""
        self.zero = float(status["t"]) - float(status["capture_s"])

    def approach(self, name: str, lead_s: float) -> None:
        """See `Air`."""
        late = time.monotonic() - (self.zero + self._slots[name] - lead_s)
        if late > 0:
            raise Stop(
                f'The conversation came {late:.1f} s too late for "{name}", whose place in the microphone file is '
                "fixed; this machine is too busy for WAV files in place of a sound server."
            )
        time.sleep(-late)

    def speak(self, name: str) -> Spoken:
        """See `Air`."""
        start = self.zero + self._slots[name]
        if time.monotonic() < start:
            time.sleep(start - time.monotonic())
        return Spoken(start, start + len(recording(name)) / SPEECH_HZ)

    def finish(self) -> None:
        """See `Air`."""
        said, rate = read_wav(self._said)
        try:
            heard, _ = read_wav(self._heard)
        except (OSError, ValueError) as error:
            raise Stop(f"The daemon left no sound: {error}. See daemon.log.") from None
        both = np.zeros((len(heard), 2), np.float32)
        n = min(len(said), len(heard))
        both[:n, 0], both[:, 1] = said[:n, 0], heard[:, 0]
        write_wav(self._session, both, rate)

    def __enter__(self) -> Self:
        write_wav(self._said, microphone_file(self._slots), RATE_HZ)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


def microphone_file(slots: Mapping[str, float]) -> NDArray[np.float32]:
    """Return the visitor's side of a conversation, float32 (n,), 48 kHz, each utterance at its second."""
    sounds = {name: resample(recording(name), SPEECH_HZ, RATE_HZ) for name in slots}
    length = max(round(at * RATE_HZ) + len(sounds[name]) for name, at in slots.items())
    whole = np.zeros(length, np.float32)
    for name, at in slots.items():
        start = round(at * RATE_HZ)
        whole[start : start + len(sounds[name])] += sounds[name]
    return whole
