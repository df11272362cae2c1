"""Who is around: how loud the voices are that do not mean the device, and how loud whoever talks to it is.

    company = Company()
    company.background(power, seconds=0.02)     # heard while nobody is known to talk to the device
    company.recall()                            # somebody does: what was heard just now was them
    company.talks(power)                        # a frame of their speech
    company.settle(over_db=8)                   # they have finished
    company.background_dbfs, company.talker_dbfs

The background is the mean power of the last ten seconds or so: a television that runs, people who talk to each other.
What was heard last counts only after `WITHHELD_S`, so that the wake word, and the syllables by which a voice is
noticed, are never taken for the background.

The talker is as loud as the loudest half second of what they said last. A voice over an answer is held against both
(`least`): it must stand out from the background, but nobody is asked to be louder than they were. Pure.
"""

from __future__ import annotations

import math
from collections import deque

from edge_agent.audio.levels import SILENCE_DBFS

BACKGROUND_S = 10.0
WITHHELD_S = 1.5
"""A wake word and the time in which it is recognised."""
TALKER_DBFS = -30.0
"""As loud as calibration makes a person; who speaks more softly counts as this loud, so does whom nobody has heard."""
LOUDEST_FRAMES = 25
"""Of 20 ms."""


class Company:
    """See the module's docstring; powers are means, 1.0 at full scale."""

    def __init__(self, *, background_s: float = BACKGROUND_S) -> None:
        self.talker_dbfs = TALKER_DBFS
        """The loudest half second of who talked to the device last."""
        self._background_s = background_s
        self._background = 0.0
        self._withheld: deque[tuple[float, float]] = deque()
        self._withheld_s = 0.0
        self._said: deque[float] = deque(maxlen=LOUDEST_FRAMES)
        self._sum = self._loudest = 0.0

    @property
    def background_dbfs(self) -> float:
        """Mean level of what did not mean the device."""
        return dbfs(self._background)

    def background(self, power: float, seconds: float) -> None:
        """Take a stretch in which nobody is known to talk to the device."""
        self._withheld.append((power, seconds))
        self._withheld_s += seconds
        while self._withheld_s > WITHHELD_S:
            power, seconds = self._withheld.popleft()
            self._withheld_s -= seconds
            self._background += (power - self._background) * min(1.0, seconds / self._background_s)

    def recall(self) -> None:
        """Somebody talks to the device: what was heard just now is no background."""
        self._withheld.clear()
        self._withheld_s = 0.0

    def talks(self, power: float) -> None:
        """Take a frame of what is said to the device, 0 where it is no speech."""
        if len(self._said) == LOUDEST_FRAMES:
            self._sum -= self._said[0]
        self._said.append(power)
        self._sum += power
        self._loudest = max(self._loudest, self._sum / LOUDEST_FRAMES)

    def settle(self, *, over_db: float | None) -> None:
        """They have finished, and are known by it if they were so far over the background; None: in no case."""
        loudest = dbfs(self._loudest)
        if over_db is not None and loudest >= self.background_dbfs + over_db:
            self.talker_dbfs = max(TALKER_DBFS, loudest)
        self._said.clear()
        self._sum = self._loudest = 0.0

    def least(self, *, over_db: float, under_db: float) -> float:
        """Return the level of a voice so far over the background, or so little under the talker, dBFS."""
        return min(self.background_dbfs + over_db, self.talker_dbfs - under_db)


def dbfs(power: float) -> float:
    """Return a mean power as a level, -120 for silence."""
    return 10 * math.log10(power) if power > 1e-12 else SILENCE_DBFS
