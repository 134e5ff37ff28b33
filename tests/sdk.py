"""One-line calls of the unmodified SDK, and readers of its responses."""

from __future__ import annotations

import base64
from operator import attrgetter

from openai import AsyncOpenAI, AsyncStream, OpenAI, Stream

TOOL = {"type": "image_generation", "quality": "low", "size": "1024x1024", "output_format": "jpeg"}
FORCED = {"type": "image_generation"}
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def send(base_url, key, name, **fields):
    """Call a method of the SDK's client by its name, and return the result; a stream is returned as a list."""
    with OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        result = attrgetter(name)(client)(**fields)
        return list(result) if isinstance(result, Stream) else result


async def asend(base_url, key, name, **fields):
    """Async twin of `send`."""
    async with AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        result = await attrgetter(name)(client)(**fields)
        return [event async for event in result] if isinstance(result, AsyncStream) else result


def kinds(response):
    """Return the types of a response's items."""
    return [item.type for item in response.output]


def pictures(response):
    """Return the image items of a response."""
    return [item for item in response.output if item.type == "image_generation_call"]


def data(response):
    """Return the bytes of a response's first picture."""
    return base64.b64decode(pictures(response)[0].result, validate=True)


def data_url(picture):
    """Return a JPEG as a data URL."""
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def edit_of(item_id, words="Make it winter"):
    """Return the input of a request that edits an earlier picture by its id."""
    return [{"type": "image_generation_call", "id": item_id}, {"role": "user", "content": words}]


def stream(call, **fields):
    """Return the events of a streamed response that draws."""
    request = {"model": "gpt-5", "input": "Draw a fox", "tools": [TOOL], "stream": True, **fields}
    return call("responses.create", **request)
