"""Requests and answers of the Images API (`/images/generations`) as pure functions of JSON.

This API keeps nothing: a picture's id is the digest of its bytes, and there is no revised prompt.
"""

from __future__ import annotations

import hashlib
from typing import Any

from langchain_imagegen.api.fields import Fields, Item
from langchain_imagegen.api.responses import read_image_usage
from langchain_imagegen.api.service_errors import read_error
from langchain_imagegen.errors import (
    ConnectionLostError,
    CorruptImageError,
    ImageGenerationError,
    NoImageError,
    OptionError,
)
from langchain_imagegen.images.image import GeneratedImage, Origin, ReadPartial, ReadPicture, with_tokens
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageFailure, ImageResult
from langchain_imagegen.images.usage import ResponseTokens

# Options of the tool that this API does not have (SDK 3.54, `ImageGenerateParams`).
MISSING = ("action", "input_fidelity")
EVENT = "image_generation."
_EARLY = "the stream ended within its last event; the picture had arrived whole"


def build_body(prompt: str, tool: Item, *, stream: bool = False) -> dict[str, Any]:
    """Return the body of `POST /images/generations` for a prompt and the options of `tool`.

    Raises:
        OptionError: only the hosted tool has one of the options.
    """
    options = {key: value for key, value in tool.items() if key != "type"}
    wrong = [
        f'api="images" has no option {name!r}; leave it out or use api="responses"'
        for name in MISSING
        if name in options
    ]
    if wrong:
        raise OptionError(*wrong)
    if not stream:
        options.pop("partial_images", None)
    return {"prompt": prompt, **options} | ({"stream": True} if stream else {})


def read_images(payload: Item, origin: Origin, picture: ReadPicture) -> ImageResult:
    """Return the pictures of an answer.

    Raises:
        ImageGenerationError: `data` holds no picture that can be read.
    """
    odd: list[str] = []
    fields = Fields(payload, odd)
    images, errors = [], []
    for entry in fields.objects("data"):
        try:
            images.append(_read(entry, payload, origin, picture, odd))
        except ImageGenerationError as error:
            errors.append(error)
    if images:
        failed = [f"a picture of this answer failed: {error}" for error in errors]
        image_usage = read_image_usage(fields, "usage")
        return ImageResult(
            images=with_tokens(images, ResponseTokens.of(image_usage, None, None, mainline=False)),
            image_usage=image_usage,
            failures=tuple(ImageFailure(message=str(error)) for error in errors),
            warnings=(*failed, *odd),
        )
    if payload.get("error"):
        raise read_error(payload["error"])
    raise errors[0] if errors else NoImageError("the Images API answered without a picture")


class ImagesStreamReader:
    """Reads the events of a streamed answer: partials at once, the finished picture at the end."""

    def __init__(self, origin: Origin, picture: ReadPicture, partial: ReadPartial) -> None:
        self.response: dict[str, Any] = {}
        self.ended = False
        self.delivered: frozenset[str] = frozenset()
        self.last_event: int | None = None  # events of this API have no numbers
        self._origin, self._picture, self._partial = origin, picture, partial

    def feed(self, event: Item) -> list[PartialImage]:
        """Return the partial picture of an event, if it has one."""
        kind = Fields(event).text("type") or ""
        if kind == f"{EVENT}partial_image":
            return self._read_partial(event)
        if kind == f"{EVENT}completed" or ("b64_json" in event and "partial_image_index" not in event):
            self.ended = True
            self.response = {**event, "created": event.get("created_at"), "data": [event]}
        elif kind == "error":
            self.ended = True
            self.response = {"error": event.get("error") or event}
        return []

    def forget_pictures(self) -> None:
        """Do nothing: this API cannot send the rest of a stream."""

    @property
    def failed(self) -> bool:
        """True if the service has reported an error or finished the picture."""
        return self.ended

    def result(self) -> ImageResult:
        """Return the finished picture.

        Raises:
            ConnectionLostError: the stream ended before the picture.
        """
        if not self.response:
            raise ConnectionLostError(
                "the stream ended before the picture was finished; this API keeps nothing to fetch it by"
            )
        result = read_images(self.response, self._origin, self._picture)
        return result if self.ended else result.model_copy(update={"warnings": (*result.warnings, _EARLY)})

    def _read_partial(self, event: Item) -> list[PartialImage]:
        """Return nothing for a corrupt one: the finished picture, which is paid for, is still to come."""
        try:
            data = self._partial(event.get("b64_json"))
        except CorruptImageError:
            return []
        fields = Fields(event)
        known = {
            "partial_image_index": fields.count("partial_image_index"),
            "output_format": fields.text("output_format"),
        }
        return [PartialImage.of(data, known, self._origin, id=f"sha256:{hashlib.sha256(data).hexdigest()}")]


def _read(entry: Item, payload: Item, origin: Origin, picture: ReadPicture, odd: list[str]) -> GeneratedImage:
    blob = picture(entry.get("b64_json") or entry.get("url"))
    fields = Fields(payload, odd)
    echo = {key: fields.text(key) for key in ("size", "quality", "background", "output_format")}
    return GeneratedImage.of(
        blob,
        id=f"sha256:{blob.sha256}",
        provider=origin.provider,
        prompt=origin.prompt,
        revised_prompt=Fields(entry, odd).text("revised_prompt"),
        action="generate",
        image_model=origin.image_model,
        stored=False,
        created_at=fields.time("created"),
        **echo,
    )
