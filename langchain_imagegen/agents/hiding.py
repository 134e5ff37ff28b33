"""Chat models that are never sent the pictures that answers show to the user."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.prompt_values import ChatPromptValue, PromptValue, StringPromptValue
from langchain_core.runnables import RunnableBinding

from langchain_imagegen.conversation.display import without_pictures, without_pictures_in_text

Model = TypeVar("Model")

logger = logging.getLogger("langchain_imagegen")

_HIDES = "__hides_pictures__"


def hide_pictures(model: Model) -> Model:
    """Return a copy of a chat model to which pictures shown in answers are never sent, whoever makes the request.

    `ImageGenerationMiddleware` does so for an agent's own requests. Other requests need it, such as those for summaries
    (`SummarizationMiddleware(model=hide_pictures(model))`) or in graphs of one's own.

    Raises:
        TypeError: `model` is no chat model.
    """
    if isinstance(model, RunnableBinding):
        return model.model_copy(update={"bound": hide_pictures(model.bound)})
    if not isinstance(model, BaseChatModel):
        raise TypeError(f"hide_pictures takes a chat model, not {type(model).__name__}")
    copy: Any = model.model_copy()
    copy.__class__ = _hiding(type(model))
    return cast("Model", copy)


def warn_of_summaries(neighbours: Iterable[Any]) -> None:
    """Log a warning for each middleware that would put the links of shown pictures into the text of a summary."""
    for other in neighbours:
        model = getattr(other, "_summary_chat_model", None) or getattr(other, "model", None)
        summarizes = any("Summarization" in base.__name__ for base in type(other).__mro__)
        if summarizes and isinstance(model, BaseChatModel) and _HIDES not in vars(type(model)):
            logger.warning(
                "%s reads the links of pictures that answers show: give it the model hide_pictures(model)",
                type(other).__name__,
            )


@cache
def _hiding(kind: type[BaseChatModel]) -> type[BaseChatModel]:
    """Return a class of chat models that differs only in what it reads."""

    def convert(self: Any, given: Any) -> PromptValue:
        return _without_pictures(kind._convert_input(self, given))  # noqa: SLF001 - the one way of all input

    if _HIDES in vars(kind):
        return kind
    names = {"_convert_input": convert, _HIDES: True, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), names)


def _without_pictures(prompt: PromptValue) -> PromptValue:
    if isinstance(prompt, StringPromptValue):
        return StringPromptValue(text=without_pictures_in_text(prompt.text))
    return ChatPromptValue(messages=list(map(without_pictures, prompt.to_messages())))
