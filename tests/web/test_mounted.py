"""`images_app` within other servers: FastAPI, Starlette below a prefix, and beside routes of the same level."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from langchain_imagegen import GeneratedImage, ImageStore
from langchain_imagegen.simulator.drawing import draw as paint
from langchain_imagegen.web import UrlSigner, images_app

PNG = paint("a fox", size=(640, 480))

Serve = Callable[[Any], httpx.Client]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """A store whose addresses are signed and begin with `/images/`."""
    return ImageStore(tmp_path / "images", public_url="/images/{sha256}.{ext}", url_signer=UrlSigner("a secret"))


def test_in_fastapi(serve: Serve, store: ImageStore):
    """Mounted in FastAPI, the address that a JSON route gives opens the picture, and other paths stay FastAPI's."""
    image = GeneratedImage.of(store.put(PNG), id="ig_1").bind(store)
    app = FastAPI()
    app.mount("/images", images_app(store))

    @app.get("/latest")
    async def latest() -> dict[str, str]:
        return {"url": await image.aurl(expires=60)}

    client = serve(app)
    address = client.get("/latest").json()["url"]
    assert client.get(address).content == PNG
    assert client.get(f"{address}&w=320").headers["content-type"] == "image/webp"
    assert client.get(f"/images/{image.sha256}.png").text == "Not Found"
    assert client.get("/elsewhere").json() == {"detail": "Not Found"}


def test_a_session_of_the_server_says_who_may_read(serve: Serve, image_store: ImageStore):
    """`authorize` sees the user that a middleware of the server around the app has found, and may answer 401."""
    sha256 = image_store.put(PNG).sha256

    async def is_owner(request: Request, digest: str) -> bool:
        if request.state.user is None:
            raise HTTPException(401)
        return request.state.user == "ann" and digest == sha256

    app = FastAPI()
    app.mount("/images", images_app(image_store, authorize=is_owner))

    @app.middleware("http")
    async def find_user(request: Request, call_next: Callable[[Request], Any]) -> Any:
        request.state.user = request.cookies.get("user")
        return await call_next(request)

    client, path = serve(app), f"/images/{sha256}.png"
    found = [client.get(path, headers={"cookie": cookie}).status_code for cookie in ("user=ann", "user=bob", "a=b")]
    assert found == [200, 404, 401]


def test_beside_other_routes(serve: Serve, store: ImageStore):
    """Mounted at the root, before or after other routes, the app takes the paths of pictures and leaves the others."""
    path = store.url(store.put(PNG).sha256, "image/png").removeprefix("/images")
    pictures = images_app(store)
    page = Route("/page.html", lambda request: PlainTextResponse("a page"))

    for routes in ([*pictures.routes, page], [page, Mount("/", pictures)]):
        client = serve(Starlette(routes=routes))
        assert client.get(path).content == PNG
        assert client.get("/page.html").text == "a page"
        assert client.get("/openapi.json").status_code == 404
