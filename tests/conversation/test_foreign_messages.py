"""Messages, blocks and records that other servers or clients wrote: read if possible, otherwise skipped."""

from __future__ import annotations

import base64
import io
import logging
from typing import Any

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_to_dict,
)
from PIL import Image

from langchain_imagegen import (
    GeneratedImage,
    ImageGenerationMiddleware,
    ImageMemory,
    ImageStore,
    images_from,
    merge_images,
)
from langchain_imagegen.conversation.content_blocks import read_block, reference_block
from langchain_imagegen.conversation.message_forms import as_messages
from langchain_imagegen.conversation.messages import images_in, read_conversation, upload
from langchain_imagegen.errors import OptionError, UnknownImageError
from tests.conversations import SMALL

CALL = "image_generation_call"


def png_base64(color: str = "red") -> str:
    """Return the base64 of a small PNG of one color."""
    data = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


TEXT = png_base64()
DATA_URL = f"data:image/png;base64,{TEXT}"
RECORD = {"id": "ig_1", "sha256": "0" * 64, "size_bytes": 1, "mime_type": "image/png", "provider": "api.example"}
DEEP: Any = {"type": "image", "base64": TEXT}
for _ in range(3_000):
    DEEP = {"type": "non_standard", "value": DEEP}


def call(**fields: Any) -> AIMessage:
    """Return a model's message with an odd image call and a good one."""
    good = {"type": CALL, "id": "ig_good", "result": TEXT}
    return AIMessage([{"type": CALL, "id": "ig_odd", "result": png_base64("blue"), **fields}, good])


ODD_MESSAGES = [
    AIMessage("x", additional_kwargs={"tool_outputs": ["x"]}),
    AIMessage("x", additional_kwargs={"tool_outputs": 5}),
    AIMessage("x", additional_kwargs={"tool_outputs": [None, {"type": []}, {"type": CALL, "id": 5}]}),
    AIMessage("x", additional_kwargs={"reasoning": "x"}),
    AIMessage("x", additional_kwargs={"reasoning": {"id": ["x"]}}),
    AIMessage("x", response_metadata={"id": 5, "created_at": "x", "store": "perhaps"}),
    AIMessage([{"type": CALL, "id": "ig_2", "result": png_base64("blue")}], response_metadata={"created_at": 1e300}),
    call(id=5),
    call(id=[]),
    call(id={}),
    call(id=""),
    call(result=5),
    call(result=[]),
    call(result="no base64!"),
    call(revised_prompt=5),
    call(revised_prompt="half an emoji \ud83d"),
    call(action=["edit"]),
    call(size={}),
    call(status=0, error="x"),
    call(error=5),
    call(record="x"),
    call(result=None, record={**RECORD, "parents": [["x"]]}),
    AIMessage([{"type": "image", "id": "ig_3", "base64": TEXT, "extras": "x"}]),
    AIMessage([{"type": "non_standard"}]),
    AIMessage([{"type": "non_standard", "value": "x"}]),
    AIMessage([DEEP]),
    HumanMessage([{"type": []}]),
    HumanMessage([{"type": {}}]),
    HumanMessage([{"type": None, "text": 5}]),
    HumanMessage([{}]),
    HumanMessage([{"type": "text"}, {"type": "text", "text": None}]),
    HumanMessage([{"type": "image"}]),
    HumanMessage([{"type": "image", "base64": 5}]),
    HumanMessage([{"type": "image", "base64": "="}]),
    HumanMessage([{"type": "image", "file_id": []}]),
    HumanMessage([{"type": "image", "file_id": 5}]),
    HumanMessage([{"type": "image", "url": 5}]),
    HumanMessage([{"type": "image", "source": 5}]),
    HumanMessage([{"type": "image", "source": {"data": {"data": {}}}}]),
    HumanMessage([{"type": "image_url", "image_url": 5}]),
    HumanMessage([{"type": "image_url", "image_url": {"url": ["x"]}}]),
    HumanMessage([{"type": "image_url", "image_url": "data:image/png,x"}]),
    HumanMessage([{"type": "imagegen_reference"}]),
    HumanMessage([{"type": "imagegen_reference", "record": {**RECORD, "sha256": 5}}]),
    HumanMessage([reference_block({**RECORD, "mime_type": 'image/x" onerror="alert(1)'})]),
    HumanMessage([reference_block({**RECORD, "size_bytes": "many"})]),
    ToolMessage("x", tool_call_id="a", artifact={"images": [None, "x", 5, [], {"id": "x"}]}),
    ToolMessage("x", tool_call_id="a", artifact={"images": [{**RECORD, "id": ["x"]}], "sources": 5}),
    ToolMessage("x", tool_call_id="a", artifact=[None, {"type": []}]),
    ToolMessage([{"type": "image", "data": 5}], tool_call_id="a"),
    {"type": "AIMessageChunk", "content": "x"},
    {"role": "critic", "content": "x"},
    {"role": "tool", "content": "x"},
    {"role": [], "content": "x"},
    {"role": "user", "content": 5},
    {"role": "user", "content": [5]},
    {"role": "user"},
    {"type": "ai", "data": 5},
    {"type": "ai", "data": {}},
    {"type": "constructor", "id": [], "kwargs": {}},
    {"a": 1},
    {},
    None,
    5,
    1.5,
    b"x",
    ["x"],
    ("user", 5),
    ChatMessage(role="critic", content="x"),
]


