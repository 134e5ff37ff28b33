"""Messages, blocks and records written by other servers or clients: read if possible, else passed over."""

from __future__ import annotations

import base64
import io
import logging
from typing import Any

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage, messages_to_dict
from PIL import Image

from langchain_imagegen import GeneratedImage, ImageMemory, ImageStore, images_from, merge_images
from langchain_imagegen.conversation.content_blocks import read_block, reference_block
from langchain_imagegen.conversation.message_forms import as_messages
from langchain_imagegen.conversation.messages import images_in, read_conversation, upload
from langchain_imagegen.errors import OptionError, UnknownImageError

CALL = "image_generation_call"


def encoded(color: str = "red") -> str:
    """Return a small picture of one color as base64."""
    data = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


TEXT = encoded()
DATA_URL = f"data:image/png;base64,{TEXT}"
RECORD = {"id": "ig_1", "sha256": "0" * 64, "size_bytes": 1, "mime_type": "image/png", "provider": "api.example"}
DEEP: Any = {"type": "image", "base64": TEXT}
for _ in range(3_000):
    DEEP = {"type": "non_standard", "value": DEEP}


def call(**fields: Any) -> AIMessage:
    """Return a model's message with an odd image call and a good one."""
    good = {"type": CALL, "id": "ig_good", "result": TEXT}
    return AIMessage([{"type": CALL, "id": "ig_odd", "result": encoded("blue"), **fields}, good])


ODD_MESSAGES = [
    AIMessage("x", additional_kwargs={"tool_outputs": ["x"]}),
    AIMessage("x", additional_kwargs={"tool_outputs": 5}),
    AIMessage("x", additional_kwargs={"tool_outputs": [None, {"type": []}, {"type": CALL, "id": 5}]}),
    AIMessage("x", additional_kwargs={"reasoning": "x"}),
    AIMessage("x", additional_kwargs={"reasoning": {"id": ["x"]}}),
    AIMessage("x", response_metadata={"id": 5, "created_at": "x", "store": "perhaps"}),
    AIMessage([{"type": CALL, "id": "ig_2", "result": encoded("blue")}], response_metadata={"created_at": 1e300}),
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
    """Whatever a client posts beside a picture, the picture is found, and no foreign error is raised."""
    messages = [HumanMessage([{"type": "image", "base64": encoded("green")}]), odd]
    photo = upload(base64.b64decode(encoded("green")), image_store)

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
def test_what_is_no_record_is_passed_over(odd: Any, caplog: pytest.LogCaptureFixture):
    """An entry of the channel that is no record hides no other image."""
    memory = ImageMemory.from_state({"generated_images": {"x": odd, "ig_1": RECORD}})

    assert [image.id for image in memory] == ["ig_1"]
    assert "passed over" in caplog.text


@pytest.mark.parametrize("messages", [5, "x", b"x", {"a": 1}, None], ids=repr)
def test_messages_that_are_no_list_hide_no_image(messages: Any):
    """A state whose messages are of an odd type still has its channel."""
    assert len(ImageMemory.from_state({"messages": messages, "generated_images": {"ig_1": RECORD}})) == 1


def test_what_is_passed_over_is_logged_without_its_content(caplog: pytest.LogCaptureFixture, image_store: ImageStore):
    """The log names the kind of thing and its keys, and no value that a client wrote."""
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
    """Chunks, dumps, serialized messages, output items and a tool's message without an id hold their picture."""
    assert [image.id for image in images_in([message], image_store)] == ["ig_1"]


@pytest.mark.parametrize("messages", [[1], [None], [{"a": 1}], 5, [{"role": "critic", "content": "x"}], [["x"]]])
def test_what_is_no_message_is_refused_when_drawing(messages: Any):
    """A developer who gives something else reads what messages look like."""
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
    """A picture is the same image in every form and role, and its record says where it comes from."""
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
    """The service finds the file by itself."""
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
def test_what_is_no_picture_is_not_taken_for_one(block: Any, image_store: ImageStore):
    """Text, documents and sound are no images."""
    assert read_block(block) is None
    assert images_in([HumanMessage([block])], image_store) == []


def test_a_view_of_our_own_tool_is_no_second_picture(image_store: ImageStore):
    """The small view that `show_to_model` adds to a drawn picture is not an image of its own."""
    message = ToolMessage([PICTURES["v1"]], tool_call_id="a", artifact={"images": [RECORD]})

    assert [image.id for image in images_in([message], image_store)] == ["ig_1"]


def test_a_picture_of_another_tool_can_be_edited(low: Any, simulator: Any, image_store: ImageStore):
    """A screenshot that a tool returned is edited by its handle, like an upload."""
    memory = ImageMemory.from_messages([ToolMessage([PICTURES["mcp"]], tool_call_id="a")], image_store=image_store)

    edited = low(memory=memory).invoke("edit it: make it night", images=["last"])
    assert edited.image.parents == (memory.get("1").id,)
    assert simulator.orders[-1].sources == (base64.b64decode(TEXT),)


# --- drawing from messages


def test_words_and_pictures_of_the_responses_form_are_drawn(half: Any, low: Any, simulator: Any):
    """`input_text` is the prompt and `input_image` the picture to edit; neither is lost."""
    content = [{"type": "input_text", "text": "Make it night"}, {"type": "input_image", "image_url": DATA_URL}]

    result = half.invoke(low(), [HumanMessage(content)])
    assert result.image.prompt == "Make it night"
    assert simulator.orders[-1].sources == (base64.b64decode(TEXT),)


def test_two_texts_are_not_glued(half: Any, low: Any):
    """The words of two blocks stay apart."""
    content = [{"type": "text", "text": "Draw a fox"}, {"type": "text", "text": "in the snow"}]

    assert half.invoke(low(), [HumanMessage(content)]).image.prompt == "Draw a fox\nin the snow"


@pytest.mark.parametrize("form", PICTURES)
@pytest.mark.parametrize("role", ["user", "system", "assistant"])
def test_a_picture_of_any_message_is_sent(form: str, role: str, low: Any, simulator: Any):
    """A picture in the user's, the system's or the model's message goes with the request; no fresh one is drawn."""
    picture = {"role": role, "content": [PICTURES[form]]}
    asked = {"role": "user", "content": "edit it: make it night"}

    result = low().invoke([picture, asked])
    assert simulator.orders[-1].sources == (base64.b64decode(TEXT),)
    assert result.image.parents or role == "system"


@pytest.mark.parametrize("role", ["user", "system", "assistant"])
def test_an_address_in_an_earlier_message_is_sent(role: str, image_store: ImageStore):
    """A picture that only the service can fetch is named to it."""
    url = "https://example.org/fox.png"
    earlier = {"role": role, "content": [{"type": "image_url", "image_url": {"url": url}}]}

    [pointer] = read_conversation([earlier, ("user", "edit it")], image_store).images
    assert pointer.url == url  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "block", [{"type": "image"}, {"type": "image", "pixels": [1]}, {"type": "image_url", "image_url": 5}]
)
@pytest.mark.parametrize("role", ["user", "system"])
def test_an_unreadable_picture_is_an_error_when_drawing(role: str, block: Any, half: Any, low: Any, simulator: Any):
    """A block that is meant as a picture is never dropped without a word: nothing is sent, and the error says why."""
    messages = [{"role": role, "content": [{"type": "text", "text": "edit it"}, block]}, ("user", "go on")]

    with pytest.raises(UnknownImageError, match="holds no picture that can be read"):
        half.invoke(low(), messages[: 1 if role == "user" else 2])
    assert not simulator.requests


