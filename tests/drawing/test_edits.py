"""How an edit refers to its source (the rungs), which rung follows when one fails, and what is remembered."""

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

NEW_PICTURE = Fault("new picture", item=lambda item: {**item, "action": "generate"})
"""The service draws a new picture instead of editing its source."""


@pytest.fixture
def draw(half: Any, low: Make) -> Callable[..., ImageResult]:
    """Return a function that draws small pictures, sync or async."""
    return partial(half.invoke, low())


@pytest.fixture
def generator_with_memory(low: Make, image_store: ImageStore) -> ImageGenerator:
    """Return a generator with a memory."""
    return low(memory=ImageMemory(image_store=image_store))


def rungs_sent(simulator: Simulator) -> list[str]:
    """Return how each request referred to its sources: `call`, `bytes`, `response`, joined by `+`, or an empty text."""
    return [_rungs_of(request.body) for request in simulator.requests if request.path.endswith("/responses")]


def _rungs_of(body: Any) -> str:
    text = str(body)
    marks = {"call": "'image_generation_call'", "bytes": "data:image/", "response": "previous_response_id"}
    return "+".join(rung for rung, mark in marks.items() if mark in text)


# --- the first rung


@pytest.mark.parametrize(
    ("reference", "sent", "rung"),
    [
        ("auto", "call", "call_id"),
        ("call_id", "call", "call_id"),
        ("response_id", "response", "response_id"),
        ("bytes", "bytes", "bytes"),
    ],
)
def test_the_first_rung_can_be_chosen(reference: str, sent: str, rung: str, half: Any, low: Make, simulator: Simulator):
    """Each setting of `reference` edits the source with one request, which refers to it by that rung."""
    drawing = low(reference=reference)
    fox = half.invoke(drawing, "draw a fox")

    winter = half.invoke(drawing, "make it winter", images=[fox])

    assert rungs_sent(simulator) == ["", sent]
    assert (winter.rung, winter.image.action, winter.warnings) == (rung, "edit", ())
    assert winter.image.parents == (fox.image.id,)
    assert simulator.orders[-1].sources == (fox.image.read(),)
    if reference == "response_id":
        assert simulator.requests[-1].body["previous_response_id"] == fox.response_id


def test_pictures_of_two_responses_cannot_be_chained(half: Any, low: Make, simulator: Simulator):
    """With `reference="response_id"`, sources from two responses are referred to by their call ids."""
    drawing = low(reference="response_id")
    fox, cat = drawing.invoke("draw a fox"), drawing.invoke("draw a cat")

    both = half.invoke(drawing, "put both side by side", images=[fox, cat])

    assert both.rung == "call_id"
    assert set(simulator.orders[-1].sources) == {fox.image.read(), cat.image.read()}


def test_an_unstored_picture_is_sent_as_bytes(half: Any, low: Make, simulator: Simulator):
    """With `store=False`, an edit sends its source's bytes and no id, in one request."""
    drawing = low(store=False)
    fox, cat = drawing.invoke("draw a fox"), drawing.invoke("draw a cat")

    winter = half.invoke(drawing, "make it winter", images=[fox])

    assert (fox.image.stored, cat.image.stored) == (False, False)
    assert rungs_sent(simulator) == ["", "", "bytes"]
    assert simulator.orders[-1].sources == (fox.image.read(),)
    assert (winter.rung, winter.warnings) == ("bytes", ())


def test_reasoning_is_sent_with_its_picture(half: Any, low: Make, generator: Make):
    """If the service requires a picture's reasoning item, the edit sends it and needs one request."""
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
    """A reasoning item that two sources share is sent once."""
    with Simulator(reasoning_required=True) as strict:
        drawing = low(base_url=strict.base_url, model="gpt-5")
        foxes = half.invoke(drawing, "draw two pictures of a fox")

        half.invoke(drawing, "put both side by side", images=[foxes])

        kinds = [item.get("type") for item in strict.requests[-1].body["input"]]
        assert kinds == ["item_reference", "image_generation_call", "image_generation_call", None]


# --- a rung that fails


def test_an_expired_picture_is_edited_in_the_same_call(
    half: Any, generator_with_memory: ImageGenerator, simulator: Simulator
):
    """If the service no longer has an id, the same call sends the bytes, and the result has a warning."""
    fox = half.invoke(generator_with_memory, "draw a fox")
    simulator.expire(fox.image.id)

    winter = half.invoke(generator_with_memory, "make it winter", images=["last"])

    assert rungs_sent(simulator) == ["", "call", "bytes"]
    assert (winter.rung, winter.image.parents) == ("bytes", (fox.image.id,))
    assert simulator.orders[-1].sources == (fox.image.read(),)
    (warning,) = winter.warnings
    assert "an earlier way to name the image failed" in warning
    assert fox.image.id in warning
    assert simulator.pictures == 2


