"""This package as a contestant: `ImageGenerator`, alone and with reading, and `ChatOpenAI` over `http_clients()`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from openai import AsyncOpenAI, DefaultAioHttpClient, OpenAI

from benchmarks.bodies import PARTIALS
from benchmarks.contestants import AIOHTTP, KEY, MODEL, OURS, PROMPT, READ, WIRE, Contestant, Shelf
from benchmarks.peers import Chat
from langchain_imagegen import GeneratedImage, ImageGenerator, PartialImage, http_clients, images_from


class Generator(Contestant):
    """`ImageGenerator`: the picture ends up in the image store, with its digest and format known."""

    name = OURS

    def __init__(self, url: str, shelf: Shelf) -> None:
        super().__init__(url, shelf)
        self.generator = ImageGenerator(model=MODEL, base_url=url, api_key=KEY, image_store=shelf.store)

    def draw(self) -> Any:
        return self.generator.invoke(PROMPT).image

    async def adraw(self) -> Any:
        return (await self.generator.ainvoke(PROMPT)).image

    def stream(self) -> Iterator[Any]:
        for piece in self.generator.stream(PROMPT, partial_images=PARTIALS):
            yield piece.data if isinstance(piece, PartialImage) else piece.image

    async def astream(self) -> AsyncIterator[Any]:
        async for piece in self.generator.astream(PROMPT, partial_images=PARTIALS):
            yield piece.data if isinstance(piece, PartialImage) else piece.image

    def read(self, drawn: Any) -> bytes:
        return drawn.read() if isinstance(drawn, GeneratedImage) else drawn

    async def aclose(self) -> None:
        self.generator.close()
        await self.generator.aclose()


class GeneratorOverAiohttp(Generator):
    """`ImageGenerator` with the SDK's client for aiohttp instead of the default one."""

    name = AIOHTTP
    needs = ("aiohttp",)

    def __init__(self, url: str, shelf: Shelf) -> None:
        super().__init__(url, shelf)
        self.client = OpenAI(base_url=url, api_key=KEY)
        self.aclient = AsyncOpenAI(base_url=url, api_key=KEY, http_client=DefaultAioHttpClient())
        self.generator = ImageGenerator(
            model=MODEL, image_store=shelf.store, client=self.client, async_client=self.aclient
        )

    async def aclose(self) -> None:
        self.client.close()
        await self.aclient.close()


class GeneratorAndRead(Generator):
    """`ImageGenerator`, and then the bytes are read from the store, which checks them against their digest."""

    name = READ

    def draw(self) -> Any:
        return super().draw().read()

    async def adraw(self) -> Any:
        return await (await super().adraw()).aread()


class ChatOverTransport(Chat):
    """`ChatOpenAI` with `http_clients(store)`, so that it never receives base64."""

    name = WIRE

    def clients(self) -> dict[str, Any]:
        return dict(http_clients(self.shelf.store))

    def picture(self, message: Any) -> Any:
        [image] = images_from(message, image_store=self.shelf.store)
        return image

    def read(self, drawn: Any) -> bytes:
        data: bytes = drawn.read()
        return data
