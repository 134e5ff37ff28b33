"""The ways to ask for a picture: each returns the images that the caller gets, or raises what the caller sees."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import openai
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from langchain_imagegen import (
    GeneratedImage,
    ImageGenerationMiddleware,
    ImageGenerationTool,
    ImageGenerator,
    ImageResult,
    ImageStore,
    images_from,
)
from langchain_imagegen.conversation.messages import drawn_by_tool
from tests.graphs import agent_with_middleware
from tests.scripted import DONE, image_call, scripted_model

PROMPT = "Draw a fox"
OPTIONS = {"size": "816x816", "quality": "low", "output_format": "jpeg", "output_compression": 60}

Images = Sequence[GeneratedImage]

Way = Callable[..., Sequence[GeneratedImage]]


class ToolError(Exception):
    """What the chat model is told of a failure."""


def _generator(base_url: str, store: ImageStore, settings: dict[str, Any]) -> ImageGenerator:
    return ImageGenerator(
        base_url=base_url, api_key="simulated", image_store=store, options=OPTIONS, **{"timeout": 5.0, **settings}
    )


def invoke(base_url: str, store: ImageStore, settings: dict[str, Any], sources: Images = ()) -> Images:
    """Draw with `invoke`."""
    draw = _generator(base_url, store, settings)
    try:
        return draw.invoke(PROMPT, images=[*sources]).images
    finally:
        draw.close()


def ainvoke(base_url: str, store: ImageStore, settings: dict[str, Any], sources: Images = ()) -> Images:
    """Draw with `ainvoke`."""

    async def run() -> ImageResult:
        draw = _generator(base_url, store, settings)
        try:
            return await draw.ainvoke(PROMPT, images=[*sources])
        finally:
            await draw.aclose()

    return asyncio.run(run()).images


def stream(base_url: str, store: ImageStore, settings: dict[str, Any], sources: Images = ()) -> Images:
    """Draw with `stream`."""
    draw = _generator(base_url, store, settings)
    try:
        pieces = list(draw.stream(PROMPT, partial_images=1, images=[*sources]))
    finally:
        draw.close()
    return pieces[-1].images


def astream(base_url: str, store: ImageStore, settings: dict[str, Any], sources: Images = ()) -> Images:
    """Draw with `astream`."""

    async def run() -> ImageResult:
        draw = _generator(base_url, store, settings)
        try:
            return [piece async for piece in draw.astream(PROMPT, partial_images=1, images=[*sources])][-1]
        finally:
            await draw.aclose()

    return asyncio.run(run()).images


def _conversation(sources: Images) -> list[BaseMessage]:
    """Return the messages of a conversation in which the sources were drawn before."""
    messages: list[BaseMessage] = []
    for image in sources:
        named = AIMessage("There it is.", response_metadata={"id": image.response_id})
        drawn = ToolMessage("Drawn.", tool_call_id="old", artifact={"images": [image.record()]})
        messages += [HumanMessage("Draw an owl"), AIMessage("", tool_calls=[image_call("old")]), drawn, named]
    return [*messages, HumanMessage(PROMPT)]


def _agent(draw: ImageGenerator, sources: Images) -> Any:
    named = {"images": [image.handle for image in sources]} if sources else {}
    model = scripted_model(image_call("a", PROMPT, **named), DONE)
    return agent_with_middleware(model, ImageGenerationTool(generator=draw))


def _drawn_by_tool(state: dict[str, Any]) -> Images:
    message = [message for message in state["messages"] if message.type == "tool"][-1]
    if message.status == "error":
        raise ToolError(message.content)
    return list(drawn_by_tool(message, ("images",)))


def tool(base_url: str, store: ImageStore, settings: dict[str, Any], sources: Images = ()) -> Images:
    """Let an agent draw with the function tool."""
    draw = _generator(base_url, store, settings)
    try:
        return _drawn_by_tool(_agent(draw, sources).invoke({"messages": _conversation(sources)}))
    finally:
        draw.close()


def atool(base_url: str, store: ImageStore, settings: dict[str, Any], sources: Images = ()) -> Images:
    """Let an agent draw with the function tool, in an event loop."""

    async def run() -> dict[str, Any]:
        draw = _generator(base_url, store, settings)
        try:
            return await _agent(draw, sources).ainvoke({"messages": _conversation(sources)})
        finally:
            await draw.aclose()

    return _drawn_by_tool(asyncio.run(run()))


def _hosted_agent(
    base_url: str, store: ImageStore, settings: dict[str, Any], partials: int | None = None, **clients: Any
) -> Any:
    chained = {"use_previous_response_id": True} if settings.get("reference") == "response_id" else {}
    others = {name: value for name, value in settings.items() if name != "reference"}
    settings = {"timeout": 5.0, **others, **chained, **clients}
    model = ChatOpenAI(model="gpt-5.4", base_url=base_url, api_key="simulated", use_responses_api=True, **settings)
    middleware = ImageGenerationMiddleware(OPTIONS, image_store=store, wire=True, partials=partials)
    return create_agent(model, middleware=[middleware])


def _drawn_by_model(state: dict[str, Any], store: ImageStore) -> Images:
    """Return the images of the last answer, which holds a picture as base64 if the store did not take it."""
    own = ImageStore(f"memory://{uuid.uuid4().hex}", fallback=store)
    return images_from(state["messages"][-1], image_store=own)


def hosted(base_url: str, store: ImageStore, settings: dict[str, Any], sources: Images = ()) -> Images:
    """Let a chat model draw with the hosted tool, through the middleware."""
    with openai.DefaultHttpxClient() as client:
        agent = _hosted_agent(base_url, store, settings, http_client=client)
        state = agent.invoke({"messages": _conversation(sources)})
    return _drawn_by_model(state, store)


def ahosted(
    base_url: str, store: ImageStore, settings: dict[str, Any], sources: Images = (), *, partials: int | None = None
) -> Images:
    """Let a chat model draw with the hosted tool, in an event loop."""

    async def run() -> dict[str, Any]:
        async with openai.DefaultAsyncHttpxClient() as client:
            agent = _hosted_agent(base_url, store, settings, partials, http_async_client=client)
            return await agent.ainvoke({"messages": _conversation(sources)})

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
    "hosted, partials": partial(ahosted, partials=2),
}

STREAMS = ("stream", "astream", "hosted, partials")
"""The ways that read events."""
