"""Hear from NetworkManager that the network came, went, or is another one now, so that the next try need not wait.

    watch = NetworkWatch(lambda connected: ...)     # called on the loop
    watch.start()
    await watch.close()

NetworkManager is listened to over the system D-Bus; nothing is ever asked of it but its present state.
`on_change(True)` comes when a connection is there that was not, when another one took its place (the cable instead of
the WiFi), and when a network that let nothing through does so now; `on_change(False)` when the last one went. Several
changes within `SETTLE_S` are one. What was there at the start is no change.

Promises: a machine without a system bus, or without NetworkManager, costs a line in the debug log and nothing else;
NetworkManager may come, go and be restarted at any time. A bus that vanishes is looked for again, with growing waits.
Source: NetworkManager's D-Bus reference (org.freedesktop.NetworkManager; NMState, NMConnectivityState).
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_agent.service.dbus import Bus, Signal

log = logging.getLogger(__name__)

SOCKET = "/run/dbus/system_bus_socket"
SETTLE_S = 0.3  # NetworkManager tells one change in several signals within some ten milliseconds
ANSWER_S = 10.0  # a bus on this machine answers in milliseconds; one that does not is as good as gone
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0

_NAME = "org.freedesktop.NetworkManager"
_PATH = "/org/freedesktop/NetworkManager"
_CONNECTED = 60  # NM_STATE_CONNECTED_SITE; 70 is global, below is connecting, local only or nothing
_FULL = 4  # NM_CONNECTIVITY_FULL; 2 is behind a portal, 3 limited, 0 not known
_UNKNOWN = 0

_FAILURES = (OSError, EOFError, ValueError)  # cut, refused, ended, or not D-Bus; TimeoutError is an OSError


class NetworkWatch:
    """Watches for as long as the daemon runs.

    Args:
        on_change: Told of each change, on the loop: True when there is a network (again, or another), False when none.
        address: A D-Bus address; $DBUS_SYSTEM_BUS_ADDRESS or the usual socket if empty.
    """

    def __init__(self, on_change: Callable[[bool], None], *, address: str = "") -> None:
        self._on_change = on_change
        self._address = address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "")
        self._task: asyncio.Task[None] | None = None
        self._link: _Link | None = None
        self._told: _Link | None = None
        self._changed = False
        self._said_absent = False

    def start(self) -> None:
        """Begin to watch; returns at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="network watch")

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        if not (self._address or os.path.exists(SOCKET)):  # noqa: ASYNC240, PTH110  one look, before anything waits
            log.debug("there is no system D-Bus here; the network is not watched, only tried")
            return
        dbus = await asyncio.to_thread(importlib.import_module, "edge_agent.service.dbus")
        known = False
        wait_s = RETRY_FIRST_S
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    bus = await dbus.Bus.open(self._address or f"unix:path={SOCKET}")
            except _FAILURES as error:
                if not known:
                    log.debug("the system D-Bus cannot be used (%s); the network is not watched, only tried", error)
                    return
            else:
                known = True
                wait_s = RETRY_FIRST_S
                try:
                    await self._listen(bus)
                except _FAILURES as error:
                    log.debug("the system D-Bus is gone (%s); it is looked for again", error)
                finally:
                    await bus.close()
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))  # noqa: S311  spreading tries, not secrets
            wait_s = min(2 * wait_s, RETRY_MOST_S)

    async def _listen(self, bus: Bus) -> None:
        async with asyncio.timeout(ANSWER_S):
            for rule in (
                f"type='signal',sender='{_NAME}',path='{_PATH}'",
                f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{_NAME}'",
            ):
                await bus.match(rule)
            await self._read(bus)
        while True:
            try:
                async with asyncio.timeout(SETTLE_S if self._changed else None) as settled:
                    signal = await bus.signal()
            except TimeoutError:
                if not settled.expired():
                    raise
                self._tell()
                continue
            await self._take(bus, signal)

    async def _take(self, bus: Bus, signal: Signal) -> None:
        """Learn what a signal says."""
        match signal.interface, signal.member, signal.body:
            case (_, "NameOwnerChanged", (_, _, str(owner))):
                if owner:
                    async with asyncio.timeout(ANSWER_S):
                        await self._read(bus)
            case (_, "PropertiesChanged", (str(of), dict(changed), _)) if of == _NAME:
                self._learn(changed)
            case (str(of), "StateChanged", (int(state),)) if of == _NAME:
                self._learn({"State": ("u", state)})

    async def _read(self, bus: Bus) -> None:
        """Ask for the present state; a machine without NetworkManager answers with an error."""
        answer = await bus.call(_NAME, _PATH, "org.freedesktop.DBus.Properties", "GetAll", "s", _NAME)
        match answer:
            case (dict(properties),):
                self._learn(properties)
            case _ if not self._said_absent:
                self._said_absent = True
                log.debug("NetworkManager does not run here; the network is not watched, only tried")

    def _learn(self, properties: dict[str, Any]) -> None:
        """Take new values of NetworkManager's properties: variants, (signature, value), by name."""
        before = self._link
        self._link = (before or _Link()).with_(properties)
        if before is None:
            self._told = self._link
        elif before != self._link:
            log.debug("network: %s", self._link)
            self._changed = self._changed or self._link.news_after(before)

    def _tell(self) -> None:
        self._changed = False
        before, self._told = self._told, self._link
        if self._link is None or before is None:
            return
        if self._link.connected or before.connected:
            # By way of the loop: what the listener does wrong shows there, and does not end the watch.
            asyncio.get_running_loop().call_soon(self._on_change, self._link.connected)


@dataclass(frozen=True, slots=True)
class _Link:
    """What NetworkManager says of the machine's way out."""

    state: int = _UNKNOWN
    connectivity: int = _UNKNOWN
    primary: str = "/"
    """The object path of the connection with the default route; `/` for none."""

    @property
    def connected(self) -> bool:
        return self.state >= _CONNECTED

    def with_(self, properties: dict[str, Any]) -> _Link:
        state, connectivity, primary = (properties.get(name) for name in ("State", "Connectivity", "PrimaryConnection"))
        link = self
        match state:
            case (_, int(value)):
                link = replace(link, state=value)
        match connectivity:
            case (_, int(value)):
                link = replace(link, connectivity=value)
        match primary:
            case (_, str(path)):
                link = replace(link, primary=path)
        return link

    def news_after(self, before: _Link) -> bool:
        """True if somebody who waits for the network should hear of it."""
        if self.connected != before.connected:
            return True
        through = self.connectivity == _FULL and before.connectivity not in {_FULL, _UNKNOWN}
        return self.connected and (through or self.primary not in {before.primary, "/"})
