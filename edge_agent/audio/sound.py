"""The sound thread: two devices around the pure engine.

    sound = Sound(input="pyaudio:edge_mic", output="pyaudio:edge_speaker", block_ms=20, engine=engine,
                  on_events=..., on_wake=..., on_failure=..., on_recovery=...)
    sound.start()
    ...
    if not sound.stop(timeout=2.0):
        os._exit(1)        # a library call hangs; nothing in this process can end it

One thread opens both devices, reads, steps the engine, writes and closes them. The microphone paces: one pass per
block, and nothing else wakes the thread. The loudspeaker's ring is kept filled by an `OutputPacer`.

A device that cannot be opened or dies is reported once by `on_failure`, replaced by silence at real time, so that the
other direction goes on, and tried again every 5 s; `on_recovery` tells when it is back. Opening takes the thread's
time: the other device may lose a block meanwhile, which is counted. An error that is no device's ends the thread after
`on_failure`; then the heartbeats grow old. All callbacks run in the sound thread and must only hand over.

Nothing here can end a library call that never returns. The heartbeats `input_age_s` and `output_age_s` show it, and
`stop` says so.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.filters import UP_RATE
from edge_agent.audio.pacer import RATE_HZ, OutputPacer
from edge_agent.errors import AgentError, DeviceError, Fault, StreamEnded

if TYPE_CHECKING:
    from edge_agent.audio.devices import InputDevice, OutputDevice
    from edge_agent.audio.engine import Duplex, EngineEvent

RETRY_S = 5.0
"""Between two tries to open a device that is missing."""


class OpenInput(Protocol):
    """How a microphone is opened; see `edge_agent.audio.devices.open_input`."""

    def __call__(self, device: str, *, block_frames: int, epoch: float) -> InputDevice:
        """Open `device`; `epoch` is the clock at which the sound thread started."""
        ...


class OpenOutput(Protocol):
    """How a loudspeaker is opened; see `edge_agent.audio.devices.open_output`."""

    def __call__(self, device: str, *, block_frames: int, epoch: float) -> OutputDevice:
        """Open `device`; `epoch` is the clock at which the sound thread started."""
        ...


class Sound:
    """See the module's docstring.

    Args:
        input: device string of the microphone.
        output: device string of the loudspeaker.
        block_ms: length of a block.
        engine: what every block goes through.
        on_events: gets the engine's events of a block, if there are any.
        on_wake: called when the loop asked to hear of new microphone sound and there is some.
        on_failure: gets what went wrong; the fault says with which device, None if it is no device's.
        on_recovery: gets the fault that is over.
        open_input: opens the microphone; None: `edge_agent.audio.devices.open_input`.
        open_output: opens the loudspeaker; None: `edge_agent.audio.devices.open_output`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        input: str,  # noqa: A002  the setting's name
        output: str,
        block_ms: int,
        engine: Duplex,
        on_events: Callable[[list[EngineEvent]], None],
        on_wake: Callable[[], None],
        on_failure: Callable[[BaseException], None],
        on_recovery: Callable[[Fault], None] | None = None,
        open_input: OpenInput | None = None,
        open_output: OpenOutput | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._frames = block_ms * RATE_HZ // 1_000
        self._on_events, self._on_wake, self._on_failure = on_events, on_wake, on_failure
        self._on_recovery = on_recovery or (lambda _: None)
        self._names = (input, output)
        self._open_input, self._open_output = open_input, open_output
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sound", daemon=True)
        self._started = self._last_read = self._last_write = clock()
        self._pacer = OutputPacer(block_frames=self._frames, ring_ms=0.0)
        self._ring_ms = 0.0
        self._captured = 0
        self._committed = 0
        self._padded = 0
        self._mark = (engine.captured, self._started)  # capture samples in the ring, and when the last was heard
        self._counts = {"input_xruns": 0, "output_xruns": 0, "late": 0}

    def start(self) -> None:
        """Start the thread; devices are opened in it, so this returns at once."""
        self._started = self._last_read = self._last_write = self._clock()
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> bool:
        """End the thread, which closes the devices; False when it hangs in a library call after `timeout` seconds."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def input_age_s(self, now: float) -> float:
        """Seconds since a block was last read."""
        return now - self._last_read

    def output_age_s(self, now: float) -> float:
        """Seconds since sound was last taken by the loudspeaker."""
        return now - self._last_write

    @property
    def audio_s(self) -> float:
        """The playback clock: seconds committed to the loudspeaker, the block inside the present write included.

        Silence that the device itself put in for time nobody wrote (`padded`, where it tells) counts too.
        """
        return (self._committed + self._padded) / RATE_HZ

    @property
    def capture_s(self) -> float:
        """Seconds read from the microphone."""
        return self._captured / RATE_HZ

    @property
    def output_ring_ms(self) -> float:
        """Size of the loudspeaker's ring, milliseconds; what is kept in it is `counters["output_fill_ms"]`."""
        return self._ring_ms

    def sample_at(self, now: float) -> int:
        """The capture sample (16 kHz) being heard at `now`: what has been read, and what must have come since."""
        captured, read_at = self._mark
        since = min(max(0.0, now - read_at), 2 * self._frames / RATE_HZ)
        return captured + round(since * UP_RATE)

    def captured_at(self, sample: int) -> float:
        """When capture sample `sample` was heard, monotonic seconds; the device's own delay is not known."""
        captured, read_at = self._mark
        return read_at - (captured - sample) / UP_RATE

    @property
    def xruns(self) -> int:
        """Times sound was lost in either direction."""
        return self._counts["input_xruns"] + self._counts["output_xruns"]

    @property
    def late(self) -> int:
        """Blocks that came more than one block late."""
        return self._counts["late"]

    @property
    def counters(self) -> dict[str, float]:
        """Figures since the start, for the metrics."""
        return self._counts | {
            "output_fill_ms": self._pacer.fill * 1_000 / RATE_HZ,
            "output_target_ms": self._pacer.target * 1_000 / RATE_HZ,
            "drift_ppm": self._pacer.drift_ppm,
            "drift_frames": self._pacer.drift_frames,
        }

    def _run(self) -> None:
        microphone: _Side[InputDevice] | None = None
        loudspeaker: _Side[OutputDevice] | None = None
        try:
            microphone, loudspeaker = self._sides()
            self._loop(microphone, loudspeaker)
        except BaseException as error:  # noqa: BLE001  a thread's error is seen by nobody else
            self._on_failure(error)
        finally:
            for side in (microphone, loudspeaker):
                if side is not None:
                    side.close()

    def _sides(self) -> tuple[_Side[InputDevice], _Side[OutputDevice]]:
        from edge_agent.audio import devices  # noqa: PLC0415  a caller may bring its own
        from edge_agent.audio.devices.quiet import ClockedInput, ClockedOutput  # noqa: PLC0415

        epoch = self._started
        open_input, open_output = self._open_input or devices.open_input, self._open_output or devices.open_output
        microphone: _Side[InputDevice] = _Side(
            "microphone",
            self._names[0],
            Fault.MICROPHONE,
            opener=lambda: open_input(self._names[0], block_frames=self._frames, epoch=epoch),
            stand_in=lambda: ClockedInput("no microphone", epoch=self._clock(), clock=self._clock),
            on_failure=self._on_failure,
            on_recovery=self._on_recovery,
        )
        loudspeaker: _Side[OutputDevice] = _Side(
            "loudspeaker",
            self._names[1],
            Fault.LOUDSPEAKER,
            opener=lambda: open_output(self._names[1], block_frames=self._frames, epoch=epoch),
            stand_in=lambda: ClockedOutput("no loudspeaker", epoch=self._clock(), clock=self._clock),
            on_failure=self._on_failure,
            on_recovery=self._on_recovery,
        )
        return microphone, loudspeaker

    def _loop(self, microphone: _Side[InputDevice], loudspeaker: _Side[OutputDevice]) -> None:
        block = np.zeros((self._frames, 2), np.int32)
        while not self._stopping.is_set():
            if loudspeaker.renew(self._clock()):
                self._ring_ms = loudspeaker.device.ring_ms
                self._pacer = OutputPacer(block_frames=self._frames, ring_ms=self._ring_ms)
                self._engine.sound_lost()
            if microphone.renew(self._clock()):
                self._engine.set_input_ring_ms(microphone.device.ring_ms)
                self._engine.sound_lost()
            now = self._read(microphone, block)
            if now is None:
                continue
            self._play(loudspeaker, block, now)

    def _read(self, microphone: _Side[InputDevice], block: NDArray[np.int32]) -> float | None:
        """Read a block; returns when it was complete, None if the microphone died instead."""
        try:
            xruns = microphone.device.read(block)
        except Exception as error:  # noqa: BLE001  whatever a device's library raises, the device is what failed
            microphone.lost(error, self._clock())
            return None
        now = self._clock()
        if self._captured and now - self._last_read > 2 * self._frames / RATE_HZ:
            self._counts["late"] += 1
        self._last_read = now
        self._captured += len(block)
        if xruns:
            self._counts["input_xruns"] += xruns
            self._pacer.xrun(output=False)
            self._engine.sound_lost()
        return now

    def _play(self, loudspeaker: _Side[OutputDevice], block: NDArray[np.int32], now: float) -> None:
        """Step the engine and write what the loudspeaker has room for."""
        frames, underruns = 0, 0
        failure: Exception | None = None
        try:
            frames = self._pacer.frames(len(block), loudspeaker.device.writable())
        except Exception as error:  # noqa: BLE001  as above
            failure = error
        step = self._engine.step(block, now, frames, queued=self._pacer.fill - frames)
        self._mark = (self._engine.captured, now)
        if frames:
            self._committed += frames
            try:
                underruns = loudspeaker.device.write(step.speaker)
            except Exception as error:  # noqa: BLE001  as above
                failure = error
            else:
                self._last_write = self._clock()
                self._padded = getattr(loudspeaker.device, "padded", 0)
        if underruns:
            self._counts["output_xruns"] += underruns
            self._pacer.xrun(output=True)
            self._engine.sound_lost()
        if step.events:
            self._on_events(step.events)
        if step.wake:
            self._on_wake()
        if failure is not None:
            loudspeaker.lost(failure, self._clock())


