"""The settings of one MCP server: the tables `[mcp.NAME]` of the configuration.

    [mcp.home]
    url = "https://homeassistant.example/api/mcp"     # streamable HTTP, or
    command = ["/opt/notes/bin/notes-mcp"]            # a program of this machine, over stdin and stdout
    token = "file:home-assistant-token"
    allow = ["HassTurnOn", "HassTurnOff"]

A server is either a `url` or a `command`, and nothing of it is offered that `allow` does not name. Plain http:// goes
to this machine, and to an address or name of the local network where `insecure = true` says so; elsewhere it is
refused, because token and answers could be read and changed on the way. Nothing is opened here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from edge_agent.config import checks
from edge_agent.config.declaring import between, setting
from edge_agent.errors import ConfigError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSW", re.IGNORECASE)


def _url(value: str) -> str | None:
    if not value:
        return None
    parts = checks.bare_url(value)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        return "https://HOST[:PORT]/PATH or http://HOST[:PORT]/PATH; tokens never stand in a URL"
    if parts.scheme == "http" and checks.reach(parts.hostname) == "public":
        return "https:// for a server outside the local network; http:// would send token and answers in the open"
    return None


def _variables(values: list[str]) -> str | None:
    for value in values:
        name, equals, content = value.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            return "a list of NAME=VALUE"
        if _SECRET.search(name) and checks.secret(content):
            return f"{name}=file:PATH or {name}=env:NAME; what is secret does not stand in the configuration"
    return None


def _names(values: list[str]) -> str | None:
    if "*" in values and len(values) > 1:
        return 'names of tools, or ["*"] alone for every tool the server has'
    return None if all(values) else "names of tools"


@dataclass(slots=True)
class McpServer:
    """A server that speaks the Model Context Protocol, and which of its tools the model may call."""

    url: str = setting(
        "",
        "Address of a server that speaks streamable HTTP; http:// within the local network only.",
        effect="connection",
        check=_url,
        private=True,
    )
    command: list[str] = setting(  # noqa: RUF009  a field with a factory, not a shared list
        [],
        "Instead of url: a program and its arguments, kept running and spoken to over stdin and stdout.",
        effect="connection",
        check=lambda v: None if all(v) and not any("\0" in one for one in v) else "a program and its arguments",
    )
    env: list[str] = setting(  # noqa: RUF009  a field with a factory, not a shared list
        [],
        "NAME=VALUE for that program, which inherits PATH, HOME, LANG and USER only; "
        "a VALUE of file:NAME or env:NAME is read from there.",
        effect="connection",
        check=_variables,
        private=True,
    )
    token: str = setting(
        "",
        "Where the bearer token for url lies: file:NAME in $CREDENTIALS_DIRECTORY or a path, env:NAME.",
        effect="connection",
        check=checks.secret,
        private=True,
    )
    insecure: bool = setting(
        False,
        "Allow http:// to an address of the local network, where others in it could read and change what is said.",
        effect="connection",
    )
    allow: list[str] = setting(  # noqa: RUF009  a field with a factory, not a shared list
        [],
        'Names of the tools the model may call, as the server gives them; ["*"]: every one, also those to come.',
        effect="connection",
        check=_names,
    )
    prefix: str = setting(
        "",
        "Put before the names of its tools, where two servers have tools of one name.",
        effect="connection",
        check=lambda v: None if re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]{0,23})?", v) else "letters, digits and _, 24",
    )
    behaviour: Literal["", "blocking", "non-blocking"] = setting(
        "", "blocking: the model waits for the answer; non-blocking: it talks on; empty: as the model prefers.",
        effect="connection",
    )  # fmt: skip
    scheduling: Literal["", "when-idle", "interrupt", "silent"] = setting(
        "", "How the answer of a non-blocking tool enters the talk; empty: as the model prefers.", effect="connection"
    )
    deadline_s: float = setting(
        0.0,
        "A call that takes longer is cancelled and answered with an error; 0: tools.deadline_s.",
        unit="s",
        effect="connection",
        check=between(0, 120),
    )


def check(name: str, server: McpServer, *, source: str) -> None:
    """Check what no setting shows alone.

    Raises:
        ConfigError: one sentence naming file, table, fault and remedy.
    """
    where = f"{source}: mcp.{name}"
    if bool(server.url) == bool(server.command):
        raise ConfigError(f"{where} needs either url or command" + (", not both" if server.url else ""))
    if not server.allow:
        raise ConfigError(
            f"{where}.allow is missing; name the tools the model may call (edge-agent tools list shows what the "
            'server has once it is ["*"])'
        )
    if server.token and not server.url:
        raise ConfigError(f"{where}.token goes with url; give a program its token in env, as NAME=file:PATH")
    if server.env and not server.command:
        raise ConfigError(f"{where}.env goes with command")
    parts = urlsplit(server.url)
    if parts.scheme == "http" and checks.reach(parts.hostname or "") == "network" and not server.insecure:
        raise ConfigError(
            f"{where}.url is http:// to the local network, where token and answers can be read and changed by others "
            "in it; use https://, or accept that with insecure = true"
        )
