"""One session of the twin, pure: client frames in with the time, server messages out when they are due.

    session = Session(script, record=record, handles=Handles())
    session.receive(frame, now)          # from the socket
    for out in session.tick(now): ...    # Emit, Close, Cut, HalfFrame: to the socket, in this order
    session.due                          # when to call tick again, None: nothing is planned
    session.lost(now)                    # the connection has ended

It knows no socket, thread or clock, so a whole conversation runs in virtual time. What the client does wrong is
recorded and closes the session with the code and reason of the real service. Answers come from the script's rules; a
turn no rule matches is offered in `wanted` when the script has a brain, whose steps are then given with `feed` and
ended with `finish`; without a brain it is logged as `noRule` and stays unanswered.

Rules of the service it keeps: nothing before `setupComplete`; an answer is open from its first step to its
`turnComplete`, which waits for the assumed playback; whoever speaks meanwhile interrupts (`interrupted`, a tail of old
sound if the script wants one, `turnComplete`, then `toolCallCancellation`), unless NO_INTERRUPTION, where the turn
waits; only what was already sent enters the history; the resumption update follows the turn.

The translation model knows no turns: speech is translated in pieces of `SEGMENT_S` while it goes on and at its end,
each piece by the script's rules, and nothing is ever completed or interrupted.

Where no source says what the service does, the twin decides, on the strict side: a second `activityStart`, realtime
input while initial history is expected, an unknown or expired handle and a change of model on resume close with 1007;
sound outside an activity is taken, counted in `stray_audio` and belongs to no turn; a response to a cancelled call is
forgiven for a second, as it may have been on its way.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from typing import Any, Literal

from edge_agent.simulator import frames, models, schema
from edge_agent.simulator.detector import FRAME_MS, Detector
from edge_agent.simulator.frames import Emit, Out, Style
from edge_agent.simulator.performer import Answer, Performer
from edge_agent.simulator.record import Handles, SessionRecord
from edge_agent.simulator.schema import Violation
from edge_agent.simulator.script import End, Entry, GoAway, Hang, Rules, Script, Speaker, Step, Turn, Wait
from edge_agent.simulator.sound import BYTES_PER_SAMPLE, HEARD_RATE, Resampler, babble

SEGMENT_S = 2.5  # the translation model lags by a few seconds
LOOK_BACK_MS = 300  # sound kept from before a start of speech was found
DEFAULT_PREFIX_MS = 60
DEFAULT_SILENCE_MS = 800  # what the service is reported to use
STILL_TOKENS = 258
SPOKEN_TOKENS_PER_S = 25


class Session:
    """See the module docstring."""

    def __init__(
        self,
        script: Script,
        *,
        record: SessionRecord,
        handles: Handles | None = None,
        rules: Rules | None = None,
        speak: Speaker = babble,
        api_version: str = "v1beta",
        platform: bool = False,
    ) -> None:
        self.script = script
        self.record = record
        self.wanted: tuple[Answer, Turn] | None = None
        self._handles = handles or Handles()
        self._rules = rules or Rules(script)
        self._api_version = api_version
        self._platform = platform
        style = Style(script.opcode == "binary", script.base64 == "urlsafe", script.unknown_keys, script.mime)
        self._performer = Performer(script, stage=self, style=style, speak=speak)
        self._model = models.Model()
        self._ready = False  # setupComplete has been sent
        self._seeding = False  # the client still gives the initial history
        self._manual = False
        self._interruptible = True
        self._lineage = record.number
        self._entered = False
        self._turns = itertools.count(1)
        self._waiting: deque[Turn] = deque()  # turns that came while an uninterruptible answer was open
        self._detector = Detector()
        self._look_back = _bytes(LOOK_BACK_MS)
        self._prefix = _bytes(DEFAULT_PREFIX_MS)
        self._pause = _bytes(DEFAULT_SILENCE_MS + FRAME_MS)
        self._resamplers: dict[int, Resampler] = {}
        self._heard = 0  # bytes of 16 kHz sound since the session opened
        self._stream = bytearray()  # sound that may still become part of a turn
        self._stream_start = 0  # position of its first byte
        self._speech_from: int | None = None  # where the open turn starts
        self._images: list[bytes] = []
        self._texts: list[str] = []
        self._history: list[Entry] = record.history
        self._offline = False

    @property
    def due(self) -> float | None:
        """When `tick` has something to do; None: nothing planned."""
        return None if self._offline else self._performer.due

    @property
    def answering(self) -> bool:
        """True from an answer's first step to its turnComplete."""
        return self._performer.answer is not None

    def stalled(self, now: float) -> bool:
        """Tell whether the script keeps the line silent."""
        return self._performer.stalled(now)

    def receive(self, frame: str | bytes, now: float) -> None:
        """Take one WebSocket message from the client."""
        if self._performer.over or self._offline:
            return
        try:
            kind, body = schema.parse(frame, platform=self._platform)
            self._dispatch(kind, body, now)
        except Violation as violation:
            self.record.violations.append(f"{violation.code} {violation.reason}")
            self.record.mark(now, "client", "violation", code=violation.code, reason=violation.reason)
            self._performer.aside((End(violation.code, violation.reason),), now)

    def tick(self, now: float) -> list[Out]:
        """Return what is to be sent now, in order, and log it."""
        outs = [] if self._offline else self._performer.tick(now)
        for out in outs:
            if isinstance(out, Emit):
                for kind, detail in out.described:
                    self._ready = self._ready or kind == "setupComplete"
                    self.record.mark(now, "server", kind, **detail)
            elif isinstance(out, frames.Close):
                self.record.mark(now, "server", "close", code=out.code, reason=out.reason)
            else:
                self.record.mark(now, "server", "cut")
        return outs

    def perform(self, steps: Iterable[Step], now: float) -> None:
        """Do steps outside any answer: a goAway, an update, a raw message, a close."""
        self._performer.aside(steps, now)

    def feed(self, answer: Answer, steps: Iterable[Step], now: float) -> None:
        """Give a brain's next steps for an answer."""
        self._performer.feed(answer, steps, now)

    def finish(self, answer: Answer, now: float) -> None:
        """Tell that a brain has no more steps for an answer."""
        self._performer.feed(answer, (), now, last=True)

    def alive(self, answer: Answer) -> bool:
        """Tell whether this answer is still being given."""
        return not self._offline and self._performer.answer is answer

    def lost(self, now: float) -> None:
        """Note that the connection has ended."""
        self._offline = True
        self.record.mark(now, "server", "closed")
        if self._entered:
            self._handles.leave(self._lineage)
            self._entered = False

    def answer_over(self, answer: Answer, now: float) -> None:
        """Note the answer in the history and go on (the performer calls this)."""
        if answer.said or answer.said_s:
            self._history.append(Entry("model", answer.said, round(answer.said_s, 3)))
        if self.script.resumption_updates and "sessionResumption" in self.record.setup:
            self._performer.send(self.resumption(now, resumable=True), now)
        if self._performer.replies:
            turn = self._turn("text", "", b"", count=False)
            self._performer.begin(turn, now, self._performer.replies.popleft())
        elif self._waiting:
            self._answer(self._waiting.popleft(), now)

    def resumption(self, now: float, *, resumable: bool) -> dict[str, Any]:
        """Issue a handle to the conversation as it is now (the performer calls this)."""
        if not resumable:
            return {"sessionResumptionUpdate": {"resumable": False}}
        model = self.record.setup.get("model", "")
        handle = self._handles.issue(tuple(self._history), model=model, lineage=self._lineage, now=now)
        self.record.handles.append(handle)
        return {"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}}

    def tokens(self) -> frames.Tokens:
        """Count the context (the performer calls this)."""
        return frames.Tokens(
            text=sum(-(-len(entry.text) // 4) for entry in self._history if not entry.audio_s),
            audio=sum(entry.audio_s * SPOKEN_TOKENS_PER_S for entry in self._history),
            image=STILL_TOKENS * sum(entry.images for entry in self._history),
        )

    def _dispatch(self, kind: str, body: dict[str, Any], now: float) -> None:
        if kind == "setup":
            self.record.mark(now, "client", "setup")
            if self.record.setup:
                raise Violation("setup must be the first message and sent only once.")
            self._set_up(body, now)
            return
        if not self._ready:
            raise Violation(f"{kind} received before setup was complete.")
        if self._seeding and kind != "clientContent":
            raise Violation(f"{kind} received while initial history in client_content is expected.")
        match kind:
            case "realtimeInput":
                self._realtime(body, now)
            case "clientContent":
                self._client_content(body, now)
            case "toolResponse":
                self._tool_response(body, now)
            case "contextUpdate":
                self._context_update(body, now)

    def _set_up(self, setup: dict[str, Any], now: float) -> None:
        self.record.setup = setup
        model = models.check_setup(setup, api_version=self._api_version, platform=self._platform)
        self._model = model
        self._performer.configure(setup, model, platform=self._platform)
        handle = setup.get("sessionResumption", {}).get("handle", "")
        if handle:
            self._resume(handle, setup, now)
        self._handles.enter(self._lineage)
        self._entered = True
        realtime = setup.get("realtimeInputConfig", {})
        detection = realtime.get("automaticActivityDetection", {})
        self._manual = detection.get("disabled", False)
        self._interruptible = self.script.interrupts and realtime.get("activityHandling") != "NO_INTERRUPTION"
        prefix_ms = detection.get("prefixPaddingMs") or DEFAULT_PREFIX_MS
        silence_ms = detection.get("silenceDurationMs") or DEFAULT_SILENCE_MS
        self._pause = _bytes(silence_ms + FRAME_MS)
        self._prefix = _bytes(prefix_ms + 2 * FRAME_MS)  # the detector judges whole frames
        self._detector = Detector(
            threshold_dbfs=self.script.vad_threshold_dbfs,
            prefix_ms=prefix_ms,
            silence_ms=silence_ms,
        )
        self._seeding = setup.get("historyConfig", {}).get("initialHistoryInClientContent", False)
        if self.script.end_before_setup is not None:
            self.perform((Wait(self.script.setup_delay_s), self.script.end_before_setup), now)
            return
        if self.script.setup_delay_s == float("inf"):
            return
        ready = now + self.script.setup_delay_s
        complete = {"sessionId": f"twin-{self.record.number}"} if self._platform else {}
        self._performer.send({"setupComplete": complete}, ready)
        if self.script.go_away_after_s is not None:
            self.perform((Wait(self.script.go_away_after_s), GoAway(self.script.go_away_left_s)), ready)
        if self.script.end_after_s is not None:
            self.perform((Wait(self.script.end_after_s), self.script.end_with), ready)

    def _resume(self, handle: str, setup: dict[str, Any], now: float) -> None:
        snapshot = self._handles.find(handle, now=now)
        if snapshot is None:
            raise Violation("Request contains an invalid argument: session resumption handle not found or expired.")
        if snapshot.model != setup.get("model", ""):
            raise Violation("The model cannot change when a session is resumed.")
        if self._handles.is_open(snapshot.lineage):
            raise Violation("Internal error encountered. The session to resume is still open.", code=1011)
        self._lineage = snapshot.lineage
        self._history[:] = snapshot.history
        self.record.resumed_from = handle

    def _realtime(self, body: dict[str, Any], now: float) -> None:
        if "activityStart" in body:
            self.record.mark(now, "client", "activityStart")
            self._activity_start(now)
        if "audio" in body:
            self._audio(body["audio"], now)
        if "video" in body:
            self._refuse_all_but_sound("video")
            image = body["video"].get("data", b"")
            self.record.mark(now, "client", "video", bytes=len(image))
            self.record.add_image(image)
            self._images.append(image)
        if "text" in body:
            self._typed(body["text"], now)
        if "activityEnd" in body:
            self.record.mark(now, "client", "activityEnd")
            self._activity_end(now)
        if "audioStreamEnd" in body:
            self.record.mark(now, "client", "audioStreamEnd")
            self._audio_stream_end(now)

    def _activity_start(self, now: float) -> None:
        if not self._manual:
            raise Violation("Explicit activity control is not supported when automatic activity detection is enabled.")
        if self._speech_from is not None:
            raise Violation("activity_start received while an activity is open.")
        self._speech_from = self._heard
        self._speech_started(now)

    def _activity_end(self, now: float) -> None:
        if not self._manual:
            raise Violation("Explicit activity control is not supported when automatic activity detection is enabled.")
        if self._speech_from is None:
            raise Violation("activity_end received without activity_start.")
        self._speech_ended(self._heard, now)

    def _audio_stream_end(self, now: float) -> None:
        if self._manual:
            raise Violation("audio_stream_end is not supported when automatic activity detection is disabled.")
        for _, position in self._detector.flush():
            if self.script.stream_end_answers:
                self._speech_ended(position, now)
            else:
                self._speech_from = None

    def _audio(self, blob: dict[str, Any], now: float) -> None:
        pcm = blob.get("data", b"")
        rate = schema.audio_rate(blob.get("mimeType", ""))
        if rate != HEARD_RATE:
            pcm = self._resamplers.setdefault(rate, Resampler(rate, HEARD_RATE)).feed(pcm)
        self.record.mark(now, "client", "audio", bytes=len(pcm), at=self._heard)
        self.record.add_audio(pcm)
        self._heard += len(pcm)
        self._stream += pcm
        if self._manual:
            if self._speech_from is None:
                self.record.stray_audio += len(pcm)
        else:
            for edge, position in self._detector.feed(pcm):
                if edge == "start":
                    self._speech_from = max(self._stream_start, position - self._look_back)
                    self._speech_started(now)
                else:
                    self._speech_ended(position, now)
            self._translate(now)
        if self._speech_from is None:
            self._forget(self._heard - self._look_back - self._prefix)
        limit = self.script.end_after_audio_bytes
        if limit is not None and self._heard >= limit:
            self.perform((self.script.end_with,), now)

    def _refuse_all_but_sound(self, what: str) -> None:
        if self._model.sound_only:
            raise Violation(f"realtime_input.{what} is not supported for this model.")

    def _forget(self, position: int) -> None:
        if position > self._stream_start:
            del self._stream[: position - self._stream_start]
            self._stream_start = position

    def _speech_started(self, now: float) -> None:
        self._signal("ACTIVITY_START", now)
        if self._interruptible and not self._model.continuous:
            self._performer.interrupt(now)

    def _speech_ended(self, position: int, now: float) -> None:
        self._signal("ACTIVITY_END", now)
        start = self._heard if self._speech_from is None else self._speech_from
        self._speech_from = None
        if self._model.continuous and position - start <= self._pause:
            self._forget(position)  # all that was said has been translated
        else:
            self._take(start, position, now)

    def _translate(self, now: float) -> None:
        """Take what was said so far, though the person speaks on."""
        start = self._speech_from
        if self._model.continuous and start is not None and self._heard - start >= _bytes(round(1000 * SEGMENT_S)):
            self._speech_from = self._heard
            self._take(start, self._heard, now)

    def _take(self, start: int, position: int, now: float) -> None:
        pcm = bytes(self._stream[start - self._stream_start : position - self._stream_start])
        self._forget(position)
        self.record.add_turn(pcm)
        self._history.append(
            Entry("user", " ".join(self._texts), round(len(pcm) / BYTES_PER_SAMPLE / HEARD_RATE, 3), len(self._images))
        )
        self._offer(self._turn("audio", " ".join(self._texts), pcm), now)

    def _signal(self, kind: str, now: float) -> None:
        if self.record.setup.get("explicitVadSignal"):
            offset = f"{self._heard / BYTES_PER_SAMPLE / HEARD_RATE:.3f}s"
            self._performer.send({"voiceActivity": {"type": kind, "audioOffset": offset}}, now)

    def _typed(self, text: str, now: float) -> None:
        self._refuse_all_but_sound("text")
        self.record.mark(now, "client", "text", text=text)
        self.record.texts.append(text)
        self._texts.append(text)
        if self._speech_from is None:
            if self._interruptible:
                self._performer.interrupt(now)
            self._text_turn(now)

    def _client_content(self, body: dict[str, Any], now: float) -> None:
        complete = body.get("turnComplete", False)
        if not self._seeding and not self._model.client_content:
            raise Violation("Request contains an invalid argument.")
        self.record.mark(now, "client", "clientContent", turns=len(body.get("turns", [])), turnComplete=complete)
        if not self._seeding:
            self._performer.interrupt(now)
        for turn in body.get("turns", []):
            self._add_content(turn)
        if complete and self._seeding:
            self._seeding = False
            self._texts, self._images = [], []
        elif complete:
            self._offer(self._turn("text", " ".join(self._texts), b""), now)

    def _add_content(self, content: dict[str, Any]) -> None:
        role = content.get("role", "user")
        if role not in {"user", "model"} and not (self._platform and role == "system"):
            raise Violation(f"Please use a valid role: user, model. Found {role!r}.")
        text = " ".join(part["text"] for part in content.get("parts", []) if "text" in part)
        blobs = [part["inlineData"] for part in content.get("parts", []) if "inlineData" in part]
        images = [blob.get("data", b"") for blob in blobs if blob.get("mimeType", "").startswith("image/")]
        if role == "user":
            self.record.texts += [text] if text else []
            self._texts += [text] if text else []
            for image in images:
                self.record.add_image(image)
            self._images += images
        self._history.append(Entry("model" if role == "model" else "user", text, 0.0, len(images)))

    def _text_turn(self, now: float) -> None:
        text = " ".join(self._texts)
        self._history.append(Entry("user", text, 0.0, len(self._images)))
        self._offer(self._turn("text", text, b""), now)

    def _turn(self, kind: Literal["audio", "text"], text: str, audio: bytes, *, count: bool = True) -> Turn:
        images, self._images, self._texts = tuple(self._images), [], []
        number = next(self._turns) if count else 0
        history = tuple(self._history)
        return Turn(number, self.record.number, kind, text, audio, images, history, self.record.setup)

    def _offer(self, turn: Turn, now: float) -> None:
        if self.answering:
            self._waiting.append(turn)
        else:
            self._answer(turn, now)

    def _answer(self, turn: Turn, now: float) -> None:
        steps = self._rules.choose(turn)
        pause = Wait(self.script.think_s)
        if steps is not None:
            self._performer.begin(turn, now, (pause, *steps))
        elif self.script.brain is not None:
            answer = self._performer.begin(turn, now, None)
            self._performer.feed(answer, (pause,), now)
            self.wanted = (answer, turn)
        else:
            self.record.mark(now, "server", "noRule", turn=turn.number)
            self._performer.begin(turn, now, (Hang(),))

    def _tool_response(self, body: dict[str, Any], now: float) -> None:
        for response in body.get("functionResponses", []):
            self.record.mark(now, "client", "toolResponse", **response)
            self.record.responses[response.get("id", "")] = response.get("response", {})
            self._performer.respond(response, now)
        if not self.answering and self._performer.replies:
            self._performer.begin(self._turn("text", "", b"", count=False), now, self._performer.replies.popleft())

    def _context_update(self, body: dict[str, Any], now: float) -> None:
        self.record.mark(now, "client", "contextUpdate", **body)
        name = self.record.setup.get("model", "")
        model = models.find(name, api_version=self._api_version, platform=self._platform)
        if "systemInstruction" in body:
            models.check_instruction(model, body["systemInstruction"])
            self.record.setup["systemInstruction"] = body["systemInstruction"]
        if "tools" in body:
            models.check_tools(model, body["tools"].get("tools", []))
            self.record.setup["tools"] = body["tools"].get("tools", [])


def _bytes(milliseconds: int) -> int:
    return HEARD_RATE * milliseconds // 1000 * BYTES_PER_SAMPLE
