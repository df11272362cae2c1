"""What can go wrong, and what to do about it: the error tree, the fault codes, and one table of all failures.

    AgentError
    ├── ConfigError            the owner must change a setting; the process ends with exit code 78
    ├── Retry                  the same call may go through later; wait at least `wait_s` and try again
    │   ├── NetworkError         no route, no name, connection cut, time-out
    │   ├── Overloaded           the service is busy or a quota is used up that refills by itself
    │   └── Blocked              something on the way answers in the service's place: the Live API's door is shut here
    ├── Reopen                 this connection or stream is finished; open a new one
    │   ├── ConnectionEnded      the Live API closed the session
    │   └── StreamEnded          a sound stream or camera stopped giving data
    └── Stop                   a person has to do something; trying again unchanged cannot help
        ├── CredentialError      key missing, unreadable, refused
        ├── ProxyRefused         the proxy does not let this device in
        ├── ServiceRefused       the Live API will not accept what we ask of it
        ├── DeviceError          microphone, loudspeaker, camera, button: absent, busy, broken
        └── LimitReached         a budget of money or data is used up

Every leaf carries the sentence a person should read: what happened and what to do. Sentences never hold a secret.
`fault` is the code that light, prompt, `ctl status` and the docs share; None where no person needs to be told.

`FAILURES` says for every kind of failure which leaf it is, which fault, what the light shows, what the device says
and what a person reads:

    raise failure("name", host="example.org")              # a NetworkError with the table's sentence, `kind` = "name"
    raise failure("http-429", said="quota", wait_s=37.0)   # an Overloaded that wants 37 s

The module `live.causes` reads statuses, close codes and exceptions and names the row; the table knows no protocol.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


class Fault(enum.IntEnum):
    """Numbered faults: the light blinks the number, the prompt says it, the docs explain it.

    UPDATE and POWER have their number, light and prompt, and nothing finds them yet: no row of `FAILURES` is theirs.
    """

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
    MUTE_SWITCH = 13


EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h; the unit file does not restart on it


class AgentError(Exception):
    """Any failure this program names itself; `str(error)` is a sentence for a person."""

    fault: Fault | None = None
    kind: str = ""
    """The row of `FAILURES` it was made from; "" where the sentence was written on the spot."""

    def __init__(self, sentence: str, *, fault: Fault | None = None) -> None:
        super().__init__(sentence)
        if fault is not None:
            self.fault = fault


class ConfigError(AgentError, ValueError):
    """A setting is wrong: names the file, the key, what is wrong and what is allowed."""


class Retry(AgentError):
    """Wait and try the same again; trying within `wait_s` seconds is not welcome or cannot help."""

    def __init__(self, sentence: str, *, fault: Fault | None = None, wait_s: float = 0.0) -> None:
        super().__init__(sentence, fault=fault)
        self.wait_s = wait_s


class NetworkError(Retry, ConnectionError):
    """The line to the service is down: no name, no route, refused, cut, or silent for too long."""

    fault = Fault.NETWORK


class Overloaded(Retry):
    """The service is busy, or a quota that refills by itself is used up."""

    fault = Fault.LIMIT


class Blocked(Retry):
    """A proxy or filter answered in the service's place. After some in a row, plain requests may still go through."""

    fault = Fault.NETWORK


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


class ProxyRefused(Stop):
    """The proxy wants another name or password than it got, or is none."""

    fault = Fault.NETWORK


class ServiceRefused(Stop):
    """The Live API does not accept the model, the setup or a message of ours."""

    fault = Fault.SERVICE


class DeviceError(Stop, OSError):
    """A device is absent, busy or broken; the fault says which kind."""


class LimitReached(Stop):
    """A budget of money, data or quota that does not refill by waiting a little."""

    fault = Fault.LIMIT


@dataclass(frozen=True, slots=True)
class Sign:
    """How a fault is shown: the light's pattern at rest while it lasts, and the sentence spoken when it matters."""

    fault: Fault
    light: str
    prompt: str


