"""The other middleware of an agent, where it means to stop or count calls of a tool that hosted calls are not.

LangChain tells a middleware nothing about the others. But whoever builds an agent asks each middleware for its tools,
and has the list of them at hand then. Where no such list is found, nothing is checked.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from langchain_imagegen.errors import OptionError

logger = logging.getLogger("langchain_imagegen")

_DEEPEST = 4  # frames between the builder of an agent and the middleware that is asked


def find_neighbours(middleware: object) -> list[Any] | None:
    """Return the other middleware of the agent that is being built; None if none is."""
    frame: FrameType | None = inspect.currentframe()
    for _ in range(_DEEPEST):
        frame = frame.f_back if frame else None
        lists = [value for value in frame.f_locals.values() if isinstance(value, (list, tuple))] if frame else []
        if own := [values for values in lists if any(value is middleware for value in values)]:
            return [value for value in max(own, key=len) if value is not middleware]
    return None


def check_neighbours(neighbours: Iterable[Any], tool: str) -> None:
    """Refuse a middleware that means to stop calls of a tool while the hosted tool draws; warn about others.

    Args:
        neighbours: The other middleware of an agent.
        tool: The name of the function tool, which the agent does not use.

    Raises:
        OptionError: A middleware interrupts or limits calls of that name.
    """
    for other in neighbours:
        kind, named = type(other).__name__, getattr(other, "tool_name", "")
        if tool in (getattr(other, "interrupt_on", None) or {}):
            raise OptionError(
                f"{kind} asks a person about {tool!r}, but this chat model draws with the hosted tool, which nothing "
                "can stop: set ImageGenerationMiddleware(hosted=False), or approval=True in place of the other"
            )
        if named == tool:
            raise OptionError(
                f"{kind} limits {tool!r}, but this chat model draws with the hosted tool, whose calls it does not see: "
                "set ImageGenerationMiddleware(hosted=False), or max_images= in place of the other"
            )
        if named is None and hasattr(other, "run_limit"):
            logger.warning(
                "%s does not see hosted calls: set ImageGenerationMiddleware(max_images=…) or hosted=False", kind
            )
        elif _names(other, tool):
            logger.warning("%s names %r and does not see hosted calls: set hosted=False to draw with it", kind, tool)


def _names(middleware: object, tool: str) -> bool:
    values = vars(middleware).values() if hasattr(middleware, "__dict__") else ()
    return any(tool in value for value in values if isinstance(value, (list, tuple, set, frozenset, Mapping)))
