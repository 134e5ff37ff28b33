"""`images_app`: an ASGI app that serves the pictures of an image store, to be mounted in a server or served alone.

It answers `GET` and `HEAD` for `/{sha256}.{ext}`. Nothing of the store is looked up before the request may read it, and
every refusal is the same 404. Only bytes of a known picture format are served, with the type that the bytes have.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from inspect import isawaitable
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from langchain_imagegen.errors import ImageStoreError, OptionError
from langchain_imagegen.images.sniffing import MIME_TYPES
from langchain_imagegen.storage.keys import DIGEST
from langchain_imagegen.storage.store import ImageStore
from langchain_imagegen.storage.stored_picture import StoredPicture, open_stored
from langchain_imagegen.web.answers import (
    SAFE,
    YEAR,
    PictureResponse,
    download_of,
    not_a_width,
    not_available,
    not_found,
    not_modified,
    not_satisfiable,
)
from langchain_imagegen.web.conditions import UnsatisfiableRangeError, is_known, range_of
from langchain_imagegen.web.signing import UrlSigner
from langchain_imagegen.web.thumbnails import WIDTHS, GoneError, Thumbnails

StoreOf: TypeAlias = Callable[[Request], "ImageStore | Awaitable[ImageStore]"]
Authorize: TypeAlias = Callable[[Request, str], "bool | Awaitable[bool]"]

_DIGITS = 6  # of a width
_SCOPES = 1024  # stores of scopes that an app keeps open
_TOLD = ("Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "ETag")

logger = logging.getLogger(__name__)


def images_app(
    image_store: ImageStore | StoreOf,
    *,
    authorize: Authorize | None = None,
    url_signer: UrlSigner | None = None,
    public: bool = False,
    allow_origins: Sequence[str] = (),
    widths: Sequence[int] = WIDTHS,
) -> Starlette:
    """Return an app that serves pictures at `/{sha256}.{ext}`, in full, in part, or as thumbnails (`?w=320`).

    A request may read a picture if its link is signed, or else if `authorize` says so. `?download`, or
    `?download=fox`, makes a browser save the picture.

    Args:
        image_store: The store, or a sync or async function that returns the store of a request, such as the one of
            its tenant. A signed link also reaches the scopes of that store, if it was signed for a picture there.
        authorize: A sync or async function of the request and the digest: whether the picture may be read. It may
            raise Starlette's `HTTPException` to answer something else than 404.
        url_signer: Checks signed links; the signer of `image_store` if not given.
        public: True serves every picture of the store to everybody who knows its digest.
        allow_origins: Origins of pages, such as `https://chat.example`, whose scripts may read pictures; `*` for all.
            A page needs this for `fetch` and canvas, not to show a picture.
        widths: The widths of thumbnails. Each is made once, and kept in the store beside its picture.

    Raises:
        OptionError: Nothing says who may read, the signer has no secret, or `widths` is wrong.
    """
    own = image_store.url_signer if isinstance(image_store, ImageStore) else None
    signer = url_signer or (own if isinstance(own, UrlSigner) else None)
    if not (authorize or signer or public):
        raise OptionError(
            "images_app needs to know who may read: pass authorize=, a function of request and digest, or url_signer= "
            "(and to the ImageStore too, for image.url()), or public=True to serve every picture to everybody"
        )
    if signer is not None:
        signer.check("", ())  # so that a missing secret is noticed now
    readers = _Readers(image_store, authorize, signer, public=public)
    route = _PictureRoute("/{sha256}.{ext}", _Pictures(readers, Thumbnails(widths)).answer, name="image")
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(allow_origins),
        allow_methods=["GET", "HEAD"],
        allow_headers=["If-None-Match", "If-Range", "Range"],
        allow_credentials=authorize is not None and "*" not in allow_origins,
        expose_headers=_TOLD,
    )
    app = Starlette(routes=[route], middleware=[cors] if allow_origins else [])
    app.router.redirect_slashes = False
    return app


class _PictureRoute(Route):
    """A route for names of pictures alone, so that the app can share its paths with another one."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the path names a picture."""
        match, child = super().matches(scope)
        named = child.get("path_params", {})
        is_picture = DIGEST.fullmatch(named.get("sha256", "")) and named.get("ext") in MIME_TYPES
        return (match, child) if is_picture else (Match.NONE, {})


class _Allowed:
    """A request that may read a picture: from which store, and how long its answer may be kept."""

    def __init__(self, store: ImageStore, cache_control: str) -> None:
        self.store, self.cache_control = store, cache_control


