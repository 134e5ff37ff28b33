"""What the cassettes hold: a few calls of `ImageGenerator` each, said once for recording and for playing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_imagegen import ImageGenerator, ImageMemory, ImageResult, ImageStore, PartialImage

SMALLEST = {"size": "816x816", "quality": "low", "output_format": "webp", "output_compression": 0}

Piece = PartialImage | ImageResult


@dataclass(frozen=True)
class Scene:
    """Calls of one generator with a memory, one after the other.

    `half` is the half that the cassette is recorded with; either can play it.
    """

    name: str
    calls: tuple[dict[str, Any], ...]
    half: Literal["sync", "async"] = "sync"
    streams: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def generator(self, image_store: ImageStore, **service: Any) -> ImageGenerator:
        """The scene's generator; `service` says where it draws, `{"base_url": …, "api_key": …}`."""
        here = {"memory": ImageMemory(), "image_store": image_store, "max_retries": 0, **self.settings, **service}
        return ImageGenerator(options=SMALLEST | self.options, **here)

    def play(self, draw: ImageGenerator) -> Iterator[Piece]:
        """Everything that the calls give."""
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
