"""`ImageGenerationMiddleware(wire=True)`, and tokens in messages: what tracers and clients see, who is believed."""

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
from tests.conversations import SMALL, VERSIONS, called, copies, encoded, photo
from tests.scripted import DONE, asks, scripted

LONG = 4096
FOX = draw("a fox", size=(816, 816))


class Listener(BaseCallbackHandler):
    """Keeps the longest string in whatever a callback is told, and how many bytes a tracer would write down."""

    def __init__(self) -> None:
        self.longest, self.written = "", 0
        self.heard: set[str] = set()

    def _hear(self, name: str, *told: Any) -> None:
        self.heard.add(name)
        self.longest = max([self.longest, *strings(told)], key=len)
        self.written += len(dumps_json(told))


for _name in [name for name in dir(BaseCallbackHandler) if name.startswith("on_")]:

    def _heard(self: Listener, *args: Any, _name: str = _name, **facts: Any) -> None:
        self._hear(_name, *args, facts)

    setattr(Listener, _name, _heard)


def strings(value: Any, seen: set[int] | None = None) -> Iterator[str]:
    """Every string in a value, however deep."""
    seen = set() if seen is None else seen
    if isinstance(value, (str, bytes)):
        yield value if isinstance(value, str) else repr(value)
    elif id(value) not in seen:
        seen.add(id(value))
        for part in parts(value):
            yield from strings(part, seen)


def parts(value: Any) -> Iterable[Any]:
    """What a value holds."""
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, BaseModel):
        return [*dict(value).values(), *(value.__pydantic_extra__ or {}).values()]
    if is_dataclass(value):
        return [getattr(value, field.name) for field in fields(value)]
    return []


# What is seen of a hosted call


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_nobody_sees_base64(talks, version, streaming):
    """No callback of model, chain or graph is told a string over 4 KB, and the state has what it has without."""
    listener = Listener()
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=talks.model(output_version=version))
    config = {"configurable": {"thread_id": "one"}, "callbacks": [listener]}
    talk.say("draw a fox", streaming=streaming, config=config)
    talk.say("make it winter", streaming=streaming, config=config)

    fox, winter = talk.memory
    assert {"on_chat_model_start", "on_llm_end", "on_chain_start", "on_chain_end"} <= listener.heard
    assert ("on_llm_new_token" in listener.heard) is streaming
    assert len(listener.longest) < LONG
    assert copies(talk.file) == 0
    assert (fox.width, fox.prompt, winter.read()[:4]) == (816, "draw a fox", b"\x89PNG")
    assert called(talk.asked) == [fox.id]
    assert "imagegen:" not in repr(talk.state)
    assert not tokens_in(talk.state)


def tokens_in(value: Any) -> list[str]:
    """The tokens in a value."""
    return [text for text in strings(value) if text.startswith("aW1hZ2VnZW46")]


def test_the_listener_would_see_base64(talks):
    """Without `wire` the same callbacks are told the whole picture, so that the test above can fail."""
    listener = Listener()
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say("draw a fox", config={"configurable": {"thread_id": "one"}, "callbacks": [listener]})

    assert len(listener.longest) > 50_000


@pytest.mark.parametrize("mode", ["messages", "updates", "values", "debug"])
def test_streams_of_a_graph_are_light(talks, half, mode):
    """What a graph streams in any mode holds a token at most."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True))
    config = {"configurable": {"thread_id": "one"}}

    pieces = half.stream(talk.agent, {"messages": "draw a fox"}, config=config, stream_mode=mode)

    assert len(max(strings(pieces), key=len)) < LONG
    assert bool(tokens_in(pieces)) is (mode == "messages")


def test_events_are_light(talks, half):
    """Neither `astream_events` tells more."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True))

    async def listen() -> list[Any]:
        config = {"configurable": {"thread_id": "one"}}
        told = talk.agent.astream_events({"messages": "draw a fox"}, config=config, version="v2")
        return [event async for event in told]

    if half.name == "async":
        events = half.wait(listen)
        assert {"on_chat_model_stream", "on_chat_model_end"} <= {event["event"] for event in events}
        assert len(max(strings(events), key=len)) < LONG


def test_ten_turns_of_traces(talks):
    """All that callbacks are told of ten turns of 2 MB is written down in a third of a megabyte, base64 in none of it.

    Without any middleware it is 440 MB, with the middleware and without `wire` 27 MB.
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
def test_faults_end_as_without(talks, fault):
    """What goes wrong with a picture ends in the same state, or the same error, as without `wire`."""
    ended = []
    for wire in (False, True):
        talks.simulator.script(fault)
        talk = talks.start(ImageGenerationMiddleware(SMALL, wire=wire), file=f"{wire}.sqlite")
        try:
            talk.say("draw a fox")
            ended.append(([len(drawn.read()) for drawn in talk.memory], copies(talk.file)))
        except Exception as error:  # noqa: BLE001 - which, is the question
            ended.append((type(error), str(error)))

    assert ended[0] == ended[1]


def test_a_store_that_fails_costs_no_picture(talks, tmp_path, caplog):
    """Where the store cannot be written the picture stays in the message, as without `wire`."""
    (tmp_path / "file").write_bytes(b"")
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True, image_store=ImageStore(tmp_path / "file")))
    talk.say("draw a fox")

    assert len(max(strings(talk.state["messages"]), key=len)) > 50_000
    assert "passes as base64" in caplog.text


def test_pictures_that_the_service_does_not_keep(talks):
    """With `store=False` the next request carries the picture's own bytes, and never a token."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=talks.model(store=False))
    talk.say("draw a fox")
    talk.say("make it winter")

    assert talks.simulator.orders[-1].sources == (talk.memory.get("1").read(),)
    assert not tokens_in(talk.requests[-1].body)


