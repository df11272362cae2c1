"""The network watch on a real bus of its own, with a stand-in that speaks as NetworkManager does."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jeepney import DBusAddress, MessageType, Parser, new_error, new_method_call, new_method_return, new_signal
from jeepney.io.asyncio import DBusConnection, open_dbus_connection

from edge_agent.service import network
from edge_agent.service.dbus import Bus
from edge_agent.service.network import NetworkWatch

NAME, PATH = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"
CABLE, WIFI = f"{PATH}/ActiveConnection/1", f"{PATH}/ActiveConnection/2"
ON, OFF = 70, 20
FULL, PORTAL, NONE = 4, 2, 1
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow receive_type="method_call"/><allow receive_type="signal"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow send_requested_reply="true"/></policy>
</busconfig>"""

needs_dbus = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="dbus-daemon is not on this machine")


class PrivateBus:
    """A dbus-daemon of the test's own, which may be stopped and started again under the same address."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "bus"
        self.address = f"unix:path={self.socket}"
        self._config = folder / "bus.conf"
        self._config.write_text(_CONFIG.format(socket=self.socket))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address=1"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the bus listens once it has told its address"

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self.socket.unlink(missing_ok=True)
            self._process = None


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    monkeypatch.setattr(network, "SETTLE_S", 0.15)
    monkeypatch.setattr(network, "RETRY_FIRST_S", 0.05)
    one = PrivateBus(tmp_path)
    one.start()
    yield one
    one.stop()


class FakeManager:
    """Owns NetworkManager's name, answers GetAll, and tells changes in NetworkManager's words."""

    def __init__(self, connection: DBusConnection, **facts: Any) -> None:
        self._connection = connection
        self._facts = {"State": ("u", ON), "Connectivity": ("u", FULL), "PrimaryConnection": ("o", CABLE)} | facts
        self.asked = asyncio.Event()

    @classmethod
    async def appear(cls, address: str, **facts: Any) -> FakeManager:
        connection = await open_dbus_connection(address)
        manager = cls(connection, **facts)
        bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
        await connection.send(new_method_call(bus, "RequestName", "su", (NAME, 4)))
        manager.serving = asyncio.create_task(manager._serve())
        return manager

    async def change(self, **facts: Any) -> None:
        """Change properties, as NetworkManager tells it: one signal."""
        self._facts |= facts
        where = DBusAddress(PATH, interface="org.freedesktop.DBus.Properties")
        await self._connection.send(new_signal(where, "PropertiesChanged", "sa{sv}as", (NAME, facts, [])))

    async def say(self, member: str, signature: str, *body: Any, interface: str = NAME) -> None:
        await self._connection.send(new_signal(DBusAddress(PATH, interface=interface), member, signature, body))

    async def leave(self) -> None:
        self.serving.cancel()
        with suppress(asyncio.CancelledError):
            await self.serving
        await self._connection.close()

    async def _serve(self) -> None:
        with suppress(EOFError, ConnectionError):
            while True:
                message = await self._connection.receive()
                if message.header.message_type is not MessageType.method_call:
                    continue
                fields = {field.name: value for field, value in message.header.fields.items()}
                if fields.get("member") == "GetAll" and message.body == (NAME,):
                    answer = new_method_return(message, "a{sv}", (self._facts,))
                else:
                    answer = new_error(message, f"{NAME}.Unknown")
                await self._connection.send(answer)
                self.asked.set()

    serving: asyncio.Task[None]


class Listener:
    """Keeps what the watch tells, and waits for it."""

    def __init__(self) -> None:
        self.heard: list[bool] = []
        self._news = asyncio.Event()

    def __call__(self, connected: bool) -> None:
        self.heard.append(connected)
        self._news.set()

    async def hears(self, *changes: bool) -> None:
        """Wait until exactly these were told since the last time."""
        async with asyncio.timeout(20):
            while len(self.heard) < len(changes):
                self._news.clear()
                await self._news.wait()
        assert self.heard == list(changes)
        self.heard.clear()

    async def hears_nothing(self) -> None:
        await asyncio.sleep(3 * network.SETTLE_S)
        assert self.heard == []


@asynccontextmanager
async def watched(bus: PrivateBus, **facts: Any) -> AsyncIterator[tuple[FakeManager, Listener]]:
    """A manager on the bus, and a watch that has asked it how things stand."""
    manager = await FakeManager.appear(bus.address, **facts)
    listener = Listener()
    watch = NetworkWatch(listener, address=bus.address)
    watch.start()
    try:
        await manager.asked.wait()
        yield manager, listener
    finally:
        await watch.close()
        await manager.leave()


def _play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


@needs_dbus
def test_what_was_there_is_no_change_and_what_comes_is(bus: PrivateBus) -> None:
    async def story() -> None:
        async with watched(bus) as (manager, listener):
            await listener.hears_nothing()
            await manager.change(State=("u", OFF), Connectivity=("u", NONE), PrimaryConnection=("o", "/"))
            await listener.hears(False)
            await manager.change(State=("u", 40))
            await listener.hears_nothing()
            await manager.change(PrimaryConnection=("o", WIFI))
            await manager.change(State=("u", 60))
            await manager.change(State=("u", ON), Connectivity=("u", FULL))
            await listener.hears(True)

    _play(story)


@needs_dbus
def test_another_connection_and_a_portal_that_opens_are_told(bus: PrivateBus) -> None:
    async def story() -> None:
        async with watched(bus, Connectivity=("u", PORTAL)) as (manager, listener):
            await manager.change(Connectivity=("u", FULL))
            await listener.hears(True)
            await manager.change(PrimaryConnection=("o", WIFI))
            await listener.hears(True)
            await manager.change(PrimaryConnection=("o", WIFI), ActiveConnections=("ao", [WIFI, CABLE]))
            await manager.change(Connectivity=("u", PORTAL))
            await listener.hears_nothing()

    _play(story)


@needs_dbus
def test_a_line_that_was_away_for_a_moment_is_another_line(bus: PrivateBus) -> None:
    async def story() -> None:
        async with watched(bus) as (manager, listener):
            await manager.say("StateChanged", "u", OFF)
            await manager.say("StateChanged", "u", ON)
            await manager.say("StateChanged", "u", 60)
            await listener.hears(True)
            await manager.say("StateChanged", "u", OFF)
            await listener.hears(False)
            await manager.say("StateChanged", "u", ON)
            await manager.say("StateChanged", "u", OFF)
            await listener.hears_nothing()

    _play(story)


@needs_dbus
def test_signals_that_say_something_else_or_nonsense_are_passed_over(bus: PrivateBus) -> None:
    async def story() -> None:
        async with watched(bus) as (manager, listener):
            await manager.say("StateChanged", "s", "off")
            await manager.say("CheckPermissions", "")
            await manager.say("StateChanged", "u", OFF, interface="org.example.Other")
            await manager.change(State=("s", "twenty"), Connectivity=("o", "/x"), PrimaryConnection=("u", 3))
            await listener.hears_nothing()
            await manager.change(State=("u", OFF))
            await listener.hears(False)

    _play(story)


@needs_dbus
def test_network_manager_may_come_later_and_start_anew(bus: PrivateBus, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "edge_agent")

    async def story() -> None:
        listener = Listener()
        watch = NetworkWatch(listener, address=bus.address)
        watch.start()
        await listener.hears_nothing()
        assert [one.levelname for one in caplog.records if "does not run here" in one.message] == ["DEBUG"]
        manager = await FakeManager.appear(bus.address, State=("u", OFF))
        await manager.asked.wait()
        await listener.hears_nothing()
        await manager.leave()
        again = await FakeManager.appear(bus.address)
        await listener.hears(True)
        await watch.close()
        await again.leave()

    _play(story)


@needs_dbus
@pytest.mark.allows("blocking", reason="the bus is stopped and started from within the story")
def test_a_bus_that_vanishes_is_found_again(bus: PrivateBus, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "edge_agent")

    async def story() -> None:
        manager = await FakeManager.appear(bus.address)
        listener = Listener()
        watch = NetworkWatch(listener, address=bus.address)
        watch.start()
        await manager.asked.wait()
        bus.stop()
        await manager.leave()
        await listener.hears_nothing()
        bus.start()
        manager = await FakeManager.appear(bus.address, State=("u", OFF))
        await listener.hears(False)
        await watch.close()
        await manager.leave()

    _play(story)
    assert all(record.levelno <= logging.DEBUG for record in caplog.records if record.name.startswith("edge_agent"))
    assert "it is looked for again" in caplog.text


def test_a_machine_without_a_bus_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "edge_agent")
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS", raising=False)
    monkeypatch.setattr(network, "SOCKET", str(tmp_path / "none"))

    async def story() -> None:
        for address, sentence in (
            ("", "no system D-Bus here"),
            (f"unix:path={tmp_path}/none", "cannot be used"),
            ("tcp:host=localhost,port=1", "cannot be used"),
            ("nonsense", "cannot be used"),
        ):
            caplog.clear()
            listener = Listener()
            watch = NetworkWatch(listener, address=address)
            watch.start()
            assert watch._task is not None
            await asyncio.wait_for(watch._task, 10)
            assert [record.levelname for record in caplog.records] == ["DEBUG"]
            assert sentence in caplog.text
            await watch.close()
            assert listener.heard == []

    _play(story)


@pytest.mark.parametrize("said", [b"", b"REJECTED ANONYMOUS\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 600])
def test_something_else_that_listens_there_is_no_bus(tmp_path: Path, said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        writer.close()
        await writer.wait_closed()

    async def story() -> None:
        server = await asyncio.start_unix_server(answer, tmp_path / "bus")
        watch = NetworkWatch(Listener(), address=f"unix:path={tmp_path}/bus")
        watch.start()
        assert watch._task is not None
        await asyncio.wait_for(watch._task, 10)
        await watch.close()
        server.close()
        await server.wait_closed()

    _play(story)


@needs_dbus
def test_a_listener_that_fails_does_not_end_the_watch(bus: PrivateBus) -> None:
    async def story() -> None:
        failures: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(str(context["exception"])))
        manager = await FakeManager.appear(bus.address)
        listener = Listener()

        def clumsy(connected: bool) -> None:
            listener(connected)
            raise RuntimeError("clumsy")

        watch = NetworkWatch(clumsy, address=bus.address)
        watch.start()
        await manager.asked.wait()
        await manager.change(State=("u", OFF))
        await listener.hears(False)
        await manager.change(State=("u", ON))
        await listener.hears(True)
        assert failures == ["clumsy", "clumsy"]
        await watch.close()
        await manager.leave()

    _play(story)


def test_a_watch_that_never_began_can_be_closed() -> None:
    async def story() -> None:
        await NetworkWatch(Listener()).close()

    _play(story)


_GOOD = new_signal(DBusAddress(PATH, interface=NAME), "StateChanged", "u", (70,)).serialise(1)


@given(st.lists(st.tuples(st.integers(0, len(_GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_messages_are_one_kind_of_error(damage: list[tuple[int, int]]) -> None:
    data = bytearray(_GOOD)
    for place, byte in damage:
        data[place] = byte

    async def story() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(bytes(data))
        reader.feed_eof()
        bus = Bus.__new__(Bus)
        bus._reader, bus._parser = reader, Parser()
        with suppress(EOFError, ValueError):
            await bus._receive()

    _play(story)


def test_the_service_may_reach_the_bus() -> None:
    unit = (Path(__file__).parents[2] / "systemd/edge-agent.service").read_text()
    (families,) = [line for line in unit.splitlines() if line.startswith("RestrictAddressFamilies=")]
    assert "AF_UNIX" in families
    assert "PrivateUsers=yes" not in unit, "the bus is told our user id by the kernel"
    assert not any(line.startswith(("InaccessiblePaths=", "TemporaryFileSystem=")) for line in unit.splitlines())
