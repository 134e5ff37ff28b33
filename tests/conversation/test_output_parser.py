"""`images_from` and `ImageOutputParser` with chains, agents and plain responses of the SDK."""

from __future__ import annotations

import gc
import re
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_imagegen import (
    GeneratedImage,
    ImageGenerationTool,
    ImageMemory,
    ImageOptions,
    ImageOutputParser,
    images_from,
)
from langchain_imagegen.errors import NoImageError
from langchain_imagegen.simulator import Fault, moderated_beside_good, no_image
from tests.graphs import THREAD, Talk, agent, agent_with_middleware, state_graph
from tests.scripted import Spy, image_call

SMALL = {"size": "816x816", "quality": "low", "output_format": "jpeg"}
FOX = image_call("fox", "draw a fox")
WINTER = image_call("winter", "edit it: make it winter", images=["last"])
BASE64 = re.compile(r"[A-Za-z0-9+/]{400,}")


@pytest.fixture
def chat(simulator):
    """Return a chat model with the hosted tool that calls the simulator."""
    model = ChatOpenAI(
        model="gpt-5", base_url=simulator.base_url, api_key="simulated", use_responses_api=True, store=None
    )
    yield model.bind_tools([ImageOptions(**SMALL).tool()])
    gc.collect()


@pytest.fixture
def tool(generator):
    """Return a tool that draws small pictures."""
    return ImageGenerationTool(generator=generator(options=SMALL))


@pytest.fixture
def client(simulator):
    """Return an SDK client that calls the simulator."""
    with openai.OpenAI(base_url=simulator.base_url, api_key="simulated") as started:
        yield started


def create_response(client, prompt="draw a fox", **fields):
    """Return a response of the SDK that draws the prompt."""
    return client.responses.create(model="gpt-5", input=prompt, tools=[ImageOptions(**SMALL).tool()], **fields)


def prompts(images):
    """Return the prompts of the images."""
    return [image.prompt for image in images]


# --- a chain that ends in pictures


def test_chain_returns_images(chat, simulator, image_store):
    """A chain of a chat model and the parser returns images whose bytes can be read."""
    chain = chat | ImageOutputParser(image_store=image_store)

    [image] = chain.invoke("draw a fox")
    assert isinstance(image, GeneratedImage)
    assert (image.to_pil().size, image.mime_type) == ((816, 816), "image/jpeg")
    assert simulator.pictures == 1


def test_chain_uses_the_default_store(chat, own_folder):
    """A parser without a store puts the pictures into the default store."""
    [image] = (chat | ImageOutputParser()).invoke("draw a fox")

    assert image.read() in [file.read_bytes() for file in own_folder.rglob("*.jpg*") if file.is_file()]


async def test_async_chain_returns_images(chat, image_store):
    """`ainvoke` of the parser returns the images of a message."""
    message = chat.invoke("draw a fox")

    [image] = await (RunnableLambda(lambda _: message) | ImageOutputParser(image_store=image_store)).ainvoke("x")
    assert await image.aread()


def test_streamed_chain_yields_images_once(chat, image_store):
    """A streamed chain yields all images in one piece, when they are complete."""
    pieces = list((chat | ImageOutputParser(image_store=image_store)).stream("draw two pictures of a fox"))

    assert [len(piece) for piece in pieces] == [2]
    assert all(image.read() for image in pieces[0])


def test_parser_follows_the_generator(generator):
    """The parser returns the images of one result or a list of results of `ImageGenerator`."""
    draw = generator(options=SMALL)
    parse = ImageOutputParser()

    assert prompts((draw | parse).invoke("draw a fox")) == ["draw a fox"]
    assert prompts((draw.map() | parse).invoke(["draw a fox", "draw an owl"])) == ["draw a fox", "draw an owl"]


def test_text_answer_is_an_error_with_its_text(chat, simulator):
    """An answer with text raises `NoImageError` that holds the text and says what to do."""
    simulator.script(no_image("I would rather not."))

    with pytest.raises(NoImageError, match="allow_empty=True") as caught:
        (chat | ImageOutputParser()).invoke("draw a fox")
    assert caught.value.text == "I would rather not."


@pytest.mark.parametrize(
    "source",
    [
        AIMessage("No."),
        [HumanMessage("draw"), AIMessage("No.")],
        {"messages": [HumanMessage("draw"), AIMessage("No.")]},
    ],
)
def test_error_quotes_the_text_of_any_source(half, source):
    """`NoImageError` holds the model's text for every kind of source, and `allow_empty=True` returns an empty list."""
    with pytest.raises(NoImageError) as caught:
        half.invoke(ImageOutputParser(), source)

    assert caught.value.text == "No."
    assert half.invoke(ImageOutputParser(allow_empty=True), source) == []


def test_trace_holds_no_picture(chat, half):
    """The traces of the parser's runs are small and hold no base64."""
    message, spy = chat.invoke("draw a fox"), Spy()

    for source in (message, [message], {"messages": [message]}):
        half.invoke(ImageOutputParser(), source, config={"callbacks": [spy]})
    assert len(spy.records) == 6
    assert not any(BASE64.search(record) for record in spy.records)
    assert max(map(len, spy.records)) < 5_000


# --- sources


