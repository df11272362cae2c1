"""What a connection opens with: the key, the persona, the tools, each read when it should be."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from token_server import TokenServer, broker_answer

from edge_agent import config as settings
from edge_agent.agent.opening import Opening
from edge_agent.config import Config
from edge_agent.errors import ConfigError, CredentialError, Fault, NetworkError
from edge_agent.live.session import Order
from edge_agent.service import logs


def configured(tmp_path: Path, **tables: Any) -> Config:
    key = tmp_path / "key"
    if not key.exists():
        key.write_text("a-secret-key-of-the-museum")
        key.chmod(0o600)
    tree: dict[str, Any] = {
        "live": {
            "url": "ws://127.0.0.1:9",
            "credential": f"file:{key}",
            "voice": "Kore",
            "system_instruction": "Short.",
        },
        "tools": {"folder": str(tmp_path / "tools")},
    }
    for name, table in tables.items():
        tree[name] = {**tree.get(name, {}), **table} if isinstance(table, dict) else table
    return settings.parse(tree, source="test")


def persona(tmp_path: Path, instruction: str) -> Path:
    folder = tmp_path / "persona"
    folder.mkdir(exist_ok=True)
    (folder / "instruction.md").write_text(instruction)
    (folder / "persona.toml").write_text('voice = "Puck"\n')
    return folder


def prepared(opening: Opening, handle: str | None = None, *, history: bool = False) -> Order:
    return asyncio.run(opening.prepare(handle, history=history))


def setup_of(order: Any) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(order.protocol.setup())
    return message["setup"]  # type: ignore[no-any-return]


def test_the_key_goes_into_a_header_and_to_the_masks_of_the_log(tmp_path: Path) -> None:
    order = prepared(Opening(lambda: configured(tmp_path)))
    assert order.headers["x-goog-api-key"] == "a-secret-key-of-the-museum"
    assert "museum" not in order.endpoint.path
    assert "museum" not in logs.secrets.mask("the key is a-secret-key-of-the-museum")


def test_without_a_persona_the_configuration_speaks(tmp_path: Path) -> None:
    opening = Opening(lambda: configured(tmp_path))
    setup = setup_of(prepared(opening))
    assert "Short." in json.dumps(setup["systemInstruction"])
    assert "Kore" in json.dumps(setup)
    assert opening.persona is None


def test_a_changed_persona_speaks_from_the_next_conversation_on(tmp_path: Path) -> None:
    folder = persona(tmp_path, "You are a whale.")
    opening = Opening(lambda: configured(tmp_path, persona=str(folder)))
    first = setup_of(prepared(opening))
    assert "whale" in json.dumps(first["systemInstruction"])
    assert "Puck" in json.dumps(first)
    (folder / "instruction.md").write_text("You are a lighthouse keeper.")
    resumed = setup_of(prepared(opening, "handle"))
    assert "whale" in json.dumps(resumed["systemInstruction"]), "in mid-conversation nobody becomes another"
    assert resumed["sessionResumption"]["handle"] == "handle"
    assert "lighthouse" in json.dumps(setup_of(prepared(opening))["systemInstruction"])


def test_a_persona_that_was_taken_out_of_the_configuration_is_gone(tmp_path: Path) -> None:
    config = configured(tmp_path, persona=str(persona(tmp_path, "You are a whale.")))
    opening = Opening(lambda: config)
    prepared(opening)
    config = configured(tmp_path)
    assert "whale" not in json.dumps(setup_of(prepared(opening)))


def test_a_persona_or_key_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-folder"):
        prepared(Opening(lambda: configured(tmp_path, persona=str(tmp_path / "no-such-folder"))))
    with pytest.raises(CredentialError):
        prepared(Opening(lambda: configured(tmp_path, live={"credential": f"file:{tmp_path}/none"})))


def test_a_broken_tool_is_named_once_and_the_others_are_offered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def opening_hours() -> str:
        """Tell when the museum is open."""
        return "ten to six"

    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "broken.py").write_text("this is not Python\n")
    opening = Opening(lambda: configured(tmp_path), functions=[opening_hours])
    for _ in range(3):
        setup = setup_of(prepared(opening))
    assert "opening_hours" in json.dumps(setup["tools"])
    assert "opening_hours" in opening.tools
    assert caplog.text.count("broken.py") == 1


def test_a_refused_key_is_read_again(tmp_path: Path) -> None:
    order = prepared(Opening(lambda: configured(tmp_path)))
    assert not order.renew()
    (tmp_path / "key").write_text("another-key-of-the-museum")
    assert order.renew()


def test_a_broker_gives_the_header_and_the_path_of_its_tokens(tmp_path: Path) -> None:
    with TokenServer(broker_answer("auth_tokens/a-token-of-an-hour", lasts_s=3600, opens_s=600, uses=0)) as server:
        config = configured(tmp_path, live={"credential": f"ephemeral:{server.url}/token"})
        opening = Opening(lambda: config)
        order = prepared(opening)
        assert order.headers == {"Authorization": "Token auth_tokens/a-token-of-an-hour"}
        assert order.endpoint.path.endswith(".v1alpha.GenerativeService.BidiGenerateContentConstrained")
        assert 3500 < order.lasts_s <= 3600
        prepared(opening)
        assert len(server.asked) == 1, "the token is kept"
        config = configured(
            tmp_path, live={"credential": f"ephemeral:{server.url}/token"}, broker={"secret": "env:NO_SUCH_VARIABLE"}
        )
        with pytest.raises(CredentialError, match="NO_SUCH_VARIABLE"):
            prepared(opening)


def test_no_token_is_spent_on_a_setup_that_cannot_be_made(tmp_path: Path) -> None:
    with TokenServer(broker_answer("auth_tokens/a-token-of-an-hour")) as server:
        config = configured(
            tmp_path, live={"credential": f"ephemeral:{server.url}/token"}, persona=str(tmp_path / "no-such-folder")
        )
        with pytest.raises(ConfigError, match="no-such-folder"):
            prepared(Opening(lambda: config))
    assert not server.asked


def test_the_way_out_is_the_configured_proxy(tmp_path: Path) -> None:
    def order(**link: Any) -> Order:
        live = {"url": "wss://service.example"}
        return prepared(Opening(lambda: configured(tmp_path, live=live, link=link)))

    assert order(proxy="none").proxy == ""
    assert order(proxy="http://museum:secret@proxy.example:3128").proxy.endswith("@proxy.example:3128")


def test_a_clock_from_before_the_program_was_written_is_waited_for(tmp_path: Path) -> None:
    """The key is not read, and no certificate is asked to be right about the time."""
    config = configured(tmp_path, live={"url": "wss://127.0.0.1:9", "credential": "file:/nowhere"})
    with pytest.raises(NetworkError) as told:
        prepared(Opening(lambda: config, wall=lambda: 1_480_000_000.0))
    assert told.value.fault is Fault.CLOCK
    assert "clock" in str(told.value)


def test_a_twin_on_this_machine_needs_no_clock(tmp_path: Path) -> None:
    order = prepared(Opening(lambda: configured(tmp_path), wall=lambda: 1_480_000_000.0))
    assert not order.endpoint.secure
