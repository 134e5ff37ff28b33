"""What a conversation cost: each response once, whatever became of its messages, and nothing for uploads."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from langchain_imagegen import GeneratedImage, ImageGenerator, ImageMemory, ImageStore
from langchain_imagegen.conversation.channel import as_update, merge_images

Make = Callable[..., ImageGenerator]


def test_a_memory_costs_what_its_calls_cost(low: Make):
    """The cost of a memory is the sum of the costs of its calls, to the last digit."""
    memory = ImageMemory()
    draw = low(memory=memory)
    calls = [draw.invoke("a fox"), draw.invoke("an owl"), draw.invoke("make it winter", images=["1"])]

    assert memory.cost().total == sum(call.cost().total for call in calls)
    assert memory.cost().image_input == calls[2].cost().image_input > 0


def test_an_empty_memory_costs_nothing():
    """A conversation without pictures cost nothing, and that is known."""
    assert ImageMemory().cost().total == 0


def test_uploads_cost_nothing(low: Make, image_store: ImageStore):
    """A picture that the user sent is not paid for here."""
    memory = ImageMemory(image_store=image_store)
    draw = low(memory=memory)
    photo = ImageGenerator.invoke(low(), "a fox").image.read()
    call = draw.invoke("make it winter", images=[photo])

    assert len(memory) == 2
    assert memory.cost().total == call.cost().total


def test_several_pictures_of_a_response_count_once(low: Make):
    """The service sums the tokens of a response's pictures; they are counted once, whichever pictures are kept."""
    result = low().invoke("draw three pictures of a fox")

    assert len(result.images) == 3
    assert ImageMemory([result]).cost().total == result.cost().total
    assert ImageMemory(list(reversed(result.images))).cost().total == result.cost().total


def test_a_picture_whose_tokens_stand_on_a_missing_one_is_not_free(low: Make):
    """Where the picture with the tokens is missing, the total is None and the reason counts the others."""
    result = low().invoke("draw three pictures of a fox")
    cost = ImageMemory(result.images[1:]).cost()

    assert cost.total is None
    assert "2 picture(s)" in cost.reason


def test_the_ledgers_pictures_count_once(low: Make):
    """A picture that the ledger gives again is in the memory once, and costs once."""
    memory = ImageMemory()
    draw = low(memory=memory)
    bought = draw.invoke("a fox", once="fox")
    again = draw.invoke("a fox", once="fox")

    assert again.from_ledger
    assert memory.cost().total == bought.cost().total
    assert ImageMemory([again]).cost().total == bought.cost().total  # another process may know only this


def test_a_forgotten_picture_is_still_paid_for(low: Make):
    """Forgetting a picture leaves its price and nothing else of it."""
    memory = ImageMemory()
    low(memory=memory).invoke("a secret fox")
    before = memory.cost().total
    update = memory.forget("last")

    assert memory.cost().total == before > 0
    assert ImageMemory(memory.to_records()).cost().total == before
    assert "secret" not in json.dumps(update)


def test_records_keep_the_tokens(low: Make):
    """A record gives the same cost after JSON, and the tokens take less than 200 bytes of it."""
    image = low().invoke("a fox").image
    again = GeneratedImage.model_validate(json.loads(json.dumps(image.record())))

    assert again.cost() == image.cost()
    assert again.cost().total > 0
    assert len(json.dumps(image.record()["tokens"])) < 200


def test_merging_records_keeps_the_tokens(low: Make):
    """A record without tokens, as a message's, does not take them from the channel."""
    image = low().invoke("a fox").image
    bare = image.model_copy(update={"tokens": None})
    merged = merge_images(as_update([image]), as_update([bare]))

    assert ImageMemory(merged.values()).cost().total == image.cost().total


@pytest.mark.parametrize(
    "tokens", ["many", 7, {"image": {"image_out": -5}}, {"image": "x"}, {"image": {"image_out": "x"}}]
)
def test_tokens_that_a_client_made_up_are_dropped(low: Make, tokens):
    """A record whose tokens cannot be read is a picture without tokens, and its trace is no error either."""
    record = low().invoke("a fox").image.record() | {"tokens": tokens}
    memory = ImageMemory([record])

    assert memory.cost().total is None
    assert len(memory) == 1
    memory.forget("last")
    assert memory.cost().known == 0


def test_a_record_of_an_older_version_has_no_tokens(low: Make):
    """A picture of a time before tokens were recorded has an unknown cost, beside which the others are still known."""
    old, new = (low().invoke("a fox").image for _ in range(2))
    record = {key: value for key, value in old.record().items() if key != "tokens"}
    cost = ImageMemory([record, new]).cost()

    assert cost.total is None
    assert cost.reason == "the tokens of 1 picture(s) are not recorded"
    assert cost.known == new.cost().total > Decimal(0)


def test_a_picture_tells_its_own_cost(low: Make):
    """A picture costs what its response cost; one of several says which picture has the tokens."""
    image = low().invoke("a fox").image
    first, second = low().invoke("draw two pictures of a fox").images

    assert image.cost().total > 0
    assert first.cost().total > image.cost().total
    assert second.cost().total is None
    assert first.handle in second.cost().reason


def test_a_thousand_pictures_are_priced_quickly(low: Make):
    """The tokens are added before they are priced, so that a long conversation costs no more time to price."""
    image = low().invoke("a fox").image
    many = [image.model_copy(update={"id": f"ig_{n}"}) for n in range(1000)]

    assert ImageMemory(many).cost().total == 1000 * image.cost().total
