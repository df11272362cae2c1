"""What the sound engine listens with: echo canceller, speech detector and wake words, as configured and as calibrated.

    ears = open_ears(config, calibration)
    engine = Duplex(..., canceller=ears.canceller, detector=ears.detector, tail_s=ears.tail_s)
    ears.echo                     # the policy in force, for `status`
    engine.listen_for(await asyncio.to_thread(open_wake, config))     # one's own models take a while

Where the software canceller cannot be loaded the device does not fall silent: it goes on half-duplex and says so in the
log. A push-to-talk device is silent while somebody talks to it, but for the cue at the press: a canceller, or a gate,
would only cut into their first word. It is not interrupted by voice either, so it has no detector. A handset has no
echo. A translator goes on speaking while people talk, and the detector rests.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from edge_agent.audio.bargein import NearEndDetector, webrtc_speech
from edge_agent.audio.calibration import Calibration
from edge_agent.audio.echo import Canceller, Policy, open_canceller
from edge_agent.audio.nearend import TAIL_S
from edge_agent.audio.reference import RATE, lead_for
from edge_agent.config import Config
from edge_agent.errors import DeviceError
from edge_agent.wake import WakeDetector, open_detector

log = logging.getLogger("edge_agent")


@dataclass(frozen=True, slots=True)
class Ears:
    """The parts for the engine, and the echo policy they stand for."""

    echo: str
    canceller: Canceller | None
    detector: NearEndDetector | None
    tail_s: float
    full_duplex: bool
    """What goes up while the device sounds is free of its own voice; not so in push-to-talk, which cancels nothing."""

    def without(self, part: str) -> Ears:
        """Return what is left when `part` (canceller, detector, wake) has failed."""
        if part == "canceller":
            return replace(self, echo="half-duplex", canceller=None, full_duplex=False)
        return replace(self, detector=None) if part == "detector" else self


def open_ears(config: Config, calibration: Calibration | None) -> Ears:
    """Open what a configuration asks for.

    `calibration` is that of the configured devices, or None.
    """
    policy: Policy = "software" if config.echo == "auto" else config.echo
    if config.manual_turns:
        policy = "off"
    canceller = _canceller(policy, config, calibration)
    if policy == "software" and canceller is not None and canceller.gates:
        policy = "half-duplex"
    return Ears(
        echo=policy,
        canceller=canceller,
        detector=_detector(config),
        tail_s=TAIL_S if calibration is None else max(0.1, (_late_ms(calibration) + calibration.tail_ms) / 1_000),
        full_duplex=policy != "half-duplex" and not config.manual_turns,
    )


def open_wake(config: Config) -> WakeDetector | None:
    """Open what listens for the wake word; None where there is none. Blocks for up to seconds with one's own models.

    Raises:
        ConfigError: a wake word that cannot be used.
    """
    return open_detector(config.wake) if config.mode == "speaker" else None


def _detector(config: Config) -> NearEndDetector | None:
    if config.manual_turns or config.panel.button == "hook":
        return None
    try:
        return NearEndDetector(webrtc_speech())
    except DeviceError as error:
        log.warning("%s Until then only the service hears who speaks: all sound of an open microphone is sent.", error)
        return None


def _canceller(policy: Policy, config: Config, calibration: Calibration | None) -> Canceller | None:
    if calibration is None:
        try:
            return open_canceller(policy, kind=config.audio.canceller)
        except DeviceError as error:
            log.warning("%s The device goes on in half-duplex: it does not listen while it speaks.", error)
            return open_canceller("half-duplex")
    delay_ms = _late_ms(calibration) + lead_for(48 * config.audio.block_ms) * 1_000 / RATE
    gain_db = calibration.echo_gain_db + config.audio.mic_gain_db
    try:
        return open_canceller(
            policy,
            kind=config.audio.canceller,
            delay_ms=delay_ms,
            tail_ms=calibration.tail_ms,
            echo_gain_db=gain_db,
        )
    except DeviceError as error:
        log.warning("%s The device goes on in half-duplex: it does not listen while it speaks.", error)
        return open_canceller("half-duplex", delay_ms=delay_ms, tail_ms=calibration.tail_ms, echo_gain_db=gain_db)


def _late_ms(calibration: Calibration) -> float:
    """Return how long what the loudspeaker plays is under way to the microphone's block, milliseconds."""
    return max(0.0, calibration.delay_ms)
