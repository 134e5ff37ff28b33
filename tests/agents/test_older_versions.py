"""States, records and pickles that version 0.1.0 wrote still load; a JSON file beside this one holds them."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import messages_from_dict
from langchain_openai import ChatOpenAI

from langchain_imagegen import (
    GeneratedImage,
    ImageGenerationMiddleware,
    ImageGenerator,
    ImageMemory,
    ImageOptions,
    ImageRequest,
    ImageResult,
    ImageStore,
    images_from,
)

WRITTEN = json.loads((Path(__file__).parent / "state_of_0.1.0.json").read_text(encoding="utf-8"))
STATES = WRITTEN["states"]


def unpickle(name: str) -> Any:
    """Return the object in the pickle of this name."""
    return pickle.loads(base64.b64decode(WRITTEN["pickles"][name]))


def state_of(name: str) -> dict[str, Any]:
    """Return the state of an agent as its checkpoint holds it."""
    return {**STATES[name], "messages": messages_from_dict(STATES[name]["messages"])}


@pytest.mark.parametrize("name", STATES)
def test_old_states_load(name: str):
    """A state of version 0.1.0 holds both pictures, and the second has the first as its parent."""
    first, second = memory = ImageMemory.from_state(state_of(name))

    assert memory.latest == second
    assert second.parents == (first.id,)
    assert [image.prompt for image in images_from(state_of(name))] == [first.prompt, second.prompt]


@pytest.mark.parametrize("name", STATES)
def test_an_old_conversation_continues(half, name, simulator, image_store):
    """An agent that starts from a state of version 0.1.0 draws a third picture in the next turn."""
    model = ChatOpenAI(model="gpt-5.4", use_responses_api=True, base_url=simulator.base_url, api_key="none")
    middleware = ImageGenerationMiddleware(hosted=True, image_store=image_store)
    agent = create_agent(model, middleware=[middleware])
    state = state_of(name)
    state["messages"] = [*state["messages"], ("user", "Make it night")]

    result = half.invoke(agent, state)

    assert len(images_from(result)) == 3


def test_old_records_load():
    """Records of version 0.1.0 load and are written unchanged, and a result of that version loads."""
    images = [GeneratedImage.model_validate(record) for record in WRITTEN["records"]]

    assert [image.record() for image in images] == WRITTEN["records"]
    assert ImageResult.model_validate(WRITTEN["result"]).image == images[1]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("generator", ImageGenerator),
        ("memory", ImageMemory),
        ("result", ImageResult),
        ("image", GeneratedImage),
        ("store", ImageStore),
        ("options", ImageOptions),
        ("request", ImageRequest),
    ],
)
def test_old_pickles_load(name: str, kind: type):
    """A pickle of version 0.1.0 loads as today's class, whose module has moved, with every field."""
    loaded = unpickle(name)

    assert type(loaded) is kind
    assert not [field for field in getattr(kind, "model_fields", ()) if not hasattr(loaded, field)]
    assert type(pickle.loads(pickle.dumps(loaded))) is kind


def test_a_pickled_generator_keeps_its_settings():
    """A generator pickled by version 0.1.0 keeps its model, options and store."""
    draw = unpickle("generator")

    assert (draw.model, draw.options, draw.image_store) == (
        "gpt-5.4",
        ImageOptions(quality="low"),
        ImageStore("memory://old"),
    )


def test_old_module_names_work():
    """Modules that moved can be imported under their old names, with their contents."""
    from langchain_imagegen import artifacts, options, tokens

    assert artifacts.GeneratedImage is GeneratedImage
    assert options.ImageOptions is ImageOptions
    assert tokens.read_token("no token") is None
