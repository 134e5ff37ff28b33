"""Requests and answers of the Responses API as pure functions of JSON; the Images API stands in `wire_images`.

No bytes and no network: a picture is whatever `picture(value)` makes of the JSON value in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages.ai import UsageMetadata

from langchain_imagegen.api.service_errors import read_error
from langchain_imagegen.errors import (
    ConnectionLostError,
    CorruptImageError,
    ImageGenerationError,
    ModerationError,
    NoImageError,
    ServiceError,
)
from langchain_imagegen.images.image import GeneratedImage, Origin, PartialImage, ReadPartial, ReadPicture
from langchain_imagegen.images.result import ImageFailure, ImageResult, ImageUsage

CALL = "image_generation_call"

Item = Mapping[str, Any]


# --- requests ---------------------------------------------------------------------------------------------------


def build_body(
    *,
    model: str,
    items: Sequence[Item],
    tool: Item,
    tool_choice: object,
    **optional: object,
) -> dict[str, Any]:
    """The body of `POST /responses`; what is `None` in `optional` is left out."""
    required = {"model": model, "input": _shortest(items), "tools": [tool], "tool_choice": tool_choice}
    return required | {key: value for key, value in optional.items() if value is not None}


def turn(role: str, text: str) -> dict[str, Any]:
    """A message of text alone."""
    return {"role": role, "content": text}


def user_turn(prompt: str, parts: Sequence[Item]) -> dict[str, Any]:
    """The user's message: the prompt, then the pictures in the order in which it names them."""
    text = [{"type": "input_text", "text": prompt}] if prompt else []
    return {"role": "user", "content": [*text, *parts]} if parts else turn("user", prompt)


def image_part(*, url: str | None = None, file_id: str | None = None) -> dict[str, Any]:
    """A picture as part of a message, by web address, data URL or file id."""
    return {"type": "input_image", "file_id": file_id} if file_id else {"type": "input_image", "image_url": url}


def mask_field(*, url: str | None = None, file_id: str | None = None) -> dict[str, Any]:
    """The tool's `input_image_mask`."""
    return {"file_id": file_id} if file_id else {"image_url": url}


def call_items(image: GeneratedImage, named: Iterable[str] = ()) -> list[dict[str, Any]]:
    """An earlier picture by id, behind the reasoning it needs beside it unless that is already `named`."""
    before = [{"type": "item_reference", "id": id} for id in image.companion_ids if id not in set(named)]
    return [*before, {"type": CALL, "id": image.id}]


def _shortest(items: Sequence[Item]) -> object:
    alone = items[0] if len(items) == 1 else {}
    return alone["content"] if isinstance(alone.get("content"), str) and alone["role"] == "user" else list(items)


# --- answers ----------------------------------------------------------------------------------------------------


def read_response(payload: Item, origin: Origin, picture: ReadPicture) -> ImageResult:
    """The pictures of a response.

    Judged by what arrived, not by `status`: Azure leaves finished work at `generating`.

    Raises:
        ImageGenerationError: there is no picture; the error says why as far as the response does.
    """
    images, failed = read_calls(payload, origin, picture)
    errors = [error for _, error in failed]
    if not images:
        raise why_no_image(payload, errors)
    return ImageResult(
        images=tuple(images),
        text=text_of(payload),
        response_id=payload.get("id"),
        model=payload.get("model"),
        usage=read_usage(payload.get("usage")),
        image_usage=ImageUsage.of((payload.get("tool_usage") or {}).get("image_gen")),
        failures=tuple(_failure(item, error) for item, error in failed),
        warnings=tuple(f"a picture of this response failed: {error}" for error in errors),
    )


def read_calls(
    payload: Item, origin: Origin, picture: ReadPicture
) -> tuple[list[GeneratedImage], list[tuple[Item, ImageGenerationError]]]:
    """The pictures of a response in order, and the image calls that gave none, each with the reason."""
    images, failed = [], []
    for item, companions in _calls(output_of(payload)):
        try:
            images.append(_read_call(item, companions, payload, origin, picture))
        except ImageGenerationError as error:
            failed.append((item, error))
    return images, failed