def test_every_source_gives_the_same_images(half, tool, generator):
    """An agent's state, its snapshot, its messages and one message give the same images."""
    talk = Talk(half, agent_with_middleware, tool)
    talk.turn(FOX)
    snapshot = talk.graph.get_state(THREAD)
    [fox] = images_from(talk.state)

    for source in (
        snapshot,
        snapshot.values,
        talk.state["messages"],
        talk.tool_messages[0],
        tuple(talk.state["messages"]),
    ):
        assert images_from(source) == [fox]
    assert images_from(fox) == images_from([fox, fox]) == [fox]
    assert fox.read()


def test_state_can_be_an_object(half, tool):
    """A pydantic state, and a state with its messages under another key, give the same images."""

    class State(BaseModel):
        messages: list[Any]
        generated_images: dict[str, Any] = {}

    talk = Talk(half, agent, tool)
    known = list(talk.turn(FOX))

    assert images_from(State(messages=talk.state["messages"])) == known
    assert images_from({"chat": talk.state["messages"]}) == known
    assert list(ImageMemory.from_state({"a": talk.state["messages"], "b": []}, messages_key="b")) == []


def test_message_of_an_edit_gives_only_the_edit(half, tool):
    """The message of an edit gives only the edit, and the conversation gives the edit and its source."""
    talk = Talk(half, agent, tool)
    talk.turn(FOX, WINTER)

    assert prompts(images_from(talk.tool_messages[-1])) == ["edit it: make it winter"]
    assert prompts(images_from(talk.state)) == ["draw a fox", "edit it: make it winter"]


@pytest.mark.parametrize("place", [agent, agent_with_middleware])
def test_since_last_human_returns_the_last_turn(half, tool, place):
    """`since="last_human"` returns only the images that were drawn after the user's last message."""
    talk = Talk(half, place, tool)
    talk.turn(FOX)
    talk.turn(WINTER, image_call("owl", "draw an owl"))
    latest = ["edit it: make it winter", "draw an owl"]

    assert prompts(images_from(talk.state, since="last_human")) == latest
    assert prompts(images_from(talk.state["messages"], since="last_human")) == latest
    assert prompts(half.invoke(ImageOutputParser(since="last_human"), talk.state)) == latest
    talk.turn()
    assert images_from(talk.state, since="last_human") == []
    assert len(images_from(talk.state)) == 3


def test_bytes_are_read_with_or_without_a_store(half, tool, image_store):
    """An image reads its bytes from the given store, or without one from any open store."""
    talk = Talk(half, agent, tool)
    talk.turn(FOX)

    assert images_from(talk.state)[0].read() == images_from(talk.state, image_store=image_store)[0].read()


@pytest.mark.parametrize("source", [None, "a fox", 5, object(), b"bytes"])
def test_any_other_source_is_refused(source):
    """`images_from` raises a `TypeError` for any other value and says what it accepts."""
    with pytest.raises(TypeError, match="an agent's result"):
        images_from(source)


# --- plain responses of the SDK


def test_response_of_the_sdk_gives_images(client, image_store):
    """`images_from` reads a `Response` of the SDK with its ids, its model and its bytes."""
    response = create_response(client, "draw two pictures of a fox")

    first, second = images_from(response, image_store=image_store)
    assert (first.response_id, first.stored, first.image_model) == (response.id, True, "gpt-image-2")
    assert [id[:3] for id in first.companion_ids] == ["rs_"]
    assert first.read() != second.read()
    assert prompts(ImageMemory([first, second])) == [None, None]


@pytest.mark.parametrize("read", [images_from, ImageOutputParser().invoke], ids=["images_from", "parser"])
def test_text_response_is_an_error_with_its_text(client, simulator, read):
    """`images_from` and the parser raise an error with the text of a response without a picture."""
    simulator.script(no_image("I would rather not."))
    response = create_response(client)

    with pytest.raises(NoImageError) as caught:
        read(response)
    assert caught.value.text == "I would rather not."


def test_response_with_a_failed_call(client, simulator):
    """A response with one refused call and one good call gives the image of the good one."""
    simulator.script(moderated_beside_good())

    assert len(images_from(create_response(client))) == 1


def test_response_with_unknown_fields(client, simulator):
    """Fields and values that the installed SDK does not know cause no warning and no error."""
    simulator.script(Fault("novel", item=lambda item: {**item, "status": "novel", "novelty": {"x": 1}}))

    [image] = images_from(create_response(client))
    assert image.read()


def test_image_of_a_response_can_be_edited(client, generator, simulator):
    """A generator edits the image of an SDK response by its id."""
    [fox] = images_from(create_response(client))

    winter = generator(options=SMALL).invoke("edit it: make it winter", images=[fox])
    assert (winter.rung, winter.image.parents) == ("call_id", (fox.id,))
    assert simulator.orders[-1].sources == (fox.read(),)


def test_tool_edits_a_hosted_picture(chat, tool, half, simulator):
    """The tool edits a hosted picture in the messages of a plain graph."""
    talk = Talk(half, state_graph, tool)
    history = [HumanMessage("draw a fox"), chat.invoke("draw a fox"), HumanMessage("make it winter")]

    memory = talk.turn(WINTER, messages=history)
    assert prompts(memory) == ["draw a fox", "edit it: make it winter"]
    assert memory.latest.parents == (memory.get("1").id,)
    assert simulator.orders[-1].action == "edit"
