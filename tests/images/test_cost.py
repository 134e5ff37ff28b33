"""What pictures cost: reported tokens at dated prices, in parts that add up, or the reason why it is not known."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from langchain_imagegen import Cost, ImageGenerator, ImageUsage
from langchain_imagegen.images.prices import RATES, price_tokens
from langchain_imagegen.images.token_tables import STANDARD_SIZES, output_tokens

RECORDED = ImageUsage(  # low, 1024x1024, gpt-image-2, September 2026
    input_tokens=71,
    output_tokens=196,
    total_tokens=267,
    input_token_details={"image": 0, "text": 71},
    output_token_details={"image": 196, "text": 0},
)


@pytest.fixture
def without_genai_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `import genai_prices` fail, as where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)


@pytest.fixture
def draw(generator: Callable[..., ImageGenerator]) -> ImageGenerator:
    """Return a generator that draws at the simulator."""
    return generator()


def test_reported_tokens_have_a_price():
    """A recorded picture costs what its tokens cost by the price list, in parts."""
    cost = RECORDED.cost("gpt-image-2")

    assert cost.image_output == Decimal("0.00588")
    assert cost.text == Decimal("0.000355")
    assert cost.image_input == 0
    assert cost.mainline is None
    assert cost.total == Decimal("0.006235")
    assert str(cost) == "$0.0062"
    assert repr(cost) == "Cost($0.0062: image_output $0.0059, text $0.0004)"


@pytest.mark.parametrize("model", ["gpt-image-2", "gpt-image-2-2026-04-21", "gpt-image-2.5-flare"])
def test_genai_prices_says_where_and_when(model):
    """With the extra `cost`, the price names the package, its version and the day on which it was checked."""
    [price] = RECORDED.cost(model).prices

    assert price.model == model
    assert price.source.startswith("genai-prices 0.")
    assert price.checked >= date(2026, 10, 14)


def test_the_table_says_where_and_when(without_genai_prices):
    """Without the extra, the price is that of the dated table."""
    [price] = RECORDED.cost("gpt-image-2").prices

    assert str(price) == "gpt-image-2: OpenAI's price list, 2026-10-14"


def test_the_table_has_models_that_genai_prices_has_not():
    """A model that only the table knows has a price, whether or not the extra is installed."""
    cost = RECORDED.cost("gpt-image-2.6-sunburst")

    assert cost.total == Decimal("0.006235")
    assert cost.prices[0].source == "reports of users"


@pytest.mark.parametrize("model", [model for model in RATES if "2.6" not in model])
def test_the_table_agrees_with_genai_prices(model, monkeypatch):
    """Every row of the table that `genai-prices` has too gives the same dollars."""
    kinds = ["text_in", "text_cached", "text_out", "image_in", "image_cached", "image_out"]
    tokens = {kind: 1000 for kind in kinds if getattr(RATES[model], kind) is not None}
    package = price_tokens(model, tokens)
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    table = price_tokens(model, tokens)

    assert sum(package.dollars.values()) == sum(table.dollars.values())
    assert package.price.source != table.price.source


def test_cached_tokens_cost_less():
    """Cached text and cached pictures have their own prices."""
    details = {"image": 1000, "text": 1000, "cached_image": 400, "cached_text": 500}
    cost = ImageUsage(input_tokens=2000, input_token_details=details).cost("gpt-image-2")

    assert cost.image_input == (600 * 8 + 400 * 2) / Decimal(1_000_000)
    assert cost.text == (500 * 5 + 500 * Decimal("1.25")) / 1_000_000


def test_tokens_without_details_count_as_image_tokens():
    """Where the service does not say what kind its tokens are, they have the price of the dearer kind."""
    cost = ImageUsage(input_tokens=1000, output_tokens=1000).cost("gpt-image-1.5")

    assert (cost.image_input, cost.image_output) == (Decimal("0.008"), Decimal("0.032"))


def test_an_unknown_model_has_no_price_but_a_reason():
    """The total of a model without a price is None, and the reason names the model."""
    cost = RECORDED.cost("gpt-image-9")

    assert cost.total is None
    assert "gpt-image-9" in cost.reason
    assert RECORDED.cost(None).total is None


def test_a_result_has_a_cost_in_four_parts(draw):
    """The cost of a result is that of both models, with a price and a date for each."""
    result = draw.invoke("a fox", quality="low", size="1024x1024")
    cost = result.cost()

    assert cost.image_output == 196 * Decimal(30) / 1_000_000
    assert cost.mainline > 0
    assert cost.total == cost.image_output + cost.image_input + cost.text + cost.mainline
    assert [price.model for price in cost.prices] == ["gpt-image-2", result.model]
    assert all(price.checked for price in cost.prices)


def test_an_edit_pays_for_its_source(draw):
    """The tokens of a source picture are a part of their own."""
    fox = draw.invoke("a fox", quality="low")

    assert fox.cost().image_input == 0
    assert draw.invoke("make it winter", images=[fox], quality="low").cost().image_input > 0


def test_the_images_api_has_no_mainline_model(generator):
    """A result of the Images API costs the image model's tokens alone, and its total is known."""
    cost = generator(api="images").invoke("a fox", quality="low", size="1024x1024").cost()

    assert cost.mainline == 0
    assert cost.total == cost.image_output + cost.text


