"""The daemon under measurement: `edge-agent run` as a process, its configuration, and its control socket.

    with Daemon(folder, settings, ca=tls[0]) as daemon:
        daemon.start_ms                      # from the start of the process to READY=1
        daemon.call("press")
        daemon.figures()["press_to_light"]

It is started as systemd starts it, with a socket for its notices, and ended with SIGTERM. Its log is kept for the
sentence when it does not start.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_agent.bench.children import END_S, START_S, NotMeasured, environment
from edge_agent.bench.meter import resident_bytes, waited_s
from edge_agent.bench.service import KEY
from edge_agent.errors import EXIT_OK
from edge_agent.service import client

KEY_VARIABLE = "EDGE_AGENT_BENCH_KEY"

Settings = Mapping[str, Mapping[str, Any] | str]
"""Tables of the configuration, and top-level settings, as in the TOML file."""


def configuration(settings: Settings) -> str:
    """Return the settings as TOML."""
    plain = [f"{key} = {_toml(value)}" for key, value in settings.items() if not isinstance(value, Mapping)]
    for name, entries in settings.items():
        if isinstance(entries, Mapping):
            plain += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in entries.items())]
    return "\n".join(plain) + "\n"


class Daemon:
    """One run of the daemon; ready when built.

    Args:
        folder: for configuration, state, sockets and log.
        settings: see `Settings`; the control socket and the key are added.
        ca: certificate authority of the twin.
        python: options for the interpreter.
        program: what the interpreter runs, in front of the daemon's own arguments.
        extra: additional environment.

    Raises:
        NotMeasured: it ended, or was not ready in time; the sentence has its last words.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        *,
        ca: Path,
        python: Sequence[str] = (),
        program: Sequence[str] = ("-m", "edge_agent"),
        extra: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._control = folder / "control.sock"
        self.log = folder / "log.txt"
        path = folder / "config.toml"
        live = {"credential": f"env:{KEY_VARIABLE}", **_table(settings, "live")}
        path.write_text(configuration({**settings, "live": live, "control": {"socket": str(self._control)}}))
        notices = folder / "notices.sock"
        variables = {"NOTIFY_SOCKET": str(notices), "STATE_DIRECTORY": str(folder), KEY_VARIABLE: KEY, **(extra or {})}
        command = [sys.executable, *python, *program, "run", "--config", str(path), "--ca", str(ca)]
        self._ended = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notices.unlink(missing_ok=True)
        self._listener.bind(str(notices))
        with self.log.open("w") as log:
            began = time.monotonic()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment(variables), "PYTHONUNBUFFERED": ""},
            )
        self._reader = threading.Thread(target=self._read_notices, name="notices", daemon=True)
        try:
            self._await_ready()
        except BaseException:
            self.close()
            raise
        self.start_ms = (time.monotonic() - began) * 1000
        self._reader.start()

    @property
    def memory_mb(self) -> float:
        """Resident memory now, MB."""
        return resident_bytes(self._process.pid) / 2**20

    @property
    def waited_s(self) -> float:
        """How long its threads have waited for a processor so far, seconds; NaN if the kernel does not say."""
        return waited_s(self._process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def call(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send a request to the control socket and return the answer.

        Raises:
            NotMeasured: it was refused, or nobody answered.
        """
        try:
            answer = client.call(self._control, {"do": do, **fields})
        except client.NotReachable as error:
            raise NotMeasured(f"{error} {self.last_words()}") from None
        if not answer.get("ok"):
            raise NotMeasured(f"the daemon refused {do}: {answer.get('error')}")
        return answer

    def figures(self) -> dict[str, Any]:
        """Return the figures of `ctl metrics`."""
        found: dict[str, Any] = self.call("metrics")["figures"]
        return found

    def await_status(self, wanted: Mapping[str, Any], *, timeout: float = 10.0) -> dict[str, Any]:
        """Ask for the status until all of `wanted` holds, and return it.

        Raises:
            NotMeasured: it did not come to hold in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            status = self.call("status")
            if all(status.get(key) == value for key, value in wanted.items()):
                return status
            if time.monotonic() > deadline:
                shown = json.dumps({key: status.get(key) for key in ("state", "why", "fault", *wanted)})
                raise NotMeasured(f"the daemon did not come to {dict(wanted)}: {shown}")
            time.sleep(0.02)

    def last_words(self) -> str:
        """Return the last line of the log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def close(self) -> int:
        """End it with SIGTERM, and by force if that does not help; returns its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._ended.set()
            if self._reader.ident is not None:
                self._reader.join()
            self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = self.close()
        if error is None and code != EXIT_OK:
            raise NotMeasured(f"the daemon ended with exit code {code}: {self.last_words()}")

    def _read_notices(self) -> None:
        """Take the notices that follow, as the service manager would."""
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                self._listener.recv(4096)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_S
        self._listener.settimeout(0.1)
        while True:
            try:
                if b"READY=1" in self._listener.recv(4096):
                    return
            except TimeoutError:
                if self._process.poll() is not None:
                    raise NotMeasured(f"the daemon did not start: {self.last_words()}") from None
            if time.monotonic() > deadline:
                raise NotMeasured(f"the daemon was not ready within {START_S:g} s: {self.last_words()}")


def _table(settings: Settings, name: str) -> Mapping[str, Any]:
    found = settings.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, str) else str(value)
