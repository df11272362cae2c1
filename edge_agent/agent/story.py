"""The story so far: what was said in the present conversation, for a session that cannot be resumed.

    story = Story()
    story.heard("user", "What is ")        # pieces of captions, as they come
    story.heard("user", "this?")
    story.end_turn()
    story.turns(question=True)             # (("user", "What is this?"),)
    story.wipe()                           # the visitor has left

It lives in memory only, is bounded (`MOST_TURNS`, `MOST_CHARACTERS`; the oldest is dropped), and is empty where
captions are off: without transcripts there is no text of what was said.
"""

from __future__ import annotations

MOST_TURNS = 40  # more than a conversation's thread needs
MOST_CHARACTERS = 12_000  # about 3,000 tokens, which every later turn is billed for


class Story:
    """Turns of a conversation as (role, text), role "user" or "model"."""

    def __init__(self) -> None:
        self._turns: list[tuple[str, str]] = []
        self._open = False

    def heard(self, role: str, piece: str) -> None:
        """Take a piece of a caption; pieces of one role in a row are one turn."""
        if not piece:
            return
        if self._open and self._turns and self._turns[-1][0] == role:
            self._turns[-1] = (role, (self._turns[-1][1] + piece)[-MOST_CHARACTERS:])
        else:
            self._turns.append((role, piece[-MOST_CHARACTERS:]))
        self._open = True
        self._shorten()

    def end_turn(self) -> None:
        """The server's turn is over; the next piece begins a new one."""
        self._open = False

    def turns(self, *, question: bool) -> tuple[tuple[str, str], ...]:
        """Return the story, without blanks; `question`: with words at its end that were not yet answered."""
        turns = [(role, text.strip()) for role, text in self._turns if text.strip()]
        while turns and not question and turns[-1][0] == "user":
            turns.pop()
        return tuple(turns)

    def wipe(self) -> None:
        """Forget all of it."""
        self._turns.clear()
        self._open = False

    def __repr__(self) -> str:
        return f"Story({len(self._turns)} turns)"

    def _shorten(self) -> None:
        while len(self._turns) > MOST_TURNS or sum(len(text) for _, text in self._turns) > MOST_CHARACTERS:
            del self._turns[0]
