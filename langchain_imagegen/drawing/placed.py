"""An input on its way to a drawing: who gives it, its place in the memory, and what stands around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_imagegen.options.request import ImageRequest

if TYPE_CHECKING:
    from langchain_imagegen.drawing.allowances import Allowance
    from langchain_imagegen.drawing.executions import Caller
    from langchain_imagegen.drawing.listeners import Listener

AroundImage: TypeAlias = "Callable[[ImageRequest, Callable[[ImageRequest], Any]], Any]"
"""`around_image(request, call)`: sync, or async for async drawings alone."""


@dataclass(frozen=True)
class FromToolCall:
    """An input that a chat model's tool call gives.

    Args:
        given: The input.
        ids: The ids of the message that makes the call and of the call; None for a call that no chat model made.
        around: The tool's `around_image` functions.
        allowance: What the tool's limits allow.
        on_partial: Called with each partial picture, beside the generator's own callback.
    """

    given: Any
    ids: tuple[str | None, str | None] | None = None
    around: tuple[AroundImage, ...] = ()
    allowance: Allowance | None = None
    on_partial: Listener | None = None


@dataclass(frozen=True)
class Placed:
    """An input, the place in the memory that is reserved for its result, and the step of a run that gives it."""

    given: Any
    place: int | None
    caller: Caller | None = None
    call: FromToolCall = FromToolCall(None)
