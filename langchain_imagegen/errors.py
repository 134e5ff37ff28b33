"""Every error of the package; nothing else, so that any module may import it.

ImageGenerationError
├── OptionError (also a ValueError)        an option or input that can never work
├── NoImageError                           the answer holds no picture; `.text` says what it holds instead
├── ModerationError                        the safety system refused; `.stage`, `.categories`
├── UnknownImageError                      a reference names no image; `.known` lists the handles there are
├── CorruptImageError                      the picture's data cannot be read as a picture
├── ImageFetchError                        the service gave a web address that cannot be fetched; `.url`
├── ImageStoreError                        the bytes cannot be written, found or trusted
├── ServiceError                           the service answered with an error; `.status`, `.code`, …
│   ├── RateLimitError                     too many requests; `.retry_after` in seconds where known
│   ├── QuotaError                         the account has no credit left; waiting does not help
│   ├── AuthenticationError                the key is missing or wrong
│   └── OrganizationNotVerifiedError       the image model wants a verified organization
├── ConnectionLostError                    no answer, or one that broke off; `.response_id` where known
└── ImageTimeoutError                      no answer in time; `.response_id` where known

Each message says what is wrong and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence


class ImageGenerationError(Exception):
    """Base of every error that this package raises on purpose."""


class OptionError(ImageGenerationError, ValueError):
    """An option, a combination of options or an input that can never work.

    Args:
        problems: Each problem in a sentence: the value as written, and what is accepted.

    If the service refused it, `.code`, `.param` and `.request_id` are the service's own words.
    """

    code: str | None = None
    param: str | None = None
    request_id: str | None = None

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class NoImageError(ImageGenerationError):
    """The service answered without a picture; `.text` is what the model said instead."""

    def __init__(self, message: str, *, text: str = "", response_id: str | None = None) -> None:
        super().__init__(message)
        self.text = text
        self.response_id = response_id


class ModerationError(ImageGenerationError):
    """The safety system refused the prompt or the picture.

    `.stage` is `"input"`, `"output"` or `"unknown"`; `.categories` are the service's own words and open-ended.
    """

    def __init__(self, message: str, *, stage: str = "unknown", categories: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.stage = stage
        self.categories = list(categories)


class UnknownImageError(ImageGenerationError):
    """A reference that names no known image, or more than one; `.known` lists the handles there are."""

    def __init__(self, message: str, *, known: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.known = list(known)


class CorruptImageError(ImageGenerationError):
    """Data that was said to be a picture and is not one, or is cut, or is larger than allowed."""


class ImageFetchError(ImageGenerationError):
    """The picture was drawn and lies at `.url`, but could not be fetched from there."""

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url


class ImageStoreError(ImageGenerationError):
    """A picture's bytes cannot be written, are not found, or do not match their digest.

    `.location` is the folder or URL of the store. The message leaves local folders out, since chat models read it;
    tracebacks show them as a note.
    """

    def __init__(self, message: str, *, location: str | None = None) -> None:
        super().__init__(message)
        self.location = location
        if location and location not in message:
            self.add_note(f"image store: {location}")


class ServiceError(ImageGenerationError):
    """The service answered with an error.

    `.status` is the HTTP status (`None` inside a stream), `.code` the service's own word, `.request_id` what its
    support asks for, `.retry_after` the delay in seconds that it asked for, `.retryable` what it says of trying again
    (`None`: nothing), `.own` whether the body was the service's JSON error object and not, say, a gateway's page.
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
    """Too many requests or images a minute; `.retry_after` says how long to wait where the service told."""


class QuotaError(ServiceError):
    """The account or project has no credit left; waiting does not help."""


class AuthenticationError(ServiceError):
    """The API key is missing, wrong, or not allowed to do this."""


class OrganizationNotVerifiedError(ServiceError):
    """The image model is open to verified organizations only."""


class ConnectionLostError(ImageGenerationError):
    """No connection, or an answer that broke off; `.response_id` is what to ask for where it was already known."""

    def __init__(self, message: str, *, response_id: str | None = None, sent: bool = True) -> None:
        super().__init__(message)
        self.response_id = response_id
        self.sent = sent


class ImageTimeoutError(ImageGenerationError):
    """No answer in time; the service may still finish and bill the picture, as `.response_id` where known."""

    def __init__(self, message: str, *, response_id: str | None = None) -> None:
        super().__init__(message)
        self.response_id = response_id
