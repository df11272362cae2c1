"""Ask the questions over connections opened exactly as the daemon opens them, and gather what comes back.

    opening = RehearsalOpening(config)
    async for answer in ask(questions, opening, spoken=False):
        ...

Every conversation gets a connection of its own: the persona as it stands in its folder, the model, the voice and the
tools of the configuration. Captions are asked for even where the configuration hides them, because the sheet needs
them in writing. A question is a text turn; with `spoken` it is said by espeak-ng, in real time, and marked as the
configuration's mode marks turns.

The model's calls are answered: the owner's tools run for real, with their effects; the device's own (volume, end) only
note that they were called, and there is no camera. An answer that fails is part of the result, with its sentence. What
cannot succeed by trying again (no key, a refused model, no line) ends the rehearsal: the questions left are marked as
not asked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_agent import prompts
from edge_agent.agent.opening import Opening
from edge_agent.audio.wavfile import resample
from edge_agent.config import Config
from edge_agent.errors import AgentError, ConfigError, NetworkError, Stop
from edge_agent.live import events as heard
from edge_agent.live import messages
from edge_agent.live.connection import LiveConnection
from edge_agent.live.protocol import LiveProtocol
from edge_agent.rehearsal.questions import Question, conversations
from edge_agent.tools.builtin import device_tools
from edge_agent.tools.runner import Answer as ToolAnswer
from edge_agent.tools.runner import Call, ToolRunner

RATE = 16_000  # Hz of speech sent
LINGER_S = 0.3  # captions may come a little after the end of the turn they belong to
AFTER_TOOL_S = 4.0  # a tool answered after the end of the turn may make the model speak once more
LEAD_S = 0.3  # silence before and after spoken words, as around a visitor's
MAX_UNREACHED = 2  # connections in a row that could not be opened: the line is down, and so it will be for the rest
HUSH_S = 1.2  # silence after words to a server that finds their end by itself


@dataclass(slots=True)
class Answer:
    """What came back for a question. An `error` is a sentence; what had come before it is kept."""

    question: Question
    text: str = ""
    """The written answer: transcript of the spoken one, or what the model wrote."""
    heard: str = ""
    """What the service understood of a spoken question."""
    pcm: bytearray = field(default_factory=bytearray)
    """The spoken answer, s16le mono."""
    rate: int = 24_000
    first_sound_s: float | None = None
    """From the end of the question to the first sound of the answer."""
    prompt_tokens: int = 0
    response_tokens: int = 0
    tools: list[str] = field(default_factory=list)
    """Calls of the model with their answers, one line each."""
    error: str = ""
    anew: bool = False
    """The conversation before this question had ended early: it was asked in a new one."""
    asked: bool = True
    """False if the rehearsal ended before this question."""

    @property
    def seconds(self) -> float:
        """Length of the spoken answer."""
        return len(self.pcm) / 2 / self.rate


class RehearsalOpening(Opening):
    """The daemon's opening for a configuration, with captions asked for, its device tools standing on `Controls`."""

    def __init__(self, config: Config) -> None:
        self.config = dataclasses.replace(config, captions=dataclasses.replace(config.captions, show=True))
        self.controls = Controls(config)
        tools = device_tools(self.controls, camera=config.camera.source != "off")
        super().__init__(lambda: self.config, functions=tools)


