"""Wire types of the Gemini Live API (BidiGenerateContent): what the client writes and what it reads of the server.

Every type is a msgspec struct; a field is written `snake_case` here and `camelCase` on the wire, and a client field
that holds its default is not written. Bytes fields are base64 on the wire, converted by msgspec itself.

    frame = encode(ClientMessage(setup=Setup(model="models/gemini-3.8-live")))

Client types refuse unknown fields and hold only fields that the service's published types or guides know: the service
parses strictly and closes with 1007 on a name it does not know. `mediaChunks`, which current models refuse, does not
exist here. Exactly one field of `ClientMessage` is set per message.

Server types ignore keys they do not know, and keep enum values as strings, because both grow without notice. `decoding`
reads them from frames.

Sources: the public WebSockets API reference of the Live API, and its guides to capabilities, thinking, sessions, tools.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Client(msgspec.Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Base of what we write."""


class Empty(_Client):
    """`{}`: a field whose presence is the message, such as `activityStart`."""


class Blob(_Client):
    """Media bytes. `data` is raw here and base64 on the wire."""

    mime_type: str
    data: bytes


class FunctionResponsePart(_Client):
    """Media that belongs to a tool's answer."""

    inline_data: Blob


class Part(_Client):
    """One piece of a content: a text or a picture."""

    text: str | None = None
    inline_data: Blob | None = None


class Content(_Client):
    """Pieces by one speaker; `role` is "user" or "model"."""

    parts: list[Part]
    role: str | None = None


class PrebuiltVoiceConfig(_Client):
    """One of the thirty named voices (`models.VOICES`)."""

    voice_name: str


class VoiceConfig(_Client):
    """The voice of the answers."""

    prebuilt_voice_config: PrebuiltVoiceConfig | None = None


class SpeechConfig(_Client):
    """How answers sound. `language_code` (BCP-47) only for models that accept it."""

    voice_config: VoiceConfig | None = None
    language_code: str | None = None


class ThinkingConfig(_Client):
    """How long the model may think: a level (3.1, extended thinking) or a budget in tokens (2.5; 0 is off)."""

    thinking_level: str | None = None
    thinking_budget: int | None = None
    include_thoughts: bool | None = None


class TranslationConfig(_Client):
    """For the translation model only: BCP-47 code to translate into."""

    target_language_code: str
    echo_target_language: bool | None = None


class GenerationConfig(_Client):
    """What kind of answer. `response_modalities` holds one of AUDIO, TEXT."""

    response_modalities: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    seed: int | None = None
    media_resolution: str | None = None
    speech_config: SpeechConfig | None = None
    thinking_config: ThinkingConfig | None = None
    enable_affective_dialog: bool | None = None
    translation_config: TranslationConfig | None = None


class FunctionDeclaration(_Client):
    """A function the model may call.

    `parameters` is the service's OpenAPI subset (types in upper case), `parameters_json_schema` plain JSON Schema; at
    most one of them. `behavior` is BLOCKING (the model is silent until answered) or NON_BLOCKING.
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    behavior: str | None = None


class Tool(_Client):
    """One kind of tool: our functions, or a search by the service."""

    function_declarations: list[FunctionDeclaration] | None = None
    google_search: Empty | None = None


class AutomaticActivityDetection(_Client):
    """The service's voice detector. `disabled`: the client marks turns. Times in milliseconds."""

    disabled: bool | None = None
    start_of_speech_sensitivity: str | None = None
    end_of_speech_sensitivity: str | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None


class RealtimeInputConfig(_Client):
    """Turn-taking of realtime input."""

    automatic_activity_detection: AutomaticActivityDetection | None = None
    activity_handling: str | None = None
    turn_coverage: str | None = None


class SessionResumption(_Client):
    """Asks for resumption handles; with `handle`, continues that session."""

    handle: str | None = None


class SlidingWindow(_Client):
    """What remains after compression, in tokens; absent: half of the trigger."""

    target_tokens: int | None = None


class ContextWindowCompression(_Client):
    """Cuts the oldest turns once the context holds `trigger_tokens` (absent: 80 % of the model's window)."""

    sliding_window: SlidingWindow
    trigger_tokens: int | None = None


class Transcription(_Client):
    """Asks for transcripts. Presence is enough; hints help names that the model would not guess."""

    language_codes: list[str] | None = None
    custom_vocabulary: list[str] | None = None


class Proactivity(_Client):
    """Lets a 2.5 model stay silent when it is not addressed (v1alpha)."""

    proactive_audio: bool | None = None


class HistoryConfig(_Client):
    """`initial_history_in_client_content`: the first `clientContent` is history and gets no reply."""

    initial_history_in_client_content: bool | None = None


class Setup(_Client):
    """The first message of a connection; fixed for its life. `model` is a resource name, `models/<id>`."""

    model: str
    generation_config: GenerationConfig | None = None
    system_instruction: Content | None = None
    tools: list[Tool] | None = None
    realtime_input_config: RealtimeInputConfig | None = None
    session_resumption: SessionResumption | None = None
    context_window_compression: ContextWindowCompression | None = None
    input_audio_transcription: Transcription | None = None
    output_audio_transcription: Transcription | None = None
    proactivity: Proactivity | None = None
    history_config: HistoryConfig | None = None


class RealtimeInput(_Client):
    """Live media and turn marks; one field per message, since different kinds are not ordered against each other."""

    audio: Blob | None = None
    video: Blob | None = None
    text: str | None = None
    audio_stream_end: bool | None = None
    activity_start: Empty | None = None
    activity_end: Empty | None = None


