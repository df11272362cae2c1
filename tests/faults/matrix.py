"""The fault matrix as data: every fault that is tried, in the order of the page, and the page itself.

`FAULTS` names each fault once: what happens, and what becomes of the speech that was being said. A scene plays it, the
fixture `row` holds what came of it against `docs/faults.md`, and `scripts/make-faults` writes that page anew from what
came of it. What a person sees, hears and gets delivered must be as the page says; times are told, not held.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import FAILURES, Failure

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
FOUND = Path(__file__).parents[2] / "build" / "faults"
"""Where rows are kept on their way into the page."""

NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: `happens` is shown, `speech` is what must become of what was said, in order."""

    group: str
    happens: str
    speech: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it came out."""

    speech: str
    after: str
    saw: str
    heard: str

    @property
    def stable(self) -> tuple[str, str, str]:
        """What does not depend on chance."""
        return self.speech, self.saw, self.heard


CUT = "The line is cut"
LINE = "The line is bad"
LEAVES = "The service takes its leave"
FALTERS = "The service falters"
TOOLS = "A tool fails"
REAL = "On a real line (TCP, real time)"


FAULTS: dict[str, Fault] = {
    "cut-connecting-kiosk": Fault(CUT, "while connecting, push-to-talk", ("whole, once",)),
    "cut-connecting-speaker": Fault(CUT, "while connecting, open microphone", ("whole, once",)),
    "cut-listening-kiosk": Fault(CUT, "while the person speaks, push-to-talk", ("whole, once",)),
    "cut-listening-speaker": Fault(CUT, "while the person speaks, open microphone", ("whole, once",)),
    "cut-listening-gap": Fault(
        CUT, 'the same with `resume_replay = "gap"`', ("its beginning before the cut, the rest after it",)
    ),
    "cut-thinking-kiosk": Fault(CUT, "while the model thinks, push-to-talk", ("whole, once",)),
    "cut-thinking-speaker": Fault(CUT, "while the model thinks, open microphone", ("whole, once",)),
    "cut-speaking-kiosk": Fault(CUT, "in mid-answer, push-to-talk", ("was being answered", "whole, once")),
    "cut-speaking-speaker": Fault(CUT, "in mid-answer, open microphone", ("was being answered", "whole, once")),
    "cut-idle-kiosk": Fault(CUT, "between two questions, push-to-talk", ("whole, once",)),
    "cut-idle-speaker": Fault(CUT, "between two questions, open microphone", ("whole, once",)),
    "cut-prewarm": Fault(CUT, "with a connection kept open ahead, nobody there", ("whole, once",)),
    "outage-5": Fault(LINE, "no network for 5 s while the person speaks", ("whole, once",)),
    "outage-12": Fault(LINE, "no network for 12 s, the press falls into it", ("whole, once",)),
    "outage-40": Fault(LINE, "no network for 40 s, the press falls into it", ("not", "whole, once")),
    "hole-listening": Fault(LINE, "nothing is carried for 8 s while the person speaks", ("whole, once",)),
    "hole-speaking-kiosk": Fault(
        LINE, "nothing is carried any more in mid-answer, push-to-talk", ("was being answered", "whole, once")
    ),
    "hole-speaking-speaker": Fault(
        LINE, "nothing is carried any more in mid-answer, open microphone", ("was being answered", "whole, once")
    ),
    "half-open-up": Fault(LINE, "half open: the service is not reached, but heard", ("whole, once",)),
    "half-open-down": Fault(LINE, "half open: the service is reached, but not heard", ("whole, once",)),
    "delay": Fault(LINE, "each way takes 1 to 2 s", ("whole, once",)),
    "slow-kiosk": Fault(LINE, "64 kbit/s, push-to-talk, a short question", ("whole, once",)),
    "slow-long": Fault(LINE, "64 kbit/s, push-to-talk, ten seconds", ("what was not too old when its time came",)),
    "slow-speaker": Fault(LINE, "64 kbit/s, open microphone", ("what was said before the turn was ended, once",)),
    "pong-35": Fault(LINE, "pongs come 35 s late, for ten minutes", ("whole, once",)),
    "leave-60": Fault(LEAVES, "`goAway` with 60 s left, between two questions", ("whole, once",)),
    "leave-60-speaking": Fault(LEAVES, "`goAway` with 60 s left, in mid-answer", ("whole, once", "whole, once")),
    "leave-1-speaking": Fault(LEAVES, "`goAway` with 1 s left, in mid-answer", ("was being answered", "whole, once")),
    "leave-1-listening": Fault(LEAVES, "`goAway` with 1 s left, while the person speaks", ("whole, once",)),
    "leave-0-listening": Fault(LEAVES, "`goAway` with 0 s left, while the person speaks", ("whole, once",)),
    "leave-0-speaking": Fault(LEAVES, "`goAway` with 0 s left, in mid-answer", ("was being answered", "whole, once")),
    "leave-twice": Fault(LEAVES, "two `goAway` in a row, the second from the new connection", ("whole, once",)),
    "leave-1011-listening": Fault(
        LEAVES, "no `goAway`, then close code 1011, while the person speaks", ("whole, once",)
    ),
    "leave-1011-idle": Fault(LEAVES, "no `goAway`, then close code 1011, between two questions", ("whole, once",)),
    "refused-1007": Fault(LEAVES, "the line is cut, and the handle is refused with 1007", ("whole, once",)),
    "refused-1008": Fault(LEAVES, "the line is cut, and the handle is refused with 1008", ("whole, once",)),
    "refused-1011": Fault(LEAVES, "the line is cut, and the handle is refused with 1011", ("whole, once",)),
    "stall-nudge": Fault(FALTERS, "no answer after the question; it comes when asked for once more", ("whole, once",)),
    "stall-known": Fault(
        FALTERS, "no answer; asking again only brings a handle that knows the question", ("whole, once",)
    ),
    "stall-reopen": Fault(FALTERS, "no answer; it comes on a resumed connection", ("whole, once",)),
    "stall-retell": Fault(
        FALTERS, "no answer; it comes from a new session that is told the story", ("told in writing",)
    ),
    "stall-tell": Fault(FALTERS, "no answer at all", ("delivered, not answered", "whole, once")),
    "empty": Fault(FALTERS, "`turnComplete` without any sound", ("whole, once", "whole, once")),
    "late-tail": Fault(FALTERS, "`interrupted`, followed by sound of the old answer", ("whole, once", "whole, once")),
    "busy-60": Fault(FALTERS, "the service answers 429 for a minute", ("not", "whole, once")),
    "clock": Fault(FALTERS, "the clock stands ten years back, then is set", ("not", "whole, once")),
    "blocked": Fault(
        FALTERS,
        "a proxy answers every upgrade with 403, until its owner lets them through",
        ("in a request", "whole, once"),
    ),
    "frames": Fault(FALTERS, "a message that cannot be read, in mid-answer", ("whole, once", "whole, once")),
    "oversized": Fault(FALTERS, "a message of 40 MB in mid-answer", ("was being answered", "whole, once")),
    "truncated": Fault(FALTERS, "half a frame in mid-answer, then silence", ("was being answered", "whole, once")),
    "tool-cancelled": Fault(TOOLS, "the call is cancelled while it runs", ("whole, once", "whole, once")),
    "tool-hangs": Fault(TOOLS, "it never returns", ("whole, once",)),
    "tool-raises": Fault(TOOLS, "it raises", ("whole, once",)),
    "tool-cut": Fault(TOOLS, "the line is cut while it runs", ("whole, once",)),
    "real-cut": Fault(REAL, "RST while the person speaks", ("whole, once",)),
    "real-fin": Fault(REAL, "FIN while the person speaks", ("whole, once",)),
    "real-hole": Fault(REAL, "nothing is carried for 5 s while the person speaks", ("whole, once",)),
    "real-half-open": Fault(REAL, "the service is reached, but not heard for 5 s", ("whole, once",)),
    "real-bytes": Fault(REAL, "cut after 20 kB of the answer", ("was being answered",)),
    "real-delay": Fault(REAL, "each way takes 0.3 to 0.8 s", ("whole, once",)),
    "real-slow": Fault(REAL, "64 kbit/s, push-to-talk, a short question", ("whole, once",)),
    "real-slow-long": Fault(
        REAL, "64 kbit/s, push-to-talk, seven seconds", ("what was not too old when its time came",)
    ),
}

HEAD = """\
# Faults

