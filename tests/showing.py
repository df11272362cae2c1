"""What a run shows to anybody, searched for secrets.

shown = Shown()
with shown.listening():               # every log record, before the log masks it
    ...
    shown.add("watch", device.events)
shown.files(tmp_path)                 # what lies on the disk, but for the secrets' own files
assert not shown.of(KEY)
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

MAX_FILE_BYTES = 1 << 20  # text files of a device are small; sound is not text


def forms(secret: str) -> list[str]:
    """The forms in which a secret is looked for: as it is, in a URL, in base64 alone and after a user's name."""
    raw = secret.encode()
    alone = base64.b64encode(raw).decode().rstrip("=")[:-1]
    return [
        secret,
        quote(secret, safe=""),
        alone,
        alone.translate(str.maketrans("+/", "-_")),
        secret[: -len(secret) // 3],
    ]


class Shown(logging.Handler):
    """Texts by where they were seen."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record as it would be printed, with its trace."""
        self.texts.append((f"log {record.name}", logging.Formatter().format(record)))

    def add(self, where: str, what: Any) -> None:
        """Keep a text, or what JSON can hold."""
        self.texts.append((where, what if isinstance(what, str) else json.dumps(what, default=repr)))

    @contextlib.contextmanager
    def listening(self, level: int | None = None) -> Iterator[None]:
        """Keep the log; with `level`, of every logger that far down."""
        root = logging.getLogger()
        before = root.level
        root.addHandler(self)
        if level is not None:
            root.setLevel(level)
        try:
            yield
        finally:
            root.setLevel(before)
            root.removeHandler(self)

    def files(self, folder: Path, *, but: tuple[str, ...] = ("key",)) -> None:
        """Keep the text of every file below a folder, except files of these names, where secrets belong."""
        for path in folder.rglob("*"):
            if path.is_file() and path.name not in but and path.stat().st_size <= MAX_FILE_BYTES:
                self.add(f"file {path.name}", path.read_bytes().decode(errors="replace"))

    def of(self, *secrets: str) -> list[str]:
        """Where one of these secrets was seen, with a piece of the text around it."""
        found = []
        for where, text in self.texts:
            for form in (form for secret in secrets for form in forms(secret)):
                at = text.find(form)
                if at >= 0:
                    found.append(f"{where}: {text[max(0, at - 60) : at + 60]!r}")
                    break
        return found