def test_only_hosted_calls_are_made_by_a_copy(talks, generator):
    """A chat model that draws with our tool is used as it is."""
    tool = ImageGenerationTool(generator=generator(options=SMALL, api_key="sk-a"))
    model = scripted(asks("a"), DONE)
    talk = talks.start(ImageGenerationMiddleware(wire=True, tool=tool), model=model)
    talk.say("draw a fox")

    assert len(model.read) == 2
    assert len(talk.memory) == 1


def test_both_ways_at_once(talks, half, image_store):
    """A chat model that was made with `http_clients` for the same store may be wired as well."""
    clients = http_clients(image_store)
    middleware = ImageGenerationMiddleware(SMALL, wire=True, image_store=image_store)
    talk = talks.start(middleware, model=talks.model(**clients))
    talk.say("draw a fox")
    clients["http_client"].close()
    half.wait(clients["http_async_client"].aclose)

    assert talk.memory.latest.bind(image_store).read().startswith(b"\x89PNG")
    assert not tokens_in(talk.state)


# Tokens in messages


def answer_with(result: str, version: str = "responses/v1", text: str = "here it is") -> AIMessage:
    """A model's message with something in the place of its picture."""
    call = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": result}
    words = {"type": "text", "text": text}
    if version == "v0":
        return AIMessage(text, additional_kwargs={"tool_outputs": [call]})
    if version == "v1":
        return AIMessage([words, {"type": "image", "id": "ig_1", "base64": result, "mime_type": "image/png"}])
    return AIMessage([words, call])


@pytest.fixture
def token(image_store: ImageStore) -> str:
    """The token of a picture in the store."""
    blob = image_store.put(FOX)
    return write_token(blob.sha256, blob.mime_type)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_token_is_read_as_its_picture(half, image_store, token, version):
    """Messages, states and the parser give the picture that a token names, with what its bytes tell."""
    message = answer_with(token, version)
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
def test_a_conversation_with_tokens_gets_the_middleware(talks, image_store, token, version):
    """Messages from before the middleware, which hold tokens, lose them, and their pictures can be edited by id."""
    plain = talks.start(tools=[{"type": "image_generation", **SMALL}], model=talks.model(output_version=version))
    drawn = plain.say("draw a fox")["messages"][-1]
    [before] = images_from(drawn, image_store=image_store)
    lightened = type(drawn).model_validate(
        json.loads(drawn.model_dump_json().replace(encoded(before.read()), write_token(before.sha256, "image/png")))
    )

    middleware = ImageGenerationMiddleware(SMALL, image_store=image_store)
    talk = talks.start(middleware, model=talks.model(output_version=version), file="later.sqlite")
    state = talk.say(HumanMessage("draw a fox"), lightened, HumanMessage("make it winter"))

    assert not tokens_in(state)
    assert called(talk.asked) == [before.id]
    assert talks.simulator.orders[-1].sources == (before.read(),)


def test_a_token_whose_picture_is_gone(image_store, token):
    """A picture that is not in the store is still told by its id, and reading it says where it is missing."""
    image_store.prune(keep=["0" * 64])

    [drawn] = images_from(answer_with(token), image_store=image_store)
    assert (drawn.id, drawn.mime_type, drawn.width) == ("ig_1", "image/png", None)
    with pytest.raises(ImageStoreError, match=r"no image .* in the image store"):
        drawn.read()


def test_a_token_whose_picture_was_changed(token, tmp_path):
    """Bytes that do not have the digest are not taken for the picture."""
    [path] = (tmp_path / "images").rglob("*.png")
    path.write_bytes(photo("another"))

    [drawn] = images_from(answer_with(token), image_store=ImageStore(tmp_path / "images"))
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
def test_a_token_names_a_digest_and_nothing_else(image_store, name):
    """What anybody may write in the place of a picture leads to no path, and is none if it is no exact token."""
    forged = base64.b64encode(name.encode()).decode()

    assert read_token(forged) is None
    assert images_from([answer_with(forged)], image_store=image_store) == []


def test_a_store_knows_only_its_own(image_store, token, tmp_path):
    """A token is looked up in the given store alone, whatever other stores hold."""
    [drawn] = images_from(answer_with(token), image_store=ImageStore(tmp_path / "other"))

    assert drawn.width is None
    with pytest.raises(ImageStoreError):
        drawn.read()


def test_spelling_a_token_is_no_picture(image_store, token):
    """Words that spell a token, in a model's or a user's mouth, are words; so is one that a user sends as a picture."""
    said = [
        AIMessage(f"{token} imagegen:{'a' * 64}:image/png"),
        AIMessage([{"type": "text", "text": token}]),
        HumanMessage(token),
        HumanMessage([{"type": "image", "base64": token, "mime_type": "image/png"}]),
        HumanMessage([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{token}"}}]),
    ]

    assert images_from(said, image_store=image_store) == []


def test_who_is_believed_does_not_change(talks, image_store, token):
    """With `trust="channel"` a token in a posted message is remembered no more than base64 is."""
    middleware = ImageGenerationMiddleware(SMALL, image_store=image_store, trust="channel", wire=True)
    talk = talks.start(middleware)
    talk.say(HumanMessage("draw a fox"), answer_with(token), HumanMessage("draw an owl"))

    assert [drawn.prompt for drawn in talk.memory] == ["draw an owl"]
    assert called(talk.asked) == []


def test_a_response_of_the_sdk(image_store, token):
    """An OpenAI `Response` is read like a message."""
    call = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": token}
    response = Response.model_construct(id="resp_1", created_at=1, output=[call], store=True, tools=[])

    [drawn] = images_from(response, image_store=image_store)
    assert (drawn.id, drawn.width, drawn.response_id, drawn.read()) == ("ig_1", 816, "resp_1", FOX)
