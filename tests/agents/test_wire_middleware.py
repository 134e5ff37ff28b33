"""`ImageGenerationMiddleware(wire=True)` and tokens in messages: what tracers and clients see, which tokens count."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langsmith._internal._serde import dumps_json
from openai.types.responses import Response
from pydantic import BaseModel

from langchain_imagegen import (
    ImageGenerationMiddleware,
    ImageGenerationTool,
    ImageMemory,
    ImageOutputParser,
    ImageStore,
    http_clients,
    images_from,
)
from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.simulator import corrupt_base64, image, moderated_beside_good, not_an_image, server_error
from langchain_imagegen.simulator.drawing import draw
from langchain_imagegen.streaming.placeholders import read_token, write_token
from tests.conversations import SMALL, VERSIONS, count_base64, image_call_ids, photo, to_base64
from tests.scripted import DONE, image_call, scripted_model

LONG = 4096
FOX = draw("a fox", size=(816, 816))


class Listener(BaseCallbackHandler):
    """Record the longest string that any callback receives, and how many bytes a tracer would write."""

    def __init__(self) -> None:
        self.longest, self.written = "", 0
        self.callbacks: set[str] = set()

    def _record(self, name: str, *data: Any) -> None:
        self.callbacks.add(name)
        self.longest = max([self.longest, *strings(data)], key=len)
        self.written += len(dumps_json(data))


for _name in [name for name in dir(BaseCallbackHandler) if name.startswith("on_")]:

    def _callback(self: Listener, *args: Any, _name: str = _name, **facts: Any) -> None:
        self._record(_name, *args, facts)

    setattr(Listener, _name, _callback)


def strings(value: Any, seen: set[int] | None = None) -> Iterator[str]:
    """Yield every string in a value, at any depth."""
    seen = set() if seen is None else seen
    if isinstance(value, (str, bytes)):
        yield value if isinstance(value, str) else repr(value)
    elif id(value) not in seen:
        seen.add(id(value))
        for member in members(value):
            yield from strings(member, seen)


def members(value: Any) -> Iterable[Any]:
    """Return the values that a container, model or dataclass holds."""
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, BaseModel):
        return [*dict(value).values(), *(value.__pydantic_extra__ or {}).values()]
    if is_dataclass(value):
        return [getattr(value, field.name) for field in fields(value)]
    return []


# What callbacks and clients see of a hosted call


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_callbacks_see_no_base64(talks, version, streaming):
    """With `wire=True` no callback receives a string over 4 KB, and state, records and requests are as without it."""
    listener = Listener()
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=talks.model(output_version=version))
    config = {"configurable": {"thread_id": "one"}, "callbacks": [listener]}
    talk.say("draw a fox", streaming=streaming, config=config)
    talk.say("make it winter", streaming=streaming, config=config)

    fox, winter = talk.memory
    assert {"on_chat_model_start", "on_llm_end", "on_chain_start", "on_chain_end"} <= listener.callbacks
    assert ("on_llm_new_token" in listener.callbacks) is streaming
    assert len(listener.longest) < LONG
    assert count_base64(talk.file) == 0
    assert (fox.width, fox.prompt, winter.read()[:4]) == (816, "draw a fox", b"\x89PNG")
    assert image_call_ids(talk.last_input) == [fox.id]
    assert "imagegen:" not in repr(talk.state)
    assert not tokens_in(talk.state)


def tokens_in(value: Any) -> list[str]:
    """Return the tokens in a value."""
    return [text for text in strings(value) if text.startswith("aW1hZ2VnZW46")]


def test_listener_sees_base64_without_wire(talks):
    """Without `wire` the callbacks receive the whole picture, so the listener can detect one."""
    listener = Listener()
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say("draw a fox", config={"configurable": {"thread_id": "one"}, "callbacks": [listener]})

    assert len(listener.longest) > 50_000


@pytest.mark.parametrize("mode", ["messages", "updates", "values", "debug"])
def test_streams_of_a_graph_are_light(talks, half, mode):
    """A graph streams no string over 4 KB in any mode, and tokens only in mode `messages`."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True))
    config = {"configurable": {"thread_id": "one"}}

    pieces = half.stream(talk.agent, {"messages": "draw a fox"}, config=config, stream_mode=mode)

    assert len(max(strings(pieces), key=len)) < LONG
    assert bool(tokens_in(pieces)) is (mode == "messages")


