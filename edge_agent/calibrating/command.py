"""`edge-agent calibrate`: play tones, listen, propose settings, and store them with the device.

    edge-agent calibrate                             measure, show, ask, store; the daemon must not run
    edge-agent calibrate --yes --no-speech           without any question, for scripts
    edge-agent calibrate --json                      everything as JSON; words for people go to stderr

Silence and three tones, rising in pitch, quiet to loud, take eleven seconds; then somebody speaks for six seconds from
where people will stand. What is found is shown with the settings proposed from it (`edge_agent.audio.calibrate`), drawn
on a page, and stored in the daemon's state file after a yes. Without a terminal it takes --yes to store anything.
A measurement that cannot be relied on is refused with one sentence that says what to check, and stores nothing.

The state file is that of the service where it is installed (/var/lib/edge-agent), else that of the person who calls;
--state names another folder. Written by root it is given to the folder's owner, so that the daemon can read it. The
page lies in the home of whoever calls, also by sudo, and is theirs; --picture names another place.

Exit codes: 0 measured, 1 refused, or a device that cannot be used, 2 usage, 78 bad configuration.
"""
# ruff: noqa: T201  a command prints its answer

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_agent import config as settings
from edge_agent.audio.calibrate.loopback import Loopback
from edge_agent.audio.calibrate.measures import Measured, Speech, measure, speech
from edge_agent.audio.calibrate.programme import BEEP_S, LEAST, Programme, Take, beep_then_silence
from edge_agent.audio.calibrate.proposal import Proposal, Unusable, propose
from edge_agent.audio.calibrate.sweep import RATE_HZ
from edge_agent.audio.calibration import Calibration
from edge_agent.calibrating import picture, report
from edge_agent.config import Config
from edge_agent.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, DeviceError, Stop
from edge_agent.service import state as states
from edge_agent.service.client import NotReachable, call

if TYPE_CHECKING:
    from edge_agent.audio.sound import OpenInput, OpenOutput

SECTION = "calibration"
"""Of the state file."""
SPEAK_S = 6.0
SENTENCE = "The quick brown fox jumps over the lazy dog. Can you hear me from over here?"
PICTURE = "edge-agent-calibration.png"
"""Drawn in the home of whoever calls, from where it can be fetched; the folder of the state is the daemon's."""

_TRIES = 2  # sound lost once may be another program's start; twice is the device's way
_ANSWER_S = 2.0  # of a daemon that runs
_WALK_S = 5.0  # from the keyboard to where people will stand
_ECHO_OF_BEEP_S = 0.6


