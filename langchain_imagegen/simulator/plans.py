"""The plan of an answer, made before any picture is drawn. Values only: `planning` makes the decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Order:
    """One picture to draw, with a value for every option. With `error`, the picture fails and is not drawn.

    `size` is width and height in pixels. `error` is the error object of the failed item.
    """

    prompt: str
    model: str
    action: str = "generate"
    size: tuple[int, int] = (1024, 1024)
    quality: str = "high"
    background: str = "opaque"
    output_format: str = "png"
    compression: int = 100
    frame_count: int = 9
    frame_duration_ms: int = 200
    sources: tuple[bytes, ...] = ()
    mask: bytes | None = None
    partial_images: int = 0
    error: Mapping[str, Any] | None = field(default=None, hash=False)

    def echo(self) -> dict[str, str]:
        """Return the options that an answer repeats, in its format."""
        return {
            "size": f"{self.size[0]}x{self.size[1]}",
            "quality": self.quality,
            "background": self.background,
            "output_format": self.output_format,
        }


@dataclass(frozen=True)
class FunctionCall:
    """One call of a function tool. `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Plan:
    """The items of one response, and the status it ends with. `incomplete` is the reason of an incomplete one."""

    reasoning: bool = False
    pictures: tuple[Order, ...] = ()
    calls: tuple[FunctionCall, ...] = ()
    text: str | None = None
    refusal: str | None = None
    status: Literal["completed", "failed", "incomplete"] = "completed"
    error: Mapping[str, Any] | None = None
    incomplete: str | None = None
