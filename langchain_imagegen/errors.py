"""Every error of the package. Nothing else is defined here, so that any module may import it.

                                           retry   billed
ImageGenerationError (a RuntimeError)
├── OptionError (also a ValueError)           no      no     an option or input can never work
│   └── OptionRefusedError                    no      no     the service rejected an option or input
├── NoImageError                              no      ¹      the answer has no picture; `.text` is what the model wrote
├── ModerationError                           no      ²      the safety system refused; `.stage`, `.categories`
├── UnknownImageError                         no      no     a reference matches no image, or several; `.known`
├── CorruptImageError                         no      ³      the data is not a picture, is truncated or is too large
├── ImageFetchError                           no      yes    a web address from the service cannot be fetched; `.url`
├── ImageStoreError                           no      ³      bytes cannot be written, are missing or altered; `.result`
├── RefusedError                              no      no     the application refused a chat model's call
│   └── LimitError                            no      no     the call would exceed a limit on pictures or dollars
├── ServiceError                              no      yes    the service answered with an error; `.status`, `.code`, …
│   ├── InvalidRequestError                   no      no     the request as sent cannot work
│   │   └── ModelNotFoundError                no      no     the model does not exist, or is not open to the account
│   ├── RateLimitError                        yes     no     too many requests; `.retry_after` in seconds if known
│   ├── QuotaError                            no      no     the account has no credit left; waiting does not help
│   ├── AuthenticationError                   no      no     the key is missing, wrong or lacks permission
│   ├── OrganizationNotVerifiedError          no      no     the image model requires a verified organization
│   ├── ServiceUnavailableError               yes     no     the service itself reports that it is overloaded or failed
│   └── GatewayError                          no      yes    a gateway answered for the service, which may have drawn
├── ConnectionLostError                       no      yes    no answer, or a truncated one; `.response_id` if known
│   └── NotConnectedError                     yes     no     there was no connection, so nothing was sent
└── ImageTimeoutError                         no      yes    no answer in time; `.response_id` if known

retry: `.retryable`. The request certainly drew nothing, and the same request may work later. `retry_on` holds the
    classes with "yes".
billed: `.may_be_billed`. A picture may have been drawn and billed. `drew_nothing` holds the classes with "no".
¹ True if the answer has an image call without a picture and without a reason. ² False if the stage is `"input"`.
³ True if the picture came in an answer, False if it is one of your own.

Each message says what is wrong and what to do about it. All are `RuntimeError`s because LangGraph's default retry
policy runs a node again after most other exceptions, which would buy a second picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any


class ImageGenerationError(RuntimeError):
    """Base class of every error that this package raises deliberately.

    `.retryable`: the request certainly drew nothing, and the same request may work later. `.may_be_billed`: a picture
    may have been drawn and billed. No error is both. `.response_id` is the service's id of the response, if it is
    known: `ImageGenerator.resume` fetches it again. `.partials` are the partial pictures (`PartialImage`) that had
    arrived and were asked for.
    """

    retryable: bool = False
    may_be_billed: bool = False
    response_id: str | None = None
    partials: Sequence[Any] = ()
    last_event: int | None = None
    """The number of the last event of a stream that had arrived whole."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Return what a notebook shows of the error: what is wrong, what can be done, and the partial pictures."""
        del include, exclude
        message, *facts = self._lines()
        lines = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
        pictures = "".join(_html_of(partial) for partial in self.partials)
        title = f"<p><b>{escape(type(self).__name__)}</b>: {escape(message)}</p>"
        return {"text/plain": self._text(), "text/html": f"<div>{title}<ul>{lines}</ul>{pictures}</div>"}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001 - IPython calls it so
        """Print the error as IPython's terminal shows it."""
        del cycle
        printer.text(self._text())

    def _text(self) -> str:
        message, *facts = self._lines()
        return "\n".join([f"{type(self).__name__}: {message}", *(f"- {fact}" for fact in facts)])

    def _lines(self) -> list[str]:
        """Return the message, or how many problems there are, and a line for each of them and for each fact."""
        problems = getattr(self, "problems", ())
        message = [f"{len(problems)} problems", *problems] if len(problems) > 1 else [str(self)]
        return [*message, *self._facts()]

    def _facts(self) -> list[str]:
        """Return a line for each thing that is known besides the message."""
        names = ("stage", "categories", "status", "code", "request_id", "response_id", "retry_after", "known", "text")
        known = {name: value for name in names if (value := getattr(self, name, None))}
        texts = {name: ", ".join(map(str, v)) if isinstance(v, (list, tuple)) else str(v) for name, v in known.items()}
        facts = [f"{name.replace('_', ' ')}: {value[:500]}" for name, value in texts.items()]
        if self.retryable:
            return [*facts, "nothing was billed, and the same request may work later"]
        if self.may_be_billed:
            return [*facts, "a picture may have been drawn and billed; sending the request again may buy another"]
        return [*facts, "nothing was billed"]


