"""Requests and answers of the Responses API as pure functions of JSON; `response_stream` reads its streams.

No bytes and no network: a picture is whatever `picture(value)` makes of the JSON value in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages.ai import UsageMetadata

from langchain_imagegen.api.fields import Fields
from langchain_imagegen.api.service_errors import read_error
from langchain_imagegen.errors import (
    ImageGenerationError,
    ModerationError,
    NoImageError,
    ServiceError,
)
from langchain_imagegen.images.image import GeneratedImage, Origin, ReadPicture, with_tokens
from langchain_imagegen.images.result import ImageFailure, ImageResult
from langchain_imagegen.images.usage import ImageUsage, ResponseTokens

CALL = "image_generation_call"

Item = Mapping[str, Any]

_AT_WORK = ("queued", "in_progress")


class UnfinishedError(NoImageError):
    """The service is still working on the response `.response_id`."""

    may_be_billed = True


# --- requests ---------------------------------------------------------------------------------------------------


def build_body(
    *,
    model: str,
    items: Sequence[Item],
    tool: Item,
    tool_choice: object,
    **optional: object,
) -> dict[str, Any]:
    """Return the body of `POST /responses`; fields of `optional` that are `None` are left out."""
    required = {"model": model, "input": _shortest(items), "tools": [tool], "tool_choice": tool_choice}
    return required | {key: value for key, value in optional.items() if value is not None}


def turn(role: str, text: str) -> dict[str, Any]:
    """Return a message of text alone."""
    return {"role": role, "content": text}


def user_turn(prompt: str, parts: Sequence[Item]) -> dict[str, Any]:
    """Return the user's message: the prompt, then the pictures in the order in which the prompt counts them."""
    text = [{"type": "input_text", "text": prompt}] if prompt else []
    return {"role": "user", "content": [*text, *parts]} if parts else turn("user", prompt)


def image_part(*, url: str | None = None, file_id: str | None = None) -> dict[str, Any]:
    """Return a picture as part of a message, by web address, data URL or file id."""
    return {"type": "input_image", "file_id": file_id} if file_id else {"type": "input_image", "image_url": url}


def mask_field(*, url: str | None = None, file_id: str | None = None) -> dict[str, Any]:
    """Return the tool's `input_image_mask`."""
    return {"file_id": file_id} if file_id else {"image_url": url}


