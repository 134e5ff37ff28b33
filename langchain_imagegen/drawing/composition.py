"""How a generator behaves when it is composed with other runnables: pairings that cannot work are refused at once.

Only a step directly behind a generator is seen: in `prompt | draw | parser`, LangChain's own `|` joins the parser.
Nothing is drawn here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from pydantic import BaseModel, ConfigDict

from langchain_imagegen.errors import OptionError, drew_nothing, retry_on
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.request import ImageRequest

_DEEPEST = 8  # wrappers around a chat model


class Composable(RunnableSerializable[Any, ImageResult]):
    """A runnable that gives an `ImageResult` and names the missing step where the next runnable cannot read one."""

    model_config = ConfigDict(defer_build=True)  # only `ImageGenerator` is ever made

    if not TYPE_CHECKING:  # type checkers read the overloads of `Runnable`

        def __or__(self, other: Any) -> Any:
            check_next_step(other)
            return super().pipe(ShownPictures(), other) if is_chat_model(other) else super().__or__(other)

        def pipe(self, *others: Any, name: str | None = None) -> Any:
            """Return the chain of this runnable and others."""
            check_next_step(others[0] if others else None)
            shown = [ShownPictures()] if others and is_chat_model(others[0]) else []
            return super().pipe(*shown, *others, name=name)

        def with_retry(self, **rule: Any) -> Any:
            """Return a runnable that repeats failed calls; unless told otherwise, only after an error in `retry_on`."""
            return super().with_retry(**{"retry_if_exception_type": retry_on, **rule})

        def with_fallbacks(self, fallbacks: Sequence[Runnable[Any, Any]], **rule: Any) -> Any:
            """Return a runnable that tries others; unless told otherwise, only after an error in `drew_nothing`."""
            return super().with_fallbacks(fallbacks, **{"exceptions_to_handle": drew_nothing, **rule})

        def with_listeners(self, **listeners: Any) -> Any:
            """Return a runnable that calls the listeners when a run starts, ends or fails."""
            check_listener(listeners.get("on_end"))
            return super().with_listeners(**listeners)

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """Return `ImageRequest`, the fields of a dict input."""
        del config
        return ImageRequest


class ShownPictures(RunnableSerializable[ImageResult, list[BaseMessage]]):
    """Turns a result into the messages that a chat model reads.

    A chat model would do so itself, but it would read the image store in the event loop.
    """

    def invoke(self, input: ImageResult, config: RunnableConfig | None = None, **kwargs: Any) -> list[BaseMessage]:
        """Return the messages."""
        del config, kwargs
        return input.to_messages()

    async def ainvoke(
        self, input: ImageResult, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[BaseMessage]:
        """Async twin of `invoke`."""
        del config, kwargs
        return await asyncio.to_thread(input.to_messages)


def is_chat_model(step: Any) -> bool:
    """Return True for a chat model, also one with bound arguments, retries or structured output."""
    for _ in range(_DEEPEST):
        inner = getattr(step, "bound", None) or getattr(step, "first", None)
        if inner is None:
            break
        step = inner
    return hasattr(step, "agenerate_prompt") and hasattr(step, "bind_tools")


def check_next_step(step: object) -> None:
    """Refuse a parser of text behind a generator.

    Raises:
        OptionError: It says how to hand on the text or the pictures.
    """
    if isinstance(step, BaseOutputParser):
        raise OptionError(
            f"{type(step).__name__} reads text, but an ImageGenerator gives an ImageResult: "
            "put (lambda result: result.text) before the parser, or leave the parser out and use result.images"
        )


def check_listener(listener: object) -> None:
    """Refuse to be wrapped in `RunnableWithMessageHistory`, which would keep nothing of an `ImageResult`.

    Raises:
        OptionError: It says what can be wrapped instead.
    """
    wrapper = type(getattr(listener, "__self__", None)).__name__
    if wrapper == "RunnableWithMessageHistory":
        raise OptionError(
            "RunnableWithMessageHistory keeps messages, but an ImageGenerator gives an ImageResult: wrap "
            'draw | (lambda result: result.to_message(role="assistant")), or use ImageGenerator(memory=ImageMemory())'
        )