def test_a_dead_rung_is_not_tried_again(half: Any, generator_with_memory: ImageGenerator, simulator: Simulator):
    """The source's record remembers the dead rung, so that the next edit needs one request."""
    fox = half.invoke(generator_with_memory, "draw a fox").image
    simulator.expire(fox.id)
    half.invoke(generator_with_memory, "make it winter", images=[fox.handle])

    summer = half.invoke(generator_with_memory, "make it summer", images=[fox.handle])

    assert rungs_sent(simulator) == ["", "call", "bytes", "bytes"]
    assert (summer.rung, summer.warnings) == ("bytes", ())
    assert generator_with_memory.memory is not None
    assert generator_with_memory.memory.get(fox.handle).dead_rungs == ("call_id",)


def test_a_dead_rung_is_remembered_without_a_memory(draw: Any, simulator: Simulator):
    """Without a memory, the result's `sources` remember the dead rung."""
    fox = draw("draw a fox")
    simulator.expire(fox.image.id)

    winter = draw("make it winter", images=[fox])

    assert [source.dead_rungs for source in winter.sources] == [("call_id",)]
    draw("make it summer", images=list(winter.sources))
    assert rungs_sent(simulator) == ["", "call", "bytes", "bytes"]


def test_only_the_lost_source_is_sent_as_bytes(draw: Any, simulator: Simulator):
    """If the service has lost one of two sources, the other one is still referred to by its id."""
    fox, cat = draw("draw a fox"), draw("draw a cat")
    simulator.expire(cat.image.id)

    both = draw("put both side by side", images=[fox, cat])

    assert rungs_sent(simulator)[2:] == ["call", "call+bytes"]
    assert [source.dead_rungs for source in both.sources] == [(), ("call_id",)]
    assert set(simulator.orders[-1].sources) == {fox.image.read(), cat.image.read()}


def test_every_rung_is_tried_in_turn(half: Any, low: Make, simulator: Simulator):
    """If a response was deleted, one call tries the response id, then the call id, then the bytes."""
    drawing = low(reference="response_id")
    fox = half.invoke(drawing, "draw a fox")
    with openai.OpenAI(base_url=simulator.base_url, api_key="simulated") as client:
        client.responses.delete(str(fox.response_id))

    winter = half.invoke(drawing, "make it winter", images=[fox])

    assert rungs_sent(simulator) == ["", "response", "call", "bytes"]
    assert (winter.rung, len(winter.warnings)) == ("bytes", 2)
    assert winter.sources[0].dead_rungs == ("response_id", "call_id")


def test_missing_reasoning_falls_back_to_bytes(half: Any, low: Make):
    """If the service requires a reasoning item that the record lacks, the source's bytes are sent."""
    with Simulator(reasoning_required=True) as strict:
        drawing = low(base_url=strict.base_url, model="gpt-5")
        fox = half.invoke(drawing, "draw a fox")
        alone = fox.image.model_copy(update={"companion_ids": ()}).bind(fox.image._store)

        winter = half.invoke(drawing, "make it winter", images=[alone])

        assert rungs_sent(strict) == ["", "call", "bytes"]
        assert (winter.rung, winter.image.parents) == ("bytes", (fox.image.id,))


def test_a_picture_of_another_account_is_sent_as_bytes(half: Any, low: Make, simulator: Simulator):
    """If the key belongs to another account, which cannot find the id, the source's bytes are sent."""
    fox = low(api_key="one account").invoke("draw a fox")

    winter = half.invoke(low(api_key="another"), "make it winter", images=[fox])

    assert rungs_sent(simulator) == ["", "call", "bytes"]
    assert winter.rung == "bytes"


def test_an_id_of_another_provider_is_never_sent(half: Any, low: Make, simulator: Simulator):
    """The source of another provider is sent as bytes in the first request."""
    fox = low().invoke("draw a fox").image
    foreign = fox.model_copy(update={"provider": "api.elsewhere"})

    winter = half.invoke(low(), "make it winter", images=[foreign])

    assert rungs_sent(simulator) == ["", "bytes"]
    assert winter.rung == "bytes"


