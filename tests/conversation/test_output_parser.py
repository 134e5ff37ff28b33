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
    """Return a chat model with the hosted tool, connected to the simulator."""
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
    """Return the SDK's client, connected to the simulator."""
    with openai.OpenAI(base_url=simulator.base_url, api_key="simulated") as started:
        yield started


def respond(client, prompt="draw a fox", **fields):
    """Return a plain response of the SDK."""
    return client.responses.create(model="gpt-5", input=prompt, tools=[ImageOptions(**SMALL).tool()], **fields)


def prompts(images):
    """Return the prompts of the images."""
    return [image.prompt for image in images]


# --- a chain that ends in pictures


def test_chain_gives_pictures(chat, simulator, image_store):
    """A chain of a chat model and the parser turns text into images whose bytes can be read."""
    chain = chat | ImageOutputParser(image_store=image_store)

    [image] = chain.invoke("draw a fox")
    assert isinstance(image, GeneratedImage)
    assert (image.to_pil().size, image.mime_type) == ((816, 816), "image/jpeg")
    assert simulator.pictures == 1


def test_chain_puts_pictures_into_the_default_store(chat, own_folder):
    """A parser without a store uses the default store."""
    [image] = (chat | ImageOutputParser()).invoke("draw a fox")

    assert image.read() in [file.read_bytes() for file in own_folder.rglob("*.jpg*") if file.is_file()]


async def test_chain_gives_pictures_async(chat, image_store):
    """`ainvoke` returns the images of a message."""
    message = chat.invoke("draw a fox")

    [image] = await (RunnableLambda(lambda _: message) | ImageOutputParser(image_store=image_store)).ainvoke("x")
    assert await image.aread()


def test_chain_streams_pictures(chat, image_store):
    """A streamed chain yields the images once, when they are complete."""
    pieces = list((chat | ImageOutputParser(image_store=image_store)).stream("draw two pictures of a fox"))

    assert [len(piece) for piece in pieces] == [2]
    assert all(image.read() for image in pieces[0])


def test_chain_of_the_generator(generator):
    """Results of `ImageGenerator`, one or a batch, are parsed too."""
    draw = generator(options=SMALL)
    parse = ImageOutputParser()

    assert prompts((draw | parse).invoke("draw a fox")) == ["draw a fox"]
    assert prompts((draw.map() | parse).invoke(["draw a fox", "draw an owl"])) == ["draw a fox", "draw an owl"]


def test_no_picture_is_an_error_with_the_words(chat, simulator):
    """If the model answers with text, the error holds the text and says what to do."""
    simulator.script(no_image("I would rather not."))

    with pytest.raises(NoImageError, match="allow_empty=True") as caught:
        (chat | ImageOutputParser()).invoke("draw a fox")
    assert caught.value.text == "I would rather not."


@pytest.mark.parametrize(
    "given",
    [
        AIMessage("No."),
        [HumanMessage("draw"), AIMessage("No.")],
        {"messages": [HumanMessage("draw"), AIMessage("No.")]},
    ],
)
def test_no_picture_in_anything(half, given):
    """The model's text is found in every kind of source; `allow_empty` returns an empty list instead of the error."""
    with pytest.raises(NoImageError) as caught:
        half.invoke(ImageOutputParser(), given)

    assert caught.value.text == "No."
    assert half.invoke(ImageOutputParser(allow_empty=True), given) == []


def test_trace_holds_no_picture(chat, half):
    """Traces of the parser's run are small and hold no base64."""
    message, spy = chat.invoke("draw a fox"), Spy()

    for given in (message, [message], {"messages": [message]}):
        half.invoke(ImageOutputParser(), given, config={"callbacks": [spy]})
    assert len(spy.records) == 6
    assert not any(BASE64.search(told) for told in spy.records)
    assert max(map(len, spy.records)) < 5_000


# --- sources


def test_every_source_gives_the_same(half, tool, generator):
    """A result, its agent's state, a snapshot, the messages and one message hold the same pictures."""
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


