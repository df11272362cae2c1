"""The account of talk in the running device: fed with what the line reports, watched against the owner's caps, kept.

    spending = Spending(lambda: config, remembered=state.section("budget"), remember=..., tell=talk.tell, ...)
    spending.take(event)         # every event of the service
    spending.opened()            # a person's turn opens, or a typed question goes out
    spending.connected()         # a connection is up
    spending.second()            # once a second: bytes, the date, the caps, and what is to be remembered
    spending.settle()            # a conversation has ended
    spending.account()           # for a program beside the daemon, which may add what it has used
    spending.close()             # the device ends

How tokens become money, and when a day begins, is decided in `conversation.budget`. From here the conversation is told
`BudgetLow` (a notice, once in its period), `BudgetSpent` and `BudgetFree`. The service reports tokens when a turn is
over, and bytes are looked at once a second: a cap of money is overrun by one turn at most, a cap of data by what flows
in a second.

The account is handed to `remember` at the end of a conversation, every 30 s while something is spent, and every hour
otherwise, to spare the card: a power cut forgets at most the last 30 s of talk. All belongs to the loop's thread.
"""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from edge_agent.agent.alarms import EARLIEST
from edge_agent.agent.reports import Reports
from edge_agent.config import Config
from edge_agent.conversation import events as ev
from edge_agent.conversation.budget import Bucket, Date, Ledger, Limits, Prices, Reached, Sums
from edge_agent.errors import Stop
from edge_agent.live import events as heard
from edge_agent.service.metrics import Metrics

log = logging.getLogger("edge_agent")

SAVE_S = 30.0  # the card is written no more often than this while somebody talks
REST_S = 3600.0  # and no more often than this while nobody does
SAVE_BYTES = 100_000  # data below this, such as pings, is no reason to write
PERIODS = ("turn", "day", "month")


