"""One session of the Live API as a pure object: what we want to say becomes frames, frames become events.

    protocol = LiveProtocol(setup, profile)
    send(protocol.setup())
    for event in protocol.receive(frame): ...      # SetupComplete first
    send(protocol.activity_start()); send(protocol.audio(pcm)); send(protocol.activity_end())

No socket, clock or task in here. One object serves one connection; a new connection takes a new one.

Sending: every method returns one JSON message for one text frame. It raises `ProtocolMisuse` for what the service would
punish by closing the connection: anything before `setupComplete`, turn marks while the service detects speech itself
(and `audioStreamEnd` while it does not), marks out of pairs, text turns on a model that does not take them, a picture
that is none.

Receiving: `receive` takes a frame of either opcode and never raises, whatever is in it. One message may hold
several parts and several fields; events come out in the order content, captions, grounding, generation complete,
interrupted, turn complete, interaction, waiting, calls, cancellations, voice activity, resumption, go away, usage.
What the device has no use for is `Ignored`, what cannot be read is `Malformed`; both name it without quoting content.
Thought parts are never sound. A sample cut in two by a message boundary is put together again. A model that speaks
without turns also sends digital silence; that is `Ignored`, or the device would seem to speak for ever.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence

import msgspec

from edge_agent.errors import AgentError
from edge_agent.live import decoding, messages
from edge_agent.live.events import (
    Audio,
    Call,
    GenerationComplete,
    GoAway,
    Grounding,
    Ignored,
    InputCaption,
    Interaction,
    Interrupted,
    Malformed,
    OutputCaption,
    Resumption,
    ServerEvent,
    SetupComplete,
    Text,
    ToolCall,
    ToolCancel,
    TurnComplete,
    Usage,
    VoiceActivity,
    WaitingForInput,
)
from edge_agent.live.models import Profile

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Audio",
    "Call",
    "GenerationComplete",
    "GoAway",
    "Grounding",
    "Ignored",
    "InputCaption",
    "Interaction",
    "Interrupted",
    "LiveProtocol",
    "Malformed",
    "OutputCaption",
    "ProtocolMisuse",
    "Resumption",
    "ServerEvent",
    "SetupComplete",
    "Text",
    "ToolCall",
    "ToolCancel",
    "TurnComplete",
    "Usage",
    "VoiceActivity",
    "WaitingForInput",
]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # a minute of answer in one message; the service sends 2 to 15 kB
MAX_CALLS = 128  # calls of one message; the service declares at most 512 functions and calls a few
MAX_SOURCES = 32  # pages of one grounding; more is no caption any more
MAX_SUGGESTIONS = 64 * 1024  # characters of HTML; a widget with its styles has about 5 000
INPUT_RATE = 16_000  # Hz, the model's native input
OUTPUT_RATE = 24_000  # Hz, where the mime type names none

_AUDIO_HEAD = b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"'
_IMAGE_HEADS = (
    (b"\xff\xd8", b'{"realtimeInput":{"video":{"mimeType":"image/jpeg","data":"'),
    (b"\x89PNG", b'{"realtimeInput":{"video":{"mimeType":"image/png","data":"'),
)
_BLOB_TAIL = b'"}}}'
_ACTIVITY_START = b'{"realtimeInput":{"activityStart":{}}}'
_ACTIVITY_END = b'{"realtimeInput":{"activityEnd":{}}}'
_AUDIO_STREAM_END = b'{"realtimeInput":{"audioStreamEnd":true}}'
_NUDGE = b'{"clientContent":{"turnComplete":true}}'
_STOP_ANSWER = b'{"clientContent":{"turnComplete":false}}'

_IDLE = {"IDLE", "REQUIRES_ACTION"}  # REQUIRES_ACTION is IDLE's deprecated name
_UNSPECIFIED = "INTERACTION_STATUS_UNSPECIFIED"


class ProtocolMisuse(AgentError):
    """Our own program asked for a message that the service would answer by closing the connection."""


class LiveProtocol:
    """One session: builds frames, reads frames, and knows what may be said when.

    `first_turns`, as (role, text), stand before every other turn of the history that the setup announces.
    """

    def __init__(self, setup: messages.Setup, profile: Profile, *, first_turns: Sequence[tuple[str, str]] = ()) -> None:
        self._setup = setup
        self._profile = profile
        self._first_turns = tuple(first_turns)
        detection = setup.realtime_input_config and setup.realtime_input_config.automatic_activity_detection
        self.manual_turns = bool(detection and detection.disabled)
        """True: the client marks turns with `activity_start` and `activity_end`."""
        self.resuming = bool(setup.session_resumption and setup.session_resumption.handle)
        """True: this setup continues an earlier session, so that the service may refuse it for its handle alone."""
        self.ready = False
        """True once the service has taken the setup."""
        self.activity_open = False
        """True between `activity_start` and `activity_end`."""
        self.setup_sent = False
        """True once `setup` has been called."""
        self.history_due = bool(setup.history_config and setup.history_config.initial_history_in_client_content)
        """True until `history` is called, where the setup announced one: nothing else may be sent before it."""
        self._half_sample = b""

    def setup(self) -> bytes:
        """Return the first message of the connection."""
        if self.setup_sent:
            raise ProtocolMisuse("The setup was already sent; a new connection takes a new protocol.")
        self.setup_sent = True
        return messages.encode(messages.ClientMessage(setup=self._setup))

    def audio(self, pcm: bytes) -> bytes:
        """Return a message with microphone sound: s16le mono, 16 kHz, whole samples; 20 to 40 ms is advised."""
        if not self.ready or self.history_due:
            self._refuse_early()
        if len(pcm) & 1:
            raise ProtocolMisuse("Sound must come in whole samples of 16 bits.")
        return _AUDIO_HEAD + binascii.b2a_base64(pcm, newline=False) + _BLOB_TAIL

    def image(self, picture: bytes) -> bytes:
        """Return a message with one still, JPEG or PNG; the service looks at no more than one a second."""
        self._refuse_early()
        self._refuse_all_but_sound("pictures")
        for magic, head in _IMAGE_HEADS:
            if picture.startswith(magic):
                return head + binascii.b2a_base64(picture, newline=False) + _BLOB_TAIL
        raise ProtocolMisuse("A still must be JPEG or PNG.")

    def text(self, text: str) -> bytes:
        """Return a message with live text; like speech, it counts as activity of the user."""
        self._refuse_early()
        self._refuse_all_but_sound("text")
        return messages.encode(messages.ClientMessage(realtime_input=messages.RealtimeInput(text=_utf8(text))))

    def turn(self, text: str, turn_complete: bool = True, *, picture: bytes = b"") -> bytes:
        """Return a turn of the user, in text (and a JPEG), for the history; `turn_complete` asks for the reply.

        It cuts off an answer in progress.
        """
        self._refuse_early()
        self._refuse_content()
        parts = [messages.Part(text=_utf8(text))] if text else []
        if picture:
            if not picture.startswith(b"\xff\xd8"):
                raise ProtocolMisuse("A picture in a turn must be JPEG.")
            parts.append(messages.Part(inline_data=messages.Blob(mime_type="image/jpeg", data=picture)))
        turns = [messages.Content(role="user", parts=parts)] if parts else None
        return _client_content(turns, turn_complete=turn_complete)

    def stop_answer(self) -> bytes:
        """Return the message that stops the answer without speech; the service acknowledges with `Interrupted`."""
        self._refuse_early()
        self._refuse_content()
        return _STOP_ANSWER

    def nudge(self) -> bytes:
        """Return a message that asks for the answer to what was said so far; it adds nothing to the history."""
        self._refuse_early()
        self._refuse_content()
        return _NUDGE

    def history(self, turns: Iterable[tuple[str, str]]) -> bytes:
        """Return earlier turns for the history, each as (role, text) with role "user" or "model"; no reply follows.

        With `historyConfig` in the setup this must be the first message after `SetupComplete`, once; it then begins
        with the `first_turns`.
        """
        if not self.ready:
            self._refuse_early()
        if self.history_due:
            turns = [*self._first_turns, *turns]
        contents = [messages.Content(role=role, parts=[messages.Part(text=_utf8(text))]) for role, text in turns]
        if any(content.role not in {"user", "model"} for content in contents):
            raise ProtocolMisuse('The role of a turn is "user" or "model".')
        if self.history_due:
            self.history_due = False
            return _client_content(contents or None, turn_complete=True)
        self._refuse_content()
        return _client_content(contents, turn_complete=False)

    def activity_start(self) -> bytes:
        """Return the mark that the user begins to speak (manual turns only); it interrupts an answer."""
        self._refuse_early()
        if not self.manual_turns:
            raise ProtocolMisuse("The service detects speech itself in this session; turn marks are refused.")
        if self.activity_open:
            raise ProtocolMisuse("The turn is already open.")
        self.activity_open = True
        return _ACTIVITY_START

    def activity_end(self) -> bytes:
        """Return the mark that the user has spoken (manual turns only)."""
        self._refuse_early()
        if not self.activity_open:
            raise ProtocolMisuse("No turn is open.")
        self.activity_open = False
        return _ACTIVITY_END

    def audio_stream_end(self) -> bytes:
        """Return the mark that the microphone stopped (automatic detection only); later sound reopens the stream."""
        self._refuse_early()
        if self.manual_turns:
            raise ProtocolMisuse("Turns are marked by hand in this session; audioStreamEnd is refused.")
        return _AUDIO_STREAM_END

    def tool_responses(self, responses: Sequence[messages.FunctionResponse]) -> bytes:
        """Return the answers to calls; `scheduling` and `will_continue` are left out where the model refuses them."""
        self._refuse_early()
        if not responses or any(not response.id for response in responses):
            raise ProtocolMisuse("Every answer to a call carries the call's id.")
        if not self._profile.scheduling:
            responses = [
                messages.FunctionResponse(id=r.id, name=r.name, response=r.response, parts=r.parts) for r in responses
            ]
        answer = messages.ToolResponse(function_responses=list(responses))
        try:
            return messages.encode(messages.ClientMessage(tool_response=answer))
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
            raise ProtocolMisuse("The answer to a call must be plain JSON data.") from None

    def receive(self, frame: bytes | bytearray | memoryview | str) -> list[ServerEvent]:
        """Return what one message says; see the module's docstring. Never raises."""
        if not frame:
            return [Ignored("an empty message")]
        if len(frame) > MAX_MESSAGE_BYTES:
            return [Malformed(f"a message of {len(frame)} bytes, more than {MAX_MESSAGE_BYTES}")]
        message, problems = decoding.decode(frame)
        events = self._events(message)
        if not events and not problems:
            message, problems = decoding.decode_leniently(frame)
            events = self._events(message)
            if not events and not problems:
                events.append(Ignored(", ".join(decoding.keys(frame)) or "an empty message"))
        events.extend(Malformed(problem) for problem in problems[:8])
        return events

    def _events(self, message: messages.ServerMessage) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        if message.setup_complete is not None:
            self.ready = True
            events.append(SetupComplete())
        if message.server_content is not None:
            self._content(message.server_content, events)
            self._progress(message.server_content, message.interaction_status, events)
        elif message.interaction_status:
            events.append(_interaction(message.interaction_status))
        _side_events(message, events)
        return events

    def _content(self, content: messages.ServerContent, events: list[ServerEvent]) -> None:
        """Append what the message carries: sound, text, captions, sources."""
        if content.model_turn is not None:
            parts = content.model_turn.parts
            events.extend([self._part(part) for part in parts] if parts else [Ignored("an empty modelTurn")])
        heard, said = content.input_transcription, content.output_transcription
        if heard is not None:
            events.append(InputCaption(heard.text or "", bool(heard.finished), heard.language_code or ""))
        if said is not None:
            events.append(OutputCaption(said.text or "", bool(said.finished), said.language_code or ""))
        if content.grounding_metadata is not None:
            events.append(_grounding(content.grounding_metadata))

    def _progress(self, content: messages.ServerContent, outer_status: str | None, events: list[ServerEvent]) -> None:
        """Append where the turn stands."""
        if content.generation_complete or content.interrupted or content.turn_complete:
            self._half_sample = b""
        if content.generation_complete:
            events.append(GenerationComplete())
        if content.interrupted:
            events.append(Interrupted())
        status = content.interaction_status or outer_status
        if content.turn_complete:
            said = bool(status) and status != _UNSPECIFIED
            idle = status in _IDLE if said else self._profile.idle_signal == "turnComplete"
            events.append(TurnComplete(content.turn_complete_reason or "", idle))
        if status:
            events.append(_interaction(status))
        if content.waiting_for_input:
            events.append(WaitingForInput())

    def _part(self, part: messages.ServerPart) -> ServerEvent:
        if part.inline_data is not None:
            return Ignored("media of a thought") if part.thought else self._media(part.inline_data)
        if part.text is not None:
            return Text(part.text, bool(part.thought))
        if part.executable_code is not None:
            return Ignored("executableCode")
        return Ignored("a part of unknown kind" if part.code_execution_result is None else "codeExecutionResult")

    def _media(self, blob: messages.ServerBlob) -> ServerEvent:
        rate = _rate(blob.mime_type)
        if rate < 0:
            return Ignored(f"media of type {(blob.mime_type or '')[:60]}")
        if rate == 0:
            return Malformed(f"sound of type {(blob.mime_type or '')[:60]}")
        pcm = blob.data or b""
        if self._half_sample or len(pcm) & 1:
            pcm = self._half_sample + pcm
            whole = len(pcm) & ~1
            pcm, self._half_sample = pcm[:whole], pcm[whole:]
        if self._profile.continuous and pcm.count(0) == len(pcm):
            return Ignored("silence")
        return Audio(pcm, rate)

    def _refuse_early(self) -> None:
        if not self.ready:
            raise ProtocolMisuse("Nothing may be sent before the service has completed the setup.")
        if self.history_due:
            raise ProtocolMisuse("This session was announced with a history; the history must be sent first.")

    def _refuse_all_but_sound(self, what: str) -> None:
        if not self._profile.conversation:
            raise ProtocolMisuse(f"The {self._profile.family} model listens to sound only; it takes no {what}.")

    def _refuse_content(self) -> None:
        if self._profile.client_content != "always":
            raise ProtocolMisuse(
                f"The {self._profile.family} model takes no clientContent in the middle of a session; send live text."
            )