@pytest.mark.parametrize("half", ["async"], indirect=True)
def test_events_are_light(talks, half):
    """`astream_events` yields no string over 4 KB."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True))

    async def collect() -> list[Any]:
        config = {"configurable": {"thread_id": "one"}}
        events = talk.agent.astream_events({"messages": "draw a fox"}, config=config, version="v2")
        return [event async for event in events]

    events = half.wait(collect)
    assert {"on_chat_model_stream", "on_chat_model_end"} <= {event["event"] for event in events}
    assert len(max(strings(events), key=len)) < LONG


def test_traces_of_ten_turns_are_small(talks):
    """With `wire=True` a tracer writes less than 400 KB for ten turns of 2 MB pictures, without any base64.

    Without the middleware a tracer writes 440 MB, and with the middleware but without `wire` 27 MB.
    """
    listener = Listener()
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True))
    for turn in range(10):
        talks.simulator.script(image(photo(f"turn {turn}", size_bytes=2_000_000)))
        config = {"configurable": {"thread_id": "one"}, "callbacks": [listener]}
        talk.say("make it blue" if turn else "draw a fox", config=config)

    assert listener.written < 400_000
    assert len(listener.longest) < LONG
    assert [drawn.size_bytes for drawn in talk.memory] == [2_000_000] * 10


@pytest.mark.parametrize("fault", [corrupt_base64(), not_an_image(), moderated_beside_good(), server_error()])
def test_faults_have_the_same_outcome(talks, fault):
    """A faulty picture leads to the same state or the same error with and without `wire`."""
    outcomes = []
    for wire in (False, True):
        talks.simulator.script(fault)
        talk = talks.start(ImageGenerationMiddleware(SMALL, wire=wire), file=f"{wire}.sqlite")
        try:
            talk.say("draw a fox")
            outcomes.append(([len(drawn.read()) for drawn in talk.memory], count_base64(talk.file)))
        except Exception as error:  # noqa: BLE001 - the test compares whichever error it is
            outcomes.append((type(error), getattr(error, "status", None)))

    assert outcomes[0] == outcomes[1]


def test_failing_store_loses_no_picture(talks, tmp_path, caplog):
    """With a store that cannot be written, the picture stays in the message as base64 and a warning is logged."""
    (tmp_path / "file").write_bytes(b"")
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True, image_store=ImageStore(tmp_path / "file")))
    talk.say("draw a fox")

    assert len(max(strings(talk.state["messages"]), key=len)) > 50_000
    assert "passes as base64" in caplog.text


def test_unstored_picture_is_sent_as_bytes(talks):
    """With `store=False` the next request carries the picture's bytes and no token."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=talks.model(store=False))
    talk.say("draw a fox")
    talk.say("make it winter")

    assert talks.simulator.orders[-1].sources == (talk.memory.get("1").read(),)
    assert not tokens_in(talk.requests[-1].body)


def test_model_with_our_tool_is_not_copied(talks, generator):
    """With our tool the middleware calls the chat model itself, not a copy."""
    tool = ImageGenerationTool(generator=generator(options=SMALL, api_key="sk-a"))
    model = scripted_model(image_call("a"), DONE)
    talk = talks.start(ImageGenerationMiddleware(wire=True, tool=tool), model=model)
    talk.say("draw a fox")

    assert len(model.requests) == 2
    assert len(talk.memory) == 1


def test_wire_works_with_http_clients(talks, half, image_store):
    """`wire=True` works on a chat model that already uses `http_clients` with the same store."""
    clients = http_clients(image_store)
    middleware = ImageGenerationMiddleware(SMALL, wire=True, image_store=image_store)
    talk = talks.start(middleware, model=talks.model(**clients))
    talk.say("draw a fox")
    clients["http_client"].close()
    half.wait(clients["http_async_client"].aclose)

    assert talk.memory.latest.bind(image_store).read().startswith(b"\x89PNG")
    assert not tokens_in(talk.state)


# Tokens in messages


def message_with(result: str, version: str = "responses/v1", text: str = "here it is") -> AIMessage:
    """Return a model's message with `result` in place of its picture."""
    call = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": result}
    words = {"type": "text", "text": text}
    if version == "v0":
        return AIMessage(text, additional_kwargs={"tool_outputs": [call]})
    if version == "v1":
        return AIMessage([words, {"type": "image", "id": "ig_1", "base64": result, "mime_type": "image/png"}])
    return AIMessage([words, call])


@pytest.fixture
def token(image_store: ImageStore) -> str:
    """Return the token of a picture in the store."""
    blob = image_store.put(FOX)
    return write_token(blob.sha256, blob.mime_type)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_token_is_read_as_its_picture(half, image_store, token, version):
    """`images_from`, `ImageMemory` and the parser read a token as the stored picture, with its size and bytes."""
    message = message_with(token, version)
    parser = ImageOutputParser(image_store=image_store)

    for images in (
        images_from(message, image_store=image_store),
        images_from({"messages": [message]}, image_store=image_store),
        list(ImageMemory.from_messages([message], image_store=image_store)),
        list(ImageMemory.from_state({"messages": [message]}, image_store=image_store)),
        half.invoke(parser, message),
    ):
        assert [(drawn.id, drawn.width, drawn.size_bytes, drawn.read()) for drawn in images] == [
            ("ig_1", 816, len(FOX), FOX)
        ]


