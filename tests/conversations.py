"""Conversations with agents that draw with the hosted tool, and the files that hold their checkpoints."""

from __future__ import annotations

import base64
import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langchain_imagegen import ImageMemory
from langchain_imagegen.simulator import Simulator
from langchain_imagegen.simulator.drawing import draw

VERSIONS = ("v0", "responses/v1", "v1")
SMALL = {"size": "816x816", "quality": "low"}
BASE64 = re.compile(rb"[A-Za-z0-9+/]{1000,}")


def photo(caption: str = "a photo", size_bytes: int = 0) -> bytes:
    """Return a user's PNG, padded after its end to at least `size_bytes`; readers ignore the padding."""
    data = draw(caption, size=(816, 816))
    return data + random.Random(caption).randbytes(max(0, size_bytes - len(data)))


def encoded(data: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(data).decode()


def image_block(data: bytes) -> dict[str, Any]:
    """Return a picture as a v1 image block."""
    return {"type": "image", "base64": encoded(data), "mime_type": "image/png"}


def shown(text: str, *pictures: bytes) -> HumanMessage:
    """Return a user's message with text and pictures."""
    return HumanMessage([{"type": "text", "text": text}, *map(image_block, pictures)])


class Rewriting(AgentMiddleware):
    """Changes each request before the middleware behind it: `Rewriting(lambda request: request.override(…))`."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.change = change

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        """Call the handler with the changed request."""
        return handler(self.change(request))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        """Async twin of `wrap_model_call`."""
        return await handler(self.change(request))


def only_the_last() -> Rewriting:
    """Return a middleware that trims each request to its last message."""
    return Rewriting(lambda request: request.override(messages=request.messages[-1:]))


class Talks:
    """Makes chat models and conversations, in one half, at one simulator, and closes what they opened.

    Args:
        half: `invoke` or `ainvoke`.
        simulator: The service.
        folder: Where checkpoint files go.
    """

    def __init__(self, half: Any, simulator: Simulator, folder: Path) -> None:
        self.half, self.simulator, self.folder = half, simulator, folder
        self._open = ExitStack()

    def model(self, **settings: Any) -> ChatOpenAI:
        """A `ChatOpenAI` at the simulator, set to the Responses API."""
        client = self._open.enter_context(httpx2.Client())
        async_client = httpx2.AsyncClient()
        self._open.callback(self.half.wait, async_client.aclose)
        here = {"base_url": self.simulator.base_url, "api_key": "sk-a", "use_responses_api": True, "max_retries": 0}
        given = {"model": "gpt-5.4", "http_client": client, "http_async_client": async_client, **here, **settings}
        return ChatOpenAI(**given)

    def start(self, *middleware: Any, model: Any = None, file: str = "checkpoints.sqlite", **settings: Any) -> Talk:
        """A conversation with an agent; `file` is a name within the test's folder."""
        checkpointer = self._open.enter_context(saver(self.folder / file, self.half))
        agent = create_agent(model or self.model(), middleware=middleware, checkpointer=checkpointer, **settings)
        return Talk(agent, self.half, self.simulator, self.folder / file)

    def close(self) -> None:
        """Close every client and file."""
        self._open.close()


class Talk:
    """One agent, a file of checkpoints, and what was last said."""

    def __init__(self, agent: Any, half: Any, simulator: Simulator, file: Path) -> None:
        self.agent, self.file, self.state = agent, file, {}
        self._half, self._simulator = half, simulator

    def say(
        self, *messages: Any, thread: str = "one", streaming: bool = False, forged: Any = None, **settings: Any
    ) -> Any:
        """The state after one turn of the user.

        Args:
            messages: What the user says.
            thread: Id of the thread.
            streaming: Run the chat model as a client that watches would.
            forged: Given as the state's channel of images.
            settings: Of `invoke`.
        """
        fields = {"config": {"configurable": {"thread_id": thread}}, **settings}
        given = {"messages": list(messages)} | ({"generated_images": forged} if forged else {})
        if streaming:
            told = self._half.stream(self.agent, given, stream_mode=["messages", "values"], **fields)
            self.state = [value for mode, value in told if mode == "values"][-1]
        else:
            self.state = self._half.invoke(self.agent, given, **fields)
        return self.state

    @property
    def memory(self) -> ImageMemory:
        """The images of the last state's channel, in order, without what the messages tell."""
        return ImageMemory(self.state["generated_images"].values())

    @property
    def handles(self) -> list[str]:
        """The handles of these images."""
        return [image.handle for image in self.memory]

    @property
    def requests(self) -> list[Any]:
        """The requests to the chat model."""
        return [request for request in self._simulator.requests if request.path.endswith("/responses")]

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The input items of the last request."""
        return self.requests[-1].body["input"]


def called(items: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the image calls in a request."""
    return [item["id"] for item in items if item.get("type") == "image_generation_call"]


def parts(items: list[dict[str, Any]], kind: str = "input_image") -> list[str]:
    """Return the pictures, or the texts, in the messages of a request."""
    contents = [item["content"] for item in items if isinstance(item.get("content"), list)]
    key = "image_url" if kind == "input_image" else "text"
    return [part[key] for content in contents for part in content if part["type"] == kind]


def words(items: list[dict[str, Any]]) -> str:
    """Return all text of a request, in order."""
    plain = [item["content"] for item in items if isinstance(item.get("content"), str)]
    return "\n".join([*plain, *parts(items, "input_text"), *parts(items, "output_text")])


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A checkpoint file as it is on the disk, its journal written into it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield connection


def values(file: Path) -> list[bytes]:
    """Return every checkpoint and every pending write."""
    with opened(file) as connection:
        queries = ("SELECT checkpoint FROM checkpoints", "SELECT value FROM writes")
        return [value for query in queries for (value,) in connection.execute(query)]


def copies(file: Path) -> int:
    """Return the number of base64 strings in a checkpoint file."""
    return sum(len(BASE64.findall(value)) for value in values(file))


def sizes(file: Path) -> dict[str, int]:
    """Bytes of the file, of its checkpoints and of its pending writes, and how many checkpoints there are."""
    with opened(file) as connection:
        columns = "SUM(LENGTH(checkpoint)), COUNT(*)"
        [(checkpoints, steps)] = connection.execute(f"SELECT {columns} FROM checkpoints")
        [(writes,)] = connection.execute("SELECT SUM(LENGTH(value)) FROM writes")
    return {"file": file.stat().st_size, "checkpoints": checkpoints, "writes": writes, "steps": steps}


@contextmanager
def saver(file: Path, half: Any) -> Iterator[Any]:
    """Give a checkpointer that writes to a file, for either half."""
    if half.name == "sync":
        with SqliteSaver.from_conn_string(str(file)) as opened:
            yield opened
        return
    manager = AsyncSqliteSaver.from_conn_string(str(file))
    yield half.wait(manager.__aenter__)
    half.wait(manager.__aexit__, None, None, None)
