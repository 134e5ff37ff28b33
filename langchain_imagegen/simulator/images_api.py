"""The Images API: generations and edits, as JSON or as a stream. This API stores nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_imagegen.simulator.errors import (
    ApiError,
    UnreadablePictureError,
    invalid_image_file,
    invalid_value,
    missing_parameter,
    unknown_parameter,
)
from langchain_imagegen.simulator.faults import Event, Fault
from langchain_imagegen.simulator.image_rules import check_options
from langchain_imagegen.simulator.pictures import Picture, Studio, image_usage, order_picture
from langchain_imagegen.simulator.plans import Order, Plan
from langchain_imagegen.simulator.storage import Account
from langchain_imagegen.simulator.uploads import Field, edit_image, is_picture, read_source

_FIELDS = {
    "prompt", "model", "n", "size", "quality", "complexity", "background", "output_format", "svg", "style",
    "output_compression", "moderation", "partial_images", "frame_count", "frame_duration_ms", "stream",
    "user", "safety_identifier",
}  # fmt: skip
_EDIT_FIELDS = _FIELDS | {"image", "images", "mask", "markup", "input_fidelity"}
_NUMBERS = {"n", "output_compression", "partial_images", "frame_count", "frame_duration_ms"}


@dataclass(frozen=True)
class ImagesCall:
    """A checked call of the Images API, with its options and the bytes of its pictures."""

    options: Mapping[str, Any]
    sources: tuple[bytes, ...] = ()
    mask: bytes | None = None
    edit: bool = False
    params: Mapping[str, str] = field(default_factory=dict)
    """The request parameter of each picture, by the `place` of `UnreadablePictureError`."""

    @property
    def streamed(self) -> bool:
        """Whether the request asks for an event stream."""
        return bool(self.options.get("stream"))

    def plan(self) -> Plan:
        """Return a plan with `n` pictures."""
        prompt, count = str(self.options["prompt"]), self.options.get("n") or 1
        order = replace(order_picture(self.options, prompt, sources=self.sources), mask=self.mask)
        others = [replace(order, prompt=f"{prompt} ({k} of {count})") for k in range(2, count + 1)]
        return Plan(pictures=(order, *others))


def read_generation(body: Any) -> ImagesCall:
    """Return the call in a body of `POST /images/generations`. Raise the service's 400 if it breaks a rule."""
    options = _check_body(body, _FIELDS)
    return ImagesCall(options)


def read_json_edit(body: Any, account: Account) -> ImagesCall:
    """Return the call in a JSON body of `POST /images/edits`. Its pictures are URLs or file ids."""
    options = _check_body(body, _EDIT_FIELDS)
    given = options.get("images") or []
    params = [_picture_param(image, f"images[{n}]") for n, image in enumerate(given)]
    sources = tuple(_read_picture(*each, account) for each in zip(given, params, strict=True))
    if (mask := options.get("mask")) is None:
        return _make_edit(options, sources, None, params)
    param = _picture_param(mask, "mask")
    return _make_edit(options, sources, _read_picture(mask, param, account), params, mask_param=param)


def _picture_param(image: Any, place: str) -> str:
    if not isinstance(image, dict):
        raise invalid_value(place, f"Invalid type for '{place}': expected an object.")
    return f"{place}.{'file_id' if 'file_id' in image else 'image_url'}"


def _read_picture(image: Mapping[str, Any], param: str, account: Account) -> bytes:
    data = read_source(image, account, param)
    if is_picture(data):
        return data
    raise invalid_image_file(param)


def read_multipart_edit(fields: Sequence[Field]) -> ImagesCall:
    """Return the call in a multipart body of `POST /images/edits`. Its pictures are files."""
    images = [field for field in fields if field.name in {"image", "image[]"}]
    masks = [field for field in fields if field.name == "mask"]
    names = {"image", "image[]", "mask", "markup"}
    options = _check_body(_form_options([field for field in fields if field.name not in names]), _EDIT_FIELDS)
    params = [f"image[{n}]" for n in range(len(images))]
    sources = tuple(edit_image(*each) for each in zip(images, params, strict=True))
    return _make_edit(options, sources, edit_image(masks[0], "mask") if masks else None, params)


