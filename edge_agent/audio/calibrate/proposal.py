"""Settings out of measurements, each with the reason a technician reads.

    proposal = propose(measured, spoken, loudest=100, gain_db=24.0, heard=False)      # Unusable: what to check
    proposal.volume_max, proposal.reasons["volume_max"]

What is aimed at:

- The volume ends where the loudspeaker distorts, where the microphone is overdriven, or where speech would lie more
  than 10 dB under the echo of an answer: up to there a person who interrupts is heard in about nine of ten cases. Of
  these, only the last gives way: an answer nobody understands is no use, so it never asks for less than `LEAST_CAP`.
- The gain brings speech to -26 dBFS; less where the peaks of the echo would not fit, because a clipped echo cannot be
  cancelled.
- An echo that no canceller can be asked to remove (beyond `HOPELESS_*`) makes the device listen only while it is quiet.

A measurement that cannot be relied on is refused with `Unusable`, one sentence that says what to check.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from edge_agent.audio.calibrate.measures import Heard, Measured, Speech
from edge_agent.audio.calibrate.programme import decibels
from edge_agent.errors import Fault, Stop

Echo = Literal["software", "hardware", "half-duplex"]

SPEECH_DBFS: Final = -26.0
"""Wanted active level of speech after the gain: the customary level of speech in telephony (ITU-T G.191)."""
MOST_DISTORTION: Final = 0.10
"""Above this the echo holds more that is not in the reference than a canceller leaves over (about -20 dB)."""
LEAST_SER_DB: Final = -10.0
"""Speech over echo; measured with the canceller: 87 % of interruptions heard here, under half at -20 dB."""
LEAST_CAP: Final = 40
"""Volume at which an answer is a third as loud as at 100: less is not understood across a table."""
HOPELESS_SER_DB: Final = -20.0
HOPELESS_DISTORTION: Final = 0.30
TYPICAL_SPEECH: Final = "nobody was heard to speak, so the configured gain is taken to be right"

_HEADROOM_DB: Final = 1.0  # under full scale
_GAIN_DB: Final = (-20.0, 60.0)  # what audio.mic_gain_db allows
_MOST_WANDER_MS: Final = 5.0  # between two sweeps, 3 s apart; clocks 200 ppm apart make 0.7
_LOUD_ROOM_DBFS: Final = -48.0  # after the gain: what a voice must exceed to stop an answer
_LEVELLED_DB: Final = 6.0  # an echo that grows by so much less than the sound does
_LONG_DELAY_MS: Final = 250.0  # cancellers were measured up to here


class Unusable(Stop):
    """The measurement cannot be relied on; the sentence says what to check."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to set, and why."""

    mic_gain_db: float
    mic_channel: Literal["left", "right"]
    volume_max: int
    echo: Echo
    reasons: dict[str, str]
    """A sentence for each of the four above, by name."""
    notes: tuple[str, ...]
    """What else the technician should know."""
    speech_dbfs: float
    """Active level of speech before the gain, measured or assumed."""
    ser_db: float
    """Speech over the echo of an answer at `volume_max`, dB; without an echo, at least this."""
    echo_gain_db: float
    """Of the echo at `volume_max`."""
    distortion: float
    """At `volume_max`, share of 1."""


