"""What was said, as text: pieces in, lines out, nothing on disk unless the owner names a file.

    captions = Captions(path=None)
    captions.add("device", "Good mor", finished=False)    # -> "Good mor", the line so far
    captions.wipe()                                       # the visitor has left

A line ends when its speaker's piece says so, when the other speaks, or at `end_turn`. Only the line under way is kept.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

Speaker = Literal["person", "device"]
MAX_LINE = 8_000  # characters; a monologue of ten minutes


class Captions:
    """Joins the pieces of a transcript. `path`: a file that finished lines are appended to; None: none."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.failure = ""
        """Why the file could not be written the last time; "" if it could."""
        self._speaker: Speaker | None = None
        self._line = ""

    def add(self, speaker: Speaker, text: str, *, finished: bool) -> str:
        """Add a piece and return the speaker's line so far."""
        if speaker != self._speaker:
            self.end_turn()
            self._speaker = speaker
        self._line = (self._line + text)[-MAX_LINE:]
        line = self._line.strip()
        if finished:
            self.end_turn()
        return line

    def end_turn(self) -> None:
        """Finish the line under way."""
        line, self._line = self._line.strip(), ""
        speaker, self._speaker = self._speaker, None
        if line and self.path is not None:
            self._append(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {speaker}: {line}\n")

    def wipe(self) -> None:
        """Forget the line under way without writing it."""
        self._line = ""
        self._speaker = None

    def _append(self, line: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:  # type: ignore[union-attr]
                file.write(line)
            self.failure = ""
        except OSError as error:
            self.failure = f"captions.file = {self.path} cannot be written: {error.strerror}"
