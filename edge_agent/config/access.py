"""The tables [broker], [vertex] and [link]: with which right, and by which way, the device comes to the service."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.config import checks
from edge_agent.config.declaring import between, setting


@dataclass(slots=True)
class Broker:
    """The token broker that live.credential = "ephemeral:URL" names."""

    certificate: str = setting(
        "",
        "This device's certificate for the broker (PEM, file:NAME or file:PATH); empty: none is shown.",
        effect="connection",
        check=checks.file,
        private=True,
    )
    key: str = setting(
        "",
        "The private key of that certificate; empty: it stands in the certificate's file.",
        effect="connection",
        check=checks.file,
        private=True,
    )
    ca: str = setting(
        "",
        "Certificates that the broker's own may be signed by, alone; empty: those the system trusts.",
        effect="connection",
        check=checks.file,
        private=True,
    )
    secret: str = setting(
        "",
        "What this device shows the broker as a bearer token: file:NAME or env:NAME; empty: nothing.",
        effect="connection",
        check=checks.secret,
        private=True,
    )
    timeout_s: float = setting(
        8.0,
        "The broker must have answered in this time; a person waits meanwhile.",
        unit="s",
        effect="connection",
        check=between(1, 60),
    )


@dataclass(slots=True)
class Vertex:
    """The Google Cloud account behind live.credential = "vertex:PROJECT/LOCATION"."""

    account: str = setting(
        "",
        "Key file of a service account, or configuration of a workload identity (file:NAME or file:PATH); "
        "empty: application default credentials.",
        effect="connection",
        check=checks.file,
        private=True,
    )


@dataclass(slots=True)
class Link:
    """The network between the device and the service."""

    metered: bool = setting(
        False,
        "The network is paid by volume: no connection is kept open ahead, and stills are sent only when asked for.",
        effect="connection",
    )
    max_mb_per_day: float = setting(
        0.0,
        "Data per day, both ways; at 80 % the device says so, at 100 % it stops talking until midnight; 0: no limit.",
        unit="MB",
        effect="now",
        check=between(0, 1_000_000),
    )
    proxy: str = setting(
        "",
        "The proxy on the way out: http://[user:password@]host:port, socks5://, socks5h:// (it resolves names) or "
        "socks4://; file:NAME or env:NAME with such a URL; empty: as HTTPS_PROXY, ALL_PROXY and NO_PROXY of the "
        "environment say; none: no proxy at all.",
        effect="connection",
        check=checks.proxy,
        private=True,
    )
