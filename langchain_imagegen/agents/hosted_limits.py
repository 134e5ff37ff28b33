"""Limits of hosted calls: the chat model may draw what is left, and has no tool once nothing is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain.agents.middleware.types import ModelRequest
from langgraph.config import get_config

from langchain_imagegen.agents.budget import Budget, Limits
from langchain_imagegen.agents.chat_models import HOSTED, is_hosted
from langchain_imagegen.agents.drawn import budget_of
from langchain_imagegen.agents.model_call import with_text
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.errors import ImageGenerationError, LimitError
from langchain_imagegen.options.options import ImageOptions


class HostedLimits:
    """What the hosted calls of one model call may draw.

    Args:
        budget: Counts.
        options: What pictures are drawn with.
        known: The ids of the pictures that were drawn before.
    """

    def __init__(self, budget: Budget, options: ImageOptions, known: Iterable[str]) -> None:
        self._budget, self._options, self._known = budget, options, frozenset(known)

    def apply(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """Return the request with `max_tool_calls`, or without the hosted tool and with the reason for the model.

        All that is left is taken, until the answer tells how much was drawn: parallel calls cannot draw it too.
        """
        try:
            model = getattr(request.model, "model_name", None)
            left = self._budget.take_all(self._options, sources=0, model=model)
        except LimitError as error:
            return _withheld(request, error)
        most = [count for count in (left, request.model_settings.get("max_tool_calls")) if count is not None]
        settings = {"max_tool_calls": min(most)} if most else {}
        return request.override(model_settings={**request.model_settings, **settings})

    def settle(self, records: Mapping[str, Any]) -> None:
        """Note what the answer brought: the records that are new in the state."""
        drawn = (id for id, record in records.items() if record.get("origin", "model") == "model")
        self._budget.settle_all([id for id in drawn if id not in self._known], None)

    def fail(self, error: Exception) -> None:
        """Give back what was taken for a call that ended with an error, unless a picture may have been billed."""
        if not (isinstance(error, ImageGenerationError) and error.may_be_billed):
            self._budget.give_back()


def limits_of(limits: Limits, options: ImageOptions, state: Any, memory: ImageMemory) -> HostedLimits:
    """Return what one model call of an agent may draw."""
    config = get_config()
    task = (config.get("metadata") or {}).get("langgraph_checkpoint_ns")
    budget = budget_of(limits, state, memory, config, call=("hosted", task), own={})
    return HostedLimits(budget, options, [image.id for image in memory])


def _withheld(request: ModelRequest[Any], error: LimitError) -> ModelRequest[Any]:
    choice: Any = request.tool_choice
    forced = HOSTED in (choice, choice.get("type") if isinstance(choice, Mapping) else None)
    # Without a tool of the Responses API, a chat model that is not set to it would choose the other API, which does not
    # take the earlier messages.
    model: Any = request.model.model_copy(update={"use_responses_api": True})
    return request.override(
        model=model,
        tools=[tool for tool in request.tools if not is_hosted(tool)],
        tool_choice=None if forced else choice,
        system_message=with_text(request.system_message, f"No picture can be drawn now: {error}."),
    )
