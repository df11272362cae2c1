"""The log of the daemon: to stderr, for the journal or for a person, and never with a secret in it.

    set_up(level="info")
    secrets.add(key)                    # from now on every log line shows *** instead
    log = logging.getLogger(__name__)

Under systemd (JOURNAL_STREAM names our stderr) every line carries its priority as `<6>`, and the journal adds the time.
Elsewhere a line starts with the time of day. Sound never goes to the log. What people said goes to the logger
`content` alone, which is silent unless `set_up(content=True)`: for a developer's own machine, not for a device.

Masking happens on the finished text, so that secrets inside arguments, exceptions and stack traces are covered too.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO
from urllib.parse import quote

MASK = "***"
MIN_SECRET = 6  # characters; masking a shorter text would blank out half of the log and protect nothing

content = logging.getLogger("edge_agent.content")
"""What people and the model said; silent by default."""


class Secrets:
    """Texts that must never be shown."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, secret: str) -> None:
        """Register a secret; its percent-encoded form is masked too. Texts under six characters are not registered."""
        secret = secret.strip()
        if len(secret) < MIN_SECRET:
            return
        forms = {secret, quote(secret, safe="")} - set(self._texts)
        self._texts = sorted([*self._texts, *forms], key=len, reverse=True)  # the longest first: one may hold another

    def mask(self, text: str) -> str:
        """Return `text` with every registered secret replaced."""
        for secret in self._texts:
            text = text.replace(secret, MASK)
        return text


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
    logging.getLogger("edge_agent.content").disabled = not content
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
