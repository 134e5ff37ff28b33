"""`fallbacks=`: another image model in the same call, after an error that drew nothing and that it may not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from langchain_imagegen import ImageGenerator, ImageOptions
from langchain_imagegen.errors import (
    GatewayError,
    ImageGenerationError,
    ModelNotFoundError,
    OptionError,
    OptionRefusedError,
    OrganizationNotVerifiedError,
    RateLimitError,
)
from langchain_imagegen.simulator import (
    Simulator,
    bad_key,
    failed,
    html_page,
    http_error,
    moderated,
    no_image,
    organization_not_verified,
    quota_exceeded,
    rate_limited,
    server_error,
)

Make = Callable[..., ImageGenerator]
PREFERRED = {"model": "gpt-image-2.6-sunburst", "size": "1024x1024", "quality": "low"}
OLDER = [ImageOptions(model="gpt-image-2")]

ANOTHER_MODEL = {
    "unknown": http_error(404, code="model_not_found", message="The model `gpt-image-2.6-sunburst` does not exist."),
    "unverified": organization_not_verified(),
    "overloaded": server_error(503),
    "rate limit": rate_limited(0.01),
    "rate limit of an hour": rate_limited(3600),
    "rate limit in the answer": failed("rate_limit_exceeded", "Rate limit reached for gpt-image-2.6-sunburst."),
    "refused option": http_error(400, type="image_generation_user_error", param="tools", message="Not for this model."),
}
SAME_FOR_ALL = {
    "refused prompt": moderated("input"),
    "refused picture": moderated("output"),
    "bad key": bad_key(),
    "no credit": quota_exceeded(),
    "no picture": no_image("No."),
    "failed response": failed(),
    "gateway": html_page(502, drawn=True),
    "invalid request": http_error(400, message="No."),
    "mainline model": http_error(404, code="model_not_found", message="The model `gpt-5.4` does not exist."),
    "limit of the mainline model": http_error(429, message="Rate limit reached for gpt-5.4 on tokens per min."),
}


def models_of(simulator: Simulator) -> list[str]:
    """Return the image models that the service was asked for."""
    return [request.body["tools"][0]["model"] for request in simulator.requests]


@pytest.mark.parametrize("fault", ANOTHER_MODEL)
@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_another_model_draws(fault: str, how: str, half: Any, generator: Make, simulator: Simulator):
    """The fallback draws with the call's other options, and a warning names the model that failed and why."""
    simulator.script(ANOTHER_MODEL[fault])
    draw = generator(options=PREFERRED, fallbacks=OLDER, max_retries=0)
    result = half.invoke(draw, "draw a fox") if how == "invoke" else half.stream(draw, "draw a fox")[-1]

    assert models_of(simulator) == ["gpt-image-2.6-sunburst", "gpt-image-2"]
    assert simulator.requests[1].body["tools"][0] | PREFERRED == simulator.requests[0].body["tools"][0]
    assert "gpt-image-2.6-sunburst drew nothing, so gpt-image-2 was tried: " in result.warnings[0]
    assert (result.image.image_model, simulator.pictures) == ("gpt-image-2", 1)


@pytest.mark.parametrize("fault", SAME_FOR_ALL)
def test_no_other_model_is_asked(fault: str, half: Any, generator: Make, simulator: Simulator):
    """Nothing that may be billed, and nothing that another image model would meet too, leads to a fallback."""
    simulator.script(SAME_FOR_ALL[fault])

    with pytest.raises(ImageGenerationError):
        half.invoke(generator(options=PREFERRED, fallbacks=OLDER, max_retries=0), "draw a fox")
    assert len(simulator.requests) == 1
    assert simulator.pictures <= 1


def test_retries_come_first(half: Any, generator: Make, simulator: Simulator):
    """The first model is retried `max_retries` times before the fallback is tried."""
    simulator.script(*[rate_limited(0.01)] * 3)
    half.invoke(generator(options=PREFERRED, fallbacks=OLDER), "draw a fox")

    assert models_of(simulator) == ["gpt-image-2.6-sunburst"] * 3 + ["gpt-image-2"]


