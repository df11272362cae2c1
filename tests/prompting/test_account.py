"""What a recording uses counts for the device, whether its daemon runs or not, and no cap is passed by it."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent import config as settings
from edge_agent.agent.spending import local_date
from edge_agent.conversation.budget import Ledger
from edge_agent.prompting.account import Account
from edge_agent.service.state import StateFile


def _config(folder: Path, **budget: Any) -> settings.Config:
    tree = {"control": {"socket": str(folder / "c.sock")}, "budget": {"audio_out": 10.0, **budget}}
    return settings.parse(tree, source="test")


def _spent(money: float, tokens: int = 1000) -> dict[str, Any]:
    """An account of today, as it is kept."""
    ledger = Ledger()
    ledger.pass_time(local_date(), 0.0)
    for sums in (ledger.day, ledger.month):
        sums.add({("out", "audio"): tokens}, money)
    return ledger.to_dict()


def _keep(tree: dict[str, Any]) -> None:
    store = StateFile()
    store.load()
    store.put("budget", tree)
    store.update(volume=40)
    assert store.flush() is None


def _kept() -> dict[str, Any]:
    store = StateFile()
    assert store.load() == []
    assert store.state.volume == 40, "the rest of the file is as it was"
    return store.section("budget")


def _use(account: Account, tokens: int) -> None:
    account.used.day.add({("out", "audio"): tokens}, tokens * 10.0 / 1e6)
    account.used.carry(up=100, down=200)


class Daemon:
    """Answers `account` at a socket; `refuses`: as one that does not know the verb."""

    def __init__(self, path: Path) -> None:
        self.account = _spent(1.0)
        self.refuses = False
        self.told: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with line, line.makefile("rwb") as file:
                request = json.loads(file.readline())
                self.told.append(request)
                answer = (
                    {"ok": False, "error": "unknown verb"} if self.refuses else {"ok": True, "account": self.account}
                )
                file.write(json.dumps(answer).encode() + b"\n")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Runs."""
    one = Daemon(tmp_path / "c.sock")
    yield one
    one.close()


def test_without_a_daemon_the_state_file_is_read_and_added_to(tmp_path: Path) -> None:
    _keep(_spent(1.0))
    account = Account(_config(tmp_path, hard_per_day=2.0))
    account.read()
    assert account.refusal() == ""
    _use(account, 50_000)
    assert account.refusal() == ""
    assert account.book() == ""
    assert account.book() == "", "counted once"
    kept = _kept()
    for period in ("day", "month"):
        assert kept[period]["money"] == pytest.approx(1.5)
        assert kept[period]["tokens"] == {"out audio": 51_000}
        assert (kept[period]["up"], kept[period]["down"]) == (100, 200)


def test_a_device_that_never_ran_begins_its_account(tmp_path: Path) -> None:
    account = Account(_config(tmp_path))
    account.read()
    assert account.book() == ""
    assert not StateFile().path.exists(), "nothing was used"
    _use(account, 1000)
    assert account.book() == ""
    store = StateFile()
    assert store.load() == []
    assert store.section("budget")["day"]["tokens"] == {"out audio": 1000}


@pytest.mark.parametrize(
    ("cap", "sentence"),
    [
        ({"hard_per_day": 1.2}, "The 1.20 USD for today are used up"),
        ({"hard_per_month": 1.2}, "The 1.20 USD for this month are used up"),
    ],
)
def test_what_is_used_and_what_was_used_reach_a_cap_together(
    tmp_path: Path, cap: dict[str, float], sentence: str
) -> None:
    _keep(_spent(1.0))
    account = Account(_config(tmp_path, **cap))
    account.read()
    assert account.refusal() == ""
    _use(account, 20_000)
    assert account.refusal().startswith(sentence)


def test_what_was_used_yesterday_is_no_affair_of_today(tmp_path: Path) -> None:
    tree = _spent(5.0)
    tree["date"] = [2026, 11, 1]
    _keep(tree)
    account = Account(_config(tmp_path, hard_per_day=2.0))
    account.read()
    assert account.refusal() == ""


def test_a_running_daemon_is_asked_and_told_and_its_file_left_alone(tmp_path: Path, daemon: Daemon) -> None:
    _keep(_spent(9.0))
    account = Account(_config(tmp_path, hard_per_day=2.0))
    account.read()
    assert account.refusal() == "", "the daemon knows of 1, its file is older"
    _use(account, 50_000)
    assert account.book() == ""
    used = json.loads(daemon.told[-1]["used"])
    assert used["money"] == pytest.approx(0.5)
    assert used["tokens"] == {"out audio": 50_000}
    assert _kept()["day"]["money"] == 9.0


def test_a_daemon_that_has_no_account_stops_who_has_a_cap_and_no_one_else(tmp_path: Path, daemon: Daemon) -> None:
    daemon.refuses = True
    capped, free = Account(_config(tmp_path, hard_per_month=9.0)), Account(_config(tmp_path))
    for account in (capped, free):
        account.read()
    assert capped.refusal() == "Nobody can tell whether a cap is reached: unknown verb"
    assert free.refusal() == ""
    _use(free, 1000)
    assert free.book() == "This is not counted in the device's budget: unknown verb"
    assert not StateFile().path.exists(), "nobody writes over a daemon's file"


def test_a_state_file_that_cannot_be_read_is_not_written_over(tmp_path: Path) -> None:
    _keep(_spent(1.0))
    path = StateFile().path
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({**tree, "budget": 3}))
    account = Account(_config(tmp_path, hard_per_day=2.0))
    account.read()
    assert "the section budget is not an object" in account.refusal()
    _use(account, 1000)
    assert "not counted" in account.book()
    assert json.loads(path.read_text())["budget"] == 3


def test_a_file_that_root_has_written_belongs_to_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    _keep(_spent(1.0))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _file, uid, gid: given.append((uid, gid)))
    account = Account(_config(tmp_path))
    account.read()
    _use(account, 1000)
    assert account.book() == ""
    owner = StateFile().path.parent.stat()
    assert given == [(owner.st_uid, owner.st_gid)]