def propose(measured: Measured, spoken: Speech | None, *, loudest: int, gain_db: float, heard: bool) -> Proposal:
    """Propose settings.

    Args:
        measured: what the programme told.
        spoken: what a person said; None: nobody spoke.
        loudest: volume of the loudest sweep.
        gain_db: the microphone's gain as configured.
        heard: a person confirms that the loudspeaker was heard.

    Raises:
        Unusable: nothing can be proposed.
    """
    _check(measured, spoken, heard=heard)
    speech_dbfs = spoken.dbfs if spoken else SPEECH_DBFS - gain_db
    for_speech = SPEECH_DBFS - speech_dbfs
    reasons = {"mic_channel": _channel_reason(measured)}
    echo: Echo
    if not measured.echo_found:
        echo, volume, gain = "hardware", loudest, for_speech
        reasons["echo"] = "You heard the tones and the microphone did not: the device removes its echo by itself."
        reasons["volume_max"] = f"At volume {volume}, the loudest that was played, no echo came through."
        reasons["mic_gain_db"] = _gain_reason(spoken, speech_dbfs)
    else:
        volume, reasons["volume_max"] = _volume(measured, speech_dbfs, loudest)
        echo, reasons["echo"] = _policy(measured, speech_dbfs, volume)
        if echo == "half-duplex":
            volume, reasons["volume_max"] = _volume_alone(measured, loudest)
        gain, reasons["mic_gain_db"] = for_speech, _gain_reason(spoken, speech_dbfs)
        peaks = decibels(volume) + measured.peak_gain_at(volume)
        if echo == "software" and peaks + gain > -_HEADROOM_DB:
            gain = _allowed_gain(-_HEADROOM_DB - peaks)
            reasons["mic_gain_db"] = (
                f"More would clip the peaks of the echo at volume {volume}; "
                f"speech comes to {speech_dbfs + gain:.0f} dBFS instead of {SPEECH_DBFS:.0f}."
            )
    gain = _allowed_gain(gain)
    return Proposal(
        mic_gain_db=gain,
        mic_channel=measured.channel,
        volume_max=volume,
        echo=echo,
        reasons=reasons,
        notes=tuple(_notes(measured, spoken, gain)),
        speech_dbfs=speech_dbfs,
        ser_db=speech_dbfs - measured.echo_dbfs(volume),
        echo_gain_db=measured.gain_at(volume),
        distortion=measured.distortion_at(volume) if measured.echo_found else 0.0,
    )


def _check(measured: Measured, spoken: Speech | None, *, heard: bool) -> None:
    if measured.lost:
        raise Unusable(
            f"Sound was lost {_times(measured.lost)} meanwhile. End other programs, or set audio.block_ms higher, "
            "and measure again."
        )
    if measured.slot == "none" and spoken is None:
        raise Unusable(
            "The microphone gives nothing at all, not even noise. Check its supply (VDD to 3V3), its data wire (SD to "
            "GPIO 20), both clocks, that L/R is tied to ground or 3V3, and the overlay in config.txt.",
            fault=Fault.MICROPHONE,
        )
    if not measured.echo_found:
        if heard:
            return
        raise Unusable(
            "The microphone works and did not hear the loudspeaker. If you heard no rising tones either, check the "
            "amplifier: SD to GPIO 16 (or 100 k to 3.3 V), DIN to GPIO 21, its supply, and the loudspeaker's wires. If "
            "you heard them, the device removes its echo by itself: run this again with --heard.",
            fault=Fault.LOUDSPEAKER,
        )
    if all(one.clipped for one in measured.sweeps):
        raise Unusable(
            "The microphone is overdriven even by the quietest tones. Lower the gain of the microphone's own mixer "
            "(alsamixer), move it away from the loudspeaker, or try again with --volume 40.",
            fault=Fault.MICROPHONE,
        )
    if measured.wander_ms > _MOST_WANDER_MS:
        raise Unusable(
            f"The delay moved by {measured.wander_ms:.0f} ms between two tones: sound was lost unnoticed, or a sound "
            "server changes its buffers. Use the card itself (alsa:hw:... or plughw:...), and measure again."
        )


def _volume(measured: Measured, speech_dbfs: float, loudest: int) -> tuple[int, str]:
    """Return the loudest volume that fits, and what limits it."""
    clip = _loudest(lambda volume: _peak_at(measured, volume) <= -_HEADROOM_DB, loudest)
    distort = _loudest(lambda volume: measured.distortion_at(volume) <= MOST_DISTORTION, loudest)
    over = _loudest(lambda volume: speech_dbfs - measured.echo_dbfs(volume) >= LEAST_SER_DB, loudest)
    wanted = max(over, min(LEAST_CAP, loudest))
    volume = max(1, min(clip, distort, wanted))
    if volume == clip < loudest:
        return volume, "Louder tones overdrive the microphone."
    if volume == distort < loudest:
        return volume, f"Louder, more than {MOST_DISTORTION:.0%} of what the loudspeaker gives is distortion."
    ser = speech_dbfs - measured.echo_dbfs(volume)
    if ser < LEAST_SER_DB:
        return volume, (
            f"Even here speech lies {-ser:.0f} dB under the echo, and quieter is hard to understand: "
            "move the microphone away from the loudspeaker."
        )
    if volume < loudest:
        return volume, f"Louder, speech would lie more than {-LEAST_SER_DB:.0f} dB under the echo."
    return volume, "The loudest that was played: nothing distorts or clips, and speech is loud enough against the echo."


