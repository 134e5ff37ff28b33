"""The other contestants: OpenAI's SDK, `ChatOpenAI`, pydantic-ai and the Agents SDK, used as their guides show.

Each of them ends with the picture's bytes. If a library does not decode base64, the standard library does.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

from benchmarks.bodies import PARTIALS
from benchmarks.contestants import (
    AGENTS,
    ASYNC,
    CHAT,
    KEY,
    MODEL,
    PROMPT,
    PYDANTIC,
    SDK,
    TOOL,
    UNREAD,
    Contestant,
    Shelf,
)

CALL = "image_generation_call"
PARTIAL = "response.image_generation_call.partial_image"
STREAMED = {**TOOL, "partial_images": PARTIALS}


class RawSDK(Contestant):
    """`client.responses.create` and `base64.b64decode`."""

    name = SDK

    def __init__(self, url: str, shelf: Shelf) -> None:
        from openai import AsyncOpenAI, OpenAI

        super().__init__(url, shelf)
        self.client = OpenAI(base_url=url, api_key=KEY)
        self.aclient = AsyncOpenAI(base_url=url, api_key=KEY)

    def draw(self) -> bytes:
        return self._picture(self.client.responses.create(model=MODEL, input=PROMPT, tools=[TOOL]))

    async def adraw(self) -> bytes:
        return self._picture(await self.aclient.responses.create(model=MODEL, input=PROMPT, tools=[TOOL]))

    def stream(self) -> Iterator[bytes]:
        for event in self.client.responses.create(model=MODEL, input=PROMPT, tools=[STREAMED], stream=True):
            yield from self._pictures_in(event)

    async def astream(self) -> AsyncIterator[bytes]:
        events = await self.aclient.responses.create(model=MODEL, input=PROMPT, tools=[STREAMED], stream=True)
        async for event in events:
            for picture in self._pictures_in(event):
                yield picture

    async def aclose(self) -> None:
        self.client.close()
        await self.aclient.close()

    def _pictures_in(self, event: Any) -> Iterator[bytes]:
        if event.type == PARTIAL:
            yield base64.b64decode(event.partial_image_b64)
        elif event.type == "response.completed":
            yield self._picture(event.response)

    def _picture(self, response: Any) -> bytes:
        [result] = [item.result for item in response.output if item.type == CALL]
        return self.shelf.keep(base64.b64decode(result))


class Unread(RawSDK):
    """The SDK's client reads the body and discards it: the lower bound for everything that is built on that client."""

    name = UNREAD

    def draw(self) -> bytes:
        create = self.client.responses.with_streaming_response.create
        with create(model=MODEL, input=PROMPT, tools=[TOOL]) as response:
            for _ in response.iter_bytes():
                pass
        return b""

    async def adraw(self) -> bytes:
        create = self.aclient.responses.with_streaming_response.create
        async with create(model=MODEL, input=PROMPT, tools=[TOOL]) as response:
            async for _ in response.iter_bytes():
                pass
        return b""


class Chat(Contestant):
    """`ChatOpenAI.bind_tools`, which provides no partial pictures."""

    name = CHAT
    needs = ("langchain_openai",)

    def __init__(self, url: str, shelf: Shelf) -> None:
        from langchain_openai import ChatOpenAI

        super().__init__(url, shelf)
        self.chat = ChatOpenAI(model=MODEL, base_url=url, api_key=KEY, **self.clients())
        self.model = self.chat.bind_tools([TOOL])

    def clients(self) -> dict[str, Any]:
        """Return new HTTP clients with the SDK's defaults; those that `ChatOpenAI` shares outlive the event loop."""
        from openai import DefaultAsyncHttpxClient, DefaultHttpxClient

        return {"http_client": DefaultHttpxClient(), "http_async_client": DefaultAsyncHttpxClient()}

    def draw(self) -> Any:
        return self.picture(self.model.invoke(PROMPT))

    async def adraw(self) -> Any:
        return self.picture(await self.model.ainvoke(PROMPT))

    def stream(self) -> Iterator[Any]:
        message: Any = None
        for chunk in self.model.stream(PROMPT):
            message = chunk if message is None else message + chunk
        yield self.picture(message)

    async def astream(self) -> AsyncIterator[Any]:
        message: Any = None
        async for chunk in self.model.astream(PROMPT):
            message = chunk if message is None else message + chunk
        yield self.picture(message)

    def picture(self, message: Any) -> Any:
        """Return the picture of an answer."""
        [result] = [block["result"] for block in message.content if block["type"] == CALL]
        return self.shelf.keep(base64.b64decode(result))

    async def aclose(self) -> None:
        self.chat.http_client.close()
        await self.chat.http_async_client.aclose()


