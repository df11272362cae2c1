"""What systemd hears, on real datagram sockets with a path and with an abstract name."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import pytest

from edge_agent.service.notify import Notifier, watchdog_interval_s


def _listener(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind("\0" + address[1:] if address.startswith("@") else address)
    sock.settimeout(2)
    return sock


@pytest.mark.parametrize("abstract", [False, True])
def test_every_notice_arrives_as_systemd_spells_it(tmp_path: Path, abstract: bool) -> None:
    address = f"@edge-agent-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with _listener(address) as systemd:
        notifier = Notifier({"NOTIFY_SOCKET": address})
        assert notifier.enabled
        notifier.ready("idle")
        notifier.status("listening\nREADY=0")
        notifier.watchdog()
        notifier.reloading()
        notifier.stopping()
        notifier.extend_timeout(1.5)
        heard = [systemd.recv(4096).decode() for _ in range(6)]
    assert heard[0] == "READY=1\nSTATUS=idle"
    assert heard[1] == "STATUS=listening READY=0"  # a line break in a status text cannot become a notice of its own
    assert heard[2] == "WATCHDOG=1"
    name, usec = heard[3].split("\n")
    assert name == "RELOADING=1"
    assert int(usec.removeprefix("MONOTONIC_USEC=")) > 0
    assert heard[4:] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=1500000"]


def test_without_a_service_manager_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({})
    assert not notifier.enabled
    notifier.ready("fine")
    assert not caplog.records


def test_an_absent_listener_is_logged_once_and_never_raised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    with caplog.at_level(logging.WARNING):
        notifier.watchdog()
        notifier.watchdog()
    assert len(caplog.records) == 1
    assert "WATCHDOG=1" in caplog.text


def test_a_strange_address_is_refused_with_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    assert not Notifier({"NOTIFY_SOCKET": "vsock:2:1"}).enabled
    assert "vsock:2:1" in caplog.text


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(environment: dict[str, str], expected: float | None) -> None:
    assert watchdog_interval_s(environment, pid=7) == expected
