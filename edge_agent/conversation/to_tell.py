"""What the device has to tell by itself, and waits for a moment to: announcements, notices, faults. Pure data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edge_agent.errors import Fault


@dataclass(slots=True)
class Announcement:
    """A text to be spoken at the next quiet moment; `listen`: and the person heard afterwards."""

    text: str
    listen: bool


@dataclass(slots=True)
class ToTell:
    """What waits, in the order in which it came."""

    announcements: list[Announcement] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    """Moments of `indicator.SIGNALS`, for when nobody speaks."""
    unsaid: list[Fault] = field(default_factory=list)
    """Faults: what broke while a person was speaking."""
    slow_line: bool = False
    """The line was slow while a person was speaking."""
    refused_at: float = -math.inf
    """When a wake word was last told why the device may not talk."""
    mute_told_at: float = -math.inf
    """When a press was last told that the device is mute."""
    lost_speech: bool = False
    """What was said is lost; it is told once there is a line over which to say it again."""

    def end(self) -> None:
        """The conversation is over: forget what only its people were to be told; announcements and notices go on."""
        self.unsaid.clear()
        self.slow_line = self.lost_speech = False
