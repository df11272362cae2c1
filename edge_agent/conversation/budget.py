"""What talk has cost, per turn, day and month: tokens, money and data, and when a cap is reached. Pure.

    ledger = Ledger(Prices(audio_in=3.0), Limits(hard_per_day=5.0))
    ledger.pass_time((2026, 11, 22), 1.0)      # the local date, None while the clock is unset; seconds lived since
    ledger.begin_turn()                        # the person talks, or the model answers
    ledger.spend(usage)                        # as often as the service reports
    ledger.carry(up=1800, down=0)              # bytes since the last call
    ledger.end_turn()
    ledger.spent()                             # caps that are reached: no talk until this is empty
    ledger.notices()                           # soft caps reached and not yet told in their period

What is billed is decided where the service leaves it open, always to the dear side, since this is a guard and no bill:

- Every turn is billed with the whole context, as the service reports it. Cached tokens get no discount.
- Tokens that the modality tables do not explain are `other`, at the dearest price of their direction. What `total`
  holds beyond all parts is taken for context, which is most of a turn.
- Thoughts are output, at the dearest price there. What a tool or a search put into the context is input.
- Several reports in one turn: one that is smaller in no count than what the turn has reported includes it and takes its
  place; any other is a part and is added, and so is the next one after a tool was called, since the model then read its
  context once more. Reports of different turns are always added.
- A turn's searches are the longest list of queries reported in it. The service's free allowance is not known here.

A day is a calendar day of the device, and begins only when the date passes every date seen before: a clock that jumps
back, or is unset for a while, neither empties a day nor counts one twice. A clock that was wrongly ahead heals: after
25 hours of running with an earlier date, the longest a local day lasts, a new day begins by that date, and the month
takes its name with all it holds. Before the first known date everything belongs to the day that this date names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Date = tuple[int, int, int]
"""Year, month, day of the month, local."""
Period = Literal["day", "month"]
Bucket = tuple[str, str]
"""Direction (`in`, `out`) and modality (`audio`, `text`, `image`, `video`, `document`, `thoughts`, `other`)."""

DAY_S = 25 * 3600.0  # the longest local day: clocks go back an hour in autumn
DATA_LOW = 0.8  # the share of a data cap at which a person is told
MOST_TOKENS = 4_000_000  # no model's context holds more; a larger count is damage
MOST_SEARCHES = 1_000  # in one turn
_MODALITIES = frozenset({"audio", "text", "image", "video", "document"})
_CAPS = frozenset({"money day", "money month", "data day"})


class Usage(Protocol):
    """One report of the service; the tables go by modality and need not add up to the counts."""

    @property
    def prompt(self) -> int:
        """Tokens of the context."""

    @property
    def response(self) -> int:
        """Tokens of the answer, without thoughts."""

    @property
    def tool_use(self) -> int:
        """Tokens that tools added to the context."""

    @property
    def thoughts(self) -> int:
        """Tokens thought and not said."""

    @property
    def total(self) -> int:
        """All of them, as the service adds them up."""

    @property
    def prompt_by_modality(self) -> Mapping[str, int]:
        """What of the context is known by kind."""

    @property
    def response_by_modality(self) -> Mapping[str, int]:
        """What of the answer is known by kind."""

    @property
    def tool_use_by_modality(self) -> Mapping[str, int]:
        """What of the tools' tokens is known by kind."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens, by direction and modality; `search` per thousand searches."""

    audio_in: float = 0.0
    audio_out: float = 0.0
    image_in: float = 0.0
    text_in: float = 0.0
    text_out: float = 0.0
    search: float = 0.0

    def of(self, bucket: Bucket) -> float:
        """Return the price of a million tokens; the dearest of its direction where the kind is not known."""
        direction, modality = bucket
        if direction == "out":
            known = {"audio": self.audio_out, "text": self.text_out}
            return known.get(modality, max(self.audio_out, self.text_out))
        known = {
            "audio": self.audio_in,
            "image": self.image_in,
            "video": self.image_in,
            "text": self.text_in,
            "document": self.text_in,
        }
        return known.get(modality, max(self.audio_in, self.image_in, self.text_in))


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps; 0: none. Money in the currency of the prices, data in bytes both ways."""

    soft_per_day: float = 0.0
    hard_per_day: float = 0.0
    soft_per_month: float = 0.0
    hard_per_month: float = 0.0
    bytes_per_day: float = 0.0


@dataclass(frozen=True, slots=True)
class Reached:
    """A cap that is reached: of what, in which period, how much is used and how much was allowed.

    For a soft cap on data `limit` is the whole of what is allowed.
    """

    what: Literal["money", "data"]
    period: Period
    used: float
    limit: float

    @property
    def name(self) -> str:
        """What it is remembered by."""
        return f"{self.what} {self.period}"


@dataclass(slots=True)
class Sums:
    """What was used in one period."""

    tokens: dict[Bucket, int] = field(default_factory=dict)
    money: float = 0.0
    searches: int = 0
    up: int = 0
    down: int = 0

    @property
    def data(self) -> int:
        """Bytes both ways."""
        return self.up + self.down

    def add(self, change: Mapping[Bucket, int], money: float) -> None:
        """Add tokens and their money; a report that corrects an earlier one may take some back."""
        for bucket, tokens in change.items():
            self.tokens[bucket] = max(0, self.tokens.get(bucket, 0) + tokens)
        self.money = max(0.0, self.money + money)


class Ledger:
    """The account of one device.

    Args:
        prices: what tokens cost; takes effect for what is reported from now on.
        limits: the caps.
    """

    def __init__(self, prices: Prices | None = None, limits: Limits | None = None) -> None:
        self.prices = prices or Prices()
        self.limits = limits or Limits()
        self.turn, self.day, self.month = Sums(), Sums(), Sums()
        self.date: Date | None = None
        """The day that is counted; None until a date is known."""
        self._lived_s = 0.0
        self._told: dict[str, float] = {}
        self._over = self._renew = self._called = False
        self._reported = (0, 0, 0, 0)
        self._since = [0, 0]

    # What happens.

    def pass_time(self, today: Date | None, lived_s: float) -> None:
        """Let time pass: `lived_s` seconds of running since the last call, and the local date (None: not known)."""
        self._lived_s += max(0.0, lived_s)
        if today is not None and (self.date is None or today > self.date):
            if self.date is not None:
                self._new_day(today, new_month=today[:2] != self.date[:2])
            self.date = today
        elif today != self.date and self._lived_s >= DAY_S:
            self._new_day(today or self.date, new_month=False)

    def begin_turn(self) -> None:
        """A person begins to talk, or the model to answer; tells a new turn from the rest of the one before."""
        if self._over:
            self._over, self._renew = False, True

    def call_tools(self) -> None:
        """The model calls tools: with their answers it reads its context again."""
        self.begin_turn()
        self._called = True

    def end_turn(self) -> None:
        """The service's turn is over; what it still reports of it may follow."""
        if self._over:  # a turn in which nothing was heard
            self._renew = True
        self._over = True
        turn = self._current()
        turn.up, turn.down = self._since
        self._since = [0, 0]

    def new_line(self) -> None:
        """A connection was opened: nothing that is reported from now on includes what was reported before."""
        self._over, self._renew = False, True

    def spend(self, usage: Usage) -> None:
        """Count what the service reports; see the module's docstring for several reports in one turn."""
        turn = self._current()
        counts, totals = _counts(usage)
        again = self._called and any(self._reported)
        includes = not again and all(new >= old for new, old in zip(totals, self._reported, strict=True))
        change = dict(counts)
        if includes:
            for bucket, tokens in turn.tokens.items():
                change[bucket] = change.get(bucket, 0) - tokens
            self._reported = totals
        else:
            old = self._reported
            self._reported = (old[0] + totals[0], old[1] + totals[1], old[2] + totals[2], old[3] + totals[3])
        self._called = self._called and not again
        money = sum(tokens * self.prices.of(bucket) for bucket, tokens in change.items()) / 1e6
        for sums in (turn, self.day, self.month):
            sums.add(change, money)

    def search(self, queries: int) -> None:
        """The service searched the web, with so many queries in this turn so far."""
        turn = self._current()
        more = min(queries, MOST_SEARCHES) - turn.searches
        if more > 0:
            for sums in (turn, self.day, self.month):
                sums.searches += more
                sums.add({}, more * self.prices.search / 1e3)

    def carry(self, *, up: int, down: int) -> None:
        """Count bytes on the line since the last call."""
        self._since[0] += up
        self._since[1] += down
        for sums in (self.day, self.month):
            sums.up += up
            sums.down += down

    # What follows from it.

    def spent(self) -> list[Reached]:
        """Return the caps that forbid talk, the one that lasts longest first."""
        return self._reached(self.limits.hard_per_month, self.limits.hard_per_day, data=1.0)

    def low(self) -> list[Reached]:
        """Return the soft caps that are reached: a reason to be sparing."""
        return self._reached(self.limits.soft_per_month, self.limits.soft_per_day, data=DATA_LOW)

    def notices(self) -> list[Reached]:
        """Return the soft caps that nobody was told of yet, once in their period; a raised cap is told anew."""
        fresh = [one for one in self.low() if self._told.get(one.name, 0.0) < one.limit]
        self._told |= {one.name: one.limit for one in fresh}
        return fresh

    # What is remembered.

    def to_dict(self) -> dict[str, Any]:
        """Return the day and the month as plain JSON; the turn is not kept."""
        return {
            "date": list(self.date) if self.date else None,
            "lived_s": round(self._lived_s, 1),
            "day": _plain(self.day),
            "month": _plain(self.month),
            "told": dict(self._told),
        }

    def restore(self, tree: Mapping[str, Any]) -> list[str]:
        """Take over what `to_dict` returned in an earlier run. Never raises.

        Returns:
            A sentence for everything that cannot be read; it counts as nothing used.
        """
        bad: list[str] = []
        self.date = _date(tree.get("date"), bad)
        self._lived_s = _number(tree, "lived_s", bad)
        self.day, self.month = _sums(tree.get("day"), "day", bad), _sums(tree.get("month"), "month", bad)
        told = tree.get("told", {})
        self._told = {name: _number(told, name, bad) for name in told if name in _CAPS} if type(told) is dict else {}
        return [f"The remembered budget holds no readable {name}; it counts as nothing used." for name in bad]

    def _reached(self, month: float, day: float, *, data: float) -> list[Reached]:
        found = [
            Reached("money", "month", self.month.money, month),
            Reached("money", "day", self.day.money, day),
            Reached("data", "day", self.day.data, self.limits.bytes_per_day),
        ]
        return [one for one in found if one.limit and one.used >= one.limit * (data if one.what == "data" else 1.0)]

    def _current(self) -> Sums:
        if self._renew:
            self._renew = self._called = False
            self.turn = Sums()
            self._reported = (0, 0, 0, 0)
        return self.turn

    def _new_day(self, date: Date | None, *, new_month: bool) -> None:
        self.date, self.day, self._lived_s = date, Sums(), 0.0
        self._told = {name: limit for name, limit in self._told.items() if name.endswith("month") and not new_month}
        if new_month:
            self.month = Sums()