What happens to what a person says, sees and hears when something goes wrong. This page is made by the tests
(`scripts/make-faults`); they fail when it is no longer true.

Each row is a whole device (the real agent, the real connection) against the Live API twin, with two sound devices of
air, over a line that fails on purpose; in virtual time unless the row says *real line*. People speak coded noise, and
"whole, once" means that all of it, from the first syllable before the press, stands exactly once in the conversation
that the model knows in the end. A resumption handle is a snapshot there: what was sent after the newest one counts
only if it was sent again. "Was being answered" means that the answer had begun: what has come of it is played, and the
question is not asked again.

*after* is the time from the fault until the answer began, or until the device was ready again, in seconds. *light*
begins with what was shown at the fault. *said* are the device's own sounds from the fault on: cues, and sentences in
quotation marks.
"""

CODES = """\
## What each failure means

The table the device goes by (`edge_agent/errors.py`): what is noticed, what the device does, the fault's number, the
light at rest while it lasts, the sentence it speaks when somebody waits, and the sentence in `status` and the log.

| noticed | the device will | fault | light | speaks | says |
|---|---|---|---|---|---|
"""


def render(rows: dict[str, Row]) -> str:
    """Return the page."""
    lines = [HEAD]
    for group, keys in itertools.groupby(FAULTS, key=lambda key: FAULTS[key].group):
        lines += [f"## {group}", "", "| what happens | what was said | after | light | said |", "|---|---|---|---|---|"]
        for key in keys:
            row = rows[key]
            lines.append(f"| {FAULTS[key].happens} | {row.speech} | {row.after} | {row.saw} | {row.heard} |")
        lines.append("")
    return "\n".join(lines) + "\n" + CODES + "".join(map(_failure, FAILURES.values()))


def _failure(failure: Failure) -> str:
    sentence = " ".join(failure.sentence.split()).replace("|", "\\|")
    sign = failure.sign
    cells = (failure.when, failure.answer, str(sign.fault.value), sign.light, f'"{sign.prompt}"', sentence)
    return "| " + " | ".join(cells) + " |\n"


def read(page: str) -> dict[str, Row]:
    """Return the rows of a page by key."""
    by_name = {(fault.group, fault.happens): key for key, fault in FAULTS.items()}
    rows: dict[str, Row] = {}
    group = ""
    for line in page.splitlines():
        if line.startswith("## "):
            group = line[3:]
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 5 and (group, cells[0]) in by_name:
            rows[by_name[group, cells[0]]] = Row(*cells[1:])
    return rows


def keep(key: str, row: Row) -> None:
    """Put a row aside for the page."""
    FOUND.mkdir(parents=True, exist_ok=True)
    text = json.dumps([row.speech, row.after, row.saw, row.heard])
    (FOUND / f"{key}.json").write_text(text)


def kept() -> dict[str, Row]:
    """Return the rows put aside."""
    return {path.stem: Row(*json.loads(path.read_text())) for path in FOUND.glob("*.json")}


if __name__ == "__main__":
    found = read(PAGE.read_text()) if PAGE.exists() else {}
    found.update(kept())
    missing = [key for key in FAULTS if key not in found]
    if missing:
        raise SystemExit(f"no row was found for {', '.join(missing)}")
    PAGE.write_text(render(found))
