"""What a person asks, gathered from the frames that the Live API would have got. Pure.

    collector = Collector(manual=True, history=False)
    for sign in collector.take(protocol.audio(pcm)): ...     # Began, Asked, Answered, Told, Stopped

The Live API takes sound as it is spoken; a request takes one question whole. With turn marks a question lies between
`activityStart` and `activityEnd`. Without them `Ear` finds it in the stream by its energy, and `audioStreamEnd` ends it
too. Typed text is a question by itself, or goes with the one that is being spoken. Stills go with the question they
fall into, the newest `MAX_PICTURES`. A question keeps its last `MAX_QUESTION_S`; what came before is dropped.

`Began` comes as soon as somebody begins, so that an answer can be cut off; `Asked` when the question is whole.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import Final

import msgspec

from edge_agent.live import messages

RATE = 16_000  # Hz, of everything the device sends
MAX_QUESTION_S = 60.0  # 1.9 MB of sound; a request takes 20 MB, a telephone line takes minutes for it
MAX_PICTURES = 3  # of one question; 256 kB each at most
SHORTEST_S = 0.1  # less sound than this holds no word

FRAME_MS = 20
START_MS = 100  # speech that lasts this long has begun; a click is shorter
END_MS = 800  # a pause between two sentences is shorter, and the Live API waits as long
LOOK_BACK_MS = 300  # kept from before the start was certain: the first consonant is quiet
FLOOR_DBFS = (-70.0, -35.0)  # bounds of the noise floor; a room louder than -35 dBFS is not a room to talk in
RISE_DB = 0.04  # per frame, 2 dB a second: a fan that is switched on ends the question it began within seconds
ABOVE_DB = 10.0  # speech is this much louder than the floor
QUIETEST_DBFS = -50.0  # and never quieter than this

_BYTES_PER_SAMPLE: Final = 2
_FRAME_BYTES = RATE * FRAME_MS // 1000 * _BYTES_PER_SAMPLE
_SHORTEST_BYTES = round(SHORTEST_S * RATE) * _BYTES_PER_SAMPLE
_MAX_BYTES = round(MAX_QUESTION_S * RATE) * _BYTES_PER_SAMPLE

_decode = msgspec.json.Decoder(messages.ClientMessage).decode


@dataclass(slots=True)
class Question:
    """One question: s16le sound at 16 kHz, JPEG or PNG stills, typed text; any of them may be absent."""

    pcm: bytes = b""
    pictures: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """True if there is nothing to be answered."""
        return len(self.pcm) < _SHORTEST_BYTES and not self.texts


@dataclass(frozen=True, slots=True)
class Began:
    """Somebody begins to ask: an answer in progress is cut off."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The question is whole."""

    question: Question


@dataclass(frozen=True, slots=True)
class Answered:
    """Our functions have answered; `pictures` came since the question was asked."""

    responses: list[messages.FunctionResponse]
    pictures: list[bytes]


@dataclass(frozen=True, slots=True)
class Told:
    """A turn for the history, which gets no reply; `role` is "user" or "model"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The answer is to stop, and nothing is asked."""


Sign = Began | Asked | Answered | Told | Stopped


