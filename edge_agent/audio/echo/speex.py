"""libspeexdsp's echo canceller and residual suppressor, through ctypes: where AEC3 cannot be installed.

    canceller = Speex(delay_ms=120)             # as calibrated: it cannot find the delay itself
    clean = canceller.process(near, far)

A linear filter of 200 ms, then the suppressor of what it leaves. Noise suppression stands at 0 dB: the suppressor only
works while it is on. It takes 3 to 4 s to learn a room, and as long again after a jump; two clocks that drift apart by
50 ppm cost it 15 dB. Beside AEC3 it hardly touches the person, and leaves more echo: its residue can sound like speech.

The filter only reaches from the reference 200 ms back, so the reference is held back by the delay told, less 20 ms for
what the measurement and the buffers may be wrong by.

Frames of 10 ms go in one by one, two calls of C for each. They keep the interpreter's lock: 0.1 ms of work is shorter
than what another thread may make the sound thread wait to get the lock back, twice a frame.
"""

from __future__ import annotations

import ctypes
import weakref

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.echo.canceller import MAX_DELAY_MS, checked_delay
from edge_agent.audio.echo.frames import FRAME, Feed
from edge_agent.audio.filters import UP_RATE
from edge_agent.errors import DeviceError, Fault

RATE_HZ = UP_RATE
LIBRARY = "libspeexdsp.so.1"

_TAIL = 3_200  # 200 ms of echo after the reference
_MARGIN_MS = 20.0
_FRAME_BYTES = 2 * FRAME

_ECHO_SET_RATE = 24  # speex_echo.h, speex_preprocess.h of speexdsp 1.2
_SET_DENOISE = 0
_SET_NOISE_SUPPRESS = 18
_SET_ECHO_STATE = 24


class Speex:
    """See the module's docstring.

    Args:
        delay_ms: how much later the echo appears in the microphone than in the reference.

    Raises:
        DeviceError: libspeexdsp cannot be loaded.
        ValueError: the delay is not from 0 to 500 ms.
    """

    name = "speex"
    gates = False
    trusted = False
    shut = False

    def __init__(self, *, delay_ms: float = 0.0) -> None:
        self._library = _loaded()
        self._state: _State | None = _State(self._library)
        self._reference = _Delayed()
        self._feed = Feed(self._cancel)
        self.delay(delay_ms)

    def process(self, near: NDArray[np.int16], far: NDArray[np.int16], *, muted: bool = False) -> NDArray[np.int16]:
        """Return the whole frames (m,) int16 of `near` without the echo of `far`; see `Canceller.process`.

        Raises:
            ValueError: the two differ in length, or the canceller is closed.
        """
        return self._feed.process(near, self._reference.take(far), muted=muted)

    def reset(self) -> None:
        """Forget the room, as if newly made; the delay stays."""
        self.close()
        self._state = _State(self._library)
        self._reference.clear()
        self._feed.reset()

    def delay(self, ms: float) -> None:
        """Hold the reference back, from the next sample on.

        Raises:
            ValueError: not from 0 to 500 ms.
        """
        self._reference.hold(max(0, round((checked_delay(ms) - _MARGIN_MS) * RATE_HZ / 1_000)))

    def close(self) -> None:
        """Free the library's memory, which also happens by itself with the last reference; `reset` opens it again."""
        if self._state is not None:
            self._state.free()
            self._state = None

    def _cancel(self, near: NDArray[np.int16], far: NDArray[np.int16]) -> NDArray[np.int16]:
        if self._state is None:
            raise ValueError("the canceller is closed")
        out = np.empty(len(near), np.int16)
        heard, played, clean = near.ctypes.data, far.ctypes.data, out.ctypes.data
        cancel, suppress = self._library.speex_echo_cancellation, self._library.speex_preprocess_run
        echo, rest = self._state.echo, self._state.rest
        for at in range(0, 2 * len(near), _FRAME_BYTES):
            cancel(echo, heard + at, played + at, clean + at)
            suppress(rest, clean + at)
        return out


class _State:
    """The two states of the library, freed once: on `free`, or when nothing refers to this any more."""

    def __init__(self, library: ctypes.PyDLL) -> None:
        self.echo: int = library.speex_echo_state_init(FRAME, _TAIL)
        self.rest: int = library.speex_preprocess_state_init(FRAME, RATE_HZ)
        self.free = weakref.finalize(self, _free, library, self.echo, self.rest)
        if not self.echo or not self.rest:
            raise MemoryError("libspeexdsp got no memory")
        library.speex_echo_ctl(self.echo, _ECHO_SET_RATE, ctypes.byref(ctypes.c_int(RATE_HZ)))
        library.speex_preprocess_ctl(self.rest, _SET_ECHO_STATE, ctypes.c_void_p(self.echo))
        library.speex_preprocess_ctl(self.rest, _SET_DENOISE, ctypes.byref(ctypes.c_int(1)))
        library.speex_preprocess_ctl(self.rest, _SET_NOISE_SUPPRESS, ctypes.byref(ctypes.c_int(0)))


class _Delayed:
    """The reference, held back by a number of samples that may change while it runs."""

    _MOST = round(MAX_DELAY_MS * RATE_HZ / 1_000)

    def __init__(self) -> None:
        self._samples = 0
        self.clear()

    def clear(self) -> None:
        self._past = np.zeros(self._MOST, np.int16)

    def hold(self, samples: int) -> None:
        self._samples = samples

    def take(self, far: NDArray[np.int16]) -> NDArray[np.int16]:
        line = np.concatenate([self._past, far])
        self._past = line[len(far) :]
        start = self._MOST - self._samples
        return line[start : start + len(far)]


def _loaded() -> ctypes.PyDLL:
    try:
        library = ctypes.PyDLL(LIBRARY)
    except OSError as error:
        raise DeviceError(
            f"The echo canceller speex cannot be loaded ({error}); apt install libspeexdsp1", fault=Fault.MICROPHONE
        ) from None
    pointer, number = ctypes.c_void_p, ctypes.c_int
    for name, returns, takes in (
        ("speex_echo_state_init", pointer, [number, number]),
        ("speex_echo_cancellation", None, [pointer] * 4),
        ("speex_echo_ctl", number, [pointer, number, pointer]),
        ("speex_echo_state_destroy", None, [pointer]),
        ("speex_preprocess_state_init", pointer, [number, number]),
        ("speex_preprocess_run", number, [pointer] * 2),
        ("speex_preprocess_ctl", number, [pointer, number, pointer]),
        ("speex_preprocess_state_destroy", None, [pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = returns, takes
    return library


def _free(library: ctypes.PyDLL, echo: int | None, rest: int | None) -> None:
    if rest:
        library.speex_preprocess_state_destroy(rest)
    if echo:
        library.speex_echo_state_destroy(echo)
