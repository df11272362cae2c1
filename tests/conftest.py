"""What every test runs under: guards that turn a hidden fault of the program into a failed test.

A test fails, whatever it asserts itself, if
- a thread it started still runs when it is over (`threads`): a device thread that outlives its owner keeps the sound
  card or a pin busy;
- something that may block is called on the thread of a running event loop (`blocking`): sleeping, waiting for another
  program, resolving a name, talking over a blocking socket. The call raises `BlockingCall` on the spot, and the test
  fails even if that was caught. A callback that neither computes nor waits for a core for 1 s fails as well, which
  finds the blocking calls nobody listed; time on the processor never counts, so a busy machine is no failure;
- asyncio reports an error nobody handled (`asyncio`): an exception in a task or callback that nobody looked at, a task
  destroyed while pending. A coroutine never awaited is a warning, and warnings are errors.

`@pytest.mark.allows("threads", reason="...")` takes one test out of one guard.

Nothing of the person's own environment reaches a test: no key, no service manager, no state folder. Hypothesis draws
the same examples on each run (profile `ci`); `HYPOTHESIS_PROFILE=explore` looks for new ones.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import hypothesis
import pytest

THREAD_GRACE_S = 2.0
"""A thread told to stop may need this long on a busy machine; waiting ends as soon as it has."""

BLOCKED_LIMIT_S = 1.0
"""Far above a wait for the interpreter lock or a cold disk, far below what a lost call would block."""

SAMPLE_EVERY_S = 0.05
"""How old the reading of the run-queue wait may be; more often costs every callback a file read."""

Guard = Literal["threads", "blocking", "asyncio"]

_POOL_THREADS = {
    "pytest_timeout": "the timer of pytest-timeout where signals cannot be used",
    "asyncio-waitpid-": "asyncio's own: reaps a child where the kernel has no pidfd; ends with the child",
}

hypothesis.settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "explore", hypothesis.settings.get_profile("ci"), derandomize=False, max_examples=1000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

for _name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
    os.environ.pop(_name, None)
for _name in ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_STATE_HOME"):
    os.environ.pop(_name, None)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy loads; more threads only fight over two cores
os.environ.setdefault("JACK_NO_START_SERVER", "1")  # PortAudio asks for JACK first and would start it


class BlockingCall(AssertionError):
    """Something that may block was called on the thread of a running event loop."""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that opens a guard."""
    config.addinivalue_line("markers", "allows(guard, reason): take this test out of one of the guards of conftest.py")


class _Findings:
    """What the guards saw since the last test: sentences by guard."""

    def __init__(self) -> None:
        self._sentences: list[tuple[Guard, str]] = []
        self.allowed: frozenset[str] = frozenset()
        self.loop_ran = False

    def add(self, guard: Guard, sentence: str) -> None:
        if guard not in self.allowed:
            self._sentences.append((guard, sentence))

    def take(self) -> list[str]:
        taken, self._sentences = self._sentences, []
        return [f"{guard}: {sentence}" for guard, sentence in taken]


_findings = _Findings()


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Volume, mute and account of one test are not another's, and none are this machine's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True, scope="session")
def _guards() -> Iterator[None]:
    """Put the guards in place for the whole run, and report what only the last garbage collection brings to light."""
    patch = pytest.MonkeyPatch()
    _refuse_blocking_calls(patch)
    _time_callbacks(patch)
    handler = _AsyncioErrors(logging.ERROR)
    logging.getLogger("asyncio").addHandler(handler)
    yield
    logging.getLogger("asyncio").removeHandler(handler)
    patch.undo()


@pytest.fixture(autouse=True, scope="module")
def _nothing_left_by_module() -> Iterator[None]:
    """Collect a module's garbage with the module, so that a task lost in a cycle is named near its origin."""
    yield
    if _findings.loop_ran:
        _findings.loop_ran = False
        gc.collect()
    _fail_if_any()


