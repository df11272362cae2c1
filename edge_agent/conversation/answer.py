"""What is known of the answer: waited for, arriving, sounding, stopped. Plain facts, no decisions about turns.

After a flush the rest of the stopped answer is dropped until the server's turn is over, or nothing of it has come for
`DISCARD_S`: dropped pieces lengthen the wait, so a slow tail never sounds and the next answer is never swallowed.
"""

from __future__ import annotations

from dataclasses import dataclass

DISCARD_S = 1.5  # pieces of one answer are at most this far apart; a longer silence means a new answer
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
    working: bool = False
    """A thinking model goes on working between two utterances."""
    arriving: bool = False
    """The server's turn is open: more of this answer may come."""
    sounding: bool = False
    """Sound of it is queued or being played."""
    complete: bool = False
    """All its sound has come; it is being played out."""
    superseding: bool = False
    """A new turn was begun before the last one was answered: one empty end belongs to the old one."""
    plays_until: float = 0.0
    """When the queued sound will have been played."""
    _discard_until: float | None = None

    @property
    def stopped(self) -> bool:
        """The rest of a silenced answer is being dropped."""
        return self._discard_until is not None

    @property
    def pending(self) -> bool:
        """The model owes the person something."""
        return self.awaited or self.calls > 0 or self.working

    def expect(self, due: float) -> None:
        """A question is complete; an answer should begin before `due`."""
        self.awaited = True
        self.due = due

    def give_up(self) -> None:
        """No answer is waited for any more."""
        self.awaited = self.superseding = False

    def interrupted_by_turn(self, now: float) -> None:
        """The person takes the floor: whatever was owed is void."""
        if self.arriving:
            self._discard_until = now + DISCARD_S
        self.superseding = self.superseding or self.awaited
        self.awaited = self.working = False

    def arrived(self, seconds: float, now: float, *, talking: bool) -> bool:
        """A piece came; True if it is to be played, False if it belongs to an answer that was stopped."""
        self.arriving = True
        if talking or (self._discard_until is not None and now < self._discard_until):
            self._discard_until = now + DISCARD_S
            return False
        self._discard_until = None
        self.awaited = self.superseding = False
        self.sounding, self.complete = True, False
        self.plays_until = max(self.plays_until, now) + seconds
        return True

    def silence(self, now: float) -> None:
        """The sound was flushed."""
        self.sounding = self.complete = False
        self.plays_until = now
        self._discard_until = now + DISCARD_S if self.arriving else None

    def drop_rest(self, now: float) -> None:
        """Nothing sounds, but pieces of a stopped answer may still be on their way."""
        if self.arriving:
            self._discard_until = now + DISCARD_S

    def turn_over(self, *, idle: bool) -> bool:
        """The server's turn ended; False if it was the turn of an answer that was stopped."""
        self.arriving = False
        self.working = not idle
        mine = self._discard_until is None
        self._discard_until = None
        return mine

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

    def cut_off(self) -> None:
        """The connection is gone: nothing more of it can come."""
        self.arriving = self.working = False
        self._discard_until = None
        self.calls = 0

    def stall_at(self) -> float:
        """When a sounding answer is taken to have broken off, or its end to have gone unreported."""
        return self.plays_until + (DRAIN_S if self.complete else STALL_S)
