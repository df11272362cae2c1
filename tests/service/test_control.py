"""The control socket on real Unix sockets: answers, events, hostile peers, stale files."""
# ruff: noqa: ASYNC110, ASYNC240  the stories wait for the server by turning the loop, and look at its socket file

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import ConfigError, Stop
from edge_agent.service.control import MAX_EVENTS, MAX_LINE, MAX_PEERS, ControlServer

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"did": request["do"]}


async def _ask(peer: Peer, line: bytes) -> dict[str, Any]:
    peer[1].write(line)
    return await _line(peer)


async def _line(peer: Peer) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await asyncio.wait_for(peer[0].readline(), 5))
    return answer


def _with_server(path: Path, story: Callable[[ControlServer], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        server = ControlServer(path, options.pop("handle", _echo), **options)
        await server.start()
        try:
            await asyncio.wait_for(story(server), 20)
        finally:
            await server.close()
        assert not path.exists(), "the socket file is removed"

    asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


def test_a_request_is_answered_and_the_file_is_for_the_group(path: Path) -> None:
    async def story(_server: ControlServer) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        peer = await asyncio.open_unix_connection(path)
        assert await _ask(peer, b'{"do": "press"}\n') == {"ok": True, "did": "press"}
        assert await _ask(peer, b'\n{"do": "release"}\r\n') == {"ok": True, "did": "release"}
        peer[1].close()

    _with_server(path, story)


def test_a_last_line_without_line_break_counts(path: Path) -> None:
    async def story(_server: ControlServer) -> None:
        peer = await asyncio.open_unix_connection(path)
        peer[1].write(b'{"do": "tap"}')
        peer[1].write_eof()
        assert await _line(peer) == {"ok": True, "did": "tap"}
        assert await peer[0].readline() == b""
        peer[1].close()

    _with_server(path, story)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b"press\n", "not a line of JSON"),
        (b'{"do": "press"\n', "not a line of JSON"),
        (b"\xff\xfe\n", "not a line of JSON"),
        (b"[" * 60000 + b"\n", "not a line of JSON"),
        (b"[1]\n", "JSON object"),
        (b'{"do": "prss"}\n', "did you mean press?"),
    ],
)
def test_nonsense_is_answered_with_a_sentence_and_the_connection_lives(path: Path, line: bytes, part: str) -> None:
    async def story(_server: ControlServer) -> None:
        peer = await asyncio.open_unix_connection(path)
        answer = await _ask(peer, line)
        assert answer["ok"] is False
        assert part in answer["error"]
        assert (await _ask(peer, b'{"do": "status"}\n'))["ok"] is True
        peer[1].close()

    _with_server(path, story)


def test_an_endless_line_is_refused_and_cut_off(path: Path) -> None:
    async def story(_server: ControlServer) -> None:
        peer = await asyncio.open_unix_connection(path)
        answer = await _ask(peer, b"x" * (MAX_LINE + 10) + b"\n")
        assert "64 KiB" in answer["error"]
        with contextlib.suppress(ConnectionError):  # closing with unread bytes may reset the connection
            assert await peer[0].read() == b""
        peer[1].close()

    _with_server(path, story)


