"""How an edit names its source, what happens when that way fails, and what is remembered of it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import openai
import pytest

from langchain_imagegen import ImageGenerator, ImageMemory, ImageResult, ImageStore
from langchain_imagegen.errors import ServiceError, UnknownImageError
from langchain_imagegen.simulator import Fault, Simulator, answer
from langchain_imagegen.simulator.drawing import draw as paint

Make = Callable[..., ImageGenerator]

REDRAWN = Fault("redrawn", item=lambda item: {**item, "action": "generate"})
"""The service draws anew although it was given a picture."""


@pytest.fixture
def draw(half: Any, low: Make) -> Callable[..., ImageResult]:
    """Draws small and fast, in each half."""
    return partial(half.invoke, low())


@pytest.fixture
def remembering(low: Make, image_store: ImageStore) -> ImageGenerator:
    """A generator with a memory."""
    return low(memory=ImageMemory(image_store=image_store))


def names(simulator: Simulator) -> list[str]:
    """How each request named a picture: `call`, `bytes`, `response`, or nothing."""
    return [_name(request.body) for request in simulator.requests if request.path.endswith("/responses")]


def _name(body: Any) -> str:
    text = str(body)
    ways = {"call": "'image_generation_call'", "bytes": "data:image/", "response": "previous_response_id"}
    return "+".join(way for way, mark in ways.items() if mark in text)


# --- the ways


@pytest.mark.parametrize(
    ("reference", "way", "rung"),
    [
        ("auto", "call", "call_id"),
        ("call_id", "call", "call_id"),
        ("response_id", "response", "response_id"),
        ("bytes", "bytes", "bytes"),
    ],
)
def test_the_first_way_can_be_chosen(reference: str, way: str, rung: str, half: Any, low: Make, simulator: Simulator):
    """Whichever way is chosen, the same picture is edited by one request."""
    drawing = low(reference=reference)
    fox = half.invoke(drawing, "draw a fox")

    winter = half.invoke(drawing, "make it winter", images=[fox])

    assert names(simulator) == ["", way]
    assert (winter.rung, winter.image.action, winter.warnings) == (rung, "edit", ())
    assert winter.image.parents == (fox.image.id,)
    assert simulator.orders[-1].sources == (fox.image.read(),)
    if reference == "response_id":
        assert simulator.requests[-1].body["previous_response_id"] == fox.response_id


def test_pictures_of_two_responses_cannot_be_chained(half: Any, low: Make, simulator: Simulator):
    """With `response_id` two pictures of different responses are named by their call ids."""
    drawing = low(reference="response_id")
    fox, cat = drawing.invoke("draw a fox"), drawing.invoke("draw a cat")

    both = half.invoke(drawing, "put both side by side", images=[fox, cat])

    assert both.rung == "call_id"
    assert set(simulator.orders[-1].sources) == {fox.image.read(), cat.image.read()}


def test_an_unstored_picture_goes_by_its_bytes(half: Any, low: Make, simulator: Simulator):
    """With `store=False` no id is ever sent back: one request, with the bytes of the picture that is named."""
    drawing = low(store=False)
    fox, cat = drawing.invoke("draw a fox"), drawing.invoke("draw a cat")

    winter = half.invoke(drawing, "make it winter", images=[fox])

    assert (fox.image.stored, cat.image.stored) == (False, False)
    assert names(simulator) == ["", "", "bytes"]
    assert simulator.orders[-1].sources == (fox.image.read(),)
    assert (winter.rung, winter.warnings) == ("bytes", ())


def test_the_reasoning_goes_with_the_picture(half: Any, low: Make, generator: Make):
    """Where the service wants the reasoning item beside a picture, it is named too, and the edit works at once."""
    with Simulator(reasoning_required=True) as strict:
        drawing = low(base_url=strict.base_url, model="gpt-5")
        fox = half.invoke(drawing, "draw a fox")

        winter = half.invoke(drawing, "make it winter", images=[fox])

        assert len(fox.image.companion_ids) == 1
        assert (winter.rung, winter.warnings) == ("call_id", ())
        assert strict.requests[-1].body["input"][:2] == [
            {"type": "item_reference", "id": fox.image.companion_ids[0]},
            {"type": "image_generation_call", "id": fox.image.id},
        ]


def test_two_pictures_of_one_response_share_their_reasoning(half: Any, low: Make):
    """A reasoning item that led to two pictures is named once."""
    with Simulator(reasoning_required=True) as strict:
        drawing = low(base_url=strict.base_url, model="gpt-5")
        foxes = half.invoke(drawing, "draw two pictures of a fox")

        half.invoke(drawing, "put both side by side", images=[foxes])

        kinds = [item.get("type") for item in strict.requests[-1].body["input"]]
        assert kinds == ["item_reference", "image_generation_call", "image_generation_call", None]


# --- a way that fails


def test_an_expired_picture_is_edited_in_the_same_call(half: Any, remembering: ImageGenerator, simulator: Simulator):
    """An id that the service has forgotten gives way to the bytes; the result says so."""
    fox = half.invoke(remembering, "draw a fox")
    simulator.expire(fox.image.id)

    winter = half.invoke(remembering, "make it winter", images=["last"])

    assert names(simulator) == ["", "call", "bytes"]
    assert (winter.rung, winter.image.parents) == ("bytes", (fox.image.id,))
    assert simulator.orders[-1].sources == (fox.image.read(),)
    (warning,) = winter.warnings
    assert "an earlier way to name the image failed" in warning
    assert fox.image.id in warning
    assert simulator.pictures == 2


def test_a_dead_way_is_not_tried_again(half: Any, remembering: ImageGenerator, simulator: Simulator):
    """The record remembers which way is dead: the next edit takes one request."""
    fox = half.invoke(remembering, "draw a fox").image
    simulator.expire(fox.id)
    half.invoke(remembering, "make it winter", images=[fox.handle])

    summer = half.invoke(remembering, "make it summer", images=[fox.handle])

    assert names(simulator) == ["", "call", "bytes", "bytes"]
    assert (summer.rung, summer.warnings) == ("bytes", ())
    assert remembering.memory is not None
    assert remembering.memory.get(fox.handle).dead_rungs == ("call_id",)


def test_a_dead_way_is_told_without_a_memory_too(draw: Any, simulator: Simulator):
    """The result holds the source as it is now known."""
    fox = draw("draw a fox")
    simulator.expire(fox.image.id)

    winter = draw("make it winter", images=[fox])

    assert [source.dead_rungs for source in winter.sources] == [("call_id",)]
    draw("make it summer", images=list(winter.sources))
    assert names(simulator) == ["", "call", "bytes", "bytes"]


def test_only_the_lost_one_of_several_goes_by_its_bytes(draw: Any, simulator: Simulator):
    """Of two pictures the one that the service still knows is named by its id again."""
    fox, cat = draw("draw a fox"), draw("draw a cat")
    simulator.expire(cat.image.id)

    both = draw("put both side by side", images=[fox, cat])

    assert names(simulator)[2:] == ["call", "call+bytes"]
    assert [source.dead_rungs for source in both.sources] == [(), ("call_id",)]
    assert set(simulator.orders[-1].sources) == {fox.image.read(), cat.image.read()}


def test_every_way_is_tried_in_turn(half: Any, low: Make, simulator: Simulator):
    """A deleted response takes its items with it: from the response id to the call id to the bytes, in one call."""
    drawing = low(reference="response_id")
    fox = half.invoke(drawing, "draw a fox")
    with openai.OpenAI(base_url=simulator.base_url, api_key="simulated") as client:
        client.responses.delete(str(fox.response_id))

    winter = half.invoke(drawing, "make it winter", images=[fox])

    assert names(simulator) == ["", "response", "call", "bytes"]
    assert (winter.rung, len(winter.warnings)) == ("bytes", 2)
    assert winter.sources[0].dead_rungs == ("response_id", "call_id")


def test_missing_reasoning_gives_way_to_the_bytes(half: Any, low: Make):
    """A picture whose reasoning item is not known here is edited by its bytes when the service asks for it."""
    with Simulator(reasoning_required=True) as strict:
        drawing = low(base_url=strict.base_url, model="gpt-5")
        fox = half.invoke(drawing, "draw a fox")
        alone = fox.image.model_copy(update={"companion_ids": ()}).bind(fox.image._store)

        winter = half.invoke(drawing, "make it winter", images=[alone])

        assert names(strict) == ["", "call", "bytes"]
        assert (winter.rung, winter.image.parents) == ("bytes", (fox.image.id,))


def test_a_picture_of_another_account_goes_by_its_bytes(half: Any, low: Make, simulator: Simulator):
    """Ids belong to an account: with another key the bytes are used, and the other's picture is never touched."""
    fox = low(api_key="one account").invoke("draw a fox")

    winter = half.invoke(low(api_key="another"), "make it winter", images=[fox])

    assert names(simulator) == ["", "call", "bytes"]
    assert winter.rung == "bytes"


