"""What the service accepts from a client, as the twin's own table: field names, types, enums, base64.

`parse(frame, platform=...)` takes one WebSocket message and returns `(kind, body)`: the one field of the oneof that is
set, in camelCase throughout, bytes decoded, integers as int. Anything else raises `Violation` with the close code and
the reason the service would give, cut at 123 bytes of UTF-8 as the WebSocket protocol demands.

Rules, as protobuf's JSON mapping has them: camelCase and snake_case names, also mixed; null is an absent field; enums
are exact upper-case strings; int32 and int64 may come as integral numbers (40.0 too) or as decimal strings; bytes are
base64 in either alphabet, padded or not; unknown names are refused at any depth.

Sources: the published v1beta protobufs for names and types, and the official SDK 3.4.0 for what they lack. Where strict
protobuf says "unknown" but the SDK sends the field to this service, the table follows the SDK: `contextUpdate`,
`thinkingLevel`, `enableAffectiveDialog`, `translationConfig`, members of `AudioTranscriptionConfig`,
`interimTranscriptTimestampEnabled`, `proactivity`, `historyConfig`, `safetySettings`, `labels`, `avatarConfig`. Fields
only the Agent Platform knows are listed in `PLATFORM_ONLY`. What a given *model* refuses is in `models`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from typing import Any

REASON_BYTES = 123  # a close frame carries 125 bytes, 2 of them the code

KINDS = ("setup", "clientContent", "realtimeInput", "toolResponse", "contextUpdate")

MESSAGES: dict[str, dict[str, str]] = {
    "Client": {
        "setup": "Setup",
        "clientContent": "ClientContent",
        "realtimeInput": "RealtimeInput",
        "toolResponse": "ToolResponse",
        "contextUpdate": "ContextUpdate",
    },
    "Setup": {
        "model": "string",
        "generationConfig": "GenerationConfig",
        "systemInstruction": "Content",
        "tools": "Tool[]",
        "realtimeInputConfig": "RealtimeInputConfig",
        "sessionResumption": "SessionResumption",
        "contextWindowCompression": "ContextWindowCompression",
        "inputAudioTranscription": "Transcription",
        "outputAudioTranscription": "Transcription",
        "proactivity": "Proactivity",
        "historyConfig": "HistoryConfig",
        "explicitVadSignal": "bool",
        "avatarConfig": "AvatarConfig",
        "safetySettings": "SafetySetting[]",
        "labels": "map<string>",
    },
    "GenerationConfig": {
        "responseModalities": "Modality[]",
        "temperature": "double",
        "topP": "double",
        "topK": "int32",
        "maxOutputTokens": "int32",
        "seed": "int32",
        "candidateCount": "int32",
        "presencePenalty": "double",
        "frequencyPenalty": "double",
        "mediaResolution": "MediaResolution",
        "speechConfig": "SpeechConfig",
        "thinkingConfig": "ThinkingConfig",
        "enableAffectiveDialog": "bool",
        "translationConfig": "TranslationConfig",
    },
    "SpeechConfig": {"voiceConfig": "VoiceConfig", "languageCode": "string"},
    "VoiceConfig": {
        "prebuiltVoiceConfig": "PrebuiltVoice",
        "voice": "string",
        "replicatedVoiceConfig": "ReplicatedVoice",
    },
    "PrebuiltVoice": {"voiceName": "string"},
    "ReplicatedVoice": {
        "mimeType": "string",
        "voiceSampleAudio": "bytes",
        "consentAudio": "bytes",
        "voiceConsentSignature": "ConsentSignature",
    },
    "ConsentSignature": {"signature": "string"},
    "ThinkingConfig": {"thinkingLevel": "ThinkingLevel", "thinkingBudget": "int32", "includeThoughts": "bool"},
    "TranslationConfig": {"targetLanguageCode": "string", "echoTargetLanguage": "bool"},
    "RealtimeInputConfig": {
        "automaticActivityDetection": "Detection",
        "activityHandling": "ActivityHandling",
        "turnCoverage": "TurnCoverage",
        "interimTranscriptTimestampEnabled": "bool",
    },
    "Detection": {
        "disabled": "bool",
        "startOfSpeechSensitivity": "StartSensitivity",
        "endOfSpeechSensitivity": "EndSensitivity",
        "prefixPaddingMs": "int32",
        "silenceDurationMs": "int32",
    },
    "SessionResumption": {"handle": "string", "transparent": "bool"},
    "ContextWindowCompression": {"triggerTokens": "int64", "slidingWindow": "SlidingWindow"},
    "SlidingWindow": {"targetTokens": "int64"},
    "Transcription": {
        "languageCodes": "string[]",
        "customVocabulary": "string[]",
        "wordTimestamp": "bool",
        "diarization": "bool",
        "mode": "TranscriptionMode",
        "sourceText": "string",
        "languageAuto": "Empty",
        "languageHints": "LanguageHints",
        "adaptationPhrases": "string[]",
    },
    "LanguageHints": {"languageCodes": "string[]"},
    "Proactivity": {"proactiveAudio": "bool", "proactiveVideo": "bool"},
    "HistoryConfig": {"initialHistoryInClientContent": "bool"},
    "AvatarConfig": {
        "avatarName": "string",
        "customizedAvatar": "CustomAvatar",
        "audioBitrateBps": "int32",
        "videoBitrateBps": "int32",
    },
    "CustomAvatar": {"imageMimeType": "string", "imageData": "bytes"},
    "SafetySetting": {"category": "HarmCategory", "threshold": "HarmThreshold"},
    "Content": {"role": "string", "parts": "Part[]"},
    "Part": {
        "text": "string",
        "inlineData": "Blob",
        "fileData": "FileData",
        "functionCall": "FunctionCall",
        "functionResponse": "FunctionResponse",
        "thought": "bool",
        "thoughtSignature": "bytes",
        "mediaResolution": "PartResolution",
        "videoMetadata": "struct",
    },
    "PartResolution": {"level": "MediaResolution"},
    "Blob": {"mimeType": "string", "data": "bytes"},
    "FileData": {"mimeType": "string", "fileUri": "string"},
    "FunctionCall": {"id": "string", "name": "string", "args": "struct"},
    "Tool": {
        "functionDeclarations": "FunctionDeclaration[]",
        "googleSearch": "GoogleSearch",
        "googleSearchRetrieval": "struct",
        "codeExecution": "Empty",
        "urlContext": "Empty",
        "googleMaps": "struct",
        "fileSearch": "struct",
        "computerUse": "struct",
        "mcpServers": "any",
    },
    "GoogleSearch": {"timeRangeFilter": "struct", "searchTypes": "struct"},
    "FunctionDeclaration": {
        "name": "string",
        "description": "string",
        "parameters": "Schema",
        "parametersJsonSchema": "any",
        "response": "Schema",
        "responseJsonSchema": "any",
        "behavior": "Behavior",
    },
    "Schema": {
        "type": "Type",
        "format": "string",
        "title": "string",
        "description": "string",
        "nullable": "bool",
        "enum": "string[]",
        "items": "Schema",
        "maxItems": "int64",
        "minItems": "int64",
        "properties": "map<Schema>",
        "required": "string[]",
        "minProperties": "int64",
        "maxProperties": "int64",
        "minLength": "int64",
        "maxLength": "int64",
        "minimum": "double",
        "maximum": "double",
        "pattern": "string",
        "example": "any",
        "default": "any",
        "anyOf": "Schema[]",
        "propertyOrdering": "string[]",
    },
    "RealtimeInput": {
        "audio": "Blob",
        "video": "Blob",
        "text": "string",
        "audioStreamEnd": "bool",
        "activityStart": "Empty",
        "activityEnd": "Empty",
        "mediaChunks": "Blob[]",
    },
    "ClientContent": {"turns": "Content[]", "turnComplete": "bool"},
    "ToolResponse": {"functionResponses": "FunctionResponse[]"},
    "FunctionResponse": {
        "id": "string",
        "name": "string",
        "response": "struct",
        "scheduling": "Scheduling",
        "willContinue": "bool",
        "parts": "ResponsePart[]",
    },
    "ResponsePart": {"inlineData": "Blob", "fileData": "FileData"},
    "ContextUpdate": {"systemInstruction": "Content", "tools": "ToolsUpdate"},
    "ToolsUpdate": {"tools": "Tool[]"},
    "Empty": {},
    "Request": {
        "contents": "Content[]",
        "systemInstruction": "Content",
        "tools": "Tool[]",
        "toolConfig": "ToolConfig",
        "generationConfig": "GenerationConfig",
        "safetySettings": "SafetySetting[]",
    },
    "ToolConfig": {"functionCallingConfig": "FunctionCalling"},
    "FunctionCalling": {"mode": "CallingMode", "allowedFunctionNames": "string[]"},
}

ENUMS: dict[str, frozenset[str]] = {
    "Modality": frozenset({"MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO"}),
    "MediaResolution": frozenset(
        {
            "MEDIA_RESOLUTION_UNSPECIFIED",
            "MEDIA_RESOLUTION_LOW",
            "MEDIA_RESOLUTION_MEDIUM",
            "MEDIA_RESOLUTION_HIGH",
        }
    ),
    "ThinkingLevel": frozenset({"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"}),
    "ActivityHandling": frozenset({"ACTIVITY_HANDLING_UNSPECIFIED", "START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"}),
    "TurnCoverage": frozenset(
        {
            "TURN_COVERAGE_UNSPECIFIED",
            "TURN_INCLUDES_ONLY_ACTIVITY",
            "TURN_INCLUDES_ALL_INPUT",
            "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
        }
    ),
    "StartSensitivity": frozenset({"START_SENSITIVITY_UNSPECIFIED", "START_SENSITIVITY_HIGH", "START_SENSITIVITY_LOW"}),
    "EndSensitivity": frozenset({"END_SENSITIVITY_UNSPECIFIED", "END_SENSITIVITY_HIGH", "END_SENSITIVITY_LOW"}),
    "TranscriptionMode": frozenset({"MODE_UNSPECIFIED", "VERBATIM", "SMART"}),
    "HarmCategory": frozenset(
        {
            "HARM_CATEGORY_UNSPECIFIED",
            "HARM_CATEGORY_HARASSMENT",
            "HARM_CATEGORY_HATE_SPEECH",
            "HARM_CATEGORY_SEXUALLY_EXPLICIT",
            "HARM_CATEGORY_DANGEROUS_CONTENT",
            "HARM_CATEGORY_CIVIC_INTEGRITY",
        }
    ),
    "HarmThreshold": frozenset(
        {
            "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
            "BLOCK_LOW_AND_ABOVE",
            "BLOCK_MEDIUM_AND_ABOVE",
            "BLOCK_ONLY_HIGH",
            "BLOCK_NONE",
            "OFF",
        }
    ),
    "Behavior": frozenset({"UNSPECIFIED", "BLOCKING", "NON_BLOCKING"}),
    "Type": frozenset({"TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}),
    "CallingMode": frozenset({"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"}),
    "Scheduling": frozenset({"SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT"}),
}

PLATFORM_ONLY = frozenset({("Setup", "explicitVadSignal"), ("SessionResumption", "transparent")})

MEDIA_CHUNKS = "realtime_input.media_chunks is deprecated. Use audio, video, or text instead."

_PART_DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
_BITS = {"int32": 31, "int64": 63}


class Violation(Exception):
    """The client broke a rule; the connection is closed with `code` and `reason`."""

    def __init__(self, reason: str, *, code: int = 1007) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = cut(reason)


def cut(reason: str) -> str:
    """Cut a close reason at 123 bytes of UTF-8, between characters."""
    return reason.encode()[:REASON_BYTES].decode(errors="ignore")


def parse(frame: str | bytes, *, platform: bool = False) -> tuple[str, dict[str, Any]]:
    """Check one client message and return its kind and its body; see the module docstring.

    Raises:
        Violation: 1007 with the reason.
    """
    try:
        tree = json.loads(frame, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise Violation(f"Invalid JSON payload received. {error}") from None
    if not isinstance(tree, dict):
        raise Violation("Invalid JSON payload received. The message is not an object.")
    body = _message("Client", tree, "", platform=platform)
    if len(body) != 1:
        found = ", ".join(sorted(body)) or "none"
        raise Violation(f"Exactly one of {', '.join(KINDS)} must be set, found: {found}")
    ((kind, value),) = body.items()
    if kind == "realtimeInput":
        _check_media(value)
    return kind, value


def parse_request(body: bytes, *, platform: bool = False) -> dict[str, Any]:
    """Check the body of a `generateContent` or `countTokens` request and return it.

    Raises:
        Violation: with the reason; there it stands in the answer of HTTP status 400.
    """
    try:
        tree = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise Violation(f"Invalid JSON payload received. {error}") from None
    return _message("Request", tree, "", platform=platform)


def camel(name: str) -> str:
    """Return the lowerCamelCase spelling of a field name."""
    return re.sub(r"_([a-z0-9])", lambda found: found.group(1).upper(), name)


def _check_media(body: dict[str, Any]) -> None:
    if "mediaChunks" in body:
        raise Violation(MEDIA_CHUNKS)
    audio = body.get("audio")
    if audio is not None and not audio_rate(audio.get("mimeType", "")):
        raise Violation(f"Unsupported mime type for realtime_input.audio: {audio.get('mimeType', '')!r}")
    if audio is not None and len(audio.get("data", b"")) % 2:
        raise Violation("realtime_input.audio holds half a 16-bit sample")
    video = body.get("video")
    if video is not None and video.get("mimeType") not in {"image/jpeg", "image/png"}:
        raise Violation(f"Unsupported mime type for realtime_input.video: {video.get('mimeType', '')!r}")
    if body.get("audioStreamEnd") is False:
        raise Violation("realtime_input.audio_stream_end must be true when set")


def audio_rate(mime: str) -> int:
    """Return the sample rate named by an `audio/pcm;rate=N` mime string, 16000 without one, 0 if it is not PCM."""
    found = re.fullmatch(r"audio/pcm(?:\s*;\s*rate=(\d+))?", mime)
    if not found:
        return 0
    rate = int(found.group(1) or 16_000)
    return rate if 8_000 <= rate <= 192_000 else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_FITS: dict[str, Callable[[Any], bool]] = {
    "any": lambda _: True,
    "struct": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
    "bytes": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "double": _is_number,
}


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"Duplicate name {next(n for n in names if names.count(n) > 1)!r}")
    return tree


def _message(kind: str, tree: Any, where: str, *, platform: bool) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise Violation(f"Invalid value at '{where}' ({kind}), expected an object")
    table = MESSAGES[kind]
    body: dict[str, Any] = {}
    for given, value in tree.items():
        name = camel(given)
        if name not in table or (not platform and (kind, name) in PLATFORM_ONLY):
            place = f" at '{where}'" if where else ""
            raise Violation(f'Invalid JSON payload received. Unknown name "{given}"{place}: Cannot find field.')
        if name in body:
            raise Violation(f"Field '{name}' at '{where}' is set twice, in two spellings")
        if value is not None:
            body[name] = _value(table[name], value, f"{where}.{given}" if where else given, platform=platform)
    if kind == "Part" and sum(name in body for name in _PART_DATA) > 1:
        raise Violation(f"Only one kind of data may be set in the part at '{where}'")
    return body


def _value(hint: str, value: Any, where: str, *, platform: bool) -> Any:
    if hint.endswith("[]"):
        if not isinstance(value, list):
            raise Violation(f"Invalid value at '{where}', expected a list")
        return [_value(hint[:-2], item, f"{where}[{n}]", platform=platform) for n, item in enumerate(value)]
    if hint.startswith("map<"):
        if not isinstance(value, dict):
            raise Violation(f"Invalid value at '{where}', expected an object")
        return {key: _value(hint[4:-1], item, f"{where}.{key}", platform=platform) for key, item in value.items()}
    if hint in MESSAGES:
        return _message(hint, value, where, platform=platform)
    if hint in ENUMS:
        if not isinstance(value, str) or value not in ENUMS[hint]:
            raise Violation(f"Invalid value at '{where}' ({hint}), {json.dumps(value)[:40]}")
        return value
    return _scalar(hint, value, where)


def _scalar(hint: str, value: Any, where: str) -> Any:
    wrong = Violation(f"Invalid value at '{where}' (TYPE_{hint.upper()}), {json.dumps(value)[:40]}")
    if hint in _BITS:
        return _integer(value, _BITS[hint], wrong)
    if not _FITS[hint](value):
        raise wrong
    if hint == "bytes":
        return _decode(value, where)
    return float(value) if hint == "double" else value


def _integer(value: Any, bits: int, wrong: Violation) -> int:
    decimal = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value)
    if not decimal and not (_is_number(value) and value == math.floor(value)):
        raise wrong
    number = int(value)
    if not -(1 << bits) <= number < 1 << bits:
        raise wrong
    return number


def _decode(text: str, where: str) -> bytes:
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        raise Violation(f"Invalid value at '{where}' (TYPE_BYTES), Base64 decoding failed") from None