class _Closable(Protocol):
    def close(self) -> None: ...


_Device = TypeVar("_Device", bound=_Closable)


class _Side(Generic[_Device]):
    """One direction: the device, or silence in its place while it is missing."""

    def __init__(
        self,
        noun: str,
        name: str,
        fault: Fault,
        *,
        opener: Callable[[], _Device],
        stand_in: Callable[[], _Device],
        on_failure: Callable[[BaseException], None],
        on_recovery: Callable[[Fault], None],
    ) -> None:
        self._what = f"The {noun} {name}"
        self._fault = fault
        self._opener, self._stand_in = opener, stand_in
        self._on_failure, self._on_recovery = on_failure, on_recovery
        self._device: _Device | None = None
        self._real = False
        self._next_try = -math.inf
        self._said = ""
        self.failures = 0
        """Times the device died or could not be opened, so far."""

    @property
    def device(self) -> _Device:
        """What to read or write; there is one after `renew`."""
        if self._device is None:
            msg = "renew() comes before device"
            raise RuntimeError(msg)
        return self._device

    def renew(self, now: float) -> bool:
        """Open the device if it is missing and it is time to try; True if `device` is another one now."""
        if self._real:
            return False
        if now >= self._next_try:
            self._next_try = now + RETRY_S
            try:
                device = self._opener()
            except AgentError as error:
                self._tell(error)
            except Exception as error:  # noqa: BLE001  whatever a device's library raises, the device is what failed
                self._tell(DeviceError(f"{self._what} cannot be opened: {_named(error)}"))
            else:
                self._device, self._real = device, True
                if self._said:
                    self._said = ""
                    self._on_recovery(self._fault)
                return True
        if self._device is not None:
            return False
        self._device = self._stand_in()
        return True

    def lost(self, error: Exception, now: float) -> None:
        """Report that the device died, and put it away."""
        self._next_try = now + RETRY_S
        self._tell(error if isinstance(error, AgentError) else StreamEnded(f"{self._what} failed: {_named(error)}"))
        self.close()

    def close(self) -> None:
        """Close the device, if there is one."""
        device, self._device, self._real = self._device, None, False
        if device is None:
            return
        try:
            device.close()
        except Exception as error:  # noqa: BLE001  as above
            self._tell(StreamEnded(f"{self._what} did not close: {_named(error)}"))

    def _tell(self, error: AgentError) -> None:
        """Report an error, but the same sentence only once until the device is back."""
        self.failures += 1
        if error.fault is None:
            error.fault = self._fault
        if str(error) != self._said:
            self._said = str(error)
            self._on_failure(error)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
