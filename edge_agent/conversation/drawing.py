"""The conversation on paper: `docs/states.md` and its picture, drawn from the tables and from the machine itself.

    steps = walk()
    picture(steps)                                     # SVG: what leads from where to where
    page(steps, sentences={"goodbye": "Goodbye."})     # Markdown: states, moves, steps, lights, signals

Nothing here decides; `scripts/draw-states` writes what these return. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from html import escape
from typing import Any, NamedTuple

from edge_agent.conversation import events as ev
from edge_agent.conversation.indicator import SIGNALS, Situation, light
from edge_agent.conversation.moves import AWAKE, BUSY, MOVES, REST, State
from edge_agent.conversation.rules import BLOCKING
from edge_agent.conversation.walk import MODES, Steps
from edge_agent.errors import Fault

PICTURE = "pictures/states.svg"
"""Where the page looks for its picture, from the page's folder."""


def page(steps: Steps, *, sentences: Mapping[str, str]) -> str:
    """Return `docs/states.md`; `sentences` are the device's own by name."""
    return "\n".join(
        [
            "<!-- Drawn from the code by scripts/draw-states: change the tables there, then run it again. -->",
            "",
            "# States",
            "",
            "What the device is doing, what leads from one state to the next, and what is seen and heard of it. All of",
            "it is decided in `edge_agent/conversation/`; this page is drawn from the tables there, and a test fails",
            "when it is no longer true.",
            "",
            f"![The states and the events that lead from one to the next]({PICTURE})",
            "",
            f"At rest are {_listed(REST)}; a conversation is in {_listed(BUSY)}.",
            "Mute is no state but a flag beside it. A device at rest shows as `fault` the first of these that holds:",
            f"{_faults(BLOCKING)}; any other fault leaves it usable.",
            "`updating` is kept for updates, which this version does not have yet: nothing leads there.",
            "",
            "## Moves",
            "",
            "The table the machine goes by: in these states, on this event, its rule is run, and it ends in one of",
            "those states. An event in a state without a row is logged and changes nothing.",
            "",
            *_table(
                ["event", "in", "rule", "may end in", "why"],
                [
                    [f"`{move.on.__name__}`", _named(move.within), f"`{move.rule}`", _named(move.to), move.why]
                    for move in MOVES
                ],
            ),
            "",
            *_table(["event", "what happened"], [[f"`{one.__name__}`", _summary(one)] for one in _events()]),
            "",
            "## Steps",
            "",
            "Where the rules really lead: found by driving the machine through every course of events that can happen",
            f"with {', with '.join(MODES)}, while the microphone may fail and the line may be cut, refused or",
            f"not yet trusted. *Italic* happens with {_PUSH} only, **bold** with an {_OPEN} only,",
            "whether the device sends all it hears or listens by itself.",
            "",
            *_table(
                ["from", "to", "on"],
                [
                    [source.value, target.value, ", ".join(_marked(name, modes) for name, modes in on)]
                    for (source, target), on in _pairs(steps)
                ],
            ),
            "",
            "## Light",
            "",
            "What the light shows: `listening` while what is said is sent, `attentive` while a voice is waited for; N:",
            "the number of the fault, or of what is tried for an answer that does not come. The patterns are in",
            "`edge_agent/panel/patterns.toml`; the [light card](pictures/light-card.svg) draws them.",
            "",
            *_table(["state", "light", "light while muted"], _lights()),
            "",
            "## Signals",
            "",
            "What a moment sounds like: a cue, and a sentence where a tone alone would puzzle.",
            "",
            *_table(["moment", "cue", "sentence"], _signals(sentences)),
            "",
        ]
    )