def test_a_result_without_tokens_says_so(draw):
    """If the service reports no image tokens, or zero for a picture, the total is None and a part is still known."""
    result = draw.invoke("a fox")

    for usage in (None, ImageUsage()):
        cost = result.model_copy(update={"image_usage": usage}).cost()
        assert cost.total is None
        assert cost.reason == "the service does not report the image tokens"
        assert cost.known == cost.mainline > 0
        assert str(cost).startswith("at least $0.")
        assert repr(cost) == f"Cost({cost})"


def test_pictures_from_the_ledger_cost_nothing(draw):
    """A result that the ledger had costs nothing, since nothing was bought."""
    draw.invoke("a fox", once="fox")
    again = draw.invoke("a fox", once="fox")

    assert again.from_ledger
    assert again.cost().total == 0


def test_costs_add_up(draw):
    """The sum of costs has the sums of their parts, and names each price once."""
    one, two = (draw.invoke("a fox", quality=quality).cost() for quality in ("low", "high"))
    both = sum([one, two], Cost())

    assert both.total == one.total + two.total
    assert len(both.prices) == 2
    assert (one + RECORDED.cost("gpt-image-9")).total is None
    assert (one + RECORDED.cost("gpt-image-9")).known == one.total


def test_a_cost_survives_json(draw):
    """A cost goes through JSON without losing a digit."""
    cost = draw.invoke("a fox").cost()
    text = cost.model_dump_json()

    assert json.loads(text)["total"] == str(cost.total)
    assert Cost.model_validate_json(text) == cost


def test_an_earlier_price_is_used_for_an_earlier_picture():
    """With the extra, the time of a call picks the price of that day."""
    assert RECORDED.cost("gpt-image-2", datetime(2026, 5, 1, tzinfo=UTC)).total == Decimal("0.006235")


CALCULATOR = {
    "1024x1024": 7024,
    "1536x1024": 5488,
    "1024x1536": 5488,
    "1024x640": 3824,
    "3072x1024": 3952,
    "2560x1440": 7370,
    "3840x1280": 5311,
    "2048x2048": 14272,
    "3840x2160": 13342,
}


@pytest.mark.parametrize(("size", "tokens"), CALCULATOR.items())
def test_the_formula_gives_what_the_calculator_shows(size, tokens):
    """Output tokens of `gpt-image-2` at high quality are those that OpenAI's calculator showed."""
    assert output_tokens("gpt-image-2", size, "high") == tokens


@pytest.mark.parametrize(
    ("model", "quality", "tokens"),
    [
        ("gpt-image-1.5", "low", [272, 408, 400]),
        ("gpt-image-1.5", "medium", [1056, 1584, 1568]),
        ("gpt-image-1-mini", "high", [4160, 6240, 6208]),
        ("gpt-image-2-2026-04-21", "low", [196, 158, 158]),
        ("gpt-image-2.6-flare", "low", [None, None, None]),
    ],
)
def test_the_tables_are_those_of_the_guide(model, quality, tokens):
    """Output tokens of the older models are those of OpenAI's guide; a model without a table has none."""
    assert [output_tokens(model, size, quality) for size in STANDARD_SIZES] == tokens


@pytest.mark.parametrize("quality", ["low", "medium", "high"])
@pytest.mark.parametrize("size", ["1024x1024", "1536x1024", "1536x864", "3840x2160"])
def test_the_simulator_reports_what_the_service_would(draw, size, quality):
    """The simulator's tokens are those of the service's own calculator."""
    result = draw.invoke("a fox", size=size, quality=quality)

    assert result.image_usage.output_tokens == output_tokens("gpt-image-2", size, quality)


def test_a_long_prompt_has_its_own_price():
    """A prompt above the limit of its model costs more for each token; many short ones do not."""
    tokens = {"text_in": 300_000, "text_out": 1000}
    long, short = (price_tokens("gpt-5.4", tokens, calls=calls) for calls in (1, 100))

    assert sum(long.dollars.values()) == (300_000 * 5 + 1000 * Decimal("22.5")) / 1_000_000
    assert sum(short.dollars.values()) == (300_000 * Decimal("2.5") + 1000 * 15) / 1_000_000
