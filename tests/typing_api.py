"""The public API in typed code; only mypy and pyright read it, by strict rules (`make check`)."""

# LangGraph has no `py.typed`.
# pyright: strict, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

import httpx2
from langchain_core.messages import BaseMessage
from langchain_core.prompts import PromptTemplate
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.graph import MessagesState
from langgraph.types import RetryPolicy

from langchain_imagegen import (
    AsyncImageTransport,
    Cost,
    GeneratedImage,
    ImageGenerationMiddleware,
    ImageGenerationTool,
    ImageGenerator,
    ImageLibrary,
    ImageMemory,
    ImageOptions,
    ImageOutputParser,
    ImageRequest,
    ImageResult,
    ImageState,
    ImageStore,
    ImageTransport,
    ImageUsage,
    PartialImage,
    approval,
    box,
    estimate,
    http_clients,
    images_from,
    merge_images,
    polygon,
    retry_on,
)
from langchain_imagegen.errors import (
    ImageGenerationError,
    ImageStoreError,
    ModerationError,
    NoImageError,
    OptionError,
    ServiceError,
    drew_nothing,
)
from langchain_imagegen.experiments import Experiment, Sheet
from langchain_imagegen.simulator import Simulator, moderated
from langchain_imagegen.web import write_gallery


class State(MessagesState, ImageState):
    """A caller's state with the channel of images."""


def policy(request: ImageRequest, call: Callable[[ImageRequest], ImageResult]) -> ImageResult:
    """A function around drawings is typed by its own annotations."""
    return call(request.override(quality="low"))


def limits() -> None:
    """Limits, approval and policy are settings of tool and middleware."""
    tool = ImageGenerationTool(max_images={"run": 2}, max_cost="$0.50", around_image=policy)
    assert_type(approval("$0.10", tool=tool), dict[str, Any])
    ImageGenerationMiddleware(approval=True, max_images=2, max_cost=Decimal("0.5"))
    ImageGenerator(around_image=policy)


def options() -> None:
    """Options have typed fields and can be merged and made into a tool dict."""
    chosen = ImageOptions(size="1024x1536", quality="high", output_format="webp", output_compression=80)
    assert_type(chosen.merge({"quality": "low"}), ImageOptions)
    assert_type(chosen.tool(), dict[str, Any])
    assert_type(chosen.size, str | None)


def draw(path: Path) -> None:
    """Drawing and editing return typed results."""
    generator = ImageGenerator(options={"size": "auto"}, memory=ImageMemory(), image_store=ImageStore("memory://x"))
    assert_type(generator.options, ImageOptions)
    assert_type(ImageGenerator(api_key="none", fallbacks=[{"quality": "low"}]).fallbacks, list[ImageOptions])
    assert_type(ImageRequest(prompt="Draw a fox", quality="low", options={"size": "auto"}).options, ImageOptions | None)
    result = generator.invoke("Draw a fox", quality="low")
    assert_type(result, ImageResult)
    assert_type(result.image, GeneratedImage)
    assert_type(result.images, tuple[GeneratedImage, ...])
    assert_type(result.image_usage, ImageUsage | None)
    assert_type(result.image.read(), bytes)
    assert_type(result.image.save(path), Path)
    assert_type(result.image.parents, tuple[str, ...])
    assert_type(generator.invoke(ImageRequest(prompt="Make it winter", images=[result])), ImageResult)
    assert_type(generator.invoke("Draw a poster", once="poster-7", regenerate=True).from_ledger, bool)
    assert_type(generator.batch(["Draw a fox", {"prompt": "Draw an owl"}]), list[ImageResult])
    assert_type(generator.stream("Draw a fox"), Iterator[PartialImage | ImageResult])


async def adraw() -> None:
    """The async methods return the same types."""
    generator = ImageGenerator(api="images", reference="bytes", delivery="stream")
    assert_type(await generator.ainvoke("Draw a fox"), ImageResult)
    assert_type(generator.astream("Draw a fox"), AsyncIterator[PartialImage | ImageResult])
    async for piece in generator.astream("Draw a fox"):
        if isinstance(piece, PartialImage):
            assert_type(piece.data, bytes)
        else:
            assert_type(await piece.image.aread(), bytes)


def save(result: ImageResult) -> Path:
    """A function in a chain."""
    return result.image.save("x.png")


