"""`ImageGenerator` piped into chat models, parsers and message histories, and after a chat model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from langchain_imagegen import ImageGenerator, ImageRequest, ImageResult, ImageStore
from langchain_imagegen.errors import OptionError
from langchain_imagegen.simulator import Simulator, answer, no_image
from langchain_imagegen.simulator.faults import NOTHING

Make = Callable[..., ImageGenerator]


@pytest.fixture
def chat(simulator: Simulator) -> Iterator[ChatOpenAI]:
    """Yield a chat model that talks to the simulator, with a client that no other model shares."""
    with openai.DefaultHttpxClient() as client:
        yield ChatOpenAI(
            model="gpt-5.4",
            base_url=simulator.base_url,
            api_key=SecretStr("simulated"),
            use_responses_api=True,
            http_client=client,
        )


class Seen(BaseModel):
    """What is in a picture."""

    what: str


class History(BaseChatMessageHistory):
    """Keeps a message history in a list."""

    def __init__(self) -> None:
        self.messages: list[BaseMessage] = []

    def add_messages(self, messages: Any) -> None:
        """Append the messages."""
        self.messages += messages

    def clear(self) -> None:
        """Remove all messages."""
        self.messages = []


def last_parts(simulator: Simulator) -> list[dict[str, Any]]:
    """Return the content parts of the last request's last message."""
    parts: list[dict[str, Any]] = simulator.requests[-1].body["input"][-1]["content"]
    return parts


def test_a_chat_model_sees_the_picture(low: Make, chat: ChatOpenAI, simulator: Simulator):
    """`draw | chat_model` sends the picture to the chat model as an image part."""
    (low() | chat).invoke("draw a fox")

    assert [part["type"] for part in last_parts(simulator)] == ["input_image"]
    assert last_parts(simulator)[0]["image_url"].startswith("data:image/png;base64,")


class WatchedStore(ImageStore):
    """An image store that records in which threads it is read."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.readers: set[threading.Thread] = set()

    def get(self, sha256: str, mime_type: str | None = None) -> bytes:
        """Record the thread and return the picture."""
        self.readers.add(threading.current_thread())
        return super().get(sha256, mime_type)


@pytest.mark.parametrize("joined", ["|", "pipe"])
@pytest.mark.parametrize("wrapped", ["plain", "bound", "structured"])
async def test_chains_read_the_store_in_threads(
    joined: str, wrapped: str, low: Make, chat: ChatOpenAI, simulator: Simulator, tmp_path: Path
):
    """In `await (draw | chat_model).ainvoke(…)` no picture is read in the event loop, however the model is wrapped."""
    store = WatchedStore(tmp_path / "watched")
    draw = low(image_store=store)
    model = {
        "plain": chat,
        "bound": chat.bind(temperature=0),
        "structured": chat.with_structured_output(Seen),
    }[wrapped]
    part = {"type": "output_text", "text": '{"what": "a fox"}', "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    said = {"id": "resp_1", "object": "response", "status": "completed", "output": [message]}
    simulator.script(NOTHING, answer(said))

    chain = draw | model if joined == "|" else draw.pipe(model)
    seen = await chain.ainvoke("draw a fox")
    await draw.aclose()

    assert "input_image" in [part["type"] for part in last_parts(simulator)]
    assert "fox" in str(seen)
    assert store.readers
    assert threading.current_thread() not in store.readers


async def test_ato_message_reads_the_store_in_a_thread(low: Make, tmp_path: Path):
    """`ato_message` returns the message of `to_message`, and no picture is read in the event loop."""
    store = WatchedStore(tmp_path / "watched")
    result = low(image_store=store).invoke("draw a fox")

    message = await result.ato_message("What is in it?", role="assistant")
    assert threading.current_thread() not in store.readers
    assert message == result.to_message("What is in it?", role="assistant")


def test_a_chain_with_a_chat_model_streams(half: Any, low: Make, chat: ChatOpenAI, simulator: Simulator):
    """Streaming `draw | chat_model` yields what the chat model says about the finished picture."""
    simulator.script(NOTHING, no_image("It is a fox."))

    chunks = half.stream(low() | chat, "draw a fox")
    assert "".join(chunk.text for chunk in chunks) == "It is a fox."
    assert [part["type"] for part in last_parts(simulator)] == ["input_image"]


def test_a_question_about_the_picture(half: Any, low: Make, simulator: Simulator, chat: ChatOpenAI):
    """`to_message` returns a message with a question and the picture, in blocks that any chat model accepts."""
    ask = RunnableLambda(lambda result: [result.to_message("What is in it?")])

    [message] = half.invoke(low() | ask, "draw a fox")
    chat.invoke([message])

    assert isinstance(message, HumanMessage)
    assert [block["type"] for block in message.content_blocks] == ["text", "image"]
    assert last_parts(simulator)[0] == {"type": "input_text", "text": "What is in it?"}


def test_a_result_is_still_a_source(low: Make, simulator: Simulator):
    """A result that is the input of a generator is edited by its id."""
    draw = low()

    night = draw.invoke(draw.invoke("draw a fox"), prompt="make it night")

    assert isinstance(night, ImageResult)
    assert (night.rung, simulator.orders[-1].action) == ("call_id", "edit")


def test_a_text_parser_is_refused(low: Make, simulator: Simulator):
    """Piping a generator into a text parser raises an error at once, which says what to write instead."""
    with pytest.raises(OptionError, match=r"StrOutputParser reads text.*lambda result: result\.text"):
        low() | StrOutputParser()
    with pytest.raises(OptionError, match="JsonOutputParser reads text"):
        low().pipe(JsonOutputParser())

    assert simulator.requests == []
    assert isinstance((low() | (lambda result: result.text) | StrOutputParser()).invoke("draw a fox"), str)


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
def test_a_message_history_keeps_pictures(low: Make, simulator: Simulator):
    """A chain that ends with `to_message` works in `RunnableWithMessageHistory`; the second turn edits the picture."""
    history = History()
    draw = low() | (lambda result: result.to_message(role="assistant"))
    talk = RunnableWithMessageHistory(draw, lambda session_id: history)

    for words in ("draw a fox", "make it night"):
        talk.invoke(words, config={"configurable": {"session_id": "1"}})

    assert [message.type for message in history.messages] == ["human", "ai", "human", "ai"]
    assert [order.action for order in simulator.orders] == ["generate", "edit"]


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
def test_a_message_history_of_a_bare_generator_is_refused(low: Make):
    """`RunnableWithMessageHistory` around a bare generator raises an error that says to add `to_message`."""
    with pytest.raises(OptionError, match="to_message"):
        RunnableWithMessageHistory(low(), lambda session_id: History())


def test_a_chat_model_fills_a_request(low: Make, chat: ChatOpenAI, simulator: Simulator):
    """`chat.with_structured_output(ImageRequest) | draw` sends a strict schema and draws the model's request."""
    filled = {"prompt": "a fox in the snow", "images": [], "size": "1024x1536", "quality": None}
    part = {"type": "output_text", "text": json.dumps(filled), "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    simulator.script(answer({"id": "resp_1", "object": "response", "status": "completed", "output": [message]}))
    chain = chat.with_structured_output(ImageRequest) | low()

    result = chain.invoke("Plan a picture of a fox")

    form = simulator.requests[0].body["text"]["format"]
    assert (form["type"], form["strict"]) == ("json_schema", True)
    assert (result.image.prompt, result.image.width, result.image.height) == ("a fox in the snow", 1024, 1536)
    assert simulator.orders[-1].quality == "low"
