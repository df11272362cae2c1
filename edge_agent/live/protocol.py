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

Receiving: `receive` takes a frame of either opcode and never raises, whatever is in it; how it is read, `reading` says.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence

import msgspec

from edge_agent.errors import AgentError
from edge_agent.live import messages
from edge_agent.live.events import ServerEvent, SetupComplete
from edge_agent.live.models import Profile
from edge_agent.live.reading import Reader

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
        self._reader = Reader(profile)

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
        """Return what one message says, as `reading` tells it. Never raises."""
        events = self._reader.read(frame)
        if not self.ready:
            self.ready = any(type(event) is SetupComplete for event in events)
        return events

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
