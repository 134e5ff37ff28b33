"""`CallFields`: the keyword arguments of a call, typed for editors and type checkers.

Nothing is validated here; `ImageRequest` and `ImageOptions` own the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from langchain_imagegen.options.options import ImageOptions


class CallFields(TypedDict, total=False):
    """The fields of `ImageRequest` and of `ImageOptions`, as `ImageGenerator.invoke` takes them."""

    prompt: str
    images: Any
    mask: Any
    previous_response_id: str | None
    conversation: str | dict[str, Any] | None
    options: ImageOptions | Mapping[str, Any] | None
    instructions: str | None
    once: str | Literal[False] | None
    regenerate: bool
    model: str | None
    action: Literal["generate", "edit", "auto"] | None
    size: str | tuple[int, int] | None
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto", "hd", "standard"] | None
    output_format: Literal["png", "webp", "jpeg", "jpg", "gif", "svg"] | None
    output_compression: int | None
    background: Literal["transparent", "opaque", "auto"] | None
    input_fidelity: Literal["high", "low"] | None
    moderation: Literal["auto", "low"] | None
    partial_images: int | None
    complexity: Literal["low", "medium", "high"] | None
    frame_count: int | None
    frame_duration_ms: int | None
    aspect_ratio: str | tuple[float, float] | None
    extra: dict[str, Any] | None
    svg: Any
