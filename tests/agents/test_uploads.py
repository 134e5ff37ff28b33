"""Pictures that users send: moved from the state into the store, put back into requests, edited by either tool."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain_core.messages import HumanMessage

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory
from langchain_imagegen.conversation.messages import upload
from tests.conversations import (
    SMALL,
    count_base64,
    database_sizes,
    image_block,
    image_call_ids,
    image_urls,
    keep_last_message,
    photo,
    to_base64,
    user_message,
)
from tests.scripted import DONE, image_call, scripted_model

PHOTO = photo("a street by day")
TEXT = to_base64(PHOTO)
URL = f"data:image/png;base64,{TEXT}"
FORMS = {
    "v1": {"type": "image", "base64": TEXT, "mime_type": "image/png"},
    "v1 url": {"type": "image", "url": URL},
    "image_url": {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
    "image_url text": {"type": "image_url", "image_url": URL},
    "input_image": {"type": "input_image", "image_url": URL},
    "anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": TEXT}},
    "v0": {"type": "image", "source_type": "base64", "data": TEXT, "mime_type": "image/png"},
}
REMOTE = [
    {"type": "image_url", "image_url": {"url": "https://example.com/fox.png"}},
    {"type": "input_image", "image_url": "https://example.com/fox.png"},
    {"type": "input_image", "file_id": "file-abcdef"},
    {"type": "image", "url": "https://example.com/fox.png"},
    {"type": "image", "file_id": "file-abcdef"},
]


@pytest.fixture
def function_tool(generator):
    """Return a function tool for the middleware that draws at the simulator."""
    return ImageGenerationTool(generator=generator(options=SMALL))


@pytest.fixture
def handle(image_store):
    """Return the handle of the photo."""
    return upload(PHOTO, image_store).handle


def block_message(text: str, *blocks: dict[str, Any]) -> HumanMessage:
    """Return a user's message with a text and any blocks."""
    return HumanMessage([{"type": "text", "text": text}, *blocks])


# Editing


@pytest.mark.parametrize("block", FORMS.values(), ids=FORMS)
def test_hosted_tool_edits_a_photo(talks, block):
    """The hosted tool edits a photo in any form of block; the photo is the parent, and the state holds no base64."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    state = talk.say(block_message("make it night", block))

    uploaded, night = talk.memory
    assert talks.simulator.orders[0].sources == (PHOTO,)
    assert (uploaded.origin, uploaded.id) == ("user", f"sha256:{uploaded.sha256}")
    assert night.parents == (uploaded.id,)
    assert uploaded.read() == PHOTO
    assert TEXT not in repr(state)


@pytest.mark.parametrize("block", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("by", ["handle", "last"])
def test_function_tool_edits_a_photo(talks, function_tool, handle, block, by):
    """Our tool edits a photo in any form of block, by the handle shown beside it or as the last picture."""
    model = scripted_model(image_call("a", "make it night", images=[handle if by == "handle" else "last"]), DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=function_tool), model=model)
    state = talk.say(block_message("make it night", block))

    uploaded, night = talk.memory
    assert model.requests[0][-1].content[1:] == [{"type": "text", "text": f"(Image {handle}:)"}, FORMS["v1"]]
    assert talks.simulator.orders[0].sources == (PHOTO,)
    assert night.parents == (uploaded.id,)
    assert TEXT not in repr(state)


def test_photo_is_put_back_into_every_request(talks):
    """A later request shows the photo again, and its message keeps its id and text."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    message = user_message("what is this?", PHOTO)
    message.id = "mine"
    talk.say(message)
    state = talk.say("and who?")

    assert image_urls(talk.last_input) == [URL]
    assert state["messages"][0].id == "mine"
    assert state["messages"][0].text == "what is this?"


def test_several_photos(talks):
    """An edit has every photo of the message as parent; a photo sent twice is one picture."""
    hat = photo("a hat")
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say(user_message("combine them", PHOTO, hat, PHOTO))

    street, cap, combined = talk.memory
    assert (street.read(), cap.read()) == (PHOTO, hat)
    assert combined.parents == (street.id, cap.id)
    assert len(image_urls(talk.last_input)) == 3


