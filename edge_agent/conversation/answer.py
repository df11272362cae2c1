"""What is known of the answer: waited for, arriving, sounding, stopped. Plain facts, no decisions about turns.

After a flush the rest of the stopped answer is dropped until the server's turn is over, or nothing of it has come for
`DISCARD_S`. Dropped pieces lengthen the wait, so that a slow tail never sounds; but only until `DISCARD_MOST_S` after a
new question was complete, so that the next answer is never swallowed by a server that does not end the old turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DISCARD_S = 1.5  # pieces of one answer are at most this far apart; a longer silence means a new answer
DISCARD_MOST_S = 3.0  # the service stops an answer at the latest when it gets the next question; the rest is on its way
WORK_S = 120.0  # a thinking model that shows no sign of life for so long has forgotten us
PAUSE_S = 0.5  # a model that translates while it hears has said its sentence when its sound is followed by this
STALL_S = 5.0  # an answer that stops in mid-sentence is given up after this
DRAIN_S = 2.0  # the loudspeaker reports the end of an answer at most this late


@dataclass(slots=True)
class Answer:
    """The facts, all times on the machine's clock."""

    awaited: bool = False
    """Something was asked, and no sound of the answer has come yet."""
    due: float = 0.0
    """When an awaited answer is given up."""
    calls: int = 0
    """Function calls of the model that are not yet settled."""
    blocking: int = 0
    """Those among them that the model says nothing before."""
    working: bool = False
    """A thinking model goes on working between two utterances."""
    arriving: bool = False
    """The server's turn is open: more of this answer may come."""
    sounding: bool = False
    """Sound of it is queued or being played."""
    complete: bool = False
    """All its sound has come; it is being played out."""
    overtaken: int = 0
    """Questions that a new one overtook before they were answered: so many empty ends belong to them."""
    plays_until: float = 0.0
    """When the queued sound will have been played."""
    _discard_until: float | None = None
    _discard_most: float = math.inf

    @property
    def stopped(self) -> bool:
        """The rest of a silenced answer is being dropped."""
        return self._discard_until is not None

    @property
    def pending(self) -> bool:
        """The model owes the person something."""
        return self.awaited or self.calls > 0 or self.working

    def expect(self, now: float, patience_s: float) -> None:
        """A question is complete; an answer should begin within `patience_s`."""
        self.awaited = True
        self.due = now + patience_s
        if self._discard_until is not None:
            self._discard_most = now + DISCARD_MOST_S

    def progress(self, now: float, patience_s: float) -> None:
        """The service is at work."""
        self.due = max(self.due, now + (WORK_S if self.working and not self.awaited else patience_s))

    def nudged(self) -> None:
        """The turn that the service was stuck in is interrupted, and ends empty: that end is not the answer."""
        self.overtaken += 1

    def give_up(self) -> None:
        """No answer is waited for any more."""
        self.awaited = self.working = False
        self.overtaken = 0

    def superseded(self, now: float) -> None:
        """A new question takes the place of what was owed."""
        if self.arriving:
            self._drop(now)
        self.overtaken += self.awaited
        self.awaited = self.working = False

    def arrived(self, seconds: float, now: float, *, talking: bool) -> bool:
        """A piece came; True if it is to be played, False if it belongs to an answer that was stopped."""
        self.arriving = True
        if talking or self._dropping(now):
            self._discard_until = now + DISCARD_S
            return False
        self._drop_nothing()
        self.awaited = False
        self.overtaken = 0
        self.sounding, self.complete = True, False
        self.plays_until = max(self.plays_until, now) + seconds
        return True

    def silence(self, now: float) -> None:
        """The sound was flushed."""
        self.sounding = self.complete = False
        self.plays_until = now
        self._drop_nothing()
        self.drop_rest(now)

    def drop_rest(self, now: float) -> None:
        """Nothing sounds, but pieces of a stopped answer may still be on their way."""
        if self.arriving:
            self._drop(now)

    def turn_over(self, now: float, *, idle: bool) -> bool:
        """The server's turn ended; False if it was the turn of an answer that was stopped or overtaken."""
        self.arriving = False
        stopped = self.stopped
        self._drop_nothing()
        if stopped:
            return False
        if self.overtaken and not self.sounding:
            self.overtaken -= 1
            return False
        self.working = not idle
        if self.working:
            self.due = now + WORK_S
        return True

    def play_out(self, now: float) -> bool:
        """Nothing more will come; True the first time."""
        if self.complete or not self.sounding:
            return False
        self.complete = True
        self.plays_until = max(self.plays_until, now)
        return True

    def heard(self) -> None:
        """The last sample was played."""
        self.sounding = False

    def broke_off(self) -> None:
        """The rest of it is not waited for; it is heard all the same, should it come."""
        self.arriving = False

    def cut_off(self) -> None:
        """The connection is gone: nothing more of it can come."""
        self.arriving = self.working = False
        self._drop_nothing()
        self.calls = self.blocking = 0

    def stall_at(self, *, continuous: bool) -> float:
        """When a sounding answer is taken to have broken off, or its end to have gone unreported."""
        return self.plays_until + (DRAIN_S if self.complete else PAUSE_S if continuous else STALL_S)

    def _drop(self, now: float) -> None:
        self._discard_until = now + DISCARD_S
        self._discard_most = math.inf

    def _drop_nothing(self) -> None:
        self._discard_until = None
        self._discard_most = math.inf

    def _dropping(self, now: float) -> bool:
        return self._discard_until is not None and now < min(self._discard_until, self._discard_most)
