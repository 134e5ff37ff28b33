"""What the page needs beside LangGraph's API: its own files, the pictures, and what they cost.

LangGraph's server mounts `app`, see `langgraph.json`. Whoever may use the server may read its pictures: the page gets
signed links to those of a thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langgraph_sdk import get_client
from langgraph_sdk.errors import NotFoundError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from store import OPTIONS, store

from langchain_imagegen import GeneratedImage, ImageMemory, estimate
from langchain_imagegen.errors import ImageGenerationError
from langchain_imagegen.images.cost import Cost
from langchain_imagegen.web import images_app

PAGE = Path(__file__).parent / "page"
THUMBNAIL = 512  # pixels of its width
PARTS = {
    "image_output": "Pictures drawn",
    "image_input": "Pictures read",
    "text": "Prompts",
    "mainline": "Prompts rewritten",
}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class Page(StaticFiles):
    """Serves the files of the page with its headers: only its own scripts run, and they call only this server."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the answer for a file."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


async def index(request: Request) -> Response:  # noqa: ARG001
    """Return the page."""
    return FileResponse(PAGE / "index.html", headers=HEADERS)


async def about(request: Request) -> Response:  # noqa: ARG001
    """Return whether a simulator draws."""
    return JSONResponse({"simulated": bool(os.environ.get("CHAT_SIMULATED"))})


async def pictures(request: Request) -> Response:
    """Return the pictures of a thread, or of one checkpoint, and what they cost."""
    memory = await _memory(request.path_params["thread"], request.query_params.get("checkpoint"))
    return JSONResponse(await asyncio.to_thread(_told, memory))


async def price(request: Request) -> Response:
    """Return what a drawing with the arguments of a tool call costs at most."""
    arguments = await request.json()
    named = arguments.pop("images", None) or []
    chosen = {name: value for name, value in arguments.items() if name != "prompt"}
    try:
        cost = estimate(OPTIONS.merge(chosen), sources=len(named), prompt=str(arguments.get("prompt", "")))
    except ImageGenerationError as error:
        return JSONResponse({"total": None, "note": str(error)})
    return JSONResponse({"total": _dollars(cost), "note": "; ".join(cost.assumptions)})


async def _memory(thread: str, checkpoint: str | None) -> ImageMemory:
    client = get_client()  # without an address it calls the server that it runs in
    try:
        state = await client.threads.get_state(thread, checkpoint_id=checkpoint)
    except NotFoundError:
        raise HTTPException(404, "There is no such chat.") from None
    values = state["values"] if isinstance(state["values"], Mapping) else {}
    return ImageMemory.from_state(values, image_store=store, trust="channel")


def _told(memory: ImageMemory) -> dict[str, Any]:
    cost = memory.cost()
    notes = [*(f"{each}." for each in cost.prices), cost.reason, "The chat model's own tokens are not in it."]
    return {
        "pictures": [_picture(image) for image in memory],
        "cost": {
            "total": _dollars(cost),
            "pictures": sum(image.origin == "model" for image in memory),
            "parts": [{"name": name, "dollars": str(getattr(cost, part) or 0)} for part, name in PARTS.items()],
            "note": " ".join(notes),
        },
    }


def _picture(image: GeneratedImage) -> dict[str, Any]:
    url, shown = image.url(), ("id", "handle", "sha256", "mime_type", "width", "height", "prompt", "revised_prompt")
    told = {name: getattr(image, name) for name in (*shown, "quality", "parents")}
    return {**told, "url": url, "thumbnail": f"{url}&w={THUMBNAIL}", "price": _dollars(image.cost())}


def _dollars(cost: Cost) -> str | None:
    return None if cost.total is None else str(cost.total)


app = Starlette(
    routes=[
        Route("/", index),
        Mount("/page", Page(directory=PAGE)),
        Mount("/images", images_app(store)),
        Route("/chat/about", about),
        Route("/chat/threads/{thread}/pictures", pictures),
        Route("/chat/threads/{thread}/estimate", price, methods=["POST"]),
    ]
)