async def ask(
    questions: Sequence[Question],
    opening: RehearsalOpening,
    *,
    spoken: bool = False,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncGenerator[Answer, None]:
    """Yield an answer for every question, in order.

    Args:
        questions: what to ask.
        opening: opens the connections.
        spoken: say the questions instead of typing them.
        ssl_context: for wss; the system's trust store if None.

    Raises:
        ConfigError: the persona or a setting cannot be used.
    """
    hopeless, unreached = "", 0
    for group in conversations(questions):
        talk: _Talk | None = None
        try:
            for question in group:
                answer = Answer(question)
                if hopeless:
                    answer.asked, answer.error = False, f"Not asked: {hopeless}"
                    yield answer
                    continue
                if talk is None or opening.controls.ended:
                    answer.anew = question is not group[0]
                    await _close(talk)
                    talk = _Talk(opening, spoken=spoken, ssl_context=ssl_context)
                try:
                    await talk.ask(answer)
                except ConfigError:
                    raise
                except AgentError as error:
                    answer.error = str(error)
                    unreached = 0 if talk.reached else unreached + 1
                    if isinstance(error, Stop) or unreached >= MAX_UNREACHED:
                        hopeless = str(error)
                    await _close(talk)
                    talk = None
                yield answer
        finally:
            await _close(talk)


class Controls:
    """What the device's own tools reach in a rehearsal: nothing moves, and the model is told as if it had."""

    def __init__(self, config: Config) -> None:
        self.ended = False
        """The model ended the conversation."""
        self._mode = config.mode
        self._volume = config.audio.volume

    def set_volume(self, volume: int) -> None:
        """Note the volume."""
        self._volume = volume

    def end_conversation(self) -> None:
        """Note the end; the next question begins a new conversation, as the next visitor would."""
        self.ended = True

    async def look(self) -> None:
        """Refuse: nobody shows anything in a rehearsal."""
        raise Stop("There is no picture in a rehearsal.")

    def status(self) -> dict[str, Any]:
        """Return what a device at work would say."""
        return {"mode": self._mode, "volume": self._volume, "muted": False, "fault": None}


async def _close(talk: _Talk | None) -> None:
    if talk is not None:
        await talk.close()


class _Talk:
    """One conversation on one connection."""

    def __init__(self, opening: RehearsalOpening, *, spoken: bool, ssl_context: ssl.SSLContext | None) -> None:
        opening.controls.ended = False
        self._opening = opening
        self._config = opening.config
        self._spoken = spoken
        self._ssl_context = ssl_context
        self._came: asyncio.Queue[heard.ServerEvent | AgentError] = asyncio.Queue()
        self._connection: LiveConnection | None = None
        self._protocol: LiveProtocol | None = None
        self._runner = ToolRunner({}, deadline_s=self._config.tools.deadline_s, on_answer=self._answered)
        self._answer: Answer | None = None
        self._calls: dict[str, str] = {}
        self._reason = ""
        self._turn_over = self._tool_was_late = False

    @property
    def reached(self) -> bool:
        """True once the service has taken the setup."""
        return self._protocol is not None

    async def ask(self, answer: Answer) -> None:
        """Put a question and fill in its answer.

        Raises:
            AgentError: no connection, no answer, or the connection ended before it was complete.
        """
        speech = await self._speech(answer.question.text) if self._spoken else b""
        protocol = await self._open()
        while not self._came.empty():
            self._take(self._came.get_nowait(), self._answer or answer)  # the tail of the answer before
        self._answer = answer
        self._reason = ""
        self._turn_over = self._tool_was_late = False
        if self._spoken:
            await self._say(protocol, speech)
        else:
            self._send(protocol.turn(answer.question.text))
        await self._listen(answer, since=time.monotonic())
        answer.text, answer.heard = answer.text.strip(), answer.heard.strip()
        if not answer.text and not answer.pcm:
            why = f" ({self._reason})" if self._reason else ""
            raise AgentError(f"The service ended its turn without an answer{why}.")

    async def close(self) -> None:
        """End the conversation."""
        await self._runner.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _open(self) -> LiveProtocol:
        if self._protocol is not None:
            return self._protocol
        order = await self._opening.prepare(None)
        self._runner.replace(self._opening.tools)
        self._connection = await LiveConnection.open(
            endpoint=order.endpoint,
            headers=order.headers,
            protocol=order.protocol,
            on_event=self._came.put_nowait,
            on_closed=self._closed,
            ssl_context=self._ssl_context,
            proxy=order.proxy,
        )
        self._protocol = order.protocol
        return order.protocol

    def _closed(self, error: AgentError | None) -> None:
        self._came.put_nowait(error or NetworkError("The connection to the Live API was closed."))

    def _send(self, frame: bytes) -> None:
        if self._connection is not None:
            self._connection.send(frame)

    async def _speech(self, text: str) -> bytes:
        persona = self._opening.persona or await asyncio.to_thread(self._opening.read_persona)
        language = (persona.language if persona else "") or self._config.live.language
        code = (language or self._config.conversation.prompts).partition("-")[0].lower()
        speech = await asyncio.to_thread(prompts.speak, text, code)
        if speech is None:
            raise Stop("The question could not be spoken; install espeak-ng, or rehearse without --spoken.")
        return await asyncio.to_thread(_at_16k, speech.pcm, speech.rate)

    async def _say(self, protocol: LiveProtocol, speech: bytes) -> None:
        """Speak in real time, as a microphone would."""
        manual = self._config.manual_turns
        lead = bytes(2 * round(LEAD_S * RATE))
        sound = lead + speech + (lead if manual else bytes(2 * round(HUSH_S * RATE)))
        step = 2 * self._config.live.message_ms * RATE // 1000
        if manual:
            self._send(protocol.activity_start())
        begun = time.monotonic()
        for at in range(0, len(sound), step):
            await asyncio.sleep(begun + at / 2 / RATE - time.monotonic())
            self._send(protocol.audio(sound[at : at + step]))
        self._send(protocol.activity_end() if manual else protocol.audio_stream_end())

    async def _listen(self, answer: Answer, *, since: float) -> None:
        """Take what comes until the turn is over, its tools are answered, and nothing more comes."""
        while True:
            over = self._turn_over and not self._runner.pending
            try:
                event = await asyncio.wait_for(self._came.get(), self._limit_s(answer, since, over=over))
            except TimeoutError:
                if over:
                    return
                patience_s = self._config.conversation.answer_timeout_s
                raise NetworkError(f"The service said nothing for {patience_s:g} s.") from None
            if isinstance(event, heard.Audio) and answer.first_sound_s is None:
                answer.first_sound_s = max(0.0, time.monotonic() - since)
            self._take(event, answer)

    def _limit_s(self, answer: Answer, since: float, *, over: bool) -> float:
        if over:
            return AFTER_TOOL_S if self._tool_was_late else LINGER_S
        # The service ends its turn when the answer would have been heard, so a long answer is a long wait.
        begun = since + (answer.first_sound_s or 0.0)
        playing_s = max(0.0, begun + answer.seconds - time.monotonic())
        return playing_s + self._config.conversation.answer_timeout_s

    def _take(self, event: heard.ServerEvent | AgentError, answer: Answer) -> None:  # noqa: C901  one case for each kind
        match event:
            case AgentError():
                raise event
            case heard.Audio(pcm=pcm, rate=rate):
                answer.pcm += pcm
                answer.rate = rate
                self._turn_over = self._tool_was_late = False
            case heard.OutputCaption(text=text) | heard.Text(text=text, thought=False):
                answer.text += text
            case heard.InputCaption(text=text):
                answer.heard += text
            case heard.Usage(prompt=prompt, response=response):
                answer.prompt_tokens, answer.response_tokens = prompt, response
            case heard.ToolCall(calls=calls):
                for call in calls:
                    written = ", ".join(f"{name}={value!r}" for name, value in call.args.items())
                    self._calls[call.id] = f"{call.name}({written})"
                self._runner.start([Call(call.id, call.name, call.args) for call in calls])
            case heard.ToolCancel(ids=ids):
                self._runner.cancel(ids)
            case heard.Interrupted():
                raise AgentError("The service broke its answer off.")
            case heard.TurnComplete(reason=reason, idle=idle):
                self._reason = reason
                self._turn_over = idle
                answer.text += " " if answer.text else ""  # a thinking model may go on with another sentence
            case heard.Interaction(idle=True):
                self._turn_over = True

    def _answered(self, answer: ToolAnswer) -> None:
        if self._protocol is None or self._answer is None:
            return
        said = answer.response.get("result", answer.response.get("error"))
        failed = "" if answer.ok else "failed: "
        self._answer.tools.append(f"{self._calls.pop(answer.id, answer.name)} → {failed}{said}")
        response = messages.FunctionResponse(
            id=answer.id, name=answer.name, response=answer.response, scheduling=answer.scheduling
        )
        self._send(self._protocol.tool_responses([response]))
        self._tool_was_late = self._turn_over
        self._came.put_nowait(heard.Ignored("a tool was answered"))


def _at_16k(pcm: bytes, rate: int) -> bytes:
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
    return np.clip(np.rint(resample(samples, rate, RATE) * 32768), -32768, 32767).astype("<i2").tobytes()
