"""One conversation as requests of the standard API: bodies for `generateContent`, answers as Live messages. Pure.

    dialogue = Dialogue(setup)
    dialogue.ask(question)
    reply = dialogue.read(answer_of(dialogue.body()))
    reply.text, reply.calls ...

The body carries what the setup of the Live session said: instruction, functions, temperature, media resolution. What
only the Live API knows is left out: voice and modality, `behavior` and `scheduling` of functions, voice detection,
compression, and the search beside functions. Sound goes as WAV.

The history is short: `MAX_EXCHANGES` questions with their answers, and of those the sound and the pictures of the
newest two, since every request is sent and billed whole. It lives in memory and goes with the connection.

The answer is text, which a local voice will speak; so the instruction asks for plain sentences, and for the language's
code in front, which tells the voice how to read. Model contents are given back as they came: the service wants its
signatures of thoughts again when functions have answered.

Source: the reference of the methods `models.generateContent` and `models.countTokens` of the Gemini API.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edge_agent.live import messages
from edge_agent.live.standard.question import RATE, Question

MAX_EXCHANGES = 8  # questions with their answers; a conversation at a kiosk has fewer
HEARD_EXCHANGES = 2  # of them with sound and pictures; 10 s of speech are 430 kB on the wire
MAX_TEXT = 1500  # characters of one answer; spoken, some 100 s, and the playback queue holds 120

SPOKEN = (
    "Your answer is read aloud by a simple voice: give one to three plain sentences, without lists, formatting or "
    "symbols. Begin every answer with the BCP-47 code of its language in square brackets, such as [en]."
)

_LANGUAGE = re.compile(r"\s*\[([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)\]\s*")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")  # noqa: RUF001  the full stops of other scripts
_SHORT = 20  # characters; a shorter sentence is spoken with the next one

_FORGOTTEN = {"text": "(spoken; the sound is no longer at hand)"}


@dataclass(slots=True)
class Reply:
    """What one request brought."""

    parts: list[dict[str, Any]] = field(default_factory=list)
    """Parts with sound, for `serverContent.modelTurn`."""
    text: str = ""
    """The words of the answer, without thoughts."""
    language: str = ""
    """BCP-47 code of the words, as the model gave it."""
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Calls for `toolCall.functionCalls`, each with an id."""
    usage: dict[str, Any] | None = None
    """For `usageMetadata`."""
    reason: str = ""
    """Why there is no answer, in the service's word; "" when there is one."""
    content: dict[str, Any] | None = None
    """The model's content, for the history."""