class Spending:
    """The device's account, its notices and its figures.

    Args:
        config: gives the configuration in force; [budget] and [link] are read.
        remembered: what an earlier run handed to `remember`; {} at first.
        remember: takes the account, plain JSON, to be written soon.
        tell: takes events for the conversation.
        metrics, reports: what is told about it.
        counters: bytes sent and received by all connections since the start.
        clock: monotonic, seconds.
        today: the local date; None while the clock is not set.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        *,
        remembered: Mapping[str, Any],
        remember: Callable[[dict[str, Any]], None],
        tell: Callable[[ev.Event], None],
        metrics: Metrics,
        reports: Reports,
        counters: Callable[[], tuple[int, int]],
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], Date | None] | None = None,
    ) -> None:
        self.ledger = Ledger(prices(config()), limits(config()))
        for sentence in self.ledger.restore(remembered):
            log.warning("%s", sentence)
        self._config = config
        self._remember = remember
        self._tell = tell
        self._metrics = metrics
        self._reports = reports
        self._counters = counters
        self._clock = clock
        self._today = local_date if today is None else today
        self._up, self._down = counters()
        self._at = self._saved_at = clock()
        self._forbidden = ""
        self.ledger.pass_time(self._today(), 0.0)
        self._saved = self._worth()
        self._sample_figures()

    @property
    def frugal(self) -> bool:
        """True where data or money are to be spared: a metered network, or a soft cap is reached."""
        return self._config().link.metered or bool(self.ledger.low())

    @property
    def spent(self) -> bool:
        """True while a cap forbids talk."""
        return bool(self.ledger.spent())

    def take(self, event: heard.ServerEvent) -> None:
        """Take an event of the service; most of them cost nothing and tell nothing."""
        match event:
            case heard.Audio() | heard.OutputCaption() | heard.Text():
                self.ledger.begin_turn()
            case heard.ToolCall():
                self.ledger.call_tools()
            case heard.TurnComplete():
                self._weigh()
                self.ledger.end_turn()
            case heard.Grounding(queries=queries):
                self.ledger.search(len(queries))
                self._judge()
            case heard.Usage():
                self.ledger.spend(event)
                self._publish(event)
                self._judge()

    def opened(self) -> None:
        """A turn of the person begins."""
        self.ledger.begin_turn()

    def connected(self) -> None:
        """A connection is up: its reports include nothing of an earlier one's."""
        self.ledger.new_line()

    def second(self) -> None:
        """Look at line, date and caps; to be called once a second, and once when the device is ready."""
        self._pass_time()
        self._weigh()
        self._judge()
        now = self._clock()
        worth = self._worth()
        if now - self._saved_at >= (REST_S if worth == self._saved else SAVE_S):
            self._save(worth)

    def settle(self) -> None:
        """A conversation has ended: remember what it cost."""
        self._weigh()
        worth = self._worth()
        if worth != self._saved:
            self._save(worth)

    def reload(self) -> None:
        """Take changed prices and caps."""
        self.ledger.prices, self.ledger.limits = prices(self._config()), limits(self._config())
        self._judge()

    def account(self, used: str | None = None) -> dict[str, Any]:
        """Return the account, as `Ledger.to_dict` does; first add what another program has used, JSON of its day.

        Raises:
            Stop: that is no account of a day.
        """
        if used is not None:
            other = Ledger()
            try:
                complaints = other.restore({"day": json.loads(used)})
            except (ValueError, RecursionError):
                complaints = ["It is no JSON."]
            if complaints:
                raise Stop(f"What was used cannot be counted: {complaints[0]}")
            add(self.ledger, other.day)
            self._sample_tokens()
            self._judge()
        self.settle()
        return {"account": self.ledger.to_dict(), "text": self._forbidden}

    def close(self) -> None:
        """Remember everything once more."""
        self._pass_time()
        self._weigh()
        self._save(self._worth())

    def _pass_time(self) -> None:
        now = self._clock()
        self.ledger.pass_time(self._today(), now - self._at)
        self._at = now

    def _weigh(self) -> None:
        up, down = self._counters()
        self.ledger.carry(up=max(0, up - self._up), down=max(0, down - self._down))
        self._up, self._down = up, down

    def _judge(self) -> None:
        """Tell the conversation what has changed about the caps."""
        spent, notices = self.ledger.spent(), self.ledger.notices()
        currency = self._config().budget.currency.strip()
        forbidden = refusal(spent[0], currency=currency, date=self.ledger.date) if spent else ""
        if forbidden != self._forbidden:
            self._forbidden = forbidden
            self._announce(ev.BudgetSpent(forbidden) if forbidden else ev.BudgetFree(), forbidden)
        if notices and not spent:
            text = " ".join(self._notice(one) for one in notices)
            self._announce(ev.BudgetLow(text), text)

    def _announce(self, event: ev.BudgetLow | ev.BudgetSpent | ev.BudgetFree, text: str) -> None:
        kind = {ev.BudgetLow: "low", ev.BudgetSpent: "spent", ev.BudgetFree: "free"}[type(event)]
        log.info("budget %s%s", kind, f": {text}" if text else "")
        self._reports.publish("budget", kind=kind, text=text)
        self._tell(event)

    def _notice(self, cap: Reached) -> str:
        when = "today" if cap.period == "day" else "this month"
        if cap.what == "data":
            return f"{_size(cap.used)} of the {_size(cap.limit)} of data for today are used."
        hard = getattr(self.ledger.limits, f"hard_per_{cap.period}")
        end = f"the device stops talking at {self._money(hard)}" if hard else f"a notice was set at {cap.limit:g}"
        return f"Talk has cost {self._money(cap.used)} {when}; {end}."

    def _money(self, amount: float) -> str:
        return money(amount, self._config().budget.currency.strip())

    def _publish(self, usage: heard.Usage) -> None:
        """Tell watchers what the turn has cost so far."""
        turn = self.ledger.turn
        self._reports.publish(
            "usage",
            prompt=usage.prompt,
            response=usage.response,
            total=usage.total,
            tokens={" ".join(bucket): tokens for bucket, tokens in turn.tokens.items() if tokens},
            money=round(turn.money, 6),
            currency=self._config().budget.currency.strip(),
        )
        self._sample_tokens()

    # What is remembered.

    def _worth(self) -> tuple[object, ...]:
        """What of the account is worth a write to the card; equal while nothing of it has changed."""
        month = self.ledger.month
        tokens = tuple(month.tokens.values())
        return self.ledger.date, tokens, month.money, month.searches, month.data // SAVE_BYTES

    def _save(self, worth: tuple[object, ...]) -> None:
        self._saved, self._saved_at = worth, self._clock()
        self._remember(self.ledger.to_dict())

    # Figures.

    def _sample_figures(self) -> None:
        sample = self._metrics.sample
        for period in PERIODS:
            sample("money", self._figure(period, lambda sums: sums.money), period=period)
            sample("bytes", self._figure(period, lambda sums: sums.up), direction="up", period=period)
            sample("bytes", self._figure(period, lambda sums: sums.down), direction="down", period=period)
        sample("bytes", lambda: float(self._counters()[0]), direction="up", period="start")
        sample("bytes", lambda: float(self._counters()[1]), direction="down", period="start")
        self._sample_tokens()

    def _sample_tokens(self) -> None:
        """Give every kind of token its figures once it has been seen."""
        for bucket in self.ledger.month.tokens.keys() | self.ledger.day.tokens.keys():
            direction, modality = bucket
            for period in PERIODS:
                read = self._figure(period, functools.partial(_tokens, bucket))
                self._metrics.sample("tokens", read, direction=direction, modality=modality, period=period)

    def _figure(self, period: str, read: Callable[[Sums], float]) -> Callable[[], float]:
        """Return what reads one figure of a period; the sums of a period are other ones in the next."""
        return lambda: float(read(getattr(self.ledger, period)))


