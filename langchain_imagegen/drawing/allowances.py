"""What limits allow: a request takes its place before it is sent. `agents.budget` counts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from langchain_imagegen.errors import ImageGenerationError

if TYPE_CHECKING:
    from langchain_imagegen.drawing.steps import Flow, Step
    from langchain_imagegen.images.cost import Cost
    from langchain_imagegen.images.result import ImageResult
    from langchain_imagegen.options.options import ImageOptions


class Allowance(Protocol):
    """What one call may draw."""

    def take(self, options: ImageOptions, *, sources: int, prompt: str, model: str | None) -> None:
        """Count the picture of a request that is about to be sent.

        Args:
            options: What the picture is drawn with.
            sources: How many pictures the request shows.
            prompt: What to draw.
            model: The mainline model; None for the Images API.

        Raises:
            LimitError: It would be one too many, or too expensive.
        """

    def give_back(self) -> None:
        """Note that the request certainly drew nothing."""

    def settle(self, ids: Iterable[str], cost: Callable[[], Cost] | None) -> None:
        """Note the pictures that the call has, and what tells their cost; None if it had bought them before."""


def within(allowance: Allowance, flow: Flow, *taken: ImageOptions, **facts: Any) -> Generator[Step, Any, ImageResult]:
    """Run a flow that buys a picture, if `allowance.take` allows it."""
    allowance.take(*taken, **facts)
    try:
        return (yield from flow)
    except ImageGenerationError as error:
        if not error.may_be_billed:
            allowance.give_back()
        raise