def _volume_alone(measured: Measured, loudest: int) -> tuple[int, str]:
    """Return the loudest volume where the echo does not matter."""
    distort = _loudest(lambda volume: measured.distortion_at(volume) <= MOST_DISTORTION, loudest)
    volume = max(distort, min(LEAST_CAP, loudest))
    if volume == loudest and distort == loudest:
        return (
            volume,
            "The loudest that was played; the device does not listen meanwhile, so the echo does not matter.",
        )
    if volume > distort:
        return volume, (
            f"Distortion is {measured.distortion_at(volume):.0%} here already, and quieter is hard to understand: "
            "look at the loudspeaker, its enclosure and its supply."
        )
    return volume, f"Louder, more than {MOST_DISTORTION:.0%} of what the loudspeaker gives is distortion."


def _policy(measured: Measured, speech_dbfs: float, volume: int) -> tuple[Echo, str]:
    least = measured.distortion_at(volume)
    if least > HOPELESS_DISTORTION:
        return "half-duplex", (
            f"{least:.0%} of what the loudspeaker gives is distortion, which no canceller can know: the device listens "
            "only while it is quiet."
        )
    ser = speech_dbfs - measured.echo_dbfs(max(volume, 1))
    if ser < HOPELESS_SER_DB:
        return "half-duplex", (
            f"Speech lies {-ser:.0f} dB under the echo, more than {-HOPELESS_SER_DB:.0f}: nobody would be heard "
            "through it, so the device listens only while it is quiet. Move the microphone away from the loudspeaker."
        )
    if ser < LEAST_SER_DB:
        return "software", "The program can remove the echo, but it is so loud that interruptions will often be missed."
    return "software", "The echo is clean and not too loud: the program can remove it, and people can interrupt."


def _allowed_gain(db: float) -> float:
    """Return a gain as the setting takes it, in steps of half a decibel, never more than asked for above its least."""
    return math.floor(2 * min(max(db, _GAIN_DB[0]), _GAIN_DB[1])) / 2


def _loudest(fits: Callable[[int], bool], loudest: int) -> int:
    """Return the loudest volume up to which everything fits; 0 where nothing does."""
    for volume in range(1, loudest + 1):
        if not fits(volume):
            return volume - 1
    return loudest


def _peak_at(measured: Measured, volume: int) -> float:
    """Return the peak of a sweep in the microphone at a volume, dBFS."""
    clean: Heard = next(one for one in reversed(measured.sweeps) if not one.clipped)
    return clean.peak_dbfs + decibels(volume) - decibels(clean.volume)


def _gain_reason(spoken: Speech | None, speech_dbfs: float) -> str:
    if spoken is None:
        return TYPICAL_SPEECH[0].upper() + TYPICAL_SPEECH[1:] + "."
    return f"Brings speech, heard at {speech_dbfs:.0f} dBFS, to {SPEECH_DBFS:.0f} dBFS."


def _channel_reason(measured: Measured) -> str:
    if measured.slot == "both":
        return f"Both slots carry the microphone; {measured.channel} is taken."
    return f"Only the {measured.channel} slot carries the microphone."


def _notes(measured: Measured, spoken: Speech | None, gain: float) -> list[str]:
    notes = []
    if measured.noise_dbfs + gain > _LOUD_ROOM_DBFS:
        notes.append(
            f"The room is loud: its noise comes to {measured.noise_dbfs + gain:.0f} dBFS after the gain, and may be "
            "taken for speech. Measure again when it is quiet, or find the fan, the supply or the ground loop."
        )
    if spoken and spoken.clipped:
        notes.append("The microphone was overdriven by speech: lower the gain of its own mixer (alsamixer).")
    found = [
        one for one in measured.clean() if one.distortion <= MOST_DISTORTION
    ]  # a loudspeaker at its limit levels too
    if len(found) > 1 and found[0].gain_db - found[-1].gain_db > _LEVELLED_DB:
        notes.append(
            f"The echo grew by {found[0].gain_db - found[-1].gain_db:.0f} dB less than the tones did: something levels "
            "the sound or cancels echo by itself. Switch that off in the device's mixer, or set audio.echo = "
            '"hardware" if it cancels well.'
        )
    if measured.delay_ms > _LONG_DELAY_MS:
        notes.append(
            f"The echo comes {measured.delay_ms:.0f} ms late, more than a canceller was tried with "
            f"({_LONG_DELAY_MS:.0f} ms): use the card itself instead of a sound server."
        )
    return notes


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