def test_state_may_be_an_object(half, tool):
    """A state that is a pydantic model, or that names its messages otherwise, is read like any other."""

    class State(BaseModel):
        messages: list[Any]
        generated_images: dict[str, Any] = {}

    talk = Talk(half, agent, tool)
    known = list(talk.turn(FOX))

    assert images_from(State(messages=talk.state["messages"])) == known
    assert images_from({"chat": talk.state["messages"]}) == known
    assert list(ImageMemory.from_state({"a": talk.state["messages"], "b": []}, messages_key="b")) == []


def test_an_edit_is_the_picture_of_its_message(half, tool):
    """The message of an edit holds the edit alone; the conversation holds the edit and its source."""
    talk = Talk(half, agent, tool)
    talk.turn(FOX, WINTER)

    assert prompts(images_from(talk.tool_messages[-1])) == ["edit it: make it winter"]
    assert prompts(images_from(talk.state)) == ["draw a fox", "edit it: make it winter"]


@pytest.mark.parametrize("place", [agent, agent_with_middleware])
def test_since_the_last_message_of_the_user(half, tool, place):
    """`since="last_human"` returns what the last turn drew, without earlier pictures, sources and uploads."""
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


def test_pictures_are_read_where_they_were_put(half, tool, image_store):
    """The bytes are found in the given store, or without one in any open store."""
    talk = Talk(half, agent, tool)
    talk.turn(FOX)

    assert images_from(talk.state)[0].read() == images_from(talk.state, image_store=image_store)[0].read()


@pytest.mark.parametrize("given", [None, "a fox", 5, object(), b"bytes"])
def test_what_is_no_source_is_refused(given):
    """Any other value is a `TypeError` that says what can be given."""
    with pytest.raises(TypeError, match="an agent's result"):
        images_from(given)


# --- plain responses of the SDK


def test_response_of_the_sdk(client, image_store):
    """Images of a plain `Response` have the same facts as images that `ImageGenerator` drew."""
    response = respond(client, "draw two pictures of a fox")

    first, second = images_from(response, image_store=image_store)
    assert (first.response_id, first.stored, first.image_model) == (response.id, True, "gpt-image-2")
    assert [id[:3] for id in first.companion_ids] == ["rs_"]
    assert first.read() != second.read()
    assert prompts(ImageMemory([first, second])) == [None, None]


@pytest.mark.parametrize("read", [images_from, ImageOutputParser().invoke], ids=["images_from", "parser"])
def test_response_without_a_picture(client, simulator, read):
    """The error for a response of text holds the text."""
    simulator.script(no_image("I would rather not."))
    response = respond(client)

    with pytest.raises(NoImageError) as caught:
        read(response)
    assert caught.value.text == "I would rather not."


def test_response_with_a_failed_call(client, simulator):
    """If one call of a response was refused, the picture of the other call is returned."""
    simulator.script(moderated_beside_good())

    assert len(images_from(respond(client))) == 1


def test_response_of_an_unknown_kind(client, simulator):
    """Items and values that the installed SDK does not know cause no warning and no error."""
    simulator.script(Fault("novel", item=lambda item: {**item, "status": "novel", "novelty": {"x": 1}}))

    [image] = images_from(respond(client))
    assert image.read()


def test_pictures_of_a_response_can_be_edited(client, generator, simulator):
    """A picture of a plain response is edited by its id."""
    [fox] = images_from(respond(client))

    winter = generator(options=SMALL).invoke("edit it: make it winter", images=[fox])
    assert (winter.rung, winter.image.parents) == ("call_id", (fox.id,))
    assert simulator.orders[-1].sources == (fox.read(),)


def test_gallery_of_plain_messages(chat, tool, half, simulator):
    """The tool edits hosted pictures in the messages of a custom graph like any other picture."""
    talk = Talk(half, state_graph, tool)
    history = [HumanMessage("draw a fox"), chat.invoke("draw a fox"), HumanMessage("make it winter")]

    memory = talk.turn(WINTER, messages=history)
    assert prompts(memory) == ["draw a fox", "edit it: make it winter"]
    assert memory.latest.parents == (memory.get("1").id,)
    assert simulator.orders[-1].action == "edit"