def test_a_picture_of_another_provider_is_not_asked_for(half: Any, low: Make, simulator: Simulator):
    """An id means nothing elsewhere, so that no request is wasted on it."""
    fox = low().invoke("draw a fox").image
    foreign = fox.model_copy(update={"provider": "api.elsewhere"})

    winter = half.invoke(low(), "make it winter", images=[foreign])

    assert names(simulator) == ["", "bytes"]
    assert winter.rung == "bytes"


def test_when_no_way_is_left_the_error_names_each(half: Any, low: Make, simulator: Simulator, image_store: ImageStore):
    """The service has forgotten the id and the store has lost the bytes: the error says both."""
    fox = low().invoke("draw a fox")
    simulator.expire(fox.image.id)
    image_store.prune(keep=["0" * 64])

    with pytest.raises(UnknownImageError, match=f"{fox.image.handle} can no longer be edited") as caught:
        half.invoke(low(), "make it winter", images=[fox])
    assert "call_id: Item with id" in str(caught.value)
    assert "bytes: no image" in str(caught.value)
    assert simulator.pictures == 1


def test_an_id_that_nobody_knows_is_the_services_error(draw: Any, simulator: Simulator):
    """A call id from elsewhere has no bytes here: the service's words are handed on."""
    with pytest.raises(ServiceError, match="Item with id 'ig_elsewhere' not found") as caught:
        draw("make it winter", images=["ig_elsewhere"])
    assert caught.value.status == 404
    assert simulator.pictures == 0


