"""A store that fails after the picture was paid for: the caller gets the picture, in the store or with the error."""

from __future__ import annotations

import asyncio
import hashlib
import json
import pickle
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langchain_imagegen import GeneratedImage, ImageMemory, ImageResult, ImageStore
from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.simulator import Simulator, corrupt_base64
from tests.broken_folders import BREAKS, full_disk, left_in, replaced_by_a_file
from tests.loopback import JSON, serving
from tests.streaming.test_sinks import events, png, response, split

WAYS: dict[str, dict[str, Any]] = {
    "JSON": {},
    "events": {"delivery": "stream"},
    "Images API": {"api": "images"},
    "Images API, events": {"api": "images", "delivery": "stream"},
}
PICTURE = png(50_000)


@pytest.fixture
def folder(image_store: ImageStore) -> Path:
    """The folder of the image store, to which a write has succeeded."""
    image_store.check_writable()
    return Path(image_store.location)


def failing(call: Callable[[], Any]) -> ImageStoreError:
    """Return the error of a call whose picture cannot be stored."""
    with pytest.raises(ImageStoreError, match="cannot be stored") as caught:
        call()
    return caught.value


def is_whole(image: GeneratedImage) -> bool:
    """Return True if the bytes of an image can be read, and are a picture of its size."""
    return hashlib.sha256(image.read()).hexdigest() == image.sha256 and image.to_pil().width == image.width


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("way", WAYS)
def test_the_error_carries_the_picture(
    broken: str, way: str, half: Any, low: Any, simulator: Simulator, folder: Path, tmp_path: Path
):
    """Whatever breaks the store and however the picture comes, the error has the whole result with readable bytes."""
    draw = low(**WAYS[way])

    with BREAKS[broken](folder):
        error = failing(lambda: half.invoke(draw, "draw a fox"))
        assert left_in(folder) == []

    assert isinstance(error.result, ImageResult)
    assert is_whole(error.result.image)
    assert error.result.image.save(tmp_path / "fox").read_bytes() == error.result.image.read()
    assert error.result.image.prompt == "draw a fox"
    assert simulator.pictures == 1


@pytest.mark.parametrize("broken", BREAKS)
def test_a_stream_ends_with_the_error(broken: str, half: Any, low: Any, folder: Path, simulator: Simulator):
    """The partial pictures come as ever; in place of the result comes the error that carries it."""
    seen = []

    async def watched() -> None:
        seen.extend([piece async for piece in draw.astream("draw a fox", partial_images=2)])

    draw = low()
    with BREAKS[broken](folder):
        if half.name == "sync":
            error = failing(lambda: seen.extend(draw.stream("draw a fox", partial_images=2)))
        else:
            error = failing(lambda: half.wait(watched))

    assert is_whole(error.result.image)
    assert simulator.pictures == 1


def test_all_pictures_of_an_answer(half: Any, low: Any, folder: Path):
    """Of several pictures in one answer each can be read from the error's result."""
    with full_disk(folder):
        error = failing(lambda: half.invoke(low(), "draw two pictures of a fox"))

    assert len(error.result.images) == 2
    assert "2 of 2 pictures" in str(error)
    assert all(map(is_whole, error.result.images))


def test_what_could_be_stored_is_read_from_the_store(image_store: ImageStore, folder: Path, generators: list[Any]):
    """If only one of two pictures is too large for the disk, the other is in the store; the result has both."""
    from langchain_imagegen import ImageGenerator

    small, large = png(3000), png(200_000, seed=1)
    body = response(small)
    body["output"].append({**response(large)["output"][0], "id": "ig_2"})
    with serving(split(json.dumps(body).encode(), 1 << 16), JSON) as server:
        generators.append(ImageGenerator(base_url=server.base_url, api_key="any", image_store=image_store))
        with full_disk(folder):
            error = failing(lambda: generators[-1].invoke("two noises"))

    assert "1 of 2 pictures" in str(error)
    assert [image.read() for image in error.result.images] == [small, large]
    assert [image.sha256 in image_store for image in error.result.images] == [True, False]


def test_the_error_says_where_the_picture_is(low: Any, folder: Path):
    """The message gives the cause, names the response that the service keeps, and how the bytes are got."""
    other = ImageStore(folder)
    other.check_writable()
    with replaced_by_a_file(folder):
        error = failing(lambda: low().invoke("draw a fox"))
        unstored = failing(lambda: low(store=False, image_store=other).invoke("draw a fox"))

    assert repr(error.result.response_id) in str(error)
    assert error.response_id == error.result.response_id
    assert unstored.response_id is None
    assert error.may_be_billed
    assert not error.retryable
    assert "error.result.image.save(path)" in str(error)
    assert "Not a directory" in str(error)
    assert str(folder) not in str(error)
    assert "keeps it as response" not in str(unstored)


def test_the_picture_can_be_kept_later(low: Any, image_store: ImageStore, folder: Path, simulator: Simulator):
    """Once the store works again, the result of the error is put there, remembered and edited like any other."""
    memory = ImageMemory(image_store=image_store)
    draw = low(memory=memory, reference="bytes")
    with full_disk(folder):
        error = failing(lambda: draw.invoke("draw a fox"))
    assert len(memory) == 0

    image_store.put(error.result.image.read())
    memory.add(error.result)
    draw.invoke("make it winter", images=["last"])

    assert simulator.orders[-1].sources == (error.result.image.read(),)