def call_items(image: GeneratedImage, named: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return an earlier picture by id, preceded by the reasoning items it needs that are not yet `named`."""
    before = [{"type": "item_reference", "id": id} for id in image.companion_ids if id not in set(named)]
    return [*before, {"type": CALL, "id": image.id}]


def _shortest(items: Sequence[Item]) -> object:
    alone = items[0] if len(items) == 1 else {}
    return alone["content"] if isinstance(alone.get("content"), str) and alone["role"] == "user" else list(items)


# --- answers ----------------------------------------------------------------------------------------------------


def read_response(payload: Item, origin: Origin, picture: ReadPicture, *, warnings: Sequence[str] = ()) -> ImageResult:
    """Return the pictures of a response.

    Judged by what arrived, not by `status`: Azure leaves finished work at `generating`. A field of the wrong type is
    left out with a warning.

    Raises:
        ImageGenerationError: there is no picture; the error says why as far as the response does.
    """
    odd: list[str] = []
    images, failed = read_calls(payload, origin, picture, odd)
    errors = [error for _, error in failed]
    if not images:
        raise why_no_image(payload, errors)
    fields = Fields(payload, odd)
    usage, model = read_usage(payload.get("usage"), odd), fields.text("model")
    image_usage = read_image_usage(fields.inside("tool_usage"), "image_gen")
    return ImageResult(
        images=with_tokens(images, ResponseTokens.of(image_usage, usage, model)),
        text=text_of(payload, odd),
        response_id=fields.text("id"),
        model=model,
        usage=usage,
        image_usage=image_usage,
        failures=tuple(_failure(item, error) for item, error in failed),
        warnings=(*warnings, *(f"a picture of this response failed: {error}" for error in errors), *odd),
    )


def read_calls(
    payload: Item, origin: Origin, picture: ReadPicture, odd: list[str] | None = None
) -> tuple[list[GeneratedImage], list[tuple[Item, ImageGenerationError]]]:
    """Return the pictures of a response in order, and the image calls that gave none, each with the reason.

    Warnings about fields of the wrong type are added to `odd`.
    """
    odd = [] if odd is None else odd
    images, failed = [], []
    for call in _calls(Fields(payload, odd).objects("output")):
        try:
            images.append(_read_call(call, payload, origin, picture, odd))
        except ImageGenerationError as error:
            failed.append((call[0], error))
    return images, failed


def output_of(payload: Item) -> list[Item]:
    """Return the output items of a response; what is no object, as a broken proxy may send, is passed over."""
    return Fields(payload).objects("output")


def text_of(payload: Item, odd: list[str] | None = None) -> str:
    """Return what the model wrote in a response, refusals included."""
    messages = (item for item in output_of(payload) if item.get("type") == "message")
    parts = (Fields(part, odd) for message in messages for part in Fields(message, odd).objects("content"))
    return "".join(part.text("text") or part.text("refusal") or "" for part in parts)


def why_no_image(payload: Item, errors: Sequence[ImageGenerationError] = ()) -> ImageGenerationError:
    """Return the error for a response without a picture."""
    text, id = text_of(payload), Fields(payload).text("id")
    if payload.get("error"):
        return read_error(payload["error"])
    if errors:
        return errors[0]
    if payload.get("status") in _AT_WORK and not text:
        return UnfinishedError("the service has not finished this response", response_id=id)
    if payload.get("status") == "cancelled":
        return NoImageError("the response was cancelled before its picture was finished", response_id=id)
    if payload.get("status") == "incomplete":
        reason = Fields(payload).inside("incomplete_details").text("reason")
        return _incomplete(reason or "unknown", text, id)
    if text:
        advice = "say in the prompt that it should draw, or force the tool with tool_choice"
        return NoImageError(
            f"the model answered with text and drew nothing: {text!r}; {advice}", text=text, response_id=id
        )
    others = ", ".join(sorted({str(item.get("type", "?"))[:40] for item in output_of(payload)})) or "nothing"
    return NoImageError(f"the response holds no picture but {others}; force the tool with tool_choice", response_id=id)


def read_usage(usage: object, odd: list[str] | None = None) -> UsageMetadata | None:
    """Return the mainline model's tokens as LangChain counts them."""
    if not usage:
        return None
    fields = Fields({"usage": usage}, odd).inside("usage")
    cached = fields.inside("input_tokens_details").count("cached_tokens") or 0
    reasoning = fields.inside("output_tokens_details").count("reasoning_tokens") or 0
    return UsageMetadata(
        input_tokens=fields.count("input_tokens") or 0,
        output_tokens=fields.count("output_tokens") or 0,
        total_tokens=fields.count("total_tokens") or 0,
        input_token_details={"cache_read": cached},
        output_token_details={"reasoning": reasoning},
    )


def read_image_usage(outer: Fields, name: str) -> ImageUsage | None:
    """Return the image model's tokens; `None` if the service does not tell them, which is not zero."""
    usage = outer.inside(name)
    counts = {key: usage.count(key) for key in ("input_tokens", "output_tokens", "total_tokens")}
    if all(count is None for count in counts.values()):
        return None
    return ImageUsage(
        **{key: count or 0 for key, count in counts.items()},
        input_token_details=usage.counts("input_tokens_details") | usage.counts("cached_tokens_details"),
        output_token_details=usage.counts("output_tokens_details"),
    )


def _calls(output: Iterable[Item]) -> Iterable[tuple[Item, tuple[str, ...]]]:
    """Yield each image call of a response with the ids of the reasoning that stands before it."""
    reasoning: tuple[str, ...] = ()
    previous = None
    for item in output:
        fields = Fields(item)
        kind = fields.text("type") or (CALL if item.get("result") else None)  # an answer may break off before the type
        id = fields.text("id")
        if kind == "reasoning" and id:
            reasoning = (*(reasoning if previous == "reasoning" else ()), id)
        elif kind == CALL:
            for one in _one_picture_each(item):
                yield one, reasoning
        else:
            reasoning = ()
        previous = kind


def _one_picture_each(item: Item) -> Iterable[Item]:
    """Yield the item, or one for each picture of a gateway that puts a list of them into `result`."""
    result = item.get("result")
    if not isinstance(result, list) or not all(isinstance(value, (str, Mapping)) for value in result):
        yield item
        return
    for number, value in enumerate(result):
        yield {key: item[key] for key in item if key != "id" or number == 0} | {"result": value}


def _read_call(
    call: tuple[Item, tuple[str, ...]], payload: Item, origin: Origin, picture: ReadPicture, odd: list[str]
) -> GeneratedImage:
    item, companions = call
    if not item.get("result"):
        raise _item_error(item)
    blob = picture(item["result"])
    fields, response = Fields(item, odd), Fields(payload, odd)
    tools = response.objects("tools")
    echo: Item = next((tool for tool in tools if tool.get("type") == "image_generation"), {})
    stored = response.flag("store")
    return GeneratedImage.of(
        blob,
        id=fields.text("id") or f"sha256:{blob.sha256}",
        provider=origin.provider,
        prompt=origin.prompt,
        revised_prompt=fields.text("revised_prompt") or fields.text("prompt"),  # xAI calls it `prompt`
        **{name: fields.text(name) for name in ("action", "size", "quality", "background", "output_format")},
        image_model=Fields(echo, odd).text("model") or origin.image_model,
        response_id=response.text("id"),
        parents=origin.parents,
        companion_ids=companions,
        stored=origin.stored if stored is None else stored,
        created_at=response.time("created_at"),
    )


def _item_error(item: Item) -> ImageGenerationError:
    if item.get("error"):
        return read_error(item["error"])
    fields = Fields(item)
    error = NoImageError(f"the image call {fields.text('id')} ended as {fields.text('status')!r} without a picture")
    error.may_be_billed = True
    return error


def _failure(item: Item, error: ImageGenerationError) -> ImageFailure:
    refusal = error if isinstance(error, ModerationError) else None
    code = error.code if isinstance(error, ServiceError) else Fields(item).inside("error").text("code")
    return ImageFailure(
        id=Fields(item).text("id"),
        message=str(error),
        code=code,
        stage=refusal.stage if refusal else None,
        categories=tuple(refusal.categories) if refusal else (),
    )


def _incomplete(reason: str, text: str, id: str | None) -> ImageGenerationError:
    if reason == "content_filter":
        return ModerationError("the content filter stopped the answer: change what is asked for", stage="output")
    advice = {"max_output_tokens": "; allow more output tokens or ask for less text"}.get(reason, "")
    return NoImageError(f"the response stopped before a picture ({reason}){advice}", text=text, response_id=id)
