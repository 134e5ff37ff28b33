"""Fetch a picture that a service gives by web address, without being led into the private network.

Only https; at most five redirects. Every address that a host resolves to must be public, and the connection goes to
an address that was checked, so that a second look-up of the name cannot lead elsewhere. Proxies of the environment
are not used: they would resolve the name again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore2
import httpx2

from langchain_imagegen.errors import ImageFetchError, ImageGenerationError, ImageStoreError
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.writer import Receiver

ALLOWED_NETWORKS: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
"""Networks that may be fetched from although they are not public. Private: for tests, which serve on loopback."""

LONGEST = 60.0
"""Seconds for a picture with all redirects."""

_PATIENCE = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), 20.0)}
_HEADERS = {"accept": "image/*", "accept-encoding": "identity"}
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # all that IANA has given out as global unicast addresses of IPv6
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")  # RFC 6890; Python before 3.13 takes parts of it for global


class Fetcher:
    """Fetches pictures into an image store."""

    def fetch(self, url: str, store: Receiver) -> Blob:
        """Return the picture at `url`, put into the store.

        Raises:
            ImageFetchError: the address is refused, does not answer in time or gives no picture.
        """
        visit = Visit(url)
        with visit.translated_errors(), store.writer() as writer:
            with self._pool() as pool:
                while visit.under_way:
                    with pool.stream(
                        "GET", visit.url, headers=list(visit.headers.items()), extensions=_PATIENCE
                    ) as response:
                        if visit.arrived(response.status, response.headers):
                            for chunk in response.iter_stream():
                                visit.check_time()
                                writer.write(chunk)
            return writer.commit()

    async def afetch(self, url: str, store: Receiver) -> Blob:
        """Async twin of `fetch`."""
        visit = Visit(url)
        with visit.translated_errors(), store.writer() as writer:
            async with self._apool() as pool:
                while visit.under_way:
                    async with pool.stream(
                        "GET", visit.url, headers=list(visit.headers.items()), extensions=_PATIENCE
                    ) as response:
                        if visit.arrived(response.status, response.headers):
                            async for chunk in response.aiter_stream():
                                visit.check_time()
                                await asyncio.to_thread(writer.write, chunk)
            return await asyncio.to_thread(writer.commit)

    def _pool(self) -> httpcore2.ConnectionPool:
        return httpcore2.ConnectionPool(httpx2.create_ssl_context(), network_backend=PublicNetwork())

    def _apool(self) -> httpcore2.AsyncConnectionPool:
        return httpcore2.AsyncConnectionPool(httpx2.create_ssl_context(), network_backend=AsyncPublicNetwork())


class Visit:
    """Where a fetch stands: the next address, how many redirects there were, and the time. No network."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.under_way = True
        self.headers = _HEADERS
        self._first = url
        self._redirects = 0
        self._ends = time.monotonic() + LONGEST

    def arrived(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return True if the answer is the picture, False after a redirect, whose target is checked.

        Raises:
            ValueError: the answer is neither, or leads too far.
        """
        if status not in _REDIRECTS:
            self.under_way = False
            if status != 200:
                raise ValueError(f"the host answered with status {status}")
            return True
        self._redirects += 1
        if self._redirects > _MOST_REDIRECTS:
            raise ValueError(f"there are more than {_MOST_REDIRECTS} redirects")
        named: Mapping[bytes, bytes] = {name.lower(): value for name, value in headers}
        self.url = urljoin(self.url, named.get(b"location", b"").decode("ascii"))
        self.check_address()
        self.check_time()
        return False

    def check_address(self) -> None:
        """Raise `ValueError` unless the address is https and names a host and no user."""
        parts = urlsplit(self.url)
        if parts.scheme.lower() != "https" or not parts.hostname or parts.username is not None:
            raise ValueError(f"only https addresses are fetched, and this is {parts.scheme or 'none'}")

    def check_time(self) -> None:
        """Raise `TimeoutError` when the time is over."""
        if time.monotonic() > self._ends:
            raise TimeoutError(f"the host did not send all of it within {LONGEST:g} seconds")

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Check the first address, and turn everything that can go wrong into `ImageFetchError`."""
        try:
            self.check_address()
            yield
        except ImageStoreError:
            raise
        except (
            httpcore2.NetworkError,
            httpcore2.TimeoutException,
            httpcore2.ProtocolError,
            ImageGenerationError,
            OSError,
            ValueError,
        ) as error:
            host, reason = urlsplit(self._first).hostname or "no host", str(error) or type(error).__name__
            raise ImageFetchError(
                f"the picture was drawn and lies at {host}, but could not be fetched ({reason}); "
                "it has been paid for: fetch it yourself from the error's .url before it expires",
                url=self._first,
            ) from error


class PublicNetwork(httpcore2.NetworkBackend):
    """Connects to public addresses alone."""

    def __init__(self) -> None:
        self._backend = httpcore2.SyncBackend()

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        """Connect to the first address of the host, once all of them are known to be public."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return self._backend.connect_tcp(public_address(found), port, *args, **kwargs)


class AsyncPublicNetwork(httpcore2.AsyncNetworkBackend):
    """Async twin of `PublicNetwork`."""

    def __init__(self) -> None:
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        """Async twin of `PublicNetwork.connect_tcp`."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return await self._backend.connect_tcp(public_address(found), port, *args, **kwargs)


def public_address(found: Iterable[tuple[Any, ...]]) -> str:
    """Return the first of the addresses that `getaddrinfo` found.

    Raises:
        ValueError: one of them is not public; a name with both kinds is a trap.
    """
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise ValueError("the host has no address")
    if not all(is_public(address) for address in addresses):
        raise ValueError("the host is in a private network, on this machine or link-local")
    return addresses[0]


def is_public(address: str) -> bool:
    """Return True if an IP address belongs to the public internet, or to `ALLOWED_NETWORKS`."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if any(ip.version == network.version and ip in network for network in ALLOWED_NETWORKS):
        return True
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and ip not in _PROTOCOLS
    if ip.ipv4_mapped or ip in _NAT64:
        return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    inner = ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
    return ip in _UNICAST and ip.is_global and (inner is None or is_public(str(inner)))
