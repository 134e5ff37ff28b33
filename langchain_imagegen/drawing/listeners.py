"""The functions that are called with the partial pictures of a drawing. None of them can harm it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.partial import PartialImage

logger = logging.getLogger(__name__)

Listener: TypeAlias = "Callable[[PartialImage], Any]"
"""A sync or async function of a partial picture; what it returns is not used."""


class Listeners:
    """The listeners of one call. What they raise is logged; the drawing goes on, and so do the other listeners."""

    def __init__(self, functions: Sequence[Listener]) -> None:
        self._functions = functions

    def check_sync(self) -> None:
        """Refuse async functions in a sync call, before anything is sent.

        Raises:
            OptionError: One of the functions is async.
        """
        if any(map(_is_async, self._functions)):
            raise OptionError("on_partial= is an async function: use ainvoke or astream, or give a sync function")

    def tell(self, piece: object) -> None:
        """Call each function with a piece of the answer if it is a partial picture."""
        if isinstance(piece, PartialImage):
            for function in self._functions:
                with _logged():
                    function(piece)

    async def atell(self, piece: object) -> None:
        """Async twin of `tell`; sync functions run in a thread, so that a slow one does not hold up the event loop."""
        if isinstance(piece, PartialImage):
            for function in self._functions:
                with _logged():
                    await (function(piece) if _is_async(function) else asyncio.to_thread(function, piece))


def _is_async(function: Listener) -> bool:
    """Return True for an async function, also as a method, a partial or an object that is called."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


@contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.warning("on_partial= failed; the picture is drawn all the same", exc_info=True)
