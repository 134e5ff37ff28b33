"""`estimate`: an upper bound before a call, never below what the call then costs, or the reason why there is none."""

from __future__ import annotations

from decimal import Decimal

import pytest

from langchain_imagegen import ImageOptions, estimate
from langchain_imagegen.errors import OptionError

DOLLARS = Decimal(30) / 1_000_000  # an output token of gpt-image-2


@pytest.mark.parametrize("api", ["responses", "images"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quality": "low", "size": "1024x1024"},
        {"quality": "medium", "size": "1536x1024", "output_format": "jpeg"},
        {"aspect_ratio": "16:9", "quality": "high"},
        {"model": "gpt-image-1.5", "quality": "high"},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "defaults",
)
def test_a_picture_never_costs_more(generator, options, api):
    """No picture costs more than was estimated, whichever API draws it."""
    draw = generator(options=options, api=api)
    before = estimate(options, prompt="a tall fox", model="gpt-5.4" if api == "responses" else None)
    cost = draw.invoke("a tall fox").cost()

    assert cost.total <= before.total
    assert cost.image_output <= before.image_output
    assert (before.mainline == 0) == (api == "images")


def test_an_edit_never_costs_more(generator):
    """The estimate of an edit has a part for its source pictures that is not exceeded."""
    draw = generator(options={"quality": "low"})
    fox = draw.invoke("a fox")
    cost = draw.invoke("make it winter", images=[fox]).cost()
    before = estimate({"quality": "low"}, sources=[fox], prompt="make it winter")

    assert 0 < cost.image_input <= before.image_input
    assert cost.total <= before.total


def test_known_options_are_priced_exactly():
    """With size and quality given, the share of the picture itself is exact, by the token table."""
    cost = estimate(ImageOptions(size="1024x1024", quality="low"))

    assert cost.image_output == 196 * DOLLARS
    assert cost.estimated
    assert not any("auto" in assumption for assumption in cost.assumptions)


def test_auto_is_priced_as_the_dearest():
    """Options that the service chooses are priced as the dearest they can become, and the estimate says so."""
    cost = estimate()

    assert cost.image_output == 7024 * DOLLARS
    assert [told for told in cost.assumptions if "auto" in told] == [
        "size='auto' is priced as the dearest of 1024x1024, 1024x1536, 1536x1024",
        "quality='auto' is priced as the dearest of low, medium, high",
    ]
    assert str(cost).startswith("at most $0.2")


def test_partial_pictures_and_several_pictures_are_counted():
    """Each partial picture takes 100 tokens, and `n` pictures cost `n` times as much in every part."""
    one = estimate({"size": "1024x1024", "quality": "low", "partial_images": 2}, sources=2)
    three = estimate(
        {"size": "1024x1024", "quality": "low", "partial_images": 2}, n=3, sources=["last", "img_1a2b3c4d"]
    )

    assert one.image_output == 396 * DOLLARS
    assert three.total == 3 * one.total


def test_a_long_prompt_costs_more():
    """The prompt's own tokens are in the estimate, for both models."""
    short, long = estimate(prompt="a fox"), estimate(prompt="a fox " * 1000)

    assert long.text > short.text
    assert long.mainline > short.mainline


def test_high_fidelity_costs_more():
    """`input_fidelity="high"` of the older models makes each source picture dearer."""
    low, high = (estimate({"model": "gpt-image-1.5", "input_fidelity": f}, sources=1) for f in ("low", "high"))

    assert high.image_input > 10 * low.image_input


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "gpt-image-2.6-flare"}, "no table of the tokens that 'gpt-image-2.6-flare' takes"),
        ({"model": None}, "model=None leaves the image model to the service"),
        ({"model": "gpt-image-2.6-sunburst", "output_format": "svg"}, "output_format='svg'"),
    ],
)
def test_what_no_table_knows_has_a_reason(options, reason):
    """Where tokens are not known, the total is None with the reason, and the mainline share is still there."""
    cost = estimate(options)

    assert cost.total is None
    assert reason in cost.reason
    assert cost.known == cost.mainline > 0


def test_an_unknown_option_is_refused():
    """An option that does not exist raises the error that drawing would raise."""
    with pytest.raises(OptionError, match="colour"):
        estimate({"colour": "red"})
