"""Deleting a response at the service."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_imagegen import GeneratedImage, ImageMemory
from langchain_imagegen.errors import AuthenticationError, ConnectionLostError, OptionError, ServiceError
from langchain_imagegen.simulator import Simulator


@pytest.fixture
def delete(half: Any) -> Any:
    """Deletes with either half of a generator: `delete(draw, image)`."""

    def call(draw: Any, image: Any) -> bool:
        return half.wait(draw.adelete_remote, image) if half.name == "async" else draw.delete_remote(image)

    return call


@pytest.mark.parametrize("given", ["result", "image", "id"])
def test_a_deleted_response_is_gone(given: str, delete: Any, half: Any, low: Any):
    """The service knows the response no more; a second time there is nothing to delete; the bytes here stay."""
    draw = low()
    fox = half.invoke(draw, "draw a fox")
    owl = half.invoke(draw, "draw an owl")

    image = {"result": fox, "image": fox.image, "id": fox.response_id}[given]
    assert delete(draw, image) is True
    assert delete(draw, image) is False
    with pytest.raises(ServiceError):
        draw.resume(fox.response_id)
    assert draw.resume(owl.response_id).image.read() == owl.image.read()
    assert fox.image.read()


def test_a_deleted_picture_is_edited_by_its_bytes(delete: Any, half: Any, low: Any, simulator: Simulator):
    """The memory knows that the service has it no more: an edit sends the bytes, in one request."""
    draw = low(memory=ImageMemory())
    fox = half.invoke(draw, "draw a fox")
    delete(draw, fox)
    before = len(simulator.requests)
    winter = half.invoke(draw, "make it winter", images=["last"])

    assert winter.rung == "bytes"
    assert simulator.orders[-1].sources == (fox.image.read(),)
    assert len(simulator.requests) == before + 1


def test_what_was_never_kept(delete: Any, half: Any, low: Any, simulator: Simulator):
    """Uploads and pictures of the Images API have no response: nothing is asked."""
    (upload,) = half.invoke(low(), "make it winter", images=[half.invoke(low(), "draw a fox").image.read()]).sources
    picture = half.invoke(low(api="images"), "draw a fox").image
    before = len(simulator.requests)

    assert delete(low(), upload) is False
    assert delete(low(), picture) is False
    assert len(simulator.requests) == before


def test_an_unstored_response_is_nothing_to_delete(delete: Any, half: Any, low: Any):
    """A response of `store=False` is unknown to the service: False, and no error."""
    draw = low(store=False)

    assert delete(draw, half.invoke(draw, "draw a fox")) is False


def test_another_service_is_not_asked(delete: Any, low: Any, simulator: Simulator):
    """An image that another host drew is an error before anything is sent."""
    image = GeneratedImage(
        id="ig_1", provider="api.x.ai", sha256="0" * 64, size_bytes=1, mime_type="image/png", response_id="resp_1"
    )

    with pytest.raises(OptionError, match=r"drawn by api\.x\.ai"):
        delete(low(), image)
    assert simulator.requests == []


@pytest.mark.parametrize("wrong", ["img_1a2b3c4d", "last", "", None, 5])
def test_only_images_and_responses(wrong: Any, delete: Any, low: Any):
    """A handle or anything else is refused with what to give."""
    with pytest.raises(OptionError, match="names no response: give an image"):
        delete(low(), wrong)


def test_errors_are_ours(delete: Any, half: Any, low: Any, simulator: Simulator):
    """A wrong address is no missing response, another account's response is; a lost connection is our error."""
    fox = half.invoke(low(), "draw a fox")
    wrong = low(base_url=simulator.base_url.removesuffix("/v1") + "/nowhere")

    assert delete(low(api_key="sk-other"), fox) is False
    with pytest.raises(ServiceError) as caught:
        delete(wrong, fox)
    assert caught.value.status == 404
    with pytest.raises(ConnectionLostError):
        delete(low(base_url="http://127.0.0.1:9/v1"), fox)
    with pytest.raises((AuthenticationError, ServiceError)):
        delete(low(api_key=lambda: 1 / 0), fox)
