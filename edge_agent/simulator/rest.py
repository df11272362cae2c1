"""The twin's standard API: `generateContent` and `countTokens` as HTTP requests, answered by the same script.

    POST /v1beta/models/gemini-3.6-flash:generateContent     key in the header x-goog-api-key

It listens on the port of the WebSockets. A request is a turn as a rule sees it: the newest content of the user, sound
from its WAV, stills, text. `Say` gives its text as a text part, or its sound where it has no text; `Text`, `Wait`,
`Stall`, `Hang`, `Raw`, `Drop`, `Truncated` and `Oversized` do what they say; `End` answers with an error, its code as
HTTP status where it is one, else 500; `Call` asks for functions, and the steps after it answer the request that brings
the responses. What only a session has (`Hear`, `GoAway`, `Resumption`) is passed over.

What the client does wrong is refused in Google's words: 404 for another path, 400, 401 and 403 for keys, 400 for a body
the schema does not know, for voices and behaviours that only sessions take, and for a call that was not answered.
"""

from __future__ import annotations

import asyncio
import base64
import http
import io
import json
import re
import wave
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.simulator import handshake, schema, script
from edge_agent.simulator.schema import Violation
from edge_agent.simulator.script import Entry, Rules, Script, Step, Turn
from edge_agent.simulator.sound import HEARD_RATE

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 20 * 1024 * 1024  # the service's limit for a request with inline data

_PATH = re.compile(
    r"/(?P<version>v1|v1beta|v1alpha|v1beta1)/(?P<parent>projects/[^/]+/locations/[^/]+/publishers/google/)?"
    r"models/(?P<model>[a-z0-9.-]+):(?P<method>generateContent|countTokens)"
)
_DOOR = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
_LIVE_ONLY = re.compile(r"live|native-audio")


@dataclass(slots=True)
class HttpRequest:
    """One request as it came, and what became of it; keys and tokens replaced."""

    path: str
    method: str = ""
    """generateContent or countTokens."""
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    """As the schema reads it: bytes decoded."""
    turn: Turn | None = None
    status: int = 0
    """HTTP status of the answer; 0: none yet, or none at all."""


