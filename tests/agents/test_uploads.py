"""Pictures that users send: out of the state, back into requests, edited by whichever tool there is."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain_core.messages import HumanMessage

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory
from langchain_imagegen.conversation.messages import upload
from tests.conversations import SMALL, called, copies, encoded, image_block, only_the_last, parts, photo, shown, sizes
from tests.scripted import DONE, asks, scripted

PHOTO = photo("a street by day")
TEXT = encoded(PHOTO)
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
ELSEWHERE = [
    {"type": "image_url", "image_url": {"url": "https://example.com/fox.png"}},
    {"type": "input_image", "image_url": "https://example.com/fox.png"},
    {"type": "input_image", "file_id": "file-abcdef"},
    {"type": "image", "url": "https://example.com/fox.png"},
    {"type": "image", "file_id": "file-abcdef"},
]


@pytest.fixture
def function_tool(generator):
    """The middleware's function tool, drawing at the simulator."""
    return ImageGenerationTool(generator=generator(options=SMALL))


@pytest.fixture
def handle(image_store):
    """The handle of the photo."""
    return upload(PHOTO, image_store).handle


def given(text: str, *blocks: dict[str, Any]) -> HumanMessage:
    """A user's message of any blocks."""
    return HumanMessage([{"type": "text", "text": text}, *blocks])


# Editing


@pytest.mark.parametrize("block", FORMS.values(), ids=FORMS)
def test_hosted_tool_edits_a_photo(talks, block):
    """A photo in any form of block is shown to the model, edited, remembered as the parent, and gone from the state."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    state = talk.say(given("make it night", block))

    uploaded, night = talk.memory
    assert talks.simulator.orders[0].sources == (PHOTO,)
    assert (uploaded.origin, uploaded.id) == ("user", f"sha256:{uploaded.sha256}")
    assert night.parents == (uploaded.id,)
    assert uploaded.read() == PHOTO
    assert TEXT not in repr(state)


@pytest.mark.parametrize("block", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("by", ["handle", "last"])
def test_function_tool_edits_a_photo(talks, function_tool, handle, block, by):
    """On any chat model our tool edits the photo, by the handle that stands beside it or as the last picture."""
    model = scripted(asks("a", "make it night", images=[handle if by == "handle" else "last"]), DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=function_tool), model=model)
    state = talk.say(given("make it night", block))

    uploaded, night = talk.memory
    assert model.read[0][-1].content[1:] == [{"type": "text", "text": f"(Image {handle}:)"}, FORMS["v1"]]
    assert talks.simulator.orders[0].sources == (PHOTO,)
    assert night.parents == (uploaded.id,)
    assert TEXT not in repr(state)


def test_photo_comes_back_into_every_request(talks):
    """A later turn still shows the photo where it stood, under the same message id."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    message = shown("what is this?", PHOTO)
    message.id = "mine"
    talk.say(message)
    state = talk.say("and who?")

    assert parts(talk.asked) == [URL]
    assert state["messages"][0].id == "mine"
    assert state["messages"][0].text == "what is this?"


def test_several_photos(talks):
    """All photos of a message are parents of what is made of them; the same one twice is one picture."""
    hat = photo("a hat")
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say(shown("combine them", PHOTO, hat, PHOTO))

    street, cap, combined = talk.memory
    assert (street.read(), cap.read()) == (PHOTO, hat)
    assert combined.parents == (street.id, cap.id)
    assert len(parts(talk.asked)) == 3


def test_photo_beside_a_named_picture(talks):
    """A handle in the text and a photo beside it are both sources."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say("draw a hat")
    talk.say(shown(f"edit: add {talk.handles[0]} to this", PHOTO))

    hat, street, combined = talk.memory
    assert called(talk.asked) == [hat.id]
    assert combined.parents == (hat.id, street.id)


def test_trimmed_photo_is_sent_when_named(talks, handle):
    """A photo that trimming dropped goes along as a picture once the user names it."""
    talk = talks.start(only_the_last(), ImageGenerationMiddleware(SMALL))
    talk.say(shown("what is this?", PHOTO))
    talk.say("draw a hat")
    talk.say(f"edit {handle}: make it night")

    assert parts(talk.asked) == [URL]
    assert talk.memory.latest.parents == (talk.memory.get(handle).id,)


def test_message_as_a_dict(talks):
    """A message in the form of the SDK is taken as well."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    state = talk.say({"role": "user", "content": [{"type": "text", "text": "make it night"}, FORMS["image_url"]]})

    assert talks.simulator.orders[0].sources == (PHOTO,)
    assert TEXT not in repr(state)