def picture(steps: Steps) -> str:
    """Return the state diagram as SVG, the states of rest drawn as one box."""
    between: dict[tuple[str, str], dict[str, frozenset[str]]] = {}
    for (source, name, target), modes in steps.items():
        ends = (_box(source), _box(target))
        if ends[0] != ends[1]:
            names = between.setdefault(ends, {})
            names[name] = names.get(name, frozenset()) | modes
    arrows = [_arrow(ends, sorted(names.items())) for ends, names in sorted(between.items())]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"',
            f' height="{_HEIGHT}" font-family="DejaVu Sans, Verdana, sans-serif" role="img" aria-labelledby="t">',
            '<title id="t">The states of edge-agent and the events that lead from one to the next</title>',
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8"',
            ' orient="auto"><path d="M0 0 10 5 0 10z" fill="#7b8794"/></marker></defs>',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
            *(line for line, _ in arrows),
            *(_state(name) for name in _PLACES),
            *(label for _, label in arrows),
            *_legend(),
            "</svg>",
            "",
        ]
    )


# The page's tables.


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines]


def _named(states: frozenset[State]) -> str:
    """Return a set of states in the fewest words."""
    names = {
        frozenset(State): "any",
        frozenset(State) - {State.UPDATING}: "any but updating",
        AWAKE: "any but starting, updating",
        BUSY: "any of a conversation",
        REST: "any at rest",
    }
    if states in names:
        return names[states]
    if states > REST:
        return f"{_named(states - REST)}, or any at rest"
    return _listed(states)


def _listed(states: frozenset[State]) -> str:
    return ", ".join(state.value for state in State if state in states)


def _faults(faults: Iterable[Fault]) -> str:
    return ", ".join(fault.name.lower().replace("_", " ") for fault in faults)


def _events() -> list[type[ev.Event]]:
    return list(dict.fromkeys(move.on for move in MOVES))


def _summary(event: type[ev.Event]) -> str:
    return (event.__doc__ or "").partition("\n")[0].rstrip(".")


def _pairs(steps: Steps) -> list[tuple[tuple[State, State], list[tuple[str, frozenset[str]]]]]:
    pairs: dict[tuple[State, State], list[tuple[str, frozenset[str]]]] = {}
    order = list(State)
    for (source, name, target), modes in sorted(steps.items(), key=lambda step: step[0][1]):
        if source is not target:
            pairs.setdefault((source, target), []).append((name, modes))
    return sorted(pairs.items(), key=lambda pair: [order.index(one) for one in pair[0]])


_PUSH, _OPEN, *_ = MODES


def _everywhere(modes: frozenset[str]) -> bool:
    """It happens with push-to-talk and with an open microphone of either kind."""
    return _PUSH in modes and len(modes) > 1


def _marked(name: str, modes: frozenset[str]) -> str:
    if _everywhere(modes):
        return name
    return f"*{name}*" if _PUSH in modes else f"**{name}**"


_BESIDE: Mapping[State, Mapping[str, Mapping[str, Any]]] = {
    State.CONNECTING: {"the answer does not come": {"rung": 1}},
    State.LISTENING: {"waiting for a voice": {"waiting": True}},
    State.THINKING: {"the answer does not come": {"rung": 1}, "one question at a time": {"degraded": True}},
}
"""What else the light depends on."""


def _lights() -> list[list[str]]:
    rows = []
    for state in State:
        fault = Fault.MICROPHONE if state is State.FAULT else None
        rows.append([state.value, *_shown(Situation(state, False, fault))])
        for when, facts in _BESIDE.get(state, {}).items():
            rows.append([f"{state.value}, {when}", *_shown(Situation(state, False, fault, **facts))])
    alarms = {state: Situation(state, False, Fault.MICROPHONE, ringing=True, waiting=True) for state in State}
    ringing = frozenset(state for state, situation in alarms.items() if light(situation) == "ringing")
    rows.append([f"{_listed(ringing)}, an alarm rings", *_shown(alarms[State.IDLE])])
    return rows


