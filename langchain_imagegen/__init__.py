"""OpenAI's hosted image generation for LangChain and LangGraph: light, editable, paid once.

`ImageGenerator` draws in chains and notebooks, `ImageGenerationTool` in agents; `ImageMemory` knows every picture of a
conversation. Neither `openai` nor `langgraph` nor `langchain` is loaded before it is used.
"""

from __future__ import annotations

from langchain_imagegen.artifacts import GeneratedImage, ImageResult, ImageUsage, PartialImage
from langchain_imagegen.errors import ImageGenerationError
from langchain_imagegen.generator import ImageGenerator
from langchain_imagegen.memory import ImageMemory, merge_images
from langchain_imagegen.options import ImageOptions, ImageRequest
from langchain_imagegen.store import ImageStore
from langchain_imagegen.tool import ImageGenerationTool

__version__ = "0.1.0"
__all__ = [
    "GeneratedImage",
    "ImageGenerationError",
    "ImageGenerationTool",
    "ImageGenerator",
    "ImageMemory",
    "ImageOptions",
    "ImageRequest",
    "ImageResult",
    "ImageStore",
    "ImageUsage",
    "PartialImage",
    "__version__",
    "merge_images",
]
