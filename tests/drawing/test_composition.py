"""`ImageGenerator` in chains and batches, copied and pickled, and with the user's own SDK clients."""

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


def test_a_chain_of_prompt_generator_and_function(half: Any, low: Make, tmp_path: Path):
    """`prompt | draw | save` saves the drawn picture."""
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
    """LangChain's `with_retry` repeats a call that raised one of our errors."""
    simulator.script(server_error())
    retrying = low(max_retries=0).with_retry(
        retry_if_exception_type=(ServiceError,), stop_after_attempt=2, wait_exponential_jitter=False
    )

    assert half.invoke(retrying, "draw a fox").image.width == 816
    assert len(simulator.requests) == 2


def test_with_fallbacks_calls_the_next_generator(half: Any, low: Make, simulator: Simulator):
    """LangChain's `with_fallbacks` calls the next generator after an error."""
    simulator.script(bad_key())
    either = low().with_fallbacks([low(model="gpt-5")], exceptions_to_handle=(AuthenticationError,))

    assert half.invoke(either, "draw a fox").model == "gpt-5-2025-08-07"


class RunRecorder(BaseCallbackHandler):
    """Records the name, tags and metadata of every run that starts."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, list[str], dict[str, Any]]] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **facts: Any) -> None:
        """Record the run."""
        self.runs.append((facts["name"], facts["tags"], facts["metadata"]))


def test_names_tags_and_metadata_reach_callbacks(half: Any, low: Make):
    """Callbacks receive the name, tags and metadata of `with_config`."""
    recorder = RunRecorder()
    tagged = low().with_config(tags=["picture"], metadata={"user": "7"}, run_name="artist", callbacks=[recorder])

    half.invoke(tagged, "draw a fox")

    assert [(name, tags, metadata["user"]) for name, tags, metadata in recorder.runs] == [("artist", ["picture"], "7")]


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
    """`batch` returns results in the order of the inputs and applies keyword arguments to each of them."""
    prompts = [f"draw a {animal}" for animal in ("fox", "cat", "owl")]

    results = half.batch(low(), prompts, quality="medium")

    assert [result.image.prompt for result in results] == prompts
    assert {order.quality for order in simulator.orders} == {"medium"}


def test_a_batch_can_return_exceptions(half: Any, low: Make, simulator: Simulator):
    """With `return_exceptions=True`, `batch` returns an error in place of its result; without, it raises the error."""
    inputs = ["draw a fox", {"prompt": "make it winter", "images": ["last"]}, "draw a cat"]

    fox, error, cat = half.batch(low(), inputs, return_exceptions=True)

    assert [fox.image.prompt, cat.image.prompt] == ["draw a fox", "draw a cat"]
    assert isinstance(error, UnknownImageError)
    assert simulator.pictures == 2
    with pytest.raises(UnknownImageError):
        half.batch(low(), inputs[1:2])


def test_a_batch_respects_max_concurrency(half: Any, generator: Make, image_store: ImageStore):
    """With `max_concurrency=2`, four drawings of 150 ms each take at least 300 ms."""
    with Simulator(latency=0.15) as slow:
        drawing = generator(base_url=slow.base_url, options=LOW)
        start = time.monotonic()

        results = half.batch(drawing, ["draw a fox"] * 4, config={"max_concurrency": 2})

        assert time.monotonic() - start >= 0.3
        assert len(results) == slow.pictures == 4


def test_a_batch_fills_one_memory(half: Any, low: Make, image_store: ImageStore):
    """After a batch, the memory contains each of its pictures once."""
    drawing = low(memory=ImageMemory(image_store=image_store))

    results = half.batch(drawing, ["draw a fox"] * 4)

    assert {image.id for image in drawing.memory} == {result.image.id for result in results}
    assert all(result.image.handle in drawing.memory for result in results)


def test_a_generator_can_be_pickled(
    low: Make, image_store: ImageStore, generators: list[ImageGenerator], monkeypatch: pytest.MonkeyPatch
):
    """An unpickled generator has the same options and store, a copy of the memory, and the key of the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "simulated")
    drawing = low(memory=ImageMemory(image_store=image_store))
    drawing.invoke("draw a fox")

    other = pickle.loads(pickle.dumps(drawing))
    generators.append(other)
    result = other.invoke("make it winter", images=["last"])

    assert other.options == LOW
    assert result.image.parents == (drawing.memory.get("1").id,)
    assert result.image.sha256 in image_store
    assert len(drawing.memory) == 1


