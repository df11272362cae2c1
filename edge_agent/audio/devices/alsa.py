"""`alsa:PCM`: microphone and loudspeaker through `arecord` and `aplay`, raw sound over pipes.

PCM is a name of the ALSA configuration (`edge_mic`, `default`, `plughw:CARD=Device`); `arecord -L` lists them. Needs no
PortAudio: where PortAudio cannot see a card or crashes on one, this way still works, an unplugged card ends a child
process and not the daemon, and overruns are counted by the programs themselves. It costs latency: besides the pipe, the
programs keep one period and ALSA's buffer.

| | period | ALSA's buffer | pipe (what `ring_ms` tells of the loudspeaker) |
|---|---|---|---|
| input | 1 block | 4 blocks | 2 blocks or a little more |
| output | 1/2 block | 2 blocks | 4 blocks or a little less |

The device is opened at 48 kHz as 32 bit stereo; where that is refused, as 16 bit stereo, then 16 bit mono, converted
here. A rate that is only near 48 kHz counts as refused. When a program ends by itself, or for a second the microphone
gives nothing or the loudspeaker takes nothing, the stream has ended, and `StreamEnded` carries the program's last
words. The programs end when this process does, because their pipes close.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import math
import os
import re
import select
import shutil
import subprocess
import termios
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.devices import CHANNELS, RATE_HZ
from edge_agent.audio.devices.holders import busy_sentence
from edge_agent.errors import DeviceError, Fault, StreamEnded

Direction = Literal["input", "output"]

_PROGRAM = {"input": "arecord", "output": "aplay"}
_NOUN = {"input": "microphone", "output": "loudspeaker"}
_FAULT = {"input": Fault.MICROPHONE, "output": Fault.LOUDSPEAKER}
_FORMATS = (("S32_LE", 4, 2), ("S16_LE", 2, 2), ("S16_LE", 2, 1))
_OPEN_S = 3.0  # a USB card takes up to 2 s to wake
_SILENT_S = 1.0  # without sound for this long a microphone is dead
_STUCK_S = 1.0  # a loudspeaker that takes no sound for this long, likewise
_CLOSE_S = 0.5  # for a program to end when asked, and again when killed
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_XRUN = re.compile(rb"(?:over|under)run!!!")


class AlsaInput:
    """A microphone of ALSA; see the module."""

    def __init__(self, pcm: str, *, block_frames: int) -> None:
        """Start `arecord` and wait for its first sound; raises `DeviceError`."""
        self.name = f"alsa:{pcm}"
        self._program = _start("input", pcm, block_frames)
        frame_bytes = self._program.width * self._program.channels
        self.ring_ms = 1000 * (5 * block_frames + self._program.pipe_bytes // frame_bytes) / RATE_HZ
        self._raw = bytearray(block_frames * frame_bytes)

    def read(self, into: NDArray[np.int32]) -> int:
        """Read one block; see `InputDevice.read`."""
        program = self._program
        size = len(into) * program.width * program.channels
        if size != len(self._raw):
            self._raw = bytearray(size)
        view, got = memoryview(self._raw), 0
        while got < size:
            if not program.wait(_SILENT_S):
                raise program.ended(f"it gave no sound for {_SILENT_S:g} s")
            count = os.readv(program.fd, [view[got:]])
            if not count:
                raise program.ended("")
            got += count
        sound = np.frombuffer(self._raw, np.int16 if program.width == 2 else np.int32)
        into[:] = sound.reshape(len(into), program.channels)  # one channel fills both
        if program.width == 2:
            np.left_shift(into, 16, out=into)
        return program.xruns()

    def close(self) -> None:
        """End `arecord`; see `InputDevice.close`."""
        self._program.close()


class AlsaOutput:
    """A loudspeaker of ALSA; see the module."""

    def __init__(self, pcm: str, *, block_frames: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start `aplay` and wait until it plays; raises `DeviceError`."""
        self.name = f"alsa:{pcm}"
        self._program = _start("output", pcm, block_frames)
        self._frame_bytes = self._program.width * self._program.channels
        # The last page of a pipe may be held by a rest of a few bytes.
        self._ring_bytes = self._program.pipe_bytes - _PAGE_BYTES
        self.ring_ms = 1000 * self._ring_bytes / self._frame_bytes / RATE_HZ
        self._pending = b""
        self._clock = clock
        self._full_since: float | None = None

    def writable(self) -> int:
        """Return the free frames of the pipe; see `OutputDevice.writable`."""
        self._push()
        if self._program.process.poll() is not None:
            raise self._program.ended("")
        free = (self._ring_bytes - self._program.queued() - len(self._pending)) // self._frame_bytes
        if free > 0:
            self._full_since = None
        else:
            now = self._clock()
            self._full_since = now if self._full_since is None else self._full_since
            if now - self._full_since > _STUCK_S:
                raise self._program.ended(f"it took no sound for {_STUCK_S:g} s")
        return max(0, free)

    def write(self, block: NDArray[np.int32]) -> int:
        """Write the block; see `OutputDevice.write`."""
        if self._program.width == 2:
            self._pending += (block[:, : self._program.channels] >> 16).astype(np.int16).tobytes()
        else:
            self._pending += block.tobytes()
        self._push()
        return self._program.xruns()

    def close(self) -> None:
        """End `aplay`, not waiting for sound still in its buffers; see `OutputDevice.close`."""
        self._program.close()

    def _push(self) -> None:
        while self._pending:
            try:
                self._pending = self._pending[os.write(self._program.fd, self._pending) :]
            except BlockingIOError:
                return
            except OSError:
                raise self._program.ended("") from None