@pytest.mark.parametrize("version", VERSIONS)
def test_middleware_removes_tokens_of_earlier_messages(talks, image_store, token, version):
    """The middleware removes tokens from earlier messages, and their pictures can be edited by id."""
    plain = talks.start(tools=[{"type": "image_generation", **SMALL}], model=talks.model(output_version=version))
    drawn = plain.say("draw a fox")["messages"][-1]
    [before] = images_from(drawn, image_store=image_store)
    with_token = type(drawn).model_validate(
        json.loads(drawn.model_dump_json().replace(to_base64(before.read()), write_token(before.sha256, "image/png")))
    )

    middleware = ImageGenerationMiddleware(SMALL, image_store=image_store)
    talk = talks.start(middleware, model=talks.model(output_version=version), file="later.sqlite")
    state = talk.say(HumanMessage("draw a fox"), with_token, HumanMessage("make it winter"))

    assert not tokens_in(state)
    assert image_call_ids(talk.last_input) == [before.id]
    assert talks.simulator.orders[-1].sources == (before.read(),)


def test_token_of_a_missing_picture(image_store, token):
    """A token whose picture is not in the store gives an image with its id, and reading it raises `ImageStoreError`."""
    image_store.prune(keep=["0" * 64])

    [drawn] = images_from(message_with(token), image_store=image_store)
    assert (drawn.id, drawn.mime_type, drawn.width) == ("ig_1", "image/png", None)
    with pytest.raises(ImageStoreError, match=r"no image .* in the image store"):
        drawn.read()


def test_token_of_a_changed_picture(token, tmp_path):
    """Reading the image of a token raises `ImageStoreError` if the stored bytes do not match the digest."""
    [path] = (tmp_path / "images").rglob("*.png")
    path.write_bytes(photo("another"))

    [drawn] = images_from(message_with(token), image_store=ImageStore(tmp_path / "images"))
    assert drawn.width is None
    with pytest.raises(ImageStoreError, match="was changed"):
        drawn.read()


FORGED = [
    "imagegen:../../secret:image/png",
    f"imagegen:{'a' * 64}:image/png:extra",
    f"imagegen:{'a' * 63}/:image/png",
    f"imagegen:{'A' * 64}:image/png",
    f"imagegen:{'a' * 64}:text/html",
    f"imagegen:{'a' * 64}:image/../../x",
    f"imagegen:{'a' * 64}:",
    f" imagegen:{'a' * 64}:image/png",
    f"imagegen:{'a' * 64}:image/png\n",
]


@pytest.mark.parametrize("name", FORGED)
def test_malformed_token_is_no_picture(image_store, name):
    """Base64 of anything but an exact token, such as a path, is neither a token nor a picture."""
    forged = base64.b64encode(name.encode()).decode()

    assert read_token(forged) is None
    assert images_from([message_with(forged)], image_store=image_store) == []


def test_token_is_read_from_the_given_store_only(image_store, token, tmp_path):
    """A token is looked up in the given store, even if another store holds its picture."""
    [drawn] = images_from(message_with(token), image_store=ImageStore(tmp_path / "other"))

    assert drawn.width is None
    with pytest.raises(ImageStoreError):
        drawn.read()


def test_token_in_text_or_upload_is_no_picture(image_store, token):
    """A token in a text, or in a picture block of the user, is no picture."""
    messages = [
        AIMessage(f"{token} imagegen:{'a' * 64}:image/png"),
        AIMessage([{"type": "text", "text": token}]),
        HumanMessage(token),
        HumanMessage([{"type": "image", "base64": token, "mime_type": "image/png"}]),
        HumanMessage([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{token}"}}]),
    ]

    assert images_from(messages, image_store=image_store) == []


def test_trusting_the_channel_ignores_posted_tokens(talks, image_store, token):
    """With `trust="channel"` the middleware does not record a token in a posted message."""
    middleware = ImageGenerationMiddleware(SMALL, image_store=image_store, trust="channel", wire=True)
    talk = talks.start(middleware)
    talk.say(HumanMessage("draw a fox"), message_with(token), HumanMessage("draw an owl"))

    assert [drawn.prompt for drawn in talk.memory] == ["draw an owl"]
    assert image_call_ids(talk.last_input) == []


def test_token_in_a_response_of_the_sdk(image_store, token):
    """`images_from` reads a token in an OpenAI `Response`."""
    call = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": token}
    response = Response.model_construct(id="resp_1", created_at=1, output=[call], store=True, tools=[])

    [drawn] = images_from(response, image_store=image_store)
    assert (drawn.id, drawn.width, drawn.response_id, drawn.read()) == ("ig_1", 816, "resp_1", FOX)