def test_when_no_rung_is_left_the_error_names_each(half: Any, low: Make, simulator: Simulator, image_store: ImageStore):
    """If the service has lost the id and the store has lost the bytes, the error reports both."""
    fox = low().invoke("draw a fox")
    simulator.expire(fox.image.id)
    image_store.prune(keep=["0" * 64])

    with pytest.raises(UnknownImageError, match=f"{fox.image.handle} can no longer be edited") as caught:
        half.invoke(low(), "make it winter", images=[fox])
    assert "call_id: Item with id" in str(caught.value)
    assert "bytes: no image" in str(caught.value)
    assert simulator.pictures == 1


def test_an_unknown_id_raises_the_services_error(draw: Any, simulator: Simulator):
    """An unknown call id without local bytes raises an error with the service's message."""
    with pytest.raises(ServiceError, match="Item with id 'ig_elsewhere' not found") as caught:
        draw("make it winter", images=["ig_elsewhere"])
    assert caught.value.status == 404
    assert simulator.pictures == 0


def test_a_lost_response_is_not_a_lost_source(draw: Any, simulator: Simulator):
    """An error about an unknown `previous_response_id` raises at once and does not try another rung for the source."""
    fox = draw("draw a fox")

    with pytest.raises(ServiceError, match="resp_nowhere"):
        draw("make it winter", images=[fox], previous_response_id="resp_nowhere")
    assert len(simulator.requests) == 2


# --- new pictures in place of edits


def test_a_new_picture_in_place_of_an_edit(draw: Any, simulator: Simulator):
    """If the service draws a new picture instead of an edit, the result has a warning, no rung and no parents."""
    fox = draw("draw a fox")
    simulator.script(NEW_PICTURE)

    result = draw("make it winter", images=[fox])

    assert result.warnings == ("the service drew a new picture instead of editing the one it was given",)
    assert (result.rung, result.image.action, result.image.parents) == (None, "generate", ())


def test_a_new_picture_where_the_model_may_choose(draw: Any, simulator: Simulator):
    """With `action="auto"` or `"generate"`, a new picture has no warning and no parents."""
    fox = draw("draw a fox")

    results = [draw("draw a dog", images=[fox], action=action) for action in ("auto", "generate")]

    assert [(result.rung, result.warnings, result.image.parents) for result in results] == [(None, (), ())] * 2


@pytest.fixture
def unknown_model(simulator: Simulator) -> Iterator[str]:
    """Return the name of an image model that is not in the tables and draws a new picture."""
    encoded = base64.b64encode(paint("a fox", size=(64, 64))).decode()
    item = {"type": "image_generation_call", "id": "ig_new", "status": "completed", "result": encoded}
    body = {"id": "resp_new", "object": "response", "status": "completed", "output": [{**item, "action": "generate"}]}
    simulator.script(answer(body))
    return "gpt-image-9"


def test_an_unknown_image_model_gets_no_action(draw: Any, simulator: Simulator, unknown_model: str):
    """For an unknown image model no `action` is sent, and a new picture has the same warning."""
    result = draw("make it winter", images=[paint("a fox", size=(64, 64))], model=unknown_model)

    assert "action" not in simulator.requests[-1].body["tools"][0]
    assert simulator.requests[-1].body["tools"][0]["model"] == unknown_model
    assert len(result.warnings) == 1
    assert (result.rung, result.image.parents) == (None, ())


def test_expired_response(half: Any, generator_with_memory: ImageGenerator, simulator: Simulator):
    """An expired `previous_response_id` is replaced by the pictures of that response in the memory."""
    fox = half.invoke(generator_with_memory, "draw a fox")
    simulator.expire(fox.response_id)

    winter = half.invoke(generator_with_memory, "make it winter", previous_response_id=fox.response_id)
    assert rungs_sent(simulator)[1:] == ["response", "call"]
    assert (winter.rung, winter.image.parents) == ("call_id", (fox.image.id,))
    assert fox.response_id in winter.warnings[0]


def test_sources_keep_their_order(draw: Any, simulator: Simulator):
    """The service gets the sources in the caller's order, whichever rung each of them uses."""
    hat, fox = paint("a hat", size=(816, 816)), draw("draw a fox").image

    for images in ([hat, fox], [fox, hat], [hat, fox, hat]):
        draw("edit the first image by adding the second", images=images)
        expected = [image.read() if image is fox else image for image in images]
        assert list(simulator.orders[-1].sources) == expected


def test_a_source_stays_in_its_own_store(half: Any, low: Make, tmp_path: Any):
    """An edit reads its source from the source's own store."""
    fox = half.invoke(low(image_store=ImageStore(tmp_path / "one")), "draw a fox")

    winter = half.invoke(low(image_store=ImageStore(tmp_path / "two")), "make it winter", images=[fox])
    assert winter.sources[0].read() == fox.image.read()
    assert winter.image.read() != fox.image.read()