OFFLINE = Sign(Fault.NETWORK, "offline", "offline")
WAY_SHUT = Sign(Fault.NETWORK, "offline", "fault-1")
WRONG_TIME = Sign(Fault.CLOCK, "waiting-for-clock", "waiting_for_clock")
KEY = Sign(Fault.CREDENTIAL, "fault-3", "fault-3")
MICROPHONE = Sign(Fault.MICROPHONE, "fault-4", "fault-4")
LOUDSPEAKER = Sign(Fault.LOUDSPEAKER, "idle", "fault-5")  # the device still hears and sees; the light shows its state
CAMERA = Sign(Fault.CAMERA, "idle", "fault-6")
SERVICE = Sign(Fault.SERVICE, "fault-9", "fault-9")
LIMIT = Sign(Fault.LIMIT, "fault-10", "fault-10")
BUTTON = Sign(Fault.BUTTON_STUCK, "fault-11", "fault-11")
STORAGE = Sign(Fault.STORAGE, "idle", "fault-12")
MUTE_SWITCH = Sign(Fault.MUTE_SWITCH, "muted", "fault-13")  # the light says what follows from it


@dataclass(frozen=True, slots=True)
class Failure:
    """One row of the table.

    `sentence` may name {host}, {port}, {code}, {detail} (a few words of the system's) and {said} (the service's words).
    `wait_s`: the least wait before the next try; the line's own growing, random wait comes on top.
    """

    when: str
    error: type[AgentError]
    sign: Sign
    sentence: str
    wait_s: float = 0.0

    @property
    def answer(self) -> str:
        """What to do, in words."""
        return next(words for leaf, words in _ANSWERS if issubclass(self.error, leaf))


_ANSWERS: tuple[tuple[type[AgentError], str], ...] = (
    (Overloaded, "try again, not before the quota refills"),
    (Blocked, "try again; after three in a row talk by plain requests"),
    (Retry, "try again"),
    (Reopen, "open anew"),
    (Stop, "stop and tell"),
)

QUOTA_WAIT_S = 10.0  # the quotas of a minute come back within one; with the growing wait a few tries bridge it
DAY_WAIT_S = 900.0  # a quota of the day comes back at midnight somewhere; asking each quarter of an hour is polite
BUSY_WAIT_S = 2.0  # a service that says it is busy should not meet every device of a street again at once
BLOCKED_WAIT_S = 1.0  # three of these in a row and the device changes its way: soon, for a person may be waiting

_CHECK_KEY = "check live.credential and the key's project."
_SIGN_IN = "check live.url, and whether the network wants a sign-in."