@pytest.mark.parametrize("odd", ODD_MESSAGES, ids=range(len(ODD_MESSAGES)))
def test_an_odd_message_leaves_the_thread_usable(odd: Any, image_store: ImageStore):
    """A picture is found beside any odd message of a client, and nothing raises."""
    messages = [HumanMessage([{"type": "image", "base64": png_base64("green")}]), odd]
    photo = upload(base64.b64decode(png_base64("green")), image_store)

    memory = ImageMemory.from_state({"messages": messages}, image_store=image_store)
    assert photo.id in memory
    assert memory.get("1").read() == photo.read()
    assert [image.record() for image in memory]
    assert photo.id in {image.id for image in images_from(messages, image_store=image_store)}
    assert memory._repr_mimebundle_()["text/plain"]


ODD_RECORDS = [
    {"parents": [["x"]]},
    {"parents": "ig_0"},
    {"parents": 5},
    {"dead_rungs": ["x"]},
    {"dead_rungs": {"x": 1}},
    {"companion_ids": [None]},
    {"created_at": "x"},
    {"created_at": []},
    {"origin": "x"},
    {"origin": []},
    {"provider": 5},
    {"prompt": ["x"]},
    {"prompt": "half an emoji \ud83d"},
    {"revised_prompt": 5},
    {"stored": "perhaps"},
    {"width": "wide"},
    {"height": {}},
    {"handle": 5},
    {"size": 5},
    {5: 6},
]


@pytest.mark.parametrize("odd", ODD_RECORDS, ids=map(str, ODD_RECORDS))
def test_an_odd_field_of_a_record_is_dropped(odd: Any, caplog: pytest.LogCaptureFixture):
    """A record with one field that cannot be read is still an image, without that field, and the log says so."""
    records = {"ig_1": {**RECORD, **odd}}

    for memory in (
        ImageMemory.from_state({"generated_images": records}),
        ImageMemory.from_state(
            {"messages": [ToolMessage("x", tool_call_id="a", artifact={"images": [records["ig_1"]]})]}
        ),
        ImageMemory.from_state({"generated_images": merge_images(records, records)}),
    ):
        [image] = memory
        assert (image.id, image.parents, image.dead_rungs) == ("ig_1", (), ())
        assert memory.lineage("last") == [image]
        assert "\ud83d" not in repr(image)
    assert odd == {"prompt": "half an emoji \ud83d"} or "dropped fields" in caplog.text or "parents" in odd


@pytest.mark.parametrize("odd", [5, "x", None, [], {"a": 1}, {**RECORD, "id": 5}, {**RECORD, "id": "\ud83d"}], ids=repr)
def test_invalid_record_is_skipped(odd: Any, caplog: pytest.LogCaptureFixture):
    """An invalid record in the channel is skipped and logged, and the other images are found."""
    memory = ImageMemory.from_state({"generated_images": {"x": odd, "ig_1": RECORD}})

    assert [image.id for image in memory] == ["ig_1"]
    assert "passed over" in caplog.text


@pytest.mark.parametrize("messages", [5, "x", b"x", {"a": 1}, None], ids=repr)
def test_messages_of_an_odd_type_hide_no_image(messages: Any):
    """The channel of a state is read even if its messages are no list."""
    assert len(ImageMemory.from_state({"messages": messages, "generated_images": {"ig_1": RECORD}})) == 1


def test_skipped_message_is_logged_without_its_content(caplog: pytest.LogCaptureFixture, image_store: ImageStore):
    """The log entry about a skipped message holds none of the values that a client wrote."""
    with caplog.at_level(logging.WARNING):
        images_in([{"role": "critic", "content": "a secret"}], image_store)

    assert "passed over" in caplog.text
    assert "secret" not in caplog.text