@dataclass(slots=True)
class Surroundings:
    """What a test replaces: devices, time and the person at the terminal."""

    open_input: OpenInput | None = None
    open_output: OpenOutput | None = None
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now().astimezone()
    ask: Callable[[], str] | None = None
    """Reads a line from the person; None: from the terminal, if there is one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edge-agent calibrate`."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"the configuration; default: {settings.DEFAULT_PATH}, if it exists"
    )
    parser.add_argument(
        "--volume", type=int, metavar="N", help=f"the loudest tone, {LEAST} to 100; default: audio.volume_max"
    )
    parser.add_argument("--yes", action="store_true", help="store without asking")
    parser.add_argument("--no-speech", action="store_true", help="measure no speech; the configured gain is kept")
    parser.add_argument("--heard", action="store_true", help="you hear the tones, although the microphone does not")
    parser.add_argument(
        "--picture", type=Path, metavar="PATH", help=f"draw the page there; default: {PICTURE} in your home folder"
    )
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="folder of the state file")
    parser.add_argument("--json", action="store_true", help="print measurements and proposal as JSON")


def run(args: argparse.Namespace, surroundings: Surroundings | None = None) -> int:
    """Calibrate; return the exit code.

    Raises:
        ConfigError: the configuration cannot be used.
        Stop: the daemon runs, a device is missing or busy, or the state cannot be written.
        StreamEnded: a device died.
    """
    around = surroundings or Surroundings()
    path = args.config or (settings.DEFAULT_PATH if settings.DEFAULT_PATH.exists() else None)
    config = settings.load(path) if path else Config()
    loudest = max(LEAST, config.audio.volume_max) if args.volume is None else args.volume
    if not LEAST <= loudest <= 100:
        print(f"edge-agent calibrate: --volume must be from {LEAST} to 100, not {loudest}", file=sys.stderr)
        return EXIT_USAGE
    _refuse_beside_the_daemon(config)
    desk = _Desk(around, to_stderr=args.json)
    store = states.StateFile(args.state or states.device_folder())
    complaints = store.load()
    for complaint in complaints:
        desk.tell(complaint)
    programme = Programme.up_to(loudest)
    desk.tell(
        f"Silence, then three rising tones, the last at volume {loudest}, in {programme.seconds:.0f} s. "
        "Keep the room quiet, and your ears away from the loudspeaker."
    )
    if desk.asks and not args.yes:
        desk.question("Press Enter to begin.")
    take, words = _record(config, programme, around, desk, speak=not args.no_speech)
    measured = measure(programme, take)
    spoken = None if words is None else speech(words, measured)
    proposal, refusal = _judge(config, measured, spoken, desk, loudest=loudest, heard=args.heard)
    session = report.Session(
        at=around.now().isoformat(timespec="seconds"),
        input=config.audio.input,
        output=config.audio.output,
        volume_now=_volume(store, config),
        measured=measured,
        spoken=spoken,
        proposal=proposal,
        refusal=refusal,
    )
    for line in report.lines(session):
        desk.tell(line)
    desk.tell(f"\n{report.verdict(session)}")
    _draw(session, args.picture or _person().home / PICTURE, desk)
    stored = _store(session, store, desk, yes=args.yes)
    if stored:
        _tell_what_wins(config, path, desk)
    if args.json:
        print(json.dumps(report.tree(session) | {"stored": stored}, indent=2, ensure_ascii=False))
    return EXIT_OK if session.proposal else EXIT_FAILED


class _Desk:
    """The terminal: what is said to the person, and what the person says."""

    def __init__(self, around: Surroundings, *, to_stderr: bool) -> None:
        self._stream = sys.stderr if to_stderr else sys.stdout
        self._ask = around.ask or (sys.stdin.readline if sys.stdin is not None and sys.stdin.isatty() else None)

    @property
    def asks(self) -> bool:
        """True when there is somebody to ask."""
        return self._ask is not None

    def tell(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def question(self, text: str) -> str:
        """Ask, and return the answer in small letters; "" without anybody to ask."""
        if self._ask is None:
            return ""
        print(text, end=" ", file=self._stream, flush=True)
        return self._ask().strip().lower()

    def agrees(self, text: str) -> bool:
        """Ask for a yes; anything else is a no."""
        return self.question(f"{text} [y/N]") in {"y", "yes"}


def _refuse_beside_the_daemon(config: Config) -> None:
    """Raise where a daemon runs: it holds the devices, and would write its own state over what is stored here."""
    socket = Path(config.control.socket)
    if not socket.exists():
        return
    try:
        call(socket, {"do": "status"}, timeout=_ANSWER_S)
    except NotReachable:
        return  # a socket left over; where the devices are held all the same, opening them says by whom
    raise Stop(f"The daemon runs and answers at {socket}. Stop it first: systemctl stop edge-agent")


def _volume(store: states.StateFile, config: Config) -> int:
    """Return the volume in force, under the configured cap."""
    last = store.state.volume
    return min(config.audio.volume if last is None else last, config.audio.volume_max)


def _record(
    config: Config, programme: Programme, around: Surroundings, desk: _Desk, *, speak: bool
) -> tuple[Take, NDArray[np.int32] | None]:
    """Run the programme, and let a person speak; returns the take, and the words' recording."""
    sound = config.audio
    try:
        with Loopback(
            input=sound.input,
            output=sound.output,
            block_ms=sound.block_ms,
            open_input=around.open_input,
            open_output=around.open_output,
            clock=around.clock,
        ) as loopback:
            for attempt in range(_TRIES):
                take = loopback.run(programme.sound)
                if not take.lost:
                    break
                if attempt + 1 < _TRIES:
                    desk.tell("Sound was lost; once more.")
            if not speak or take.lost:
                return take, None
            desk.tell(
                f"Now go where people will stand. After the beep, in {_WALK_S:.0f} s, say in your usual "
                f'voice: "{SENTENCE}"'
            )
            loopback.run(np.zeros(round(_WALK_S * RATE_HZ), np.float32))
            # The silence stays: the level is compared with the room's, and the beep must not be in it.
            words = loopback.run(beep_then_silence(min(60, programme.volumes[-1]), SPEAK_S))
            start = round(words.offset) + round((BEEP_S + _ECHO_OF_BEEP_S) * RATE_HZ)
            return take, words.microphone[max(0, start) :]
    except DeviceError as error:
        if "held by" not in str(error):
            raise
        raise DeviceError(f"{error}. If it is the daemon: systemctl stop edge-agent", fault=error.fault) from None


