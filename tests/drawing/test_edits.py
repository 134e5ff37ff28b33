"""How an edit names its source, what happens when that fails, and what is remembered of it."""

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
"""The service draws a new picture although it was given a source."""


@pytest.fixture
def draw(half: Any, low: Make) -> Callable[..., ImageResult]:
    """Return a function that draws small pictures fast, sync or async."""
    return partial(half.invoke, low())


@pytest.fixture
def remembering(low: Make, image_store: ImageStore) -> ImageGenerator:
    """Return a generator with a memory."""
    return low(memory=ImageMemory(image_store=image_store))


def names(simulator: Simulator) -> list[str]:
    """Return how each request named a picture: `call`, `bytes`, `response`, or nothing."""
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
    """Each setting of `reference` edits the same picture with one request."""
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
    """With `store=False` an edit sends bytes and no id, in one request."""
    drawing = low(store=False)
    fox, cat = drawing.invoke("draw a fox"), drawing.invoke("draw a cat")

    winter = half.invoke(drawing, "make it winter", images=[fox])

    assert (fox.image.stored, cat.image.stored) == (False, False)
    assert names(simulator) == ["", "", "bytes"]
    assert simulator.orders[-1].sources == (fox.image.read(),)
    assert (winter.rung, winter.warnings) == ("bytes", ())


def test_the_reasoning_goes_with_the_picture(half: Any, low: Make, generator: Make):
    """If the service requires the reasoning item of a picture, it is sent too, and the edit needs one request."""
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
    """A reasoning item that belongs to two pictures is sent once."""
    with Simulator(reasoning_required=True) as strict:
        drawing = low(base_url=strict.base_url, model="gpt-5")
        foxes = half.invoke(drawing, "draw two pictures of a fox")

        half.invoke(drawing, "put both side by side", images=[foxes])

        kinds = [item.get("type") for item in strict.requests[-1].body["input"]]
        assert kinds == ["item_reference", "image_generation_call", "image_generation_call", None]


# --- a way that fails


def test_an_expired_picture_is_edited_in_the_same_call(half: Any, remembering: ImageGenerator, simulator: Simulator):
    """If the service has forgotten an id, the bytes are sent, and the result has a warning."""
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
    """The record keeps the dead rung, so the next edit needs one request."""
    fox = half.invoke(remembering, "draw a fox").image
    simulator.expire(fox.id)
    half.invoke(remembering, "make it winter", images=[fox.handle])

    summer = half.invoke(remembering, "make it summer", images=[fox.handle])

    assert names(simulator) == ["", "call", "bytes", "bytes"]
    assert (summer.rung, summer.warnings) == ("bytes", ())
    assert remembering.memory is not None
    assert remembering.memory.get(fox.handle).dead_rungs == ("call_id",)


def test_a_dead_way_is_told_without_a_memory_too(draw: Any, simulator: Simulator):
    """The result holds the source with its dead rung."""
    fox = draw("draw a fox")
    simulator.expire(fox.image.id)

    winter = draw("make it winter", images=[fox])

    assert [source.dead_rungs for source in winter.sources] == [("call_id",)]
    draw("make it summer", images=list(winter.sources))
    assert names(simulator) == ["", "call", "bytes", "bytes"]


def test_only_the_lost_one_of_several_goes_by_its_bytes(draw: Any, simulator: Simulator):
    """If one of two ids is lost, the other picture is still named by its id."""
    fox, cat = draw("draw a fox"), draw("draw a cat")
    simulator.expire(cat.image.id)

    both = draw("put both side by side", images=[fox, cat])

    assert names(simulator)[2:] == ["call", "call+bytes"]
    assert [source.dead_rungs for source in both.sources] == [(), ("call_id",)]
    assert set(simulator.orders[-1].sources) == {fox.image.read(), cat.image.read()}


def test_every_way_is_tried_in_turn(half: Any, low: Make, simulator: Simulator):
    """After a response is deleted, one call goes from the response id to the call id to the bytes."""
    drawing = low(reference="response_id")
    fox = half.invoke(drawing, "draw a fox")
    with openai.OpenAI(base_url=simulator.base_url, api_key="simulated") as client:
        client.responses.delete(str(fox.response_id))

    winter = half.invoke(drawing, "make it winter", images=[fox])

    assert names(simulator) == ["", "response", "call", "bytes"]
    assert (winter.rung, len(winter.warnings)) == ("bytes", 2)
    assert winter.sources[0].dead_rungs == ("response_id", "call_id")


def test_missing_reasoning_gives_way_to_the_bytes(half: Any, low: Make):
    """If the service requires a reasoning item that is unknown here, the picture is edited by its bytes."""
    with Simulator(reasoning_required=True) as strict:
        drawing = low(base_url=strict.base_url, model="gpt-5")
        fox = half.invoke(drawing, "draw a fox")
        alone = fox.image.model_copy(update={"companion_ids": ()}).bind(fox.image._store)

        winter = half.invoke(drawing, "make it winter", images=[alone])

        assert names(strict) == ["", "call", "bytes"]
        assert (winter.rung, winter.image.parents) == ("bytes", (fox.image.id,))


def test_a_picture_of_another_account_goes_by_its_bytes(half: Any, low: Make, simulator: Simulator):
    """With the key of another account, the bytes are sent, and the other account's picture is not touched."""
    fox = low(api_key="one account").invoke("draw a fox")

    winter = half.invoke(low(api_key="another"), "make it winter", images=[fox])

    assert names(simulator) == ["", "call", "bytes"]
    assert winter.rung == "bytes"


