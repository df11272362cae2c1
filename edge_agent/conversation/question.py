"""The question: what was asked last, aloud or in writing, until something has come of it. Pure data.

It is kept apart from the open turn, as it outlives it: it may still have to be written to the line, may have to be sent
again over the next one, and is owed an answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edge_agent.conversation.line import PATIENCE_S


@dataclass(slots=True)
class Question:
    """What is known of it. Times on the clock of `Machine.handle`, seconds."""

    asked_at: float = -math.inf
    """When its turn was opened; -inf: nothing of it is left that could be sent again."""
    understood: bool = False
    """The service has understood words of it."""
    texts: list[str] = field(default_factory=list)
    """Written questions that wait for the line."""
    written: list[str] = field(default_factory=list)
    """Written questions that were sent, and not answered yet."""
    unsent_since: float | None = None
    """Since when it may not yet be written to the line; None: it is."""
    speech_unsent: bool = False
    """Some of that may be speech of a turn that is closed."""
    unanswered_since: float | None = None
    """Open microphone: since when it was understood and nothing has come of it."""
    unmet: bool = False
    """Nothing at all has come of it, not even a sign of life."""
    doubted: bool = False
    """It was asked over another line already because nothing came of it."""

    def resendable(self, now: float) -> bool:
        """Tell whether it can be sent again: a text, or speech young enough."""
        return bool(self.written or self.texts) or now - self.asked_at < PATIENCE_S
