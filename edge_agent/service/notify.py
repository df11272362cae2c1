"""Tell systemd how the service is: ready, status text, alive, reloading, stopping.

    notifier = Notifier()                        # reads $NOTIFY_SOCKET; without it every call does nothing
    notifier.ready("idle")
    interval = watchdog_interval_s()             # half of WatchdogSec=, None without a watchdog
    notifier.watchdog()                          # only while everything that must live is alive

One datagram per notice on an AF_UNIX socket, a path or an abstract name written `@name` (sd_notify(3)). A notice that
cannot be delivered is logged once and never raised: talking matters more than reporting. No dependency, no thread.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Sends notices to the service manager named by $NOTIFY_SOCKET.

    Args:
        environment: Where NOTIFY_SOCKET is looked up; the process's own by default.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        name = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
        if name and name[0] not in "/@":
            log.warning("NOTIFY_SOCKET=%s is neither a path nor an abstract name; systemd gets no notices", name)
            name = ""
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._failed = False

    @property
    def enabled(self) -> bool:
        """True if a service manager listens."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """Start-up, or a reload, is complete."""
        self._send("READY=1", status)

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send("", text)

    def watchdog(self) -> None:
        """Say that the service is alive; systemd restarts it when this stays away for WatchdogSec=."""
        self._send("WATCHDOG=1")

    def reloading(self, status: str = "") -> None:
        """A reload begins; `ready` ends it. MONOTONIC_USEC is what Type=notify-reload asks for."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", status)

    def stopping(self, status: str = "") -> None:
        """The service ends of its own will or on SIGTERM."""
        self._send("STOPPING=1", status)

    def extend_timeout(self, seconds: float) -> None:
        """Ask for more time to start or stop, counted from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, assignments: str, status: str = "") -> None:
        if not self._address:
            return
        if status:
            line = "STATUS=" + " ".join(status.split())  # a line break would start another assignment
            assignments = f"{assignments}\n{line}" if assignments else line
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(assignments.encode(), self._address)
        except OSError as error:
            if not self._failed:
                log.warning("systemd cannot be told %s: %s", assignments.partition("\n")[0], error)
            self._failed = True
        else:
            self._failed = False


def watchdog_interval_s(environment: Mapping[str, str] | None = None, *, pid: int | None = None) -> float | None:
    """Return how often to call `Notifier.watchdog`, seconds: half of what systemd waits (sd_watchdog_enabled(3)).

    None without a watchdog, when WATCHDOG_PID names another process, or when WATCHDOG_USEC is not a positive number.
    """
    variables = os.environ if environment is None else environment
    text = variables.get("WATCHDOG_USEC", "")
    meant_for = variables.get("WATCHDOG_PID", "")
    if not text.isdecimal() or int(text) == 0:
        return None
    if meant_for and meant_for != str(os.getpid() if pid is None else pid):
        return None
    return int(text) / 2e6
