"""A device with an open microphone in a room where people talk, in virtual time: voices, echo and noise are real.

    question = person("what time is it please")                     # before the loop runs: voices are other programs
    tale = answer(20.0)

    async def story(parlour: Parlour) -> None:
        await parlour.device.tap()
        said = parlour.say(question, after=0.5)
        await parlour.device.until(state="speaking")

    parlour = visit(tmp_path, story, script=telling(tale), ser_db=-10)
    parlour.silent_after(said.begins)                               # seconds until the loudspeaker is silent

The loudspeaker stands 8 cm from the microphone; `ser_db` tells how much softer the answer's echo is than a person. The
service is the twin with its own detector of speech, which hears what the device sends and nothing else.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from acoustics import RATE_HZ, Sound, active_level, convolve, image_rir, level, save_rir, speech
from harness import find, pcm
from numpy.typing import NDArray
from virtual.device import VirtualDevice
from virtual.loop import run
from virtual.room import RoomAir

from edge_agent.audio.echo import open_canceller
from edge_agent.audio.wavfile import resample
from edge_agent.simulator import Hear, Rule, Say, Script, SessionRecord, Twin

HEARD_HZ = 16_000
ANSWER_HZ = 24_000
PERSON_DBFS = -28.0
ANSWER_DBFS = -22.0
NOISE_DBFS = -62.0

_SIZE_M, _MIC_M = (5.0, 4.0, 2.5), (1.3, 1.7, 1.0)
_TALE = (
    (
        "The kettle was put on at seven, and the whole house smelled of toast before anyone had said a word. "
        "There are three trains in the morning, two of them stop at the harbour, and the last is the fastest by far. "
    ),
    (
        "Rain is likely after four, so take a coat. The museum closes at six, but the garden stays open until eight. "
        "You asked me about bread: flour, water, salt, and a good deal of patience. "
    ),
    (
        "A violin has four strings, and each of them is tuned a fifth above the one below. Learning to play it takes "
        "patience, because there are no frets to guide the fingers. "
    ),
)
SAME = 0.8  # correlation of a quarter of a second of speech that is found again; of another one below 0.6
_LOUD_DBFS = -60.0  # the answer ducked by 18 dB is far louder
_STEP_S = 0.25


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said: 48 kHz, as it is at the microphone, and when on the loop's clock."""

    sound: Sound
    begins: float

    @property
    def ends(self) -> float:
        """When the last of it is heard."""
        return self.begins + len(self.sound) / RATE_HZ