def chains(messages: list[BaseMessage]) -> None:
    """A generator composes with prompts, functions and parsers."""
    chain: Runnable[Any, Path] = (
        PromptTemplate.from_template("Draw {what}") | ImageGenerator().bind(quality="low") | save
    )
    assert_type(chain.invoke({"what": "a fox"}), Path)
    assert_type(ImageOutputParser(allow_empty=True).invoke(messages), list[GeneratedImage])
    assert_type(images_from(messages, since="last_human"), list[GeneratedImage])


def agents(state: State) -> None:
    """Tool, middleware and memory accept and return these types."""
    tool: BaseTool = ImageGenerationTool(
        generator=ImageGenerator(), exposed=["size"], url_for=lambda image: image.url()
    )
    middleware = ImageGenerationMiddleware(options=ImageOptions(quality="low"), hosted=True)
    memory = ImageMemory.from_state(state)
    assert_type(memory.get("last"), GeneratedImage)
    assert_type(memory.latest, GeneratedImage | None)
    assert_type(memory.lineage("1"), list[GeneratedImage])
    merge_images(state.get("generated_images"), {image.id: image.record() for image in memory})
    del tool, middleware


def delete(store: ImageStore, memory: ImageMemory) -> None:
    """A fallback and scopes, and deletion in the store and at the service."""
    tenant = ImageStore("pictures", fallback=store).scoped("tenant-7")
    image = memory["last"]
    assert_type(tenant, ImageStore)
    assert_type(tenant.delete(image), bool)
    assert_type(tenant.delete(image.sha256), bool)
    assert_type(tenant.prune(keep=memory), list[str])
    assert_type(tenant.prune(keep=[memory, image, image.sha256], older_than=timedelta(days=30)), list[str])
    assert_type(ImageGenerator().delete_remote(image), bool)
    assert_type(memory.forget(image), dict[str, dict[str, Any]])


def experiments(draw: ImageGenerator, library: ImageLibrary, path: Path) -> None:
    """Experiments, the library, prices, masks and pages."""
    sheet = Experiment("foxes", prompts=["Draw a fox"], options=[{"quality": "low"}], n=2).run(draw, max_cost=1)
    assert_type(sheet, Sheet)
    assert_type(library.find("fox", tag="draft"), list[GeneratedImage])
    assert_type(library.latest(20), list[GeneratedImage])
    assert_type(estimate({"quality": "low"}, 2).total, Decimal | None)
    assert_type(
        draw.invoke(
            "Make it winter", images=["last"], mask=box(0, 0, 64, 64) | polygon([(0, 0), (9, 0), (9, 9)])
        ).cost(),
        Cost,
    )
    assert_type(write_gallery(sheet, path), Path)


def failures() -> None:
    """The facts on errors are typed."""
    with Simulator() as simulator:
        simulator.script(moderated("input", ["violence"]))
        try:
            ImageGenerator(base_url=simulator.base_url).invoke("Draw a fox")
        except ModerationError as error:
            assert_type(error.categories, list[str])
        except OptionError as error:
            assert_type(error.problems, tuple[str, ...])
        except NoImageError as error:
            assert_type(error.text, str)
        except ServiceError as error:
            assert_type(error.retry_after, float | None)
        except ImageStoreError as error:
            if isinstance(error.result, ImageResult):
                assert_type(error.result.image.read(), bytes)
        except ImageGenerationError as error:
            assert_type(error.retryable, bool)
            assert_type(error.may_be_billed, bool)


def retries() -> None:
    """`retry_on` fits both retry rules, and an `except` clause; limits and fallbacks are typed settings."""
    ImageGenerator(
        max_wait=300,
        rate_limiter=InMemoryRateLimiter(requests_per_second=1),
        fallbacks=[ImageOptions(model="gpt-image-2")],
    ).with_fallbacks([ImageGenerator()], exceptions_to_handle=drew_nothing)
    ImageGenerator().with_retry(retry_if_exception_type=retry_on)
    RetryPolicy(retry_on=retry_on)
    try:
        ImageGenerator().invoke("Draw a fox")
    except retry_on as error:
        assert_type(error, ImageGenerationError)


def below_other_clients() -> None:
    """The transports fit under HTTP clients, and `http_clients` makes both clients of a chat model."""
    store = ImageStore("memory://x")
    httpx2.Client(transport=ImageTransport(httpx2.HTTPTransport(), store))
    httpx2.AsyncClient(transport=AsyncImageTransport(image_store=store))
    assert_type(http_clients(store, timeout=60), dict[str, Any])
    ImageGenerationMiddleware(wire=True)
