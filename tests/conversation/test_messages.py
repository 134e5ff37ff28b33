"""Pictures in messages: hosted calls and uploads in every form, artifacts of tools, and blocks without a picture."""

from __future__ import annotations

import base64
import copy
import gc
import io
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from PIL import Image

from langchain_imagegen import ImageGenerationTool, ImageMemory, ImageOptions, images_from
from langchain_imagegen.conversation.content_blocks import reference_block
from langchain_imagegen.conversation.messages import images_in, upload
from langchain_imagegen.simulator import moderated_beside_good
from tests.scripted import image_call

CALL = "image_generation_call"
FORMS = ["v0", "responses/v1", "v1"]
FOX = "draw a fox"


@pytest.fixture
def chat(simulator):
    """Return a function that makes chat models with the hosted tool that call the simulator."""
    yield lambda form, **settings: ChatOpenAI(
        base_url=simulator.base_url,
        api_key="simulated",
        use_responses_api=True,
        output_version=form,
        **{"model": "gpt-5", **settings},
    ).bind_tools([ImageOptions(output_format="jpeg").tool()])
    gc.collect()


@pytest.fixture
def picture():
    """Return the bytes of a JPEG."""
    data = io.BytesIO()
    Image.new("RGB", (64, 48), "orange").save(data, "JPEG")
    return data.getvalue()


def answer(model, prompt, how):
    """Return the model's message, from `invoke` or as the sum of its stream."""
    if how == "plain":
        return model.invoke(prompt)
    pieces = list(model.stream(prompt))
    return sum(pieces[1:], start=pieces[0])


# Hosted calls


@pytest.mark.parametrize("how", ["plain", "streamed"])
@pytest.mark.parametrize("form", FORMS)
def test_hosted_call_is_read_in_every_form(chat, simulator, image_store, form, how):
    """Every form of message gives the image of a hosted call with its ids, prompt, size and bytes."""
    message = answer(chat(form), FOX, how)

    [image] = ImageMemory.from_messages([HumanMessage(FOX), message], image_store=image_store)
    assert image.id.startswith("ig_")
    assert image.response_id.startswith("resp_")
    assert [id[:3] for id in image.companion_ids] == ["rs_"]
    assert (image.prompt, image.revised_prompt) == (FOX, f"A simulated picture: {FOX}")
    assert (image.mime_type, image.width, image.parents) == ("image/jpeg", simulator.orders[0].size[0], ())
    assert len(image.read()) == image.size_bytes


@pytest.mark.parametrize("form", FORMS)
def test_several_calls_keep_their_order(chat, image_store, form):
    """Two hosted calls in one answer are two images, in order."""
    message = chat(form).invoke("draw two pictures of a fox")

    first, second = images_from(message, image_store=image_store)
    assert second.revised_prompt.endswith("(2 of 2)")
    assert first.sha256 != second.sha256


@pytest.mark.parametrize("form", FORMS)
def test_failed_calls_are_left_out(chat, simulator, image_store, form):
    """An answer with one refused call and one good call gives the image of the good one."""
    simulator.script(moderated_beside_good())
    message = chat(form).invoke(FOX)

    [image] = images_from(message, image_store=image_store)
    assert image.read()


@pytest.mark.parametrize("form", FORMS)
def test_hosted_edit_has_its_parent(chat, image_store, form):
    """A hosted edit has the previous picture as its parent, except in v1 messages, which do not mark edits."""
    model = chat(form)
    turns: list[Any] = [HumanMessage(FOX)]
    turns += [model.invoke(turns), HumanMessage("edit it: make it winter")]
    turns += [model.invoke(turns), HumanMessage("draw an owl")]
    turns.append(model.invoke(turns))

    fox, winter, owl = ImageMemory.from_messages(turns, image_store=image_store)
    assert winter.parents == (() if form == "v1" else (fox.id,))
    assert (fox.parents, owl.parents) == ((), ())


@pytest.mark.parametrize("form", FORMS)
def test_messages_as_json_are_read(chat, image_store, form):
    """Messages dumped to JSON hold the same images as the message objects."""
    message = chat(form).invoke(FOX)
    as_json = json.loads(json.dumps({"type": "ai", **message.model_dump(exclude={"type"}, mode="json")}))

    assert images_from([as_json], image_store=image_store) == images_from([message], image_store=image_store)


