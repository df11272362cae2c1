"""The way to whoever gives a token, and the clock that its time is counted by."""

from __future__ import annotations

import datetime as dt

import pytest

from edge_agent.errors import ConfigError, CredentialError
from edge_agent.live.fetching import proxy_for, sent_at

BROKER = "https://broker.example/token"


@pytest.mark.parametrize(
    ("setting", "url", "environ", "found"),
    [
        ("", BROKER, {}, ""),
        ("none", BROKER, {"https_proxy": "http://proxy.example:3128"}, ""),
        ("", BROKER, {"https_proxy": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ("http://proxy.example", BROKER, {}, "http://proxy.example:8080"),
        ("http://proxy.example", "http://127.0.0.1:8000/token", {}, ""),
        ("", BROKER, {"https_proxy": "http://proxy.example:3128", "no_proxy": ".example"}, ""),
        ("http://museum:a%2Fb%40c@[2001:db8::1]:3128", BROKER, {}, "http://museum:a%2Fb%40c@[2001:db8::1]:3128"),
    ],
)
def test_the_broker_is_asked_through_the_proxy_of_the_service(
    setting: str, url: str, environ: dict[str, str], found: str
) -> None:
    assert proxy_for(setting, url, environ) == found


def test_a_proxy_that_cannot_be_gone_through_is_a_sentence() -> None:
    with pytest.raises(CredentialError, match=r"broker\.example .* SOCKS"):
        proxy_for("socks5h://museum:5ecret-password@proxy.example", BROKER, {})
    with pytest.raises(ConfigError) as caught:
        proxy_for("ftp://museum:5ecret-password@proxy.example", BROKER, {})
    assert "5ecret" not in str(caught.value)


@pytest.mark.parametrize("date", ["Sun, 22 Nov 2026 12:00:00 GMT", "Sun, 22 Nov 2026 12:00:00 -0000"])
def test_an_answers_own_time_counts_and_is_at_most_a_second_old(date: str) -> None:
    assert sent_at(date) == dt.datetime(2026, 11, 22, 12, 0, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Sun, 99 Nov 2026 99:00:00 GMT"])
def test_without_a_date_our_own_clock_counts(date: str | None) -> None:
    assert abs((sent_at(date) - dt.datetime.now(dt.UTC)).total_seconds()) < 60
