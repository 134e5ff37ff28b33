"""The error answers of the service, in its own form; which rule was broken is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

USER_ERROR = "image_generation_user_error"


class ApiError(Exception):
    """An error answer: `status` and `headers` of the HTTP answer, `detail` for its JSON body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        kind: str | None = "invalid_request_error",
        param: str | None = None,
        moderation: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.detail = error_detail(message, code=code, kind=kind, param=param, moderation=moderation)


class UnreadablePictureError(ValueError):
    """A source or mask that cannot be drawn on; `place` is `source 1`, `source 2`, … or `mask`."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place} {problem}")
        self.place = place


def error_detail(
    message: str,
    *,
    code: str | None = None,
    kind: str | None = None,
    param: str | None = None,
    moderation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The error object of a body, an event, a response or a failed item."""
    detail: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": code}
    return {**detail, "moderation_details": dict(moderation)} if moderation else detail


def invalid_value(param: str, message: str, *, kind: str = "invalid_request_error") -> ApiError:
    """400 `invalid_value`."""
    return ApiError(400, message, code="invalid_value", kind=kind, param=param)


def not_one_of(param: str, value: object, allowed: tuple[str, ...]) -> ApiError:
    """400 for a value outside an enumeration."""
    quoted = [f"'{name}'" for name in allowed]
    listed = f"{', '.join(quoted[:-1])}, and {quoted[-1]}" if len(quoted) > 1 else quoted[0]
    return invalid_value(param, f"Invalid value: '{value}'. Supported values are: {listed}.")


def invalid_image_file(param: str, message: str = "Invalid image data.") -> ApiError:
    """400 of the Images API for a source that is no picture, as recorded."""
    return ApiError(400, message, code="invalid_image_file", kind=USER_ERROR, param=param)


def missing(param: str) -> ApiError:
    """400 for a required parameter that is not there."""
    message = f"Missing required parameter: '{param}'."
    return ApiError(400, message, code="missing_required_parameter", param=param)


def unknown_parameter(param: str) -> ApiError:
    """400 for a parameter that does not exist."""
    return ApiError(400, f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def item_not_found(item_id: str, *, unstored: bool) -> ApiError:
    """404 for an item that does not resolve; the short form, for stored but lost items, is a guess."""
    message = f"Item with id '{item_id}' not found."
    if unstored:
        message += (
            " Items are not persisted when `store` is set to false."
            " Try again with `store` set to true, or remove this item from your input."
        )
    return ApiError(404, message, param="input")


def response_not_found(response_id: str) -> ApiError:
    """404 for retrieving, cancelling, resuming or deleting an unknown response."""
    return ApiError(404, f"Response with id '{response_id}' not found.")


def previous_response_not_found(response_id: str) -> ApiError:
    """400 for continuing from an unknown response."""
    return ApiError(
        400,
        f"Previous response with id '{response_id}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
    )


def invalid_key(key: str) -> ApiError:
    """401; without any key the wording differs and there is no code (the wording is a guess)."""
    if not key:
        return ApiError(401, "You didn't provide an API key.")
    message = f"Incorrect API key provided: {key[:8]}***."
    return ApiError(401, message, code="invalid_api_key")
