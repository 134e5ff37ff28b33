"""Transports that ask for a response which the service keeps, in place of the request that would create another one.

With them a chat model reads an answer that it has lost, and turns it into its message by itself.
"""

from __future__ import annotations

from typing import Any

import httpx2

_OF_THE_BODY = ("content-length", "content-type", "transfer-encoding", "idempotency-key")
_CREATES = "/responses"


class Retrieving(httpx2.BaseTransport):
    """Sends `GET /responses/{id}` in place of `POST /responses`; other requests pass.

    Args:
        inner: The transport that does the work.
        response_id: The response to ask for.
    """

    def __init__(self, inner: httpx2.BaseTransport, response_id: str) -> None:
        self._inner, self._response_id = inner, response_id

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request for the response that is kept."""
        return self._inner.handle_request(_retrieval(request, self._response_id))


class AsyncRetrieving(httpx2.AsyncBaseTransport):
    """Async twin of `Retrieving`."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, response_id: str) -> None:
        self._inner, self._response_id = inner, response_id

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Async twin of `handle_request`."""
        return await self._inner.handle_async_request(_retrieval(request, self._response_id))


def _retrieval(request: Any, response_id: str) -> Any:
    """Return the request for a response, with the address, headers and limits of the request that created it."""
    if request.method != "POST" or not request.url.path.endswith(_CREATES):
        return request
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() not in _OF_THE_BODY]
    url = request.url.copy_with(path=f"{request.url.path}/{response_id}")
    return type(request)("GET", url, headers=headers, extensions=request.extensions)
