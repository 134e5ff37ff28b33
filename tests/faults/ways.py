"""The ways to ask for a picture: each returns the images that the caller gets, or raises what the caller sees."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import openai
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

from langchain_imagegen import (
    GeneratedImage,
    ImageGenerationMiddleware,
    ImageGenerationTool,
    ImageGenerator,
    ImageMemory,
    ImageResult,
    ImageStore,
    images_from,
)
from tests.graphs import agent_with_middleware
from tests.scripted import DONE, image_call, scripted_model

PROMPT = "Draw a fox"
OPTIONS = {"size": "816x816", "quality": "low", "output_format": "jpeg", "output_compression": 60}

Way = Callable[..., Sequence[GeneratedImage]]


class ToolError(Exception):
    """What the chat model is told of a failure."""


def _generator(base_url: str, store: ImageStore, settings: dict[str, Any]) -> ImageGenerator:
    return ImageGenerator(
        base_url=base_url, api_key="simulated", image_store=store, options=OPTIONS, **{"timeout": 5.0, **settings}
    )


def invoke(base_url: str, store: ImageStore, settings: dict[str, Any]) -> Sequence[GeneratedImage]:
    """Draw with `invoke`."""
    draw = _generator(base_url, store, settings)
    try:
        return draw.invoke(PROMPT).images
    finally:
        draw.close()


def ainvoke(base_url: str, store: ImageStore, settings: dict[str, Any]) -> Sequence[GeneratedImage]:
    """Draw with `ainvoke`."""

    async def run() -> ImageResult:
        draw = _generator(base_url, store, settings)
        try:
            return await draw.ainvoke(PROMPT)
        finally:
            await draw.aclose()

    return asyncio.run(run()).images


def stream(base_url: str, store: ImageStore, settings: dict[str, Any]) -> Sequence[GeneratedImage]:
    """Draw with `stream`."""
    draw = _generator(base_url, store, settings)
    try:
        pieces = list(draw.stream(PROMPT, partial_images=1))
    finally:
        draw.close()
    return pieces[-1].images


def astream(base_url: str, store: ImageStore, settings: dict[str, Any]) -> Sequence[GeneratedImage]:
    """Draw with `astream`."""

    async def run() -> ImageResult:
        draw = _generator(base_url, store, settings)
        try:
            return [piece async for piece in draw.astream(PROMPT, partial_images=1)][-1]
        finally:
            await draw.aclose()

    return asyncio.run(run()).images


def _agent(draw: ImageGenerator) -> Any:
    model = scripted_model(image_call("a", PROMPT), DONE)
    return agent_with_middleware(model, ImageGenerationTool(generator=draw))


def _drawn_by_tool(state: dict[str, Any]) -> Sequence[GeneratedImage]:
    (message,) = (message for message in state["messages"] if message.type == "tool")
    if message.status == "error":
        raise ToolError(message.content)
    return list(ImageMemory.from_state(state))


def tool(base_url: str, store: ImageStore, settings: dict[str, Any]) -> Sequence[GeneratedImage]:
    """Let an agent draw with the function tool."""
    draw = _generator(base_url, store, settings)
    try:
        return _drawn_by_tool(_agent(draw).invoke({"messages": [HumanMessage(PROMPT)]}))
    finally:
        draw.close()


def atool(base_url: str, store: ImageStore, settings: dict[str, Any]) -> Sequence[GeneratedImage]:
    """Let an agent draw with the function tool, in an event loop."""

    async def run() -> dict[str, Any]:
        draw = _generator(base_url, store, settings)
        try:
            return await _agent(draw).ainvoke({"messages": [HumanMessage(PROMPT)]})
        finally:
            await draw.aclose()

    return _drawn_by_tool(asyncio.run(run()))


def _hosted_agent(base_url: str, store: ImageStore, settings: dict[str, Any], **clients: Any) -> Any:
    settings = {"timeout": 5.0, **settings, **clients}
    model = ChatOpenAI(model="gpt-5.4", base_url=base_url, api_key="simulated", use_responses_api=True, **settings)
    return create_agent(model, middleware=[ImageGenerationMiddleware(OPTIONS, image_store=store, wire=True)])


def _drawn_by_model(state: dict[str, Any], store: ImageStore) -> Sequence[GeneratedImage]:
    """Return the images of the last answer, which holds a picture as base64 if the store did not take it."""
    own = ImageStore(f"memory://{uuid.uuid4().hex}", fallback=store)
    return images_from(state["messages"][-1], image_store=own)


def hosted(base_url: str, store: ImageStore, settings: dict[str, Any]) -> Sequence[GeneratedImage]:
    """Let a chat model draw with the hosted tool, through the middleware."""
    with openai.DefaultHttpxClient() as client:
        agent = _hosted_agent(base_url, store, settings, http_client=client)
        state = agent.invoke({"messages": [HumanMessage(PROMPT)]})
    return _drawn_by_model(state, store)


def ahosted(base_url: str, store: ImageStore, settings: dict[str, Any]) -> Sequence[GeneratedImage]:
    """Let a chat model draw with the hosted tool, in an event loop."""

    async def run() -> dict[str, Any]:
        async with openai.DefaultAsyncHttpxClient() as client:
            agent = _hosted_agent(base_url, store, settings, http_async_client=client)
            return await agent.ainvoke({"messages": [HumanMessage(PROMPT)]})

    return _drawn_by_model(asyncio.run(run()), store)


WAYS: dict[str, Way] = {
    "invoke": invoke,
    "ainvoke": ainvoke,
    "stream": stream,
    "astream": astream,
    "tool": tool,
    "tool, async": atool,
    "hosted": hosted,
    "hosted, async": ahosted,
}

STREAMS = ("stream", "astream")
"""The ways that read events."""
