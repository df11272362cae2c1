"""The log of the daemon: to stderr, for the journal or for a person, and never with a secret in it.

    set_up(level="info")
    secrets.add(key)                    # from now on every log line shows *** instead, in whatever form it comes
    secrets.add(token, passing=True)    # one of many that follow each other; the oldest are forgotten
    log = logging.getLogger(__name__)

Under systemd (JOURNAL_STREAM names our stderr) every line carries its priority as `<6>`, and the journal adds the time.
Elsewhere a line starts with the time of day. Sound never goes to the log. What people said goes to the logger
`content` alone, which is silent unless `set_up(content=True)`: for a developer's own machine, not for a device.

Masking happens on the finished text, so that secrets inside arguments, exceptions and stack traces are covered too. A
secret is known in the forms it takes on its way: as it is, percent-encoded, in base64 at any place of a longer text
(as in `Authorization: Basic`), escaped for JSON; and it is known by its first characters, where a text was cut inside
it. An error that nobody caught goes through the log as well.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TextIO
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
MIN_SECRET = 6  # characters; masking a shorter text would blank out half of the log and protect nothing
HEAD = 16  # characters by which a cut secret is known; longer than what tokens of one kind begin with ("auth_tokens/")
MAX_PASSING = 32  # short-lived tokens: a day's, if each lives for three quarters of an hour

_URL_SAFE = str.maketrans("+/", "-_")  # from the standard alphabet of base64 to that of URLs

content = logging.getLogger("edge_agent.content")
"""What people and the model said; silent by default."""


class Secrets:
    """Texts that must never be shown. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lasting: dict[str, frozenset[str]] = {}
        self._passing: dict[str, frozenset[str]] = {}
        self._by_head: dict[str, list[str]] = {}
        self._heads: re.Pattern[str] | None = None

    def add(self, secret: str, *, passing: bool = False) -> None:
        """Register a secret: a key, a password, a header such as `Bearer TOKEN`, or a URL with a password in it.

        Args:
            secret: texts under six characters are not registered.
            passing: it lives for an hour or less, and others will follow it; the last `MAX_PASSING` are remembered.
        """
        with self._lock:
            table = self._passing if passing else self._lasting
            forms = table.pop(secret, None)
            table[secret] = _forms(secret) if forms is None else forms
            if len(self._passing) > MAX_PASSING:
                del self._passing[next(iter(self._passing))]
            if forms is None:
                self._compile()

    def mask(self, text: str) -> str:
        """Return `text` with every registered secret replaced."""
        heads, by_head = self._heads, self._by_head
        if heads is None:
            return text
        parts, done = [], 0
        while found := heads.search(text, done):
            start = found.start()
            parts += [text[done:start], MASK]
            # Secrets may begin alike: the one that reaches farthest counts.
            done = start + max(
                _shared(form, text, start)
                for head, forms in by_head.items()
                if text.startswith(head, start)
                for form in forms
            )
        return "".join([*parts, text[done:]])

    def __repr__(self) -> str:
        return "Secrets(...)"

    def _compile(self) -> None:
        by_head: dict[str, list[str]] = {}
        for forms in (*self._lasting.values(), *self._passing.values()):
            for form in forms:
                by_head.setdefault(form[:HEAD], []).append(form)
        self._by_head = by_head
        self._heads = re.compile("|".join(map(re.escape, by_head))) if by_head else None


secrets = Secrets()
"""The secrets of this process."""


