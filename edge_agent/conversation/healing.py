"""A ladder for the answer that does not come: what is tried, in which order, and when.

A question is complete and the service owes an answer. Nothing comes: no sound, no caption, no sign of work. Each rung
does a little more than the one before; the last is to tell the person. The times are shares of the owner's patience
(`conversation.answer_timeout_s`), counted from the end of the question or from the last sign of life.

    nudge     ask for the answer once more, on the same connection
    reopen    a new connection that resumes the session by its handle; the question is sent again
    retell    a new session that is told the story so far, the question last
    tell      the person hears that no answer came, and the device is ready again
"""

from __future__ import annotations

import enum


class Rung(enum.IntEnum):
    """How far up the ladder we are."""

    NONE = 0
    NUDGE = 1
    REOPEN = 2
    RETELL = 3


_SHARES = {Rung.NONE: 0.3, Rung.NUDGE: 0.15, Rung.REOPEN: 0.2, Rung.RETELL: 0.35}
"""Of the patience, how long a rung is given before the next; together they are 1."""


def wait_s(rung: Rung, patience_s: float) -> float:
    """Return how long to wait on `rung` for a sign of life."""
    return _SHARES[rung] * patience_s


def after_sign_s(patience_s: float) -> float:
    """Return how long to wait after a sign of life before the ladder is gone up."""
    return patience_s / 2


def next_rung(rung: Rung, *, nudge: bool, resend: bool, retell: bool) -> Rung | None:
    """Return the next rung that makes sense, None where only telling the person is left.

    Args:
        rung: where we stand.
        nudge: the model can be asked for an answer.
        resend: the question can be sent again: it is young enough, or a text.
        retell: the model takes a story.
    """
    possible = {Rung.NUDGE: nudge, Rung.REOPEN: resend, Rung.RETELL: retell}
    return next((one for one in Rung if one > rung and possible[one]), None)
