"""A calibration in words and as JSON: what the technician reads before agreeing to store it.

    for line in lines(session): ...                # the report
    json.dumps(tree(session))

Pure.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from edge_agent.audio.calibrate.measures import Heard, Measured, Speech
from edge_agent.audio.calibrate.proposal import LEAST_SER_DB, Proposal

_WORST_HIDDEN = 0.5  # noise that hides less than this share of the distortion found does not change what it says


@dataclass(frozen=True, slots=True)
class Session:
    """One calibration: what was measured with what, and what came of it."""

    at: str
    """ISO 8601."""
    input: str
    output: str
    volume_now: int
    """The volume in force."""
    measured: Measured
    spoken: Speech | None
    proposal: Proposal | None
    refusal: str = ""
    """Why nothing is proposed."""


SETTINGS = {
    "mic_gain_db": "audio.mic_gain_db",
    "mic_channel": "audio.mic_channel",
    "volume_max": "audio.volume_max",
    "echo": "audio.echo",
}
"""Name in a proposal -> setting."""


def lines(session: Session) -> list[str]:
    """Return the report, a line each."""
    measured = session.measured
    found = [
        f"Measured with {session.input} and {session.output}:",
        *_rows(
            [
                ("microphone", _microphone(measured)),
                *(_levels(session) if measured.slot != "none" else ()),
            ]
        ),
    ]
    proposal = session.proposal
    if proposal is None:
        return found
    values = {name: getattr(proposal, name) for name in SETTINGS}
    found += ["", "Proposed:"]
    found += _rows([(f"{SETTINGS[name]} = {_toml(value)}", proposal.reasons[name]) for name, value in values.items()])
    found += [f"  Note: {note}" for note in proposal.notes]
    return found


def distortion_text(one: Heard) -> str:
    """Return the distortion of a sweep, "below" what the noise would hide where it hides it."""
    if one.distortion_floor > _WORST_HIDDEN * one.distortion:
        return f"below {100 * max(one.distortion, one.distortion_floor):.1f} %"
    return f"{100 * one.distortion:.1f} %"


def good(proposal: Proposal) -> bool:
    """Tell whether people can interrupt the device by talking, and nearly always at the first try."""
    return proposal.echo == "hardware" or (proposal.echo == "software" and proposal.ser_db > LEAST_SER_DB - 0.5)


def verdict(session: Session) -> str:
    """Say in one or two sentences what kind of device this is."""
    proposal = session.proposal
    if proposal is None:
        return session.refusal
    match proposal.echo:
        case "hardware":
            return "This device removes its own echo. People can interrupt it by talking."
        case "half-duplex":
            return (
                "The echo cannot be removed. The device listens only while it is quiet: interrupt it with the "
                "button, or with a voice that is louder than it."
            )
        case _ if not good(proposal):
            return "The echo can be removed, but it is loud: people will often have to interrupt it more than once."
        case _:
            return "The echo can be removed. People can interrupt it by talking."


def tree(session: Session) -> dict[str, Any]:
    """Return everything as plain JSON."""
    measured = session.measured
    numbers = {
        name: _rounded(getattr(measured, name))
        for name in (
            "slot", "channel", "noise_dbfs", "delay_ms", "ring_ms", "echo_gain_db", "tail_ms", "drift_ppm", "wander_ms",
            "lost", "echo_found",
        )
    }  # fmt: skip
    spoken, proposal = session.spoken, session.proposal
    return {
        "at": session.at,
        "input": session.input,
        "output": session.output,
        "measured": numbers | {"sweeps": [_plain(one) for one in measured.sweeps]},
        "speech": _plain(spoken) if spoken else None,
        "proposed": _plain(proposal) if proposal else None,
        "refused": session.refusal or None,
        "verdict": verdict(session),
    }


def _plain(record: Any) -> dict[str, Any]:
    return {name: _rounded(value) for name, value in dataclasses.asdict(record).items()}


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {text}" for name, text in rows]


def _microphone(measured: Measured) -> str:
    match measured.slot:
        case "none":
            return "neither slot gives any sound"
        case "both":
            return f"both slots; the {measured.channel} one is measured"
        case slot:
            return f"{slot} slot"


def _levels(session: Session) -> list[tuple[str, str]]:
    measured = session.measured
    found = [
        ("noise", f"{measured.noise_dbfs:.0f} dBFS (before the gain, 100 Hz to 7.5 kHz)"),
        ("echo", _echo(measured)),
        ("speech", _speech(session)),
        *((f"volume {one.volume}", _heard(one)) for one in measured.sweeps),
    ]
    if measured.echo_found:
        ppm = round(measured.drift_ppm)
        found.append(("clocks", f"the loudspeaker's runs {ppm:+d} ppm against the microphone's"))
    return found


def _echo(measured: Measured) -> str:
    if not measured.echo_found:
        return "none: the tones were not in the microphone"
    return (
        f"{measured.echo_gain_db:+.1f} dB from loudspeaker to microphone, after {measured.delay_ms:.1f} ms "
        f"(and {measured.ring_ms:.0f} ms in the loudspeaker's ring), 30 dB down {measured.tail_ms:.0f} ms later"
    )


def _speech(session: Session) -> str:
    spoken, measured = session.spoken, session.measured
    if spoken is None:
        return "nobody was heard to speak; a typical level is assumed"
    text = f"{spoken.dbfs:.0f} dBFS"
    if measured.echo_found:
        ser = spoken.dbfs - measured.echo_dbfs(max(1, session.volume_now))
        text += f", {abs(ser):.0f} dB {'over' if ser >= 0 else 'under'} the echo at volume {session.volume_now}"
    return text


def _heard(one: Heard) -> str:
    clipped = f"microphone overdriven ({one.clipped} samples)" if one.clipped else f"peak {one.peak_dbfs:.0f} dBFS"
    if not one.found:
        return f"not heard; {clipped}"
    return f"distortion {distortion_text(one)}, {clipped}"


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
