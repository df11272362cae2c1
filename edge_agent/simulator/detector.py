"""The service's voice detection, modelled: energy over 20 ms frames, in the time of the sound, not of a clock.

Speech starts once it has lasted `prefix_ms` and ends after `silence_ms` without any. Like the service, it hears nothing
while no sound is sent: a client that stops its microphone must say `audioStreamEnd`.
"""

from __future__ import annotations

from typing import Literal

from edge_agent.simulator.sound import BYTES_PER_SAMPLE, HEARD_RATE, from_pcm, rms_dbfs

FRAME_MS = 20
FRAME_BYTES = HEARD_RATE * FRAME_MS // 1000 * BYTES_PER_SAMPLE

Edge = tuple[Literal["start", "end"], int]
"""What happened, and at which byte of the stream: the first of the speech, or the first after the silence."""


class Detector:
    """Finds the starts and ends of speech in 16 kHz s16le given in pieces of any length."""

    def __init__(self, *, threshold_dbfs: float = -45.0, prefix_ms: int = 60, silence_ms: int = 800) -> None:
        self._threshold = threshold_dbfs
        self._needed = max(1, -(-prefix_ms // FRAME_MS))
        self._patience = max(1, -(-silence_ms // FRAME_MS))
        self._rest = b""
        self._position = 0  # bytes judged
        self._loud = 0  # frames in a row above the threshold
        self._quiet = 0
        self.speaking = False

    def feed(self, pcm: bytes) -> list[Edge]:
        """Judge the whole frames that are complete now and return the edges found, in order."""
        edges: list[Edge] = []
        sound = self._rest + pcm
        for start in range(0, len(sound) - FRAME_BYTES + 1, FRAME_BYTES):
            self._position += FRAME_BYTES
            self._judge(rms_dbfs(from_pcm(sound[start : start + FRAME_BYTES])) > self._threshold, edges)
        self._rest = sound[len(sound) - len(sound) % FRAME_BYTES :]
        return edges

    def flush(self) -> list[Edge]:
        """End the stream here: speech that is going on ends now."""
        edges: list[Edge] = [("end", self._position + len(self._rest))] if self.speaking else []
        self._position += len(self._rest)
        self._rest, self._loud, self._quiet, self.speaking = b"", 0, 0, False
        return edges

    def _judge(self, loud: bool, edges: list[Edge]) -> None:
        if loud:
            self._loud, self._quiet = self._loud + 1, 0
        else:
            self._loud, self._quiet = 0, self._quiet + 1
        if not self.speaking and self._loud >= self._needed:
            self.speaking = True
            edges.append(("start", self._position - self._loud * FRAME_BYTES))
        elif self.speaking and self._quiet >= self._patience:
            self.speaking = False
            edges.append(("end", self._position))
