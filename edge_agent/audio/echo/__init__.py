"""Echo cancellers: the device must not answer its own voice.

    canceller = open_canceller("software", delay_ms=85)
    if canceller is not None:
        clean = canceller.process(near, far)    # sound thread, once a block

| policy | what is returned | what it does |
|---|---|---|
| `software` | `Aec3`; `Speex` where that cannot be loaded | takes the echo out of the microphone |
| `half-duplex` | `HalfDuplex` (`gates`) | shuts the microphone while the device is heard; a loud voice breaks in |
| `hardware` | `Trusted` | the sound card, a speakerphone say, cancels by itself: nothing to do |
| `off` | None | headphones or a handset: there is no echo |

`far` is what was really committed to the loudspeaker, after volume and ducking, zeros where it ran dry. The
microphone's gain comes before, and is fixed: a gain that adapts undoes the cancelling.
"""

from __future__ import annotations

import logging
from typing import Literal

from edge_agent.audio.echo.canceller import MAX_DELAY_MS, Canceller
from edge_agent.audio.echo.halfduplex import MAX_TAIL_MS, TAIL_MS, HalfDuplex
from edge_agent.audio.echo.trusted import Trusted
from edge_agent.audio.reference import LEAD_MOST
from edge_agent.audio.ring import RATE
from edge_agent.errors import DeviceError, Fault

log = logging.getLogger("edge_agent")

__all__ = [
    "MAX_DELAY_MS",
    "MAX_TAIL_MS",
    "TAIL_MS",
    "Canceller",
    "HalfDuplex",
    "Kind",
    "Policy",
    "Trusted",
    "open_canceller",
]

Policy = Literal["software", "hardware", "half-duplex", "off"]
Kind = Literal["auto", "aec3", "speex"]


def open_canceller(
    policy: Policy,
    *,
    kind: Kind = "auto",
    delay_ms: float | None = None,
    tail_ms: float = TAIL_MS,
    echo_gain_db: float | None = None,
) -> Canceller | None:
    """Return the canceller of a policy; its `name` says which it is. None: there is nothing to do.

    Args:
        policy: see the table above.
        kind: the software to use; `auto` takes the first that can be loaded of AEC3 and speex.
        delay_ms: how much later the echo appears in the microphone than in the reference. AEC3 finds it by itself;
            speex needs it. None: nothing was calibrated; speex then takes what the reference runs ahead at most, and
            reaches the 200 ms after what is played.
        tail_ms: half-duplex only: how long after that the echo is 30 dB down.
        echo_gain_db: half-duplex only: power of the echo in `near`, the microphone's gain included, over its sound in
            `far`; None: nothing was calibrated, and it is learned.

    Times come from a measurement, so what cannot be (an echo before its sound) counts as the nearest that can.

    Raises:
        DeviceError: `software`, and the library of that kind, or of any, cannot be loaded.
    """
    known_ms = None if delay_ms is None else min(max(delay_ms, 0.0), MAX_DELAY_MS)
    tail_ms = min(max(tail_ms, 0.0), MAX_TAIL_MS)
    match policy:
        case "off":
            return None
        case "hardware":
            return Trusted()
        case "half-duplex":
            return HalfDuplex(delay_ms=known_ms or 0.0, tail_ms=tail_ms, echo_gain_db=echo_gain_db)
        case "software":
            return _software(kind, known_ms)


def _software(kind: Kind, delay_ms: float | None) -> Canceller:
    if kind == "aec3":
        return _aec3(delay_ms)
    if kind == "speex":
        return _speex(delay_ms)
    try:
        return _aec3(delay_ms)
    except DeviceError as first:
        try:
            return _speex(delay_ms)
        except DeviceError as second:
            raise DeviceError(
                f"No echo canceller can be loaded. {first}. {second}. "
                'Or set audio.echo = "half-duplex", which needs neither.',
                fault=Fault.MICROPHONE,
            ) from None


def _aec3(delay_ms: float | None) -> Canceller:
    from edge_agent.audio.echo.aec3 import Aec3  # noqa: PLC0415  and the library's own import waits for the constructor

    return Aec3(delay_ms=delay_ms or 0.0)


def _speex(delay_ms: float | None) -> Canceller:
    from edge_agent.audio.echo.speex import Speex  # noqa: PLC0415  ctypes

    taken_ms = LEAD_MOST * 1_000 / RATE if delay_ms is None else delay_ms
    canceller = Speex(delay_ms=taken_ms)
    log.info(
        "The echo canceller speex expects the echo %.0f ms after its reference%s.",
        taken_ms,
        ": nothing is calibrated, and `edge-agent calibrate` would tell" if delay_ms is None else ", as calibrated",
    )
    return canceller