def open_input(rest: str, *, block_frames: int, epoch: float) -> AlsaInput:  # noqa: ARG001  the devices' interface
    """Open `alsa:PCM` as microphone; see the module."""
    return AlsaInput(rest or "default", block_frames=block_frames)


def open_output(rest: str, *, block_frames: int, epoch: float) -> AlsaOutput:  # noqa: ARG001  the devices' interface
    """Open `alsa:PCM` as loudspeaker; see the module."""
    return AlsaOutput(rest or "default", block_frames=block_frames)


def names() -> tuple[list[str], list[str]]:
    """Return the device strings of ALSA's inputs and outputs.

    Raises:
        DeviceError: alsa-utils is not installed.
    """
    return [f"alsa:{pcm}" for pcm in _pcms("input")], [f"alsa:{pcm}" for pcm in _pcms("output")]


class _Program:
    """One running `arecord` or `aplay` with its pipe and what it says."""

    def __init__(self, direction: Direction, pcm: str, block_frames: int, form: tuple[str, int, int]) -> None:
        name, self.width, self.channels = form
        self.direction = direction
        self.pcm = pcm
        period, buffer, pipe = {
            "input": (block_frames, 4 * block_frames, 2 * block_frames),
            "output": (block_frames // 2, 2 * block_frames, 4 * block_frames),
        }[direction]
        self._period = period
        command = [
            _PROGRAM[direction],
            "-D",
            pcm,
            "-t",
            "raw",
            "-f",
            name,
            "-r",
            str(RATE_HZ),
            "-c",
            str(self.channels),
        ]
        command += [f"--period-size={period}", f"--buffer-size={buffer}"]
        if direction == "output":
            command.append(f"--start-delay={1_000_000 * block_frames // RATE_HZ}")  # microseconds
        wanted = pipe * self.width * self.channels
        pages = 1 << math.ceil(math.log2(max(1, wanted / _PAGE_BYTES)))
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if direction == "output" else subprocess.DEVNULL,
                stdout=subprocess.PIPE if direction == "input" else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                pipesize=pages * _PAGE_BYTES,
                env={**os.environ, "LC_ALL": "C"},
            )
        except OSError as error:
            raise DeviceError(
                f"{command[0]} cannot be started: {error}; use pyaudio:NAME", fault=_FAULT[direction]
            ) from error
        file = self.process.stdout if direction == "input" else self.process.stdin
        assert file is not None  # noqa: S101  for the type checker
        assert self.process.stderr is not None  # noqa: S101  for the type checker
        self.fd = file.fileno()
        self._errors = self.process.stderr.fileno()
        os.set_blocking(self._errors, False)
        os.set_blocking(self.fd, direction == "input")
        self.pipe_bytes = fcntl.fcntl(self.fd, fcntl.F_GETPIPE_SZ)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)
        self._words: deque[str] = deque(maxlen=20)
        self._xruns = 0

    def wait(self, seconds: float) -> bool:
        """Wait for sound or the end of the pipe."""
        return bool(self._poll.poll(1000 * seconds))

    def queued(self) -> int:
        """Return the bytes in the pipe."""
        count = array.array("i", [0])
        fcntl.ioctl(self.fd, termios.FIONREAD, count)
        return count[0]

    def xruns(self) -> int:
        """Return the over- or underruns reported since the last call."""
        self._listen()
        count, self._xruns = self._xruns, 0
        return count

    def works(self) -> bool:
        """Wait until sound flows; False when the program ends, does not start, or runs at another rate."""
        deadline = time.monotonic() + _OPEN_S
        if self.direction == "output":
            silence = bytes(self._period * self.width * self.channels)  # too little to start playing
            with contextlib.suppress(BrokenPipeError):  # ended already; its words tell why
                os.write(self.fd, silence)
        flows = False
        while not flows and time.monotonic() < deadline and self.process.poll() is None:
            if self.direction == "input":
                flows = self.wait(0.05)
            else:
                time.sleep(0.005)
                flows = not self.queued()
        if flows:
            # The first sound and the end of a program look alike for a moment.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)
        self._listen()
        return flows and self.process.poll() is None and not self.said("rate is not accurate")

    def said(self, text: str) -> bool:
        """Return whether the program's words contain `text`."""
        return any(text in line for line in self._words)

    def last_words(self) -> str:
        """Return the newest line that is not ALSA's own stack of causes, without the program's prefix."""
        self._listen()
        lines = [line for line in self._words if not line.startswith(("ALSA lib", "Playing", "Recording", "Aborted"))]
        return re.sub(r"^\w+: (\w+:\d+: )?", "", lines[-1]) if lines else ""

    def ended(self, why: str) -> StreamEnded:
        """Return the error for a stream that is over, the program's last words in it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0 if why else _CLOSE_S)
        told = why or self.last_words() or f"{_PROGRAM[self.direction]} ended with code {self.process.returncode}"
        return StreamEnded(
            f"the {_NOUN[self.direction]} alsa:{self.pcm} stopped: {told}; check its cable",
            fault=_FAULT[self.direction],
        )

    def close(self) -> None:
        """Ask the program to end, kill it when it does not, and reap it, within twice `_CLOSE_S`."""
        for end in (self.process.terminate, self.process.kill):
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):  # killed in the kernel's hands: init reaps it
                self.process.wait(_CLOSE_S)
                break
        for file in (self.process.stdin, self.process.stdout, self.process.stderr):
            if file is not None:
                file.close()

    def _listen(self) -> None:
        if self.process.stderr is None or self.process.stderr.closed:
            return
        with contextlib.suppress(BlockingIOError):  # it has said all for now
            while heard := os.read(self._errors, 4096):
                self._xruns += len(_XRUN.findall(heard))
                self._words.extend(filter(None, heard.decode(errors="replace").splitlines()))


def _start(direction: Direction, pcm: str, block_frames: int) -> _Program:
    _need_program(direction)
    refusals = []
    for form in _FORMATS:
        program = _Program(direction, pcm, block_frames, form)
        if program.works():
            return program
        program.close()
        words = program.last_words() or "no sound came"
        refusals.append(f"{8 * form[1]} bit {'stereo' if form[2] == CHANNELS else 'mono'}: {words}")
        if "busy" in words:
            held = busy_sentence(direction, pcm) or "another program holds it"
            raise DeviceError(
                f'the {_NOUN[direction]} "{pcm}" is busy: {held}; end that program or choose another device',
                fault=_FAULT[direction],
            )
        if "No such file" in words or program.said("Unknown PCM"):
            listed = ", ".join(f'"{name}"' for name in _pcms(direction)) or "none"
            raise DeviceError(
                f'there is no {_NOUN[direction]} "{pcm}"; {_PROGRAM[direction]} -L lists: {listed}',
                fault=_FAULT[direction],
            )
    raise DeviceError(
        f'the {_NOUN[direction]} "{pcm}" cannot be opened at 48 kHz ({"; ".join(refusals)}); '
        f'try "alsa:plughw:..." or choose another device',
        fault=_FAULT[direction],
    )


def _need_program(direction: Direction) -> None:
    if shutil.which(_PROGRAM[direction]) is None:
        raise DeviceError(
            f"{_PROGRAM[direction]} is not installed; install it (apt install alsa-utils) or use pyaudio:NAME",
            fault=_FAULT[direction],
        )


def _pcms(direction: Direction) -> list[str]:
    _need_program(direction)
    listed = subprocess.run(
        [_PROGRAM[direction], "-L"], capture_output=True, text=True, errors="replace", timeout=_OPEN_S, check=False
    )
    return [line for line in listed.stdout.splitlines() if line and not line[0].isspace()]