def test_the_error_can_be_edited_from(low: Any, folder: Path, simulator: Simulator, tmp_path: Path):
    """The result of the error goes into another call whose store works, without being saved first."""
    with full_disk(folder):
        error = failing(lambda: low().invoke("draw a fox"))
    low(reference="bytes", image_store=ImageStore(tmp_path / "other")).invoke("make it winter", images=[error.result])

    assert simulator.orders[-1].sources == (error.result.image.read(),)


def test_the_error_crosses_processes(low: Any, folder: Path):
    """A worker may send the error to another process: the bytes go along."""
    with full_disk(folder):
        error = failing(lambda: low().invoke("draw a fox"))

    sent = pickle.loads(pickle.dumps(error))

    assert str(sent) == str(error)
    assert sent.result.image.read() == error.result.image.read()


def test_a_broken_store_is_not_paid_for_twice(half: Any, low: Any, folder: Path, simulator: Simulator):
    """After the failure the store is tried with a write before the next picture is bought, until it works again."""
    draw = low()
    with replaced_by_a_file(folder):
        failing(lambda: half.invoke(draw, "draw a fox"))
        with pytest.raises(ImageStoreError, match="cannot be written") as refused:
            half.invoke(draw, "draw an owl")
        assert refused.value.result is None
        assert simulator.pictures == 1

    assert is_whole(half.invoke(draw, "draw an owl").image)


def test_a_failure_beside_others_in_a_batch(low: Any, folder: Path):
    """In a batch that returns its errors, each error carries its own picture."""
    with full_disk(folder):
        errors = low().batch(["draw a fox", "draw an owl"], return_exceptions=True)

    assert [error.result.image.prompt for error in errors] == ["draw a fox", "draw an owl"]
    assert all(is_whole(error.result.image) for error in errors)


def test_a_failed_picture_of_the_service_is_still_told(low: Any, folder: Path, simulator: Simulator):
    """A broken store does not hide that a picture came corrupt: there is none to carry."""
    simulator.script(corrupt_base64())
    with full_disk(folder), pytest.raises(Exception, match="corrupt") as caught:
        low().invoke("draw a fox")
    assert not isinstance(caught.value, ImageStoreError)


# --- the second try


@pytest.mark.parametrize("kind", ["JSON", "events"])
def test_a_store_deleted_meanwhile(kind: str, half: Any, generator: Any, image_store: ImageStore, folder: Path):
    """If the folder is deleted while a picture of 3 MB arrives, the picture is written anew and nobody notices."""
    picture = png(3_000_000)
    body = events(picture) if kind == "events" else json.dumps(response(picture)).encode()
    parts = split(body, 1 << 16)
    middle = len(parts) // (6 if kind == "events" else 2)
    content_type = "text/event-stream" if kind == "events" else JSON

    with serving([*parts[:middle], 5.0, *parts[middle:]], content_type) as server:
        deleting = threading.Thread(target=delete_when_written, args=(folder, server.over))
        deleting.start()
        result = half.invoke(generator(base_url=server.base_url, delivery="stream"), "noise")
        deleting.join()

    assert result.warnings == ()
    assert image_store.get(result.image.sha256) == picture
    assert len(left_in(folder)) == 1


def delete_when_written(folder: Path, deleted: threading.Event) -> None:
    """Delete the folder once something was written into it."""
    while not left_in(folder):
        time.sleep(0.01)
    shutil.rmtree(folder)
    deleted.set()


def test_room_that_comes_back(image_store: ImageStore, folder: Path):
    """A picture whose first write met a full disk is stored after all if there is room when it is whole."""
    with image_store.writer() as writer:
        with full_disk(folder):
            for start in range(0, len(PICTURE), 5000):
                writer.write(PICTURE[start : start + 5000])
            assert writer.read(0, len(PICTURE)) == PICTURE
        blob = writer.commit()

    assert image_store.get(blob.sha256) == PICTURE
    assert image_store.known_writable
    assert len(left_in(folder)) == 1


@pytest.mark.parametrize("at", [0, 1, 5999, 9_000, 10_000, 12_345, 43_000])
def test_what_was_written_is_read_back(at: int, image_store: ImageStore, folder: Path):
    """A writer on a full disk gives every part of what it was given: from the file, from memory, or across both."""
    with image_store.writer() as writer, full_disk(folder):
        for start in range(0, len(PICTURE), 6000):
            writer.write(PICTURE[start : start + 6000])
        assert writer.read(at, at + 7000) == PICTURE[at : at + 7000]
        assert writer.sha256 == hashlib.sha256(PICTURE).hexdigest()

    assert left_in(folder) == []


async def test_async_put(image_store: ImageStore, folder: Path):
    """`aput` fails like `put` and can be repeated."""
    with full_disk(folder), pytest.raises(ImageStoreError, match="File too large"):
        await image_store.aput(PICTURE)
    blob = await asyncio.wait_for(image_store.aput(PICTURE), 5)

    assert image_store.get(blob.sha256) == PICTURE
