"""Where the Live API is, from the settings."""

from __future__ import annotations

import pytest

from edge_agent.errors import ConfigError
from edge_agent.live.endpoint import Endpoint, Place

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


def test_ephemeral_tokens_have_a_path_of_their_own_whatever_the_version() -> None:
    constrained = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained"
    assert Endpoint.resolve(constrained=True).path == constrained
    assert str(Endpoint.resolve("ws://127.0.0.1:8765", "v1", constrained=True)) == f"ws://127.0.0.1:8765{constrained}"
    assert Endpoint.resolve("wss://proxy.example/live", constrained=True).path == "/live"


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_the_agent_platform_has_a_host_for_each_location(location: str, host: str) -> None:
    place = Place.of(f"vertex:museum-1/{location}")
    assert place is not None
    assert place.models == f"projects/museum-1/locations/{location}/publishers/google/models"
    path = "/ws/google.cloud.aiplatform.{}.LlmBidiService/BidiGenerateContent"
    assert str(Endpoint.resolve(place=place)) == f"wss://{host}:443{path.format('v1beta1')}"
    assert Endpoint.resolve(api_version="v1", place=place).path == path.format("v1")
    assert Endpoint.resolve("ws://127.0.0.1:1", place=place).host == "127.0.0.1"
    with pytest.raises(ConfigError, match="v1 and v1beta only"):
        Endpoint.resolve(api_version="v1alpha", place=place)


@pytest.mark.parametrize("credential", ["vertex:", "vertex:p", "vertex:p/", "vertex:/l", "vertex:p/l/m", "vertex:p/L1"])
def test_a_place_that_is_none_is_a_sentence(credential: str) -> None:
    with pytest.raises(ConfigError, match="PROJECT/LOCATION"):
        Place.of(credential)


def test_other_credentials_name_no_place() -> None:
    assert Place.of("file:gemini-key") is None
