"""The figures that are asked for when somebody reads them: queues, blocks, drift, volume.

sample_figures(metrics, talk=talk, sound=lambda: agent.sound, volume=lambda: agent.volume, block_ms=20)
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from edge_agent.agent.talk import Talk
from edge_agent.audio.sound import Sound
from edge_agent.service.metrics import Metrics


def sample_figures(
    metrics: Metrics, *, talk: Talk, sound: Callable[[], Sound | None], volume: Callable[[], int], block_ms: int
) -> None:
    """Let `metrics` ask for what talk and sound count themselves."""
    sample = metrics.sample
    block_samples = 16 * block_ms

    def of_sound(name: str) -> float:
        running = sound()
        return 0.0 if running is None else running.counters[name]

    def of_engine(name: str) -> float:
        return talk.engine.counters[name]

    def played_s() -> float:
        running = sound()
        return 0.0 if running is None else running.audio_s

    sample("playback_queue_ms", lambda: talk.engine.queue_ms)
    sample("uplink_backlog_ms", lambda: talk.uplink.queued_ms)
    sample("clipped_samples", functools.partial(of_engine, "clipped"))
    sample("blocks_captured", functools.partial(of_engine, "blocks_captured"))
    sample("blocks_played", lambda: played_s() * 1000 / block_ms)
    sample("drift_ppm", functools.partial(of_sound, "drift_ppm"))
    sample("blocks_dropped", lambda: talk.uplink.dropped_samples / block_samples, queue="uplink")
    sample("muted", lambda: float(talk.machine.muted))
    sample("volume", lambda: float(volume()))
    for name in ("canceller_trusted", "canceller_doubted", "noise_dbfs"):
        sample(name, functools.partial(of_engine, name))
    for kind, name in (("drift", "echo_drift"), ("jump", "echo_jumps"), ("doubt", "echo_doubts")):
        sample("echo_path", functools.partial(of_engine, name), kind=kind)
    for stream in ("input", "output"):
        sample("xruns", functools.partial(of_sound, f"{stream}_xruns"), stream=stream)
    sample("output_ring_ms", functools.partial(of_sound, "output_fill_ms"))
