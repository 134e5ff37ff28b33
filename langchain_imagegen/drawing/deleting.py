"""Delete a response at the service: which one is meant, and what its answer says. The generator sends the request."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from langchain_imagegen.errors import OptionError, ServiceError
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.result import ImageResult


class RemoteDeletion:
    """The deletion of one response. Use it in a `with` statement, in which it is no error if there is no such response.

    Args:
        image: An image, a result or the id of a response.
        provider: The host that the request goes to.

    Raises:
        OptionError: it is none of these, or another service drew it.
    """

    def __init__(self, image: GeneratedImage | ImageResult | str, provider: str) -> None:
        self.response_id = _response_of(image)
        self.done = False
        drawn_by = {each.provider for each in _images_of(image)} - {"", provider}
        if drawn_by:
            raise OptionError(
                f"the image was drawn by {min(drawn_by)}, and this ImageGenerator talks to {provider}: delete it with "
                "a generator that has the base_url of that service"
            )

    def send(self, client: Any) -> Any:
        """Send the request with a client of the SDK, and return what it returns: an awaitable of an async client."""
        self.done = True
        return client.responses.delete(self.response_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.done = self.done and error is None
        return isinstance(error, ServiceError) and _is_missing(error)


def _is_missing(error: ServiceError) -> bool:
    """Return True if the service knows no such response; a 404 for a wrong base URL says something else."""
    return error.status == 404 and error.own and "invalid url" not in str(error).lower()


def _response_of(image: object) -> str | None:
    if isinstance(image, (GeneratedImage, ImageResult)):
        return image.response_id
    if isinstance(image, str) and image.startswith("resp"):
        return image
    raise OptionError(
        f"delete_remote({str(image)[:40]!r}) names no response: give an image (result.image, memory['last']), a result "
        "or the id of a response (resp_…)"
    )


def _images_of(image: object) -> tuple[GeneratedImage, ...]:
    if isinstance(image, ImageResult):
        return image.images
    return (image,) if isinstance(image, GeneratedImage) else ()
