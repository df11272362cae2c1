"""Where the Live API is, from the settings."""

from __future__ import annotations

import pytest

from edge_agent.errors import ConfigError
from edge_agent.live.endpoint import Endpoint

STANDARD = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", f"wss://generativelanguage.googleapis.com:443{STANDARD}"),
        ("ws://127.0.0.1:8765", f"ws://127.0.0.1:8765{STANDARD}"),
        ("ws://localhost:8765/", f"ws://localhost:8765{STANDARD}"),
        ("ws://[::1]:8765", f"ws://[::1]:8765{STANDARD}"),
        ("ws://localhost", f"ws://localhost:80{STANDARD}"),
        ("wss://Proxy.Example/live", "wss://proxy.example:443/live"),
        ("wss://proxy.example:8443/a b", "wss://proxy.example:8443/a%20b"),
        ("wss://bücher.example/x", "wss://xn--bcher-kva.example:443/x"),
    ],
)
def test_a_path_that_is_given_replaces_the_standard_one(url: str, shown: str) -> None:
    assert str(Endpoint.resolve(url)) == shown


def test_the_version_stands_in_the_path() -> None:
    assert ".v1alpha." in Endpoint.resolve("", "v1alpha").path
    with pytest.raises(ConfigError, match="v1beta, v1alpha, v1"):
        Endpoint.resolve("", "v2")


@pytest.mark.parametrize(
    "url",
    [
        "ws://192.168.1.2:80",
        "ws://localhost.example",
        "http://x",
        "wss://",
        "wss://x:99999",
        "wss://[::1",
        "wss://x?key=SECRET",
        "wss://SECRET@x",
        "wss://u:SECRET@x",
        "wss://x#SECRET",
        "wss://a..b\u0080/",
        "wss://a..b/",
        "wss://" + "x" * 64 + ".example",
    ],
)
def test_a_url_that_is_refused_is_refused_without_showing_a_key(url: str) -> None:
    with pytest.raises(ConfigError, match=r"live\.url") as refusal:
        Endpoint.resolve(url)
    assert "SECRET" not in str(refusal.value)