def _shown(situation: Situation) -> list[str]:
    """Return the light, and the light while muted."""
    names = [light(replace(situation, muted=muted)) for muted in (False, True)]
    return [re.sub(r"^(fault|healing)-\d+$", r"\1-N", name) for name in names]


def _signals(sentences: Mapping[str, str]) -> list[list[str]]:
    rows = []
    for moment, signal in SIGNALS.items():
        said = "the fault's own" if signal.prompt == "fault" else sentences[signal.prompt] if signal.prompt else ""
        rows.append([moment, f"`{signal.cue}`", said])
    return rows


# The picture.

_REST = "at rest"
_WIDTH, _HEIGHT = 1180, 790


class _Place(NamedTuple):
    """A box: its middle, width and height in pixels."""

    x: int
    y: int
    width: int
    height: int


_PLACES = {
    State.STARTING.value: _Place(110, 60, 130, 44),
    _REST: _Place(110, 380, 180, 200),
    State.CONNECTING.value: _Place(520, 220, 150, 50),
    State.LISTENING.value: _Place(1020, 220, 150, 50),
    State.THINKING.value: _Place(1020, 540, 150, 50),
    State.SPEAKING.value: _Place(520, 540, 150, 50),
}


class _Bend(NamedTuple):
    """How an arrow runs: its ends from the middles of its boxes, its bow's height, where its words stand (0 to 1)."""

    start: tuple[int, int] = (0, 0)
    end: tuple[int, int] = (0, 0)
    bow: int = 0
    words: float = 0.5


_L, _T = State.LISTENING.value, State.THINKING.value
_C, _S = State.CONNECTING.value, State.SPEAKING.value
_BENDS: dict[tuple[str, str], _Bend] = {
    (_REST, _C): _Bend((0, -95), (0, -15), 0, 0.5),
    (_C, _REST): _Bend((0, 15), (0, -20), 0, 0.5),
    (_REST, _S): _Bend((0, 20), (0, -15), 0, 0.5),
    (_S, _REST): _Bend((0, 15), (0, 85), 0, 0.5),
    (_REST, _L): _Bend((-20, -60), (40, 0), -225, 0.5),
    (_L, _REST): _Bend((0, 0), (30, -60), -150, 0.5),
    (_REST, _T): _Bend((30, 60), (0, 0), 150, 0.5),
    (_T, _REST): _Bend((40, 0), (-20, 60), 220, 0.5),
    (_L, _T): _Bend((-50, 0), (-50, 0), 0, 0.4),
    (_T, _L): _Bend((50, 0), (50, 0), 0, 0.4),
    (_C, _T): _Bend((20, 0), (-10, 0), 0, 0.22),
    (_T, _C): _Bend((-40, 0), (-5, 0), 0, 0.18),
    (_L, _S): _Bend((-40, 0), (-5, 0), 0, 0.24),
    (_S, _L): _Bend((20, 0), (-10, 0), 0, 0.3),
    (_S, _C): _Bend((-50, 0), (-50, 0), 0, 0.5),
}
_TWIN_GAP = 13  # half the distance of two straight arrows that run against each other
_COLORS = {True: "#1f2933", False: "#0b6e99"}
_ONE_LINE = 15  # pixels
_PER_LINE = 3  # events named on one line


def _box(state: State) -> str:
    return _REST if state in REST else state.value


def _state(name: str) -> str:
    place = _PLACES[name]
    left, top = place.x - place.width // 2, place.y - place.height // 2
    rect = (
        f'<rect x="{left}" y="{top}" width="{place.width}" height="{place.height}" rx="12" '
        f'fill="{"#f5f7fa" if name == _REST else "#e3f2fd"}" stroke="#334e68" stroke-width="1.5"/>'
    )
    if name != _REST:
        return rect + _text(place.x, place.y + 5, name, size=15, bold=True)
    lines = [_text(place.x, top + 30, name, size=13, color="#52606d")]
    inside = [state.value for state in State if state in REST]
    lines += [_text(place.x, top + 64 + 30 * row, one, size=15, bold=True) for row, one in enumerate(inside)]
    return rect + "".join(lines)


