"""Translate the service's error objects into our errors; only this module knows the service's codes and wording.

An error object comes in as a mapping, whether from an HTTP body, an event of a stream or a failed item.
Sources of the codes and texts: the types of the OpenAI SDK 3.54 and public reports of live answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from langchain_imagegen.api.fields import Fields
from langchain_imagegen.errors import (
    AuthenticationError,
    ConnectionLostError,
    GatewayError,
    ImageGenerationError,
    InvalidRequestError,
    ModelNotFoundError,
    ModerationError,
    NotConnectedError,
    OptionRefusedError,
    OrganizationNotVerifiedError,
    QuotaError,
    RateLimitError,
    ServiceError,
    ServiceUnavailableError,
)

MODERATION = frozenset({"moderation_blocked", "content_policy_violation", "image_content_policy_violation"})
QUOTA = frozenset({"insufficient_quota", "project_spend_limit_exceeded", "billing_hard_limit_reached"})
OPTION = frozenset({"invalid_png_output_compression", "invalid_input_fidelity_model"})
GATEWAYS = frozenset({408, 499, 502, 504, 524})
"""Statuses with which a gateway gives up, even in JSON, while the service behind it may still be drawing."""

TOOL_PARAMS = ("tools", "size", "quality", "background", "output_format", "output_compression", "moderation")

_ENDPOINTS = ("/responses", "/images/generations", "/images/edits")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

VERIFY_URL = "https://platform.openai.com/settings/organization/general"


def read_error(
    error: object,
    *,
    status: int | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    path: str = "",
    own: bool = True,
    should_retry: bool | None = None,
) -> ImageGenerationError:
    """Return our error for a service's error object, with advice.

    Args:
        error: `{message, code?, type?, param?, moderation_details?}`, of which proxies give the message alone.
        status: HTTP status, `None` inside a stream or an item.
        request_id: What the service's support asks for.
        retry_after: Seconds, from the answer's headers.
        path: Of the address that was asked; a 404 is explained by it.
        own: False if the body was not the service's JSON error but, say, a gateway's page.
        should_retry: What the header `x-should-retry` says, None if it is missing.
    """
    error = error if isinstance(error, Mapping) else {"message": error}
    fields = Fields(error)
    message = without_key(str(error.get("message") or "the service gave no reason").strip())
    code = fields.text("code")
    if code in MODERATION or "safety system" in message:
        return moderation(error, message)
    if is_option(error, code, message, status):
        return _option(message, code=code, param=fields.text("param"), request_id=request_id)
    facts: dict[str, Any] = {"status": status, "code": code, "request_id": request_id, "retry_after": retry_after}
    kind, advice = _kind(code, message, status, own=own, should_retry=should_retry)
    if status == 404 and not code and "/v1/" not in path and path.endswith(_ENDPOINTS):
        advice = f"There is no {path}: base_url may lack /v1. Nothing was drawn."
    if kind is RateLimitError and retry_after is None:
        facts["retry_after"] = delay_in(message)
    ours = kind(f"{message} {advice}{_trail(status, code, request_id)}", own=own and status is not None, **facts)
    if kind is ServiceError and ours.own:
        ours.may_be_billed = False
    return ours


def after_drawing_began(error: ImageGenerationError) -> ImageGenerationError:
    """Return the error as one that may have been billed, since the service had already begun to draw."""
    if isinstance(error, (ServiceError, OptionRefusedError)) and not error.may_be_billed:
        status = error.status if isinstance(error, ServiceError) else None
        return ServiceError(str(error), status=status, code=error.code, request_id=error.request_id)
    if isinstance(error, NotConnectedError):
        return ConnectionLostError(str(error), response_id=error.response_id)
    error.may_be_billed = True
    return error


_KEY = re.compile(r"(?<=key provided: )[^\s*]+?(?=\.? |\.?$)|\bsk-[\w-]{8,}(?![\w*-])")


def without_key(message: str) -> str:
    """Return an error's text with `***` for an API key that it repeats in full; a masked key stays as it is."""
    return _KEY.sub("***", message)


def _option(message: str, *, code: str | None, param: str | None, request_id: str | None) -> OptionRefusedError:
    source = re.fullmatch(r"images?\[(\d+)\](\..*)?", param or "")
    which = f" in source image {int(source[1]) + 1}, counted from 1" if source else ""
    error = OptionRefusedError(
        f"the service refuses an option{which}: {message}{_trail(None, code, request_id, param)}"
    )
    error.code, error.param, error.request_id = code, param, request_id
    return error