def _counts(usage: Usage) -> tuple[dict[Bucket, int], tuple[int, int, int, int]]:
    """Return the tokens by bucket, and those of context, answer, tools and thoughts as they compare with others."""
    counts: dict[Bucket, int] = {}
    prompt = _explain(counts, "in", usage.prompt, usage.prompt_by_modality)
    tool_use = _explain(counts, "in", usage.tool_use, usage.tool_use_by_modality)
    response = _explain(counts, "out", usage.response, usage.response_by_modality)
    thoughts = _clamped(usage.thoughts)
    _put(counts, ("out", "thoughts"), thoughts)
    rest = max(0, _clamped(usage.total) - prompt - tool_use - response - thoughts)
    _put(counts, ("in", "other"), rest)
    return counts, (prompt + rest, response, tool_use, thoughts)


def _explain(counts: dict[Bucket, int], direction: str, total: int, table: Mapping[str, int]) -> int:
    """Put a table's tokens into their buckets, and what it leaves unexplained into `other`; return their sum."""
    explained = 0
    for name, tokens in table.items():
        modality = name.lower() if name.lower() in _MODALITIES else "other"
        taken = min(_clamped(tokens), MOST_TOKENS - explained)
        _put(counts, (direction, modality), taken)
        explained += taken
    rest = max(0, _clamped(total) - explained)
    _put(counts, (direction, "other"), rest)
    return explained + rest


