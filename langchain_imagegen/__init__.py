"""OpenAI's hosted image generation for LangChain and LangGraph: light, editable, paid once.

`ImageGenerator` draws in chains and notebooks, `ImageGenerationTool` in agents; `ImageMemory` knows every picture of a
conversation. Neither `openai` nor `langgraph` nor `langchain` is loaded before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_imagegen.artifacts import GeneratedImage, ImageResult, ImageUsage, PartialImage
from langchain_imagegen.errors import ImageGenerationError
from langchain_imagegen.generator import ImageGenerator
from langchain_imagegen.memory import ImageMemory, merge_images
from langchain_imagegen.options import ImageOptions, ImageRequest
from langchain_imagegen.output_parser import ImageOutputParser, images_from
from langchain_imagegen.store import ImageStore
from langchain_imagegen.tool import ImageGenerationTool

if TYPE_CHECKING:
    from langchain_imagegen.clients import http_clients
    from langchain_imagegen.http_transports import AsyncImageTransport, ImageTransport
    from langchain_imagegen.middleware import ImageGenerationMiddleware
    from langchain_imagegen.state import ImageState

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

_LATER = {
    "AsyncImageTransport": "http_transports",
    "ImageGenerationMiddleware": "middleware",
    "ImageState": "state",
    "ImageTransport": "http_transports",
    "http_clients": "clients",
}
"""Names whose modules load LangGraph, `langchain` or an HTTP client, and are therefore loaded on first use."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(f'{name} needs {error.name}: pip install "langchain_imagegen[agents]"') from error
