"""The scenes of the cassettes: a few `ImageGenerator` calls each, used both to record and to replay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_imagegen import ImageGenerator, ImageMemory, ImageResult, ImageStore, PartialImage

SMALLEST = {"size": "816x816", "quality": "low", "output_format": "webp", "output_compression": 0}

Piece = PartialImage | ImageResult


@dataclass(frozen=True)
class Scene:
    """Consecutive calls of one generator with a memory.

    `half` is the client that records the cassette, sync or async. Both can replay it.
    """

    name: str
    calls: tuple[dict[str, Any], ...]
    half: Literal["sync", "async"] = "sync"
    streams: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def generator(self, image_store: ImageStore, **service: Any) -> ImageGenerator:
        """Return the scene's generator. `service` holds its `base_url` and optionally `api_key`."""
        here = {"memory": ImageMemory(), "image_store": image_store, "max_retries": 0, **self.settings, **service}
        return ImageGenerator(options=SMALLEST | self.options, **here)

    def play(self, draw: ImageGenerator) -> Iterator[Piece]:
        """Yield everything that the calls return."""
        for call in self.calls:
            yield from draw.stream(call) if self.streams else [draw.invoke(call)]

    async def aplay(self, draw: ImageGenerator) -> AsyncIterator[Piece]:
        """Async twin of `play`."""
        for call in self.calls:
            if not self.streams:
                yield await draw.ainvoke(call)
                continue
            async for piece in draw.astream(call):
                yield piece


FOX = {"prompt": "Draw a small red fox in the snow, flat colours"}
WINTER = {"prompt": "Edit it: make it night", "images": ["last"]}

SCENES = (
    Scene("draw", (FOX,)),
    Scene("draw_async", (FOX,), half="async"),
    Scene("stream_with_partial", (FOX,), streams=True, options={"partial_images": 1}),
    Scene("edit_by_call_id", (FOX, WINTER)),
    Scene("edit_by_bytes", (FOX, WINTER), settings={"store": False}),
    Scene("refused_size", (FOX,), options={"size": "100x100"}, settings={"check_options": False}),
    Scene("unknown_response", (FOX | {"previous_response_id": "resp_" + "0" * 48},)),
)