def output_of(payload: Item) -> list[Item]:
    """The output items of a response; what is none, as a broken proxy may send, is passed over."""
    return _objects(payload.get("output"))


def text_of(payload: Item) -> str:
    """What the model wrote in a response, refusals included."""
    messages = (item for item in output_of(payload) if item.get("type") == "message")
    parts = (part for message in messages for part in _objects(message.get("content")))
    return "".join(part.get("text") or part.get("refusal") or "" for part in parts)


def _objects(value: object) -> list[Item]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def why_no_image(payload: Item, errors: Sequence[ImageGenerationError] = ()) -> ImageGenerationError:
    """The error for a response without a picture."""
    text, id = text_of(payload), payload.get("id")
    if payload.get("error"):
        return read_error(payload["error"])
    if errors:
        return errors[0]
    if payload.get("status") == "incomplete":
        return _incomplete((payload.get("incomplete_details") or {}).get("reason") or "unknown", text, id)
    if text:
        advice = "say in the prompt that it should draw, or force the tool with tool_choice"
        return NoImageError(
            f"the model answered with text and drew nothing: {text!r}; {advice}", text=text, response_id=id
        )
    others = ", ".join(sorted({str(item.get("type", "?")) for item in output_of(payload)})) or "nothing"
    return NoImageError(f"the response holds no picture but {others}; force the tool with tool_choice", response_id=id)