def test_a_deep_copy_has_a_memory_of_its_own(low: Make, simulator: Simulator, image_store: ImageStore):
    """A deep copy shares a client that was given and has its own memory."""
    client = openai.OpenAI(base_url=simulator.base_url, api_key="simulated")
    drawing = ImageGenerator(client=client, options=LOW, memory=ImageMemory(), image_store=image_store)

    other = copy.deepcopy(drawing)
    other.invoke("draw a fox")

    assert other.client is client
    assert (len(drawing.memory or ()), len(other.memory or ())) == (0, 1)
    client.close()


def test_the_graph_of_a_chain_can_be_drawn(low: Make):
    """`get_graph` has a node for the generator, and its JSON schemas list inputs and outputs."""
    graph = (ChatPromptTemplate.from_template("draw a {animal}") | low()).get_graph()

    names = [node.name for node in graph.nodes.values()]
    assert names == ["PromptInput", "ChatPromptTemplate", "ImageGenerator", "ImageResult"]
    assert low().get_input_jsonschema()["properties"].keys() >= {"prompt", "images", "mask", "size"}
    assert "images" in low().get_output_jsonschema()["properties"]


def test_a_generator_can_be_a_plain_tool(low: Make):
    """LangChain's `as_tool` makes a tool whose arguments are the fields of a request."""
    with pytest.warns(LangChainBetaWarning):
        tool = low().as_tool(name="draw", description="Draws.")

    result = tool.invoke({"prompt": "draw a fox", "options": {"quality": "medium"}})

    assert {"prompt", "images", "options"} <= set(tool.args)
    assert result.image.quality == "medium"
    assert isinstance(result, ImageResult)
    assert result.image.prompt == "draw a fox"


# --- clients


def test_one_generator_serves_several_event_loops(low: Make):
    """A generator works in two consecutive calls of `asyncio.run`, each with its own connections."""
    drawing = low()

    async def draw_fox() -> GeneratedImage:
        try:
            return (await drawing.ainvoke("draw a fox")).image
        finally:
            await drawing._transport.async_client.close()

    assert asyncio.run(draw_fox()).width == asyncio.run(draw_fox()).width == 816


def test_a_given_client_is_used(simulator: Simulator, image_store: ImageStore):
    """A given client's address, key and headers are used, and the client is neither changed nor closed."""
    client = openai.OpenAI(base_url=simulator.base_url, api_key="mine", default_headers={"x-team": "foxes"})

    ImageGenerator(client=client, image_store=image_store, options=LOW).invoke("draw a fox")

    assert simulator.requests[-1].headers["authorization"] == "Bearer mine"
    assert simulator.requests[-1].headers["x-team"] == "foxes"
    assert client.max_retries == 2
    assert not client.is_closed()
    client.close()


async def test_an_async_call_needs_an_async_client(simulator: Simulator, image_store: ImageStore):
    """If only a sync client was given, an async call raises an error that asks for `async_client=`."""
    client = openai.OpenAI(base_url=simulator.base_url, api_key="mine")

    with pytest.raises(OptionError, match=r"give async_client= as well, an openai\.AsyncOpenAI"):
        await ImageGenerator(client=client, image_store=image_store, options=LOW).ainvoke("draw a fox")
    client.close()


@pytest.mark.parametrize("azure_client", [openai.AzureOpenAI, openai.AsyncAzureOpenAI])
def test_azure_gets_the_deployment_of_the_image_model(azure_client: Any, simulator: Simulator, image_store: ImageStore):
    """Azure's clients work, and a header names the deployment of the image model."""
    client = azure_client(
        azure_endpoint=simulator.base_url.removesuffix("/v1"), api_key="mine", api_version="2025-04-01-preview"
    )
    field = "client" if azure_client is openai.AzureOpenAI else "async_client"
    drawing = ImageGenerator(
        **{field: client}, image_store=image_store, options=LOW, azure_image_deployment="our-painter"
    )

    async def draw_async() -> ImageResult:
        try:
            return await drawing.ainvoke("draw a fox")
        finally:
            await client.close()

    result = drawing.invoke("draw a fox") if field == "client" else asyncio.run(draw_async())

    assert result.image.width == 816
    assert simulator.requests[-1].path == "/openai/responses"
    assert simulator.requests[-1].headers["x-ms-oai-image-generation-deployment"] == "our-painter"
    assert simulator.requests[-1].headers["api-key"] == "mine"
    if field == "client":
        client.close()


def test_close(half: Any, low: Make, simulator: Simulator):
    """Closing a generator closes its connections, and a later call opens new ones."""
    draw = low()
    half.invoke(draw, "draw a fox")
    here = draw._transport._here()
    opened = [lease.client for lease in filter(None, [here.client, *here.async_clients.values()])]

    half.close(draw)
    half.close(draw)
    assert [client.is_closed() for client in opened] == [True]
    assert half.invoke(draw, "draw an owl").image.width == 816
    assert simulator.pictures == 2