class Dialogue:
    """The conversation of one connection; `setup` is the Live API's."""

    def __init__(self, setup: messages.Setup) -> None:
        self._fixed = _fixed(setup)
        self._functions = bool(self._fixed.get("tools")) and "functionDeclarations" in self._fixed["tools"][0]
        self._told: list[dict[str, Any]] = []
        self._exchanges: list[list[dict[str, Any]]] = []
        self._given_ids: set[str] = set()
        self._calls = 0

    def tell(self, role: str, text: str) -> None:
        """Add a turn of an earlier conversation."""
        self._told = [*self._told, {"role": role, "parts": [{"text": text}]}][-2 * MAX_EXCHANGES :]

    def ask(self, question: Question) -> None:
        """Add a question."""
        parts: list[dict[str, Any]] = [_blob(picture) for picture in question.pictures]
        if question.pcm:
            parts.append({"inlineData": {"mimeType": "audio/wav", "data": wav(question.pcm)}})
        parts += [{"text": text} for text in question.texts]
        self._exchanges = [*self._exchanges, [{"role": "user", "parts": parts}]][-MAX_EXCHANGES:]
        for exchange in self._exchanges[:-HEARD_EXCHANGES]:
            for content in exchange:
                kept = [part for part in content["parts"] if "inlineData" not in part]
                content["parts"] = kept or [_FORGOTTEN]

    def add(self, reply: Reply) -> None:
        """Add what the model said."""
        if reply.content is not None and self._exchanges:
            self._exchanges[-1].append(reply.content)

    def answer(self, responses: list[messages.FunctionResponse], pictures: list[bytes]) -> None:
        """Add what our functions answered, and the pictures they took."""
        parts = []
        for response in responses:
            one: dict[str, Any] = {"name": response.name, "response": response.response}
            if response.id not in self._given_ids:
                one["id"] = response.id
            parts.append({"functionResponse": one})
        self._exchanges[-1].append({"role": "user", "parts": parts})
        if pictures:
            self._exchanges[-1].append({"role": "user", "parts": [_blob(picture) for picture in pictures]})

    def abandon(self) -> None:
        """The exchange was cut off: a call that nobody answers must not stay in it."""
        if self._exchanges:
            exchange = self._exchanges[-1]
            while exchange and any("functionCall" in part for part in exchange[-1]["parts"]):
                exchange.pop()

    def body(self, *, functions: bool = True) -> bytes:
        """Return the body of the next request; `functions` False: the model must answer in words."""
        contents = [*self._told, *(content for exchange in self._exchanges for content in exchange)]
        body = {**self._fixed, "contents": contents}
        if self._functions and not functions:
            body["toolConfig"] = {"functionCallingConfig": {"mode": "NONE"}}
        return msgspec.json.encode(body)

    def read(self, data: bytes) -> Reply:
        """Read the answer to a request; whatever is missing or odd in it is left out."""
        try:
            tree = msgspec.json.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return Reply(reason="UNREADABLE")
        tree = _table(tree)
        reply = Reply()
        if isinstance(tree.get("usageMetadata"), dict):
            reply.usage = tree["usageMetadata"]
        candidates = _tables(tree.get("candidates"))
        if not candidates:
            reply.reason = str(_table(tree.get("promptFeedback")).get("blockReason") or "NO_ANSWER")[:60]
            return reply
        content = _table(candidates[0].get("content"))
        kept = []
        for part in _tables(content.get("parts")):
            self._part(part, reply)
            if "inlineData" not in part:
                kept.append(part)
        if kept:
            reply.content = {**content, "role": "model", "parts": kept}
        named = _LANGUAGE.match(reply.text)
        if named:
            reply.language, reply.text = named[1], reply.text[named.end() :]
        reply.text = reply.text.strip()[:MAX_TEXT]
        if not (reply.text or reply.parts or reply.calls):
            reply.reason = str(candidates[0].get("finishReason") or "NO_ANSWER")[:60]
        return reply

    def _part(self, part: dict[str, Any], reply: Reply) -> None:
        if part.get("thought"):
            return
        call = part.get("functionCall")
        if isinstance(part.get("text"), str):
            reply.text += part["text"]
        elif isinstance(part.get("inlineData"), dict):
            kind = str(part["inlineData"].get("mimeType", ""))
            if kind.lower().startswith(("audio/pcm", "audio/l16")):
                rate = re.search(r"rate=(\d+)", kind)
                mime = f"audio/pcm;rate={rate[1] if rate else 24_000}"
                reply.parts.append({"inlineData": {"mimeType": mime, "data": part["inlineData"].get("data", "")}})
        elif isinstance(call, dict) and isinstance(call.get("name"), str):
            self._calls += 1
            identity = call.get("id")
            if not isinstance(identity, str) or not identity:
                identity = f"call-{self._calls}"
                self._given_ids.add(identity)
            reply.calls.append({"id": identity, "name": call["name"], "args": _table(call.get("args"))})


def sentences(text: str) -> list[str]:
    """Cut an answer into pieces to speak one after the other, so that the first is heard soon."""
    pieces: list[str] = []
    for piece in (piece.strip() for piece in _SENTENCE.split(text)):
        if piece and pieces and len(pieces[-1]) < _SHORT:
            pieces[-1] = f"{pieces[-1]} {piece}"
        elif piece:
            pieces.append(piece)
    return pieces


def wav(pcm: bytes) -> bytes:
    """Return s16le mono sound of 16 kHz as a WAV file (RIFF, 44 bytes of header)."""
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(pcm), b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16,
                       b"data", len(pcm))  # fmt: skip
    return head + pcm


def _fixed(setup: messages.Setup) -> dict[str, Any]:
    """What every request of the conversation carries."""
    instruction = setup.system_instruction
    texts = [part.text for part in instruction.parts if part.text] if instruction else []
    body: dict[str, Any] = {"systemInstruction": {"parts": [{"text": "\n\n".join([*texts, SPOKEN])}]}}
    wishes = setup.generation_config
    if wishes is not None:
        kept = messages.GenerationConfig(
            temperature=wishes.temperature,
            top_p=wishes.top_p,
            top_k=wishes.top_k,
            seed=wishes.seed,
            media_resolution=wishes.media_resolution,
        )
        if kept != messages.GenerationConfig():
            body["generationConfig"] = msgspec.to_builtins(kept)
    functions = [
        msgspec.structs.replace(one, behavior=None)
        for tool in setup.tools or ()
        for one in tool.function_declarations or ()
    ]
    if functions:
        body["tools"] = [{"functionDeclarations": msgspec.to_builtins(functions)}]
    elif any(tool.google_search is not None for tool in setup.tools or ()):
        body["tools"] = [{"googleSearch": {}}]
    return body


def _blob(picture: bytes) -> dict[str, Any]:
    kind = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
    return {"inlineData": {"mimeType": kind, "data": picture}}


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