def test_failures_of_the_daemon_become_answers(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def handle(request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "look":
            raise Stop("The camera is off; set camera.source.")
        raise ZeroDivisionError

    async def story(_server: ControlServer) -> None:
        peer = await asyncio.open_unix_connection(path)
        answer = await _ask(peer, b'{"do": "look"}\n')
        assert answer == {"ok": False, "error": "The camera is off; set camera.source."}
        answer = await _ask(peer, b'{"do": "end"}\n')
        assert answer["ok"] is False
        assert "ZeroDivisionError" in answer["error"]
        peer[1].close()

    _with_server(path, story, handle=handle)
    assert "ZeroDivisionError" in caplog.text


def test_a_press_outlives_its_client(path: Path) -> None:
    pressed = []

    async def handle(request: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        pressed.append(request["do"])
        return {}

    async def story(_server: ControlServer) -> None:
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"do": "press"}\n')
        writer.close()
        await writer.wait_closed()
        while not pressed:
            await asyncio.sleep(0)

    _with_server(path, story, handle=handle)
    assert pressed == ["press"]


def test_watchers_get_the_present_first_then_every_event(path: Path) -> None:
    counts: list[int] = []

    async def story(server: ControlServer) -> None:
        peer = await asyncio.open_unix_connection(path)
        server.publish({"event": "state", "state": "nobody sees this"})
        assert await _ask(peer, b'{"do": "watch"}\n') == {"ok": True}
        assert await _line(peer) == {"event": "state", "state": "idle"}
        server.publish({"event": "level", "mic_dbfs": float("-inf")})
        assert await _line(peer) == {"event": "level", "mic_dbfs": None}
        assert (await _ask(peer, b'{"do": "status"}\n'))["ok"] is True, "a watcher may go on asking"
        assert server.watchers == 1
        peer[1].close()
        while server.watchers:
            await asyncio.sleep(0)

    _with_server(
        path,
        story,
        watch=lambda: [{"event": "state", "state": "idle"}],
        on_watchers=counts.append,
    )
    assert counts == [1, 0]


def test_a_slow_watcher_loses_the_oldest_and_is_told_how_many(path: Path) -> None:
    total = MAX_EVENTS * 4
    filler = "x" * 2000  # more than the kernel and the transport hold

    async def story(server: ControlServer) -> None:
        reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
        writer.write(b'{"do": "watch"}\n')
        await reader.readline()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for number in range(total):
            server.publish({"event": "n", "n": number, "filler": filler})
            await asyncio.sleep(0)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        seen: list[int] = []
        lost = 0
        while not seen or seen[-1] != total - 1:
            event = await _line((reader, writer))
            if event["event"] == "lost":
                lost += event["count"]
            else:
                seen.append(event["n"])
        assert seen == sorted(seen)
        assert lost > 0
        assert len(seen) + lost == total, "every event is either seen or counted as lost"
        writer.close()

    _with_server(path, story)


def test_closing_does_not_wait_for_a_watcher_that_does_not_read(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:

        async def story(server: ControlServer) -> None:
            deaf.setblocking(False)
            deaf.connect(str(path))
            deaf.send(b'{"do": "watch"}\n')
            while not server.watchers:
                await asyncio.sleep(0)
            for _ in range(MAX_EVENTS):
                server.publish({"event": "n", "filler": "x" * 5000})
                await asyncio.sleep(0)

        _with_server(path, story)


def test_a_peer_too_many_is_refused_politely(path: Path) -> None:
    async def story(_server: ControlServer) -> None:
        peers = [await asyncio.open_unix_connection(path) for _ in range(MAX_PEERS)]
        for peer in peers:
            assert (await _ask(peer, b'{"do": "status"}\n'))["ok"] is True
        late = await asyncio.open_unix_connection(path)
        answer = await _line(late)
        assert "32 others" in answer["error"]
        late[1].close()
        peers[0][1].close()
        assert await peers[0][0].read() == b""
        for peer in [await asyncio.open_unix_connection(path), *peers[1:]]:
            assert (await _ask(peer, b'{"do": "status"}\n'))["ok"] is True
            peer[1].close()

    _with_server(path, story)


def test_a_socket_left_by_a_dead_daemon_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()

    async def story(_server: ControlServer) -> None:
        peer = await asyncio.open_unix_connection(path)
        assert (await _ask(peer, b'{"do": "status"}\n'))["ok"] is True
        peer[1].close()

    _with_server(path, story)


def test_a_living_daemon_keeps_its_socket(path: Path) -> None:
    async def story(_server: ControlServer) -> None:
        with pytest.raises(ConfigError, match="another edge-agent answers there"):
            await ControlServer(path, _echo).start()
        peer = await asyncio.open_unix_connection(path)
        assert (await _ask(peer, b'{"do": "status"}\n'))["ok"] is True
        peer[1].close()

    _with_server(path, story)


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "diary.txt"
    path.write_text("dear diary")
    with pytest.raises(ConfigError, match="no socket lies there"):
        asyncio.run(ControlServer(path, _echo).start())
    assert path.read_text() == "dear diary"


def test_unusable_paths_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="longer than the 107 bytes"):
        asyncio.run(ControlServer(tmp_path / ("x" * 120), _echo).start())
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"control\.socket = "):
        asyncio.run(ControlServer(tmp_path / "file" / "control.sock", _echo).start())


def test_a_forbidden_folder_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_args: object, **_kwargs: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(ConfigError, match="may not make files in"):
        asyncio.run(ControlServer(tmp_path / "control.sock", _echo).start())


def test_a_socket_file_taken_over_by_another_is_left_alone(path: Path) -> None:
    async def story() -> None:
        server = ControlServer(path, _echo)
        await server.start()
        path.unlink()
        path.write_text("mine now")
        await server.close()
        assert path.read_text() == "mine now"

    asyncio.run(story())


@pytest.mark.parametrize("turns", range(12))
def test_a_watcher_that_leaves_while_the_daemon_ends_breaks_nothing(path: Path, turns: int) -> None:
    """The guards of conftest fail this if a task is left over or its cancellation is reported as an error."""

    async def story() -> None:
        server = ControlServer(path, _echo)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"do":"watch"}\n')
        await reader.readline()
        writer.close()
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(story())
