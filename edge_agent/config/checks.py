"""What an address, a proxy, a credential, a language or hours may look like: checks for `setting(check=...)`.

Each takes a string and returns what is allowed when it is refused, None when it is fine; `bare_url`, `reach` and
`span` are what they are made of. A secret is named by where it lies (`file:NAME`, `env:NAME`), so that a configuration
can be shown, sent and kept.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Literal
from urllib.parse import SplitResult, urlsplit

BUILT_IN_WORDS = ("okay_nabu", "hey_jarvis", "hey_mycroft", "alexa")
"""Wake words whose models come with pymicro-wakeword."""

MAX_WORDS = 4  # each costs the sound thread half a thousandth of its time, and the household its own false hits
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,99}/[a-z][a-z0-9-]{1,39}")
_LOCAL_ENDINGS = (".local", ".lan", ".home", ".home.arpa", ".internal")  # names that no public server has
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}")
_PROXIES = {"http", "socks5", "socks5h", "socks4", "socks4a"}


def live_url(value: str) -> str | None:
    """Allow the address of the Live API: encrypted, or a twin on this machine."""
    if not value:
        return None
    parts = bare_url(value)
    if parts is None:
        return "scheme, host (an IPv6 address in [ ]) and port (1 to 65535) only; keys never stand in a URL"
    host = parts.hostname or ""
    if host and (parts.scheme == "wss" or (parts.scheme == "ws" and reach(host) == "machine")):
        return None
    return "wss://HOST[:PORT], or ws:// to this machine only"


def credential(value: str) -> str | None:
    """Allow a credential of any kind, by where it lies and never itself."""
    kind, _, rest = value.partition(":")
    if kind == "ephemeral" and rest:
        return _broker_url(rest)
    if kind == "vertex" and rest:
        return None if _PLACE.fullmatch(rest) else "vertex:PROJECT/LOCATION, such as vertex:museum-1/europe-west4"
    if kind in {"file", "env"} and rest:
        return None
    return "file:NAME, env:NAME, ephemeral:URL or vertex:PROJECT/LOCATION"


def proxy(value: str) -> str | None:
    """Allow a proxy, or where its address stands."""
    try:
        parts = urlsplit(value)
        known = parts.scheme in _PROXIES and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if value in {"", "none"} or (known and parts.path in {"", "/"} and not parts.query and not parts.fragment):
        return None
    if value.startswith(("file:", "env:")) and "@" not in value and value.partition(":")[2]:
        return None
    return '"", "none", file:NAME, env:NAME, or http://, socks5://, socks5h://, socks4:// or socks4a://[user:password@]host:port'


def secret(value: str) -> str | None:
    """Allow where a secret lies."""
    kind, _, rest = value.partition(":")
    if not value or (kind in {"file", "env"} and rest):
        return None
    return "file:NAME, file:PATH, env:NAME or nothing; the secret itself does not go there"


def file(value: str) -> str | None:
    """Allow where a file of certificates or keys lies."""
    kind, _, rest = value.partition(":")
    return None if not value or (kind == "file" and rest) else "file:NAME, file:PATH or nothing"


def daily_hours(value: str) -> str | None:
    """Allow hours that come every day, or none."""
    found = span(value)
    if not value or (found is not None and found[0] != found[1]):
        return None
    return 'HH:MM-HH:MM with 24 hours and two different times, such as "22:00-07:00", or nothing'


def span(value: str) -> tuple[int, int] | None:
    """Return hours of the day as minutes since midnight, the end not included; None if they are no hours.

    The second number is below the first where they pass midnight: "22:00-07:00" is (1320, 420).
    """
    found = _HOURS.fullmatch(value)
    if found is None:
        return None
    begin_hour, begin, end_hour, end = map(int, found.groups())
    return 60 * begin_hour + begin, 60 * end_hour + end


def language(value: str) -> str | None:
    """Allow the code of a language, which is also the name of a file; an underscore goes for a hyphen."""
    return None if _LANGUAGE.fullmatch(value) else "a BCP-47 code, such as de or de-AT"


def wake_words(value: str) -> str | None:
    """Allow wake words: built-in names and paths of models, several with commas. Whether a file fits is not asked."""
    words = split_words(value)
    if value.strip() and (len(words) > MAX_WORDS or len(set(words)) < len(words) or not all(map(_is_word, words))):
        return f"up to {MAX_WORDS} different ones of {', '.join(BUILT_IN_WORDS)}, or paths of .json or .tflite files"
    return None


def wake_stop(value: str) -> str | None:
    """Allow the path of one model, or none."""
    return None if not value or _is_model_path(value) else 'the path of a .json or .tflite file, or ""'


def split_words(value: str) -> list[str]:
    """Return the parts of a list with commas, without the blanks around them; none of ""."""
    return [part.strip() for part in value.split(",")] if value.strip() else []


def bare_url(value: str) -> SplitResult | None:
    """Take a URL apart; None if it is none, or holds more than scheme, host, port and path."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return None
    more = parts.username or parts.password or parts.query or parts.fragment
    return None if port == 0 or more else parts


def reach(host: str) -> Literal["machine", "network", "public"]:
    """Tell how far away a host of a URL is: this machine, the local network, or anywhere.

    A name without a dot and one under .local, .lan, .home, .home.arpa or .internal is of the local network: no public
    name server knows it.
    """
    if host == "localhost":
        return "machine"
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "network" if "." not in host or host.endswith(_LOCAL_ENDINGS) else "public"
    if address.is_loopback:
        return "machine"
    return "network" if address.is_private and not address.is_unspecified else "public"


def _broker_url(value: str) -> str | None:
    parts = bare_url(value)
    if parts is None:
        return "ephemeral:https://HOST[:PORT][/PATH] and nothing more; secrets never stand in a URL, see [broker]"
    host = parts.hostname or ""
    if host and (parts.scheme == "https" or (parts.scheme == "http" and reach(host) == "machine")):
        return None
    return "ephemeral:https://HOST[:PORT][/PATH], or http:// to this machine only"


def _is_word(value: str) -> bool:
    return value in BUILT_IN_WORDS or _is_model_path(value)


def _is_model_path(value: str) -> bool:
    return value.isprintable() and "," not in value and value.endswith((".json", ".tflite"))