def test_reading_twice_stores_once(chat, image_store):
    """Reading a message twice stores its picture once and does not change the message."""
    message = chat("v1").invoke(FOX)
    before = copy.deepcopy(message)

    first, second = (images_from(message, image_store=image_store) for _ in range(2))
    assert first == second
    assert message == before
    assert len([path for path in Path(image_store.location).rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("place", ["content", "additional_kwargs"])
def test_call_without_base64_is_read_from_its_record(picture, image_store, place, wrapped):
    """A call without base64 gives the image of its record, and a call without a record gives none."""
    record = upload(picture, image_store).model_copy(update={"id": "ig_1", "origin": "model"}).record()
    calls = [{"type": CALL, "id": "ig_1", "record": record}, {"type": CALL, "id": "ig_2"}]
    blocks = [{"type": "non_standard", "value": call} for call in calls] if wrapped else calls
    extra = {"tool_outputs": calls} if place == "additional_kwargs" else {}

    [image] = images_from(AIMessage("" if extra else blocks, additional_kwargs=extra), image_store=image_store)
    assert image.id == "ig_1"
    assert image.read() == picture


def test_call_without_an_id_gets_its_digest(picture, image_store):
    """The image of a call without an id has its digest as id."""
    message = AIMessage([{"type": CALL, "result": base64.b64encode(picture).decode(), "status": "completed"}])

    [image] = images_from(message, image_store=image_store)
    assert image.id == f"sha256:{image.sha256}"


def test_unreadable_calls_are_skipped(image_store):
    """`images_from` of a list of messages skips calls with invalid base64 or bytes that are no picture."""
    invalid = [{"type": CALL, "id": f"ig_{n}", "result": text} for n, text in enumerate(["abc", "aGVsbG8=", ""])]

    assert images_from([AIMessage(invalid)], image_store=image_store) == []


def test_message_does_not_change_a_known_handle(chat, image_store):
    """An image in the channel keeps its provider and handle, although its message does not name the provider."""
    message = chat("responses/v1").invoke(FOX)
    [image] = images_from(message, image_store=image_store)
    known = image.model_copy(update={"provider": "api.example"})
    state = {"messages": [message], "generated_images": {image.id: known.record()}}

    [same] = ImageMemory.from_state(state, image_store=image_store)
    assert (same.provider, same.handle) == ("api.example", known.handle)
    assert same.record()["handle"] == ImageMemory.from_state(state).to_records()[0]["handle"] != image.handle


# Uploads

UPLOADS = {
    "v1": lambda text: {"type": "image", "base64": text, "mime_type": "image/jpeg"},
    "v1 data URL": lambda text: {"type": "image", "url": f"data:image/jpeg;base64,{text}"},
    "v0 of LangChain": lambda text: {"type": "image", "source_type": "base64", "data": text, "mime_type": "image/jpeg"},
    "chat completions": lambda text: {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{text}"}},
    "chat completions, short": lambda text: {"type": "image_url", "image_url": f"data:image/jpeg;base64,{text}"},
    "responses": lambda text: {"type": "input_image", "image_url": f"data:image/jpeg;base64,{text}"},
    "anthropic": lambda text: {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/jpeg", "data": text},
    },
    "line breaks": lambda text: {"type": "image", "base64": f"{text[:76]}\n{text[76:]}", "mime_type": "image/jpeg"},
    "wrong type": lambda text: {"type": "image", "base64": text, "mime_type": "image/png"},
}


@pytest.mark.parametrize("form", UPLOADS)
def test_upload_is_read_in_every_form(picture, image_store, form):
    """Any form of block gives the same image of an upload, whose type is read from its bytes."""
    block = UPLOADS[form](base64.b64encode(picture).decode())
    message = HumanMessage([{"type": "text", "text": "edit this"}, block])

    [image] = ImageMemory.from_messages([message], image_store=image_store)
    assert (image.origin, image.stored, image.id) == ("user", False, f"sha256:{image.sha256}")
    assert image.mime_type == "image/jpeg"
    assert image.read() == picture


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": "https://example.org/fox.png"},
        {"type": "image_url", "image_url": {"url": "https://example.org/fox.png"}},
        {"type": "image", "file_id": "file-1"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "image", "base64": "no base64!"},
        {"type": "image", "url": "data:image/svg+xml,<svg/>"},
        {"type": "file", "base64": "aGVsbG8=", "mime_type": "application/pdf"},
        {"type": "text", "text": "data:image/png;base64,aGVsbG8="},
    ],
)
def test_block_without_readable_bytes_is_no_image(image_store, block):
    """A block with a URL, a file id or unreadable bytes gives no image, and nothing is fetched."""
    assert images_from([HumanMessage([block])], image_store=image_store) == []


def test_reference_of_an_upload_is_read(picture, image_store):
    """The reference block that replaces an upload in a message gives the same image."""
    image = upload(picture, image_store)

    assert images_from([HumanMessage([reference_block(image.record())])], image_store=image_store) == [image]


# Artifacts


def test_artifact_holds_the_edit_and_its_source(generator, image_store):
    """A memory reads an edit and its source from one artifact, and `images_from` returns only the edit."""
    draw = generator(memory=ImageMemory(), options={"output_format": "jpeg"})
    tool = ImageGenerationTool(generator=draw)
    tool.invoke(image_call("a", FOX))
    message = tool.invoke(image_call("b", "edit it: make it winter", images=["last"]))

    fox, winter = ImageMemory.from_messages([message], image_store=image_store)
    assert winter.parents == (fox.id,)
    assert [image.id for image in images_from(message, image_store=image_store)] == [winter.id]
    assert fox.read() != winter.read()


@pytest.mark.parametrize(
    "artifact",
    [
        None,
        "text",
        {"images": None},
        {"images": "img_12345678"},
        {"images": [None, 1, {}, {"id": "ig_1"}]},
        {"images": [{"id": "ig_1", "sha256": "0" * 64, "mime_type": "image/png", "size_bytes": "many"}]},
        {"images": [{"id": ["ig_1"], "sha256": 0, "mime_type": {}, "size_bytes": None}], "sources": {}},
    ],
)
def test_foreign_artifacts_are_no_images(image_store, artifact):
    """An artifact without valid records gives no images and raises nothing."""
    message = ToolMessage("done", tool_call_id="a", artifact=artifact)

    assert images_in([message], image_store) == []
