"""`ImageGenerator` in chains and batches, as a copy, and with the user's own clients."""

from __future__ import annotations

import asyncio
import copy
import io
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core._api.beta_decorator import LangChainBetaWarning
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda
from PIL import Image

from langchain_imagegen import GeneratedImage, ImageGenerator, ImageMemory, ImageOptions, ImageResult, ImageStore
from langchain_imagegen.errors import AuthenticationError, OptionError, ServiceError, UnknownImageError
from langchain_imagegen.simulator import Simulator, bad_key, server_error

LOW = ImageOptions(size="816x816", quality="low")
Make = Callable[..., ImageGenerator]


# --- chains


def test_a_chain_of_prompt_drawing_and_saving(half: Any, low: Make, tmp_path: Path):
    """`prompt | draw | save` works, sync and async."""
    save = RunnableLambda(lambda result: result.image.save(tmp_path / "fox.png"))
    chain = PromptTemplate.from_template("draw a {animal}") | low() | save

    path = half.invoke(chain, {"animal": "fox"})

    assert path == tmp_path / "fox.png"
    assert Image.open(io.BytesIO(path.read_bytes())).size == (816, 816)


def test_a_chain_that_edits_what_it_drew(half: Any, low: Make, simulator: Simulator, tmp_path: Path):
    """`draw | draw.bind(prompt=…) | save` edits the picture that the first step drew."""
    drawing = low()
    save = RunnableLambda(lambda result: (result, result.image.save(tmp_path)))

    night, path = half.invoke(drawing | drawing.bind(prompt="the same at night") | save, "draw a fox")

    assert [order.action for order in simulator.orders] == ["generate", "edit"]
    assert night.rung == "call_id"
    assert path == tmp_path / f"{night.image.handle}.png"


def test_images_can_be_bound(half: Any, low: Make, simulator: Simulator):
    """`draw.bind(images=…)` edits the bound images with the prompt of each call."""
    drawing = low()
    fox = drawing.invoke("draw a fox")

    half.invoke(drawing.bind(images=[fox], quality="medium"), "make it winter")

    assert simulator.orders[-1].sources == (fox.image.read(),)
    assert simulator.requests[-1].body["tools"][0]["quality"] == "medium"


def test_a_failed_request_is_retried_by_with_retry(half: Any, low: Make, simulator: Simulator):
    """LangChain's `with_retry` retries after one of our errors."""
    simulator.script(server_error())
    patient = low(max_retries=0).with_retry(
        retry_if_exception_type=(ServiceError,), stop_after_attempt=2, wait_exponential_jitter=False
    )

    assert half.invoke(patient, "draw a fox").image.width == 816
    assert len(simulator.requests) == 2


def test_another_generator_can_stand_in(half: Any, low: Make, simulator: Simulator):
    """LangChain's `with_fallbacks` goes on to the next generator."""
    simulator.script(bad_key())
    either = low().with_fallbacks([low(model="gpt-5")], exceptions_to_handle=(AuthenticationError,))

    assert half.invoke(either, "draw a fox").model == "gpt-5-2025-08-07"


class Starts(BaseCallbackHandler):
    """Records the tags and metadata of every run that starts."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[str], dict[str, Any]]] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **facts: Any) -> None:
        """Record a run."""
        self.seen.append((facts["name"], facts["tags"], facts["metadata"]))


def test_names_tags_and_metadata_reach_callbacks(half: Any, low: Make):
    """Callbacks see a configured generator's name, tags and metadata."""
    starts = Starts()
    tagged = low().with_config(tags=["picture"], metadata={"user": "7"}, run_name="artist", callbacks=[starts])

    half.invoke(tagged, "draw a fox")

    assert [(name, tags, metadata["user"]) for name, tags, metadata in starts.seen] == [("artist", ["picture"], "7")]