# --- forms of messages


@pytest.mark.parametrize(
    "message",
    [
        {"type": "AIMessageChunk", "content": [{"type": CALL, "id": "ig_1", "result": TEXT}]},
        dumpd(AIMessage([{"type": CALL, "id": "ig_1", "result": TEXT}])),
        *messages_to_dict([AIMessage([{"type": CALL, "id": "ig_1", "result": TEXT}])]),
        {"type": CALL, "id": "ig_1", "result": TEXT},
        {"role": "model", "content": [{"type": CALL, "id": "ig_1", "result": TEXT}]},
        ChatMessage(role="Assistant", content=[{"type": CALL, "id": "ig_1", "result": TEXT}]),
        {"role": "tool", "content": "x", "artifact": {"images": [RECORD]}},
    ],
)
def test_messages_of_every_form_are_read(message: Any, image_store: ImageStore):
    """`images_in` reads chunks, dumps, serialized messages, output items and tool messages without an id."""
    assert [image.id for image in images_in([message], image_store)] == ["ig_1"]


@pytest.mark.parametrize("messages", [[1], [None], [{"a": 1}], 5, [{"role": "critic", "content": "x"}], [["x"]]])
def test_invalid_messages_are_refused_when_drawing(messages: Any):
    """Drawing from invalid messages raises an error that describes valid ones."""
    with pytest.raises(OptionError, match=r"'role' and 'content'|accepted are user"):
        as_messages(messages)


# --- forms of pictures

PICTURES = {
    "v1": {"type": "image", "base64": TEXT, "mime_type": "image/png"},
    "v0": {"type": "image", "source_type": "base64", "data": TEXT, "mime_type": "image/png"},
    "v0 url": {"type": "image", "source_type": "url", "url": DATA_URL},
    "chat completions": {"type": "image_url", "image_url": {"url": DATA_URL}},
    "responses": {"type": "input_image", "image_url": DATA_URL},
    "anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": TEXT}},
    "vercel": {"type": "image", "image": TEXT, "mediaType": "image/png"},
    "vercel data URL": {"type": "image", "image": DATA_URL},
    "vercel bytes": {"type": "image", "image": base64.b64decode(TEXT)},
    "vercel file": {"type": "file", "data": TEXT, "mediaType": "image/png"},
    "google": {"inline_data": {"mime_type": "image/png", "data": TEXT}},
    "google, camel case": {"inlineData": {"mimeType": "image/png", "data": TEXT}},
    "gemini": {"type": "media", "mime_type": "image/png", "data": TEXT},
    "bedrock": {"image": {"format": "png", "source": {"bytes": base64.b64decode(TEXT)}}},
    "mcp": {"type": "image", "data": TEXT, "mimeType": "image/png"},
    "file of v1": {"type": "file", "base64": TEXT, "mime_type": "image/png"},
    "file of chat completions": {"type": "file", "file": {"filename": "a.png", "file_data": DATA_URL}},
}


@pytest.mark.parametrize("form", PICTURES)
@pytest.mark.parametrize(
    ("kind", "origin"), [(HumanMessage, "user"), (SystemMessage, "user"), (AIMessage, "model"), (ToolMessage, "tool")]
)
def test_a_picture_is_read_in_every_form_and_message(form: str, kind: Any, origin: str, image_store: ImageStore):
    """A picture is read in every form and role, and its record says who sent it."""
    extra = {"tool_call_id": "a"} if kind is ToolMessage else {}
    message = kind([{"type": "text", "text": "here"}, PICTURES[form]], **extra)

    [image] = images_in([message], image_store)
    assert (image.read(), image.origin) == (base64.b64decode(TEXT), origin)
    assert image.id == f"sha256:{image.sha256}"
    assert images_from([message], image_store=image_store) == [image]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source_type": "id", "id": "file-1"},
        {"type": "image", "file_id": "file-1"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "image_url", "image_url": {"file_id": "file-1"}},
        {"type": "image", "source": {"type": "file", "file_id": "file-1"}},
    ],
)
def test_a_file_id_is_read_in_every_form(block: Any):
    """`read_block` finds the file id in every form of block."""
    pointer = read_block(block)

    assert pointer is not None
    assert pointer.file_id == "file-1"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": DATA_URL},
        {"type": "file", "base64": "aGVsbG8=", "mime_type": "application/pdf"},
        {"type": "media", "mime_type": "audio/wav", "data": "aGVsbG8="},
        {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}},
    ],
)
def test_other_blocks_are_no_pictures(block: Any, image_store: ImageStore):
    """Blocks with text, documents or sound hold no image."""
    assert read_block(block) is None
    assert images_in([HumanMessage([block])], image_store) == []