def read_usage(usage: Item | None) -> UsageMetadata | None:
    """The mainline model's tokens as LangChain counts them."""
    if not usage:
        return None
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0
    reasoning = (usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0
    return UsageMetadata(
        input_tokens=usage.get("input_tokens") or 0,
        output_tokens=usage.get("output_tokens") or 0,
        total_tokens=usage.get("total_tokens") or 0,
        input_token_details={"cache_read": cached},
        output_token_details={"reasoning": reasoning},
    )


def _calls(output: Iterable[Item]) -> Iterable[tuple[Item, tuple[str, ...]]]:
    """Each image call of a response with the ids of the reasoning that stands before it."""
    reasoning: tuple[str, ...] = ()
    previous = None
    for item in output:
        kind = item.get("type") or (CALL if item.get("result") else None)  # an answer may break off before the type
        if kind == "reasoning" and item.get("id"):
            reasoning = (*(reasoning if previous == "reasoning" else ()), item["id"])
        elif kind == CALL:
            yield item, reasoning
        else:
            reasoning = ()
        previous = kind


def _read_call(
    item: Item, companions: tuple[str, ...], payload: Item, origin: Origin, picture: ReadPicture
) -> GeneratedImage:
    if not item.get("result"):
        raise _item_error(item)
    blob = picture(item["result"])
    echo: Item = next((tool for tool in payload.get("tools") or () if tool.get("type") == "image_generation"), {})
    stored = payload.get("store")
    return GeneratedImage.of(
        blob,
        id=item.get("id") or f"sha256:{blob.sha256}",
        provider=origin.provider,
        prompt=origin.prompt,
        revised_prompt=item.get("revised_prompt") or item.get("prompt"),  # xAI calls it `prompt`
        action=item.get("action"),
        size=item.get("size"),
        quality=item.get("quality"),
        background=item.get("background"),
        output_format=item.get("output_format"),
        image_model=echo.get("model") or origin.image_model,
        response_id=payload.get("id"),
        parents=origin.parents,
        companion_ids=companions,
        stored=origin.stored if stored is None else stored,
        created_at=payload.get("created_at"),
    )


def _item_error(item: Item) -> ImageGenerationError:
    if item.get("error"):
        return read_error(item["error"])
    return NoImageError(f"the image call {item.get('id')} ended as {item.get('status')!r} without a picture")


def _failure(item: Item, error: ImageGenerationError) -> ImageFailure:
    told = error if isinstance(error, ModerationError) else None
    code = error.code if isinstance(error, ServiceError) else (item.get("error") or {}).get("code")
    return ImageFailure(
        id=item.get("id"),
        message=str(error),
        code=code,
        stage=told.stage if told else None,
        categories=tuple(told.categories) if told else (),
    )


def _incomplete(reason: str, text: str, id: str | None) -> ImageGenerationError:
    if reason == "content_filter":
        return ModerationError("the content filter stopped the answer: change what is asked for", stage="output")
    advice = {"max_output_tokens": "; allow more output tokens or ask for less text"}.get(reason, "")
    return NoImageError(f"the response stopped before a picture ({reason}){advice}", text=text, response_id=id)


# --- streams ----------------------------------------------------------------------------------------------------


class StreamReader:
    """Reads the events of a streamed response: partial pictures at once, the result at the end."""

    TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

    def __init__(self, origin: Origin, picture: ReadPicture, partial: ReadPartial) -> None:
        self.response: dict[str, Any] = {}
        self.ended = False
        self._origin, self._picture, self._partial = origin, picture, partial
        self._done: dict[str, Item] = {}
        self._finished: dict[str, Item] = {}
        self._closed = False
        self._error: Item | None = None

    @property
    def delivered(self) -> frozenset[str]:
        """Ids of the pictures that have arrived whole."""
        return frozenset(id for id, item in self._done.items() if item.get("result"))

    def feed(self, event: Item) -> list[PartialImage]:
        """The partial picture of an event, if it has one; events of unknown types are passed over."""
        kind = event.get("type", "")
        if kind == "response.image_generation_call.partial_image":
            return self._read_partial(event)
        if kind == "response.output_item.done":
            item = event.get("item") or {}
            self._done[item.get("id") or f"#{len(self._done)}"] = item
        elif kind == "error":
            error = event.get("error") or event
            self._error = error if isinstance(error, Mapping) else {"message": error}
        elif isinstance(event.get("response"), Mapping):
            self.response = dict(event["response"])
            self.ended = self._closed = kind in self.TERMINAL
        return []

    def result(self) -> ImageResult:
        """The result, also of a stream that ended early but had delivered a picture.

        Raises:
            ImageGenerationError: no picture arrived.
        """
        payload = self.response | {"output": self._output()}
        if self._error and not payload.get("error"):
            payload["error"] = self._error
        try:
            result = read_response(payload, self._origin, self._picture)
        except CorruptImageError:
            raise
        except ImageGenerationError as error:
            raise error if self.ended or payload.get("error") else self._cut() from error
        return result if self.ended and not payload.get("error") else self._early(result, payload.get("error"))

    def _output(self) -> list[Item]:
        """The final items; those with pictures as they first arrived, since later copies are not kept."""
        last = {item.get("id"): item for item in output_of(self.response)}
        kept = [self._done.get(id or "", item) for id, item in last.items()]
        extra = self._done if self._closed or self._error else {**self._finished, **self._done}
        return [*kept, *(item for id, item in extra.items() if id not in last)]

    def _read_partial(self, event: Item) -> list[PartialImage]:
        """None for a corrupt one: the finished picture is still to come, and is paid for."""
        try:
            data = self._partial(event.get("partial_image_b64"))
        except CorruptImageError:
            return []
        partial = PartialImage.of(data, event, self._origin, id=event.get("item_id") or "")
        if partial.final:  # if the stream breaks off here, the picture was delivered all the same
            self._finished[partial.id] = {**event, "type": CALL, "id": partial.id, "result": event["partial_image_b64"]}
        return [partial]

    def _cut(self) -> ConnectionLostError:
        id = self.response.get("id")
        found = f"; it may be found as response {id!r}" if id else ""
        return ConnectionLostError(f"the stream ended before a picture had arrived{found}", response_id=id)

    def _early(self, result: ImageResult, error: Item | None) -> ImageResult:
        why = f"with the error {error.get('message')!r}" if error else "without its closing event"
        told = f"the stream ended {why}; the pictures had arrived whole"
        return result.model_copy(update={"warnings": (*result.warnings, told)})
