"""What can go wrong, and what to do about it: the error tree and the fault codes.

    AgentError
    ├── ConfigError            the owner must change a setting; the process ends with exit code 78
    ├── Retry                  the same call may go through later; wait and try again
    │   ├── NetworkError         no route, no name, connection cut, time-out
    │   └── Overloaded           the service is busy or the quota of the minute is used up
    ├── Reopen                 this connection or stream is finished; open a new one
    │   ├── ConnectionEnded      the Live API closed the session
    │   └── StreamEnded          a sound stream or camera stopped giving data
    └── Stop                   a person has to do something; trying again unchanged cannot help
        ├── CredentialError      key missing, unreadable, refused
        ├── ServiceRefused       the Live API will not accept what we ask of it
        ├── DeviceError          microphone, loudspeaker, camera, button: absent, busy, broken
        └── LimitReached         quota, money, data

Every leaf carries the sentence a person should read: what happened and what to do. Sentences never hold a secret.
`fault` is the code that light, prompt, `ctl status` and the docs share; None where no person needs to be told.
"""

from __future__ import annotations

import enum


class Fault(enum.IntEnum):
    """Numbered faults: the light blinks the number, the prompt says it, the docs explain it."""

    NETWORK = 1
    CLOCK = 2
    CREDENTIAL = 3
    MICROPHONE = 4
    LOUDSPEAKER = 5
    CAMERA = 6
    UPDATE = 7
    POWER = 8
    SERVICE = 9
    LIMIT = 10
    BUTTON_STUCK = 11
    STORAGE = 12


EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h; the unit file does not restart on it


class AgentError(Exception):
    """Any failure this program names itself; `str(error)` is a sentence for a person."""

    fault: Fault | None = None

    def __init__(self, sentence: str, *, fault: Fault | None = None) -> None:
        super().__init__(sentence)
        if fault is not None:
            self.fault = fault


class ConfigError(AgentError, ValueError):
    """A setting is wrong: names the file, the key, what is wrong and what is allowed."""


class Retry(AgentError):
    """Wait and try the same again."""


class NetworkError(Retry, ConnectionError):
    """The line to the service is down: no name, no route, refused, cut, or silent for too long."""

    fault = Fault.NETWORK


class Overloaded(Retry):
    """The service is busy, or a quota that refills by itself is used up."""

    fault = Fault.LIMIT


class Reopen(AgentError):
    """Open a new connection or stream; the old one is finished."""


class ConnectionEnded(Reopen):
    """The Live API closed the session; `code` and `reason` are the WebSocket's."""

    fault = Fault.SERVICE

    def __init__(self, sentence: str, *, code: int, reason: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.reason = reason


class StreamEnded(Reopen, OSError):
    """A sound stream or a camera stopped giving data."""


class Stop(AgentError):
    """Trying again unchanged cannot help; a person has to act."""


class CredentialError(Stop):
    """The key is missing, unreadable, readable by the wrong people, or refused."""

    fault = Fault.CREDENTIAL


class ServiceRefused(Stop):
    """The Live API does not accept the model, the setup or a message of ours."""

    fault = Fault.SERVICE


class DeviceError(Stop, OSError):
    """A device is absent, busy or broken; the fault says which kind."""


class LimitReached(Stop):
    """A budget of money, data or quota that does not refill by waiting a little."""

    fault = Fault.LIMIT