def test_preview_of_our_tool_is_no_second_picture(image_store: ImageStore):
    """The small picture that `show_to_model` adds to a tool message is not an image of its own."""
    message = ToolMessage([PICTURES["v1"]], tool_call_id="a", artifact={"images": [RECORD]})

    assert [image.id for image in images_in([message], image_store)] == ["ig_1"]


def test_a_picture_of_another_tool_can_be_edited(low: Any, simulator: Any, image_store: ImageStore):
    """A generator with a memory edits a picture that another tool returned."""
    memory = ImageMemory.from_messages([ToolMessage([PICTURES["mcp"]], tool_call_id="a")], image_store=image_store)

    edited = low(memory=memory).invoke("edit it: make it night", images=["last"])
    assert edited.image.parents == (memory.get("1").id,)
    assert simulator.orders[-1].sources == (base64.b64decode(TEXT),)


# --- drawing from messages


def test_input_text_and_input_image_are_read(half: Any, low: Any, simulator: Any):
    """Drawing from a message takes `input_text` as the prompt and `input_image` as the picture to edit."""
    content = [{"type": "input_text", "text": "Make it night"}, {"type": "input_image", "image_url": DATA_URL}]

    result = half.invoke(low(), [HumanMessage(content)])
    assert result.image.prompt == "Make it night"
    assert simulator.orders[-1].sources == (base64.b64decode(TEXT),)


def test_two_texts_become_two_lines(half: Any, low: Any):
    """The prompt of a message with two text blocks has one line for each."""
    content = [{"type": "text", "text": "Draw a fox"}, {"type": "text", "text": "in the snow"}]

    assert half.invoke(low(), [HumanMessage(content)]).image.prompt == "Draw a fox\nin the snow"


@pytest.mark.parametrize("form", PICTURES)
@pytest.mark.parametrize("role", ["user", "system", "assistant"])
def test_a_picture_of_any_message_is_sent(form: str, role: str, low: Any, simulator: Any):
    """The request edits a picture in a user's, system or model message, in any form of block."""
    picture = {"role": role, "content": [PICTURES[form]]}
    prompt = {"role": "user", "content": "edit it: make it night"}

    result = low().invoke([picture, prompt])
    assert simulator.orders[-1].sources == (base64.b64decode(TEXT),)
    assert result.image.parents or role == "system"


@pytest.mark.parametrize("role", ["user", "system", "assistant"])
def test_url_in_an_earlier_message_is_read(role: str, image_store: ImageStore):
    """The URL of a picture in an earlier message is among the images of the conversation."""
    url = "https://example.org/fox.png"
    earlier = {"role": role, "content": [{"type": "image_url", "image_url": {"url": url}}]}

    [pointer] = read_conversation([earlier, ("user", "edit it")], image_store).images
    assert pointer.url == url  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "block", [{"type": "image"}, {"type": "image", "pixels": [1]}, {"type": "image_url", "image_url": 5}]
)
@pytest.mark.parametrize("role", ["user", "system"])
def test_an_unreadable_picture_is_an_error_when_drawing(role: str, block: Any, half: Any, low: Any, simulator: Any):
    """Drawing from a message with an unreadable picture raises an error and sends nothing."""
    messages = [{"role": role, "content": [{"type": "text", "text": "edit it"}, block]}, ("user", "go on")]

    with pytest.raises(UnknownImageError, match="holds no picture that can be read"):
        half.invoke(low(), messages[: 1 if role == "user" else 2])
    assert not simulator.requests


def test_a_document_is_an_error_when_drawing(low: Any, simulator: Any):
    """Drawing from a message with a document raises an error that names its type, and sends nothing."""
    block = {"type": "file", "base64": "aGVsbG8=", "mime_type": "application/pdf"}

    with pytest.raises(OptionError, match="type 'file' is neither text nor a picture"):
        low().invoke([HumanMessage([{"type": "text", "text": "draw this"}, block])])
    assert not simulator.requests