# What stays as it is


@pytest.mark.parametrize("block", ELSEWHERE, ids=lambda block: f"{block['type']} {list(block)[-1]}")
def test_picture_elsewhere_is_left_alone(talks, function_tool, block):
    """A picture by web address or file id stays in the message, and no record is made of it."""
    model = scripted(DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=function_tool), model=model)
    state = talk.say(given("look", block))

    assert state["messages"][0].content[1] == model.read[0][0].content[1] == block
    assert not state.get("generated_images")


@pytest.mark.parametrize("text", ["!!!", encoded(b"no picture at all"), TEXT[:-7]], ids=["text", "bytes", "cut"])
def test_corrupt_photo_is_left_to_the_service(talks, text):
    """What is no picture is sent as it came, for the model's service to refuse."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))

    with pytest.raises(openai.BadRequestError):
        talk.say(given("make it night", {"type": "image", "base64": text, "mime_type": "image/png"}))
    assert parts(talk.asked) == [f"data:image/png;base64,{text}"]


def test_uploads_may_stay(talks):
    """With `offload_uploads=False` the messages keep their base64, and the photo is remembered all the same."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, offload_uploads=False))
    state = talk.say(shown("make it night", PHOTO))

    assert state["messages"][0].content[1] == image_block(PHOTO)
    assert [len(image.parents) for image in talk.memory] == [0, 1]
    assert parts(talk.asked) == [URL]


# Size


def test_what_an_upload_costs(talks):
    """LangGraph writes an input three times as it came, and that is all: later turns add no copy."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say(shown("what is this?", photo(size_bytes=2_000_000)))
    first = copies(talk.file)
    for _ in range(9):
        talk.say("and what else?")

    found = sizes(talk.file)
    assert (first, copies(talk.file)) == (3, 3)
    assert found["checkpoints"] <= 2 * 2_670_000 + 300_000
    assert found["writes"] <= 2_670_000 + 30_000


def test_offloaded_upload_costs_nothing(talks):
    """Given through `offload`, the photo is in no checkpoint at all, and is edited all the same."""
    middleware = ImageGenerationMiddleware(SMALL)
    talk = talks.start(middleware)
    data = photo(size_bytes=2_000_000)
    talk.say(*middleware.offload([shown("make it night", data)]))
    for _ in range(9):
        talk.say("and what else?")

    assert talks.simulator.orders[0].sources == (data,)
    assert copies(talk.file) == 0
    assert sizes(talk.file)["file"] <= 300_000


def test_upload_that_is_saved_at_exit_only(talks):
    """With LangGraph's `durability="exit"` no copy is written either."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say(shown("make it night", PHOTO), durability="exit")

    assert copies(talk.file) == 0
    assert len(talk.memory) == 2


@pytest.mark.parametrize(
    "messages",
    ["make it night", given("make it night", FORMS["v0"]), {"role": "user", "content": [FORMS["image_url"]]}],
    ids=["text", "message", "dict"],
)
def test_offload_takes_what_an_agent_takes(messages, image_store):
    """One message needs no list around it, in any form."""
    [light] = ImageGenerationMiddleware(image_store=image_store).offload(messages)

    assert TEXT not in repr(light)
    assert len(ImageMemory.from_messages([light])) == (0 if isinstance(messages, str) else 1)


def test_offload_changes_no_message(image_store):
    """The messages that were given stay as they were."""
    message = given("make it night", FORMS["v1"])
    ImageGenerationMiddleware(image_store=image_store).offload([message])

    assert message.content[1] == FORMS["v1"]


def test_store_of_the_tool_takes_the_uploads(talks, function_tool, image_store):
    """Without a store of its own the middleware puts photos where its tool reads them."""
    model = scripted(DONE)
    talks.start(ImageGenerationMiddleware(tool=function_tool), model=model).say(given("look", FORMS["v1"]))

    assert upload(PHOTO, image_store).sha256 in image_store
    assert "no longer at hand" not in repr(model.read)
