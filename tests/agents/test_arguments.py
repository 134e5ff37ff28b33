"""What chat models write as arguments of the tool: read as it is meant, or refused in words; never a foreign error."""

from __future__ import annotations

import json
import pickle

import pytest
from langchain.agents import create_agent

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageStore
from langchain_imagegen.agents.wording import without_paths
from tests.conversations import SMALL
from tests.scripted import DONE, answers, asks, scripted

HALF = "\ud83d"


@pytest.fixture
def tool(generator):
    """A tool that draws at the simulator."""
    return ImageGenerationTool(generator=generator(options=SMALL, max_retries=0))


@pytest.mark.parametrize(
    "args",
    [{"prompt": f"Draw {HALF}"}, {"images": [f"img_{HALF}"]}, {"size": HALF}, {"quality": HALF}, {HALF: "x"}],
    ids=["prompt", "images", "size", "quality", "name"],
)
def test_half_an_emoji_ends_nothing(tool, half, simulator, args):
    """A lone surrogate becomes U+FFFD: the call draws or is refused in words that any request can hold."""
    message = half.invoke(tool, asks("a", **args))

    message.content.encode()
    assert message.status == ("success" if "prompt" in args else "error")
    assert simulator.pictures == ("prompt" in args)


def test_half_an_emoji_in_an_agent(talks, tool):
    """What a chat model wrote with half an emoji is valid text in the state, so that checkpoint and request hold it."""
    call = asks("a", f"Draw {HALF}")
    model = scripted(call, DONE.model_copy(update={"content": f"done {HALF}"}))
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
def test_one_meaning_of_a_reference(tool, half, simulator, written):
    """However a chat model writes a reference, the one picture is edited, and sent once."""
    model = scripted(asks("a"), DONE)
    agent = create_agent(model, [tool])
    drawn = half.invoke(agent, {"messages": "draw"})
    handle = json.loads(answers(drawn)[0].content)["images"][0]["handle"]
    named = json.loads(json.dumps(written).replace("{}", handle))
    model.messages = scripted(asks("b", "edit it", images=named), DONE).messages

    state = half.invoke(agent, drawn)
    assert [message.status for message in answers(state)] == ["success", "success"]
    assert len(simulator.orders[-1].sources) == 1


@pytest.mark.parametrize("written", ["", [""], "null", "none", "[]", [None], None])
def test_no_image_is_meant(tool, half, simulator, written):
    """What means no image draws afresh, and so does an option of which the model chose none."""
    assert half.invoke(tool, asks("a", images=written, size="", quality="None")).status == "success"
    assert simulator.orders[-1].action != "edit"


def test_tool_and_middleware_are_pickled(tool, half, simulator):
    """Both come back from `pickle` with their settings, and draw."""
    tool = ImageGenerationTool(generator=tool.generator, exposed=["size"], note="Here.", allow_urls=True)
    middleware = ImageGenerationMiddleware(SMALL, tool=tool, hosted=False, carry=2)

    again = pickle.loads(pickle.dumps(tool))
    other = pickle.loads(pickle.dumps(middleware))
    assert (again.note, again.allow_urls, set(again.args)) == ("Here.", True, {"prompt", "images", "size"})
    assert (other.carry, other.hosted, other.options) == (2, False, middleware.options)
    assert other.tools == [other.tool]
    assert "'bad'" in again.invoke({"prompt": "draw", "size": "bad"})
    again.generator = other.tool.generator = tool.generator  # a pickle holds no key
    assert half.invoke(again, asks("a")).status == half.invoke(other.tool, asks("b")).status == "success"
    assert simulator.pictures == 2


def test_no_local_path_is_told(generator, half, tmp_path):
    """A store that cannot be used is told to the chat model without the path where it lies."""
    (tmp_path / "file").write_bytes(b"")
    tool = ImageGenerationTool(generator=generator(image_store=ImageStore(str(tmp_path / "file" / "images"))))

    message = half.invoke(tool, asks("a"))
    assert message.status == "error"
    assert str(tmp_path) not in message.content


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no '/srv/me/a.png' here", "no '(a local path)' here"),
        ("see https://host.org/a/b, image/png, 16:9/1", "see https://host.org/a/b, image/png, 16:9/1"),
        ("at ~/pictures/x and file:///tmp/y/z", "at (a local path) and (a local path)"),
    ],
)
def test_paths_alone_are_left_out(text, told):
    """Web addresses and media types stay in what a chat model reads."""
    assert without_paths(text) == told
