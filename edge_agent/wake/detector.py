"""Wake words in a stream of sound: one pass per block, any number of words on one feature front end."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import ConfigError
from edge_agent.wake.models import Model
from edge_agent.wake.tflite import Interpreter, Unusable

RATE = 16_000
REFRACTORY_S = 1.0  # after a hit: what is left of the word, and its echo from the walls
NEAR = 0.5  # a near miss is noted from this part of the cutoff on: what talk in a room seldom reaches
TOP_SCORE = 255 / 256  # the highest a model's 8 bits can say

Kind = Literal["wake", "stop"]

_CHUNK = 160  # samples, 10 ms: one frame of features
_CHUNK_BYTES = 2 * _CHUNK
_FEATURES = 40
_REFRACTORY = round(REFRACTORY_S * RATE)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """A word was heard, or nearly.

    Attributes:
        word: the phrase.
        score: 0 to 1; of a hit at the moment it fired, of a near miss its highest.
        fired: True: a hit. False: a near miss, told when its score has fallen again.
        kind: a wake word, or the local "stop".
        ago: 16 kHz samples between the end of the sound that decided it and the end of the block.
    """

    word: str
    score: float
    fired: bool
    kind: Kind = "wake"
    ago: int = 0


def cutoff_for(own: float, sensitivity: float) -> float:
    """Return the score a hit must exceed.

    Args:
        own: the model's own cutoff, 0 to 1; what sensitivity 0.5 gives.
        sensitivity: 0 to 1. Towards 1 the cutoff sinks in a straight line to 0.4 of its own; towards 0 it rises to
            nine tenths of the way to the highest score there is. Never rises with sensitivity.
    """
    if sensitivity >= 0.5:
        return own * (1.0 - 0.6 * (2.0 * sensitivity - 1.0))
    return own + (TOP_SCORE - own) * 0.9 * (1.0 - 2.0 * sensitivity)


class WakeDetector:
    """Listens for words. Belongs to one thread.

    Args:
        words: models of wake words, at least one unless there is a `stop`.
        stop: a model of the word that ends an answer; None: there is none.
        sensitivity: 0 to 1, for all of them; 0.5 is each model's own cutoff.

    Raises:
        ConfigError: pymicro-wakeword's front end is missing, or a model cannot be used.
    """

    def __init__(self, words: Sequence[Model], *, stop: Model | None = None, sensitivity: float = 0.5) -> None:
        try:
            from pymicro_features import MicroFrontend  # noqa: PLC0415  only a device with a wake word has it in memory
        except ImportError as error:
            raise ConfigError(
                f"The package pymicro-features cannot be loaded ({error}); "
                "type: pip install pymicro-wakeword, or leave wake.word empty."
            ) from error
        self.words = tuple(model.word for model in words)
        self._ears = [_Ear(model, "wake", sensitivity) for model in words]
        if stop is not None:
            self._ears.append(_Ear(stop, "stop", sensitivity))
        self._front = MicroFrontend()
        self._process = cast("Callable[[bytes], Any]", self._front.process_samples)
        self._rest = b""
        self._samples = 0
        self._deaf_until: dict[Kind, int] = {"wake": 0, "stop": 0}

    def hear(self, block: NDArray[np.int16]) -> list[Heard]:
        """Listen to the next block.

        The same sound gives the same hits at the same samples, however it is cut into blocks.

        Args:
            block: (n,) int16 at 16 kHz, any n.

        Returns:
            Hits and near misses in their order; nearly always none.
        """
        frames, first = self._frames(block)
        if not len(frames):
            return []
        moments: list[tuple[int, float, _Ear]] = []
        quantized: dict[tuple[str, float, int], NDArray[np.uint8]] = {}
        for ear in self._ears:
            if ear.form not in quantized:
                quantized[ear.form] = _quantize(frames, *ear.form)
            try:
                moments += [(first + _CHUNK * at, score, ear) for at, score in ear.scores(quantized[ear.form])]
            except Unusable as error:
                self._drop(ear, error)
        if not moments:
            return []
        moments.sort(key=lambda one: (one[0], -one[1]))
        return [heard for at, score, ear in moments if (heard := self._judge(at, score, ear)) is not None]

    def reset(self) -> None:
        """Forget all sound: nothing from before can fire any more. 0.1 ms for each word; reads no file."""
        self._front.reset()
        self._rest = b""
        self._samples = 0
        self._deaf_until = {"wake": 0, "stop": 0}
        for ear in list(self._ears):
            try:
                ear.reset()
            except Unusable as error:
                self._drop(ear, error)

    def close(self) -> None:
        """Give the memory back; the detector hears nothing afterwards."""
        for ear in self._ears:
            ear.close()
        self._ears.clear()

    def _frames(self, block: NDArray[np.int16]) -> tuple[NDArray[np.float64], int]:
        """Return (n, 40) features of the frames that are complete now, and the sample at which the first one ended."""
        sound = self._rest + block.tobytes()
        whole = len(sound) // _CHUNK_BYTES * _CHUNK_BYTES
        values: list[float] = []
        for start in range(0, whole, _CHUNK_BYTES):
            values += self._process(sound[start : start + _CHUNK_BYTES]).features
        self._rest = sound[whole:]
        self._samples += len(block)
        frames = np.array(values).reshape(-1, _FEATURES)
        # each chunk gives a frame, but the first two of the stream, which fill the front end's window of 30 ms
        return frames, self._samples - len(self._rest) // 2 - _CHUNK * (len(frames) - 1)

    def _judge(self, at: int, score: float, ear: _Ear) -> Heard | None:
        """Follow one approach of one word: from the near line upwards, and until it is below it again."""
        ago = self._samples - at
        if score <= ear.near:
            peak, spent = ear.peak, ear.spent
            ear.peak, ear.spent = 0.0, False
            if spent or at < max(self._deaf_until[ear.kind], ear.noted_until):
                return None
            ear.noted_until = at + _REFRACTORY  # a score that trembles around the line is one near miss
            return Heard(ear.word, peak, fired=False, kind=ear.kind, ago=ago)
        ear.peak = max(ear.peak, score)
        if score <= ear.cutoff or ear.spent:
            return None
        ear.spent = True
        if at < self._deaf_until[ear.kind]:
            return None
        self._deaf_until[ear.kind] = at + _REFRACTORY
        return Heard(ear.word, score, fired=True, kind=ear.kind, ago=ago)

    def _drop(self, ear: _Ear, error: Unusable) -> None:
        """Go on without a word whose model fails: sound must not stop for it."""
        _log.error("The wake word %s is not listened for any more: %s. Restart the device.", ear.word, error)
        ear.close()
        self._ears = [other for other in self._ears if other is not ear]


class _Ear:
    """One model at work.

    `form` is how its input is quantized (kind, scale, zero); `near` and `cutoff` are lines for its mean score; `peak`
    is the highest of the approach under way, 0 if there is none; `spent`: this approach has been told already.
    """

    def __init__(self, model: Model, kind: Kind, sensitivity: float) -> None:
        try:
            self._interpreter = Interpreter(model.library, model.data)
        except (Unusable, OSError) as error:
            raise ConfigError(f"The wake word {model.name} cannot be used: {error}.") from error
        self.word, self.kind = model.word, kind
        self.cutoff = cutoff_for(model.cutoff, sensitivity)
        self.near = NEAR * self.cutoff
        run = self._interpreter
        self.form = (run.input_kind, run.input_scale, run.input_zero)
        self._stride, self._size = run.stride, run.size
        self._window: deque[int] = deque(maxlen=model.window)
        self._rows: NDArray[np.uint8] = np.empty((0, _FEATURES), np.uint8)
        self.peak, self.spent, self.noted_until = 0.0, False, 0

    def scores(self, rows: NDArray[np.uint8]) -> Iterator[tuple[int, float]]:
        """Run the model over new rows; yield what matters: (row, mean score) above the near line, or just below it."""
        kept = len(self._rows)
        if kept:
            rows = np.concatenate((self._rows, rows))
        whole = len(rows) // self._stride * self._stride
        self._rows = rows[whole:]
        address = rows.ctypes.data
        scale, zero = self._interpreter.output_scale, self._interpreter.output_zero
        window, full = self._window, self._window.maxlen
        above = self.peak > 0
        for start in range(0, whole, self._stride):
            window.append(self._interpreter.step(address))
            address += self._size
            if len(window) != full:
                continue
            score = (sum(window) / full - zero) * scale
            if above or score > self.near:
                above = score > self.near
                yield start + self._stride - 1 - kept, score

    def reset(self) -> None:
        self._interpreter.reset()
        self._window.clear()
        self._rows = self._rows[:0]
        self.peak, self.spent, self.noted_until = 0.0, False, 0

    def close(self) -> None:
        self._interpreter.close()


def _quantize(frames: NDArray[np.float64], kind: str, scale: float, zero: int) -> NDArray[np.uint8]:
    """Return features as a model's 8-bit numbers; what is out of their range is clipped."""
    numbers = np.rint(frames / scale + zero)
    if kind == "int8":
        return np.clip(numbers, -128, 127).astype(np.int8).view(np.uint8)
    return np.clip(numbers, 0, 255).astype(np.uint8)