def _form_options(fields: Sequence[Field]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for each in fields:
        name, text = each.name, each.data.decode()
        if name.startswith("svg["):
            options.setdefault("svg", {})[name] = text
        elif name in _NUMBERS and text.lstrip("-").isdigit():
            options[name] = int(text)
        else:
            options[name] = text == "true" if name == "stream" else text
    return options


def _make_edit(
    options: Mapping[str, Any],
    sources: tuple[bytes, ...],
    mask: bytes | None,
    params: Sequence[str],
    *,
    mask_param: str = "mask",
) -> ImagesCall:
    if not sources:
        raise missing_parameter("image")
    if len(sources) > 16:
        # The limit of 16 is known. The text is a guess.
        raise invalid_value("image", f"Invalid 'image': at most 16 images are accepted, got {len(sources)}.")
    places = {f"source {n}": param for n, param in enumerate(params, 1)} | {"mask": mask_param}
    return ImagesCall(options, sources, mask, edit=True, params=places)


def _check_body(body: Any, fields: set[str]) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise ApiError(400, "We could not parse the JSON body of your request.")
    for name in body:
        if name not in fields:
            raise unknown_parameter(name)
    if not body.get("prompt"):
        raise missing_parameter("prompt")
    if len(body["prompt"]) > 32_000:
        raise invalid_value("prompt", "Invalid 'prompt': string too long. Expected at most 32000 characters.")
    check_options(body)
    if body.get("stream") and body.get("output_format") in {"gif", "svg"}:
        # The service is known to reject this. The text is a guess.
        raise invalid_value("stream", f"Streaming is not supported for {body['output_format'].upper()} output format")
    return body


def draw(call: ImagesCall, fault: Fault, studio: Studio) -> list[Picture]:
    """Draw the pictures of a call. Raise `ApiError` if one of them fails: this API has no failed items."""
    plan = fault.plan(call.plan())
    errors = [plan.error, *(order.error for order in plan.pictures)]
    for error in filter(None, errors):
        raise _to_api_error(error)
    try:
        return [studio.draw(order, fault, partials=call.streamed) for order in plan.pictures]
    except UnreadablePictureError as error:
        raise invalid_image_file(call.params[error.place]) from error


def _to_api_error(detail: Mapping[str, Any]) -> ApiError:
    return ApiError(
        400,
        detail["message"],
        code=detail.get("code"),
        kind=detail.get("type"),
        moderation=detail.get("moderation_details"),
    )


def answer(call: ImagesCall, pictures: list[Picture]) -> dict[str, Any]:
    """Return the body of the JSON answer. `usage` is the sum over all pictures."""
    orders = [picture.order for picture in pictures]
    return {
        "created": int(time.time()),
        **_echo_options(call, orders),
        "data": [{"b64_json": picture.base64} for picture in pictures],
        "usage": image_usage(orders),
    }


def _echo_options(call: ImagesCall, orders: list[Order]) -> dict[str, str]:
    return (orders or list(call.plan().pictures))[0].echo()


def events(call: ImagesCall, fault: Fault, studio: Studio) -> list[Event]:
    """Draw the pictures of a streamed call and return its events. A guess: pictures are sent one after the other."""
    try:
        pictures = draw(call, fault, studio)
    except ApiError as error:
        return fault.events([]) or [{"type": "error", "error": error.detail}]
    return fault.events([event for picture in pictures for event in _picture_events(call, picture)])


def _picture_events(call: ImagesCall, picture: Picture) -> list[Event]:
    name = "image_edit" if call.edit else "image_generation"
    about = {**picture.order.echo(), "created_at": int(time.time())}
    partials: list[Event] = [
        {"type": f"{name}.partial_image", "b64_json": encoded, "partial_image_index": n, **about}
        for n, encoded in enumerate(picture.partials[:-1])
    ]
    usage = image_usage([picture.order])
    return [*partials, {"type": f"{name}.completed", "b64_json": picture.base64, **about, "usage": usage}]
