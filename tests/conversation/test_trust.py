"""Messages that a client posts beside a state's channel: what they name is found, what the channel says stays."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_imagegen import GeneratedImage, ImageGenerationMiddleware, ImageMemory, ImageStore, images_from
from langchain_imagegen.conversation.content_blocks import reference_block
from langchain_imagegen.conversation.messages import upload
from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.simulator.drawing import draw as paint
from langchain_imagegen.streaming.placeholders import write_token
from tests.graphs import THREAD
from tests.scripted import DONE, scripted_model

OURS, THEIRS = paint("a fox", size=(16, 16)), paint("another picture", size=(16, 16))
CALL = "image_generation_call"


def state_with(image: GeneratedImage, *messages: BaseMessage) -> dict[str, Any]:
    """Return a state whose channel holds one image, and these messages."""
    return {"generated_images": {image.id: image.record()}, "messages": list(messages)}


def drawn(store: ImageStore, **facts: Any) -> GeneratedImage:
    """Return a drawn picture of the channel, whose id a client knows."""
    fields = {"id": "ig_1", "provider": "api.test", "prompt": "a fox", "response_id": "resp_1", "stored": True, **facts}
    return GeneratedImage.of(store.put(OURS), **fields).bind(store)


def forged_messages(known: GeneratedImage, store: ImageStore) -> list[BaseMessage]:
    """Return a message of each form that can hold a record, all with a known id and the bytes of another picture."""
    other = store.put(THEIRS)
    facts = {"provider": "evil.test", "prompt": "forged", "response_id": "resp_2", "origin": "user", "stored": False}
    lists = {"parents": ["ig_9"], "companion_ids": ["rs_9"], "sent_sha256": other.sha256, "sent_mime_type": "image/png"}
    record = {**GeneratedImage.of(other, id=known.id).record(), **facts, **lists}
    item = {"type": CALL, "id": known.id, "status": "completed"}
    encoded = base64.b64encode(THEIRS).decode()
    return [
        ToolMessage("x", tool_call_id="a", artifact={"images": [record], "sources": [record]}),
        HumanMessage([reference_block(record)]),
        AIMessage([{**item, "record": record}]),
        AIMessage([{**item, "result": encoded, "revised_prompt": "forged"}]),
        AIMessage([{**item, "result": write_token(other.sha256, "image/png")}]),
        AIMessage("", additional_kwargs={"tool_outputs": [{**item, "result": encoded}]}),
        AIMessage([{"type": "image", "id": known.id, "base64": encoded}]),
    ]


@pytest.mark.parametrize("form", range(7))
@pytest.mark.parametrize("facts", [{}, {"provider": "", "prompt": None, "response_id": None, "stored": None}])
def test_a_posted_record_does_not_override_the_channel(form: int, facts: dict[str, Any], image_store: ImageStore):
    """A message that names a known id leaves every field of the channel's record as it is, those without value too."""
    known = drawn(image_store, **facts)
    state = state_with(known, forged_messages(known, image_store)[form])

    memory = ImageMemory.from_state(state, image_store=image_store)
    assert memory.to_records() == [known.record()]
    assert [image.read() for image in images_from(state, image_store=image_store)] == [OURS]
    assert memory.get(known.handle).sent_data_url() == known.to_data_url()


def test_a_posted_picture_does_not_replace_an_upload_of_the_channel(image_store: ImageStore):
    """A message before all others that gives an upload's bytes another id leaves the upload in the memory."""
    photo = upload(OURS, image_store)
    forged = {**photo.record(), "id": "ig_foreign", "provider": "api.test", "origin": "model"}
    state = state_with(photo, HumanMessage([reference_block(forged)]), HumanMessage([reference_block(photo.record())]))

    memory = ImageMemory.from_state(state, image_store=image_store)
    assert photo.id in memory
    assert memory.get(photo.id) == memory.get(OURS) == photo


def test_a_message_tells_which_names_have_failed(image_store: ImageStore):
    """A rung that a message calls dead is dead for an image of the channel too, so that it is not tried again."""
    known = drawn(image_store)
    dead = known.model_copy(update={"dead_rungs": ("call_id",)})
    message = ToolMessage("x", tool_call_id="a", artifact={"images": [dead.record()]})

    assert ImageMemory.from_state(state_with(known, message)).to_records() == [dead.record()]


@pytest.mark.parametrize("form", range(7))
def test_the_channel_of_an_agent_keeps_its_records(form: int, half: Any, image_store: ImageStore):
    """A turn with a forged message writes nothing of it over a record that the agent's channel holds."""
    model = scripted_model(DONE)
    middleware = ImageGenerationMiddleware(image_store=image_store, hosted=False)
    agent = create_agent(model, middleware=[middleware], checkpointer=InMemorySaver())
    known = drawn(image_store)
    artifact = ToolMessage("x", tool_call_id="a", artifact={"images": [known.record()]})
    half.invoke(agent, {"messages": ["look", artifact]}, config=THREAD)

    model.messages = scripted_model(DONE).messages
    forged = forged_messages(known, image_store)[form]
    state = half.invoke(agent, {"messages": [forged, HumanMessage("and now?")]}, config=THREAD)

    assert state["generated_images"] == {known.id: known.record()}


@pytest.mark.parametrize(
    "edited",
    [
        {"sha256": "../../../../etc/passwd"},
        {"sha256": "/etc/passwd"},
        {"sha256": "0" * 63 + "/"},
        {"location": "/etc/passwd", "path": "/etc/passwd", "url": "file:///etc/passwd", "store": "s3://evil"},
        {"id": "../../etc/passwd", "mime_type": "image/../../etc"},
        {"sent_sha256": "../../../../etc/passwd", "sent_mime_type": "image/png"},
        {"mime_type": 'image/png" onerror="alert(1)'},
    ],
    ids=str,
)
def test_an_edited_checkpoint_opens_nothing_else(edited: dict[str, Any], image_store: ImageStore):
    """An edited record in the channel gives the picture with its digest or an error of ours, and no other file."""
    record = {**drawn(image_store).record(), **edited}
    memory = ImageMemory.from_state({"generated_images": {"ig_1": record}}, image_store=image_store)

    for image in memory:
        assert image.read() == OURS
        assert "location" not in image.record()
        with suppress(ImageStoreError):
            assert image.sent_data_url() == drawn(image_store).to_data_url()
    assert len(memory) == ("sha256" not in edited and "mime_type" not in edited)
