"""The answer to a request, told as a Live session tells it: captions and sound, sentence by sentence.

    mouth = Mouth(give, speak, language="de")
    heard_until = await mouth.tell(reply, from_s=loop.time())

Sound of the model goes before the local voice. Else the text is spoken by `speak`, each sentence as soon as it is made,
so that the first one is heard while the next is in the making; without a voice the captions remain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from edge_agent.live.standard.request import Reply, sentences

PIECE_S = 1.0  # sound is handed on in pieces of this length, so that converting one never holds the loop

Speak = Callable[[str, str], Awaitable[tuple[bytes, int] | None]]
"""(text, BCP-47 code or "") to (s16le mono, rate in Hz); None where there is no voice."""


class Mouth:
    """Tells answers.

    Args:
        give: takes messages as the Live API would send them.
        speak: the local voice.
        language: BCP-47 code for answers that do not name their own; "" leaves it to the voice.
    """

    def __init__(self, give: Callable[[dict[str, Any]], None], speak: Speak, *, language: str) -> None:
        self._give = give
        self._speak = speak
        self._language = language

    async def tell(self, reply: Reply, from_s: float) -> float:
        """Give captions and sound; return when somebody who listens from `from_s` on has heard all (loop's clock)."""
        if reply.parts:
            self._caption(reply.text, reply, finished=True)
            self._give({"serverContent": {"modelTurn": {"parts": reply.parts}}})
            return from_s + sum(_seconds(part) for part in reply.parts)
        loop = asyncio.get_running_loop()
        until = from_s
        pieces = sentences(reply.text)
        for number, piece in enumerate(pieces, 1):
            spoken = await self._speak(piece, reply.language or self._language)
            self._caption(piece if number == 1 else f" {piece}", reply, finished=number == len(pieces))
            if spoken is None:
                continue
            pcm, rate = spoken
            size = round(rate * PIECE_S) * 2
            for at in range(0, len(pcm), size):
                part = {"inlineData": {"mimeType": f"audio/pcm;rate={rate}", "data": pcm[at : at + size]}}
                self._give({"serverContent": {"modelTurn": {"parts": [part]}}})
            until = max(until, loop.time()) + len(pcm) / 2 / rate
        return until

    def _caption(self, text: str, reply: Reply, *, finished: bool) -> None:
        if text:
            said = {"text": text, "finished": finished, "languageCode": reply.language}
            self._give({"serverContent": {"outputTranscription": said}})


def _seconds(part: dict[str, Any]) -> float:
    blob = part["inlineData"]
    return len(blob["data"]) * 3 / 4 / 2 / int(blob["mimeType"].rpartition("=")[2])
