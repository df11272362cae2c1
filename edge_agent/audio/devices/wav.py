"""`wav:PATH`: WAV files as microphone and loudspeaker, at real time.

    wav:/tmp/question.wav          input: plays once, then gives silence
    wav:/tmp/question.wav?loop     input: starts again at its end
    wav:/tmp/answer.wav            output: 48 kHz stereo PCM of 16 bits
    wav:/tmp/answer.wav?bits=32    output: of 32 bits

Both follow the clock and share one epoch, the moment the sound thread started: sample n of either file belongs to the
time epoch + n / 48 000. The ring of 200 ms and what happens to a late thread are told in `quiet`.

Input takes mono or stereo of any rate, PCM of 8 to 32 bits or float, converted when opened. It is kept in memory:
192 kB per second and channel.

Output is what a listener would have heard, silence included: time in which nothing was written is silence in the file.
The header is brought up to date once a second and at the end, and is on the disk before the first sample, so that
a killed process or a power cut leaves a playable file. Past 4 GiB (6 hours at 16 bits) the header says "up to the end
of the file". A full disk ends the stream.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.devices import CHANNELS, RATE_HZ
from edge_agent.audio.devices.quiet import ClockedInput, ClockedOutput
from edge_agent.audio.wavfile import encode, header, read_wav, resample, to_s32
from edge_agent.errors import DeviceError, Fault, StreamEnded

_HEADER_EVERY_FRAMES = RATE_HZ  # one second
_SILENCE = np.zeros((RATE_HZ, CHANNELS), dtype=np.int32)


class WavInput(ClockedInput):
    """A WAV file as microphone."""

    def __init__(
        self,
        path: Path,
        *,
        epoch: float,
        loop: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Read and convert the file.

        Raises:
            DeviceError: missing, unreadable, not a plain file, not a WAV file, or of more than two channels.
        """
        if path.exists() and not path.is_file():
            raise DeviceError(f"{path} is not a plain file; {_INPUT_USAGE}", fault=Fault.MICROPHONE)
        try:
            samples, rate = read_wav(path)
        except ValueError as error:
            raise DeviceError(str(error), fault=Fault.MICROPHONE) from None
        except FileNotFoundError:
            raise DeviceError(f"{path} does not exist; {_INPUT_USAGE}", fault=Fault.MICROPHONE) from None
        except OSError as error:
            raise DeviceError(
                f"{path} cannot be read: {error.strerror}; {_INPUT_USAGE}", fault=Fault.MICROPHONE
            ) from None
        if samples.shape[1] > CHANNELS:
            raise DeviceError(f"{path} has {samples.shape[1]} channels; allowed are 1 and 2", fault=Fault.MICROPHONE)
        self._sound = to_s32(resample(samples, rate, RATE_HZ))
        self._loop = loop and len(self._sound) > 0
        super().__init__(f"wav:{path}", epoch=epoch, clock=clock, sleep=sleep)

    def _fill(self, into: NDArray[np.int32], position: int) -> None:
        if self._loop:
            position %= len(self._sound)
        filled = 0
        while filled < len(into):
            part = self._sound[position : position + len(into) - filled]
            into[filled : filled + len(part)] = part  # one channel fills both
            filled += len(part)
            if not self._loop:
                into[filled:] = 0
                return
            position = 0


class WavOutput(ClockedOutput):
    """A WAV file as loudspeaker."""

    def __init__(
        self, path: Path, *, epoch: float, bits: int = 16, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Create the file, or empty it.

        Raises:
            DeviceError: the file cannot be written.
        """
        super().__init__(f"wav:{path}", epoch=epoch, clock=clock)
        self._bits = bits
        self._stored = self._headed = 0
        if path.exists() and not path.is_file():
            raise DeviceError(f"{path} is not a plain file; {_OUTPUT_USAGE}", fault=Fault.LOUDSPEAKER)
        try:
            self._file = path.open("wb", buffering=0)
            self._append(header(0, rate=RATE_HZ, channels=CHANNELS, bits=bits))
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DeviceError(
                f"{path} cannot be written: {error.strerror}; {_OUTPUT_USAGE}", fault=Fault.LOUDSPEAKER
            ) from None

    def close(self) -> None:
        """Fill up with silence to the present, finish the header and close."""
        if self._file.closed:
            return
        try:
            missed = self._caught_up() - self.position
            if missed > 0:
                self._pad(missed)
            self._write_header()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._ended(error) from None
        finally:
            self._file.close()

    def _store(self, block: NDArray[np.int32]) -> None:
        try:
            self._append(encode(block, self._bits))
            self._stored += len(block)
            if self._stored - self._headed >= _HEADER_EVERY_FRAMES:
                self._write_header()
        except OSError as error:
            raise self._ended(error) from None

    def _store_silence(self, frames: int) -> None:
        for start in range(0, frames, len(_SILENCE)):
            self._store(_SILENCE[: frames - start])

    def _append(self, data: bytes) -> None:
        if self._file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _write_header(self) -> None:
        self._headed = self._stored
        os.pwrite(self._file.fileno(), header(self._stored, rate=RATE_HZ, channels=CHANNELS, bits=self._bits), 0)

    def _ended(self, error: OSError) -> StreamEnded:
        return StreamEnded(
            f"{self.name} cannot be written on: {error.strerror}; make room or choose another file",
            fault=Fault.LOUDSPEAKER,
        )


_INPUT_USAGE = "write wav:PATH or wav:PATH?loop with the path of a WAV file"
_OUTPUT_USAGE = "write wav:PATH, wav:PATH?bits=16 or wav:PATH?bits=32 with a path in a folder that can be written"


def open_input(rest: str, *, block_frames: int, epoch: float) -> WavInput:  # noqa: ARG001  the devices' interface
    """Open `wav:PATH` or `wav:PATH?loop` as microphone; see `WavInput`."""
    path, mark, option = rest.rpartition("?") if "?" in rest else (rest, "", "")
    if not path or (mark and option != "loop"):
        raise DeviceError(f'"wav:{rest}" is not a microphone; {_INPUT_USAGE}', fault=Fault.MICROPHONE)
    return WavInput(Path(path), epoch=epoch, loop=option == "loop")


def open_output(rest: str, *, block_frames: int, epoch: float) -> WavOutput:  # noqa: ARG001  the devices' interface
    """Open `wav:PATH`, with `?bits=16` or `?bits=32`, as loudspeaker; see `WavOutput`."""
    path, mark, option = rest.rpartition("?") if "?" in rest else (rest, "", "")
    if not path or (mark and option not in {"bits=16", "bits=32"}):
        raise DeviceError(f'"wav:{rest}" is not a loudspeaker; {_OUTPUT_USAGE}', fault=Fault.LOUDSPEAKER)
    return WavOutput(Path(path), epoch=epoch, bits=32 if option == "bits=32" else 16)
