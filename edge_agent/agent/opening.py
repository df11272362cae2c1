"""What a connection opens with: endpoint, key, persona, tools and setup, read from the configuration as it stands.

    opening = Opening(lambda: agent.config, functions=device_tools(...))
    order = await opening.prepare(handle=None)    # a new conversation: the persona folder is read again
    opening.tools                                 # what the model was offered, for the runner

The daemon and the rehearsal open their connections here, so that what is signed off is what visitors get. The key goes
into the order's header and, to be masked, to the log; nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from edge_agent.agent import wishes
from edge_agent.config import Config
from edge_agent.live import credentials, messages, models
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.session import Order
from edge_agent.persona import Persona, PersonaFolder
from edge_agent.service import logs
from edge_agent.tools.declare import Tool
from edge_agent.tools.registry import find_tools

log = logging.getLogger(__name__)


class Opening:
    """Builds orders. `config` gives the configuration in force, `functions` the device's own tools."""

    def __init__(self, config: Callable[[], Config], *, functions: Iterable[Callable[..., Any]] = ()) -> None:
        self.persona: Persona | None = None
        """The persona of the present conversation; None where the configuration names none."""
        self.tools: Mapping[str, Tool] = {}
        self._config = config
        self._functions = list(functions)
        self._folder: PersonaFolder | None = None
        self._complaints: set[str] = set()

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
        return await asyncio.to_thread(self._read, handle, history=history)

    def _read(self, handle: str | None, *, history: bool) -> Order:
        config = self._config()
        key = credentials.load(config.live.credential)
        logs.secrets.add(key.reveal())
        if handle is None:
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
        endpoint = Endpoint.resolve(config.live.url, config.live.api_version)
        return Order(endpoint, credentials.headers(key), LiveProtocol(setup, profile, first_turns=first_turns))

    def _declarations(self, config: Config) -> list[messages.FunctionDeclaration]:
        found = find_tools(folder=Path(config.tools.folder), allow=config.tools.allow, functions=self._functions)
        for skipped in map(str, found.skipped):
            if skipped not in self._complaints:
                self._complaints.add(skipped)
                log.warning("%s", skipped)
        self.tools = found.tools
        return [messages.FunctionDeclaration(**tool.declaration()) for tool in found.tools.values()]