FAILURES: dict[str, Failure] = {
    # The way to the service.
    "name": Failure(
        "The name cannot be resolved",
        NetworkError, OFFLINE, "The name {host} cannot be resolved; check the network and its name server."),
    "refused": Failure(
        "The port refuses connections",
        NetworkError, OFFLINE, "{host} port {port} refuses connections; check live.url and the network."),
    "unreachable": Failure(
        "No route, no answer of the network",
        NetworkError, OFFLINE, "{host} port {port} cannot be reached ({detail})."),
    "timeout": Failure(
        "No connection within the deadline",
        NetworkError, OFFLINE, "{host} cannot be reached (waited {detail} s)."),
    "timeout-setup": Failure(
        "No setupComplete within the deadline",
        NetworkError, OFFLINE, "{host} does not answer the setup (waited {detail} s)."),
    "cut-opening": Failure(
        "Cut before the session began",
        NetworkError, OFFLINE, "{host} broke off during the handshake."),
    "silent": Failure(
        "Nothing came for a minute, pongs included",
        NetworkError, OFFLINE, "Nothing came from the Live API for {detail} s; the line is taken to be cut."),
    "tls-early": Failure(
        "TLS: the certificate is not yet valid",
        NetworkError, WRONG_TIME,
        "The certificate of {host} is not yet valid, so this device's clock is wrong; it waits for the time."),
    "tls-expired": Failure(
        "TLS: the certificate has expired",
        NetworkError, OFFLINE, "The certificate of {host} has expired; check this device's clock and the network."),
    "tls-untrusted": Failure(
        "TLS: the certificate is not trusted",
        NetworkError, OFFLINE,
        "The certificate of {host} cannot be trusted ({detail}); "
        "something between here and the service may be reading along."),
    "tls": Failure(
        "TLS: any other failure",
        NetworkError, OFFLINE, "No safe connection to {host} could be made ({detail})."),
    "tls-cut": Failure(
        "TLS: cut during its handshake",
        NetworkError, OFFLINE, "{host} broke off while the safe connection was being made{detail}."),
    # The proxy.
    "proxy-name": Failure(
        "The proxy's name cannot be resolved",
        NetworkError, OFFLINE, "The name of the proxy {host} cannot be resolved; check link.proxy and the network."),
    "proxy-refused": Failure(
        "The proxy's port refuses connections",
        NetworkError, OFFLINE, "The proxy {host} port {port} refuses connections; check link.proxy."),
    "proxy-unreachable": Failure(
        "The proxy cannot be reached",
        NetworkError, OFFLINE, "The proxy {host} port {port} cannot be reached ({detail}); check link.proxy."),
    "proxy-cut": Failure(
        "The proxy breaks off",
        NetworkError, OFFLINE, "The proxy {host} broke off; check link.proxy, its scheme and port."),
    "proxy-no-way": Failure(
        "The proxy cannot reach the service (CONNECT 5xx, SOCKS 1, 3 to 6)",
        NetworkError, OFFLINE, "The proxy {host} cannot reach the service ({detail})."),
    "proxy-denied": Failure(
        "The proxy forbids the way (CONNECT 403, 405 and others, SOCKS 2, 7)",
        Blocked, OFFLINE,
        "The proxy {host} does not let this device through to the service ({detail}); have its owner allow it.",
        BLOCKED_WAIT_S),
    "proxy-password": Failure(
        "The proxy wants a password (CONNECT 407, SOCKS authentication)",
        ProxyRefused, WAY_SHUT,
        "The proxy {host} wants a user name and password, or refuses those given; write them into link.proxy."),
    "proxy-none": Failure(
        "What answers is no proxy",
        ProxyRefused, WAY_SHUT, "What answers at {host} port {port} is no such proxy; check link.proxy."),
    # The handshake: an HTTP status instead of a WebSocket.
    "http-blocked": Failure(
        "HTTP 200 to 399, 403, 405, 407, 426, 511, 5xx without the service's own error",
        Blocked, OFFLINE,
        "Something between here and the service answers in its place (HTTP {code}): a proxy or filter that does not "
        "let WebSockets through, or a network that wants a sign-in; let {host} through.",
        BLOCKED_WAIT_S),
    "http-key": Failure(
        "HTTP 401, 403, or 400 that names the key",
        CredentialError, KEY, "The Live API refuses the key (HTTP {code}); " + _CHECK_KEY + "{said}"),
    "http-access": Failure(
        "HTTP 400, 401, 403: place or project without access",
        ServiceRefused, SERVICE, "The Live API is not open to this project or place (HTTP {code}).{said}"),
    "http-404": Failure(
        "HTTP 404",
        ServiceRefused, SERVICE,
        "There is no Live API at this address (HTTP 404); check live.url, live.api_version and live.model.{said}"),
    "http-busy": Failure(
        "HTTP 408, 5xx",
        Retry, SERVICE, "The Live API is not available at the moment (HTTP {code}).{said}", BUSY_WAIT_S),
    "http-429": Failure(
        "HTTP 429",
        Overloaded, LIMIT,
        "The Live API has no capacity or quota left for us at the moment (HTTP 429).{said}", QUOTA_WAIT_S),
    "http-429-day": Failure(
        "HTTP 429, and it is the quota of a day",
        Overloaded, LIMIT,
        "The key's quota of the day is used up (HTTP 429); it comes back by itself, or have it raised.{said}",
        DAY_WAIT_S),
    "http-other": Failure(
        "HTTP 400 and any other status",
        ServiceRefused, SERVICE,
        "The Live API refuses the connection (HTTP {code}); check the table [live].{said}"),
    "no-websocket": Failure(
        "What answers speaks no HTTP or no WebSocket",
        ServiceRefused, SERVICE, "What answers at {host} does not speak WebSocket; " + _SIGN_IN),
    # The end of a session: close codes.
    "close-ended": Failure(
        "Close 1000, 1001, 1005, 1012: an orderly end, also when time or context ran out",
        ConnectionEnded, SERVICE, "The Live API ended the session (code {code}).{said}"),
    "close-cut": Failure(
        "Close 1006: cut without a close frame",
        NetworkError, OFFLINE,
        "The connection to the Live API was cut; it is opened again when the network is back."),
    "close-quota": Failure(
        "Any close code whose reason names a quota (1011, seldom 1008)",
        Overloaded, LIMIT,
        "The Live API has no capacity or quota left for us at the moment (code {code}).{said}", QUOTA_WAIT_S),
    "close-1013": Failure(
        "Close 1013: come back later",
        Overloaded, LIMIT,
        "The Live API has no capacity left for us at the moment (code 1013).{said}", BUSY_WAIT_S),
    "close-key": Failure(
        "Close 1008 that names the key",
        CredentialError, KEY, "The Live API refuses the key; " + _CHECK_KEY + "{said}"),
    "close-model": Failure(
        "Close 1008: the model is not found",
        ServiceRefused, SERVICE,
        "The Live API does not know the model (code 1008); check live.model and live.api_version.{said}"),
    "close-deadline": Failure(
        "Close 1011: a deadline of the service expired",
        ConnectionEnded, SERVICE, "The Live API ended the session, as its time was up (code 1011).{said}"),
    "close-internal": Failure(
        "Close 1011: any other internal error",
        ConnectionEnded, SERVICE, "The Live API had an internal error (code 1011).{said}"),
    "close-handle": Failure(
        "Close 1007, 1008 or another in a resumed session: perhaps only the handle",
        ConnectionEnded, SERVICE, "The Live API did not continue the earlier session (code {code}).{said}"),
    "close-setup": Failure(
        "Close 1007, 1008 or another before the setup was taken",
        ServiceRefused, SERVICE,
        "The Live API does not accept our setup (code {code}); check live.model and the table [live].{said}"),
    "close-message": Failure(
        "Close 1007 later: a message of ours is wrong",
        ServiceRefused, SERVICE,
        "The Live API does not accept our message (code {code}); check live.model and the table [live].{said}"),
    "close-broken-off": Failure(
        "Close 1008 or another later: a tool's fault, an aborted operation",
        ConnectionEnded, SERVICE, "The Live API broke the session off (code {code}).{said}"),
    "own-1009": Failure(
        "Close 1009 of our own: a message too large",
        ConnectionEnded, SERVICE,
        "The service sent a message larger than this device takes, so the connection was closed."),
    "own-1002": Failure(
        "Close 1002 of our own: broken frames",
        ConnectionEnded, SERVICE, "The service broke the rules of WebSocket, so the connection was closed."),
    # The device itself: whoever finds the fault writes the sentence.
    "key": Failure("The key is missing or cannot be read", CredentialError, KEY, "{detail}"),
    "clock": Failure("The clock stands before the build date", NetworkError, WRONG_TIME, "{detail}"),
    "microphone": Failure("Microphone: absent, busy, broken, or dead for 2 s", DeviceError, MICROPHONE, "{detail}"),
    "loudspeaker": Failure("Loudspeaker: absent, busy, broken, or dead for 2 s", DeviceError, LOUDSPEAKER, "{detail}"),
    "camera": Failure("Camera: absent, busy or broken; talk goes on", DeviceError, CAMERA, "{detail}"),
    "budget": Failure("A budget of money or data is used up", LimitReached, LIMIT, "{detail}"),
    "button": Failure("Button: pressed for implausibly long", DeviceError, BUTTON, "{detail}"),
    "storage": Failure("The memory card cannot be written; talk goes on", DeviceError, STORAGE, "{detail}"),
    "mute-switch": Failure("The mute switch cannot be read: no microphone", DeviceError, MUTE_SWITCH, "{detail}"),
}  # fmt: skip
"""Kind of failure -> what to do, how it is shown, what a person reads."""


def failure(kind: str, *, said: str = "", reason: str = "", wait_s: float | None = None, **words: Any) -> AgentError:
    """Return the error of a row of `FAILURES`.

    Args:
        kind: the row's name (KeyError otherwise).
        said: words of the service, scrubbed of secrets; they end the sentence where the row has room for them.
        reason: the WebSocket's reason, scrubbed, for a `ConnectionEnded`.
        wait_s: the least wait that the service itself asks for; the row's if None.
        words: host, port, code, detail, as far as the row's sentence or class wants them.
    """
    row = FAILURES[kind]
    told = f' The service says: "{said}"' if said else ""
    sentence = row.sentence.format(**words, said=told)
    error: AgentError
    if issubclass(row.error, ConnectionEnded):
        error = row.error(sentence, code=words["code"], reason=reason)
    elif issubclass(row.error, Retry):
        error = row.error(sentence, fault=row.sign.fault, wait_s=row.wait_s if wait_s is None else wait_s)
    else:
        error = row.error(sentence, fault=row.sign.fault)
    error.kind = kind
    return error
