"""The line under a WebSocket: TCP, straight or through a proxy, TLS on top, and how much of it waits unsent.

    plain = await tcp(connection, endpoint, proxy="", dead_after_s=60.0)
    secure = await tls(plain, connection, endpoint, None)
    unsent(plain)          # bytes handed over that are not on the wire

`connection` is the asyncio protocol that the transports serve. What fails is raised as an error of the tree (`causes`),
within the caller's deadline; a transport that stands by then is the protocol's, by `connection_made`, and the caller's
to abort.

Everything is written at once (no Nagle), the kernel is asked to hold little back (`HELD_BYTES`), and to give up what is
not acknowledged for `dead_after_s`.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import socket
import ssl
import sys

from edge_agent.errors import AgentError, failure
from edge_agent.live import causes
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.proxy import tunnel

HAPPY_EYEBALLS_S = 0.25  # a network with broken IPv6 costs no more than this (RFC 8305's value)
HELD_BYTES = 2048  # what the kernel may hold unsent before we hold back: one message of 40 ms (1.8 kB with TLS)

_SIOCOUTQNSD = 0x894B  # linux/sockios.h: bytes in the send queue that were not put on the wire


async def tcp(protocol: asyncio.Protocol, endpoint: Endpoint, *, proxy: str, dead_after_s: float) -> asyncio.Transport:
    """Make the TCP connection.

    Args:
        protocol: whom the transport serves.
        endpoint: where to.
        proxy: URL of the proxy to go through; "" goes straight.
        dead_after_s: after which the kernel gives up what is not acknowledged, in seconds.

    Raises:
        NetworkError: the service, or the proxy, cannot be reached.
        Blocked, ProxyRefused: the proxy does not let us through.
    """
    loop = asyncio.get_running_loop()
    try:
        if proxy:
            through = await tunnel(proxy, endpoint.host, endpoint.port)
            transport, _ = await loop.create_connection(lambda: protocol, sock=through)
        else:
            transport, _ = await loop.create_connection(
                lambda: protocol, endpoint.host, endpoint.port, happy_eyeballs_delay=HAPPY_EYEBALLS_S
            )
        transport.set_write_buffer_limits(high=0)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(dead_after_s * 1000))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, HELD_BYTES)
    except AgentError:
        raise  # the proxy's; some of ours are OSErrors as well
    except OSError as error:
        raise causes.connect_error(error, endpoint.host, endpoint.port) from None
    return transport


async def tls(
    transport: asyncio.Transport, protocol: asyncio.Protocol, endpoint: Endpoint, context: ssl.SSLContext | None
) -> asyncio.Transport:
    """Make the line a safe one, from here to the service; with the system's trust store if `context` is None.

    Raises:
        NetworkError: the certificate is not to be trusted, or the service broke off.
    """
    loop = asyncio.get_running_loop()
    if context is None:
        # Reading the trust store takes tens of milliseconds of CPU: once, and not in the loop.
        context = await loop.run_in_executor(None, _default_context)
    try:
        secure = await loop.start_tls(transport, protocol, context, server_hostname=endpoint.host)
    except ssl.SSLError as error:
        raise causes.tls_error(error, endpoint.host) from None
    except OSError as error:
        detail = f" ({error.strerror or type(error).__name__})"
        raise failure("tls-cut", host=endpoint.host, detail=detail) from None
    if secure is None:
        raise failure("tls-cut", host=endpoint.host, detail="")
    secure.set_write_buffer_limits(high=1, low=0)
    return secure


def unsent(transport: asyncio.Transport) -> int:
    """Return the bytes handed over that are not on the wire: the transport's, and the kernel's where it can be asked.

    `transport` is TCP's: TLS hands everything on to it, and calls `pause_writing` only when it has to keep the next.
    """
    if transport.is_closing():
        return 0
    waiting = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None or sock.fileno() < 0:
        return waiting
    answer = fcntl.ioctl(sock.fileno(), _SIOCOUTQNSD, b"\0\0\0\0")
    return waiting + int.from_bytes(answer, sys.byteorder)


@functools.cache
def _default_context() -> ssl.SSLContext:
    return ssl.create_default_context()
