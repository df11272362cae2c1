"""The account in the running device: what it tells the conversation, the watchers and the card, and when."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest

from edge_agent.agent.alarms import EARLIEST
from edge_agent.agent.reports import Reports
from edge_agent.agent.spending import REST_S, SAVE_S, Spending, local_date
from edge_agent.config import Config
from edge_agent.conversation import events as ev
from edge_agent.conversation.budget import Date
from edge_agent.errors import Stop
from edge_agent.live import events as heard
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.setup import build_setup
from edge_agent.service.captions import Captions
from edge_agent.service.metrics import Metrics
from edge_agent.simulator.script import Call, FunctionCall, Rule, Say, Script, When
from edge_agent.simulator.sound import noise
from edge_agent.simulator.virtual import MANUAL, Talk

ANSWER = heard.Audio(b"\0\0", 24_000)
OVER = heard.TurnComplete("", True)


def usage(prompt: int, response: int = 0) -> heard.Usage:
    return heard.Usage(
        prompt=prompt,
        response=response,
        total=prompt + response,
        prompt_by_modality={"AUDIO": prompt},
        response_by_modality={"AUDIO": response},
    )


class Device:
    """An account with a line, a clock, a calendar and a card that a test sets."""

    def __init__(self, remembered: dict[str, Any] | None = None, *, mb: float = 0.0, **budget: float) -> None:
        self.config = Config()
        for name, value in budget.items():
            setattr(self.config.budget, name, value)
        self.config.link.max_mb_per_day = mb
        self.now = 1000.0
        self.date: Date | None = (2026, 11, 22)
        self.up = self.down = 0
        self.told: list[ev.Event] = []
        self.events: list[dict[str, Any]] = []
        self.card: list[dict[str, Any]] = []
        self.metrics = Metrics()
        reports = Reports(self.metrics, Captions(None), clock=lambda: self.now, audio_s=lambda: 0.0)
        reports.to = self.events.append
        self.spending = Spending(
            lambda: self.config,
            remembered=remembered or {},
            remember=lambda tree: self.card.append(json.loads(json.dumps(tree))),
            tell=self.told.append,
            metrics=self.metrics,
            reports=reports,
            counters=lambda: (self.up, self.down),
            clock=lambda: self.now,
            today=lambda: self.date,
        )

    def turn(self, prompt: int, response: int = 0) -> None:
        self.spending.opened()
        for event in (ANSWER, ANSWER, OVER, usage(prompt, response)):
            self.spending.take(event)

    def live(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1.0
            self.spending.second()


def test_a_turn_is_told_to_watchers_and_counted_in_the_figures() -> None:
    device = Device()
    device.turn(1000, 100)
    (event,) = [one for one in device.events if one["event"] == "usage"]
    assert event["tokens"] == {"in audio": 1000, "out audio": 100}
    assert (event["money"], event["currency"]) == (0.0042, "USD")
    assert (event["prompt"], event["response"], event["total"]) == (1000, 100, 1100)
    device.turn(2000, 100)
    value = device.metrics.value
    assert value("tokens", direction="in", modality="audio", period="turn") == 2000
    assert value("tokens", direction="in", modality="audio", period="day") == 3000
    assert value("tokens", direction="out", modality="audio", period="month") == 200
    assert value("money", period="day") == pytest.approx(0.0114)
    assert 'edge_agent_money{period="turn"} 0.0072' in device.metrics.text()
    assert device.metrics.figures()["tokens"]["out,audio,day"] == 200
    device.date = (2026, 11, 23)
    device.live(1)
    assert value("tokens", direction="in", modality="audio", period="day") == 0
    assert value("money", period="month") == pytest.approx(0.0114)


def test_a_tool_makes_the_model_read_its_context_again() -> None:
    device = Device()
    for event in (heard.ToolCall(()), usage(1000, 5), ANSWER, OVER, usage(1100, 40)):
        device.spending.take(event)
    assert device.metrics.value("tokens", direction="in", modality="audio", period="turn") == 2100


def test_a_web_search_costs_money() -> None:
    device = Device(hard_per_day=0.014)
    device.spending.take(heard.Grounding(("weather",), ()))
    assert device.metrics.value("money", period="turn") == pytest.approx(0.014)
    assert [type(event) for event in device.told] == [ev.BudgetSpent]


def test_bytes_are_counted_by_turn_and_day_and_since_the_start() -> None:
    device = Device()
    device.up, device.down = 100, 10
    device.live(1)
    device.up, device.down = 300, 40
    device.spending.take(ANSWER)
    device.spending.take(OVER)
    device.up += 7
    device.live(1)
    value = device.metrics.value
    assert value("bytes", direction="up", period="turn") == 300
    assert value("bytes", direction="down", period="turn") == 40
    assert value("bytes", direction="up", period="day") == value("bytes", direction="up", period="start") == 307
    device.date = (2026, 12, 1)
    device.live(1)
    assert value("bytes", direction="up", period="month") == 0
    assert value("bytes", direction="up", period="start") == 307
    assert device.metrics.figures()["bytes"]["up,start"] == 307


def test_what_flowed_before_the_account_was_opened_is_not_its_own() -> None:
    device = Device()
    device.up = device.down = 50
    late = Device()
    late.spending = Spending(
        lambda: late.config,
        remembered={},
        remember=late.card.append,
        tell=late.told.append,
        metrics=late.metrics,
        reports=device.spending._reports,
        counters=lambda: (device.up, device.down),
        today=lambda: late.date,
    )
    late.spending.second()
    assert late.metrics.value("bytes", direction="up", period="day") == 0


def test_notice_cap_and_the_next_day() -> None:
    device = Device(soft_per_day=0.5, hard_per_day=1.0)
    device.turn(200_000)
    assert device.told == [ev.BudgetLow("Talk has cost 0.60 USD today; the device stops talking at 1.00 USD.")]
    assert device.spending.frugal
    assert not device.spending.spent
    device.live(5)
    assert len(device.told) == 1, "once"
    device.turn(150_000)
    assert device.told[1:] == [
        ev.BudgetSpent(
            "The 1.00 USD for today are used up; talk is possible again after midnight, "
            "or with a higher budget.hard_per_day."
        )
    ]
    assert device.spending.spent
    device.date = (2026, 11, 23)
    device.live(3)
    assert device.told[2:] == [ev.BudgetFree()]
    assert not device.spending.frugal
    kinds = [(one["kind"], bool(one["text"])) for one in device.events if one["event"] == "budget"]
    assert kinds == [("low", True), ("spent", True), ("free", False)]


def test_a_cap_reached_at_one_blow_needs_no_notice_before() -> None:
    device = Device(soft_per_day=0.5, hard_per_day=1.0)
    device.turn(400_000)
    assert [type(event) for event in device.told] == [ev.BudgetSpent]
    device.config.budget.hard_per_day = 5.0
    device.spending.reload()
    assert [type(event) for event in device.told] == [ev.BudgetSpent, ev.BudgetFree]


def test_a_higher_price_counts_from_now_on() -> None:
    device = Device()
    device.turn(100_000)
    device.config.budget.audio_in = 30.0
    device.spending.reload()
    device.turn(100_000)
    assert device.metrics.value("money", period="day") == pytest.approx(0.3 + 3.0)


@pytest.mark.parametrize(
    ("date", "until"), [((2026, 11, 22), "from 2026-12-01 on"), ((2026, 12, 31), "from 2027-01-01 on")]
)
def test_a_spent_month_says_when_the_next_one_begins(date: Date, until: str) -> None:
    device = Device(hard_per_month=0.05, hard_per_day=0.04)
    device.date = date
    device.live(1)
    device.turn(20_000)
    (event,) = device.told
    assert isinstance(event, ev.BudgetSpent)
    assert event.text.startswith("The 0.0500 USD for this month are used up")
    assert until in event.text


def test_a_soft_cap_without_a_hard_one_names_what_was_asked_for() -> None:
    device = Device(soft_per_month=0.5)
    device.config.budget.currency = "EUR"
    device.turn(200_000)
    assert device.told == [ev.BudgetLow("Talk has cost 0.60 EUR this month; a notice was set at 0.5.")]


def test_data_is_noticed_and_capped_within_a_second() -> None:
    device = Device(mb=200)
    device.up, device.down = 60_000_000, 100_000_000
    device.live(1)
    assert device.told == [ev.BudgetLow("160 MB of the 200 MB of data for today are used.")]
    assert device.spending.frugal
    device.down += 40_000_000
    device.live(2)
    assert device.told[1:] == [
        ev.BudgetSpent(
            "The 200 MB of data for today are used up; talk is possible again after midnight, "
            "or with a higher link.max_mb_per_day."
        )
    ]


def test_a_metered_network_is_spared_from_the_first_byte() -> None:
    device = Device()
    assert not device.spending.frugal
    device.config.link.metered = True
    assert device.spending.frugal


def test_a_restart_neither_forgets_nor_repeats() -> None:
    device = Device(soft_per_day=0.5, hard_per_day=1.0)
    device.turn(200_000)
    device.spending.close()
    again = Device(device.card[-1], soft_per_day=0.5, hard_per_day=1.0)
    again.live(1)
    assert again.told == [], "the notice was heard before the restart"
    assert again.metrics.value("tokens", direction="in", modality="audio", period="day") == 200_000
    again.turn(150_000)
    again.spending.close()
    third = Device(again.card[-1], soft_per_day=0.5, hard_per_day=1.0)
    third.spending.second()
    assert [type(event) for event in third.told] == [ev.BudgetSpent], "a restart is no way around a cap"


def test_an_account_that_cannot_be_read_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    Device({"day": "gone"})
    assert "no readable day" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_the_card_is_written_at_most_every_half_minute_while_money_flows() -> None:
    device = Device()
    for _ in range(120):
        device.turn(100)
        device.live(1)
    assert len(device.card) == 120 // SAVE_S
    assert device.card[-1]["day"]["tokens"]["in audio"] == 12_000


def test_a_device_at_rest_leaves_the_card_alone() -> None:
    device = Device()
    device.turn(100)
    device.spending.settle()
    assert len(device.card) == 1, "at the end of the conversation, at once"
    device.spending.settle()
    for _ in range(int(REST_S) // 10):
        device.up += 12
        device.now += 10.0
        device.spending.second()
    assert len(device.card) == 2, "an hour of pings"


def test_the_end_of_the_device_remembers_the_last_bytes() -> None:
    device = Device()
    device.up = 5
    device.spending.close()
    assert device.card[-1]["day"]["up"] == 5


def test_a_turn_that_is_answered_by_nothing_is_billed_too() -> None:
    device = Device()
    device.turn(1000, 20)
    device.spending.opened()
    device.spending.take(usage(1200, 20))
    device.spending.take(OVER)
    assert device.metrics.value("tokens", direction="in", modality="audio", period="day") == 2200


def test_a_new_line_counts_anew() -> None:
    device = Device()
    device.spending.take(ANSWER)
    device.spending.take(usage(1000, 20))
    device.spending.connected()
    device.spending.take(usage(1100, 30))
    assert device.metrics.value("tokens", direction="in", modality="audio", period="day") == 2100


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("platform", [False, True])
def test_what_the_twin_reports_turn_by_turn_is_what_is_billed(platform: bool, early: bool) -> None:
    """Four turns, one of them interrupted and one with a tool; the report beside the end of the turn, or before it."""
    long = Say("Yes.", noise(4.0, seed=1))
    rules = (
        Rule(when=When(nth=2), steps=(Call((FunctionCall("clock"),)), Say("It is ten.", noise(1.0, seed=2)))),
        Rule(steps=(long,)),
    )
    tools = [{"functionDeclarations": [{"name": "clock", "behavior": "BLOCKING"}]}]
    place = "projects/p/locations/l/publishers/google/" if platform else ""
    talk = Talk(Script(rules=rules), platform=platform)
    talk.open(model=f"{place}models/gemini-3.8-live", tools=tools, **MANUAL)
    profile = profile_for("gemini-3.8-live")
    protocol = LiveProtocol(
        build_setup(model="gemini-3.8-live", profile=profile, handle=None, manual_turns=True), profile
    )
    device = Device()
    talk.turn()
    talk.wait(60.0)
    talk.turn()
    talk.wait(1.0)
    (call,) = [message["toolCall"]["functionCalls"][0] for _, message in talk.messages() if "toolCall" in message]
    talk.send({"toolResponse": {"functionResponses": [{"id": call["id"], "name": "clock", "response": {"now": 10}}]}})
    talk.wait(60.0)
    talk.turn()
    talk.wait(0.5)
    talk.turn()
    talk.wait(60.0)
    reports: list[dict[str, Any]] = []
    for _, message in talk.messages():
        report = message.pop("usageMetadata", None)
        pieces = [message] if report is None else [message, {"usageMetadata": report}]
        reports += [report] if report else []
        for piece in reversed(pieces) if early else pieces:
            for event in protocol.receive(json.dumps(piece)):
                device.spending.take(event)
    said = "candidates" if platform else "response"
    assert len(reports) == 4
    day = device.spending.ledger.day
    spoken = sum(report[f"{said}TokenCount"] for report in reports)
    assert sum(tokens for (way, _), tokens in day.tokens.items() if way == "out") == spoken > 0
    read = sum(report["promptTokenCount"] for report in reports)
    assert sum(tokens for (way, _), tokens in day.tokens.items() if way == "in") == read > 0
    assert device.spending.ledger.turn.tokens["out", "audio"] == reports[-1][f"{said}TokenCount"]


def test_what_another_program_has_used_counts_and_may_reach_a_cap() -> None:
    device = Device(hard_per_day=0.5)
    device.spending.take(usage(1000, 20))
    before = device.spending.account()["account"]
    used = {"tokens": {"out audio": 100_000}, "money": 0.5, "searches": 1, "up": 10, "down": 20}
    after = device.spending.account(json.dumps(used))
    for period in ("day", "month"):
        mine, now = before[period], after["account"][period]
        assert now["money"] == pytest.approx(mine["money"] + 0.5)
        assert now["tokens"]["out audio"] == mine["tokens"]["out audio"] + 100_000
        assert (now["searches"], now["up"], now["down"]) == (1, mine["up"] + 10, mine["down"] + 20)
    assert "are used up" in after["text"]
    assert device.spending.spent
    assert device.spending.ledger.turn.tokens["out", "audio"] == 20, "it was no turn of talk"


@pytest.mark.parametrize("used", ["", "{", "[]", "7", '{"money": -1}', '{"money": "much"}', "[" * 5000])
def test_what_is_no_account_is_not_counted(used: str) -> None:
    device = Device()
    before = device.spending.account()
    with pytest.raises(Stop, match="cannot be counted"):
        device.spending.account(used)
    assert device.spending.account() == before


def test_a_clock_that_was_never_set_has_no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: EARLIEST - 1)
    assert local_date() is None
    monkeypatch.undo()
    today = local_date()
    assert today is not None
    assert today >= (2026, 1, 1)