def set_up(
    level: str = "info",
    *,
    content: bool = False,
    stream: TextIO | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Send all logging to stderr in the form its reader wants; calling it again replaces what it did before.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        content: Whether what people said is logged.
        stream: Where to write; stderr by default.
        environment: Where JOURNAL_STREAM is looked up; the process's own by default.
    """
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    handler.name = "edge-agent"
    journal = _is_journal(target, os.environ if environment is None else environment)
    handler.setFormatter(_JournalFormatter() if journal else _TerminalFormatter())
    root = logging.getLogger()
    for old in [one for one in root.handlers if one.name == handler.name]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    sys.excepthook = _log_defect
    logging.getLogger("edge_agent.content").disabled = not content
    # These print what was sent and received, headers included, which is nobody's business even when debugging.
    for talkative in ("httpx", "httpcore", "urllib3", "google"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    if level != "debug":
        # These speak of every frame or task at info level; their warnings still come through.
        for chatty in ("websockets", "asyncio", "matplotlib"):
            logging.getLogger(chatty).setLevel(logging.WARNING)


class _JournalFormatter(logging.Formatter):
    """`<priority>logger: message`, on each line of a stack trace too; syslog priorities (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        text = secrets.mask(super().format(record))
        mark = f"<{_priority(record.levelno)}>"
        first, *rest = text.split("\n")
        return "\n".join([f"{mark}{_short(record.name)}: {first}", *(mark + line for line in rest)])


class _TerminalFormatter(logging.Formatter):
    """`12:34:56.789 warning live.connection: message`."""

    def format(self, record: logging.LogRecord) -> str:
        clock = f"{self.formatTime(record, '%H:%M:%S')}.{int(record.msecs):03d}"
        text = secrets.mask(super().format(record))
        return f"{clock} {record.levelname.lower():7} {_short(record.name)}: {text}"


def _log_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In place of Python's own print to stderr, which would show a secret in the error's text."""
    if issubclass(kind, Exception):
        logging.getLogger("edge_agent").critical("ended by an error nobody caught", exc_info=(kind, error, trace))
    else:
        sys.__excepthook__(kind, error, trace)


def _forms(secret: str) -> frozenset[str]:
    """Return all forms in which a secret may stand in a text."""
    return frozenset(form for text in _bare(secret.strip()) for form in _encoded(text) if len(form) >= MIN_SECRET)


def _bare(secret: str) -> Iterator[str]:
    """Yield what is secret in a header's value, a URL or a token's resource name, and the whole."""
    if "://" in secret:
        try:
            password = urlsplit(secret).password
        except ValueError:
            password = None
        if password:
            yield from {password, unquote(password)}
            return
    scheme, _, given = secret.partition(" ")
    if scheme.lower() in {"bearer", "token", "basic"} and given:
        yield from _bare(given.strip())
        if scheme.lower() == "basic":
            try:
                yield base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return  # not what it says it is; as a whole it is masked above
        return
    yield secret
    _, slash, name = secret.partition("auth_tokens/")
    if slash:
        yield name


def _encoded(text: str) -> Iterator[str]:
    if len(text) < MIN_SECRET:
        return
    yield text
    for kept in ("", "/", "/:@!$&'()*+,;=~"):  # programs differ in what they leave as it is
        quoted = quote(text, safe=kept)
        yield from (quoted, re.sub("%..", lambda found: found[0].lower(), quoted))
    escaped = json.dumps(text)[1:-1]
    yield from (quote_plus(text), escaped, escaped.replace("/", r"\/"), repr(text)[1:-1])
    raw = text.encode()
    for before in range(3):  # bytes of a longer text in the same group of three
        coded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        whole = coded[(0, 2, 3)[before] : len(coded) - (1 if (before + len(raw)) % 3 else 0)]
        yield from (whole, whole.translate(_URL_SAFE))


def _shared(form: str, text: str, start: int) -> int:
    """Return how many characters of `form` stand in `text` from `start` on; 0 if not even its head."""
    if not text.startswith(form[:HEAD], start):
        return 0
    size = min(len(form), HEAD)
    while size < len(form) and start + size < len(text) and text[start + size] == form[size]:
        size += 1
    return size


def _priority(level: int) -> int:
    for bound, priority in ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6)):
        if level >= bound:
            return priority
    return 7


def _short(name: str) -> str:
    return name.removeprefix("edge_agent.")


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether `stream` is the one JOURNAL_STREAM names by device and inode (systemd.exec(5))."""
    named = environment.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # a stream without a file, such as a test's
        return False
    return named == f"{found.st_dev}:{found.st_ino}"