class _Readers:
    """Who may read which picture."""

    def __init__(
        self, image_store: ImageStore | StoreOf, authorize: Authorize | None, signer: UrlSigner | None, *, public: bool
    ) -> None:
        self._image_store, self._authorize, self._signer, self._public = image_store, authorize, signer, public
        self._within = lru_cache(_SCOPES)(_store_within)

    async def allow(self, request: Request, sha256: str) -> _Allowed | None:
        """Return what a request may read; None if it may not read this picture."""
        store = await self._store_of(request)
        grant = self._signer.check(sha256, request.query_params.multi_items()) if self._signer else None
        if grant is not None and grant.scopes[: len(store.scopes)] == store.scopes:
            seconds = min(grant.seconds, YEAR)
            return _Allowed(self._within(store, grant.scopes), f"private, max-age={seconds}, immutable")
        if self._public:
            return _Allowed(store, f"public, max-age={YEAR}, immutable")
        if self._authorize is not None and await _call(self._authorize, request, sha256):
            return _Allowed(store, f"private, max-age={YEAR}, immutable")
        return None

    async def _store_of(self, request: Request) -> ImageStore:
        if isinstance(self._image_store, ImageStore):
            return self._image_store
        store: ImageStore = await _call(self._image_store, request)
        return store


class _Pictures:
    """Answers requests for pictures."""

    def __init__(self, readers: _Readers, thumbnails: Thumbnails) -> None:
        self._readers, self._thumbnails = readers, thumbnails

    async def answer(self, request: Request) -> Response:
        """Return a picture, a part or a thumbnail of it, that it did not change, or why there is none."""
        sha256 = request.path_params["sha256"]
        allowed = await self._readers.allow(request, sha256)
        if allowed is None:
            return not_found()
        width = request.query_params.get("w")
        if width is not None and not (width.isascii() and width.isdecimal() and int(width[:_DIGITS]) > 0):
            return not_a_width(width)
        try:
            return await self._found(request, allowed, sha256, int(width[:_DIGITS]) if width else None)
        except GoneError:
            return not_found()
        except ImageStoreError as error:
            logger.warning("a picture cannot be served: %s", error)
            return not_available()

    async def _found(self, request: Request, allowed: _Allowed, sha256: str, width: int | None) -> Response:
        """Return the answer to a request that may read the picture.

        Raises:
            ImageStoreError: the store cannot be read.
            GoneError: the picture was deleted meanwhile.
        """
        store, etag, known = allowed.store, f'"{sha256}"', request.headers.get("if-none-match")
        if width is None and is_known(known, etag) and await run_in_threadpool(store.__contains__, sha256):
            return not_modified(_headers(allowed, etag))
        mime_type = MIME_TYPES[request.path_params["ext"]]
        picture = await run_in_threadpool(open_stored, store.shelves, sha256, mime_type)
        if picture is None:
            return not_found()
        small = await self._thumbnail(picture, sha256, width) if width else None
        if small is not None:
            picture, etag = small
        return _picture(request, allowed, picture, etag)

    async def _thumbnail(self, picture: StoredPicture, sha256: str, width: int) -> tuple[StoredPicture, str] | None:
        """Return a thumbnail in place of an open picture, and its ETag; None where the picture itself is sent."""
        made = self._thumbnails.width_for(width, picture.media)
        try:
            small = await self._thumbnails.make(picture, sha256, made) if made else None
        except BaseException:
            picture.close()
            raise
        if small is None:
            return None
        picture.close()
        return small, f'"{sha256[:32]}-{made}-{small.size_bytes}"'


def _picture(request: Request, allowed: _Allowed, picture: StoredPicture, etag: str) -> Response:
    """Return the answer with the bytes of an open picture, or without them where the request needs none."""
    headers = {**_headers(allowed, etag), "content-type": picture.media.mime_type, "accept-ranges": "bytes"}
    if "download" in request.query_params:
        sha256, name = request.path_params["sha256"], request.query_params["download"]
        headers["content-disposition"] = download_of(name, sha256, picture.media.extension)
    asked, if_range = (request.headers.get(name) for name in ("range", "if-range"))
    try:
        part = range_of(asked, if_range, etag, picture.size_bytes) if request.method == "GET" else None
    except UnsatisfiableRangeError:
        picture.close()
        return not_satisfiable(picture.size_bytes, headers)
    if is_known(request.headers.get("if-none-match"), etag):
        picture.close()
        return not_modified(headers)
    if request.method == "HEAD":
        picture.close()
        return Response(headers={**headers, "content-length": str(picture.size_bytes)})
    return PictureResponse(picture, part, headers)


def _headers(allowed: _Allowed, etag: str) -> dict[str, str]:
    return {**SAFE, "etag": etag, "cache-control": allowed.cache_control}


def _store_within(store: ImageStore, scopes: tuple[str, ...]) -> ImageStore:
    """Return the store in these scopes, which begin with the scopes of `store`."""
    for scope in scopes[len(store.scopes) :]:
        store = store.scoped(scope)
    return store


async def _call(function: Callable[..., Any], *args: Any) -> Any:
    """Return what a sync or async function returns; a sync one runs in a thread."""
    result = await run_in_threadpool(function, *args)
    return await result if isawaitable(result) else result
