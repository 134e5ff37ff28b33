"""OpenAI's hosted image generation for LangChain and LangGraph: light, editable, paid once.

`ImageGenerator` draws in chains and notebooks, `ImageGenerationTool` in agents; `ImageMemory` knows every picture of a
conversation. Nothing is loaded before it is used, `openai`, `langgraph` and `langchain` least of all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_imagegen.errors import ImageGenerationError

if TYPE_CHECKING:
    from langchain_imagegen.artifacts import GeneratedImage, ImageResult, ImageUsage, PartialImage
    from langchain_imagegen.clients import http_clients
    from langchain_imagegen.generator import ImageGenerator
    from langchain_imagegen.http_transports import AsyncImageTransport, ImageTransport
    from langchain_imagegen.memory import ImageMemory, merge_images
    from langchain_imagegen.middleware import ImageGenerationMiddleware
    from langchain_imagegen.options import ImageOptions, ImageRequest
    from langchain_imagegen.output_parser import ImageOutputParser, images_from
    from langchain_imagegen.state import ImageState
    from langchain_imagegen.store import ImageStore
    from langchain_imagegen.tool import ImageGenerationTool

__version__ = "0.1.0"
__all__ = [
    "AsyncImageTransport",
    "GeneratedImage",
    "ImageGenerationError",
    "ImageGenerationMiddleware",
    "ImageGenerationTool",
    "ImageGenerator",
    "ImageMemory",
    "ImageOptions",
    "ImageOutputParser",
    "ImageRequest",
    "ImageResult",
    "ImageState",
    "ImageStore",
    "ImageTransport",
    "ImageUsage",
    "PartialImage",
    "__version__",
    "http_clients",
    "images_from",
    "merge_images",
]

_MODULES = {
    "artifacts": ("GeneratedImage", "ImageResult", "ImageUsage", "PartialImage"),
    "clients": ("http_clients",),
    "generator": ("ImageGenerator",),
    "http_transports": ("AsyncImageTransport", "ImageTransport"),
    "memory": ("ImageMemory", "merge_images"),
    "middleware": ("ImageGenerationMiddleware",),
    "options": ("ImageOptions", "ImageRequest"),
    "output_parser": ("ImageOutputParser", "images_from"),
    "state": ("ImageState",),
    "store": ("ImageStore",),
    "tool": ("ImageGenerationTool",),
}
"""Where each name is at home. A module is loaded when a name of it is first used, with the packages that it needs."""

_HOMES = {name: module for module, names in _MODULES.items() for name in names}
_FIRST = {"generator": "langchain_core.runnables.base", "tool": "langchain_core.tools.base"}
"""What is loaded before a module although it would load it itself. Imports of many packages nest deeply; where calls go
to and fro over the end of a 16 KB piece of CPython's stack, each time costs two system calls. From in here, with few
calls around them, they take a tenth less time than from within a module of our own."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _HOMES[name]
    try:
        if module in _FIRST:
            import_module(_FIRST[module])
        return getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(f'{name} needs {error.name}: pip install "langchain_imagegen[agents]"') from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