def test_photo_with_a_named_picture(talks):
    """An edit has both the picture named in the text and the photo of the message as parents."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say("draw a hat")
    talk.say(user_message(f"edit: add {talk.handles[0]} to this", PHOTO))

    hat, street, combined = talk.memory
    assert image_call_ids(talk.last_input) == [hat.id]
    assert combined.parents == (hat.id, street.id)


def test_trimmed_photo_is_sent_when_named(talks, handle):
    """The request contains a trimmed photo again when the user names its handle."""
    talk = talks.start(keep_last_message(), ImageGenerationMiddleware(SMALL))
    talk.say(user_message("what is this?", PHOTO))
    talk.say("draw a hat")
    talk.say(f"edit {handle}: make it night")

    assert image_urls(talk.last_input) == [URL]
    assert talk.memory.latest.parents == (talk.memory.get(handle).id,)


def test_message_can_be_a_dict(talks):
    """The middleware accepts a message as a dict with role and content."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    state = talk.say({"role": "user", "content": [{"type": "text", "text": "make it night"}, FORMS["image_url"]]})

    assert talks.simulator.orders[0].sources == (PHOTO,)
    assert TEXT not in repr(state)


# What the middleware leaves unchanged


@pytest.mark.parametrize("block", REMOTE, ids=lambda block: f"{block['type']} {list(block)[-1]}")
def test_remote_picture_is_left_unchanged(talks, function_tool, block):
    """A picture given by URL or file id stays in the message and gets no record."""
    model = scripted_model(DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=function_tool), model=model)
    state = talk.say(block_message("look", block))

    assert state["messages"][0].content[1] == model.requests[0][0].content[1] == block
    assert not state.get("generated_images")


@pytest.mark.parametrize("text", ["!!!", to_base64(b"no picture at all"), TEXT[:-7]], ids=["text", "bytes", "cut"])
def test_corrupt_photo_is_left_to_the_service(talks, text):
    """The middleware sends a corrupt photo unchanged, and the service refuses it."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))

    with pytest.raises(openai.BadRequestError):
        talk.say(block_message("make it night", {"type": "image", "base64": text, "mime_type": "image/png"}))
    assert image_urls(talk.last_input) == [f"data:image/png;base64,{text}"]


def test_uploads_can_stay_in_the_state(talks):
    """With `offload_uploads=False` the messages keep their base64, and the photo is still recorded."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, offload_uploads=False))
    state = talk.say(user_message("make it night", PHOTO))

    assert state["messages"][0].content[1] == image_block(PHOTO)
    assert [len(image.parents) for image in talk.memory] == [0, 1]
    assert image_urls(talk.last_input) == [URL]


# Size of the checkpoints


def test_upload_is_written_three_times(talks):
    """The checkpoints hold the three copies that LangGraph writes of any input, and later turns add none."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say(user_message("what is this?", photo(size_bytes=2_000_000)))
    first = count_base64(talk.file)
    for _ in range(9):
        talk.say("and what else?")

    found = database_sizes(talk.file)
    assert (first, count_base64(talk.file)) == (3, 3)
    assert found["checkpoints"] <= 2 * 2_670_000 + 300_000
    assert found["writes"] <= 2_670_000 + 30_000


def test_offloaded_upload_is_in_no_checkpoint(talks):
    """A photo passed through `offload` is in no checkpoint and can still be edited."""
    middleware = ImageGenerationMiddleware(SMALL)
    talk = talks.start(middleware)
    data = photo(size_bytes=2_000_000)
    talk.say(*middleware.offload([user_message("make it night", data)]))
    for _ in range(9):
        talk.say("and what else?")

    assert talks.simulator.orders[0].sources == (data,)
    assert count_base64(talk.file) == 0
    assert database_sizes(talk.file)["file"] <= 300_000


def test_durability_exit_writes_no_copy(talks):
    """With LangGraph's `durability="exit"` no checkpoint holds the photo."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say(user_message("make it night", PHOTO), durability="exit")

    assert count_base64(talk.file) == 0
    assert len(talk.memory) == 2


@pytest.mark.parametrize(
    "messages",
    ["make it night", block_message("make it night", FORMS["v0"]), {"role": "user", "content": [FORMS["image_url"]]}],
    ids=["text", "message", "dict"],
)
def test_offload_accepts_one_message(messages, image_store):
    """`offload` accepts a single text, message or dict, and returns a list."""
    [light] = ImageGenerationMiddleware(image_store=image_store).offload(messages)

    assert TEXT not in repr(light)
    assert len(ImageMemory.from_messages([light])) == (0 if isinstance(messages, str) else 1)


def test_offload_changes_no_message(image_store):
    """`offload` returns new messages and leaves the given ones unchanged."""
    message = block_message("make it night", FORMS["v1"])
    ImageGenerationMiddleware(image_store=image_store).offload([message])

    assert message.content[1] == FORMS["v1"]


def test_uploads_go_into_the_store_of_the_tool(talks, function_tool, image_store):
    """Middleware without its own store puts photos into the store of its tool."""
    model = scripted_model(DONE)
    talks.start(ImageGenerationMiddleware(tool=function_tool), model=model).say(block_message("look", FORMS["v1"]))

    assert upload(PHOTO, image_store).sha256 in image_store
    assert "no longer at hand" not in repr(model.requests)
