"""Answers of an HTTP client with another body, for `httpx2` and `httpx`."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

_LIBRARIES = ("httpx2", "httpx")
_OF_THE_ORIGINAL = ("content-length", "content-encoding")


def media_type(response: Any) -> str:
    """Return the media type of an answer in lower case; empty if it has none."""
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def with_stream(response: Any, request: Any, half: type, *given: Any) -> Any:
    """Return the answer with a body that is `half(response, *given)`: a class that is iterated, sync or async."""
    response.request = request  # errors while reading the body name it
    library = library_of(response)
    stream = _stream_of(library, half)(response, *given)
    headers = headers_without_length(response)
    return library.Response(response.status_code, headers=headers, stream=stream, extensions=response.extensions)


def headers_without_length(response: Any) -> Any:
    """Return the headers of an answer without those that describe its original body."""
    headers = response.headers.copy()
    for name in _OF_THE_ORIGINAL:
        headers.pop(name, None)
    return headers


def library_of(response: Any) -> Any:
    """Return the module that an answer belongs to: `httpx2` or `httpx`."""
    roots = (base.__module__.partition(".")[0] for base in type(response).__mro__)
    return sys.modules[next(root for root in roots if root in _LIBRARIES)]


@lru_cache
def _stream_of(library: Any, half: type) -> Any:
    """Return the half as a subclass of the stream class that the library requires."""
    base = library.AsyncByteStream if hasattr(half, "__aiter__") else library.SyncByteStream
    return type(half.__name__, (half, base), {})