def _put(counts: dict[Bucket, int], bucket: Bucket, tokens: int) -> None:
    if tokens:
        counts[bucket] = counts.get(bucket, 0) + tokens


def _clamped(tokens: int) -> int:
    return min(max(tokens, 0), MOST_TOKENS)


def _plain(sums: Sums) -> dict[str, Any]:
    return {
        "tokens": {" ".join(bucket): tokens for bucket, tokens in sums.tokens.items()},
        "money": round(sums.money, 9),
        "searches": sums.searches,
        "up": sums.up,
        "down": sums.down,
    }


def _sums(tree: Any, name: str, bad: list[str]) -> Sums:
    if tree is None:
        return Sums()
    if type(tree) is not dict:
        bad.append(name)
        return Sums()
    inner: list[str] = []
    table = tree.get("tokens", {})
    tokens: dict[Bucket, int] = {}
    for key in table if type(table) is dict else {}:
        direction, _, modality = key.partition(" ")
        if direction in {"in", "out"} and modality in _MODALITIES | {"thoughts", "other"}:
            tokens[direction, modality] = int(_number(table, key, inner))
    searches, up, down = (int(_number(tree, key, inner)) for key in ("searches", "up", "down"))
    sums = Sums(tokens, _number(tree, "money", inner), searches, up, down)
    bad += [f"{name}.{one}" for one in inner]
    return sums


def _number(tree: Mapping[str, Any], key: str, bad: list[str]) -> float:
    value = tree.get(key, 0)
    if type(value) in {int, float} and math.isfinite(value) and 0 <= value < 1e15:
        return float(value) if type(value) is float else value
    bad.append(key)
    return 0.0


def _date(value: Any, bad: list[str]) -> Date | None:
    if value is None:
        return None
    if type(value) is list and len(value) == 3 and all(type(part) is int for part in value):
        year, month, day = value
        if 1 <= month <= 12 and 1 <= day <= 31 and 1970 <= year < 10_000:
            return year, month, day
    bad.append("date")
    return None