class Cut(Exception):
    """The connection is to be cut; `data` goes out before."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__("cut")
        self.data = data


class Rest:
    """Answers requests for one twin; `on_request` is told of every good request."""

    def __init__(
        self,
        script: Callable[[], Script],
        rules: Rules,
        *,
        key: str,
        on_request: Callable[[], None] = lambda: None,
    ) -> None:
        self.requests: list[HttpRequest] = []
        self._script = script
        self._rules = rules
        self.key = key
        self._on_request = on_request
        self._open_calls: dict[str, tuple[str, Turn, tuple[Step, ...]]] = {}  # by id: name, and what goes on
        self._calls = 0

    async def answer(self, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Return HTTP status and body; `headers` by lower-case name.

        Raises:
            Cut: the script cuts the connection.
        """
        path, _, query = target.partition("?")
        record = HttpRequest(path, headers=handshake.redact(headers.items()))
        self.requests.append(record)
        record.status, answer = await self._judged(record, query, headers, body)
        return record.status, answer

    async def _judged(
        self, record: HttpRequest, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        found = _PATH.fullmatch(record.path)
        if found is None:
            return _error(404, "The requested URL was not found on this server.")
        shown = {"Authorization": headers.get("authorization", ""), "x-goog-api-key": headers.get("x-goog-api-key", "")}
        status, sentence = handshake.judge(f"{_DOOR}?{query}", shown, key=self.key)
        if status == 200 and headers.get("authorization", "").startswith("Token "):
            status, sentence = 401, "Ephemeral tokens are accepted for the Live API only."
        if status != 200:
            return _error(status, sentence)
        record.method = found["method"]
        if _LIVE_ONLY.search(found["model"]):
            return _error(404, f"models/{found['model']} is not supported for {found['method']}.")
        try:
            record.body = schema.parse_request(body, platform=bool(found["parent"]))
            turn, steps = self._turn(record)
        except Violation as violation:
            return _error(400, str(violation))
        record.turn = turn
        self._on_request()
        if record.method == "countTokens":
            return 200, json.dumps({"totalTokens": 1}).encode()
        return await self._perform(turn, steps)

    def _turn(self, record: HttpRequest) -> tuple[Turn, tuple[Step, ...] | None]:
        body = record.body
        contents = body.get("contents", [])
        if not contents:
            raise Violation("GenerateContentRequest.contents: contents is not specified")
        _check(body)
        responses = [part["functionResponse"] for part in _parts(contents, "functionResponse")]
        if responses and record.method == "generateContent":
            newest = responses[-1]
            for identity, (name, turn, steps) in reversed(self._open_calls.items()):
                if newest.get("id", identity) == identity and newest.get("name") == name:
                    del self._open_calls[identity]
                    turn.responses.update({str(one.get("id", identity)): one.get("response", {}) for one in responses})
                    return turn, steps
        asked = contents[-1].get("parts", [])
        blobs = [part["inlineData"] for part in asked if "inlineData" in part]
        audio = b"".join(_sound(blob) for blob in blobs if blob.get("mimeType", "").startswith("audio/"))
        images = tuple(blob.get("data", b"") for blob in blobs if blob.get("mimeType", "").startswith("image/"))
        text = " ".join(part["text"] for part in asked if "text" in part)
        questions = sum(
            content.get("role") != "model" and not any("functionResponse" in part for part in content["parts"])
            for content in contents
        )
        turn = Turn(questions, 0, "audio" if audio else "text", text, audio, images, _history(contents), body)
        return turn, (self._rules.choose(turn) if record.method == "generateContent" else ())

    async def _perform(self, turn: Turn, steps: tuple[Step, ...] | None) -> tuple[int, bytes]:
        await asyncio.sleep(self._script().think_s)
        if steps is None:
            return await self._brain(turn)
        return await self._steps(turn, steps)

    async def _brain(self, turn: Turn) -> tuple[int, bytes]:
        think = self._script().brain
        if think is None:
            return 200, _answer([], "STOP")
        # An answer here is one message: what the brain says after a call is left to the next question.
        steps = [step async for step in think(turn)]
        return await self._steps(turn, tuple(steps))

    async def _steps(self, turn: Turn, steps: tuple[Step, ...]) -> tuple[int, bytes]:  # noqa: C901, PLR0912  a case each
        parts: list[dict[str, Any]] = []
        reason = "STOP"
        for number, step in enumerate(steps):
            match step:
                case script.Say(text=text) if text:
                    parts.append({"text": text})
                case script.Say(sound=bytes(pcm)):
                    data = base64.b64encode(pcm).decode()
                    parts.append({"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": data}})
                case script.Text(text=text, thought=thought):
                    parts.append({"text": text, "thought": True} if thought else {"text": text})
                case script.Wait(seconds=seconds) | script.Stall(seconds=seconds):
                    await asyncio.sleep(seconds)
                case script.Call(calls=calls):
                    parts += [self._call(one, turn, steps[number + 1 :]) for one in calls]
                    break
                case script.Complete(reason=why):
                    reason = why or reason
                    break
                case script.Hang():
                    await asyncio.get_running_loop().create_future()
                case script.End(code=code, reason=why):
                    return _error(code if 400 <= code < 600 else 500, why)
                case script.Drop():
                    raise Cut
                case script.Truncated():
                    raise Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n{")
                case script.Oversized(size=size):
                    parts.append({"text": "x" * size})
                case script.Raw(message=message):
                    raw = json.dumps(message) if isinstance(message, dict) else message
                    return 200, raw.encode() if isinstance(raw, str) else raw
                case _:
                    pass
        return 200, _answer(parts, reason)

    def _call(self, call: script.FunctionCall, turn: Turn, rest: tuple[Step, ...]) -> dict[str, Any]:
        self._calls += 1
        identity = call.id or f"rest-call-{self._calls}"
        self._open_calls[identity] = (call.name, turn, rest)
        signature = base64.b64encode(f"thought {self._calls}".encode()).decode()
        made = {"id": identity, "name": call.name, "args": call.args or {}}
        return {"functionCall": made, "thoughtSignature": signature}


class Exchange:
    """HTTP/1.1 on one connection, one request: bytes in, an answer out, and the connection is closed.

    Args:
        transport: where the answer goes.
        answer: gives status and body for target, headers (names in lower case) and body.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        answer: Callable[[str, Mapping[str, str], bytes], Awaitable[tuple[int, bytes]]],
    ) -> None:
        self._transport = transport
        self._answer = answer
        self._got = bytearray()
        self._task: asyncio.Task[None] | None = None

    def feed(self, data: bytes) -> None:
        """Take what came from the client."""
        if self._task is not None:
            return  # a second request in a row is not served: the connection is about to close
        self._got += data
        head, mark, body = bytes(self._got).partition(b"\r\n\r\n")
        if not mark:
            if len(self._got) > MAX_HEAD_BYTES:
                self._write(431, b"")
            return
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
        length = headers.get("content-length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self._write(411 if not length.isdigit() else 413, b"")
        elif len(body) >= int(length):
            self._task = asyncio.get_running_loop().create_task(self._serve(line.split(" ")[1], headers, body))

    def lost(self) -> None:
        """The connection is gone."""
        if self._task is not None:
            self._task.cancel()

    async def _serve(self, target: str, headers: Mapping[str, str], body: bytes) -> None:
        try:
            status, answer = await self._answer(target, headers, body)
        except Cut as cut:
            if cut.data:
                self._transport.write(cut.data)
                self._transport.close()
            else:
                self._transport.abort()
            return
        self._write(status, answer)

    def _write(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._transport.write(head.encode() + body)
        self._transport.close()


def _check(body: dict[str, Any]) -> None:
    """Refuse what the schema knows from sessions and requests do not take."""
    config = body.get("generationConfig", {})
    if "AUDIO" in config.get("responseModalities", []) or "speechConfig" in config:
        raise Violation("This model only supports text output.")
    declarations = [one for tool in body.get("tools", []) for one in tool.get("functionDeclarations", [])]
    if any("behavior" in one for one in declarations):
        raise Violation("Function behavior is supported by BidiGenerateContent only.")
    if declarations and any("googleSearch" in tool for tool in body["tools"]):
        raise Violation("Built-in tools and Function Calling cannot be combined in the same request.")
    contents = body["contents"]
    for content, after in zip(contents, [*contents[1:], {}], strict=True):
        calls = sum("functionCall" in part for part in content.get("parts", []))
        answers = sum("functionResponse" in part for part in after.get("parts", []))
        if calls != answers:
            raise Violation(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        if any("functionCall" in part and "thoughtSignature" not in part for part in content.get("parts", [])):
            raise Violation("Function call is missing a thought_signature in functionCall parts.")


def _parts(contents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The parts of a kind behind the model's last content."""
    found: list[dict[str, Any]] = []
    for content in contents:
        if content.get("role") == "model":
            found = []
        found += [part for part in content.get("parts", []) if kind in part]
    return found


def _sound(blob: dict[str, Any]) -> bytes:
    try:
        with wave.open(io.BytesIO(blob.get("data", b""))) as sound:
            if (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) != (1, 2, HEARD_RATE):
                raise Violation("The twin hears WAV of 16 kHz, 16 bits, mono.")
            return bytes(sound.readframes(sound.getnframes()))
    except (wave.Error, EOFError) as error:
        raise Violation(f"Unable to process input audio: {error}") from None


def _history(contents: list[dict[str, Any]]) -> tuple[Entry, ...]:
    entries = []
    for content in contents:
        parts = content.get("parts", [])
        text = " ".join(part["text"] for part in parts if "text" in part)
        blobs = [part["inlineData"] for part in parts if "inlineData" in part]
        kinds = [blob.get("mimeType", "") for blob in blobs]
        seconds = sum(len(b.get("data", b"")) for b in blobs if b.get("mimeType") == "audio/wav") / 2 / HEARD_RATE
        images = sum(kind.startswith("image/") for kind in kinds)
        entries.append(Entry("model" if content.get("role") == "model" else "user", text, seconds, images))
    return tuple(entries)


def _answer(parts: list[dict[str, Any]], reason: str) -> bytes:
    candidate: dict[str, Any] = {"finishReason": reason, "index": 0}
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    usage = {
        "promptTokenCount": 100,
        "candidatesTokenCount": 10,
        "totalTokenCount": 110,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 100}],
    }
    return json.dumps({"candidates": [candidate], "usageMetadata": usage}).encode()


def _error(status: int, message: str) -> tuple[int, bytes]:
    return status, handshake.refusal(status, message)
