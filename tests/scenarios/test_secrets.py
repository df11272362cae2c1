"""Each kind of credential, taken, refused, out of reach and behind TLS nobody trusts: and nowhere is it seen.

What is searched: every log record down to debug before it is masked, what the log prints, answers of the control
socket, watched events, metrics, files, and by the suite's own guard stdout, stderr and tracebacks.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from harness import KEY, Device
from showing import Shown
from token_server import CERTIFICATES, Asked, TokenServer, broker_answer, json_answer, server_tls

from edge_agent import config as settings
from edge_agent.errors import ConfigError
from edge_agent.service import logs
from edge_agent.simulator import End, Script, SyncTwin

TOKEN = "auth_tokens/f00d-5ecret-of-an-hour-0123456789abcdef"
ANOTHER_TOKEN = "auth_tokens/d0d0-5ecret-of-the-next-hour-fedcba98"
BEARER = "ya29.a0-5ecret-Bearer_of-the-device-account.0123"
SECRET = "5ecret/of+the=device for~its broker".replace(" ", "_")
PASSWORD = "5ecret%2FPassw0rd-of-the-proxy"
ALL = (KEY, TOKEN, ANOTHER_TOKEN, BEARER, SECRET, PASSWORD)


@pytest.fixture
def log(shown: Shown) -> Iterator[io.StringIO]:
    """The daemon's log at its most talkative; the raw records go to `shown` as well."""
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    stream = io.StringIO()
    logs.set_up("debug", stream=stream, environment={})
    with shown.listening(logging.DEBUG):
        yield stream
    root.handlers, root.level = handlers, level
    sys.excepthook = hook
    logs.content.disabled = False


class Told:
    """What a run told, and the proof that no secret is in it."""

    def __init__(self, shown: Shown, log: io.StringIO, folder: Path) -> None:
        self._shown, self._log, self._folder = shown, log, folder

    def nothing_of(self, *more: str) -> None:
        self._shown.add("printed log", self._log.getvalue())
        self._shown.files(self._folder, but=("key", "secret", "account.json", "subject", "cert-valid.pem"))
        assert len(self._shown.texts) > 10, "nothing was told at all"
        found = self._shown.of(*ALL, *more)
        assert not found, found


@pytest.fixture
def told(shown: Shown, log: io.StringIO, tmp_path: Path) -> Told:
    return Told(shown, log, tmp_path)


@pytest.fixture(scope="module")
def private_key() -> str:
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return made.stdout.decode()


def secret_file(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_text(content)
    path.chmod(0o600)
    return f"file:{path}"


def run(device: Device, *steps: Callable[[Device], Any]) -> None:
    async def story() -> None:
        async with device:
            for step in steps:
                await step(device)
            await device.status()
            await device.ask("metrics")

    asyncio.run(story())


async def answered(device: Device) -> None:
    """Ask something and hear the answer begin."""
    await device.ask("ask", text="hello")
    await device.until(lambda status: status["connected"])
    await device.event("latency")


def fails(code: int, words: str) -> Callable[[Device], Any]:
    async def step(device: Device) -> None:
        await device.ask("ask", text="hello")
        status = await device.until(lambda status: status["fault"] is not None)
        assert status["fault"]["code"] == code, status
        assert words in status["fault"]["text"], status

    return step


def device_at(door: str, folder: Path, twin: SyncTwin, **tables: Any) -> Device:
    """A device whose service takes `door` as key or token."""
    device = Device(folder, twin, **tables)
    twin.twin.key = door
    return device


def with_broker(folder: Path, server: TokenServer, **broker: Any) -> dict[str, Any]:
    return {
        "live": {"credential": f"ephemeral:{server.url}/token"},
        "broker": {"secret": secret_file(folder, "secret", SECRET), **broker},
    }


def with_account(folder: Path, private_key: str, token_uri: str) -> dict[str, Any]:
    info = {
        "type": "service_account",
        "project_id": "museum-1",
        "private_key_id": "0123456789abcdef",
        "private_key": private_key,
        "client_email": "device-7@museum-1.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_uri,
    }
    account = secret_file(folder, "account.json", json.dumps(info))
    return {"live": {"credential": "vertex:museum-1/europe-west4"}, "vertex": {"account": account}}


def google(asked: Asked) -> Any:  # noqa: ARG001  any account gets the token
    return json_answer({"access_token": BEARER, "expires_in": 3599, "token_type": "Bearer"})


# An API key.


def test_a_key_that_is_taken(tmp_path: Path, twin: SyncTwin, told: Told) -> None:
    run(Device(tmp_path, twin), answered)
    told.nothing_of()


def test_a_key_in_the_environment(tmp_path: Path, twin: SyncTwin, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_THE_TEST", KEY)
    run(Device(tmp_path, twin, live={"credential": "env:KEY_OF_THE_TEST"}), answered)
    told.nothing_of()


def test_a_key_that_is_refused_and_then_changed_is_shown_again_at_once(
    tmp_path: Path, twin: SyncTwin, told: Told
) -> None:
    device = Device(tmp_path, twin)
    twin.twin.key = "AIzaTheNewKeyThatTheOwnerHasMade-5ecret"

    async def change(_device: Device) -> None:
        (tmp_path / "key").write_text(twin.twin.key)

    run(device, fails(3, "refuses the key"), change, answered)
    assert twin.refused == [400]
    told.nothing_of(twin.twin.key)


def test_a_key_pasted_where_its_place_belongs(tmp_path: Path) -> None:
    for table in (
        f"[live]\ncredential = '{KEY}'",
        f"[broker]\nsecret = '{SECRET}'",
        f"[live]\nurl = 'wss://x?key={KEY}'",
    ):
        (tmp_path / "config.toml").write_text(table)
        with pytest.raises(ConfigError) as caught:
            settings.load(tmp_path / "config.toml")
        for secret in ALL:
            assert secret not in str(caught.value)
    (tmp_path / "config.toml").unlink()


def test_a_service_that_repeats_the_key_in_its_refusal(tmp_path: Path, told: Told) -> None:
    answers = [
        f"HTTP/1.1 400 Bad Request\r\nX-Echo: {KEY}\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        for body in (
            json.dumps({"error": {"status": "INVALID_ARGUMENT", "message": f"API key not valid: {KEY}"}}),
            f"bad key {KEY[:30]}",
        )
    ]

    async def story() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers[0].encode())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with Device(tmp_path, None, live={"url": url}) as device:
                await fails(3, "refuses the key")(device)
                answers.pop(0)
                await device.ask("ask", text="hello")
                await device.until(lambda status: status["fault"] is not None)

    asyncio.run(story())
    told.nothing_of()