@pytest.mark.parametrize(
    "source",
    [
        [ChatMessage(role="user", content="No, draw a dog")],
        {"messages": [HumanMessage("No, draw a dog")]},
        {"messages": [HumanMessage("No, draw a dog")], "generated_images": {}},
        [{"type": "human", "data": {"content": "No, draw a dog"}}],
    ],
)
def test_text_of_the_user_is_the_prompt(source: Any, half: Any, low: Any):
    """The generator reads the prompt from a `ChatMessage`, from a graph's state and from a dumped message."""
    assert half.invoke(low(), source).image.prompt == "No, draw a dog"


# --- a picture that is given twice


def test_saved_picture_is_recognized(half: Any, low: Any, tmp_path: Any):
    """A drawn picture that is saved and given back as a file is the known image, so its lineage continues."""
    memory = ImageMemory()
    draw = low(memory=memory)
    fox = half.invoke(draw, "draw a fox")
    winter = half.invoke(draw, "make it winter", images=[fox.image.save(tmp_path / "fox.png")])

    assert [image.id for image in memory] == [fox.image.id, winter.image.id]
    assert memory.lineage(winter) == [*fox.images, memory.get("2")]
    assert memory.children(fox) == [memory["last"]]


GIVEN_BACK = {
    "file": lambda image, folder: image.save(folder / "fox.png"),
    "bytes": lambda image, _: image.read(),
    "open file": lambda image, _: io.BytesIO(image.read()),
    "base64 text": lambda image, _: base64.b64encode(image.read()).decode(),
    "data URL": lambda image, _: image.to_data_url(),
    "content block": lambda image, _: {"type": "image", "base64": base64.b64encode(image.read()).decode()},
}


@pytest.mark.parametrize("form", GIVEN_BACK)
def test_known_picture_is_edited_by_id(form: str, half: Any, low: Any, simulator: Any, tmp_path: Any):
    """A picture that the memory knows is edited by its id, in whatever form its bytes are given."""
    draw = low(memory=ImageMemory())
    fox = half.invoke(draw, "draw a fox")
    winter = half.invoke(draw, "make it winter", images=[GIVEN_BACK[form](fox.image, tmp_path)])

    assert (winter.rung, winter.image.parents) == ("call_id", (fox.image.id,))
    assert "data:image" not in repr(simulator.requests[-1].body)
    assert simulator.orders[-1].sources == (fox.image.read(),)


def test_given_bytes_are_sent_if_the_id_is_lost(half: Any, low: Any, simulator: Any, tmp_path: Any):
    """The given file is sent if both the service and the memory's store have lost the picture."""
    gone = ImageStore(tmp_path / "gone")
    memory = ImageMemory(image_store=gone)
    fox = half.invoke(low(image_store=gone, memory=memory), "draw a fox")
    file = fox.image.save(tmp_path / "fox.png")
    gone.prune(keep=["0" * 64])
    simulator.expire(fox.image.id)

    winter = half.invoke(low(memory=memory), "make it winter", images=[file])
    assert (winter.rung, winter.image.parents) == ("bytes", (fox.image.id,))
    assert simulator.orders[-1].sources == (file.read_bytes(),)


def test_upload_of_a_drawn_picture_is_recognized(image_store: ImageStore):
    """A drawn picture that the user uploads is the known image and keeps the origin `model`."""
    drawn = GeneratedImage.of(image_store.put(base64.b64decode(TEXT)), id="ig_1", provider="api.example")
    state = {"generated_images": {"ig_1": drawn.record()}, "messages": [HumanMessage([PICTURES["v1"]])]}

    [image] = ImageMemory.from_state(state, image_store=image_store)
    assert (image.id, image.origin) == ("ig_1", "model")
    assert ImageMemory([drawn]).get(PICTURES["v1"]).id == "ig_1"


def test_odd_messages_stop_no_agent(talks: Any):
    """`offload` accepts every odd message, and an agent with a malformed message in its thread still draws."""
    middleware = ImageGenerationMiddleware(SMALL)
    for odd in (odd for odd in ODD_MESSAGES if isinstance(odd, AIMessage | HumanMessage)):
        light = middleware.offload([HumanMessage("hi"), odd])
        assert all(isinstance(message, BaseMessage) for message in light)
    broken = AIMessage("x", additional_kwargs={"tool_outputs": ["x"], "reasoning": "x"})
    state = talks.start(middleware).say(HumanMessage("hi"), broken, HumanMessage("draw a fox"))
    assert len(state["generated_images"]) == 1


def test_input_text_is_the_recorded_prompt(talks: Any):
    """In an agent the record keeps the text of an `input_text` block as the prompt."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say(HumanMessage([{"type": "input_text", "text": "Draw a fox"}]))
    assert talk.memory["last"].prompt == "Draw a fox"
