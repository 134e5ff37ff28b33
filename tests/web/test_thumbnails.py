"""`?w=`: thumbnails of a few widths, made once, kept in the store, and gone with their pictures."""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from langchain_imagegen import GeneratedImage, ImageStore
from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.pillow import thumbnail_of
from langchain_imagegen.simulator.drawing import draw as paint
from langchain_imagegen.storage.stored_picture import open_stored
from langchain_imagegen.web import images_app
from langchain_imagegen.web.thumbnails import GoneError, Thumbnails
from tests.images.test_hostile import HUGE, SIGNATURE, chunk

PNG = paint("a fox", size=(800, 600))
OTHER = paint("an owl", size=(800, 600))

Serve = Callable[[Any], httpx.Client]


@pytest.fixture
def client(serve: Serve, image_store: ImageStore) -> httpx.Client:
    """A client of an app that serves `image_store`, with thumbnails of two widths."""
    return serve(images_app(image_store, public=True, widths=(320, 160)))


def opened(answer: httpx.Response) -> Image.Image:
    """Return the picture of an answer."""
    assert answer.status_code == 200
    return Image.open(io.BytesIO(answer.content))


def files(store: ImageStore) -> list[str]:
    """Return the names of the thumbnails in a store."""
    return sorted(path.name for path in (Path(store.location) / "thumbnails").glob("*"))