def test_a_lost_response_is_told_from_a_lost_picture(draw: Any, simulator: Simulator):
    """A previous response that is gone says nothing against the picture beside it."""
    fox = draw("draw a fox")

    with pytest.raises(ServiceError, match="resp_nowhere"):
        draw("make it winter", images=[fox], previous_response_id="resp_nowhere")
    assert len(simulator.requests) == 2


# --- an edit that was none


def test_a_new_picture_in_place_of_an_edit_is_told(draw: Any, simulator: Simulator):
    """An answer that says it drew anew has a warning, no rung and no parents."""
    fox = draw("draw a fox")
    simulator.script(REDRAWN)

    result = draw("make it winter", images=[fox])

    assert result.warnings == ("the service drew a new picture instead of editing the one it was given",)
    assert (result.rung, result.image.action, result.image.parents) == (None, "generate", ())


def test_a_new_picture_is_no_surprise_where_the_model_may_choose(draw: Any, simulator: Simulator):
    """With `action="auto"` or `"generate"` drawing anew is what was asked for: no warning, still no parents."""
    fox = draw("draw a fox")

    results = [draw("draw a dog", images=[fox], action=action) for action in ("auto", "generate")]

    assert [(result.rung, result.warnings, result.image.parents) for result in results] == [(None, (), ())] * 2


@pytest.fixture
def unknown_model(simulator: Simulator) -> Iterator[str]:
    """An image model that neither this package nor the simulator knows; it draws anew."""
    encoded = base64.b64encode(paint("a fox", size=(64, 64))).decode()
    item = {"type": "image_generation_call", "id": "ig_new", "status": "completed", "result": encoded}
    body = {"id": "resp_new", "object": "response", "status": "completed", "output": [{**item, "action": "generate"}]}
    simulator.script(answer(body))
    return "gpt-image-9"


def test_an_unknown_image_model_is_told_no_action(draw: Any, simulator: Simulator, unknown_model: str):
    """What such a model accepts is not known: the action is left out, and the warning alone applies."""
    result = draw("make it winter", images=[paint("a fox", size=(64, 64))], model=unknown_model)

    assert "action" not in simulator.requests[-1].body["tools"][0]
    assert simulator.requests[-1].body["tools"][0]["model"] == unknown_model
    assert len(result.warnings) == 1
    assert (result.rung, result.image.parents) == (None, ())


def test_expired_response(half: Any, remembering: ImageGenerator, simulator: Simulator):
    """A response to continue that has expired is continued by its pictures, which the memory knows."""
    fox = half.invoke(remembering, "draw a fox")
    simulator.expire(fox.response_id)

    winter = half.invoke(remembering, "make it winter", previous_response_id=fox.response_id)
    assert names(simulator)[1:] == ["response", "call"]
    assert (winter.rung, winter.image.parents) == ("call_id", (fox.image.id,))
    assert fox.response_id in winter.warnings[0]


def test_pictures_keep_their_order(draw: Any, simulator: Simulator):
    """The first image is what the caller listed first, whichever way each is named."""
    hat, fox = paint("a hat", size=(816, 816)), draw("draw a fox").image

    for images in ([hat, fox], [fox, hat], [hat, fox, hat]):
        draw("edit the first image by adding the second", images=images)
        drawn_from = [image.read() if image is fox else image for image in images]
        assert list(simulator.orders[-1].sources) == drawn_from


def test_a_source_stays_in_its_own_store(half: Any, low: Make, tmp_path: Any):
    """An edit is written to the generator's store, and its source is still read from the one it was drawn into."""
    fox = half.invoke(low(image_store=ImageStore(tmp_path / "one")), "draw a fox")

    winter = half.invoke(low(image_store=ImageStore(tmp_path / "two")), "make it winter", images=[fox])
    assert winter.sources[0].read() == fox.image.read()
    assert winter.image.read() != fox.image.read()
