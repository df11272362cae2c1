"""What a conversation goes by: the owner's rules, the times nobody sets, and which fault means what. Pure data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_agent.errors import Fault

SAMPLE_RATE = 16_000  # capture samples per second
STUCK_S = 15.0  # a button still down this long after its turn was ended is stuck
FAREWELL_S = 5.0  # a model that wants to end the conversation begins its last words within this

UNSENT_S = 120.0  # 15 s of speech take no longer on a line of 64 kbit/s
BREATH_S = 2.0  # after the last word the service understood, a person with the open microphone has finished
LISTEN_S = 15.0  # how long an announcement that asks for an answer listens where nobody can hear the end of speech
SNAPSHOT_S = 3.0  # the service gives its handle after the turn; a longer wait means that none will come

WAKE_S = 4.0  # whoever says the wake word goes on speaking within this, or did not mean it
CALLED_S = 6.0  # whoever taps looks at the device, and may think before the first word
REFUSED_S = 600.0  # a wake word may be a false one: a device that may not talk says why no more often than this
MUTE_TOLD_S = 8.0  # a press while muted is told so for this long: the longest sentence of seven languages takes 6.8 s
WAKE_CUE_S = 0.4  # the cue waits so long after the wake word: it would cover the words of who goes on in one breath
WAKE_RUN_S = 1.0  # a voice that starts this soon after the wake word began in one breath with it
ROOM_S = 30.0  # who talks after an answer and is given none keeps the device listening no longer than this
STOP_RUN_S = 1.5  # "stop" is the whole of what was said if the voice began this shortly before it
HUSH_S = 3.0  # after the last word: an answer that takes longer needs no open stream

BLOCKING = (Fault.BUTTON_STUCK, Fault.MICROPHONE, Fault.CREDENTIAL, Fault.SERVICE, Fault.LIMIT, Fault.POWER)
"""Faults a device at rest shows as its state, the first that holds."""
SETTLED_BY_TRYING = (Fault.CREDENTIAL, Fault.SERVICE, Fault.LIMIT, Fault.NETWORK, Fault.CLOCK)
"""Faults that a new press puts to the test again, and that are over when a connection opens."""
OF_THE_LINE = (Fault.NETWORK, Fault.CLOCK)
"""Faults that are tried to mend again and again, also at rest."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the configuration the machine goes by. Times in seconds."""

    manual: bool = True
    hook: bool = False
    pre_roll_s: float = 0.5
    tap_s: float = 0.25
    long_press_s: float = 1.5
    idle_timeout_s: float = 12.0
    max_turn_s: float = 60.0
    max_conversation_s: float = 600.0
    answer_timeout_s: float = 20.0
    prewarm: bool = False
    continuous: bool = False
    """The model translates while it hears: it ends no turn, and the end of its sound is the end of what it says."""
    nudges: bool = True
    """The model takes text turns at any time, so it can be asked for an answer it owes."""
    holds: bool = False
    """The service closes the connection for microphone sound while it waits for a blocking call."""
    connection_limit_s: float = math.inf
    """No connection lives longer; it is changed for a new one before."""
    detects: bool = False
    """Open microphone: the device itself decides when somebody speaks, and sends only that; else all it hears is sent
    from the press to the end."""
    follow_up_s: float = 0.0
    """Where it does, it listens so long after an answer for more; 0: whoever wants to say more calls again."""
    interruptible: bool = True
    """A voice over an answer silences it; else only a press, a wake word or "stop" does."""
    full_duplex: bool = False
    """The device's own voice is taken out of the microphone's: a turn may begin while it sounds."""
    remember_s: float = 0.0
    """A conversation that begins so soon after the last one goes on with it."""

    @property
    def local_voice(self) -> bool:
        """True where the device itself decides when somebody speaks to it."""
        return self.detects and not self.manual and not self.hook and not self.continuous

    @property
    def called_s(self) -> float:
        """So long the device listens to whoever has tapped it, was asked by it, or is told to say it again."""
        return max(CALLED_S, self.follow_up_s)
