"""The wire rows: a real round against the twin, and what becomes of a peer that is absent or did not do its work."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from edge_agent.bench import wire
from edge_agent.bench.children import NotMeasured, Service, certificate, client
from edge_agent.bench.speech import pcm, speech


def figures(cpu: float, *, up: float = 1.0, down: float = 1.0) -> dict[str, Any]:
    imported = {"wall_ms": 90.0, "cpu_ms": 80.0}
    return {"cpu_ms_per_s": cpu, "up_s_per_s": up, "down_s_per_s": down, "rss_mb": 30.0, "imported": imported}


def test_the_ratio_to_the_sdk_is_judged_over_the_rounds() -> None:
    found = {wire.OURS: [figures(10.0), figures(40.0), figures(10.0)], wire.SDK: [figures(20.0)] * 3}
    rows = {row.what: row for row in wire.rows(found, {wire.PLAIN: "absent"})}
    assert rows["ratio to google-genai"].values["ratio"] == 0.5
    assert rows["ratio to google-genai"].verdict == "ok"
    assert rows["ratio to google-genai"].note == "the aim is not met"
    assert rows["CPU per second of talk: edge-agent"].figure == "10.0 ms/s (10.0 to 40.0)"
    assert rows["ratio to websockets + json"].verdict == "not measured here"
    assert "memory, import CPU: websockets + json" not in rows


def test_more_than_the_budget_is_over() -> None:
    found = {wire.OURS: [figures(13.0)], wire.SDK: [figures(20.0)]}
    rows = {row.what: row for row in wire.rows(found, {wire.PLAIN: "absent"})}
    assert rows["ratio to google-genai"].verdict == "over"


@pytest.mark.parametrize("part", ["up", "down"])
def test_a_client_that_did_half_the_work_is_not_compared(part: str) -> None:
    with pytest.raises(NotMeasured, match="too busy"):
        wire.check("x", figures(1.0, **{part: 0.5}))


def test_an_installed_package_says_that_the_peers_are_in_a_checkout(tmp_path: Path) -> None:
    programs, absent = wire._programs(tmp_path)
    assert list(programs) == [wire.OURS]
    assert all("checkout" in why for why in absent.values())


def test_the_peers_of_this_checkout_are_found() -> None:
    assert (wire.peers_folder() / "peer_websockets.py").is_file()
    assert wire.PLAIN in wire._programs(wire.peers_folder())[0]


def test_a_client_that_cannot_connect_gives_its_reason(tmp_path: Path) -> None:
    class Nobody(Service):
        def __init__(self) -> None:
            self.url = "wss://127.0.0.1:9"

    sound = tmp_path / "speech.pcm"
    sound.write_bytes(pcm(speech(0.2, seed=1, rate=16_000)))
    tls = certificate(tmp_path)
    program = ["-m", "edge_agent.bench.wire_client"]
    with pytest.raises(NotMeasured, match=r"wire_client gave no figures: .*127\.0\.0\.1"):
        client(program, Nobody(), ca=tls[0], sound=sound, seconds=0.1, warm_up_s=0.1, folder=tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("google") is None, reason="the official SDK comes with the test extra")
def test_a_real_round_against_the_twin(tmp_path: Path) -> None:
    peers = tmp_path / "peers"
    peers.mkdir()
    (peers / "peer_sdk.py").symlink_to(wire.peers_folder() / "peer_sdk.py")
    rows = {row.what: row for row in wire.measure(tmp_path, certificate(tmp_path), rounds=1, seconds=2.0, peers=peers)}
    assert rows["CPU per second of talk: edge-agent"].values["cpu_ms_per_s"] > 0
    assert rows["ratio to google-genai"].values["ratio"] > 0
    assert rows["ratio to google-genai"].verdict in {"ok", "over"}
    assert "checkout" in rows["ratio to websockets + json"].note