@pytest.mark.parametrize(("asked", "width"), [(1, 160), (160, 160), (161, 320), (320, 320), (500, 320), (99_999, 320)])
def test_a_thumbnail_has_one_of_the_widths(client: httpx.Client, image_store: ImageStore, asked: int, width: int):
    """A thumbnail is a WebP of the next larger width, or of the largest, with the shape of the picture."""
    answer = client.get(f"/{image_store.put(PNG).sha256}.png?w={asked}")
    small = opened(answer)

    assert small.size == (width, width * 3 // 4)
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in answer.headers["cache-control"]
    assert len(answer.content) < len(PNG) / 5


def test_a_thumbnail_is_made_once(client: httpx.Client, image_store: ImageStore):
    """Asked for again, or in other words, a thumbnail comes from the store; a damaged one is made again."""
    sha256 = image_store.put(PNG).sha256
    first = client.get(f"/{sha256}.png?w=320")
    kept = Path(image_store.location) / "thumbnails" / f"{sha256}.320.webp"
    other = thumbnail_of(OTHER, 320)
    kept.write_bytes(other)

    assert client.get(f"/{sha256}.png?w=300").content == other
    kept.write_bytes(other[:-5])
    assert client.get(f"/{sha256}.png?w=300").content == first.content
    assert files(image_store) == [f"{sha256}.320.webp"]


def test_many_requests_at_once(client: httpx.Client, image_store: ImageStore):
    """Many requests for thumbnails at the same time all get theirs."""
    digests = [image_store.put(data).sha256 for data in (PNG, OTHER)]
    paths = [f"/{sha256}.png?w={width}" for sha256 in digests for width in (160, 320)] * 5
    with ThreadPoolExecutor(len(paths)) as pool:
        answers = list(pool.map(client.get, paths))

    assert {(answer.status_code, answer.headers["content-type"]) for answer in answers} == {(200, "image/webp")}
    assert len(files(image_store)) == 4


def test_a_browser_keeps_a_thumbnail(client: httpx.Client, image_store: ImageStore):
    """A thumbnail has an ETag of its own, which is answered with 304."""
    path = f"/{image_store.put(PNG).sha256}.png"
    tags = [client.get(f"{path}{query}").headers["etag"] for query in ("", "?w=160", "?w=320")]

    assert len(set(tags)) == 3
    again = [client.get(f"{path}?w=160", headers={"if-none-match": tag}).status_code for tag in tags]
    assert again == [200, 304, 200]


@pytest.mark.parametrize("width", ["0", "-1", "x", "1.5", "", "%00", "1e3"])
def test_a_width_is_a_number(client: httpx.Client, image_store: ImageStore, width: str):
    """What is no width is answered with 400, and with 404 where the picture may not be read."""
    path = f"/{image_store.put(PNG).sha256}.png?w={width}"

    assert client.get(path).status_code == 400


def test_a_picture_that_is_not_wider_is_sent_itself(client: httpx.Client, image_store: ImageStore):
    """A picture that is not wider than the thumbnail, and an SVG, are sent as they are."""
    small = paint("a fox", size=(100, 80))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="3000" height="2000"></svg>'

    assert client.get(f"/{image_store.put(small).sha256}.png?w=160").content == small
    assert client.get(f"/{image_store.put(svg).sha256}.svg?w=160").content == svg
    assert files(image_store) == []


def test_transparency_and_rotation_are_kept(client: httpx.Client, image_store: ImageStore):
    """A thumbnail is upright and as wide as asked for, and a transparent picture stays transparent."""
    glass, photo, exif = io.BytesIO(), io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGBA", (800, 600), (255, 0, 0, 0)).save(glass, "PNG")
    Image.new("RGB", (800, 600), "red").save(photo, "JPEG", exif=exif)

    see_through = opened(client.get(f"/{image_store.put(glass.getvalue()).sha256}.png?w=160"))
    upright = opened(client.get(f"/{image_store.put(photo.getvalue()).sha256}.jpg?w=160"))
    assert see_through.mode == "RGBA"
    assert see_through.getpixel((5, 5))[3] == 0
    assert upright.size == (160, 213)


def large(width: int, height: int) -> bytes:
    """Return a PNG header of a picture with so many pixels; its pixels are missing."""
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("data", [HUGE, large(10_000, 5001), large(2**31 - 1, 1)], ids=["huge", "large", "wide"])
def test_a_bomb_is_not_decoded(client: httpx.Client, image_store: ImageStore, data: bytes):
    """A picture of more than 50 million pixels is sent as it is, and no thumbnail is made."""
    answer = client.get(f"/{image_store.put(data).sha256}.png?w=160")

    assert (answer.status_code, answer.content) == (200, data)
    assert files(image_store) == []


def test_what_pillow_cannot_read_is_sent_itself(client: httpx.Client, image_store: ImageStore):
    """A picture whose pixels are damaged is sent as it is."""
    data = large(800, 600)

    assert client.get(f"/{image_store.put(data).sha256}.png?w=160").content == data


def test_delete_removes_thumbnails(client: httpx.Client, image_store: ImageStore):
    """`delete` removes the thumbnails of its picture, and no others."""
    fox, owl = (GeneratedImage.of(image_store.put(data), id="ig_1") for data in (PNG, OTHER))
    for image in (fox, owl):
        client.get(f"/{image.sha256}.png?w=160")
        client.get(f"/{image.sha256}.png?w=320")

    image_store.delete(fox)
    assert files(image_store) == [f"{owl.sha256}.{width}.webp" for width in (160, 320)]
    assert client.get(f"/{fox.sha256}.png?w=160").status_code == 404


def test_prune_removes_thumbnails(client: httpx.Client, image_store: ImageStore):
    """`prune` removes the thumbnails of the pictures that it removes, and returns the pictures alone."""
    fox, owl = (image_store.put(data).sha256 for data in (PNG, OTHER))
    for sha256 in (fox, owl):
        client.get(f"/{sha256}.png?w=160")

    assert image_store.prune(keep=owl) == [fox]
    assert files(image_store) == [f"{owl}.160.webp"]
    assert image_store.prune(older_than=timedelta(0)) == [owl]
    assert files(image_store) == []


def test_a_thumbnail_does_not_outlive_its_picture(image_store: ImageStore):
    """If a picture is deleted while its thumbnail is made, no thumbnail of it is kept or sent."""
    sha256 = image_store.put(PNG).sha256
    picture = open_stored(image_store.shelves, sha256)
    assert picture
    image_store.delete(sha256)

    with picture, pytest.raises(GoneError):
        asyncio.run(Thumbnails().make(picture, sha256, 160))
    assert files(image_store) == []


def test_thumbnails_of_a_scope_stay_in_it(serve: Serve, image_store: ImageStore):
    """The thumbnail of a tenant's picture lies in the tenant's part of the store and goes with its picture."""
    tenant = image_store.scoped("tenant-7")
    sha256 = tenant.put(PNG).sha256
    client = serve(images_app(tenant, public=True))

    opened(client.get(f"/{sha256}.png?w=160"))
    image_store.prune(older_than=timedelta(0))
    assert files(tenant) == [f"{sha256}.160.webp"]
    assert files(image_store) == []
    tenant.delete(sha256)
    assert files(tenant) == []


@pytest.mark.skipif(not hasattr(__import__("os"), "geteuid"), reason="needs permissions of POSIX")
def test_a_store_that_cannot_be_written(client: httpx.Client, image_store: ImageStore, caplog: Any):
    """Where the thumbnail cannot be kept, it is sent all the same, and the log says why."""
    sha256 = image_store.put(PNG).sha256
    (Path(image_store.location) / "thumbnails").write_text("in the way")

    assert opened(client.get(f"/{sha256}.png?w=160")).size == (160, 120)
    assert "a thumbnail is not kept" in caplog.text


@pytest.mark.parametrize("widths", [(0,), (-5,), (1.5,), range(1, 100)])
def test_widths_are_few_and_positive(image_store: ImageStore, widths: Any):
    """Widths that would fill the store, or are none, are refused."""
    with pytest.raises(OptionError, match="widths="):
        images_app(image_store, public=True, widths=widths)


def test_no_widths_mean_no_thumbnails(serve: Serve, image_store: ImageStore):
    """Without widths every picture is sent as it is."""
    client = serve(images_app(image_store, public=True, widths=()))

    assert client.get(f"/{image_store.put(PNG).sha256}.png?w=160").content == PNG
