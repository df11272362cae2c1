"""The log: readable for journal and person, and no secret in any of its lines."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.service import logs
from edge_agent.service.logs import MAX_PASSING, Secrets, set_up

log = logging.getLogger("edge_agent.live.connection")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    yield
    sys.excepthook = hook
    root.handlers, root.level = handlers, level
    logs.content.disabled = False


@pytest.fixture
def fresh_secrets(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    fresh = Secrets()
    monkeypatch.setattr(logs, "secrets", fresh)
    return fresh


def test_a_terminal_gets_the_time_of_day() -> None:
    stream = io.StringIO()
    set_up(stream=stream, environment={})
    log.warning("slow line: %d ms", 900)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} warning live\.connection: slow line: 900 ms\n", stream.getvalue())


def test_the_journal_gets_the_priority_on_every_line() -> None:
    with tempfile.TemporaryFile("w+") as stream:
        found = os.fstat(stream.fileno())
        set_up(stream=stream, environment={"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        log.info("hello")
        try:
            raise ValueError("two\nlines")  # noqa: TRY301  what is tested is the trace
        except ValueError:
            log.exception("it broke")
        stream.seek(0)
        lines = stream.read().splitlines()
    assert lines[0] == "<6>live.connection: hello"
    assert lines[1] == "<3>live.connection: it broke"
    assert all(line.startswith("<3>") for line in lines[1:])


def test_no_secret_reaches_the_journal(fresh_secrets: Secrets) -> None:
    fresh_secrets.add("AIzaVerySecret")
    with tempfile.TemporaryFile("w+") as stream:
        found = os.fstat(stream.fileno())
        set_up(stream=stream, environment={"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        log.info("key %s", "AIzaVerySecret")
        stream.seek(0)
        assert stream.read() == "<6>live.connection: key ***\n"


def test_a_stream_that_is_not_the_journals_is_a_terminals() -> None:
    with tempfile.TemporaryFile("w+") as stream:
        set_up(stream=stream, environment={"JOURNAL_STREAM": "1:2"})
        log.info("hello")
        stream.seek(0)
        assert not stream.read().startswith("<")


def test_no_secret_reaches_the_log(fresh_secrets: Secrets) -> None:
    fresh_secrets.add("AIza/Very+Secret\n")
    fresh_secrets.add("AIza/Very+Secret-and-longer")
    stream = io.StringIO()
    set_up("debug", stream=stream, environment={})
    log.debug("key %s in %s", "AIza/Very+Secret", {"header": "AIza/Very+Secret-and-longer"})
    log.info("url %s", "?key=AIza%2FVery%2BSecret&x")
    try:
        raise ValueError("AIza/Very+Secret refused")  # noqa: TRY301  what is tested is the trace
    except ValueError:
        log.exception("setup")
    text = stream.getvalue()
    assert "Secret" not in text
    assert "longer" not in text
    assert text.count("***") >= 4, text


KEY = "AIzaSyB-3_fRgTn/8+Qw~VzX1ymNpLkJhGfDsAq"


@pytest.mark.parametrize(
    "shown",
    [
        KEY,
        quote(KEY, safe=""),
        re.sub("%..", lambda found: found[0].lower(), quote(KEY, safe="")),
        f"?key={quote(KEY)}&alt=json",
        json.dumps({"key": f"{KEY}"}),
        json.dumps({"key": KEY}).replace("/", r"\/"),
        repr({"x-goog-api-key": KEY}),
        base64.b64encode(KEY.encode()).decode(),
        base64.urlsafe_b64encode(KEY.encode()).decode(),
        *(base64.b64encode(f"{'u' * n}:{KEY}:{'p' * m}".encode()).decode() for n in range(3) for m in range(3)),
        f"Bearer {KEY}",
        KEY[:20],
        f"a reason cut at 123 bytes: {KEY[:-1]}",
    ],
)
def test_a_secret_is_masked_in_every_form_it_takes_on_its_way(shown: str) -> None:
    some = Secrets()
    some.add(KEY)
    masked = some.mask(f"before {shown} after")
    assert "***" in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    for length in range(8, len(KEY)):
        assert KEY[-length:] not in masked
    assert base64.b64encode(KEY.encode()).decode()[4:12] not in masked


def test_headers_and_urls_give_away_what_is_secret_in_them() -> None:
    some = Secrets()
    some.add(f"Bearer {KEY}")
    some.add("Basic " + base64.b64encode(b"museum:p@ssw0rd/of the proxy").decode())
    some.add("http://museum:other%2Fpassword@proxy.example:3128")
    some.add("auth_tokens/abcdefghijkl")
    for text in (KEY, "p@ssw0rd/of the proxy", "other/password", "other%2Fpassword", "name abcdefghijkl"):
        assert "***" in some.mask(text), text
    assert some.mask("museum at proxy.example:3128 asks auth_tokens/ for more") == (
        "museum at proxy.example:3128 asks auth_tokens/ for more"
    )


def test_of_secrets_that_begin_alike_each_is_masked_to_its_end() -> None:
    some = Secrets()
    head = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."
    for tail in ("short", "a-much-longer-payload", "a-much-other-payload-and-signature"):
        some.add(head + tail)
    for tail in ("short", "a-much-longer-payload", "a-much-other-payload-and-signature"):
        assert some.mask(f"<{head}{tail}>") == "<***>"


def test_short_lived_tokens_do_not_pile_up() -> None:
    some = Secrets()
    some.add("AIzaTheKeyThatStays")
    for number in range(MAX_PASSING + 5):
        some.add(f"ya29.{number:04d}-is-one-of-many-tokens", passing=True)
    assert some.mask("AIzaTheKeyThatStays") == "***"
    assert some.mask(f"ya29.{MAX_PASSING + 4:04d}-is-one-of-many-tokens") == "***"
    assert some.mask("ya29.0000-is-one-of-many-tokens") == "ya29.0000-is-one-of-many-tokens"


@given(secret=st.text(min_size=6, max_size=60), before=st.text(max_size=20), after=st.text(max_size=20))
def test_no_text_shows_a_secret(secret: str, before: str, after: str) -> None:
    some = Secrets()
    some.add(secret)
    if len(secret.strip()) >= 6:
        assert secret.strip() not in some.mask(before + secret + after).replace("***", "\0")


def test_an_error_nobody_caught_shows_no_secret(fresh_secrets: Secrets) -> None:
    fresh_secrets.add(KEY)
    stream = io.StringIO()
    set_up(stream=stream, environment={})
    try:
        raise ValueError(f"bad header {KEY}")  # noqa: TRY301  what is tested is the trace
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    text = stream.getvalue()
    assert "bad header ***" in text
    assert "Traceback" in text
    assert KEY not in text


def test_a_short_text_is_no_secret() -> None:
    some = Secrets()
    some.add("a")
    some.add("  ")
    assert some.mask("a banana") == "a banana"


def test_what_people_say_is_not_logged_unless_asked_for() -> None:
    stream = io.StringIO()
    set_up("debug", stream=stream, environment={})
    logs.content.info("my name is Ada")
    assert stream.getvalue() == ""
    set_up("debug", content=True, stream=stream, environment={})
    logs.content.info("my name is Ada")
    assert "Ada" in stream.getvalue()


def test_setting_up_twice_does_not_double_the_lines() -> None:
    stream = io.StringIO()
    set_up(stream=stream, environment={})
    set_up("warning", stream=stream, environment={})
    log.info("too quiet")
    log.warning("once")
    assert stream.getvalue().count("once") == 1
    assert "too quiet" not in stream.getvalue()


def test_stderr_is_the_usual_place(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(environment={}, stream=sys.stderr)
    log.info("here")
    assert "here" in capsys.readouterr().err