class Collector:
    """Turns frames into signs.

    Args:
        manual: the device marks its turns.
        history: the first `clientContent` is history, as the setup announced.
    """

    def __init__(self, *, manual: bool, history: bool) -> None:
        self._manual = manual
        self._history_due = history
        self._open = False
        self._sound = bytearray()
        self._pictures: list[bytes] = []
        self._texts: list[str] = []
        self._ear = Ear()

    def take(self, frame: bytes) -> list[Sign]:
        """Return what one frame of `LiveProtocol` means; a setup means nothing here."""
        message = _decode(frame)
        if message.realtime_input is not None:
            return self._realtime(message.realtime_input)
        if message.client_content is not None:
            return self._content(message.client_content)
        if message.tool_response is not None:
            pictures, self._pictures = self._pictures, []
            return [Answered(message.tool_response.function_responses, pictures)]
        return []

    def _realtime(self, said: messages.RealtimeInput) -> list[Sign]:  # noqa: PLR0911  one per field
        if said.audio is not None:
            return self._hear(said.audio.data)
        if said.video is not None:
            self._see(said.video.data)
            return []
        if said.text is not None:
            return self._type(said.text)
        if said.activity_start is not None:
            self._open = True
            self._sound.clear()
            return [Began()]
        if said.activity_end is not None:
            self._open = False
            sound = bytes(self._sound)
            self._sound.clear()
            return [self._asked(sound)]
        if said.audio_stream_end:
            rest = self._ear.end()
            return [self._asked(rest)] if rest else []
        return []

    def _hear(self, pcm: bytes) -> list[Sign]:
        if not self._manual:
            return [Began() if heard is None else self._asked(heard) for heard in self._ear.hear(pcm)]
        if self._open:
            self._sound += pcm
            del self._sound[: max(0, len(self._sound) - _MAX_BYTES)]
        return []

    def _see(self, picture: bytes) -> None:
        self._pictures = [*self._pictures, picture][-MAX_PICTURES:]

    def _type(self, text: str) -> list[Sign]:
        self._texts.append(text)
        if self._open or self._ear.speaking:
            return []
        return [Began(), self._asked(b"")]

    def _content(self, content: messages.ClientContent) -> list[Sign]:
        turns = content.turns or []
        if self._history_due:
            self._history_due = not content.turn_complete
            return [Told(turn.role or "user", _text(turn)) for turn in turns]
        if not content.turn_complete:
            told: list[Sign] = [Told(turn.role or "user", _text(turn)) for turn in turns]
            return told or [Stopped()]
        for turn in turns:
            text = _text(turn)
            self._texts += [text] if text else []
            for part in turn.parts:
                if part.inline_data is not None:
                    self._see(part.inline_data.data)
        return [Began(), self._asked(b"")]

    def _asked(self, pcm: bytes) -> Asked:
        question = Question(pcm, self._pictures, self._texts)
        self._pictures, self._texts = [], []
        return Asked(question)


class Ear:
    """Finds the utterances in an open microphone, in the time of the sound.

    Speech is what is louder than a noise floor that follows the quietest moments. `speaking` is True inside one.
    """

    def __init__(self) -> None:
        self.speaking = False
        self._rest = b""
        self._kept = bytearray()
        self._floor = FLOOR_DBFS[0] + 10.0
        self._loud = 0
        self._quiet = 0

    def hear(self, pcm: bytes) -> list[bytes | None]:
        """Take s16le sound in pieces of any length; return None for each start, the sound for each end, in order."""
        found: list[bytes | None] = []
        sound = self._rest + pcm
        whole = len(sound) - len(sound) % _FRAME_BYTES
        for at in range(0, whole, _FRAME_BYTES):
            self._frame(sound[at : at + _FRAME_BYTES], found)
        self._rest = sound[whole:]
        return found

    def end(self) -> bytes:
        """Return the utterance that the end of the stream cuts off, else nothing."""
        sound = bytes(self._kept) + self._rest if self.speaking else b""
        self._forget()
        self._rest = b""
        return sound

    def _frame(self, frame: bytes, found: list[bytes | None]) -> None:
        level = _dbfs(frame)
        self._floor = min(max(FLOOR_DBFS[0], min(level, self._floor + RISE_DB)), FLOOR_DBFS[1])
        loud = level > max(QUIETEST_DBFS, self._floor + ABOVE_DB)
        self._kept += frame
        if not self.speaking:
            self._loud = self._loud + 1 if loud else max(0, self._loud - 1)
            if self._loud * FRAME_MS >= START_MS:
                self.speaking, self._quiet = True, 0
                found.append(None)
            else:
                del self._kept[: max(0, len(self._kept) - _bytes(LOOK_BACK_MS + START_MS))]
            return
        self._quiet = 0 if loud else self._quiet + 1
        if self._quiet * FRAME_MS >= END_MS or len(self._kept) >= _MAX_BYTES:
            found.append(bytes(self._kept))
            self._forget()

    def _forget(self) -> None:
        self._kept.clear()
        self.speaking, self._loud, self._quiet = False, 0, 0


def _dbfs(frame: bytes) -> float:
    samples = array("h", frame)[::2]  # half of them tell the level as well
    power = sum(sample * sample for sample in samples) / len(samples)
    return 10.0 * math.log10(power / 32768.0**2 + 1e-12)


def _bytes(milliseconds: int) -> int:
    return RATE * milliseconds // 1000 * _BYTES_PER_SAMPLE


def _text(turn: messages.Content) -> str:
    return " ".join(part.text for part in turn.parts if part.text)
