"""Request fields besides prompt and options, and values that no request can carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from langchain_imagegen import ImageGenerationTool, ImageGenerator, ImageOptions, ImageRequest
from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.call_fields import CallFields
from langchain_imagegen.simulator import Simulator

Make = Callable[..., ImageGenerator]
HALF = "\ud83d"


# --- text that no request can carry


@pytest.mark.parametrize("field", ["prompt", "instructions", "previous_response_id", "conversation"])
def test_half_a_character_of_a_developer_is_refused(field: str, half: Any, low: Make, simulator: Simulator):
    """A lone surrogate is an `OptionError` that names the field, and nothing is sent."""
    fields = {"prompt": "Draw", field: f"x{HALF}"}

    with pytest.raises(OptionError, match=f"{field} holds half a character") as caught:
        half.invoke(low(), fields)
    str(caught.value).encode()
    assert simulator.requests == []


@pytest.mark.parametrize(
    "settings", [{"model": f"gpt{HALF}"}, {"tool_choice": {"type": HALF}}, {"instructions": HALF}], ids=repr
)
def test_half_a_character_in_a_setting_is_refused(settings: Any):
    """Settings are checked when the generator is made."""
    with pytest.raises(OptionError, match="half a character"):
        ImageGenerator(**settings)


def test_half_a_character_of_a_chat_model_is_replaced(half: Any, low: Make, simulator: Simulator):
    """A tool call with half an emoji draws, with U+FFFD in its place, and ends no run."""
    half.invoke(ImageGenerationTool(generator=low()), {"prompt": f"Draw {HALF}"})

    assert simulator.requests[-1].body["input"] == "Draw \ufffd"


def test_half_a_character_in_messages_is_replaced(half: Any, low: Make, simulator: Simulator):
    """Messages are a record of what models and users wrote: half a character there ends nothing."""
    half.invoke(low(), [HumanMessage("hi"), AIMessage(f"ho {HALF}"), HumanMessage(f"Draw {HALF}")])

    assert [item["content"] for item in simulator.requests[-1].body["input"]] == ["hi", "ho \ufffd", "Draw \ufffd"]


ENDLESS: list[Any] = []
ENDLESS.extend([ENDLESS, ENDLESS])


@pytest.mark.parametrize(
    ("value", "problem"),
    [(float("nan"), "nan"), (b"x", "holds a bytes"), (object(), "holds a object"), (ENDLESS, "contains itself")],
    ids=["NaN", "bytes", "object", "list in itself"],
)
def test_what_json_cannot_carry_is_refused(value: Any, problem: str, half: Any, low: Make, simulator: Simulator):
    """A value that no JSON holds is an `OptionError` that names its field, and nothing is sent."""
    with pytest.raises(OptionError, match=f"conversation .*{problem}"):
        half.invoke(low(), "Draw", conversation={"id": value})
    with pytest.raises(OptionError, match=f"tool_choice .*{problem}"):
        low(tool_choice={"type": value})
    with pytest.raises(OptionError, match=f"model_kwargs .*{problem}"):
        low(model_kwargs={"metadata": value})
    assert simulator.requests == []


# --- what is sent as it is


def test_further_fields_of_a_request_are_sent_as_they_are(half: Any, low: Make, simulator: Simulator):
    """`model_kwargs` goes into the request, further tools beside the image tool, and `reasoning` by a field."""
    further = {
        "metadata": {"user": "7"},
        "safety_identifier": "u-7",
        "service_tier": "flex",
        "max_tool_calls": 2,
        "include": ["reasoning.encrypted_content"],
        "tools": [{"type": "web_search"}],
    }
    half.invoke(low(model_kwargs=further, reasoning={"effort": "low"}), "Draw a fox")

    body = simulator.requests[-1].body
    assert {name: body[name] for name in further if name != "tools"} == {
        name: value for name, value in further.items() if name != "tools"
    }
    assert [tool["type"] for tool in body["tools"]] == ["image_generation", "web_search"]
    assert body["reasoning"] == {"effort": "low"}


@pytest.mark.parametrize("name", ["model", "input", "tool_choice", "store", "stream", "reasoning", "conversation"])
def test_what_the_generator_sets_cannot_be_overridden(name: str):
    """A field that has a setting of its own is refused in `model_kwargs`."""
    with pytest.raises(OptionError, match=f"model_kwargs has '{name}', which the generator sets"):
        ImageGenerator(model_kwargs={name: "x"})


def test_a_second_image_tool_is_refused():
    """The image tool is described by `options` alone."""
    with pytest.raises(OptionError, match="second image_generation tool"):
        ImageGenerator(model_kwargs={"tools": [{"type": "image_generation"}]})


def test_further_fields_of_the_images_api(half: Any, low: Make, simulator: Simulator):
    """The Images API gets further fields too, and those that only the Responses API has are refused."""
    half.invoke(low(api="images", model_kwargs={"user": "u-7"}), "Draw a fox")

    assert simulator.requests[-1].body["user"] == "u-7"
    for refused in ({"tools": []}, {"size": "auto"}):
        with pytest.raises(OptionError, match="model_kwargs has"):
            low(api="images", model_kwargs=refused)
    with pytest.raises(OptionError, match="reasoning is for the mainline model"):
        low(api="images", reasoning={"effort": "low"})


# --- models of one's own


class Wish(BaseModel):
    """A model with the fields of a request, as a structured output of one's own."""

    prompt: str
    quality: str | None = None
    size: str | None = None


def test_a_model_of_ones_own_is_a_request(half: Any, low: Make, simulator: Simulator):
    """Any pydantic model with the same fields is an input; what is `None` was not said."""
    half.invoke(low(), Wish(prompt="Draw a fox", quality="medium"))

    tool = simulator.requests[-1].body["tools"][0]
    assert (tool["quality"], tool["size"]) == ("medium", "816x816")


def test_editors_know_the_fields_of_a_call():
    """`invoke` is typed with every field of a request and every option, and no other."""
    assert set(CallFields.__annotations__) == {*ImageRequest.model_fields, *ImageOptions.model_fields}
