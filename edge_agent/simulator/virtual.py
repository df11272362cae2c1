"""A client of the session core in virtual time: it says something, lets time pass, and reads what came when.

    talk = Talk(Script(...)).open(**MANUAL)
    talk.turn(0.4)                   # a spoken turn of 0.4 s
    talk.wait(2.0)
    talk.kinds(), talk.at("interrupted"), talk.sound(), talk.closed

A minute of talk passes in milliseconds. Used to try scripts without a socket, and by the twin's own tests.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from edge_agent.simulator.frames import Close, Cut, Emit, HalfFrame, Out
from edge_agent.simulator.record import Handles, Limits, SessionRecord
from edge_agent.simulator.script import Rules, Script
from edge_agent.simulator.session import Session
from edge_agent.simulator.sound import silence, tone

MODEL = "models/gemini-3.8-live"
MANUAL = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}
CAPTIONS: dict[str, Any] = {"inputAudioTranscription": {}, "outputAudioTranscription": {}}


def setup_of(**fields: Any) -> dict[str, Any]:
    """Return a setup for the default model with further fields."""
    return {"model": MODEL, "generationConfig": {"responseModalities": ["AUDIO"]}, **fields}


class Talk:
    """One session, its clock, and a client that knows the wire by heart."""

    def __init__(
        self,
        script: Script,
        *,
        handles: Handles | None = None,
        rules: Rules | None = None,
        number: int = 1,
        limits: Limits | None = None,
        start: float = 0.0,
        **more: Any,
    ) -> None:
        self.record = SessionRecord(number=number, limits=limits or Limits())
        self.session = Session(script, record=self.record, handles=handles, rules=rules, **more)
        self.now = start
        self.outs: list[tuple[float, Out]] = []

    def open(self, **fields: Any) -> Talk:
        """Send the setup; returns itself."""
        self.send({"setup": setup_of(**fields)})
        return self

    def send(self, message: dict[str, Any] | str) -> None:
        """Send a message, or text as it stands."""
        self.session.receive(message if isinstance(message, str) else json.dumps(message), self.now)
        self._collect()

    def realtime(self, **fields: Any) -> None:
        """Send a realtimeInput message."""
        self.send({"realtimeInput": fields})

    def audio(self, pcm: bytes, *, rate: int = 16_000, chunk_ms: int = 40) -> None:
        """Send sound at real time."""
        size = rate * chunk_ms // 1000 * 2
        for at in range(0, len(pcm), size):
            self.wait(chunk_ms / 1000)
            data = base64.b64encode(pcm[at : at + size]).decode()
            self.realtime(audio={"mimeType": f"audio/pcm;rate={rate}", "data": data})

    def speak(self, seconds: float) -> None:
        """Speak: a tone at real time."""
        self.audio(tone(seconds, rate=16_000))

    def hush(self, seconds: float) -> None:
        """Send silence at real time."""
        self.audio(silence(seconds, rate=16_000))

    def turn(self, seconds: float = 0.4) -> None:
        """Take one manual turn."""
        self.realtime(activityStart={})
        self.speak(seconds)
        self.realtime(activityEnd={})

    def wait(self, seconds: float) -> None:
        """Let time pass, from one due moment to the next."""
        end = self.now + seconds
        while (due := self.session.due) is not None and due <= end:
            self.now = max(self.now, due)
            self._collect()
        self.now = end

    def _collect(self) -> None:
        self.outs += [(self.now, out) for out in self.session.tick(self.now)]

    def messages(self) -> list[tuple[float, dict[str, Any]]]:
        """Return everything received, with its time."""
        return [(t, json.loads(out.data)) for t, out in self.outs if isinstance(out, Emit)]

    def kinds(self) -> list[str]:
        """Return the names of what the server sent so far, neighbours of the same kind once."""
        names = [kind for _, out in self.outs if isinstance(out, Emit) for kind, _ in out.described]
        return [name for n, name in enumerate(names) if n == 0 or names[n - 1] != name]

    def at(self, kind: str) -> list[float]:
        """Return the times at which a field was received."""
        return [t for t, out in self.outs if isinstance(out, Emit) for name, _ in out.described if name == kind]

    def sound(self, *, since: float = float("-inf")) -> bytes:
        """Return the sound received after a time, 24 kHz s16le."""
        pcm = b""
        for t, out in self.outs:
            message = json.loads(out.data) if isinstance(out, Emit) and out.described[0][0] == "audio" else {}
            for part in message.get("serverContent", {}).get("modelTurn", {}).get("parts", []):
                if t > since and "inlineData" in part:
                    pcm += base64.urlsafe_b64decode(part["inlineData"]["data"].replace("+", "-").replace("/", "_"))
        return pcm

    @property
    def closed(self) -> tuple[int, str] | None:
        """How the server ended the connection: code and reason, None while it is open."""
        ends = [out for _, out in self.outs if isinstance(out, (Close, Cut, HalfFrame))]
        if not ends:
            return None
        return (ends[0].code, ends[0].reason) if isinstance(ends[0], Close) else (1006, type(ends[0]).__name__)
