"""A store that fails under an agent: the caller still gets every picture that was paid for, or where to get it."""

from __future__ import annotations

import base64
import logging
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool as as_tool

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageStore, images_from
from langchain_imagegen.simulator import Simulator
from tests import graphs
from tests.broken_folders import full_disk, left_in, replaced_by_a_file, unnameable
from tests.conversations import SMALL, VERSIONS, image_block, photo, user_message
from tests.scripted import image_call

HOSTED = [{}, {"wire": True}]


@pytest.fixture
def folder(image_store: ImageStore) -> Path:
    """The folder of the image store, to which a write has succeeded."""
    image_store.check_writable()
    return Path(image_store.location)


@pytest.fixture(params=[replaced_by_a_file, unnameable])
def broken(request: pytest.FixtureRequest, folder: Path) -> AbstractContextManager[None]:
    """The folder broken, for a `with` statement; a full disk would take no checkpoints either."""
    return request.param(folder)


# --- the function tool


@pytest.mark.parametrize("place", graphs.PLACES)
def test_the_tool_names_the_response(place: Any, half: Any, low: Any, folder: Path, simulator: Simulator):
    """The tool's message says that the picture was paid for, and the id of the response; from there it can be had."""
    draw = low()
    talk = graphs.Talk(half, place, ImageGenerationTool(generator=draw))
    with full_disk(folder):
        talk.turn(image_call("call_1"))

    said = str(talk.tool_messages[-1].content)
    assert talk.tool_messages[-1].status == "error"
    assert "drawn and paid for" in said
    assert "Do not try again" in said
    assert "No picture was made" not in said
    assert str(folder) not in said
    (response,) = re.findall(r"resp_\w+", said)
    assert draw.resume(response).image.to_pil().size == (816, 816)
    assert simulator.pictures == 1


def test_the_agent_goes_on_after_the_tools_error(half: Any, low: Any, folder: Path):
    """Once the store works again, the next call of the same conversation draws and remembers."""
    talk = graphs.Talk(half, graphs.agent_with_middleware, ImageGenerationTool(generator=low()))
    with full_disk(folder):
        talk.turn(image_call("call_1"))
    memory = talk.turn(image_call("call_2", "draw an owl"))

    assert [image.prompt for image in memory] == ["draw an owl"]


# --- hosted calls


def drawn_in(state: Any, store: ImageStore) -> list[bytes]:
    """Return the bytes of the pictures that a model drew, as a caller gets them out of a state."""
    return [image.read() for image in images_from(state, image_store=store) if image.origin == "model"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("settings", HOSTED, ids=str)
def test_a_hosted_picture_stays_in_its_message(
    settings: dict[str, Any], version: str, talks: Any, broken: Any, image_store: ImageStore, caplog: Any
):
    """If nothing can be stored the message stays as the model gave it, with a logged warning, and the run goes on."""
    middleware = ImageGenerationMiddleware(SMALL, image_store=image_store, **settings)
    talk = talks.start(middleware, model=talks.model(output_version=version))
    with broken, caplog.at_level(logging.WARNING):
        talk.say("draw a fox")

    elsewhere = ImageStore(f"memory://{version}")
    (fox,) = drawn_in({"messages": talk.state["messages"]}, elsewhere)
    assert fox.startswith(b"\x89PNG")
    assert "stays in its message as base64" in caplog.text
    assert talks.simulator.pictures == 1
    assert [image.prompt for image in talk.memory] == ["draw a fox"]


@pytest.mark.parametrize("settings", HOSTED, ids=str)
def test_the_picture_moves_once_the_store_works(
    settings: dict[str, Any], talks: Any, folder: Path, image_store: ImageStore
):
    """The next turn puts what stayed in the messages into the store, takes it out of the state and edits it."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, image_store=image_store, **settings))
    with replaced_by_a_file(folder):
        talk.say("draw a fox")
        before = len(str(talk.state))
        talk.say("make it winter")
    talk.say("make it night")

    assert before > 10_000 > len(str(talk.state["messages"]))
    assert [image.prompt for image in talk.memory] == ["draw a fox", "make it winter", "make it night"]
    assert all(image.sha256 in image_store for image in talk.memory)
    assert len(left_in(folder)) == 3


def test_with_a_fallback_nothing_stays(talks: Any, folder: Path, image_store: ImageStore):
    """A fallback takes the hosted picture, and the state is as light as ever."""
    store = ImageStore(folder, fallback="memory://agents")
    talk = talks.start(ImageGenerationMiddleware(SMALL, image_store=store))
    with replaced_by_a_file(folder):
        talk.say("draw a fox")

    assert len(str(talk.state["messages"])) < 10_000
    assert talk.memory.latest.sha256 in ImageStore("memory://agents")


@pytest.mark.parametrize("offload", [True, False])
def test_an_upload_stays_in_its_message(offload: bool, talks: Any, folder: Path, image_store: ImageStore):
    """An upload that cannot be stored is sent as it came, and stays in the state; the turn goes on."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, image_store=image_store, offload_uploads=offload))
    picture = photo()
    with replaced_by_a_file(folder):
        talk.say(user_message("edit this: make it winter", picture))

    assert talks.simulator.orders[-1].sources == (picture,)
    assert image_block(picture)["base64"] in str(talk.state["messages"][0].content)


def test_offload_keeps_what_cannot_be_stored(folder: Path, image_store: ImageStore):
    """`offload` gives a message back as it is if its picture cannot be stored, and light if it can."""
    middleware = ImageGenerationMiddleware(SMALL, image_store=image_store, offload_uploads=False)
    messages = [user_message("look", photo()), user_message("no picture")]
    with replaced_by_a_file(folder):
        kept = middleware.offload(messages)

    assert kept == messages
    assert len(str(middleware.offload(messages))) < 2000


@as_tool
def screenshot() -> list[dict[str, Any]]:
    """Take a screenshot."""
    return [image_block(photo("a screenshot"))]


def test_a_picture_of_another_tool_stays(half: Any, low: Any, folder: Path, caplog: Any):
    """What other people's tools return is not lost to a broken store either."""
    talk = graphs.Talk(half, graphs.agent_with_middleware, ImageGenerationTool(generator=low()), tools=[screenshot])
    with replaced_by_a_file(folder), caplog.at_level(logging.WARNING):
        talk.turn({"name": "screenshot", "args": {}, "id": "call_1", "type": "tool_call"})

    (answer,) = talk.tool_messages
    assert base64.b64encode(photo("a screenshot")).decode() in str(answer.content)
    assert "stays in its message as base64" in caplog.text
