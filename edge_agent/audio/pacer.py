"""How much to write to the loudspeaker per microphone block, so that its ring neither runs dry nor grows.

    pacer = OutputPacer(block_frames=960, ring_ms=40.0)
    frames = pacer.frames(len(mic), loudspeaker.writable())

Microphone and loudspeaker have clocks of their own. The microphone paces; each time, the loudspeaker's ring is filled
up to a target of two blocks, to the millisecond. The engine renders any number of frames from its queue, so a faster or
slower loudspeaker just takes its sound sooner or later: nothing is dropped, doubled or stretched, in silence or in
speech, and the drift is only measured. The frame count of the output stays the playback clock.

Every underrun adds half a block to the target, up to four blocks in all, because some devices report their ring only in
whole periods. A clean minute takes half a block back; the minute doubles with every underrun, so that a device that
needs the room keeps it.
"""

from __future__ import annotations

from edge_agent.audio.filters import CARD_RATE

RATE_HZ = CARD_RATE

_STEP = 48  # frames: whole milliseconds keep the engine's filter on whole rows
_CLEAN_FRAMES = 60 * RATE_HZ
_CLEAN_MOST_FRAMES = 3_600 * RATE_HZ
_SETTLE_FRAMES = 2 * RATE_HZ  # devices fill their rings before they run evenly
_MEASURE_FRAMES = 10 * RATE_HZ  # a shorter measurement is jitter, not drift


class OutputPacer:
    """See the module's docstring.

    Args:
        block_frames: frames of a microphone block at 48 kHz.
        ring_ms: size of the loudspeaker's ring; corrected upwards if more turns out to be writable.
    """

    def __init__(self, *, block_frames: int, ring_ms: float) -> None:
        self._block = block_frames
        self._ring = round(ring_ms * RATE_HZ / 1_000)
        self._extra = 0
        self._clean = 0
        self._patience = _CLEAN_FRAMES
        self._taken = 0
        self._given = 0
        self._fill = 0
        self._anchor: tuple[int, int] | None = None
        self._settled = 0

    @property
    def target(self) -> int:
        """Frames the ring should hold right after a write."""
        return min(2 * self._block + self._extra, max(self._ring, self._block))

    @property
    def fill(self) -> int:
        """Frames in the ring after the last write."""
        return self._fill

    @property
    def drift_frames(self) -> int:
        """Frames the loudspeaker took more (or fewer) than the microphone gave since the measurement began."""
        if self._anchor is None:
            return 0
        return (self._given - self._fill - self._anchor[1]) - (self._taken - self._anchor[0])

    @property
    def drift_ppm(self) -> float:
        """Speed of the loudspeaker's clock against the microphone's, parts per million; 0 until it is known."""
        if self._anchor is None or self._taken - self._anchor[0] < _MEASURE_FRAMES:
            return 0.0
        return 1e6 * self.drift_frames / (self._taken - self._anchor[0])

    def frames(self, mic_frames: int, writable: int) -> int:
        """Return the frames to write now, at most `writable`, after `mic_frames` were read."""
        self._ring = max(self._ring, writable)
        self._fill = self._ring - writable
        self._taken += mic_frames
        self._settled += mic_frames
        if self._anchor is None and self._settled >= _SETTLE_FRAMES:
            self._anchor = (self._taken, self._given - self._fill)
        self._clean += mic_frames
        if self._clean >= self._patience:
            self._clean = 0
            self._extra = max(0, self._extra - self._block // 2)
        count = max(0, min(self.target - self._fill, writable)) // _STEP * _STEP
        self._fill += count
        self._given += count
        return count

    def xrun(self, *, output: bool) -> None:
        """Say that sound was lost: the drift is measured anew, and after an underrun of the output more is kept."""
        self._anchor, self._settled = None, 0
        if output:
            self._clean = 0
            self._patience = min(2 * self._patience, _CLEAN_MOST_FRAMES)
            self._extra = min(self._extra + self._block // 2, 2 * self._block)
