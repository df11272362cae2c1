"""The way without WebSockets, for the line: which model answers, and the local voice that speaks its text.

    session = Session(..., standard=Fallback(lambda: config, tap=tap, ssl_context=None).opener)

`opener()` gives what opens such a connection for an order, or None where the owner wants none (`live.fallback = ""`) or
the credential is good for the Live API only (`ephemeral:`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from edge_agent import prompts
from edge_agent.config import Config
from edge_agent.errors import AgentError
from edge_agent.live.events import ServerEvent
from edge_agent.live.session import Line, Opener, Order


class Fallback:
    """Opens conversations by requests, and speaks their answers.

    Args:
        config: gives the configuration in force.
        tap: sees every message whole, as ("up" or "down", message).
        ssl_context: for https; the system's trust store if None.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        *,
        tap: Callable[[str, bytes], None] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._config = config
        self._tap = tap
        self._ssl_context = ssl_context

    def opener(self) -> Opener | None:
        """Return what opens a connection for an order; None where there is to be none."""
        live = self._config().live
        # A broker's tokens open the Live API and nothing else.
        return self._open if live.fallback and not live.credential.startswith("ephemeral:") else None

    async def speak(self, text: str, language: str) -> tuple[bytes, int] | None:
        """Speak a text by the device's own voice; `language` is a BCP-47 code, "" for the language of its prompts."""
        voice = language.partition("-")[0].lower() or self._config().conversation.prompts
        speech = await asyncio.to_thread(prompts.speak, text, voice)
        return None if speech is None else (speech.pcm, speech.rate)

    async def _open(
        self, order: Order, on_event: Callable[[ServerEvent], None], on_closed: Callable[[AgentError | None], None]
    ) -> Line:
        from edge_agent.live.standard.connection import StandardConnection  # noqa: PLC0415  few devices ever need it

        return await StandardConnection.open(
            endpoint=order.endpoint,
            headers=order.headers,
            protocol=order.protocol,
            model=self._config().live.fallback,
            speak=self.speak,
            on_event=on_event,
            on_closed=on_closed,
            proxy=order.proxy,
            ssl_context=self._ssl_context,
            tap=self._tap,
        )
