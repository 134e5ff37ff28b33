"""Network backends for `httpcore2` that read up to 256 KB at a time, through its public interface alone.

Each piece of a response body passes through some twenty calls between the socket and the image store, whatever its
length; `httpcore2` reads 64 KB at a time. Connecting, TLS, proxies and time limits stay its own.
"""

from __future__ import annotations

from typing import Any

from httpcore2 import AsyncNetworkBackend, AsyncNetworkStream, NetworkBackend, NetworkStream

READ_SIZE = 1 << 18
"""Bytes that one read returns at the most; over TLS a read returns one record, 16 KB."""


class LargeReads(NetworkBackend):
    """A network backend whose streams read up to `READ_SIZE` bytes at a time."""

    def __init__(self, backend: NetworkBackend) -> None:
        self._backend = backend
        self.sleep = backend.sleep  # type: ignore[method-assign]

    def connect_tcp(self, *args: Any, **kwargs: Any) -> NetworkStream:
        """Connect to a host."""
        return _Stream(self._backend.connect_tcp(*args, **kwargs))

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> NetworkStream:
        """Connect to a Unix domain socket."""
        return _Stream(self._backend.connect_unix_socket(*args, **kwargs))


class AsyncLargeReads(AsyncNetworkBackend):
    """Async twin of `LargeReads`."""

    def __init__(self, backend: AsyncNetworkBackend) -> None:
        self._backend = backend
        self.sleep = backend.sleep  # type: ignore[method-assign]

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> AsyncNetworkStream:
        """Async twin of `LargeReads.connect_tcp`."""
        return _AsyncStream(await self._backend.connect_tcp(*args, **kwargs))

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> AsyncNetworkStream:
        """Async twin of `LargeReads.connect_unix_socket`."""
        return _AsyncStream(await self._backend.connect_unix_socket(*args, **kwargs))


class _Stream(NetworkStream):
    def __init__(self, stream: NetworkStream) -> None:
        self._stream = stream
        self.write = stream.write  # type: ignore[method-assign]
        self.close = stream.close  # type: ignore[method-assign]
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max(max_bytes, READ_SIZE), timeout)

    def start_tls(self, *args: Any, **kwargs: Any) -> NetworkStream:
        return _Stream(self._stream.start_tls(*args, **kwargs))


class _AsyncStream(AsyncNetworkStream):
    def __init__(self, stream: AsyncNetworkStream) -> None:
        self._stream = stream
        self.write = stream.write  # type: ignore[method-assign]
        self.aclose = stream.aclose  # type: ignore[method-assign]
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore2 has it
        return await self._stream.read(max(max_bytes, READ_SIZE), timeout)

    async def start_tls(self, *args: Any, **kwargs: Any) -> AsyncNetworkStream:
        return _AsyncStream(await self._stream.start_tls(*args, **kwargs))
