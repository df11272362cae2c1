"""The attention between the people and the device: who speaks, who was asked to, and what was heard when. Pure data."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Turn:
    """The open turn; `held` while the button that opened it may still end it by its release."""

    number: int
    opened_at: float
    held: bool
    most_s: float | None = None
    """It ends by itself after this; None: as the rules say."""


@dataclass(slots=True)
class Ear:
    """The device listens by itself for a voice until `until`; nothing is sent.

    `by`: wake, tap, asked (the device asked something), answer (it goes on listening after one).
    """

    by: str
    sample: int | None
    until: float
    cue_at: float | None = None
    """When the cue is due that tells that the device listens; None: it was played, or none is wanted."""


BIDDEN = frozenset({"wake", "tap"})
"""Why the device listens where somebody has asked it to."""


@dataclass(slots=True)
class Attention:
    """What is known of the room in a conversation. Times on the clock of `Machine.handle`, seconds."""

    last_sound: float = 0.0
    """When anything was last heard or said: a conversation ends so long after it."""
    listening_since: float = 0.0
    """When the present stretch of an open microphone's turn began: it may not last for ever."""
    heard_at: float = -math.inf
    """When the service last understood words."""
    fell_quiet_at: float = -math.inf
    """When the last answer was over, or stopped."""
    voice: bool = False
    """The device hears a voice now."""
    voice_over_at: float = 0.0
    """When it last ceased to."""
    aloud: bool = False
    """Somebody has spoken to the device: it goes on listening after its answers."""
    bidden: bool = True
    """False: a voice opened the present turn, or the last one, that nobody had asked the device to listen for."""
    unbidden_at: float = -math.inf
    """When somebody began to speak whom nobody had asked: over an answer, or after one."""
    heeded_at: float = 0.0
    """When somebody last had an answer, or was asked to speak."""
    follow_up: bool = False
    """An answer was heard; the device listens on as soon as the model has nothing more to do."""
    hushed: bool = False
    """Somebody said stop: what the service still says is not heard until it is asked something new."""
    announcing: bool = False
    """What sounds, or is to sound, is an announcement: whoever talks on does not mean it."""
    listen_after: bool = False
    """It asks something: the person is heard afterwards."""
    wake_owed: bool = False
    """What came of the last wake word is still to be told."""