def test_all_models_fail(half: Any, generator: Make, simulator: Simulator):
    """If no model draws, the error of the first is raised, with the others in its notes."""
    simulator.script(rate_limited(0.01), organization_not_verified())

    with pytest.raises(RateLimitError) as caught:
        half.invoke(generator(options=PREFERRED, fallbacks=OLDER, max_retries=0), "draw a fox")
    assert "must be verified" in caught.value.__notes__[0]
    assert len(simulator.requests) == 2


def test_a_fallback_that_may_be_billed_is_the_last(half: Any, generator: Make, simulator: Simulator):
    """If the fallback's picture may have been billed, its own error is raised and no third model is tried."""
    simulator.script(organization_not_verified(), html_page(504, drawn=True))
    draw = generator(options=PREFERRED, fallbacks=[*OLDER, {"model": "gpt-image-1.5"}], max_retries=0)

    with pytest.raises(GatewayError):
        half.invoke(draw, "draw a fox")
    assert simulator.pictures == 1


def test_an_edit_keeps_its_sources(half: Any, generator: Make, simulator: Simulator):
    """The fallback edits the same picture."""
    draw = generator(options=PREFERRED, fallbacks=OLDER, max_retries=0)
    fox = half.invoke(draw, "draw a fox")
    simulator.script(organization_not_verified())
    winter = half.invoke(draw, "make it winter", images=[fox])

    assert simulator.orders[-1].sources == (fox.image.read(),)
    assert winter.image.parents == (fox.image.id,)


def test_a_model_that_lacks_an_option_is_passed_over(half: Any, generator: Make, simulator: Simulator):
    """A fallback that cannot draw the call's size is not asked; the next one is."""
    simulator.script(organization_not_verified())
    draw = generator(options=PREFERRED, fallbacks=[{"model": "gpt-image-1.5"}, *OLDER], max_retries=0)
    half.invoke(draw, "draw a fox", size="816x816")

    assert models_of(simulator) == ["gpt-image-2.6-sunburst", "gpt-image-2"]


def test_an_option_that_can_never_work_is_refused_at_once(half: Any, generator: Make, simulator: Simulator):
    """A mistake in the call's own options is an `OptionError`, as without fallbacks."""
    with pytest.raises(OptionError) as caught:
        half.invoke(generator(options=PREFERRED, fallbacks=OLDER), "draw a fox", size="7x7")
    assert not isinstance(caught.value, OptionRefusedError)
    assert simulator.requests == []


def test_the_images_api_has_fallbacks(half: Any, generator: Make, simulator: Simulator):
    """With `api="images"` the model of the request is the one that is replaced."""
    simulator.script(http_error(404, code="model_not_found", message="No `gpt-image-2.6-sunburst`."))
    draw = generator(api="images", options=PREFERRED, fallbacks=OLDER)
    half.invoke(draw, "draw a fox")

    assert [request.body["model"] for request in simulator.requests] == ["gpt-image-2.6-sunburst", "gpt-image-2"]


def test_without_fallbacks_the_error_is_raised(half: Any, generator: Make, simulator: Simulator):
    """The model's error reaches the caller as a class of its own."""
    simulator.script(organization_not_verified(), ANOTHER_MODEL["unknown"])

    for kind in (OrganizationNotVerifiedError, ModelNotFoundError):
        with pytest.raises(kind):
            half.invoke(generator(options=PREFERRED), "draw a fox")


@pytest.mark.parametrize("value", ["gpt-image-2", ["gpt-image-2"], None])
def test_a_name_alone_is_refused(value: Any):
    """What is no list of options is an `OptionError` that shows how to write it."""
    with pytest.raises(OptionError, match=r"fallbacks=.*ImageOptions\(model='gpt-image-2'\)"):
        ImageGenerator(fallbacks=value)
