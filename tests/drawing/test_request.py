"""Request fields besides prompt and options, and values that no request can contain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from langchain_imagegen import ImageGenerationTool, ImageGenerator, ImageOptions, ImageRequest
from langchain_imagegen.agents.tool_fields import ToolFields
from langchain_imagegen.drawing.setting_fields import SettingFields
from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.call_fields import CallFields
from langchain_imagegen.simulator import Simulator

Make = Callable[..., ImageGenerator]
SURROGATE = "\ud83d"


# --- text and values that no request can contain


@pytest.mark.parametrize("field", ["prompt", "instructions", "previous_response_id", "conversation"])
def test_a_lone_surrogate_in_a_field_is_refused(field: str, half: Any, low: Make, simulator: Simulator):
    """A lone surrogate in a request field raises an `OptionError` that names the field, and nothing is sent."""
    fields = {"prompt": "Draw", field: f"x{SURROGATE}"}

    with pytest.raises(OptionError, match=f"{field} holds half a character") as caught:
        half.invoke(low(), fields)
    str(caught.value).encode()
    assert simulator.requests == []


@pytest.mark.parametrize(
    "settings",
    [{"model": f"gpt{SURROGATE}"}, {"tool_choice": {"type": SURROGATE}}, {"instructions": SURROGATE}],
    ids=repr,
)
def test_a_lone_surrogate_in_a_setting_is_refused(settings: Any):
    """A lone surrogate in a setting raises an `OptionError` when the generator is made."""
    with pytest.raises(OptionError, match="half a character"):
        ImageGenerator(**settings)


def test_a_lone_surrogate_of_a_chat_model_is_replaced(half: Any, low: Make, simulator: Simulator):
    """A tool call whose prompt has a lone surrogate draws the prompt with U+FFFD in its place."""
    half.invoke(ImageGenerationTool(generator=low()), {"prompt": f"Draw {SURROGATE}"})

    assert simulator.requests[-1].body["input"] == "Draw \ufffd"


def test_a_lone_surrogate_in_messages_is_replaced(half: Any, low: Make, simulator: Simulator):
    """A lone surrogate in a message is replaced with U+FFFD, since models and users wrote it and not the developer."""
    half.invoke(low(), [HumanMessage("hi"), AIMessage(f"ho {SURROGATE}"), HumanMessage(f"Draw {SURROGATE}")])

    assert [item["content"] for item in simulator.requests[-1].body["input"]] == ["hi", "ho \ufffd", "Draw \ufffd"]


ENDLESS: list[Any] = []
ENDLESS.extend([ENDLESS, ENDLESS])


@pytest.mark.parametrize(
    ("value", "problem"),
    [(float("nan"), "nan"), (b"x", "holds a bytes"), (object(), "holds a object"), (ENDLESS, "contains itself")],
    ids=["NaN", "bytes", "object", "list that contains itself"],
)
def test_a_value_that_is_not_json_is_refused(value: Any, problem: str, half: Any, low: Make, simulator: Simulator):
    """A value that JSON cannot represent raises an `OptionError` that names its field, and nothing is sent."""
    with pytest.raises(OptionError, match=f"conversation .*{problem}"):
        half.invoke(low(), "Draw", conversation={"id": value})
    with pytest.raises(OptionError, match=f"tool_choice .*{problem}"):
        low(tool_choice={"type": value})
    with pytest.raises(OptionError, match=f"model_kwargs .*{problem}"):
        low(model_kwargs={"metadata": value})
    assert simulator.requests == []


# --- fields that are passed through


def test_model_kwargs_are_sent_unchanged(half: Any, low: Make, simulator: Simulator):
    """`model_kwargs` and `reasoning` are sent unchanged, and further tools follow the image tool."""
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
def test_model_kwargs_cannot_override_settings(name: str):
    """`model_kwargs` refuses a field that the generator sets itself."""
    with pytest.raises(OptionError, match=f"model_kwargs has '{name}', which the generator sets"):
        ImageGenerator(model_kwargs={name: "x"})


def test_a_second_image_tool_is_refused():
    """`model_kwargs` refuses a second image tool."""
    with pytest.raises(OptionError, match="second image_generation tool"):
        ImageGenerator(model_kwargs={"tools": [{"type": "image_generation"}]})


def test_model_kwargs_of_the_images_api(half: Any, low: Make, simulator: Simulator):
    """`model_kwargs` also go to the Images API, and fields that it lacks are refused."""
    half.invoke(low(api="images", model_kwargs={"user": "u-7"}), "Draw a fox")

    assert simulator.requests[-1].body["user"] == "u-7"
    for refused in ({"tools": []}, {"size": "auto"}):
        with pytest.raises(OptionError, match="model_kwargs has"):
            low(api="images", model_kwargs=refused)
    with pytest.raises(OptionError, match="reasoning is for the mainline model"):
        low(api="images", reasoning={"effort": "low"})


# --- models of the caller


class Wish(BaseModel):
    """A caller's model with some fields of a request."""

    prompt: str
    quality: str | None = None
    size: str | None = None


def test_a_callers_model_is_a_request(half: Any, low: Make, simulator: Simulator):
    """Any pydantic model with fields of a request can be the input, and a field that is `None` counts as not set."""
    half.invoke(low(), Wish(prompt="Draw a fox", quality="medium"))

    tool = simulator.requests[-1].body["tools"][0]
    assert (tool["quality"], tool["size"]) == ("medium", "816x816")


def test_call_fields_are_complete():
    """`CallFields`, with which `invoke` is typed, has exactly the request fields and the options."""
    assert set(CallFields.__annotations__) == {*ImageRequest.model_fields, *ImageOptions.model_fields}


def test_setting_fields_are_complete():
    """`SettingFields`, with which the constructor of `ImageGenerator` is typed, has exactly its fields."""
    assert set(SettingFields.__annotations__) == set(ImageGenerator.model_fields)


def test_tool_fields_are_complete():
    """`ToolFields` has exactly the fields of the tool that its constructor does not name."""
    named = {"exposed", "allow_urls"}

    assert set(ToolFields.__annotations__) == {*ImageGenerationTool.model_fields} - named
