"""The daemon as the demo's child: its configuration, its start, its watch stream, and its certain end.

    with Daemon(folder, config_text, journal, env=room.env, log=out / "daemon.log") as daemon:
        daemon.call({"do": "press"})

The real `edge-agent run` in a process and a session of its own. Its watch stream goes into the journal as it comes. On
leaving, whatever happened, it gets SIGTERM, then SIGKILL; the kernel ends it if this process is killed (where the
program setpriv exists, as on every Debian).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_agent.demo.journal import Journal
from edge_agent.errors import Stop
from edge_agent.service import client

START_S = 20.0  # a Pi Zero 2 W imports for five
STOP_S = 6.0  # the daemon promises 5


class Daemon:
    """See the module's docstring.

    Args:
        folder: holds configuration, state and socket; short, as a socket's path must be.
        config: the text of its configuration; `{socket}` in it is not touched, use `socket_path`.
        journal: gets the watch stream.
        env: added to the environment.
        log: gets what the daemon prints.
    """

    def __init__(self, folder: Path, config: str, journal: Journal, *, env: Mapping[str, str], log: Path) -> None:
        self._folder, self._config, self._journal, self._log = folder, config, journal, log
        self._env = {**os.environ, **env, "XDG_STATE_HOME": str(folder / "state"), "PYTHONUNBUFFERED": "1"}
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "STATE_DIRECTORY"):
            self._env.pop(name, None)  # those of a service that started the demo are not the child's
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._ending = False

    @property
    def socket(self) -> Path:
        """The control socket."""
        return socket_path(self._folder)

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return None if self._process is None else self._process.poll()

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a control request and return the answer.

        Raises:
            Stop: the daemon does not answer, or refused; its own sentence.
        """
        answer = client.call(self.socket, request)
        if not answer.get("ok"):
            raise Stop(f"The daemon refused to {request['do']}: {answer.get('error', 'it gave no reason')}")
        return answer

    def start(self) -> None:
        """Start it and wait until it is ready to talk.

        Raises:
            Stop: it ended, or is not ready in time; with its last words.
        """
        config = self._folder / "config.toml"
        config.write_text(self._config, encoding="utf-8")
        command = [sys.executable, "-m", "edge_agent", "run", "--config", str(config)]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                start_new_session=True,  # Ctrl-C is the demo's; it ends its child in order
            )
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(client.NotReachable):
                if client.call(self.socket, {"do": "status"})["state"] != "starting":
                    self._watch()
                    return
            time.sleep(0.05)
        raise Stop(f"The daemon did not become ready; it last said: {self.last_words()}")

    def stop(self) -> None:
        """End it; safe to call twice."""
        self._ending = True
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self._watcher is not None:
            self._watcher.join(STOP_S)
            self._watcher = None

    def last_words(self) -> str:
        """Return the last lines of its log."""
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return " / ".join(lines[-3:]) or "nothing"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _watch(self) -> None:
        events = client.watch(self.socket)
        self._take(next(events))  # the stream is open before anything is done to the device
        self._watcher = threading.Thread(target=self._follow, args=(events,), name="daemon-watch", daemon=True)
        self._watcher.start()

    def _follow(self, events: Any) -> None:
        try:
            with contextlib.closing(events):
                for event in events:
                    self._take(event)
        except client.NotReachable as error:
            self._journal.fail(str(error))
        if not self._ending:
            self._journal.fail(f"The daemon ended unasked; it last said: {self.last_words()}")

    def _take(self, event: dict[str, Any]) -> None:
        fields = {key: value for key, value in event.items() if key not in {"event", "t"}}
        self._journal.add("device", str(event.get("event", "?")), t=event.get("t"), **fields)


def socket_path(folder: Path) -> Path:
    """Return the path of the control socket for `control.socket` of the configuration."""
    return folder / "control.sock"
