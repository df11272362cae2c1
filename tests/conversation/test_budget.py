"""The account of talk: what is billed where the service leaves it open, and days that no clock can empty or double."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.conversation.budget import DAY_S, MOST_TOKENS, Date, Ledger, Limits, Prices, Reached
from edge_agent.live.events import Usage

PRICES = Prices(audio_in=3.0, audio_out=12.0, image_in=1.0, text_in=0.75, text_out=4.5, search=14.0)
TODAY: Date = (2026, 11, 22)


def ledger(**limits: float) -> Ledger:
    account = Ledger(PRICES, Limits(**limits))
    account.pass_time(TODAY, 0.0)
    return account


def asked(prompt: int = 0, response: int = 0, **more: Any) -> Usage:
    """A report whose tables explain everything as sound."""
    return Usage(
        prompt=prompt,
        response=response,
        total=prompt + response,
        prompt_by_modality={"AUDIO": prompt},
        response_by_modality={"AUDIO": response},
        **more,
    )


def test_each_modality_has_its_price() -> None:
    account = ledger()
    account.spend(
        Usage(
            prompt=4_000_000,
            response=3_000_000,
            prompt_by_modality={"AUDIO": 1_000_000, "TEXT": 1_000_000, "IMAGE": 1_000_000, "VIDEO": 500_000},
            response_by_modality={"AUDIO": 1_000_000, "TEXT": 2_000_000},
        )
    )
    explained = 3.0 + 0.75 + 1.0 + 0.5 + 12.0 + 9.0
    assert account.turn.money == pytest.approx(explained + 1.5), "half a million unexplained, as dear as sound"
    assert account.turn.tokens["in", "other"] == 500_000
    assert account.day.money == account.month.money == account.turn.money


def test_a_report_as_the_service_gives_it() -> None:
    """Seen: the tables leave 25 tokens of the context unexplained, and the total leaves out the thoughts."""
    account = ledger()
    account.spend(
        Usage(
            prompt=522,
            response=42,
            total=564,
            thoughts=136,
            prompt_by_modality={"TEXT": 332, "AUDIO": 165},
            response_by_modality={"AUDIO": 42},
        )
    )
    assert account.turn.tokens == {
        ("in", "text"): 332,
        ("in", "audio"): 165,
        ("in", "other"): 25,
        ("out", "audio"): 42,
        ("out", "thoughts"): 136,
    }
    assert account.turn.money == pytest.approx((332 * 0.75 + 190 * 3 + 178 * 12) / 1e6)


def test_what_no_part_explains_is_context_and_what_tools_add_is_input() -> None:
    account = ledger()
    account.spend(Usage(total=1000, response=100, response_by_modality={"AUDIO": 100}))
    assert account.turn.tokens == {("in", "other"): 900, ("out", "audio"): 100}
    account.new_line()
    account.spend(Usage(tool_use=50, tool_use_by_modality={"TEXT": 40}, total=50))
    assert account.turn.tokens == {("in", "text"): 40, ("in", "other"): 10}


def test_tables_that_hold_more_than_the_totals_are_believed() -> None:
    account = ledger()
    account.spend(Usage(prompt=10, prompt_by_modality={"AUDIO": 8, "VIDEO": 9, "SMELL": 3}))
    assert account.turn.tokens == {("in", "audio"): 8, ("in", "video"): 9, ("in", "other"): 3}


def test_a_later_report_of_a_turn_includes_the_earlier_one() -> None:
    account = ledger()
    account.begin_turn()
    account.spend(Usage(prompt=500))
    account.spend(asked(500, 40))
    account.end_turn()
    account.spend(asked(500, 60))
    assert account.day.tokens == {("in", "audio"): 500, ("out", "audio"): 60, ("in", "other"): 0}
    assert account.day.money == pytest.approx((500 * 3 + 60 * 12) / 1e6), "corrected, not added"


def test_a_new_turn_is_compared_with_nothing_older() -> None:
    account = ledger()
    account.spend(asked(5000, 400))
    account.new_line()
    account.spend(asked(500, 20))
    account.spend(asked(500, 40))
    assert account.turn.tokens == {("in", "audio"): 500, ("out", "audio"): 40}


def test_a_correction_after_midnight_takes_nothing_from_the_new_day() -> None:
    account = ledger()
    account.spend(Usage(prompt=500))
    account.pass_time((2026, 11, 23), 1.0)
    account.spend(Usage(prompt=600, prompt_by_modality={"TEXT": 600}))
    assert account.day.tokens == {("in", "other"): 0, ("in", "text"): 600}
    assert account.month.tokens == account.day.tokens
    assert account.month.money == pytest.approx(600 * 0.75 / 1e6)


def test_parts_of_a_turn_are_added() -> None:
    account = ledger()
    account.spend(asked(500, 20))
    account.spend(asked(520, 10))
    assert account.day.tokens == {("in", "audio"): 1020, ("out", "audio"): 30}
    account.spend(asked(1020, 40))
    assert account.day.tokens["out", "audio"] == 40, "the sum of the parts, and ten more"


@pytest.mark.parametrize("beside", [True, False])
def test_a_context_read_again_with_the_answer_of_a_tool_is_added(beside: bool) -> None:
    """The report of the call comes beside it, or before it."""
    account = ledger()
    account.begin_turn()
    if beside:
        account.call_tools()
    account.spend(asked(1000, 5))
    if not beside:
        account.call_tools()
    account.spend(asked(1100, 40))
    assert account.turn.tokens == {("in", "audio"): 2100, ("out", "audio"): 45}
    account.end_turn()
    account.spend(asked(2100, 60))
    assert account.turn.tokens["out", "audio"] == 60, "the whole turn"
    account.begin_turn()
    account.spend(asked(3000, 70))
    account.spend(asked(3000, 80))
    assert account.turn.tokens == {("in", "audio"): 3000, ("out", "audio"): 80}, "no tool in this one"


def test_a_tool_of_an_earlier_turn_does_not_double_a_later_one() -> None:
    account = ledger()
    account.call_tools()
    account.spend(asked(1000, 5))
    account.end_turn()
    account.begin_turn()
    account.spend(asked(2000, 10))
    account.spend(asked(2000, 20))
    assert account.turn.tokens == {("in", "audio"): 2000, ("out", "audio"): 20}


@pytest.mark.parametrize("between", ["talk", "silence", "line"])
def test_reports_of_different_turns_are_added(between: str) -> None:
    account = ledger()
    account.begin_turn()
    account.end_turn()
    account.spend(asked(500, 20))
    if between == "line":
        account.new_line()
    else:
        if between == "talk":
            account.begin_turn()
        account.end_turn()
    account.spend(asked(700, 30))
    assert account.turn.tokens == {("in", "audio"): 700, ("out", "audio"): 30}
    assert account.day.tokens == {("in", "audio"): 1200, ("out", "audio"): 50}


def test_an_answer_in_pieces_is_one_turn() -> None:
    account = ledger()
    for _ in range(3):
        account.begin_turn()
        account.spend(asked(500, 20))
    account.end_turn()
    account.spend(asked(500, 20))
    assert account.day.tokens["in", "audio"] == 500


def test_searches_are_the_longest_list_of_a_turn() -> None:
    account = ledger()
    account.search(2)
    account.search(3)
    account.search(1)
    assert account.day.searches == 3
    assert account.day.money == pytest.approx(0.042)
    account.end_turn()
    account.begin_turn()
    account.search(1)
    assert (account.turn.searches, account.month.searches) == (1, 4)


def test_the_bytes_of_a_turn_are_those_since_the_one_before() -> None:
    account = ledger()
    account.carry(up=100, down=10)
    account.end_turn()
    assert (account.turn.up, account.turn.down) == (100, 10)
    account.carry(up=5, down=0)
    account.begin_turn()
    account.carry(up=200, down=20)
    account.end_turn()
    assert (account.turn.up, account.turn.down, account.day.data) == (205, 20, 335)


def test_a_cap_of_money_is_told_once_and_ends_with_its_period() -> None:
    account = ledger(soft_per_day=0.003, hard_per_day=0.006, hard_per_month=1.0)
    account.spend(asked(1000))
    assert account.notices() == [Reached("money", "day", account.day.money, 0.003)]
    assert account.notices() == []
    assert account.low()
    assert not account.spent()
    account.new_line()
    account.spend(asked(1000))
    assert [one.name for one in account.spent()] == ["money day"]
    account.pass_time((2026, 11, 23), 10.0)
    assert not account.spent()
    assert not account.low()
    account.new_line()
    account.spend(asked(1000))
    assert account.notices(), "a new day, a new notice"
    assert account.month.money == pytest.approx(0.009)


def test_a_raised_cap_is_told_anew_and_a_month_lasts() -> None:
    account = ledger(soft_per_month=0.003)
    account.spend(asked(1000))
    assert account.notices()
    account.pass_time((2026, 11, 23), 10.0)
    assert account.low()
    assert not account.notices(), "told this month"
    account.limits = Limits(soft_per_month=0.004, hard_per_month=0.006)
    account.new_line()
    account.spend(asked(1000))
    assert account.notices()
    assert account.spent()
    account.pass_time((2026, 12, 1), 10.0)
    assert not account.spent()


def test_data_is_told_at_four_fifths_and_spent_at_the_whole() -> None:
    account = ledger(bytes_per_day=1000)
    account.carry(up=500, down=299)
    assert not account.low()
    account.carry(up=0, down=1)
    assert account.notices() == [Reached("data", "day", 800, 1000)]
    assert not account.spent()
    account.carry(up=200, down=0)
    assert account.spent() == [Reached("data", "day", 1000, 1000)]


def test_the_cap_that_lasts_longest_stands_first() -> None:
    account = ledger(hard_per_day=0.001, hard_per_month=0.002, bytes_per_day=1)
    account.spend(asked(1000))
    account.carry(up=1, down=0)
    assert [one.name for one in account.spent()] == ["money month", "money day", "data day"]


def test_a_clock_that_jumps_back_empties_no_day() -> None:
    account = ledger()
    account.spend(asked(1000))
    for date in [(2026, 11, 21), (2025, 1, 1), None, (2026, 10, 31), TODAY]:
        account.pass_time(date, 3600.0)
        assert account.date == TODAY
    assert account.day.tokens
    account.pass_time((2026, 11, 23), 1.0)
    assert not account.day.tokens


def test_what_was_spent_before_the_clock_was_set_belongs_to_the_first_date() -> None:
    account = Ledger(PRICES)
    account.pass_time(None, 100.0)
    account.spend(asked(1000))
    account.pass_time(TODAY, 1.0)
    assert account.date == TODAY
    assert account.day.money == account.month.money == pytest.approx(0.003)


def test_a_clock_that_was_ahead_heals_within_a_day_of_running() -> None:
    account = Ledger(PRICES)
    account.pass_time((2036, 1, 1), 0.0)
    account.spend(asked(1000))
    account.pass_time(TODAY, DAY_S - 1)
    assert account.date == (2036, 1, 1)
    account.pass_time(TODAY, 1.0)
    assert account.date == TODAY
    assert not account.day.tokens
    assert account.month.tokens, "the month keeps what it holds"
    account.pass_time((2026, 12, 1), 9 * DAY_S)
    assert not account.month.tokens


def test_a_clock_that_is_lost_for_good_still_has_days() -> None:
    account = ledger()
    account.spend(asked(1000))
    account.pass_time(None, DAY_S)
    assert not account.day.tokens
    assert account.month.tokens


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"day": 5}, "day"),
        ({"month": {"money": "much"}}, "month.money"),
        ({"day": {"tokens": {"in audio": -1}}}, "day.in audio"),
        ({"day": {"money": float("nan")}}, "day.money"),
        ({"day": {"up": True}}, "day.up"),
        ({"date": [2026, 13, 1]}, "date"),
        ({"date": "today"}, "date"),
        ({"lived_s": 1e300}, "lived_s"),
        ({"told": {"money day": []}}, "money day"),
    ],
)
def test_what_cannot_be_read_is_named_and_costs_nothing_else(tree: dict[str, Any], told: str) -> None:
    whole = ledger()
    whole.spend(asked(1000, 10))
    whole.carry(up=7, down=8)
    account = Ledger(PRICES)
    (sentence,) = account.restore(whole.to_dict() | tree)
    assert told in sentence
    untouched = {"day", "month"} - set(tree)
    assert all(getattr(account, name) == getattr(whole, name) for name in untouched)


def test_a_device_that_remembers_nothing_has_nothing_to_complain_of() -> None:
    account = Ledger(PRICES)
    assert account.restore({}) == []
    assert account.restore({"told": 5, "day": {"tokens": ["x"]}, "month": {"tokens": {"up left": 5}}}) == []
    assert (account.date, account.day.tokens, account.month.tokens) == (None, {}, {})


# Whatever the clock does.

DATES = st.none() | st.dates().map(lambda day: (day.year, day.month, day.day)).filter(lambda day: day[0] >= 1970)
STEPS = st.lists(st.tuples(DATES, st.floats(0, DAY_S), st.integers(0, 5000)), max_size=40)


@given(STEPS)
def test_a_day_ends_only_when_the_date_passes_all_others_or_a_day_was_lived(
    steps: list[tuple[Date | None, float, int]],
) -> None:
    account, lived = Ledger(PRICES), 0.0
    for date, seconds, tokens in steps:
        before, held, month = account.date, dict(account.day.tokens), dict(account.month.tokens)
        lived += seconds
        account.pass_time(date, seconds)
        if held and not account.day.tokens:
            passed = date is not None and before is not None and date > before
            assert passed or lived >= DAY_S
            lived = 0.0
        elif account.date != before:
            assert before is None or not held
            lived = 0.0 if before is not None else lived
        if month and not account.month.tokens:
            assert date is not None
            assert before is not None
            assert date > before
            assert date[:2] != before[:2]
        account.new_line()
        account.spend(asked(tokens))
        assert account.day.tokens.get(("in", "audio"), 0) <= account.month.tokens.get(("in", "audio"), 0)


@given(st.lists(st.tuples(DATES, st.integers(0, 5000)), max_size=30))
def test_within_one_true_day_nothing_is_lost_while_the_clock_only_errs_into_the_past(
    steps: list[tuple[Date | None, int]],
) -> None:
    account, total = ledger(), 0
    for date, tokens in steps:
        account.pass_time(min(date, TODAY) if date else None, DAY_S / 31)
        account.new_line()
        account.spend(asked(tokens))
        total += tokens
        assert account.day.tokens.get(("in", "audio"), 0) == account.month.tokens.get(("in", "audio"), 0) == total


@given(STEPS, st.integers(0, 40))
def test_a_restart_at_any_moment_changes_nothing(steps: list[tuple[Date | None, float, int]], at: int) -> None:
    limits = Limits(soft_per_day=0.005, hard_per_day=0.02, hard_per_month=0.05, bytes_per_day=9000)
    through, restarted = Ledger(PRICES, limits), Ledger(PRICES, limits)
    for number, (date, seconds, tokens) in enumerate(steps):
        if number == at:
            remembered = json.loads(json.dumps(restarted.to_dict()))
            restarted = Ledger(PRICES, limits)
            assert restarted.restore(remembered) == []
        for account in (through, restarted):
            account.pass_time(date, round(seconds, 1))
            account.new_line()
            account.spend(asked(tokens, tokens // 7))
            account.carry(up=tokens, down=1)
        assert through.date == restarted.date
        assert through.day.tokens == restarted.day.tokens
        assert through.month.money == pytest.approx(restarted.month.money)
        assert [one.name for one in through.notices()] == [one.name for one in restarted.notices()]
        assert [one.name for one in through.spent()] == [one.name for one in restarted.spent()]


COUNT = st.integers(-(1 << 63), 1 << 63)
TABLE = st.dictionaries(st.sampled_from(["AUDIO", "TEXT", "IMAGE", "VIDEO", "DOCUMENT", "", "MODALITY_X"]), COUNT)
REPORT = st.builds(
    Usage,
    prompt=COUNT,
    response=COUNT,
    tool_use=COUNT,
    thoughts=COUNT,
    total=COUNT,
    prompt_by_modality=TABLE,
    response_by_modality=TABLE,
    tool_use_by_modality=TABLE,
)
MOVES = st.sampled_from(["begin_turn", "call_tools", "end_turn", "new_line"])


@given(st.lists(REPORT | MOVES, max_size=20))
def test_no_report_is_billed_below_nothing_or_beyond_reason(story: list[Usage | str]) -> None:
    account, reports = ledger(), 0
    for entry in story:
        if isinstance(entry, str):
            getattr(account, entry)()
            continue
        account.spend(entry)
        reports += 1
        for sums in (account.turn, account.day, account.month):
            assert all(tokens >= 0 for tokens in sums.tokens.values())
            assert 0 <= sums.money <= reports * 5 * MOST_TOKENS * 12 / 1e6 * (1 + 1e-9)
        assert account.turn.money <= account.day.money * (1 + 1e-9) + 1e-9
        assert account.day.money == pytest.approx(account.month.money)
        said = sum(max(0, min(count, MOST_TOKENS)) for count in (entry.prompt, entry.response, entry.thoughts))
        assert sum(account.turn.tokens.values()) >= said, "never less than the service said"