def test_a_document_is_an_error_when_drawing(low: Any, simulator: Any):
    """What is neither text nor a picture cannot be drawn from, and the error names its type."""
    block = {"type": "file", "base64": "aGVsbG8=", "mime_type": "application/pdf"}

    with pytest.raises(OptionError, match="type 'file' is neither text nor a picture"):
        low().invoke([HumanMessage([{"type": "text", "text": "draw this"}, block])])
    assert not simulator.requests


@pytest.mark.parametrize(
    "given",
    [
        [ChatMessage(role="user", content="No, draw a dog")],
        {"messages": [HumanMessage("No, draw a dog")]},
        {"messages": [HumanMessage("No, draw a dog")], "generated_images": {}},
        {"type": "human", "data": {"content": "No, draw a dog"}},
    ],
)
def test_the_users_words_are_drawn(given: Any, half: Any, low: Any):
    """A message whose role is text, and the state of a graph in which the generator is a node, are read."""
    given = [given] if "data" in given else given

    assert half.invoke(low(), given).image.prompt == "No, draw a dog"


# --- the same picture


def test_a_picture_that_comes_back_is_the_same_picture(half: Any, low: Any, tmp_path: Any):
    """A picture that was saved and is given back as a file is the known one, and its family goes on."""
    memory = ImageMemory()
    draw = low(memory=memory)
    fox = half.invoke(draw, "draw a fox")
    winter = half.invoke(draw, "make it winter", images=[fox.image.save(tmp_path / "fox.png")])

    assert [image.id for image in memory] == [fox.image.id, winter.image.id]
    assert memory.lineage(winter) == [*fox.images, memory.get("2")]
    assert memory.children(fox) == [memory["last"]]


def test_an_upload_of_a_drawn_picture_is_the_drawn_one(image_store: ImageStore):
    """A picture that the user sends back keeps its handle and is not listed as sent by the user."""
    drawn = GeneratedImage.of(image_store.put(base64.b64decode(TEXT)), id="ig_1", provider="api.example")
    state = {"generated_images": {"ig_1": drawn.record()}, "messages": [HumanMessage([PICTURES["v1"]])]}

    [image] = ImageMemory.from_state(state, image_store=image_store)
    assert (image.id, image.origin) == ("ig_1", "model")
    assert ImageMemory([drawn]).get(PICTURES["v1"]).id == "ig_1"


def test_an_odd_message_stops_no_agent(talks: Any):
    """With any of these messages in the thread, the agent's next hosted call draws, and its picture is remembered."""
    from langchain_core.messages import BaseMessage

    from langchain_imagegen import ImageGenerationMiddleware
    from tests.conversations import SMALL

    middleware = ImageGenerationMiddleware(SMALL)
    for odd in (odd for odd in ODD_MESSAGES if isinstance(odd, AIMessage | HumanMessage)):
        light = middleware.offload([HumanMessage("hi"), odd])
        assert all(isinstance(message, BaseMessage) for message in light)
    broken = AIMessage("x", additional_kwargs={"tool_outputs": ["x"], "reasoning": "x"})
    state = talks.start(middleware).say(HumanMessage("hi"), broken, HumanMessage("draw a fox"))
    assert len(state["generated_images"]) == 1


def test_words_of_the_responses_form_are_in_the_record(talks: Any):
    """In an agent, `input_text` is the prompt that the record keeps."""
    from langchain_imagegen import ImageGenerationMiddleware
    from tests.conversations import SMALL

    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say(HumanMessage([{"type": "input_text", "text": "Draw a fox"}]))
    assert talk.memory["last"].prompt == "Draw a fox"
