"""Performs answers: turns steps into messages with due times, and undoes what is not yet sent when interrupted.

Pure: `begin`, `feed`, `aside`, `interrupt` and `respond` take the time and plan; `tick` hands out what is due. The
session above decides who speaks when; this decides what is sent when.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge_agent.simulator import frames, script
from edge_agent.simulator.frames import Out, Style
from edge_agent.simulator.models import Model
from edge_agent.simulator.schema import Violation, cut
from edge_agent.simulator.script import FunctionCall, Speaker, Step, Turn
from edge_agent.simulator.sound import ANSWER_RATE, BYTES_PER_SAMPLE

CROSSING_S = 1.0  # an answer to a cancelled call may have been on its way; later it is a violation

_Act = Callable[[float], "list[Out]"]


class Stage(Protocol):
    """What a performer asks of its session."""

    def answer_over(self, answer: Answer, now: float) -> None:
        """Note that the server's turn is closed."""

    def resumption(self, now: float, *, resumable: bool) -> dict[str, Any]:
        """Return the sessionResumptionUpdate message for the conversation as it is now."""

    def tokens(self) -> frames.Tokens:
        """Return the token counts of the context so far."""


@dataclass(slots=True, eq=False)
class Answer:
    """An answer in progress."""

    number: int
    turn: Turn
    cursor: float  # when the next step starts
    steps: deque[Step] = field(default_factory=deque)
    fed: bool = False  # all steps are known
    ended: bool = False  # a step that ends the turn, or leaves it open for ever, has been planned
    waits_for: _Group | None = None
    playback_end: float = 0.0  # when a listener playing in real time has heard everything planned
    said: str = ""  # captions of what was sent
    said_s: float = 0.0  # sound that was sent

    @property
    def hungry(self) -> bool:
        """True when a brain may give the next step."""
        return not self.fed and not self.steps and self.waits_for is None


@dataclass(slots=True, eq=False)
class _Group:
    """The calls of one toolCall message."""

    step: script.Call
    answer: Answer
    open: set[str]
    scheduling: str = "WHEN_IDLE"


@dataclass(slots=True, order=True)
class _Entry:
    due: float
    order: int
    owner: Answer | None = field(compare=False)
    act: _Act = field(compare=False)
    sound: bool = field(compare=False, default=False)