def test_options_and_model_can_be_configured(low: Make, simulator: Simulator):
    """`configurable_fields` changes the model and the options for one run only."""
    client = openai.OpenAI(base_url=simulator.base_url, api_key="simulated")
    drawing = low(client=client).configurable_fields(
        model=ConfigurableField(id="writer"), options=ConfigurableField(id="picture")
    )

    drawing.invoke("draw a fox", config={"configurable": {"writer": "gpt-5", "picture": {"quality": "medium"}}})
    drawing.invoke("draw a fox")

    sent = [(request.body["model"], request.body["tools"][0]["quality"]) for request in simulator.requests]
    assert sent == [("gpt-5", "medium"), ("gpt-5.4", "low")]


def test_a_batch_keeps_the_order_of_its_inputs(half: Any, low: Make, simulator: Simulator):
    """Results are in the order of their inputs, and keyword arguments apply to each input."""
    prompts = [f"draw a {animal}" for animal in ("fox", "cat", "owl")]

    results = half.batch(low(), prompts, quality="medium")

    assert [result.image.prompt for result in results] == prompts
    assert {order.quality for order in simulator.orders} == {"medium"}


def test_one_failure_of_a_batch_may_leave_the_others(half: Any, low: Make, simulator: Simulator):
    """With `return_exceptions` an error takes the place of its result; otherwise it is raised."""
    inputs = ["draw a fox", {"prompt": "make it winter", "images": ["last"]}, "draw a cat"]

    fox, error, cat = half.batch(low(), inputs, return_exceptions=True)

    assert [fox.image.prompt, cat.image.prompt] == ["draw a fox", "draw a cat"]
    assert isinstance(error, UnknownImageError)
    assert simulator.pictures == 2
    with pytest.raises(UnknownImageError):
        half.batch(low(), inputs[1:2])


def test_a_batch_sends_no_more_at_once_than_it_may(half: Any, generator: Make, image_store: ImageStore):
    """With `max_concurrency` 2, four drawings of 150 ms each take at least 300 ms."""
    with Simulator(latency=0.15) as slow:
        drawing = generator(base_url=slow.base_url, options=LOW)
        begun = time.monotonic()

        results = half.batch(drawing, ["draw a fox"] * 4, config={"max_concurrency": 2})

        assert time.monotonic() - begun >= 0.3
        assert len(results) == slow.pictures == 4


def test_a_batch_fills_one_memory(half: Any, low: Make, image_store: ImageStore):
    """The memory holds each of several concurrent drawings once."""
    drawing = low(memory=ImageMemory(image_store=image_store))

    results = half.batch(drawing, ["draw a fox"] * 4)

    assert {image.id for image in drawing.memory} == {result.image.id for result in results}
    assert all(result.image.handle in drawing.memory for result in results)


def test_a_generator_can_be_pickled(low: Make, image_store: ImageStore, made: list[ImageGenerator]):
    """An unpickled generator draws with the same settings and into the same store."""
    drawing = low(memory=ImageMemory(image_store=image_store))
    drawing.invoke("draw a fox")

    other = pickle.loads(pickle.dumps(drawing))
    made.append(other)
    result = other.invoke("make it winter", images=["last"])

    assert other.options == LOW
    assert result.image.parents == (drawing.memory.get("1").id,)
    assert result.image.sha256 in image_store
    assert len(drawing.memory) == 1


def test_a_deep_copy_has_a_memory_of_its_own(low: Make, simulator: Simulator, image_store: ImageStore):
    """A deep copy shares a given client and has its own memory."""
    client = openai.OpenAI(base_url=simulator.base_url, api_key="simulated")
    drawing = ImageGenerator(client=client, options=LOW, memory=ImageMemory(), image_store=image_store)

    other = copy.deepcopy(drawing)
    other.invoke("draw a fox")

    assert other.client is client
    assert (len(drawing.memory or ()), len(other.memory or ())) == (0, 1)
    client.close()


def test_the_graph_of_a_chain_can_be_drawn(low: Make):
    """`get_graph` shows the generator with its input and output types."""
    graph = (ChatPromptTemplate.from_template("draw a {animal}") | low()).get_graph()

    names = [node.name for node in graph.nodes.values()]
    assert names == ["PromptInput", "ChatPromptTemplate", "ImageGenerator", "ImageResult"]
    assert low().get_input_jsonschema()["properties"].keys() >= {"prompt", "images", "mask", "size"}
    assert "images" in low().get_output_jsonschema()["properties"]