@pytest.mark.parametrize("code", [1007, 1008, 1011, 1013])
def test_a_service_that_repeats_the_key_in_its_last_words(tmp_path: Path, told: Told, code: int) -> None:
    with SyncTwin(Script(end_before_setup=End(code, f"API key expired: {KEY}. Renew {KEY}"[:120]))) as twin:

        async def watched(device: Device) -> None:
            await device.ask("ask", text="hello")
            await device._wait(lambda: any("Renew" in event.get("why", "") for event in device.events))

        run(Device(tmp_path, twin), watched)
    told.nothing_of()


# A token of a broker's.


def test_a_token_that_is_taken(tmp_path: Path, twin: SyncTwin, told: Told) -> None:
    with TokenServer(broker_answer(TOKEN)) as broker:
        run(device_at(TOKEN, tmp_path, twin, **with_broker(tmp_path, broker)), answered)
    assert twin.session.path.endswith("v1alpha.GenerativeService.BidiGenerateContentConstrained")
    assert len(broker.asked) == 1
    told.nothing_of()


def test_a_kept_token_that_is_refused_is_replaced_while_the_person_waits(
    tmp_path: Path, twin: SyncTwin, told: Told
) -> None:
    tokens = iter((TOKEN, ANOTHER_TOKEN))
    with TokenServer(lambda _asked: broker_answer(next(tokens), opens_s=900, uses=0)) as broker:

        async def revoked(device: Device) -> None:
            await device.ask("end")
            await device.until(connected=False)
            twin.twin.key = ANOTHER_TOKEN
            await device.ask("ask", text="hello again")
            await device.until(connected=True)
            assert (await device.status())["fault"] is None

        run(device_at(TOKEN, tmp_path, twin, **with_broker(tmp_path, broker)), answered, revoked)
    assert (len(broker.asked), twin.refused, len(twin.sessions)) == (2, [401], 2)
    told.nothing_of()


def test_a_fresh_token_that_is_refused_is_a_fault_and_not_a_loop(tmp_path: Path, twin: SyncTwin, told: Told) -> None:
    with TokenServer(broker_answer(TOKEN, opens_s=900, uses=0)) as broker:
        tables = with_broker(tmp_path, broker)
        run(device_at("auth_tokens/of-somebody-else", tmp_path, twin, **tables), fails(3, "refuses the key"))
    assert len(broker.asked) == len(twin.refused) == 1
    told.nothing_of()


def test_a_broker_that_refuses_and_repeats_what_it_was_shown(tmp_path: Path, twin: SyncTwin, told: Told) -> None:
    def echo(asked: Asked) -> Any:
        return 403, {"X-Echo": asked.headers["Authorization"]}, f"who is {asked.headers['Authorization']}".encode()

    with TokenServer(echo) as broker:
        device = Device(tmp_path, twin, **with_broker(tmp_path, broker))
        run(device, fails(3, "The token broker 127.0.0.1 refuses this device"))
    assert not twin.refused
    told.nothing_of()


