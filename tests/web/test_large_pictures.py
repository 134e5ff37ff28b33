"""Large pictures, many readers, and readers who go: memory, open files, and stores in buckets."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_imagegen import ImageStore
from langchain_imagegen.simulator.drawing import draw as paint
from langchain_imagegen.web import UrlSigner, images_app
from tests.images.test_hostile import SIGNATURE, chunk
from tests.s3 import Requests

ROOT = Path(__file__).parents[2]
PNG = paint("a fox", size=(640, 480))
MB = 1_000_000

Serve = Callable[[Any], httpx.Client]


def large(size: int) -> bytes:
    """Return a PNG of about so many bytes, most of them in a text chunk."""
    head = PNG[len(SIGNATURE) :]
    return SIGNATURE + head[:25] + chunk(b"teXt", os.urandom(size)) + head[25:]


PROGRAM = """
import asyncio, resource, sys
import uvicorn
from langchain_imagegen import ImageStore
from langchain_imagegen.web import images_app
inner = images_app(ImageStore(sys.argv[1]), public=True)
async def app(scope, receive, send):
    if scope["path"] != "/memory":
        return await inner(scope, receive, send)
    text = str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})
config = uvicorn.Config(app, fd=int(sys.argv[2]), log_level="error", lifespan="off")
uvicorn.Server(config).run()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KB on Linux")
def test_memory_does_not_grow_with_pictures(tmp_path: Path):
    """Eight readers of pictures of 24 MB at once make the server need less than one such picture in memory."""
    store = ImageStore(tmp_path)
    path = f"/{store.put(large(24 * MB)).sha256}.png"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(listening.fileno())]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        server = subprocess.Popen(command, pass_fds=[listening.fileno()], env=environment)
    try:
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            client.get(f"/{'0' * 64}.png")
            before = int(client.get("/memory").text)

            def digest(_: int) -> str:
                with client.stream("GET", path) as answer:
                    found = hashlib.sha256()
                    for piece in answer.iter_bytes():
                        found.update(piece)
                return found.hexdigest()

            with ThreadPoolExecutor(8) as pool:
                digests = set(pool.map(digest, range(8)))
            grown = 1024 * (int(client.get("/memory").text) - before)
    finally:
        server.kill()
        server.wait()

    assert digests == {path[1:65]}
    assert grown < 24 * MB


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_readers_who_go_leave_no_open_file(serve: Serve, image_store: ImageStore):
    """When readers close their connections in the middle of a picture, the files are closed."""
    path = f"/{image_store.put(large(8 * MB)).sha256}.png"
    client = serve(images_app(image_store, public=True))

    for _ in range(10):
        with client.stream("GET", path) as answer:
            next(answer.iter_raw())
    assert client.get(path).status_code == 200
    end = time.monotonic() + 10
    while still_open(path[1:]):
        assert time.monotonic() < end
        time.sleep(0.05)


def still_open(name: str) -> list[str]:
    """Return the open files of this process with a name."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except OSError:
            continue
    return [link for link in links if name in link]


def test_a_picture_that_is_deleted_while_it_is_sent(serve: Serve, image_store: ImageStore):
    """A reader gets all of a picture that is deleted meanwhile; the next one gets none."""
    sha256 = image_store.put(large(8 * MB)).sha256
    client = serve(images_app(image_store, public=True))

    found = hashlib.sha256()
    with client.stream("GET", f"/{sha256}.png") as answer:
        for number, piece in enumerate(answer.iter_raw(10_000)):
            if number == 0:
                image_store.delete(sha256)
            found.update(piece)
    assert found.hexdigest() == sha256
    assert client.get(f"/{sha256}.png").status_code == 404


def test_a_bucket(serve: Serve, s3: dict[str, Any]):
    """Pictures in S3 are served with type, ranges, thumbnails and signed addresses, as from a folder."""
    signer = UrlSigner("a secret of the server")
    store = ImageStore("s3://pictures/web", public_url="/{sha256}.{ext}", url_signer=signer, **s3)
    sha256 = store.put(PNG).sha256
    client, address = serve(images_app(store)), store.url(sha256, "image/png")

    assert client.get(address).content == PNG
    assert client.get(address).headers["content-type"] == "image/png"
    assert client.get(address, headers={"range": "bytes=5-9"}).content == PNG[5:10]
    small = client.get(f"{address}&w=160")
    assert small.headers["content-type"] == "image/webp"
    assert client.get(f"{address}&w=160").content == small.content
    assert client.get(f"/{'0' * 64}.png?{signer.sign('0' * 64)}").status_code == 404
    store.delete(sha256)
    assert client.get(address).status_code == 404
    assert client.get(f"{address}&w=160").status_code == 404


def test_a_bucket_is_not_asked_for_what_a_browser_has(serve: Serve, s3: dict[str, Any]):
    """A 304 fetches no picture from S3, and a request that may not read asks S3 nothing."""
    signer = UrlSigner("a secret of the server")
    store = ImageStore("s3://pictures/known", public_url="/{sha256}.{ext}", url_signer=signer, **s3)
    sha256 = store.put(PNG).sha256
    client, address = serve(images_app(store)), store.url(sha256, "image/png")

    with Requests() as requests:
        assert client.get(f"/{sha256}.png").status_code == 404
        assert requests.lines == []
        assert client.get(address, headers={"if-none-match": f'"{sha256}"'}).status_code == 304
    assert not [line for line in requests.lines if sha256 in line and "list-type" not in line]


def test_a_bucket_signs_addresses_of_its_own(s3: dict[str, Any]):
    """Without a `public_url`, a picture in S3 has an address that S3 signs, and that gives the picture."""
    store = ImageStore("s3://pictures/own", **s3)
    sha256 = store.put(PNG).sha256

    answer = httpx.get(store.url(sha256, "image/png", expires=60), trust_env=False)
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