def test_a_generator_can_be_a_plain_tool(low: Make):
    """LangChain's `as_tool` returns a tool whose arguments are the request's fields."""
    with pytest.warns(LangChainBetaWarning):
        tool = low().as_tool(name="draw", description="Draws.")

    result = tool.invoke({"prompt": "draw a fox", "options": {"quality": "medium"}})

    assert {"prompt", "images", "options"} <= set(tool.args)
    assert result.image.quality == "medium"
    assert isinstance(result, ImageResult)
    assert result.image.prompt == "draw a fox"


# --- clients


def test_one_generator_serves_several_event_loops(low: Make):
    """Two calls of `asyncio.run` in a row work: the second does not use connections of the first loop."""
    drawing = low()

    async def once() -> GeneratedImage:
        try:
            return (await drawing.ainvoke("draw a fox")).image
        finally:
            await drawing._transport.async_client.close()

    assert asyncio.run(once()).width == asyncio.run(once()).width == 816


def test_a_client_of_ones_own_is_used(simulator: Simulator, image_store: ImageStore):
    """A given client keeps its address, key and headers, and is neither closed nor changed."""
    client = openai.OpenAI(base_url=simulator.base_url, api_key="mine", default_headers={"x-team": "foxes"})

    ImageGenerator(client=client, image_store=image_store, options=LOW).invoke("draw a fox")

    assert simulator.requests[-1].headers["authorization"] == "Bearer mine"
    assert simulator.requests[-1].headers["x-team"] == "foxes"
    assert client.max_retries == 2
    assert not client.is_closed()
    client.close()


async def test_the_other_half_of_a_client_must_be_given_too(simulator: Simulator, image_store: ImageStore):
    """With only a sync client, an async call raises an error that names the missing client."""
    client = openai.OpenAI(base_url=simulator.base_url, api_key="mine")

    with pytest.raises(OptionError, match=r"give async_client= as well, an openai\.AsyncOpenAI"):
        await ImageGenerator(client=client, image_store=image_store, options=LOW).ainvoke("draw a fox")
    client.close()


@pytest.mark.parametrize("half_of_azure", [openai.AzureOpenAI, openai.AsyncAzureOpenAI])
def test_azure_is_told_the_deployment_of_the_image_model(
    half_of_azure: Any, simulator: Simulator, image_store: ImageStore
):
    """Azure's clients work, and a header names the image model's deployment."""
    client = half_of_azure(
        azure_endpoint=simulator.base_url.removesuffix("/v1"), api_key="mine", api_version="2025-04-01-preview"
    )
    field = "client" if half_of_azure is openai.AzureOpenAI else "async_client"
    drawing = ImageGenerator(
        **{field: client}, image_store=image_store, options=LOW, azure_image_deployment="our-painter"
    )

    async def drawn() -> ImageResult:
        try:
            return await drawing.ainvoke("draw a fox")
        finally:
            await client.close()

    result = drawing.invoke("draw a fox") if field == "client" else asyncio.run(drawn())

    assert result.image.width == 816
    assert simulator.requests[-1].path == "/openai/responses"
    assert simulator.requests[-1].headers["x-ms-oai-image-generation-deployment"] == "our-painter"
    assert simulator.requests[-1].headers["api-key"] == "mine"
    if field == "client":
        client.close()


def test_close(half: Any, low: Make, simulator: Simulator):
    """A script can close its connections, and a later call opens new ones."""
    draw = low()
    half.invoke(draw, "draw a fox")
    here = draw._transport._here()
    opened = [lease.client for lease in filter(None, [here.client, *here.async_clients.values()])]

    half.close(draw)
    half.close(draw)
    assert [client.is_closed() for client in opened] == [True]
    assert half.invoke(draw, "draw an owl").image.width == 816
    assert simulator.pictures == 2
