"""An HTTP API for pictures: draw one, edit it by its handle, look at it. A request with a key is paid for once.

    python recipes/fastapi_app.py          # http://127.0.0.1:8000/docs tries it out

    curl 127.0.0.1:8000/pictures -H 'content-type: application/json' -H 'idempotency-key: poster-7' \
         -d '{"prompt": "Draw a poster of Lisbon", "size": "1024x1536"}'

Needs: pip install '.[web,simulator]' fastapi
OpenAI draws if OPENAI_API_KEY is set, otherwise a simulator. Pictures are in the folder `pictures`; their links are
signed with PICTURES_SECRET and work for an hour.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from langchain_imagegen import ImageGenerator, ImageLibrary, ImageStore, errors
from langchain_imagegen.simulator import start_without_key
from langchain_imagegen.web import UrlSigner, images_app

start_without_key()
signer = UrlSigner(os.environ.get("PICTURES_SECRET") or secrets.token_urlsafe(32))
store = ImageStore("pictures", public_url="/images/{sha256}.{ext}", url_signer=signer)
library = ImageLibrary(store)
draw = ImageGenerator(image_store=store, library=library, options={"quality": "low"})


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Wait at the end for pictures that are being drawn and paid for."""
    yield
    await draw.aclose()


app = FastAPI(lifespan=lifespan)
app.mount("/images", images_app(store))


class Wish(BaseModel):
    """What to draw, or what to change about the picture that `edits` names."""

    prompt: str
    edits: str | None = None
    size: str | None = None


@app.post("/pictures", status_code=201)
async def create(wish: Wish, idempotency_key: Annotated[str | None, Header()] = None) -> dict[str, Any]:
    """Draw or edit a picture. The same key gives the same picture, also while the first request is under way."""
    sources = [(await asyncio.to_thread(library.entry, wish.edits)).image] if wish.edits else []
    result = await draw.ainvoke(wish.prompt, images=sources, size=wish.size, once=idempotency_key)
    return {"handle": result.image.handle, "paid": str(result.cost())}


@app.get("/pictures/{handle}")
def look(handle: str) -> dict[str, Any]:
    """Return a picture with a new link; any process that shares the folder may have drawn it."""
    image = library.entry(handle).image
    return {"handle": handle, "prompt": image.prompt, "url": image.url(expires=3600)}


@app.exception_handler(errors.ImageGenerationError)
async def refuse(_: Request, error: errors.ImageGenerationError) -> JSONResponse:
    """Answer with the reason, and whether the same request may be sent again."""
    statuses = {errors.UnknownImageError: 404, errors.OptionError: 422, errors.ModerationError: 422}
    return JSONResponse({"detail": str(error), "retryable": error.retryable}, statuses.get(type(error), 502))


if __name__ == "__main__":
    uvicorn.run(app)