def _html_of(partial: Any) -> str:
    """Return a partial picture as HTML."""
    bundle = partial._repr_mimebundle_()
    kind = next((name for name in bundle if name.startswith("image/")), None)
    if kind is None:
        return str(bundle.get("text/html", ""))
    return f'<img alt="a partial picture" src="data:{kind};base64,{bundle[kind]}" style="max-width:256px"/>'


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


class OptionRefusedError(OptionError):
    """The service rejected an option or input. Another image model may accept it; nothing was drawn."""


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
        self.may_be_billed = stage != "input"
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

    may_be_billed = True

    def __init__(self, message: str, *, url: str = "") -> None:
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
        self.may_be_billed = result is not None
        self.result = result  # an `ImageResult` or None; nothing can be imported here
        if location and location not in message:
            self.add_note(f"image store: {location}")


class RefusedError(ImageGenerationError):
    """The application refused what a chat model asked for: an `around_image` function raised an error.

    The error is its `__cause__`. `.may_be_billed` is True if the function raised it after it had drawn a picture.
    """


class LimitError(RefusedError):
    """The call would exceed `max_images` or `max_cost`, and was not sent. The message tells the chat model what to do.

    Args:
        message: Which limit is reached.
        limit: `"max_images"` or `"max_cost"`.
        scope: `"run"` or `"thread"`.
    """

    def __init__(self, message: str, *, limit: str = "max_images", scope: str = "run") -> None:
        super().__init__(message)
        self.limit = limit
        self.scope = scope


class ServiceError(ImageGenerationError):
    """The service answered with an error.

    An error without a class of its own may have been billed: for example, a response that failed after it had begun.

    Args:
        message: What is wrong and what to do.
        status: The HTTP status; None if the error arrived inside a stream.
        code: The service's error code.
        request_id: The id to quote to the service's support.
        retry_after: Seconds to wait before a retry, as the service requested.
        own: True if the body was the service's JSON error object, False if it was, say, a gateway's error page.
    """

    may_be_billed = True

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        own: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.own = own


class InvalidRequestError(ServiceError):
    """The request as sent cannot work; nothing was drawn."""

    may_be_billed = False


class ModelNotFoundError(InvalidRequestError):
    """The mainline or image model does not exist, or is not open to the account; nothing was drawn."""


class RateLimitError(ServiceError):
    """Too many requests or images per minute. `.retry_after` is the number of seconds to wait, or None if unknown."""

    retryable = True
    may_be_billed = False


class QuotaError(ServiceError):
    """The account or project has no credit left; waiting does not help."""

    may_be_billed = False


class AuthenticationError(ServiceError):
    """The API key is missing, wrong, or lacks permission for this request."""

    may_be_billed = False


class OrganizationNotVerifiedError(ServiceError):
    """The image model is available only to verified organizations."""

    may_be_billed = False


class ServiceUnavailableError(ServiceError):
    """The service itself reports that it is overloaded or failed, before it drew anything.

    It is a 5xx with the service's own JSON error, except 502, 504 and 524, which gateways send, or any error with the
    header `x-should-retry: true`.
    """

    retryable = True
    may_be_billed = False


class GatewayError(ServiceError):
    """A gateway or proxy answered in place of the service, which may have drawn and billed the picture."""


class ConnectionLostError(ImageGenerationError):
    """No answer, or one that broke off. `.response_id` identifies the response, if it was already known.

    `.sent` is False if the request certainly did not reach the service, which only `NotConnectedError` says.
    """

    may_be_billed = True
    sent: bool = True

    def __init__(self, message: str, *, response_id: str | None = None) -> None:
        super().__init__(message)
        self.response_id = response_id


class NotConnectedError(ConnectionLostError):
    """There was no connection to the service, so nothing was sent, drawn or billed."""

    retryable = True
    may_be_billed = False
    sent = False


class ImageTimeoutError(ImageGenerationError):
    """No answer in time. The service may still finish and bill the picture; `.response_id` identifies it, if known."""

    may_be_billed = True

    def __init__(self, message: str, *, response_id: str | None = None) -> None:
        super().__init__(message)
        self.response_id = response_id


retry_on: tuple[type[ImageGenerationError], ...] = (RateLimitError, ServiceUnavailableError, NotConnectedError)
"""The errors after which the same request may be sent again: it certainly drew nothing, and may work later.

For LangGraph's `RetryPolicy(retry_on=retry_on)` and LangChain's `with_retry(retry_if_exception_type=retry_on)`.
"""

drew_nothing: tuple[type[ImageGenerationError], ...] = (
    OptionError,
    UnknownImageError,
    InvalidRequestError,
    RateLimitError,
    QuotaError,
    AuthenticationError,
    OrganizationNotVerifiedError,
    ServiceUnavailableError,
    NotConnectedError,
)
"""The errors after which certainly no picture was drawn or billed, so that another generator may be tried.

For `with_fallbacks([…], exceptions_to_handle=drew_nothing)`.
"""
