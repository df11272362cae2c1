"""Talk to the running daemon from a plain program: one question, or the stream of events.

    answer = call(path, {"do": "volume", "volume": 40})      # {"ok": true, "volume": 40}
    for event in watch(path):
        ...

Blocking, without an event loop, so that `edge-agent ctl` starts fast. Every failure to reach the daemon is a
`Stop` whose sentence says what to do; an answer `{"ok": false}` is returned like any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

from edge_agent.errors import Stop

TIMEOUT_S = 10.0  # a picture may take three seconds, a slow Pi a few more


class NotReachable(Stop):
    """No daemon answers on the control socket."""


class NoDaemon(NotReachable):
    """None runs there; where it is only `NotReachable`, one may."""


def call(path: Path, request: dict[str, Any], timeout: float = TIMEOUT_S) -> dict[str, Any]:
    """Send one request and return its answer.

    Raises:
        NotReachable: no daemon there, no permission, no answer within `timeout` seconds, or no JSON came back.
    """
    with _connected(path, timeout) as sock, _explained(path, timeout), sock.makefile("rb") as lines:
        _send(sock, request)
        while True:
            answer = _decoded(path, lines.readline())
            if "ok" in answer:
                return answer


def watch(path: Path, timeout: float = TIMEOUT_S) -> Generator[dict[str, Any], None, None]:
    """Yield events until the daemon ends; close the generator to stop earlier.

    Raises:
        NotReachable: as `call`, or the daemon refuses a watcher.
    """
    with _connected(path, timeout) as sock, sock.makefile("rb") as lines:
        with _explained(path, timeout):
            _send(sock, {"do": "watch"})
            answer = _decoded(path, lines.readline())
        if not answer.get("ok"):
            raise NotReachable(str(answer.get("error", "the daemon gives no reason")))
        sock.settimeout(None)  # a quiet hour is not an error
        while True:
            try:
                line = lines.readline()
            except ConnectionError:
                return
            if not line:
                return
            yield _decoded(path, line)


def _send(sock: socket.socket, request: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # refused already: the answer that waits for us says why
        sock.sendall(json.dumps(request).encode() + b"\n")


def _decoded(path: Path, line: bytes) -> dict[str, Any]:
    if not line:
        raise NotReachable(f"The daemon at {path} closed the connection without an answer; see its log.")
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise NotReachable(f"What answers at {path} does not speak this protocol; is it an edge-agent of this version?")
    return answer


@contextlib.contextmanager
def _connected(path: Path, timeout: float) -> Generator[socket.socket, None, None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        with _explained(path, timeout):
            sock.connect(str(path))
        yield sock


@contextlib.contextmanager
def _explained(path: Path, timeout: float) -> Generator[None, None, None]:
    try:
        yield
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NoDaemon(
            f"No daemon answers at {path}. Start it (systemctl start edge-agent, or edge-agent run), "
            "or name its socket with --socket."
        ) from None
    except PermissionError:
        raise NotReachable(
            f"User {os.geteuid()} may not use {path}. Use sudo, or join the group that owns it: "
            "sudo usermod -aG edge-agent $USER, then log in again."
        ) from None
    except (TimeoutError, BlockingIOError):
        raise NotReachable(
            f"The daemon at {path} did not answer within {timeout:g} s; it may be hanging, see its log."
        ) from None
    except OSError as error:
        raise NotReachable(f"The daemon at {path} cannot be reached: {error}.") from None
