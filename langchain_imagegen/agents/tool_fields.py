"""`ToolFields`: the arguments of `ImageGenerationTool`, typed for editors and type checkers.

Nothing is validated here; the tool and LangChain's `BaseTool` own the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal, TypedDict

from langchain_core.callbacks import Callbacks

from langchain_imagegen.agents.progress import Partials
from langchain_imagegen.conversation.display import Form
from langchain_imagegen.drawing.generator import ImageGenerator
from langchain_imagegen.images.image import GeneratedImage


class ToolFields(TypedDict, total=False):
    """The fields of `ImageGenerationTool` except `exposed` and `allow_urls`, which its constructor names."""

    name: str
    description: str
    args_schema: Any
    return_direct: bool
    verbose: bool
    callbacks: Callbacks
    tags: list[str] | None
    metadata: dict[str, Any] | None
    handle_tool_error: Any
    handle_validation_error: Any
    response_format: Literal["content", "content_and_artifact"]
    extras: dict[str, Any] | None
    generator: ImageGenerator | None
    note: str
    show_to_model: bool
    mask: Any
    url_for: Callable[[GeneratedImage], str] | None
    show: Form | None
    ui: bool
    trust: Literal["all", "channel"]
    around_image: Callable[..., Any] | None
    max_images: int | Mapping[str, int] | None
    max_cost: str | float | Decimal | Mapping[str, str | float | Decimal] | None
    partials: Partials | None
