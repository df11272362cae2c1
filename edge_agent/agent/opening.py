"""What a connection opens with: endpoint, key, persona, tools and setup, read from the configuration as it stands.

    opening = Opening(lambda: agent.config)
    opening.offer(device_tools(...), mcp=mcp.tools)
    order = await opening.prepare(handle=None)    # a new conversation: the persona folder is read again
    opening.tools                                 # what the model was offered, for the runner

The daemon and the rehearsal open their connections here, so that what is signed off is what visitors get. The
credential is of the kind that `live.credential` names: a key, a broker's short-lived token, or a token of a Google
Cloud account. It goes into the order's header and, to be masked, to the log; nowhere else. What a source of tokens
keeps is dropped when its settings change.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from edge_agent.agent import wishes
from edge_agent.agent.alarms import EARLIEST
from edge_agent.config import Config
from edge_agent.errors import failure
from edge_agent.live import fetching, messages, models, proxy
from edge_agent.live.broker import Broker
from edge_agent.live.credentials import KeySource, Source
from edge_agent.live.endpoint import Endpoint, Place
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.session import Order
from edge_agent.live.vertex import Account
from edge_agent.persona import Persona, PersonaFolder
from edge_agent.tools.declare import Tool
from edge_agent.tools.registry import find_tools

log = logging.getLogger(__name__)

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  where Google's accounts get theirs: an address


class Opening:
    """Builds orders. `config` gives the configuration in force, `functions` the device's own tools."""

    def __init__(
        self,
        config: Callable[[], Config],
        *,
        functions: Iterable[Callable[..., Any]] = (),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.persona: Persona | None = None
        """The persona of the present conversation; None where the configuration names none."""
        self.tools: Mapping[str, Tool] = {}
        self._config = config
        self._wall = wall
        self._functions = list(functions)
        self._mcp: Callable[[], Mapping[str, Tool]] = dict
        self._folder: PersonaFolder | None = None
        self._source: tuple[tuple[Any, ...], Source] | None = None
        self._complaints: set[str] = set()

    def offer(self, functions: Iterable[Callable[..., Any]], *, mcp: Callable[[], Mapping[str, Tool]] = dict) -> None:
        """Take the device's own tools, and what gives those of MCP servers at the time of a connection."""
        self._functions = list(functions)
        self._mcp = mcp

    def read_persona(self) -> Persona | None:
        """Read the persona folder, if one is configured; cheap while nothing in it has changed.

        Raises:
            ConfigError: the folder cannot be used; one sentence.
        """
        path = self._config().persona
        if not path:
            self.persona = self._folder = None
        else:
            if self._folder is None or self._folder.path != Path(path):
                self._folder = PersonaFolder(Path(path))
            self.persona = self._folder.load()
        return self.persona

    async def prepare(self, handle: str | None, *, history: bool = False) -> Order:
        """Return all that one connection needs; key, persona and tools are files, read in a thread.

        Args:
            handle: resumes a conversation, with the persona it began with; None begins a new one.
            history: the setup announces the history of an earlier conversation, which the session sends first.

        Raises:
            AgentError: the key, the persona or the setup cannot be used; the sentence says what to do.
        """
        config = self._config()
        # Setup and way out first: a token is not spent on a connection that cannot be asked for.
        endpoint = Endpoint.resolve(
            config.live.url,
            config.live.api_version,
            constrained=config.live.credential.startswith("ephemeral:"),
            place=Place.of(config.live.credential),
        )
        if endpoint.secure and self._wall() < EARLIEST:
            raise failure(
                "clock",
                detail="This device's clock stands before the day its program was written; it waits for the time.",
            )
        protocol, way = await asyncio.to_thread(
            lambda: (
                self._protocol(config, handle, history=history),
                proxy.resolve(config.link.proxy, endpoint, os.environ),
            )
        )
        access = await self._source_for(config).access(resuming=handle is not None)
        return Order(endpoint, access.headers, protocol, renew=access.renew, lasts_s=access.lasts_s, proxy=way)

    def _source_for(self, config: Config) -> Source:
        """Return what gives access; it lives, with the tokens it keeps, as long as its settings stay the same."""
        kind, _, rest = config.live.credential.partition(":")
        broker, vertex = config.broker, config.vertex
        wanted = (config.live.credential, config.link.proxy, broker, vertex)
        if self._source is not None and self._source[0] == wanted:
            return self._source[1]
        source: Source
        if kind == "ephemeral":
            source = Broker(
                rest,
                certificate=broker.certificate,
                key=broker.key,
                ca=broker.ca,
                secret=broker.secret,
                timeout_s=broker.timeout_s,
                proxy=lambda: fetching.proxy_for(config.link.proxy, rest, os.environ),
            )
        elif kind == "vertex":
            source = Account(vertex.account, proxy=lambda: fetching.proxy_for(config.link.proxy, TOKEN_URL, os.environ))
        else:
            source = KeySource(config.live.credential)
        self._source = (wanted, source)
        return source

    def _protocol(self, config: Config, handle: str | None, *, history: bool) -> LiveProtocol:
        if handle is None and not history:  # a session that is told the story so far stays who it was
            self.read_persona()
        persona = self.persona
        profile = models.profile_for(config.live.model)
        first_turns = wishes.first_turns(config, persona) if handle is None else ()
        setup = wishes.setup_for(
            config,
            persona=persona,
            declarations=self._declarations(config),
            handle=handle,
            history=history or bool(first_turns),
        )
        return LiveProtocol(setup, profile, first_turns=first_turns)

    def _declarations(self, config: Config) -> list[messages.FunctionDeclaration]:
        found = find_tools(
            folder=Path(config.tools.folder), allow=config.tools.allow, functions=self._functions, extra=self._mcp()
        )
        for skipped in map(str, found.skipped):
            if skipped not in self._complaints:
                self._complaints.add(skipped)
                log.warning("%s", skipped)
        self.tools = found.tools
        behaviors = models.profile_for(config.live.model).behaviors
        return [messages.FunctionDeclaration(**tool.declaration(behaviors)) for tool in found.tools.values()]