@pytest.fixture(autouse=True)
def _guarded(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test for what it left running, blocked or unhandled."""
    _findings.allowed = frozenset(str(mark.args[0]) for mark in request.node.iter_markers("allows"))
    before = set(threading.enumerate())
    yield
    gc.collect(1)  # young objects only: cheap, and finds the task this test has just dropped
    if "threads" not in _findings.allowed:
        for thread in _left_over(before):
            _findings.add("threads", f"{thread.name} ({type(thread).__qualname__}) still runs after the test")
    try:
        _fail_if_any()
    finally:
        _findings.allowed = frozenset()


def _fail_if_any() -> None:
    found = _findings.take()
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def _left_over(before: set[threading.Thread]) -> list[threading.Thread]:
    deadline = time.monotonic() + THREAD_GRACE_S
    left = []
    for thread in set(threading.enumerate()) - before:
        if _belongs_to_library(thread):
            continue
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            left.append(thread)
    return left


def _belongs_to_library(thread: threading.Thread) -> bool:
    if type(thread).__module__ == "lgpio":  # on a Pi: started by `import lgpio`, lives as long as the process
        return True
    return any(thread.name.startswith(prefix) for prefix in _POOL_THREADS)


class _AsyncioErrors(logging.Handler):
    """Takes what asyncio logs when nobody handled an error."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f"\n{record.exc_info[1]!r}"
        _findings.add("asyncio", text)


def _refuse_blocking_calls(patch: pytest.MonkeyPatch) -> None:
    """Make calls that may block raise on a thread whose event loop runs; elsewhere they are untouched."""
    _guard(patch, time, "sleep", lambda seconds, *_a, **_k: seconds > 0)
    _guard(patch, os, "system")
    _guard(patch, subprocess.Popen, "wait", lambda process, *_a, **_k: process.poll() is None)
    _guard(patch, subprocess.Popen, "communicate", lambda process, *_a, **_k: process.poll() is None)
    _guard(patch, socket, "create_connection")
    _guard(patch, socket, "getaddrinfo", lambda host, *_a, **_k: not _is_address(host))
    # a local socket answers a connect at once, and takes a datagram, such as a note to the service manager, at once
    for name in ("accept", "recv", "recv_into", "recvfrom"):
        _guard(patch, socket.socket, name, lambda sock, *_a, **_k: sock.gettimeout() != 0.0)
    _guard(patch, socket.socket, "sendall", lambda sock, *_a, **_k: sock.gettimeout() != 0.0 and not _is_note(sock))
    for name in ("connect", "connect_ex", "send", "sendto"):
        _guard(patch, socket.socket, name, lambda sock, *_a, **_k: sock.gettimeout() != 0.0 and not _is_local(sock))


def _is_local(sock: socket.socket) -> bool:
    return sock.family == socket.AF_UNIX


def _is_note(sock: socket.socket) -> bool:
    return _is_local(sock) and sock.type == socket.SOCK_DGRAM


def _is_address(host: Any) -> bool:
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return host is None
    return True


def _guard(
    patch: pytest.MonkeyPatch, owner: Any, name: str, blocks: Callable[..., bool] = lambda *_a, **_k: True
) -> None:
    real = getattr(owner, name)
    what = f"{getattr(owner, '__qualname__', getattr(owner, '__name__', owner))}.{name}"

    def guarded(*args: Any, **kwargs: Any) -> Any:
        if asyncio._get_running_loop() is not None and "blocking" not in _findings.allowed and blocks(*args, **kwargs):
            sentence = f"{what} was called on the event loop's thread; await it, or hand it to another thread"
            _findings.add("blocking", sentence)
            raise BlockingCall(sentence)
        return real(*args, **kwargs)

    patch.setattr(owner, name, guarded)


def _time_callbacks(patch: pytest.MonkeyPatch) -> None:
    """Watch every callback of every loop for time spent neither computing nor waiting for a processor."""
    run = asyncio.Handle._run
    local = threading.local()

    def timed(handle: asyncio.Handle) -> None:
        _findings.loop_ran = True
        start = time.monotonic()
        if start - getattr(local, "sampled_at", -1.0) > SAMPLE_EVERY_S:
            local.sampled_at, local.waited_s = start, _run_queue_wait_s()
        computed = time.thread_time()
        run(handle)
        wall = time.monotonic() - start
        if wall > BLOCKED_LIMIT_S:
            blocked = wall - (time.thread_time() - computed) - (_run_queue_wait_s() - local.waited_s)
            if blocked > BLOCKED_LIMIT_S:
                _findings.add("blocking", f"a callback blocked the event loop for {blocked:.1f} s: {handle!r}")

    patch.setattr(asyncio.Handle, "_run", timed)


def _run_queue_wait_s() -> float:
    """Return how long this thread has waited for a processor, seconds (second field of schedstat, nanoseconds)."""
    try:
        return int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return float("inf")  # a kernel without the figure: inf - inf is not above any limit, so this rule is off
