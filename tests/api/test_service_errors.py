"""How an error object of the service becomes one of our errors."""

from __future__ import annotations

import pytest

from langchain_imagegen.api.service_errors import (
    after_drawing_began,
    delay_in,
    is_lost_reference,
    read_error,
    without_key,
)
from langchain_imagegen.errors import (
    AuthenticationError,
    GatewayError,
    ImageGenerationError,
    InvalidRequestError,
    ModelNotFoundError,
    ModerationError,
    OptionError,
    OptionRefusedError,
    OrganizationNotVerifiedError,
    QuotaError,
    RateLimitError,
    ServiceError,
    ServiceUnavailableError,
    UnknownImageError,
    drew_nothing,
)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ({"code": "invalid_api_key"}, None, AuthenticationError),
        ({}, 401, AuthenticationError),
        ({"message": "Your organization must be verified to use it."}, 403, OrganizationNotVerifiedError),
        ({"message": "Country, region, or territory not supported"}, 403, AuthenticationError),
        ({"code": "insufficient_quota"}, 429, QuotaError),
        ({"code": "project_spend_limit_exceeded"}, 429, QuotaError),
        ({"code": "billing_hard_limit_reached"}, 400, QuotaError),
        ({"code": "rate_limit_exceeded"}, None, RateLimitError),
        ({}, 429, RateLimitError),
        ({"code": "moderation_blocked"}, 400, ModerationError),
        ({"code": "image_content_policy_violation"}, None, ModerationError),
        ({"message": "Your request was rejected as a result of our safety system."}, 400, ModerationError),
        ({"code": "invalid_png_output_compression"}, 400, OptionRefusedError),
        ({"type": "image_generation_user_error"}, 400, OptionRefusedError),
        ({"param": "tools[0].size", "code": "invalid_value"}, 400, OptionRefusedError),
        ({"param": "quality", "code": "invalid_value"}, 400, OptionRefusedError),
        ({"param": "tools[0].what", "code": "unknown_parameter"}, 400, InvalidRequestError),
        ({"param": "tools", "message": "Tool choice 'image_generation' not found"}, 400, InvalidRequestError),
        ({"param": "tools[0].size"}, 500, ServiceUnavailableError),
        ({"code": "model_not_found"}, 404, ModelNotFoundError),
        ({"code": "model_not_found", "message": "The project does not have access."}, 403, ModelNotFoundError),
        ({}, 408, GatewayError),
        ({}, 504, GatewayError),
        ({}, 413, InvalidRequestError),
        ({}, None, ServiceError),
        ("upstream says no", None, ServiceError),
    ],
)
def test_error_classes(error, status, kind):
    """Each error object becomes the error class whose advice fits it."""
    assert type(read_error(error, status=status)) is kind


@pytest.mark.parametrize(
    ("status", "own", "should_retry", "kind", "billed"),
    [
        (503, True, None, ServiceUnavailableError, False),
        (503, True, False, ServiceError, False),
        (503, False, None, GatewayError, True),
        (503, False, True, ServiceUnavailableError, False),
        (524, True, None, GatewayError, True),
        (409, True, True, ServiceUnavailableError, False),
        (409, True, None, InvalidRequestError, False),
        (429, False, None, RateLimitError, False),
        (429, True, False, QuotaError, False),
        (401, True, True, AuthenticationError, False),
    ],
)
def test_kinds_by_header_and_body(
    status: int, own: bool, should_retry: bool | None, kind: type[ServiceError], billed: bool
):
    """The header `x-should-retry` decides; without it, whether the body is the service's own JSON error."""
    error = read_error({"message": "No."}, status=status, own=own, should_retry=should_retry)

    assert (type(error), error.may_be_billed) == (kind, billed)


@pytest.mark.parametrize("kind", [kind for kind in drew_nothing if kind not in (OptionError, UnknownImageError)])
def test_after_the_drawing_began_no_error_says_that_nothing_was_drawn(kind: type[ImageGenerationError]):
    """An error behind a part of a picture keeps its message, and is of no class that allows another request."""
    error = after_drawing_began(kind("It broke."))

    assert (str(error), error.may_be_billed, isinstance(error, drew_nothing)) == ("It broke.", True, False)


def test_message():
    """The message has the service's words, what to do, and the status, code and request id that support asks for."""
    error = read_error({"message": "It broke.", "code": "server_error"}, status=500, request_id="req_1")

    assert str(error) == (
        "It broke. The fault is the service's: try again later. (status 500, code server_error, request req_1)"
    )


def test_missing_message():
    """An error object without a message becomes an error with advice."""
    assert "gave no reason" in str(read_error({}, status=500))


def test_retry_after_of_the_headers():
    """`retry_after` from the headers takes precedence over the delay in the message."""
    error = read_error({"message": "Please try again in 12s."}, status=429, retry_after=3)

    assert (error.status, error.retry_after) == (429, 3)


@pytest.mark.parametrize(
    ("details", "stage", "categories"),
    [
        ({"moderation_stage": "output", "categories": ["gore"]}, "output", ["gore"]),
        ({"moderation_stage": "input", "categories": []}, "input", ["sexual", "violence"]),
        (None, "unknown", ["sexual", "violence"]),
    ],
)
def test_moderation(details, stage, categories):
    """Stage and categories are read from the details; without details the categories are read from the message."""
    message = "Your request was rejected by the safety system. safety_violations=[sexual, violence]."

    error = read_error({"message": message, "moderation_details": details}, status=400)
    assert (error.stage, error.categories) == (stage, categories)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 467ms.", 0.467),
        ("Please try again in 12s.", 12),
        ("Please try again in 1.5s", 1.5),
        ("Please try again in 2m.", 120),
        ("Please try again in 6m0s.", 360),
        ("Please try again in 1m30.5s.", 90.5),
        ("Please try again in a while.", None),
        ("", None),
    ],
)
def test_delay_in(message, seconds):
    """`delay_in` reads the seconds from a rate limit's message, in every unit that the service was seen to use."""
    assert delay_in(message) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("message", "status", "code", "expected"),
    [
        ("Item with id 'ig_1' not found.", 404, None, True),
        ("Item with id 'ig_1' not found. Items are not persisted when `store` is set to false.", 400, None, True),
        ("Previous response with id 'resp_1' not found.", 400, "previous_response_not_found", True),
        ("Item 'ig_1' was provided without its required 'reasoning' item: 'rs_1'.", 400, None, True),
        ("Item with id 'ig_1' not found.", None, None, True),
        ("Item with id 'ig_1' not found.", 500, None, False),
        ("The model `gpt-9` was not found.", 404, "model_not_found", False),
        ("Too many images.", 400, None, False),
    ],
)
def test_lost_reference(message, status, code, expected):
    """`is_lost_reference` is true only for an unknown id, since the edit is then repeated with the picture's bytes."""
    assert is_lost_reference(read_error({"message": message, "code": code}, status=status)) is expected


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Incorrect API key provided: fake_key. See the docs.", "Incorrect API key provided: ***. See the docs."),
        ("The key sk-proj-abcdefghijk is no good.", "The key *** is no good."),
        ("Incorrect API key provided: sk-ab***xyz.", "Incorrect API key provided: sk-ab***xyz."),
    ],
)
def test_an_unmasked_key_is_masked(sent: str, shown: str):
    """A key that the service quotes in full is masked; a key that the service masked itself stays as it is."""
    assert without_key(sent) == shown