def _judge(
    config: Config, measured: Measured, spoken: Speech | None, desk: _Desk, *, loudest: int, heard: bool
) -> tuple[Proposal | None, str]:
    """Propose, or say why not; asks the person about the loudspeaker where only ears can tell."""
    if not measured.echo_found and not measured.lost and (measured.slot != "none" or spoken) and not heard:
        heard = desk.agrees("The microphone did not hear the loudspeaker. Did you hear three rising tones?")
    try:
        return propose(measured, spoken, loudest=loudest, gain_db=config.audio.mic_gain_db, heard=heard), ""
    except Unusable as error:
        return None, str(error)


def _draw(session: report.Session, path: Path, desk: _Desk) -> None:
    why = picture.why_no_picture()
    if why:
        desk.tell(why)
        return
    person = _person()
    try:
        picture.draw(session, path)
        states.give(path, person.uid, person.gid)
    except OSError as error:
        desk.tell(f"{path} cannot be written: {error.strerror}; name another place with --picture")
    except Stop as error:
        desk.tell(str(error))
    else:
        desk.tell(f"Drawn: {path}")


def _store(session: report.Session, store: states.StateFile, desk: _Desk, *, yes: bool) -> bool:
    """Store what was proposed, if the person agrees; True when it is on the disk."""
    proposal, measured = session.proposal, session.measured
    if proposal is None:
        desk.tell("Nothing was stored.")
        return False
    if not yes and not desk.asks:
        desk.tell("Nothing was stored: there is no terminal to ask on; --yes stores it.")
        return False
    if not yes and not desk.agrees("Store this with the device?"):
        desk.tell("Nothing was stored.")
        return False
    calibration = Calibration(
        at=session.at,
        input=session.input,
        output=session.output,
        delay_ms=measured.delay_ms,
        echo_gain_db=proposal.echo_gain_db,
        tail_ms=measured.tail_ms,
        noise_dbfs=measured.noise_dbfs,
        mic_gain_db=proposal.mic_gain_db,
        mic_channel=proposal.mic_channel,
        volume_max=proposal.volume_max,
        echo=proposal.echo,
        speech_dbfs=proposal.speech_dbfs,
        speech_heard=session.spoken is not None,
        ser_db=proposal.ser_db,
        distortion=proposal.distortion,
        drift_ppm=measured.drift_ppm,
        ring_ms=measured.ring_ms,
    )
    store.put(SECTION, calibration.to_section())
    error = store.flush()
    if error is not None:
        raise error
    owner = store.path.parent.stat()
    states.give(store.path, owner.st_uid, owner.st_gid)  # the daemon, which is not root, reads what root wrote
    desk.tell(f"Stored in {store.path}; it holds from the next start of the daemon: systemctl start edge-agent")
    return True


@dataclass(frozen=True, slots=True)
class _Person:
    """Whoever calls, also by sudo."""

    home: Path
    uid: int
    gid: int


def _person() -> _Person:
    uid = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and uid.isdecimal():
        with contextlib.suppress(KeyError):  # nobody of that number is known here
            one = pwd.getpwuid(int(uid))
            return _Person(Path(one.pw_dir), one.pw_uid, one.pw_gid)
    return _Person(Path.home(), os.geteuid(), os.getegid())


def _tell_what_wins(config: Config, path: Path | None, desk: _Desk) -> None:
    """Name the settings of the file that stand above what was stored."""
    written: dict[str, Any] = {
        key: getattr(config.audio, name)
        for name, key in report.SETTINGS.items()
        if getattr(config.audio, name) != getattr(settings.Audio(), name)
    }
    if written:
        shown = ", ".join(f"{key} = {json.dumps(value)}" for key, value in written.items())
        desk.tell(f"{path} says {shown}, which wins over it; take that out to use what was measured.")