class ClientContent(_Client):
    """Turns appended to the history, in order. `turn_complete` asks for a reply, and cuts off one in progress."""

    turns: list[Content] | None = None
    turn_complete: bool | None = None


class FunctionResponse(_Client):
    """The answer to one call of the model.

    `response`: an object whose key `output` or `result` holds a success, `error` a failure. `scheduling` (calls that
    do not block only): SILENT, WHEN_IDLE or INTERRUPT. `will_continue`: more answers to the same call follow.
    """

    id: str
    name: str
    response: dict[str, Any]
    scheduling: str | None = None
    will_continue: bool | None = None
    parts: list[FunctionResponsePart] | None = None


class ToolResponse(_Client):
    """Answers to calls."""

    function_responses: list[FunctionResponse]


class ClientMessage(_Client):
    """One message to the service: exactly one field is set."""

    setup: Setup | None = None
    client_content: ClientContent | None = None
    realtime_input: RealtimeInput | None = None
    tool_response: ToolResponse | None = None


class _Server(msgspec.Struct, rename="camel"):
    """Base of what we read."""


class Presence(_Server):
    """An object of which only its being there matters."""


class ServerBlob(_Server):
    """Media bytes; `mime_type` such as "audio/pcm;rate=24000"."""

    mime_type: str | None = None
    data: bytes | None = None


class ServerPart(_Server):
    """One piece of an answer. `thought` pieces are the model's own notes and are never played or spoken."""

    inline_data: ServerBlob | None = None
    text: str | None = None
    thought: bool | None = None
    executable_code: Presence | None = None
    code_execution_result: Presence | None = None


class ServerTurn(_Server):
    """The pieces of an answer that this message carries; several may come at once."""

    parts: list[ServerPart] | None = None


class ServerTranscription(_Server):
    """A piece of a transcript; pieces are concatenated as they are."""

    text: str | None = None
    finished: bool | None = None
    language_code: str | None = None


class WebSource(_Server):
    """A page that an answer rests on."""

    uri: str | None = None
    title: str | None = None


class GroundingChunk(_Server):
    """One source."""

    web: WebSource | None = None


class SearchEntryPoint(_Server):
    """Search suggestions as HTML with its styles, to be shown unchanged beside the answer."""

    rendered_content: str | None = None


class GroundingMetadata(_Server):
    """What was searched for, and found."""

    web_search_queries: list[str] | None = None
    grounding_chunks: list[GroundingChunk] | None = None
    search_entry_point: SearchEntryPoint | None = None


class ServerContent(_Server):
    """The model's side of a turn. Any number of these fields is set in one message."""

    model_turn: ServerTurn | None = None
    generation_complete: bool | None = None
    turn_complete: bool | None = None
    turn_complete_reason: str | None = None
    interrupted: bool | None = None
    interaction_status: str | None = None
    waiting_for_input: bool | None = None
    input_transcription: ServerTranscription | None = None
    output_transcription: ServerTranscription | None = None
    grounding_metadata: GroundingMetadata | None = None


class FunctionCall(_Server):
    """A call by the model; `args` may be absent."""

    id: str | None = None
    name: str | None = None
    args: dict[str, Any] | None = None


class ServerToolCall(_Server):
    """Calls to be answered, each by its id."""

    function_calls: list[FunctionCall] | None = None


class ServerToolCancel(_Server):
    """Calls to be abandoned and not answered."""

    ids: list[str] | None = None


class ModalityTokens(_Server):
    """Tokens of one modality: TEXT, IMAGE, VIDEO, AUDIO, DOCUMENT."""

    modality: str | None = None
    token_count: int | None = None


class UsageMetadata(_Server):
    """Tokens of a turn. The Gemini API says `response...`, the Agent Platform `candidates...`."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    response_token_count: int | None = None
    candidates_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[ModalityTokens] | None = None
    response_tokens_details: list[ModalityTokens] | None = None
    candidates_tokens_details: list[ModalityTokens] | None = None
    tool_use_prompt_tokens_details: list[ModalityTokens] | None = None


class ServerGoAway(_Server):
    """The connection will end; `time_left` is a duration such as "9.500s"."""

    time_left: str | None = None


class SessionResumptionUpdate(_Server):
    """A snapshot that a later connection can continue from; `new_handle` is empty where `resumable` is false."""

    new_handle: str | None = None
    resumable: bool | None = None


class ServerVoiceActivity(_Server):
    """The service's voice detector: ACTIVITY_START or _END; `audio_offset` is a duration since our stream began."""

    type: str | None = None
    audio_offset: str | None = None


class VadSignal(_Server):
    """The older form of the same: VAD_SIGNAL_TYPE_SOS or _EOS."""

    vad_signal_type: str | None = None


class ServerError(_Server):
    """An error object; not documented for this API, but every other Google API sends it."""

    code: int | None = None
    status: str | None = None
    message: str | None = None


class ServerMessage(_Server):
    """One message of the service: at most one kind, plus usage and interaction status beside it."""

    setup_complete: Presence | None = None
    server_content: ServerContent | None = None
    tool_call: ServerToolCall | None = None
    tool_call_cancellation: ServerToolCancel | None = None
    usage_metadata: UsageMetadata | None = None
    go_away: ServerGoAway | None = None
    session_resumption_update: SessionResumptionUpdate | None = None
    interaction_status: str | None = None
    voice_activity: ServerVoiceActivity | None = None
    voice_activity_detection_signal: VadSignal | None = None
    error: ServerError | None = None


_encode = msgspec.json.Encoder().encode


def encode(message: ClientMessage) -> bytes:
    """Return the message as one JSON object, UTF-8."""
    return _encode(message)