def _arrow(ends: tuple[str, str], names: list[tuple[str, frozenset[str]]]) -> tuple[str, str]:
    """Return an arrow and its words."""
    source, target = _PLACES[ends[0]], _PLACES[ends[1]]
    bend = _BENDS.get(ends)
    if bend is None:
        length = math.hypot(target.x - source.x, target.y - source.y)
        side = (-(target.y - source.y) / length * _TWIN_GAP, (target.x - source.x) / length * _TWIN_GAP)
        bend = _Bend((round(side[0]), round(side[1])), (round(side[0]), round(side[1])), 0, 0.5)
    inner = (source.x + bend.start[0], source.y + bend.start[1])
    outer = (target.x + bend.end[0], target.y + bend.end[1])
    middle = ((inner[0] + outer[0]) / 2, (inner[1] + outer[1]) / 2 + 2 * bend.bow)
    begin, end = _edge(source, inner, middle), _edge(target, outer, middle)
    path = f"M{begin[0]:.0f} {begin[1]:.0f}Q{middle[0]:.0f} {middle[1]:.0f} {end[0]:.0f} {end[1]:.0f}"
    line = f'<path d="{path}" fill="none" stroke="#7b8794" stroke-width="1.5" marker-end="url(#tip)"/>'
    x, y = (_along(begin[axis], middle[axis], end[axis], bend.words) for axis in (0, 1))
    rows = [names[at : at + _PER_LINE] for at in range(0, len(names), _PER_LINE)]
    top = y - _ONE_LINE * (len(rows) - 1) / 2 + 4
    label = "".join(_words(x, top + _ONE_LINE * row, part) for row, part in enumerate(rows))
    return line, label


def _edge(place: _Place, inside: tuple[float, float], toward: tuple[float, float]) -> tuple[float, float]:
    """Return where the line from a point inside a box towards another leaves the box."""
    dx, dy = toward[0] - inside[0], toward[1] - inside[1]
    shares = []
    for delta, at, middle, size in ((dx, inside[0], place.x, place.width), (dy, inside[1], place.y, place.height)):
        if delta:
            border = middle + math.copysign(size / 2, delta)
            shares.append((border - at) / delta)
    share = min(shares)
    return inside[0] + share * dx, inside[1] + share * dy


def _along(begin: float, middle: float, end: float, share: float) -> float:
    return (1 - share) ** 2 * begin + 2 * share * (1 - share) * middle + share**2 * end


def _words(x: float, y: float, names: list[tuple[str, frozenset[str]]]) -> str:
    parts = [
        f'<tspan fill="{_COLORS[_everywhere(modes)]}"{_style(modes)}>{escape(name)}</tspan>' for name, modes in names
    ]
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="11.5" text-anchor="middle" stroke="#ffffff" stroke-width="4" '
        f'stroke-linejoin="round" paint-order="stroke">{", ".join(parts)}</text>'
    )


def _style(modes: frozenset[str]) -> str:
    if _everywhere(modes):
        return ""
    return ' font-style="italic"' if _PUSH in modes else ' font-weight="700"'


def _text(x: float, y: float, text: str, *, size: int, bold: bool = False, color: str = "#102a43") -> str:
    weight = ' font-weight="700"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="middle" fill="{color}"{weight}>{escape(text)}</text>'


def _legend() -> list[str]:
    words = (
        f'plain: both ways of taking turns; <tspan fill="{_COLORS[False]}" font-style="italic">italic</tspan>: '
        f'{_PUSH} only; <tspan fill="{_COLORS[False]}" font-weight="700">bold</tspan>: {_OPEN} only'
    )
    return [
        f'<text x="{_WIDTH - 24}" y="{_HEIGHT - 16}" font-size="12" text-anchor="end" fill="#52606d">{words}</text>'
    ]