class Performer:
    """The timeline of one session."""

    def __init__(self, plan: script.Script, *, stage: Stage, style: Style, speak: Speaker) -> None:
        self._plan = plan
        self._stage = stage
        self._style = style
        self._speak = speak
        self._heap: list[_Entry] = []
        self._order = itertools.count()
        self._numbers = itertools.count(1)
        self._call_numbers = itertools.count(1)
        self._pending: dict[str, _Group] = {}
        self._names: dict[str, str] = {}
        self._cancelled: dict[str, float] = {}
        self._stalled_until = float("-inf")
        self._setup: dict[str, Any] = {}
        self._model = Model()
        self._platform = False
        self.answer: Answer | None = None
        self.over = False  # the connection has been ended from this side
        self.replies: deque[tuple[Step, ...]] = deque()  # to say when idle

    def configure(self, setup: dict[str, Any], model: Model, *, platform: bool) -> None:
        """Take what the setup asked for."""
        self._setup, self._model, self._platform = setup, model, platform

    @property
    def due(self) -> float | None:
        """When `tick` has something to do, None: nothing planned."""
        if self.over or not self._heap:
            return None
        return max(self._heap[0].due, self._stalled_until)

    def stalled(self, now: float) -> bool:
        """Tell whether the script keeps this connection silent, pongs included."""
        return now < self._stalled_until

    def tick(self, now: float) -> list[Out]:
        """Return what is due, in order."""
        outs: list[Out] = []
        while not self.over and self._heap and self._heap[0].due <= now and not self.stalled(now):
            entry = heapq.heappop(self._heap)
            outs += entry.act(entry.due)
            self.over = bool(outs) and not isinstance(outs[-1], frames.Emit)
        return outs

    def send(self, message: dict[str, Any], now: float) -> None:
        """Plan a message that belongs to no answer."""
        self._plan_message(message, now, None)

    def begin(self, turn: Turn, now: float, steps: Iterable[Step] | None) -> Answer:
        """Start an answer; without steps, they are expected by `feed`."""
        answer = Answer(next(self._numbers), turn, now, playback_end=now)
        self.answer = answer
        if steps is not None:
            answer.steps.extend(steps)
            answer.fed = True
            self._run(answer, now)
        return answer

    def feed(self, answer: Answer, steps: Iterable[Step], now: float, *, last: bool = False) -> None:
        """Add steps to the answer in progress; ignored once it is over."""
        if self.answer is answer:
            answer.steps.extend(steps)
            answer.fed = answer.fed or last
            self._run(answer, now)

    def aside(self, steps: Iterable[Step], now: float) -> None:
        """Perform steps outside any answer, starting now."""
        scene = Answer(0, Turn(0, 0, "text", "", b"", (), (), {}), now, playback_end=now, fed=True, ended=True)
        scene.steps.extend(steps)
        self._run(scene, now)

    def interrupt(self, now: float) -> None:
        """Stop the answer: `interrupted`, a late tail, `turnComplete`, then the pending calls are withdrawn."""
        answer = self.answer
        if answer is None:
            return
        mine = sorted(entry for entry in self._heap if entry.owner is answer)
        self._heap = [entry for entry in self._heap if entry.owner is not answer]
        heapq.heapify(self._heap)
        complete = self._turn_complete(answer, "", self._final_status())
        if self._plan.interrupted_with_complete:
            complete["serverContent"]["interrupted"] = True
        else:
            self._plan_message(frames.content(interrupted=True), now, None)
            for entry in [entry for entry in mine if entry.sound][: self._plan.late_tail]:
                self._plan_act(entry.act, now, None)
        self._plan_message(complete, now, None)
        withdrawn = [name for name, group in self._pending.items() if group.answer is answer]
        if withdrawn:
            self._cancel(withdrawn, now)
        self.replies.clear()
        self._close(answer, now)

    def respond(self, response: dict[str, Any], now: float) -> None:
        """Take one function response.

        Raises:
            Violation: no id, an id never called, already answered, or cancelled more than a second ago.
        """
        name = response.get("id", "")
        if name in self._cancelled:
            if now - self._cancelled[name] > CROSSING_S:
                raise Violation(f"Function response for the cancelled call {name!r}.")
            return
        group = self._pending.get(name)
        if group is None:
            raise Violation(f"Function response with the unknown id {name!r}.")
        if response.get("name", self._names[name]) != self._names[name]:
            raise Violation(f"Function response {name!r} names {response['name']!r}, called was {self._names[name]!r}.")
        if "scheduling" in response and not self._model.scheduling:
            raise Violation("Scheduling of function responses is not supported for this model.")
        group.scheduling = response.get("scheduling", group.scheduling)
        group.answer.turn.responses[name] = response.get("response", {})
        if response.get("willContinue"):
            return
        del self._pending[name]
        group.open.discard(name)
        if not group.open:
            self._group_done(group, now)

    def _group_done(self, group: _Group, now: float) -> None:
        answer = group.answer
        if answer.waits_for is group:
            answer.waits_for = None
            answer.cursor = max(answer.cursor, now)
            if self.answer is answer or answer.number == 0:
                self._run(answer, now)
        elif group.step.reply and group.scheduling != "SILENT":
            if group.scheduling == "INTERRUPT":
                self.interrupt(now)
            self.replies.append(group.step.reply)

    def _close(self, answer: Answer, now: float) -> None:
        if self.answer is answer:
            self.answer = None
            self._stage.answer_over(answer, now)

    def _plan_act(self, act: _Act, due: float, owner: Answer | None, *, sound: bool = False) -> None:
        heapq.heappush(self._heap, _Entry(due, next(self._order), owner, act, sound))

    def _plan_message(self, message: dict[str, Any], due: float, owner: Answer | None) -> None:
        out = frames.emit(message, self._style)
        self._plan_act(lambda _: [out], due, owner)

    def _run(self, answer: Answer, now: float) -> None:
        answer.cursor = max(answer.cursor, now)
        while answer.steps and answer.waits_for is None:
            self._perform(answer, answer.steps.popleft())
        if answer.fed and not answer.steps and answer.waits_for is None and not answer.ended:
            self._perform(answer, script.Complete())

    def _perform(self, answer: Answer, step: Step) -> None:  # noqa: C901, PLR0912  one table of steps
        owner = answer if answer.number and not answer.ended else None
        at = answer.cursor
        match step:
            case script.Hear():
                self._hear(step, at, owner)
            case script.Say():
                self._say(answer, step, owner)
            case script.Text():
                part: dict[str, Any] = {"text": step.text, **({"thought": True} if step.thought else {})}
                self._plan_message(frames.content(modelTurn={"role": "model", "parts": [part]}), at, owner)
            case script.Wait():
                answer.cursor += step.seconds
            case script.Call():
                self._call(answer, step, owner)
            case script.Complete():
                self._complete(answer, step, owner)
            case script.Hang():
                answer.ended = True
            case script.GoAway():
                left = {} if step.time_left_s is None else {"timeLeft": f"{step.time_left_s:.9g}s"}
                self._plan_message({"goAway": left}, at, owner)
                if step.close and step.time_left_s is not None:
                    end = frames.Close(1008, "The operation was aborted.")
                    self._plan_act(lambda _: [end], at + step.time_left_s, None)
            case script.Resumption():
                self._plan_act(lambda now: self._resumption(now, step.resumable), at, owner)
            case script.End():
                end_now = frames.Close(step.code, cut(step.reason))
                self._plan_act(lambda _: [end_now], at, owner)
                answer.ended = True
            case script.Drop():
                self._plan_act(lambda _: [frames.Cut()], at, owner)
                answer.ended = True
            case script.Truncated():
                self._plan_act(lambda _: [frames.HalfFrame()], at, owner)
                answer.ended = True
            case script.Raw():
                if isinstance(step.message, dict):
                    self._plan_message(step.message, at, owner)
                else:
                    raw = frames.emit_raw(step.message, self._style)
                    self._plan_act(lambda _: [raw], at, owner)
            case script.Oversized():
                self._plan_act(lambda _: [self._oversized(step.size)], at, owner)
            case script.Stall():
                self._plan_act(lambda now: self._stall(now + step.seconds), at, owner)

    def _resumption(self, now: float, resumable: bool) -> list[Out]:
        return [frames.emit(self._stage.resumption(now, resumable=resumable), self._style)]

    def _stall(self, until: float) -> list[Out]:
        self._stalled_until = max(self._stalled_until, until)
        return []

    def _oversized(self, size: int) -> Out:
        head = b'{"serverContent":{"modelTurn":{"parts":[{"text":"'
        tail = b'"}]}}}'
        data = head + b"x" * max(0, size - len(head) - len(tail)) + tail
        return frames.Emit(data, self._style.binary, (("oversized", {"bytes": len(data)}),))

    def _hear(self, step: script.Hear, at: float, owner: Answer | None) -> None:
        if "inputAudioTranscription" not in self._setup:
            return
        pieces = split(step.text, max(1, step.pieces))
        for n, piece in enumerate(pieces):
            last = step.finished and n == len(pieces) - 1
            caption = {"text": piece, **({"finished": True} if last else {})}
            self._plan_message(frames.content(inputTranscription=caption), at, owner)

    def _say(self, answer: Answer, step: script.Say, owner: Answer | None) -> None:
        if "AUDIO" not in self._model.modalities:
            self._perform(answer, script.Text(step.text))
            return
        sound = step.sound if step.sound is not None else self._speak(step.text)
        if self._model.translation and "translationConfig" not in self._setup.get("generationConfig", {}):
            sound = bytes(len(sound))
        chunk = max(1, ANSWER_RATE * step.chunk_ms // 1000) * BYTES_PER_SAMPLE
        chunks = [sound[at : at + chunk] for at in range(0, len(sound), chunk)]
        per_message = max(1, step.parts) if self._model.several_parts else 1
        groups = [chunks[at : at + per_message] for at in range(0, len(chunks), per_message)] or [[]]
        captions = split(step.text, len(groups))
        captioned = "outputAudioTranscription" in self._setup
        start, done_s = answer.cursor, 0.0
        for group, caption in zip(groups, captions, strict=True):
            seconds = sum(map(len, group)) / BYTES_PER_SAMPLE / ANSWER_RATE
            due = start + (done_s / step.pace if step.pace > 0 else 0.0)
            fields: dict[str, Any] = {}
            if group:
                fields["modelTurn"] = {"role": "model", "parts": [frames.audio_part(p, self._style) for p in group]}
            with_sound = captioned and bool(caption) and (step.captions_with_sound or not group)
            if with_sound:
                fields["outputTranscription"] = {"text": caption}
            if fields:
                self._plan_sound(answer, fields, due, owner, caption=caption, seconds=seconds)
            if captioned and caption and not with_sound:
                self._plan_message(frames.content(outputTranscription={"text": caption}), due, owner)
            done_s += seconds
            answer.playback_end = max(answer.playback_end, due) + seconds
        if step.interrupt_after_s is not None and owner is not None:
            self._plan_act(self._interrupt_itself, start + step.interrupt_after_s, owner)
        answer.cursor = start + (done_s / step.pace if step.pace > 0 else 0.0)

    def _interrupt_itself(self, now: float) -> list[Out]:
        self.interrupt(now)
        return []

    def _plan_sound(
        self, answer: Answer, fields: dict[str, Any], due: float, owner: Answer | None, *, caption: str, seconds: float
    ) -> None:
        out = frames.emit(frames.content(**fields), self._style)

        def act(_: float) -> list[Out]:
            answer.said += caption
            answer.said_s += seconds
            return [out]

        self._plan_act(act, due, owner, sound="modelTurn" in fields)

    def _call(self, answer: Answer, step: script.Call, owner: Answer | None) -> None:
        calls = [FunctionCall(c.name, c.args, c.id or f"fc-{next(self._call_numbers)}") for c in step.calls]
        group = _Group(step, answer, {call.id for call in calls})
        message: dict[str, Any] = {"toolCall": {"functionCalls": [_call_json(call) for call in calls]}}
        if step.status_beside:
            message["interactionStatus"] = "IN_PROGRESS"
        out = frames.emit(message, self._style)

        def ask(_: float) -> list[Out]:
            for call in calls:
                self._pending[call.id] = group
                self._names[call.id] = call.name
            return [out]

        self._plan_act(ask, answer.cursor, owner)
        if step.cancel_after_s is not None:
            self._plan_act(lambda now: self._give_up(group, now), answer.cursor + step.cancel_after_s, owner)
        if step.wait:
            answer.waits_for = group

    def _give_up(self, group: _Group, now: float) -> list[Out]:
        if group.open:
            self._cancel(sorted(group.open), now)
            group.open.clear()
            self._group_done(group, now)
        return []

    def _cancel(self, names: list[str], now: float) -> None:
        for name in names:
            self._pending.pop(name, None)
            self._cancelled[name] = now
        self._plan_message({"toolCallCancellation": {"ids": names}}, now, None)

    def _complete(self, answer: Answer, step: script.Complete, owner: Answer | None) -> None:
        if self._model.continuous:
            answer.ended = True
            self._plan_act(lambda now: self._end_untold(answer, now), answer.cursor, owner)
            return
        if step.generation:
            self._plan_message(frames.content(generationComplete=True), answer.cursor, owner)
        wait = step.wait_for_playback
        if wait is None:
            wait = self._plan.turn_complete == "playback"
        if wait:
            answer.cursor = max(answer.cursor, answer.playback_end)
        status = step.status or self._final_status()
        final = status != "IN_PROGRESS"
        answer.ended = answer.ended or final

        def complete(now: float) -> list[Out]:
            out = frames.emit(self._turn_complete(answer, step.reason, status), self._style)
            if final:
                self._close(answer, now)
            return [out]

        self._plan_act(complete, answer.cursor, owner)

    def _end_untold(self, answer: Answer, now: float) -> list[Out]:
        """End an answer of a model that never ends a turn: only its tokens are told."""
        outs: list[Out] = []
        if self._plan.usage:
            usage = {"usageMetadata": self._tokens(answer).message(platform=self._platform)}
            outs.append(frames.emit(usage, self._style))
        self._close(answer, now)
        return outs

    def _tokens(self, answer: Answer) -> frames.Tokens:
        tokens = self._stage.tokens()
        tokens.answer_audio = 25.0 * answer.said_s
        return tokens

    def _final_status(self) -> str:
        return "IDLE" if self._model.idle_status else ""

    def _turn_complete(self, answer: Answer, reason: str, status: str) -> dict[str, Any]:
        fields: dict[str, Any] = {"turnComplete": True}
        if reason:
            fields["turnCompleteReason"] = reason
        if status:
            fields["interactionStatus"] = status
        message = frames.content(**fields)
        if self._plan.usage:
            message["usageMetadata"] = self._tokens(answer).message(platform=self._platform)
        return message


def split(text: str, count: int) -> list[str]:
    """Cut text into `count` pieces at spaces; joined they give the text again; some may be empty."""
    words = text.split(" ")
    bounds = [round(n * len(words) / count) for n in range(count + 1)]
    pieces = [" ".join(words[a:b]) for a, b in itertools.pairwise(bounds)]
    filled = ""
    for n, piece in enumerate(pieces):
        if piece and filled:
            pieces[n] = " " + piece
        filled += piece
    return pieces


def _call_json(call: FunctionCall) -> dict[str, Any]:
    tree: dict[str, Any] = {"id": call.id, "name": call.name}
    if call.args is not None:
        tree["args"] = call.args
    return tree
