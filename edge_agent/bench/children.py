"""The processes a measurement consists of: started, asked, and ended, whatever happens.

    with Service(folder, kind="duplex", seconds=12) as service:
        figures = measured([sys.executable, "-m", "edge_agent.bench.wire_client", ...], seconds=12)

Everything measured is a process of its own, so that what it costs is its own cost.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_agent.bench.service import KEY
from edge_agent.errors import Stop

START_S = 30.0  # a busy machine needs several seconds to import a large library
END_S = 6.0  # the daemon ends within five


class NotMeasured(Stop):
    """A measurement could not be made here; the sentence says why."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a measured process: ours, finding this very package first, its output unbuffered."""
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", **(extra or {})}


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of this machine's own for 127.0.0.1, valid for two days; return it and its key.

    Raises:
        NotMeasured: openssl is not installed or refuses.
    """
    chain, key = folder / "cert.pem", folder / "key.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command = ["openssl", *request.split(), *names, "-out", str(chain), "-keyout", str(key)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)
    except FileNotFoundError:
        raise NotMeasured("the program openssl is missing; install it: apt install openssl") from None
    if done.returncode:
        raise NotMeasured(f"openssl made no certificate: {done.stderr.strip().splitlines()[-1:]}")
    return chain, key


class Child:
    """A process that answers lines with lines of JSON. Its complaints are kept for the sentence when it fails."""

    def __init__(self, command: Sequence[str], *, folder: Path, extra: Mapping[str, str] | None = None) -> None:
        """Start it."""
        self._errors = (folder / f"errors-{time.monotonic_ns()}.txt").open("w+")
        self._name = " ".join(command[1:3])
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
            env=environment(extra),
        )

    def ask(self, line: str) -> dict[str, Any]:
        """Write a line and return the answer; see `answer`."""
        assert self.process.stdin is not None  # noqa: S101  for the type checker
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        return self.answer()

    def answer(self, timeout: float = START_S) -> dict[str, Any]:
        """Return the next line of JSON.

        Raises:
            NotMeasured: it ended, or said nothing in time.
        """
        assert self.process.stdout is not None  # noqa: S101  for the type checker
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise NotMeasured(f"{self._name} gave no figures: {self.last_words() or 'it said nothing'}")
        found: dict[str, Any] = json.loads(line)
        return found

    def last_words(self) -> str:
        """Return the last line it complained with."""
        self._errors.flush()
        lines = Path(self._errors.name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """End it: its input ends; if that does not help, it is ended."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        for number in (0, signal.SIGTERM, signal.SIGKILL):
            self.process.send_signal(number)
            try:
                self.process.wait(END_S)
                break
            except subprocess.TimeoutExpired:
                continue
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Service(Child):
    """The Live API twin in a process of its own (`edge_agent.bench.service`)."""

    def __init__(
        self, folder: Path, tls: tuple[Path, Path], *, kind: str, seconds: float = 30.0, setup_delay_s: float = 0.0
    ) -> None:
        """Start it; it takes connections when this returns."""
        options = {"--kind": kind, "--seconds": seconds, "--setup-delay": setup_delay_s}
        words = [str(word) for pair in options.items() for word in pair]
        command = [sys.executable, "-m", "edge_agent.bench.service", "--cert", str(tls[0]), "--key", str(tls[1])]
        super().__init__([*command, *words], folder=folder)
        self._folder = folder
        try:
            self.url: str = self.answer()["url"]
        except BaseException:
            self.close()
            raise

    def heard(self) -> dict[str, Any]:
        """Return what it received so far; see `edge_agent.bench.service.heard`."""
        path = self._folder / "heard.json"
        self.ask(str(path))
        found: dict[str, Any] = json.loads(path.read_text())
        return found


def client(
    program: Sequence[str], service: Service, *, ca: Path, sound: Path, seconds: float, warm_up_s: float, folder: Path
) -> dict[str, Any]:
    """Run a client of the wire against a service and return its figures (`meter`).

    Raises:
        NotMeasured: it gave none.
    """
    task = ["--url", service.url, "--ca", str(ca), "--key", KEY, "--sound", str(sound)]
    times = ["--seconds", str(seconds), "--warm-up", str(warm_up_s)]
    with Child([sys.executable, *program, *task, *times], folder=folder) as child:
        return child.answer(START_S + seconds + warm_up_s)