def prices(config: Config) -> Prices:
    """Return the prices of the table [budget]."""
    budget = config.budget
    return Prices(
        audio_in=budget.audio_in,
        audio_out=budget.audio_out,
        image_in=budget.image_in,
        text_in=budget.text_in,
        text_out=budget.text_out,
        search=budget.search,
    )


def limits(config: Config) -> Limits:
    """Return the caps of the tables [budget] and [link]; a megabyte is a million bytes, as it is sold."""
    budget = config.budget
    return Limits(
        soft_per_day=budget.soft_per_day,
        hard_per_day=budget.hard_per_day,
        soft_per_month=budget.soft_per_month,
        hard_per_month=budget.hard_per_month,
        bytes_per_day=config.link.max_mb_per_day * 1e6,
    )


def refusal(cap: Reached, *, currency: str, date: Date | None) -> str:
    """Return the sentence for a cap that forbids talk on a date."""
    if cap.what == "data":
        return (
            f"The {_size(cap.limit)} of data for today are used up; talk is possible again after midnight, "
            "or with a higher link.max_mb_per_day."
        )
    until = "after midnight"
    if cap.period == "month":
        until = f"from {date[0] + date[1] // 12}-{date[1] % 12 + 1:02}-01 on" if date else "from next month on"
    period = "today" if cap.period == "day" else "this month"
    return (
        f"The {money(cap.limit, currency)} for {period} are used up; talk is possible again {until}, "
        f"or with a higher budget.hard_per_{cap.period}."
    )


def add(ledger: Ledger, used: Sums) -> None:
    """Count in the ledger's day and month what was used beside it."""
    for sums in (ledger.day, ledger.month):
        sums.add(used.tokens, used.money)
        sums.searches += used.searches
        sums.up += used.up
        sums.down += used.down


def money(amount: float, currency: str) -> str:
    """Return an amount as people read it; small ones with more digits."""
    return f"{amount:.{2 if amount >= 0.1 else 4}f} {currency}"


def local_date() -> Date | None:
    """Return the date of the device's calendar, or None while its clock was not set."""
    now = time.time()
    if now < EARLIEST:
        return None
    date = time.localtime(now)
    return date.tm_year, date.tm_mon, date.tm_mday


def _tokens(bucket: Bucket, sums: Sums) -> int:
    return sums.tokens.get(bucket, 0)


def _size(octets: float) -> str:
    return f"{octets / 1e6:.3g} MB" if octets < 1e9 else f"{octets / 1e9:.3g} GB"
