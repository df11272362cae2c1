"""`edge-agent ctl` and its client against a real control server in another thread."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import Stop
from edge_agent.service import ctl
from edge_agent.service.client import NotReachable, call, watch
from edge_agent.service.control import ControlServer

_STATUS = {
    "state": "listening", "why": "the button is held", "mode": "kiosk", "muted": False, "light": "listening",
    "turn_open": True, "connected": True, "volume": 60, "fault": {"code": 4, "text": "No microphone."},
    "t": 12.5, "audio_s": 3.25, "capture_s": 4.0, "xruns": 0, "extra": None,
}  # fmt: skip
_TIMERS = {
    "timers": [
        {"name": "egg", "kind": "timer", "ringing": True, "rings_in_s": 0, "at": "2026-11-22 12:00:00+01:00"},
        {"name": "pasta", "kind": "timer", "ringing": False, "rings_in_s": 3725, "at": "2026-11-22 13:02:05+01:00"},
        {"name": "school", "kind": "alarm", "ringing": False, "rings_in_s": None, "at": None},
    ],
    "missed": [{"name": "oven", "kind": "alarm", "at": "2026-11-22 11:00:00+01:00"}],
}
_HEARD = {
    "heard": [
        {"at": 1_763_800_000.5, "t": 9.5, "word": "Okay Nabu", "kind": "wake", "score": 0.912, "fired": True,
         "outcome": "nobody spoke"},
        {"at": 1_763_800_060.0, "t": 69.0, "word": "Alexa", "kind": "wake", "score": 0.5, "fired": False,
         "outcome": ""},
    ]
}  # fmt: skip
_EVENTS = [
    {"event": "state", "t": 1.0, "audio_s": 0.5, "state": "listening", "why": "pressed"},
    {"event": "level", "t": 1.1, "mic_dbfs": -30.0, "speaker_dbfs": float("-inf"), "clipped": True},
    {"event": "caption", "t": 2.0, "speaker": "person", "text": "est-ce ?", "line": "Où est-ce ?", "finished": True},
    {"event": "fault", "t": 3.0, "fault": {"code": 1, "text": "No network."}, "nothing": None},
]


class _Daemon:
    """A control server on a loop of its own, in a thread, as the real daemon is another process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[dict[str, Any]] = []
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        self._up.wait(10)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def publish(self, event: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._server.publish, event)

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._server = ControlServer(self.path, self._handle, watch=lambda: _EVENTS)
        await self._server.start()
        self._up.set()
        await self._end.wait()
        await self._server.close()

    async def _handle(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        if request["do"] == "status":
            return _STATUS
        if request["do"] == "timers":
            return _TIMERS
        if request["do"] == "wake-log":
            return _HEARD
        if request["do"] == "metrics":
            return {"text": "edge_agent_turns_total 3\n", "figures": {}}
        if request["do"] == "look":
            raise Stop("The camera is off.")
        return {}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[_Daemon]:
    one = _Daemon(tmp_path / "control.sock")
    yield one
    one.stop()


def _ctl(*words: str) -> int:
    parser = argparse.ArgumentParser()
    ctl.add_arguments(parser)
    return ctl.run(parser.parse_args(words))


def test_a_person_reads_the_status(daemon: _Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ctl("--socket", str(daemon.path), "status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "state      listening"
    assert "muted      no" in lines
    assert "fault      4: No microphone." in lines
    assert "audio_s    3.25" in lines
    assert "extra      -" in lines


def test_a_script_reads_json(daemon: _Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ctl("--socket", str(daemon.path), "status", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, **_STATUS}


def test_parameters_reach_the_daemon(daemon: _Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ctl("--socket", str(daemon.path), "volume", "40") == 0
    assert _ctl("--socket", str(daemon.path), "volume") == 0
    assert _ctl("--socket", str(daemon.path), "ask", "Where is it?") == 0
    assert daemon.asked == [{"do": "volume", "volume": 40}, {"do": "volume"}, {"do": "ask", "text": "Where is it?"}]
    assert capsys.readouterr().out == "done\ndone\ndone\n"


def test_refusals_are_sentences_on_stderr_and_exit_1(daemon: _Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ctl("--socket", str(daemon.path), "look") == 1
    assert _ctl("--socket", str(daemon.path), "volume", "400") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["The camera is off.", "volume must be a whole number from 0 to 100"]


def test_a_person_reads_the_wake_log(
    daemon: _Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert _ctl("--socket", str(daemon.path), "wake-log") == 0
    finally:
        monkeypatch.undo()
        time.tzset()
    assert capsys.readouterr().out.splitlines() == [
        "2025-11-22 09:26:40  Okay Nabu  0.91  nobody spoke",
        "2025-11-22 09:27:40  Alexa      0.50  near miss",
    ]
    nothing = list(ctl.readable_answer("wake-log", {"ok": True, "heard": []}))
    assert nothing == ["nothing was heard, and nothing nearly"]


def test_a_person_reads_the_timers(daemon: _Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ctl("--socket", str(daemon.path), "timers") == 0
    assert capsys.readouterr().out.splitlines() == [
        "egg     timer  rings now, at 2026-11-22 12:00:00+01:00",
        "pasta   timer  in 1:02:05, at 2026-11-22 13:02:05+01:00",
        "school  alarm  when the clock is set",
        "oven    alarm  missed, at 2026-11-22 11:00:00+01:00",
    ]
    assert list(ctl.readable_answer("timers", {"ok": True, "timers": [], "missed": []})) == ["nothing is set"]


def test_metrics_come_as_prometheus_text(daemon: _Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ctl("--socket", str(daemon.path), "metrics") == 0
    assert capsys.readouterr().out == "edge_agent_turns_total 3\n"


def test_wrong_usage_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _ctl("fly")
    assert caught.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def _first_four(path: Path) -> Iterator[dict[str, Any]]:
    """What `watch` gives of a daemon that ends after its first four events."""
    with contextlib.closing(watch(path)) as events:
        for _ in _EVENTS:
            yield next(events)


def test_watch_ends_with_the_daemon(daemon: _Daemon) -> None:
    events = watch(daemon.path)
    assert [next(events)["event"] for _ in _EVENTS] == ["state", "level", "caption", "fault"]
    daemon.stop()
    assert list(events) == []


def test_watch_prints_until_the_daemon_ends(
    daemon: _Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctl, "watch", _first_four)
    assert _ctl("--socket", str(daemon.path), "watch") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "     1.000  state       listening  (pressed)",
        "     2.000  caption     person: Où est-ce ?",
        "     3.000  fault       1: No network.",
    ]
    assert captured.err == "The daemon has ended.\n"


def test_watch_as_json_and_ctrl_c(
    daemon: _Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    def impatient(path: Path) -> Iterator[dict[str, Any]]:
        yield from _first_four(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(ctl, "watch", impatient)
    assert _ctl("--socket", str(daemon.path), "watch", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["state", "level", "caption", "fault"]


def test_on_a_terminal_the_last_line_renews_itself(
    daemon: _Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(ctl, "watch", _first_four)
    assert _ctl("--socket", str(daemon.path), "watch") == 0
    out = capsys.readouterr().out
    assert "\r\x1b[K     1.100  level       mic ##########" in out
    assert "\r\x1b[K     2.000  caption     person: Où est-ce ?\n" in out


def test_a_reader_that_has_enough_is_no_error(daemon: _Daemon) -> None:
    command = f"from edge_agent.cli import main; raise SystemExit(main(['ctl', '--socket', '{daemon.path}', 'watch']))"
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watcher:
        assert watcher.stdout is not None
        assert watcher.stderr is not None
        for _ in range(3):
            assert watcher.stdout.readline()
        watcher.stdout.close()
        daemon.publish({"event": "light", "light": "idle"})
        assert watcher.stderr.read() == b""
        assert watcher.wait(30) == 0


def test_a_stopped_reader_is_no_error(daemon: _Daemon) -> None:
    events = watch(daemon.path)
    assert next(events)["event"] == "state"
    events.close()
    assert call(daemon.path, {"do": "status"})["ok"] is True


def test_no_daemon_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ctl("--socket", str(tmp_path / "absent.sock"), "status") == 1
    assert "Start it (systemctl start edge-agent, or edge-agent run)" in capsys.readouterr().err
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(NotReachable, match="No daemon answers"):
        call(tmp_path / "dead.sock", {"do": "status"})


def test_permission_names_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_args: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    with pytest.raises(NotReachable, match="usermod -aG edge-agent"):
        call(tmp_path / "x.sock", {"do": "status"})


def test_a_daemon_that_hangs_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / "x.sock"))
        hanging.listen(1)
        with pytest.raises(NotReachable, match="did not answer within"):
            call(tmp_path / "x.sock", {"do": "status"}, timeout=0.05)


@pytest.mark.parametrize(("said", "part"), [(b"", "closed the connection"), (b"220 smtp ready\n", "does not speak")])
def test_something_else_answers(tmp_path: Path, said: bytes, part: str) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "x.sock"))
        other.listen(1)

        def answer() -> None:
            peer, _ = other.accept()
            with peer:
                peer.recv(100)
                peer.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NotReachable, match=part):
            call(tmp_path / "x.sock", {"do": "status"})
        thread.join()


def test_the_configuration_names_the_socket(
    daemon: _Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[control]\nsocket = "{daemon.path}"\n')
    assert _ctl("--config", str(config), "press") == 0
    monkeypatch.setattr(ctl, "DEFAULT_PATH", config)
    assert _ctl("release") == 0
    monkeypatch.setattr(ctl, "DEFAULT_PATH", tmp_path / "absent.toml")
    assert _ctl("status") == 1
    assert "/run/edge-agent/control.sock" in capsys.readouterr().err
    config.write_text("[contrl]")
    assert _ctl("--config", str(config), "press") == 78
    assert "did you mean control?" in capsys.readouterr().err