def test_a_picture_of_another_provider_is_not_asked_for(half: Any, low: Make, simulator: Simulator):
    """An id of another provider is never sent; the bytes are sent at once."""
    fox = low().invoke("draw a fox").image
    foreign = fox.model_copy(update={"provider": "api.elsewhere"})

    winter = half.invoke(low(), "make it winter", images=[foreign])

    assert names(simulator) == ["", "bytes"]
    assert winter.rung == "bytes"


def test_when_no_way_is_left_the_error_names_each(half: Any, low: Make, simulator: Simulator, image_store: ImageStore):
    """If the service has lost the id and the store has lost the bytes, the error says both."""
    fox = low().invoke("draw a fox")
    simulator.expire(fox.image.id)
    image_store.prune(keep=["0" * 64])

    with pytest.raises(UnknownImageError, match=f"{fox.image.handle} can no longer be edited") as caught:
        half.invoke(low(), "make it winter", images=[fox])
    assert "call_id: Item with id" in str(caught.value)
    assert "bytes: no image" in str(caught.value)
    assert simulator.pictures == 1


def test_an_id_that_nobody_knows_is_the_services_error(draw: Any, simulator: Simulator):
    """An unknown call id without local bytes is an error in the service's words."""
    with pytest.raises(ServiceError, match="Item with id 'ig_elsewhere' not found") as caught:
        draw("make it winter", images=["ig_elsewhere"])
    assert caught.value.status == 404
    assert simulator.pictures == 0


def test_a_lost_response_is_told_from_a_lost_picture(draw: Any, simulator: Simulator):
    """An error about a lost previous response does not mark a source as lost."""
    fox = draw("draw a fox")

    with pytest.raises(ServiceError, match="resp_nowhere"):
        draw("make it winter", images=[fox], previous_response_id="resp_nowhere")
    assert len(simulator.requests) == 2


# --- an edit that was none


def test_a_new_picture_in_place_of_an_edit_is_told(draw: Any, simulator: Simulator):
    """A new picture instead of an edit has a warning, no rung and no parents."""
    fox = draw("draw a fox")
    simulator.script(REDRAWN)

    result = draw("make it winter", images=[fox])

    assert result.warnings == ("the service drew a new picture instead of editing the one it was given",)
    assert (result.rung, result.image.action, result.image.parents) == (None, "generate", ())


def test_a_new_picture_is_no_surprise_where_the_model_may_choose(draw: Any, simulator: Simulator):
    """With `action="auto"` or `"generate"` a new picture has no warning and no parents."""
    fox = draw("draw a fox")

    results = [draw("draw a dog", images=[fox], action=action) for action in ("auto", "generate")]

    assert [(result.rung, result.warnings, result.image.parents) for result in results] == [(None, (), ())] * 2


@pytest.fixture
def unknown_model(simulator: Simulator) -> Iterator[str]:
    """Return a generator whose image model is unknown and draws new pictures only."""
    encoded = base64.b64encode(paint("a fox", size=(64, 64))).decode()
    item = {"type": "image_generation_call", "id": "ig_new", "status": "completed", "result": encoded}
    body = {"id": "resp_new", "object": "response", "status": "completed", "output": [{**item, "action": "generate"}]}
    simulator.script(answer(body))
    return "gpt-image-9"


def test_an_unknown_image_model_is_told_no_action(draw: Any, simulator: Simulator, unknown_model: str):
    """For an unknown image model no action is sent, and only the warning applies."""
    result = draw("make it winter", images=[paint("a fox", size=(64, 64))], model=unknown_model)

    assert "action" not in simulator.requests[-1].body["tools"][0]
    assert simulator.requests[-1].body["tools"][0]["model"] == unknown_model
    assert len(result.warnings) == 1
    assert (result.rung, result.image.parents) == (None, ())


def test_expired_response(half: Any, remembering: ImageGenerator, simulator: Simulator):
    """An expired previous response is replaced by its pictures, which the memory knows."""
    fox = half.invoke(remembering, "draw a fox")
    simulator.expire(fox.response_id)

    winter = half.invoke(remembering, "make it winter", previous_response_id=fox.response_id)
    assert names(simulator)[1:] == ["response", "call"]
    assert (winter.rung, winter.image.parents) == ("call_id", (fox.image.id,))
    assert fox.response_id in winter.warnings[0]


def test_pictures_keep_their_order(draw: Any, simulator: Simulator):
    """The sources keep the caller's order, however each of them is named."""
    hat, fox = paint("a hat", size=(816, 816)), draw("draw a fox").image

    for images in ([hat, fox], [fox, hat], [hat, fox, hat]):
        draw("edit the first image by adding the second", images=images)
        drawn_from = [image.read() if image is fox else image for image in images]
        assert list(simulator.orders[-1].sources) == drawn_from


def test_a_source_stays_in_its_own_store(half: Any, low: Make, tmp_path: Any):
    """An edit is written to the generator's store, and its source is read from its own store."""
    fox = half.invoke(low(image_store=ImageStore(tmp_path / "one")), "draw a fox")

    winter = half.invoke(low(image_store=ImageStore(tmp_path / "two")), "make it winter", images=[fox])
    assert winter.sources[0].read() == fox.image.read()
    assert winter.image.read() != fox.image.read()
