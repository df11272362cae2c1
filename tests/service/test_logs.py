"""The log: readable for journal and person, and no secret in any of its lines."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator

import pytest

from edge_agent.service import logs
from edge_agent.service.logs import Secrets, set_up

log = logging.getLogger("edge_agent.live.connection")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
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
