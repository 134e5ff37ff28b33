"""The error answers of the service, in its JSON format and with its texts. Other modules check the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

USER_ERROR = "image_generation_user_error"


class ApiError(Exception):
    """An error answer with its HTTP status and headers. `detail` is the error object in the body."""

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
    """A source or mask that cannot be opened as a picture. `place` is `source 1`, `source 2`, … or `mask`."""

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
    """Return the error object for a body, an event, a response or a failed item."""
    detail: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": code}
    return {**detail, "moderation_details": dict(moderation)} if moderation else detail


def invalid_value(param: str, message: str, *, kind: str = "invalid_request_error") -> ApiError:
    """Return a 400 with the code `invalid_value`."""
    return ApiError(400, message, code="invalid_value", kind=kind, param=param)


def unsupported_value(param: str, value: object, allowed: tuple[str, ...]) -> ApiError:
    """Return the 400 for a value that is not one of the allowed ones."""
    quoted = [f"'{name}'" for name in allowed]
    listed = f"{', '.join(quoted[:-1])}, and {quoted[-1]}" if len(quoted) > 1 else quoted[0]
    return invalid_value(param, f"Invalid value: '{value}'. Supported values are: {listed}.")


def invalid_image_file(param: str, message: str = "Invalid image data.") -> ApiError:
    """Return the 400 of the Images API for a source that is not a picture. Code and text are from a recording."""
    return ApiError(400, message, code="invalid_image_file", kind=USER_ERROR, param=param)


def missing_parameter(param: str) -> ApiError:
    """Return the 400 for a missing required parameter."""
    message = f"Missing required parameter: '{param}'."
    return ApiError(400, message, code="missing_required_parameter", param=param)


def unknown_parameter(param: str) -> ApiError:
    """Return the 400 for a parameter that does not exist."""
    return ApiError(400, f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def item_not_found(item_id: str, *, unstored: bool) -> ApiError:
    """Return the 404 for an unknown item id.

    With `unstored` the text is the recorded one for items of responses with `store=False`. The shorter text is a guess.
    """
    message = f"Item with id '{item_id}' not found."
    if unstored:
        message += (
            " Items are not persisted when `store` is set to false."
            " Try again with `store` set to true, or remove this item from your input."
        )
    return ApiError(404, message, param="input")


def response_not_found(response_id: str) -> ApiError:
    """Return the 404 for an unknown response id in a request to retrieve, cancel, resume or delete it."""
    return ApiError(404, f"Response with id '{response_id}' not found.")


def previous_response_not_found(response_id: str) -> ApiError:
    """Return the 400 for an unknown `previous_response_id`."""
    return ApiError(
        400,
        f"Previous response with id '{response_id}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
    )


def invalid_key(key: str) -> ApiError:
    """Return the 401 for a wrong or missing key. A missing key has no code, and its text is a guess."""
    if not key:
        return ApiError(401, "You didn't provide an API key.")
    message = f"Incorrect API key provided: {key[:8]}***."
    return ApiError(401, message, code="invalid_api_key")
