"""Conversations with agents that draw with the hosted tool, and readers of their requests and checkpoint files."""

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
    """Return a PNG, padded behind its end to at least `size_bytes`; image readers ignore the padding."""
    data = draw(caption, size=(816, 816))
    return data + random.Random(caption).randbytes(max(0, size_bytes - len(data)))


def to_base64(data: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(data).decode()


def image_block(data: bytes) -> dict[str, Any]:
    """Return a picture as a v1 image block."""
    return {"type": "image", "base64": to_base64(data), "mime_type": "image/png"}


def user_message(text: str, *pictures: bytes) -> HumanMessage:
    """Return a user's message with text and pictures."""
    return HumanMessage([{"type": "text", "text": text}, *map(image_block, pictures)])


class RequestEditor(AgentMiddleware):
    """A middleware that replaces each request by what `edit` returns for it."""

    def __init__(self, edit: Any) -> None:
        super().__init__()
        self.edit = edit

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        """Call the handler with the edited request."""
        return handler(self.edit(request))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        """Async twin of `wrap_model_call`."""
        return await handler(self.edit(request))


def keep_last_message() -> RequestEditor:
    """Return a middleware that trims each request to its last message."""
    return RequestEditor(lambda request: request.override(messages=request.messages[-1:]))


class Talks:
    """Make chat models and conversations that use one simulator, and close the clients and files they opened.

    Args:
        half: Runs the agents with `invoke` or `ainvoke`.
        simulator: The service that the chat models call.
        folder: The folder of the checkpoint files.
    """

    def __init__(self, half: Any, simulator: Simulator, folder: Path) -> None:
        self.half, self.simulator, self.folder = half, simulator, folder
        self._open = ExitStack()

    def model(self, **settings: Any) -> ChatOpenAI:
        """Return a `ChatOpenAI` that calls the simulator through the Responses API."""
        client = self._open.enter_context(httpx2.Client())
        async_client = httpx2.AsyncClient()
        self._open.callback(self.half.wait, async_client.aclose)
        service = {"base_url": self.simulator.base_url, "api_key": "sk-a", "use_responses_api": True, "max_retries": 0}
        clients = {"http_client": client, "http_async_client": async_client}
        return ChatOpenAI(**{"model": "gpt-5.4", **service, **clients, **settings})

    def start(self, *middleware: Any, model: Any = None, file: str = "checkpoints.sqlite", **settings: Any) -> Talk:
        """Return a conversation with a new agent; `file` names its checkpoint file within the folder."""
        checkpointer = self._open.enter_context(open_saver(self.folder / file, self.half))
        agent = create_agent(model or self.model(), middleware=middleware, checkpointer=checkpointer, **settings)
        return Talk(agent, self.half, self.simulator, self.folder / file)

    def close(self) -> None:
        """Close every client and file."""
        self._open.close()


class Talk:
    """A conversation with one agent: its checkpoint file, its last state, and its requests to the chat model."""

    def __init__(self, agent: Any, half: Any, simulator: Simulator, file: Path) -> None:
        self.agent, self.file, self.state = agent, file, {}
        self._half, self._simulator = half, simulator

    def say(
        self, *messages: Any, thread: str = "one", streaming: bool = False, forged: Any = None, **settings: Any
    ) -> Any:
        """Send the user's messages and return the state after the turn.

        Args:
            messages: The user's messages.
            thread: The id of the thread.
            streaming: Stream the agent, so that the chat model streams too.
            forged: Records that the caller passes as the state's image channel.
            settings: Passed to `invoke` or `stream`.
        """
        fields = {"config": {"configurable": {"thread_id": thread}}, **settings}
        state = {"messages": list(messages)} | ({"generated_images": forged} if forged else {})
        if streaming:
            chunks = self._half.stream(self.agent, state, stream_mode=["messages", "values"], **fields)
            self.state = [value for mode, value in chunks if mode == "values"][-1]
        else:
            self.state = self._half.invoke(self.agent, state, **fields)
        return self.state

    @property
    def memory(self) -> ImageMemory:
        """The images in the channel of the last state, in order; the messages are not read."""
        return ImageMemory(self.state["generated_images"].values())

    @property
    def handles(self) -> list[str]:
        """The handles of the images in the channel, in order."""
        return [image.handle for image in self.memory]

    @property
    def requests(self) -> list[Any]:
        """The requests that reached the chat model's service, in order."""
        return [request for request in self._simulator.requests if request.path.endswith("/responses")]

    @property
    def last_input(self) -> list[dict[str, Any]]:
        """The input items of the last request."""
        return self.requests[-1].body["input"]


def image_call_ids(items: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the image calls among the input items of a request."""
    return [item["id"] for item in items if item.get("type") == "image_generation_call"]


def image_urls(items: list[dict[str, Any]]) -> list[str]:
    """Return the URLs of the pictures in the messages of a request."""
    return _parts(items, "input_image", "image_url")


def request_text(items: list[dict[str, Any]]) -> str:
    """Return all text of a request: plain contents first, then input texts, then output texts."""
    plain = [item["content"] for item in items if isinstance(item.get("content"), str)]
    return "\n".join([*plain, *_parts(items, "input_text", "text"), *_parts(items, "output_text", "text")])


def _parts(items: list[dict[str, Any]], kind: str, key: str) -> list[str]:
    """Return the value under `key` of each content part of one type."""
    contents = [item["content"] for item in items if isinstance(item.get("content"), list)]
    return [part[key] for content in contents for part in content if part["type"] == kind]


@contextmanager
def open_database(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a checkpoint file after writing its journal into it, so that the file holds everything."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield connection


def stored_values(file: Path) -> list[bytes]:
    """Return every checkpoint and every pending write of a file, as stored."""
    with open_database(file) as connection:
        queries = ("SELECT checkpoint FROM checkpoints", "SELECT value FROM writes")
        return [value for query in queries for (value,) in connection.execute(query)]


def count_base64(file: Path) -> int:
    """Return the number of base64 strings of at least 1,000 characters in a checkpoint file."""
    return sum(len(BASE64.findall(value)) for value in stored_values(file))


def database_sizes(file: Path) -> dict[str, int]:
    """Return the bytes of a file, of its checkpoints and of its pending writes, and its number of checkpoints."""
    with open_database(file) as connection:
        columns = "SUM(LENGTH(checkpoint)), COUNT(*)"
        [(checkpoints, steps)] = connection.execute(f"SELECT {columns} FROM checkpoints")
        [(writes,)] = connection.execute("SELECT SUM(LENGTH(value)) FROM writes")
    return {"file": file.stat().st_size, "checkpoints": checkpoints, "writes": writes, "steps": steps}


@contextmanager
def open_saver(file: Path, half: Any) -> Iterator[Any]:
    """Yield a checkpointer of the given half that writes to a file."""
    if half.name == "sync":
        with SqliteSaver.from_conn_string(str(file)) as checkpointer:
            yield checkpointer
        return
    manager = AsyncSqliteSaver.from_conn_string(str(file))
    yield half.wait(manager.__aenter__)
    half.wait(manager.__aexit__, None, None, None)
