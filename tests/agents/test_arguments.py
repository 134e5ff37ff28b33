"""Odd arguments that chat models give the tool: it understands them, or refuses them with an error message."""

from __future__ import annotations

import json
import pickle

import pytest
from langchain.agents import create_agent

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageStore
from langchain_imagegen.agents.wording import without_paths
from tests.conversations import SMALL
from tests.scripted import DONE, image_call, scripted_model, tool_messages

HALF = "\ud83d"  # a lone surrogate, which no JSON encoder can write as UTF-8


@pytest.fixture
def tool(generator):
    """Return a tool whose generator calls the simulator."""
    return ImageGenerationTool(generator=generator(options=SMALL, max_retries=0))


@pytest.mark.parametrize(
    "args",
    [{"prompt": f"Draw {HALF}"}, {"images": [f"img_{HALF}"]}, {"size": HALF}, {"quality": HALF}, {HALF: "x"}],
    ids=["prompt", "images", "size", "quality", "name"],
)
def test_half_an_emoji_breaks_no_call(tool, half, simulator, args):
    """A lone surrogate in an argument becomes U+FFFD, and the answer is valid UTF-8."""
    message = half.invoke(tool, image_call("a", **args))

    message.content.encode()
    assert message.status == ("success" if "prompt" in args else "error")
    assert simulator.pictures == ("prompt" in args)


def test_half_an_emoji_breaks_no_agent(talks, tool):
    """The state holds U+FFFD for a lone surrogate of the chat model, so checkpoints and requests can encode it."""
    call = image_call("a", f"Draw {HALF}")
    model = scripted_model(call, DONE.model_copy(update={"content": f"done {HALF}"}))
    state = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False), model=model).say("draw")

    assert state["messages"][-1].content == "done \ufffd"
    assert state["messages"][1].tool_calls[0]["args"]["prompt"] == "Draw \ufffd"
    assert talks.simulator.pictures == 1


@pytest.mark.parametrize(
    "written",
    ["`{}`", "[{}]", '["{}"]', "attachment://{}", "sandbox:/mnt/data/{}.png", {"handle": "{}"}, [["{}"]], "#1", 1,
     "first", "latest", "previous", ["last"] * 3000],
    ids=str,
)  # fmt: skip
def test_every_spelling_of_a_reference_names_the_image(tool, half, simulator, written):
    """The tool edits the only image however the chat model spells its reference, and sends it once."""
    model = scripted_model(image_call("a"), DONE)
    agent = create_agent(model, [tool])
    drawn = half.invoke(agent, {"messages": "draw"})
    handle = json.loads(tool_messages(drawn)[0].content)["images"][0]["handle"]
    named = json.loads(json.dumps(written).replace("{}", handle))
    model.messages = scripted_model(image_call("b", "edit it", images=named), DONE).messages

    state = half.invoke(agent, drawn)
    assert [message.status for message in tool_messages(state)] == ["success", "success"]
    assert len(simulator.orders[-1].sources) == 1


@pytest.mark.parametrize("written", ["", [""], "null", "none", "[]", [None], None])
def test_every_spelling_of_no_image_draws_anew(tool, half, simulator, written):
    """The tool draws a new image when the chat model spells out that it names no image and chooses no option."""
    assert half.invoke(tool, image_call("a", images=written, size="", quality="None")).status == "success"
    assert simulator.orders[-1].action != "edit"


def test_tool_and_middleware_are_pickled(tool, half, simulator):
    """An unpickled tool and an unpickled middleware keep their settings and can draw."""
    tool = ImageGenerationTool(generator=tool.generator, exposed=["size"], note="Here.", allow_urls=True)
    middleware = ImageGenerationMiddleware(SMALL, tool=tool, hosted=False, carry=2)

    again = pickle.loads(pickle.dumps(tool))
    other = pickle.loads(pickle.dumps(middleware))
    assert (again.note, again.allow_urls, set(again.args)) == ("Here.", True, {"prompt", "images", "size"})
    assert (other.carry, other.hosted, other.options) == (2, False, middleware.options)
    assert other.tools == [other.tool]
    assert "'bad'" in again.invoke({"prompt": "draw", "size": "bad"})
    again.generator = other.tool.generator = tool.generator  # a pickle holds no key
    assert half.invoke(again, image_call("a")).status == half.invoke(other.tool, image_call("b")).status == "success"
    assert simulator.pictures == 2


def test_chat_model_reads_no_local_path(generator, half, tmp_path):
    """The error message about an unusable store does not show its path to the chat model."""
    (tmp_path / "file").write_bytes(b"")
    tool = ImageGenerationTool(generator=generator(image_store=ImageStore(str(tmp_path / "file" / "images"))))

    message = half.invoke(tool, image_call("a"))
    assert message.status == "error"
    assert str(tmp_path) not in message.content


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no '/srv/me/a.png' here", "no '(a local path)' here"),
        ("see https://host.org/a/b, image/png, 16:9/1", "see https://host.org/a/b, image/png, 16:9/1"),
        ("at ~/pictures/x and file:///tmp/y/z", "at (a local path) and (a local path)"),
    ],
)
def test_only_local_paths_are_removed(text, shown):
    """`without_paths` replaces local paths and keeps web addresses, media types and ratios."""
    assert without_paths(text) == shown