def moderation(error: Mapping[str, Any], message: str) -> ModerationError:
    """Return the refusal of the safety system, with its stage and categories if the service names them."""
    details = error.get("moderation_details")
    told = details.get("categories") if isinstance(details, Mapping) else None
    categories = [word for word in told if isinstance(word, str)] if isinstance(told, list) else []
    categories = categories or _violations(message)
    stage = Fields(details).text("moderation_stage") or "unknown"
    named = f" ({', '.join(categories)})" if categories else ""
    where = {"input": "the prompt or a source image", "output": "the finished picture"}.get(stage, "this request")
    advice = f"the safety system refused {where}{named}: change what is asked for; the same request is refused again"
    return ModerationError(f"{advice}. The service says: {message}", stage=stage, categories=categories)


def is_option(error: Mapping[str, Any], code: str | None, message: str, status: int | None) -> bool:
    """Return True if the error is about an option of the image tool."""
    if code in OPTION:
        return True
    if status not in (400, None):
        return False
    param = str(error.get("param") or "")
    return error.get("type") == "image_generation_user_error" or (
        code != "unknown_parameter"
        and param.split("[", maxsplit=1)[0].split(".", maxsplit=1)[0] in TOOL_PARAMS
        and "Tool choice" not in message
    )


SERVICE_ID = re.compile(r"\b(?:ig|rs|resp|msg|fc|file|conv)[_-]\w{4,}")
"""Matches an id of the service in the text of an error."""


def is_lost_reference(error: Exception) -> bool:
    """Return True if the service does not know, or no longer keeps, something that the request named by id."""
    if not isinstance(error, ServiceError) or error.status not in (400, 404, None) or error.code == "model_not_found":
        return False
    return bool(re.search(r"not found|not persisted|without its required", str(error)))


def delay_in(message: str) -> float | None:
    """Return the seconds in `… try again in 467ms` or `… in 1m30s`, for a rate limit without a header."""
    found = re.search(r"try again in ((?:\d+(?:\.\d+)?\s*(?:ms|[hms])\b|\d+[hm])+)", message)
    spans = re.findall(r"([\d.]+)\s*(ms|[hms])", found[1]) if found else ()
    return sum(float(number) * _SECONDS[unit] for number, unit in spans) if spans else None


def _kind(
    code: str | None, message: str, status: int | None, *, own: bool, should_retry: bool | None
) -> tuple[type[ServiceError], str]:
    """Return the class and the advice; the class alone says whether the request may be sent again."""
    if code in QUOTA:
        return QuotaError, "The account has no credit left: add some or raise the limit; waiting does not help."
    if "must be verified" in message:
        return OrganizationNotVerifiedError, f"Verify it at {VERIFY_URL}, or use an image model open to everyone."
    if code == "model_not_found":  # 404, or 403 where the project has no access to the model
        return (
            ModelNotFoundError,
            "Check the name of the mainline model and of the image model, and that the account may use both.",
        )
    if status in (401, 403) or code == "invalid_api_key":
        return (
            AuthenticationError,
            "Check the API key (OPENAI_API_KEY or api_key=) and what its project may do.",
        )
    if status == 429 or code == "rate_limit_exceeded":
        if should_retry is False:
            return QuotaError, "The service says that waiting does not help: check the limits of the account."
        return RateLimitError, "Send fewer requests at once (max_concurrency), or wait and try again."
    if status is None or status < 400:
        return ServiceError, "The fault is the service's: try again later."
    return _kind_by_status(status, own=own, should_retry=should_retry)


_GATEWAY = (
    "A gateway answered in place of the service, which may have drawn and billed the picture; "
    "so the request is not repeated by itself."
)


def _kind_by_status(status: int, *, own: bool, should_retry: bool | None) -> tuple[type[ServiceError], str]:
    if should_retry:
        return ServiceUnavailableError, "The fault is the service's: try again later."
    if status in GATEWAYS or (status >= 500 and not own):
        return GatewayError, _GATEWAY
    if status < 500:
        return InvalidRequestError, "The request as sent cannot work; nothing was drawn."
    kind = ServiceError if should_retry is False else ServiceUnavailableError
    return kind, "The fault is the service's: try again later."


def _violations(message: str) -> list[str]:
    match = re.search(r"safety_violations=\[([^\]]*)\]", message)
    return [word.strip() for word in match[1].split(",") if word.strip()] if match else []


def _trail(status: int | None, code: str | None, request_id: str | None, param: str | None = None) -> str:
    facts = [
        f"status {status}" if status else "",
        f"code {code}" if code else "",
        f"param {param[:40]}" if param else "",
        f"request {request_id}" if request_id else "",
    ]
    told = ", ".join(fact for fact in facts if fact)
    return f" ({told})" if told else ""
