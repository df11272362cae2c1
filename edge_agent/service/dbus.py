"""One connection to a D-Bus, on the event loop: calls that wait for their answer, and signals in the order they came.

    bus = await Bus.open("unix:path=/run/dbus/system_bus_socket")
    await bus.match("type='signal',sender='org.freedesktop.NetworkManager'")
    answer = await bus.call(name, path, interface, "GetAll", "s", interface)     # a tuple; None: answered with an error
    signal = await bus.signal()
    await bus.close()

Messages are put together and taken apart by jeepney, which is why this module is imported only where a bus is used.
One task at a time may use a connection. Every call raises `OSError`, `EOFError` or `ValueError` when the bus is gone or
does not speak D-Bus. No service is ever started by a call.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jeepney import DBusAddress, MessageFlag, MessageType, Parser, new_method_call
from jeepney.auth import BEGIN, Authenticator
from jeepney.bus import get_connectable_addresses

_BUS = "org.freedesktop.DBus"
_READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Signal:
    """What somebody on the bus told everybody; variants in `body` are (signature, value)."""

    interface: str
    member: str
    body: tuple[Any, ...]


class Bus:
    """An open connection; made by `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = Parser()
        self._serials = itertools.count(1)
        self._signals: deque[Signal] = deque()

    @classmethod
    async def open(cls, address: str) -> Bus:
        """Connect, prove who we are, and say hello.

        Raises:
            OSError, EOFError, ValueError: there is no bus, or it does not let us in.
        """
        try:
            path = next(get_connectable_addresses(address))
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        bus = cls(*await asyncio.open_unix_connection(path))
        try:
            await bus._greet()
        except BaseException:
            await bus.close()
            raise
        return bus

    async def match(self, rule: str) -> None:
        """Ask for the signals that a match rule of the D-Bus specification describes."""
        await self.call(_BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", "s", rule)

    async def call(
        self, name: str, path: str, interface: str, member: str, signature: str | None = None, *body: str
    ) -> tuple[Any, ...] | None:
        """Call a method; return the answer's body, or None if it is an error."""
        message = new_method_call(DBusAddress(path, name, interface), member, signature, body)
        message.header.flags |= MessageFlag.no_auto_start
        serial = next(self._serials)
        self._writer.write(message.serialise(serial))
        await self._writer.drain()
        while True:
            answer = await self._receive()
            if _fields(answer).get("reply_serial") == serial:
                found: tuple[Any, ...] = answer.body
                return found if answer.header.message_type is MessageType.method_return else None
            self._keep(answer)

    async def signal(self) -> Signal:
        """Return the next signal; may be cancelled without losing one."""
        while not self._signals:
            self._keep(await self._receive())
        return self._signals.popleft()

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _greet(self) -> None:
        proof = Authenticator()
        for data in proof:
            self._writer.write(data)
            proof.feed(await self._some())
        self._writer.write(BEGIN)
        await self.call(_BUS, "/org/freedesktop/DBus", _BUS, "Hello")

    def _keep(self, message: Any) -> None:
        if message.header.message_type is MessageType.signal:
            fields = _fields(message)
            self._signals.append(Signal(fields.get("interface", ""), fields.get("member", ""), message.body))

    async def _receive(self) -> Any:
        while (message := self._parsed()) is None:
            self._parser.add_data(await self._some())
        return message

    def _parsed(self) -> Any:
        try:
            return self._parser.get_next_message()
        except Exception as error:  # the parser trusts its peer, and fails on other bytes in half a dozen ways
            raise ValueError(f"what came is not D-Bus: {error!r}") from error

    async def _some(self) -> bytes:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise EOFError("the bus hung up")
        return data


def _fields(message: Any) -> dict[str, Any]:
    """Return the header's fields by name."""
    return {field.name: value for field, value in message.header.fields.items()}