def _utf8(text: str) -> str:
    """Return the text with what UTF-8 cannot carry (half of a surrogate pair) replaced by "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _client_content(turns: list[messages.Content] | None, *, turn_complete: bool) -> bytes:
    content = messages.ClientContent(turns=turns, turn_complete=turn_complete)
    return messages.encode(messages.ClientMessage(client_content=content))


def _interaction(status: str) -> Interaction:
    return Interaction(status, status in _IDLE)


def _side_events(message: messages.ServerMessage, events: list[ServerEvent]) -> None:
    """Append what stands outside serverContent."""
    if message.tool_call is not None:
        _call_events(message.tool_call, events)
    if message.tool_call_cancellation is not None:
        events.append(ToolCancel(tuple(message.tool_call_cancellation.ids or ())))
    if message.voice_activity is not None or message.voice_activity_detection_signal is not None:
        events.append(_voice_event(message.voice_activity, message.voice_activity_detection_signal))
    update = message.session_resumption_update
    if update is not None:
        resumable = bool(update.resumable)
        events.append(Resumption((update.new_handle or None) if resumable else None, resumable))
    if message.go_away is not None:
        events.append(GoAway(decoding.seconds(message.go_away.time_left)))
    if message.usage_metadata is not None:
        events.append(_usage(message.usage_metadata))
    error = message.error
    if error is not None:
        events.append(Ignored(f"error {error.code} {error.status or ''}: {(error.message or '')[:200]}"))


def _rate(mime_type: str | None) -> int:
    """Return the rate of a mime type in Hz; -1 if it is not PCM sound, 0 if the rate makes no sense."""
    if mime_type == "audio/pcm;rate=24000":
        return OUTPUT_RATE
    kind, *parameters = (mime_type or "audio/pcm").lower().split(";")
    if kind.strip() != "audio/pcm":
        return -1
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "rate":
            value = value.strip()
            rate = int(value) if value.isascii() and value.isdigit() and len(value) < 7 else 0
            return rate if 8_000 <= rate <= 192_000 else 0
    return OUTPUT_RATE


def _call_events(tool_call: messages.ServerToolCall, events: list[ServerEvent]) -> None:
    calls = tool_call.function_calls or []
    good = tuple(Call(call.id or "", call.name, call.args or {}) for call in calls[:MAX_CALLS] if call.name)
    if good:
        events.append(ToolCall(good))
    if len(good) < len(calls) or not calls:
        events.append(Malformed(f"{len(calls) - len(good)} of {len(calls)} calls without a name, or too many"))


def _voice_event(activity: messages.ServerVoiceActivity | None, signal: messages.VadSignal | None) -> ServerEvent:
    kind = (activity.type if activity else signal.vad_signal_type if signal else None) or ""
    offset = decoding.seconds(activity.audio_offset) if activity else None
    if kind.endswith(("_START", "_SOS")):
        return VoiceActivity(True, offset)
    if kind.endswith(("_END", "_EOS")):
        return VoiceActivity(False, offset)
    return Ignored(f"voice activity {kind[:40]}")


def _grounding(metadata: messages.GroundingMetadata) -> Grounding:
    pages = [chunk.web for chunk in metadata.grounding_chunks or () if chunk.web is not None]
    widget = (metadata.search_entry_point and metadata.search_entry_point.rendered_content) or ""
    return Grounding(
        tuple((metadata.web_search_queries or ())[:MAX_SOURCES]),
        tuple((page.title or "", page.uri or "") for page in pages[:MAX_SOURCES]),
        widget if len(widget) <= MAX_SUGGESTIONS else "",  # half of a widget is not the widget
    )


def _usage(usage: messages.UsageMetadata) -> Usage:
    response = usage.response_token_count
    return Usage(
        prompt=usage.prompt_token_count or 0,
        response=(response if response is not None else usage.candidates_token_count) or 0,
        cached=usage.cached_content_token_count or 0,
        tool_use=usage.tool_use_prompt_token_count or 0,
        thoughts=usage.thoughts_token_count or 0,
        total=usage.total_token_count or 0,
        prompt_by_modality=_modalities(usage.prompt_tokens_details),
        response_by_modality=_modalities(usage.response_tokens_details or usage.candidates_tokens_details),
        tool_use_by_modality=_modalities(usage.tool_use_prompt_tokens_details),
    )


def _modalities(details: list[messages.ModalityTokens] | None) -> dict[str, int]:
    table: dict[str, int] = {}
    for entry in details or ():
        if entry.modality:
            table[entry.modality] = table.get(entry.modality, 0) + (entry.token_count or 0)
    return table
