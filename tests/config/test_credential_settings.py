"""The settings of credentials: what is allowed, and a sentence without the value for what is not."""

from __future__ import annotations

import pytest

from edge_agent import config as settings
from edge_agent.errors import ConfigError

ALLOWED = [
    ("live", "credential", "file:gemini-key"),
    ("live", "credential", "env:GEMINI_API_KEY"),
    ("live", "credential", "ephemeral:https://broker.example/token"),
    ("live", "credential", "ephemeral:http://127.0.0.1:8000"),
    ("live", "credential", "vertex:museum-1/europe-west4"),
    ("live", "credential", "vertex:example.com:museum/global"),
    ("broker", "secret", "env:BROKER_SECRET"),
    ("vertex", "account", "file:/etc/edge-agent/account.json"),
]

REFUSED = [
    ("live", "credential", "S3cret-key-itself", "file:NAME, env:NAME, ephemeral:URL or vertex:PROJECT/LOCATION"),
    ("live", "credential", "ephemeral:S3cret", "ephemeral:https://HOST"),
    ("live", "credential", "ephemeral:http://broker.example/S3cret", "http:// to this machine only"),
    ("live", "credential", "ephemeral:https://u:S3cret@broker.example", "secrets never stand in a URL, see [broker]"),
    ("live", "credential", "ephemeral:https://broker.example/?key=S3cret", "secrets never stand in a URL"),
    ("live", "credential", "ephemeral:https://broker.example:99999/S3cret", "ephemeral:https://HOST"),
    ("live", "credential", "vertex:S3cret", "vertex:PROJECT/LOCATION, such as"),
    ("live", "credential", "vertex:museum/Europe/S3cret", "vertex:PROJECT/LOCATION, such as"),
    ("broker", "secret", "S3cret", "the secret itself does not go there"),
    ("broker", "certificate", "-----BEGIN S3cret", "file:NAME, file:PATH or nothing"),
    ("broker", "timeout_s", 0, "a number from 1 to 60"),
    ("vertex", "account", '{"private_key": "S3cret"}', "file:NAME, file:PATH or nothing"),
]


@pytest.mark.parametrize(("table", "key", "value"), ALLOWED)
def test_every_form_that_is_allowed(table: str, key: str, value: str) -> None:
    assert settings.parse({table: {key: value}}, source="test")


@pytest.mark.parametrize(("table", "key", "value", "allowed"), REFUSED)
def test_every_wrong_form_gets_one_sentence(table: str, key: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.parse({table: {key: value}}, source="config.toml")
    sentence = str(caught.value)
    assert sentence.startswith(f"config.toml: {table}.{key}")
    assert allowed in sentence
    assert "S3cret" not in sentence
    assert "\n" not in sentence


def test_a_private_key_without_its_certificate_is_of_no_use() -> None:
    with pytest.raises(ConfigError, match=r"broker\.key is of no use without broker\.certificate"):
        settings.parse({"broker": {"key": "file:device.key"}}, source="test")
