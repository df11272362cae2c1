"""What a person reads while `edge-agent ctl watch` runs: one line for each thing that happened.

    view = View(print_line, transient)       # transient: shows a line that the next one replaces
    for event in watch(path):
        view.show(event)
    view.close()

Captions come in pieces; a line is printed once, when it is complete or something else begins. Levels, and lines that
still grow, are only shown where a line can be renewed.

Captions come in any script. `cells` counts the columns a terminal gives to a text (two for a Chinese letter, none for a
vowel sign above another), `clip` cuts by them, and what would steer the terminal instead of standing in it is left out:
control characters, and the marks that turn the direction of all that follows. Pure.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

_METER_DB = 60.0  # range of the level meter; below lies the noise of a quiet room
_METER_WIDTH = 20
_TURNING = {"state", "turn", "conversation"}
"""Events after which a caption that was under way is not waited for any longer."""
_TURNERS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
"""Marks of writing direction; letters bring their own. The joiners of Persian and Indic scripts are none of them."""
_NO_WIDTH = {"Mn", "Me", "Cf"}


class View:
    """Turns events into lines.

    Args:
        line: Takes a line that stays.
        transient: Takes a line that the next line of either kind replaces; None where that cannot be.
    """

    def __init__(self, line: Callable[[str], None], transient: Callable[[str], None] | None = None) -> None:
        self._line = line
        self._transient = transient
        self._speaker: Any = None
        self._printed = ""
        self._pending: tuple[dict[str, Any], str] | None = None

    def show(self, event: dict[str, Any]) -> None:
        """Show one event."""
        kind = event.get("event")
        if kind == "caption":
            self._caption(event)
        elif kind == "level":
            if self._transient and self._pending is None:
                self._transient(readable(event))
        else:
            if kind in _TURNING:
                self.close()
            self._line(readable(event))

    def close(self) -> None:
        """Print a caption that is still under way."""
        if self._pending is None:
            return
        (event, text), self._pending = self._pending, None
        rest = _unprinted(text, self._printed)
        self._printed = text
        if rest:
            self._line(readable({**event, "text": rest, "line": rest}))

    def _caption(self, event: dict[str, Any]) -> None:
        speaker = event.get("speaker")
        if speaker != self._speaker:
            self.close()
            self._speaker, self._printed = speaker, ""
        text = str(event.get("line") or event.get("text") or "")
        self._pending = (event, text)
        if event.get("finished", True):
            self.close()
            self._speaker = None
        elif self._transient:
            rest = _unprinted(text, self._printed)
            self._transient(readable({**event, "text": rest, "line": rest}) + " ...")


def readable(event: dict[str, Any]) -> str:
    """Return the line a person reads for an event."""
    kind = str(event.get("event", "?"))
    rest = {key: one for key, one in event.items() if key not in {"event", "t", "audio_s"}}
    if kind == "caption":
        body = f"{rest.get('speaker') or 'somebody'}: {rest.get('line') or rest.get('text') or ''}"
    elif kind in {"state", "status"}:
        why = rest.get("why")
        body = f"{rest.get('state', '?')}  ({why})" if why else str(rest.get("state", "?"))
    elif kind == "level":
        body = f"mic {_meter(rest.get('mic_dbfs'))}  out {_meter(rest.get('speaker_dbfs'))}"
        body += "  CLIPPED" if rest.get("clipped") else ""
    elif kind == "fault":
        fault = rest["fault"] if isinstance(rest.get("fault"), dict) else rest
        body = f"{fault['code']}: {fault.get('text', '')}" if fault.get("code") is not None else "none any more"
    elif kind == "grounding":
        body = f"searched for {_listed(rest.get('queries'))}; found {_listed(rest.get('sources'))}"
    elif kind == "lost":
        body = f"{rest.get('count', '?')} events were lost: this terminal reads too slowly"
    else:
        body = "  ".join(f"{key} {value(one)}" for key, one in rest.items() if one is not None and one != "")
    clock = f"{event['t']:10.3f}" if isinstance(event.get("t"), (int, float)) else " " * 10
    return f"{clock}  {kind:10}  {plain(body)}".rstrip()


def plain(text: str) -> str:
    """Return the text without what would steer a terminal; a line break or a tab becomes a space."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        " " if one.isspace() else one
        for one in text
        if one.isspace() or (unicodedata.category(one) != "Cc" and ord(one) not in _TURNERS)
    )


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes, at most."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def clip(text: str, width: int, *, tail: bool = False) -> str:
    """Return as much of the beginning of a text (with `tail`: of its end) as fits into `width` columns."""
    if cells(text) <= width:
        return text
    kept, used = [], 0
    for one in reversed(text) if tail else text:
        used += _cells_of(one)
        if used > width:
            break
        kept.append(one)
    if tail:
        while kept and not _cells_of(kept[-1]):
            kept.pop()  # a sign whose letter was cut off
        kept.reverse()
    return "".join(kept)


def value(one: Any) -> str:
    """Return a JSON value as a person reads it."""
    if one is None:
        return "-"
    if isinstance(one, bool):
        return "yes" if one else "no"
    if isinstance(one, float):
        digits = 3 if abs(one) >= 0.1 else 6  # a turn costs a thousandth of a dollar, and less
        return f"{one:.{digits}f}".rstrip("0").rstrip(".")
    return one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)


def _listed(entries: Any) -> str:
    """Return queries, or pages by their titles, in one line; the HTML beside them is for a screen of its own."""
    named = [one.get("title") or one.get("uri") if isinstance(one, dict) else one for one in entries or ()]
    return ", ".join(str(one) for one in named if one) or "nothing"


def _cells_of(letter: str) -> int:
    if unicodedata.category(letter) in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _unprinted(text: str, printed: str) -> str:
    return text.removeprefix(printed).strip() if printed else text


def _meter(dbfs: Any) -> str:
    if not isinstance(dbfs, (int, float)):
        return f"{'':{_METER_WIDTH}}  -inf dB"
    filled = round(max(0.0, min(1.0, 1 + dbfs / _METER_DB)) * _METER_WIDTH)
    return f"{'#' * filled:{_METER_WIDTH}} {dbfs:5.1f} dB"
