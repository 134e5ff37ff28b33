"""Translate errors of the SDK and its HTTP library; `service_errors` reads the service's own error objects."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import from_json

from langchain_imagegen.api.service_errors import read_error
from langchain_imagegen.errors import (
    AuthenticationError,
    ConnectionLostError,
    ImageGenerationError,
    ImageTimeoutError,
    NotConnectedError,
    OptionError,
    ServiceError,
)

NEVER_SENT = frozenset(
    {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "LocalProtocolError"}
)
"""Errors that the HTTP library raises before a request is sent."""

_CLOSED = "the HTTP client was closed before the request was sent"
_SIMULATOR = "or try it offline: python -m langchain_imagegen.simulator"


def translate(error: Exception) -> Exception:
    """Return our error for one of the SDK or its HTTP library; return any other as it is."""
    import httpx2
    import openai

    if isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException)):
        return _timeout(error)
    if isinstance(error, openai.APIStatusError):
        return _status(error)
    if isinstance(error, (openai.APIConnectionError, httpx2.TransportError)):
        return _connection(error)
    if isinstance(error, openai.APIResponseValidationError):
        return ServiceError(f"the answer is not what the API gives: {str(error)[:200]}", status=error.status_code)
    if isinstance(error, openai.APIError) and isinstance(error.body, Mapping):
        return read_error(error.body)
    if isinstance(error, (httpx2.HTTPError, httpx2.StreamError)):
        return ConnectionLostError(f"the answer cannot be read: {error}")
    if isinstance(error, httpx2.InvalidURL):
        return OptionError(f"base_url is no address ({error}); nothing was sent")
    if isinstance(error, openai.OpenAIError):
        if "api_key" in str(error) or "credentials" in str(error).lower():
            return AuthenticationError(f"no API key: set OPENAI_API_KEY or pass api_key=, {_SIMULATOR}")
        return ServiceError(str(error))
    return _unsent(error)


def _unsent(error: Exception) -> Exception:
    """Return our error for one that Python raises while a request is built; any other stays as it is."""
    if isinstance(error, ImageGenerationError):
        return error
    if isinstance(error, (UnicodeEncodeError, *_unsendable())):
        return _cannot_send(error)
    if isinstance(error, RuntimeError) and "client has been closed" in str(error):
        return NotConnectedError(_CLOSED)
    return error


def _unsendable() -> tuple[type[Exception], ...]:
    import httpx2

    return (httpx2.LocalProtocolError, httpx2.InvalidURL)


def _cannot_send(error: BaseException) -> OptionError:
    """Return an error without the words of the other, which quote the header that is wrong."""
    return OptionError(
        "the request could not be built, so nothing was sent: a header, the address or a text holds characters that "
        f"cannot be sent ({type(error).__name__})"
    )


def _status(error: Any) -> ImageGenerationError:
    body = error.body if isinstance(error.body, Mapping) else {"message": _plain(error)}
    headers = error.response.headers
    return read_error(
        body,
        status=error.status_code,
        request_id=error.request_id,
        retry_after=_retry_after(headers),
        path=urlsplit(str(error.request.url)).path,
        own=_has_error_object(error.response),
        should_retry={"true": True, "false": False}.get(headers.get("x-should-retry", "")),
    )


def _has_error_object(response: Any) -> bool:
    """Return True if the body is the service's JSON error; a gateway's page or plain text is not."""
    try:
        body = from_json(response.content)
    except ValueError:
        return False
    return isinstance(body, Mapping) and isinstance(body.get("error"), Mapping)


def _plain(error: Any) -> str:
    text = error.body if isinstance(error.body, str) else error.message
    return f"HTTP {error.status_code} without the service's error object, it begins {text[:200]!r}"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    for name, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * factor
        except (KeyError, ValueError):
            continue
        return seconds if 0 <= seconds < math.inf else None
    return _until(headers.get("retry-after"))


def _until(date: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time()) if date else None
    except ValueError:
        return None


def _timeout(error: Exception) -> Exception:
    if _cause(error) in NEVER_SENT:
        return NotConnectedError("no connection to the service in time; check base_url and the network")
    return ImageTimeoutError(
        "the service did not answer in time and may still finish and bill the picture; "
        "pictures of high quality take up to two minutes: raise timeout= (seconds)"
    )


def _connection(error: Exception) -> Exception:
    cause = error.__cause__ or error
    if isinstance(cause, (UnicodeEncodeError, *_unsendable())):
        return _cannot_send(cause)
    if "client has been closed" in str(cause):
        return NotConnectedError(_CLOSED)
    if _cause(error) in NEVER_SENT:
        return NotConnectedError(f"no connection to the service ({cause}); check base_url and the network")
    return ConnectionLostError(
        f"the connection broke before the answer was whole ({cause}); the picture may have been drawn and billed, "
        "so the request is not repeated by itself"
    )


def _cause(error: Exception) -> str:
    return type(error.__cause__ or error).__name__
