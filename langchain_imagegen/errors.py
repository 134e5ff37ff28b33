"""Every error of the package. Nothing else is defined here, so that any module may import it.

ImageGenerationError
├── OptionError (also a ValueError)        an option or input can never work
├── NoImageError                           the answer has no picture; `.text` is what the model wrote instead
├── ModerationError                        the safety system refused; `.stage`, `.categories`
├── UnknownImageError                      a reference matches no image, or several; `.known` lists the valid handles
├── CorruptImageError                      the data is not a picture, is truncated or is too large
├── ImageFetchError                        the service sent a web address that cannot be fetched; `.url`
├── ImageStoreError                        bytes cannot be written, are missing or altered; `.result` if just drawn
├── ServiceError                           the service answered with an error; `.status`, `.code`, …
│   ├── RateLimitError                     too many requests; `.retry_after` in seconds if known
│   ├── QuotaError                         the account has no credit left; waiting does not help
│   ├── AuthenticationError                the key is missing, wrong or lacks permission
│   └── OrganizationNotVerifiedError       the image model requires a verified organization
├── ConnectionLostError                    no connection, or a truncated answer; `.response_id` if known
└── ImageTimeoutError                      no answer in time; `.response_id` if known

Each message says what is wrong and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ImageGenerationError(Exception):
    """Base class of every error that this package raises deliberately."""


class OptionError(ImageGenerationError, ValueError):
    """An option, a combination of options or an input that can never work.

    If the service rejected it, `.code`, `.param` and `.request_id` are what the service sent.

    Args:
        problems: One sentence per problem: the value as the user wrote it, and what is accepted. `.problems` has them.
    """

    code: str | None = None
    param: str | None = None
    request_id: str | None = None

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class NoImageError(ImageGenerationError):
    """The service answered without a picture. `.text` is what the model wrote instead, possibly empty."""

    def __init__(self, message: str, *, text: str = "", response_id: str | None = None) -> None:
        super().__init__(message)
        self.text = text
        self.response_id = response_id


class ModerationError(ImageGenerationError):
    """The safety system refused the prompt or the picture.

    `.stage` is `"input"`, `"output"` or `"unknown"`. `.categories` are the service's own terms, which may change.
    """

    def __init__(self, message: str, *, stage: str = "unknown", categories: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.stage = stage
        self.categories = list(categories)


class UnknownImageError(ImageGenerationError):
    """A reference matches no known image, or more than one. `.known` lists the valid handles."""

    def __init__(self, message: str, *, known: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.known = list(known)


class CorruptImageError(ImageGenerationError):
    """Data that should be a picture but is not one, is truncated, or is larger than allowed."""


class ImageFetchError(ImageGenerationError):
    """The service drew the picture and sent its address, `.url`, but it could not be fetched from there."""

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url


class ImageStoreError(ImageGenerationError):
    """A picture's bytes cannot be written, are missing, or do not match their digest.

    `.location` is the folder or URL of the store. The message omits local folders because chat models may read it;
    tracebacks show the location as a note. If a call drew pictures that cannot be stored, `.result` is its complete
    `ImageResult` with their bytes in memory: `error.result.image.save(path)` writes the first one elsewhere.
    """

    def __init__(self, message: str, *, location: str | None = None, result: Any = None) -> None:
        super().__init__(message)
        self.location = location
        self.result = result  # an `ImageResult` or None; nothing can be imported here
        if location and location not in message:
            self.add_note(f"image store: {location}")


class ServiceError(ImageGenerationError):
    """The service answered with an error.

    Args:
        message: What is wrong and what to do.
        status: The HTTP status; None if the error arrived inside a stream.
        code: The service's error code.
        request_id: The id to quote to the service's support.
        retry_after: Seconds to wait before a retry, as the service requested.
        retryable: Whether the service said that a retry may succeed; None if it said nothing.
        own: True if the body was the service's JSON error object, False if it was, say, a gateway's error page.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        own: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.retryable = retryable
        self.own = own


class RateLimitError(ServiceError):
    """Too many requests or images per minute. `.retry_after` is the number of seconds to wait, or None if unknown."""


class QuotaError(ServiceError):
    """The account or project has no credit left; waiting does not help."""


class AuthenticationError(ServiceError):
    """The API key is missing, wrong, or lacks permission for this request."""


class OrganizationNotVerifiedError(ServiceError):
    """The image model is available only to verified organizations."""


class ConnectionLostError(ImageGenerationError):
    """No connection, or an answer that broke off. `.response_id` identifies the response, if it was already known.

    `.sent` is False if the request certainly did not reach the service.
    """

    def __init__(self, message: str, *, response_id: str | None = None, sent: bool = True) -> None:
        super().__init__(message)
        self.response_id = response_id
        self.sent = sent


class ImageTimeoutError(ImageGenerationError):
    """No answer in time. The service may still finish and bill the picture; `.response_id` identifies it, if known."""

    def __init__(self, message: str, *, response_id: str | None = None) -> None:
        super().__init__(message)
        self.response_id = response_id