def test_a_broker_that_is_down_is_a_matter_of_the_network(tmp_path: Path, twin: SyncTwin, told: Told) -> None:
    with TokenServer(broker_answer(TOKEN)) as broker:
        tables = with_broker(tmp_path, broker)
    run(Device(tmp_path, twin, **tables), fails(1, "token broker"))
    told.nothing_of()


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("cert-expired", 1, "has expired"), ("cert-not-yet-valid", 2, "clock is wrong")],
)
def test_a_broker_whose_certificate_is_no_good(  # noqa: PLR0917  a table of cases
    tmp_path: Path, twin: SyncTwin, told: Told, name: str, code: int, words: str
) -> None:
    ca = f"file:{CERTIFICATES}/{name}.pem"
    with TokenServer(broker_answer(TOKEN), tls=server_tls(name)) as broker:
        run(Device(tmp_path, twin, **with_broker(tmp_path, broker, ca=ca)), fails(code, words))
    assert not broker.asked, "nothing was shown to a stranger"
    told.nothing_of()


# An account of Google Cloud's.


def test_an_account_that_is_taken(tmp_path: Path, twin: SyncTwin, told: Told, private_key: str) -> None:
    with TokenServer(google) as tokens:
        run(device_at(BEARER, tmp_path, twin, **with_account(tmp_path, private_key, tokens.url)), answered)
    session = twin.session
    assert session.path == "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
    assert session.setup["model"].startswith("projects/museum-1/locations/europe-west4/publishers/google/models/")
    told.nothing_of(private_key)


def test_usage_on_the_agent_platform_is_counted(tmp_path: Path, twin: SyncTwin, private_key: str) -> None:
    async def used(device: Device) -> None:
        event = await device.event("usage")
        assert event["response"] > 0

    with TokenServer(google) as tokens:
        run(device_at(BEARER, tmp_path, twin, **with_account(tmp_path, private_key, tokens.url)), answered, used)


def test_an_account_that_is_refused_by_google_or_by_the_service(
    tmp_path: Path, twin: SyncTwin, told: Told, private_key: str
) -> None:
    sent: list[str] = []

    def echo(asked: Asked) -> Any:
        sent.append(asked.body.decode())
        words = {"error": "invalid_grant", "error_description": f"Not good: {asked.body.decode()}"}
        return 400, {}, json.dumps(words).encode()

    with TokenServer(echo) as tokens:
        device = Device(tmp_path, twin, **with_account(tmp_path, private_key, tokens.url))

        async def let_in(_device: Device) -> None:
            tokens.answer = google

        run(device, fails(3, "invalid_grant"), let_in, fails(3, "refuses the key"))
    assert twin.refused == [401]
    (assertion,) = parse_qs(sent[0])["assertion"]
    told.nothing_of(private_key, assertion[:60])


def test_a_token_service_that_is_down(tmp_path: Path, twin: SyncTwin, told: Told, private_key: str) -> None:
    with TokenServer(google) as tokens:
        tables = with_account(tmp_path, private_key, tokens.url)
    run(Device(tmp_path, twin, **tables), fails(1, "Google's token service"))
    told.nothing_of(private_key)


# The way there.


@pytest.fixture
def untrusted() -> Iterator[SyncTwin]:
    """A twin behind TLS that nobody here trusts."""
    with SyncTwin(tls=server_tls()) as twin:
        yield twin


def test_no_credential_is_shown_to_a_service_behind_tls_nobody_trusts(
    tmp_path: Path, untrusted: SyncTwin, told: Told, private_key: str
) -> None:
    trusting = ssl.create_default_context()
    with TokenServer(broker_answer(TOKEN)) as broker, TokenServer(google) as tokens:
        kinds: list[dict[str, Any]] = [
            {},
            with_broker(tmp_path, broker),
            with_account(tmp_path, private_key, tokens.url),
        ]
        for number, tables in enumerate(kinds):
            folder = tmp_path / str(number)
            folder.mkdir()
            run(Device(folder, untrusted, ssl_context=trusting, **tables), fails(1, "cannot be trusted"))
    assert not untrusted.sessions
    told.nothing_of(private_key)


def test_a_proxys_password(tmp_path: Path, twin: SyncTwin, told: Told) -> None:
    with ExitStack() as stack:
        proxy = stack.enter_context(TokenServer((407, {}, b"who are you?")))
        url = proxy.url.replace("//", f"//museum:{PASSWORD}@")
        device = Device(tmp_path, twin, live={"url": "wss://service.invalid"}, link={"proxy": url})

        async def watched(device: Device) -> None:
            await device.ask("ask", text="hello")
            await device.until(lambda status: status["fault"] is not None)

        run(device, watched)
    login = base64.b64encode(b"museum:5ecret/Passw0rd-of-the-proxy").decode()
    told.nothing_of(login, "5ecret/Passw0rd-of-the-proxy")