class PydanticAI(Contestant):
    """An agent of pydantic-ai whose output is an image."""

    name = PYDANTIC
    needs = ("pydantic_ai",)
    streams = (ASYNC,)

    def __init__(self, url: str, shelf: Shelf) -> None:
        from openai import AsyncOpenAI
        from pydantic_ai import Agent, BinaryImage
        from pydantic_ai.capabilities import NativeTool
        from pydantic_ai.models.openai import OpenAIResponsesModel
        from pydantic_ai.native_tools import ImageGenerationTool
        from pydantic_ai.providers.openai import OpenAIProvider

        super().__init__(url, shelf)
        self.client = AsyncOpenAI(base_url=url, api_key=KEY)
        model = OpenAIResponsesModel(MODEL, provider=OpenAIProvider(openai_client=self.client))
        self.agent = Agent(model, output_type=BinaryImage, capabilities=[NativeTool(ImageGenerationTool())])

    def draw(self) -> bytes:
        return self.shelf.keep(self.agent.run_sync(PROMPT).output.data)

    async def adraw(self) -> bytes:
        return self.shelf.keep((await self.agent.run(PROMPT)).output.data)

    async def astream(self) -> AsyncIterator[bytes]:
        async with self.agent.run_stream_events(PROMPT) as events:
            async for event in events:
                part = getattr(event, "part", None)
                if event.event_kind == "part_start" and part.part_kind == "file":
                    yield part.content.data
                elif event.event_kind == "agent_run_result":
                    yield self.shelf.keep(event.result.output.data)

    async def aclose(self) -> None:
        await self.client.close()


class Agents(Contestant):
    """An agent of the OpenAI Agents SDK with its hosted tool."""

    name = AGENTS
    needs = ("agents",)
    streams = (ASYNC,)

    def __init__(self, url: str, shelf: Shelf) -> None:
        from agents import Agent, ImageGenerationTool, OpenAIResponsesModel, set_tracing_disabled
        from openai import AsyncOpenAI

        super().__init__(url, shelf)
        set_tracing_disabled(disabled=True)  # traces would be sent to OpenAI
        self.client = AsyncOpenAI(base_url=url, api_key=KEY)
        model = OpenAIResponsesModel(MODEL, openai_client=self.client)
        self.agent = Agent(name="artist", model=model, tools=[ImageGenerationTool(tool_config=TOOL)])

    def draw(self) -> bytes:
        from agents import Runner

        return self._picture(Runner.run_sync(self.agent, PROMPT))

    async def adraw(self) -> bytes:
        from agents import Runner

        return self._picture(await Runner.run(self.agent, PROMPT))

    async def astream(self) -> AsyncIterator[bytes]:
        from agents import Runner

        run = Runner.run_streamed(self.agent, PROMPT)
        async for event in run.stream_events():
            if event.type == "raw_response_event" and event.data.type == PARTIAL:
                yield base64.b64decode(event.data.partial_image_b64)
        yield self._picture(run)

    async def aclose(self) -> None:
        await self.client.close()

    def _picture(self, run: Any) -> bytes:
        [result] = [item.raw_item.result for item in run.new_items if getattr(item.raw_item, "type", None) == CALL]
        return self.shelf.keep(base64.b64decode(result))