@functools.lru_cache(maxsize=32)
def person(text: str, *, voice: str = "en-us+f4", dbfs: float = PERSON_DBFS, wpm: int = 165) -> Sound:
    """Return a sentence from 2.5 m away, as the microphone hears it; `dbfs` is its active level there."""
    said = convolve(np.append(speech(text, voice=voice, wpm=wpm), np.zeros(RATE_HZ // 4)), _over_there())
    return said * 10 ** ((dbfs - active_level(said)) / 20)


@functools.lru_cache(maxsize=8)
def answer(seconds: float, *, voice: str = "en-gb") -> bytes:
    """Return a tale as the service speaks it: 24 kHz s16le."""
    count = round(seconds * RATE_HZ)
    whole = np.resize(_tale(voice), count)
    return np.rint(resample(whole.astype(np.float32), RATE_HZ, ANSWER_HZ) * 32_767).astype("<i2").tobytes()


def babble(seconds: float, *, dbfs: float) -> Sound:
    """Return people who talk in a television, as the microphone hears them; `dbfs` is the level they come to."""
    count = round(seconds * RATE_HZ)
    voices = [np.resize(np.roll(_tale(name), 30_000 * n), count) for n, name in enumerate(("en-us+m3", "en-gb+f2"))]
    heard = convolve(np.sum(voices, axis=0), _over_there())
    return heard * 10 ** ((dbfs - level(heard)) / 20)


def telling(*answers: bytes, heard: str = "a question", **more: Any) -> Script:
    """Return the script that answers the first turns by these, and every later one by the last."""
    rules = [Rule((Hear(heard), Say("An answer.", sound=one)), times=1) for one in answers[:-1]]
    return Script(rules=(*rules, Rule((Hear(heard), Say("An answer.", sound=answers[-1])))), **more)


class Parlour:
    """What a story plays with, and what is left of it afterwards."""

    def __init__(self, device: VirtualDevice, twin: Twin, air: RoomAir) -> None:
        self.device = device
        self.twin = twin
        self.air = air

    def say(self, sound: Sound, *, after: float = 0.0) -> Said:
        """Let a person speak, `after` seconds from now."""
        return Said(sound, self.air.speak(sound, at=self.device.now + after))

    async def at(self, time: float) -> None:
        """Wait until a moment on the loop's clock."""
        await asyncio.sleep(max(0.0, time - self.device.now))

    async def asked(self, question: Sound) -> Said:
        """Tap, and ask something aloud; returns when it is said."""
        await self.device.tap()
        said = self.say(question, after=0.4)
        await self.at(said.ends)
        return said

    async def telling(self, question: Sound, *, for_s: float = 4.0) -> Said:
        """Ask something, and hear the answer until the device believes its canceller."""
        said = await self.asked(question)
        await self.device.until(state="speaking")
        await asyncio.sleep(for_s)
        return said

    async def telling_in_writing(self, *, for_s: float) -> None:
        """Ask something in writing, so that nothing is sent, and hear the answer for a while."""
        await self.device.do("ask", text="Tell me something.")
        await self.device.until(state="speaking")
        await asyncio.sleep(for_s)

    def times(self, event: str, **wanted: Any) -> list[float]:
        """When watchers were told of it."""
        return [
            one["t"]
            for one in self.device.events
            if one["event"] == event and all(one.get(key) == value for key, value in wanted.items())
        ]

    def near_ends(self) -> list[str]:
        """The steps of the device's own detector so far, in order."""
        return [one["step"] for one in self.device.events if one["event"] == "near-end"]

    def flushes(self) -> dict[str, float]:
        """How often an answer was silenced, and by what."""
        found: dict[str, float] = self.device.agent.metrics.figures().get("interruptions", {})
        return found

    @property
    def session(self) -> SessionRecord:
        """The service's side of the newest connection."""
        return self.twin.session

    def sent_bytes(self, since: float, until: float = float("inf")) -> int:
        """Bytes of microphone sound that reached the service in this time, over all connections."""
        return sum(
            mark.detail["bytes"]
            for session in self.twin.sessions
            for mark in session.marks
            if mark.who == "client" and mark.kind == "audio" and since <= mark.t < until
        )

    def sent(self, since: float = 0.0, until: float = float("inf")) -> NDArray[np.float64]:
        """The microphone sound that reached the service in this time on the newest connection, 16 kHz."""
        marks = [mark for mark in self.session.marks if mark.kind == "audio" and mark.who == "client"]
        wanted = [mark.detail for mark in marks if since <= mark.t < until]
        if not wanted:
            return np.zeros(0)
        first, last = wanted[0]["at"], wanted[-1]["at"] + wanted[-1]["bytes"]
        return pcm(self.session.audio[first:last])

    def loudness(self, since: float, until: float) -> float:
        """Level of the loudspeaker between two moments, dBFS."""
        return level(self.air.record.loudspeaker[self.air.frame(since) : self.air.frame(until)])

    def silent_after(self, moment: float) -> float:
        """Seconds from this moment to the first half second in which the loudspeaker is silent."""
        played = self.air.record.loudspeaker[self.air.frame(moment) :]
        width = RATE_HZ // 100
        frames = played[: len(played) // width * width].reshape(-1, width)
        loud = np.flatnonzero(np.mean(frames**2, axis=1) > 10 ** (_LOUD_DBFS / 10))
        if not len(loud):
            return 0.0
        gaps = np.flatnonzero(np.diff(np.append(loud, len(frames) + 1_000)) > 50)
        return 0.0 if loud[0] > 50 else float(loud[gaps[0]] + 1) / 100


def places(said: Sound, sent: NDArray[np.float64], *, since_s: float = 0.0, clean: bool = False) -> list[float | None]:
    """Lay what was said over what was sent, quarter second by quarter second.

    Args:
        said: 48 kHz, as it was at the microphone.
        sent: 16 kHz.
        since_s: what was said before this is not looked for.
        clean: it came as the microphone heard it; else through the echo canceller, which turns the phase.

    Returns:
        For every piece that is speech: how many seconds later it stands than it was said; None: nowhere.
    """
    heard = resample(said.astype(np.float32), RATE_HZ, HEARD_HZ).astype(np.float64)
    if not clean:
        heard = _through_canceller(heard)
    width = round(_STEP_S * HEARD_HZ)
    found: list[float | None] = []
    for start in range(round(since_s * HEARD_HZ), len(heard) - width, width):
        piece = heard[start : start + width]
        if level(piece) < active_level(said) - 12:
            continue
        at, score = find(piece, sent)
        found.append((at - start) / HEARD_HZ if score > SAME else None)
    return found


def visit(
    folder: Path,
    story: Callable[[Parlour], Awaitable[None]],
    *,
    script: Script,
    ser_db: float = -10.0,
    person_dbfs: float = PERSON_DBFS,
    latency_s: float = 0.02,
    noise_dbfs: float = NOISE_DBFS,
    room: str = "",
    keep: tuple[str, ...] = ("loudspeaker",),
    unforgiven: bool = True,
    **tables: Any,
) -> Parlour:
    """Play a story; returns the room with all that happened in it.

    Args:
        folder: for the room's file, the key, the state.
        story: what happens.
        script: what the service does.
        ser_db: a person's level over the echo's at full volume, dB.
        person_dbfs: the person's active level at the microphone.
        latency_s: of the line, each way.
        noise_dbfs: of the room, pink.
        room: more lines of the room's file.
        keep: the parts of the sound to keep.
        unforgiven: the service may find no fault with the device.
        tables: of the configuration.
    """
    response = _beside()
    save_rir(folder / "beside.wav", response)
    gain_db = person_dbfs - ser_db - active_level(convolve(_tale("en-gb"), response)) + _norm_db(response)
    (folder / "parlour.toml").write_text(
        f'rir = "beside.wav"\ndelay_ms = 60\necho_gain_db = {gain_db:.2f}\nnoise = {noise_dbfs}\n{room}\n'
    )
    wanted: dict[str, Any] = {
        "mode": "speaker",
        "audio": {"echo": "software"},
        "conversation": {"voice_detector": "device"},
    }
    for name, table in tables.items():
        wanted[name] = {**wanted.get(name, {}), **table} if isinstance(table, dict) else table

    async def whole() -> Parlour:
        air = RoomAir(folder / "parlour.toml", keep=keep)
        async with (
            Twin(script, clock=asyncio.get_running_loop().time) as twin,
            VirtualDevice(folder / "device", twin, air=air, **wanted) as device,
        ):
            device.network.latency_s = latency_s
            parlour = Parlour(device, twin, air)
            await asyncio.sleep(8.0)  # "I am ready" has been said, and the room's noise is known
            try:
                await story(parlour)
            except AssertionError as error:
                error.add_note(device.told(twin.sessions[-4:]))
                raise
        assert not twin.errors
        assert not unforgiven or not [one for session in twin.sessions for one in session.violations]
        return parlour

    return run(whole())


@functools.lru_cache(maxsize=8)
def _tale(voice: str) -> Sound:
    pause = np.zeros(round(0.3 * RATE_HZ))
    pieces = [piece for text in _TALE for piece in (speech(text, voice=voice, dbfs=ANSWER_DBFS), pause)]
    return np.clip(np.concatenate(pieces), -0.99, 0.99)


@functools.cache
def _beside() -> Sound:
    return image_rir(_SIZE_M, rt60_s=0.4, source_m=(1.38, 1.7, 1.0), mic_m=_MIC_M)


@functools.cache
def _over_there() -> Sound:
    return image_rir(_SIZE_M, rt60_s=0.4, source_m=(3.7, 2.3, 1.5), mic_m=_MIC_M)


def _norm_db(response: Sound) -> float:
    return float(20 * np.log10(np.linalg.norm(response)))


def _through_canceller(heard: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return speech as the canceller gives it where nothing is played."""
    canceller = open_canceller("software")
    assert canceller is not None
    whole = np.clip(np.rint(heard * 32_768), -32_768, 32_767).astype(np.int16)
    whole = whole[: len(whole) // 160 * 160]
    return canceller.process(whole, np.zeros(len(whole), np.int16)).astype(np.float64) / 32_768
