"""OpenAI's hosted image generation for LangChain and LangGraph: light, editable, paid once.

`ImageGenerator` draws in chains and notebooks, `ImageGenerationTool` in agents; `ImageMemory` knows every picture of a
conversation. Nothing is loaded before it is used, `openai`, `langgraph` and `langchain` least of all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_imagegen import _moved
from langchain_imagegen.errors import ImageGenerationError, retry_on

if TYPE_CHECKING:
    from langchain_imagegen.agents.approval import approval
    from langchain_imagegen.agents.display import show_pictures
    from langchain_imagegen.agents.hiding import hide_pictures
    from langchain_imagegen.agents.live import ashow_events, show_events
    from langchain_imagegen.agents.middleware import ImageGenerationMiddleware
    from langchain_imagegen.agents.tool import ImageGenerationTool
    from langchain_imagegen.conversation.channel import merge_images
    from langchain_imagegen.conversation.memory import ImageMemory
    from langchain_imagegen.conversation.output_parser import ImageOutputParser, images_from
    from langchain_imagegen.conversation.state import ImageState
    from langchain_imagegen.drawing.estimate import estimate
    from langchain_imagegen.drawing.generator import ImageGenerator
    from langchain_imagegen.http.clients import http_clients
    from langchain_imagegen.http.transports import AsyncImageTransport, ImageTransport
    from langchain_imagegen.images.cost import Cost
    from langchain_imagegen.images.image import GeneratedImage
    from langchain_imagegen.images.partial import PartialImage
    from langchain_imagegen.images.regions import Region, box, polygon
    from langchain_imagegen.images.result import ImageResult
    from langchain_imagegen.images.usage import ImageUsage
    from langchain_imagegen.options.options import ImageOptions
    from langchain_imagegen.options.request import ImageRequest
    from langchain_imagegen.storage.library import ImageLibrary
    from langchain_imagegen.storage.store import ImageStore

__version__ = "0.1.0"
__all__ = [
    "AsyncImageTransport",
    "Cost",
    "GeneratedImage",
    "ImageGenerationError",
    "ImageGenerationMiddleware",
    "ImageGenerationTool",
    "ImageGenerator",
    "ImageLibrary",
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
    "Region",
    "__version__",
    "approval",
    "ashow_events",
    "box",
    "estimate",
    "hide_pictures",
    "http_clients",
    "images_from",
    "merge_images",
    "polygon",
    "retry_on",
    "show_events",
    "show_pictures",
]

_MODULES = {
    "agents.display": ("show_pictures",),
    "agents.hiding": ("hide_pictures",),
    "agents.approval": ("approval",),
    "agents.live": ("ashow_events", "show_events"),
    "agents.middleware": ("ImageGenerationMiddleware",),
    "agents.tool": ("ImageGenerationTool",),
    "conversation.channel": ("merge_images",),
    "conversation.memory": ("ImageMemory",),
    "conversation.output_parser": ("ImageOutputParser", "images_from"),
    "conversation.state": ("ImageState",),
    "drawing.estimate": ("estimate",),
    "drawing.generator": ("ImageGenerator",),
    "http.clients": ("http_clients",),
    "http.transports": ("AsyncImageTransport", "ImageTransport"),
    "images.cost": ("Cost",),
    "images.image": ("GeneratedImage",),
    "images.partial": ("PartialImage",),
    "images.regions": ("Region", "box", "polygon"),
    "images.result": ("ImageResult",),
    "images.usage": ("ImageUsage",),
    "options.options": ("ImageOptions",),
    "options.request": ("ImageRequest",),
    "storage.library": ("ImageLibrary",),
    "storage.store": ("ImageStore",),
}
"""The module that defines each public name. A module is imported when one of its names is first used."""

_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(f'{name} needs {error.name}: pip install "langchain_imagegen[agents]"') from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_moved.install()
