"""What a message of the service says: frames become events. Pure.

    reader = Reader(profile)
    for event in reader.read(frame): ...

`read` takes a frame of either opcode and never raises, whatever is in it. One message may hold several parts and
several fields; events come out in the order content, captions, grounding, generation complete, interrupted, turn
complete, interaction, waiting, calls, cancellations, voice activity, resumption, go away, usage. What the device has no
use for is `Ignored`, what cannot be read is `Malformed`; both name it without quoting content.

Thought parts are never sound. A sample cut in two by a message boundary is put together again, so one reader reads one
connection, in order. A model that speaks without turns also sends digital silence; that is `Ignored`, or the device
would seem to speak for ever.
"""

from __future__ import annotations

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

MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # a minute of answer in one message; the service sends 2 to 15 kB
MAX_CALLS = 128  # calls of one message; the service declares at most 512 functions and calls a few
MAX_SOURCES = 32  # pages of one grounding; more is no caption any more
MAX_SUGGESTIONS = 64 * 1024  # characters of HTML; a widget with its styles has about 5 000
OUTPUT_RATE = 24_000  # Hz, where the mime type names none

_IDLE = {"IDLE", "REQUIRES_ACTION"}  # REQUIRES_ACTION is IDLE's deprecated name
_UNSPECIFIED = "INTERACTION_STATUS_UNSPECIFIED"


class Reader:
    """Reads the messages of one connection; `profile` is the model's."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._half_sample = b""

    def read(self, frame: bytes | bytearray | memoryview | str) -> list[ServerEvent]:
        """Return what one message says. Never raises."""
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
