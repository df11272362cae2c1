"""What is asked for when somebody reads the figures is what the sound engine counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from edge_agent.agent.figures import sample_figures
from edge_agent.agent.talk import Talk
from edge_agent.audio.echo import open_canceller
from edge_agent.audio.engine import Duplex
from edge_agent.audio.ring import CaptureRing
from edge_agent.live.uplink import Uplink
from edge_agent.service.metrics import Metrics


def engine() -> Duplex:
    return Duplex(
        block_frames=960,
        ring=CaptureRing(),
        mic_gain_db=0.0,
        mic_channel="left",
        volume=60,
        canceller=open_canceller("software"),
    )


@pytest.fixture
def read() -> tuple[Metrics, Duplex]:
    metrics, one = Metrics(), engine()
    talk: Any = SimpleNamespace(
        engine=one, uplink=Uplink(CaptureRing(), manual=True), machine=SimpleNamespace(muted=False)
    )
    sample_figures(metrics, talk=cast("Talk", talk), sound=lambda: None, volume=lambda: 60, block_ms=20)
    return metrics, one


def test_an_owner_reads_how_it_stands_with_the_echo(read: tuple[Metrics, Duplex]) -> None:
    metrics, one = read
    one.step(np.zeros((960, 2), np.int32), 1.0, 960)
    assert metrics.value("blocks_captured") == 1
    assert metrics.value("canceller_trusted") == 0
    assert metrics.figures()["echo_path"] == {"drift": 0, "jump": 0, "doubt": 0}
    one._near.trust.given = True
    one._near.lost()
    one._near._reference.jumps = 3
    assert metrics.value("canceller_trusted") == 0
    assert metrics.value("canceller_doubted") == 1
    assert metrics.value("echo_path", kind="jump") == 3
    assert "edge_agent_noise_dbfs NaN" in metrics.text(), "nobody listens, so nobody knows"
