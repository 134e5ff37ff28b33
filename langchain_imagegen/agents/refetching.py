"""Getting a chat model's answer again that broke off, by its response id, so that what was paid for is delivered whole.

The middleware calls the model and waits; how often, and for how long, `drawing.recovery` decides as for a generator.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from langchain_imagegen.agents.failures import read_failure
from langchain_imagegen.api.responses import UnfinishedError
from langchain_imagegen.drawing.recovery import poll
from langchain_imagegen.drawing.steps import Retrieve, Step, Wait
from langchain_imagegen.errors import ConnectionLostError, ImageGenerationError, ImageTimeoutError
from langchain_imagegen.images.image import Origin

logger = logging.getLogger(__name__)

_UNFINISHED = ("queued", "in_progress")


class Refetch:
    """The attempts to get one answer again.

    Args:
        response_id: The id of its response.
        patience: Seconds to wait at most, in total, while the service draws.
        lost: The error in which the answer ended; None if its stream ended without one.
        fallback: What had arrived of the answer; None if that is not worth delivering.
        has_picture: True if a picture had arrived. Then one failed attempt is enough, and it is delivered.
    """

    def __init__(
        self,
        response_id: str,
        patience: float,
        *,
        lost: Exception | None,
        fallback: Sequence[BaseMessage] | None,
        has_picture: bool,
    ) -> None:
        self.response_id, self.lost, self.fallback, self._has_picture = response_id, lost, fallback, has_picture
        self.given_up = False
        self._steps = poll(Retrieve(response_id, Origin()), patience, _read)
        next(self._steps)

    def delay_after(self, error: Exception) -> float | None:
        """Return the seconds after which the response is asked for again; None if it cannot be had."""
        ours = read_failure(error)
        unfinished = isinstance(ours, UnfinishedError)
        if not isinstance(ours, ImageGenerationError) or (self._has_picture and not unfinished):
            self._give_up(error)
            return None
        try:
            wait = self._steps.throw(ours)
            assert isinstance(wait, Wait)
            next(self._steps)
        except ImageGenerationError as failed:
            self._give_up(failed)
            return None
        return wait.seconds

    def delay_while_unfinished(self, answers: Sequence[BaseMessage]) -> float | None:
        """Return the seconds after which an answer that is not finished is asked for again; None if it is finished.

        Raises:
            UnfinishedError: It is still not finished after all the time that there is.
        """
        status = next((answer.response_metadata.get("status") for answer in answers), None)
        if status not in _UNFINISHED:
            return None
        error = UnfinishedError(f"response {self.response_id!r} is {status}")
        delay = self.delay_after(error)
        if delay is None:
            raise error
        return delay

    def with_warning(self, answers: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Return the answers with a warning, which is logged too."""
        warning = f"the answer broke off; it was fetched again as response {self.response_id!r}"
        logger.warning(warning)
        return [_warned(answer, warning) if isinstance(answer, AIMessage) else answer for answer in answers]

    def _give_up(self, why: Exception) -> None:
        self.given_up = True
        if self.lost is not None:
            self.lost.add_note(f"response {self.response_id!r} could not be fetched either: {why}")


def is_damaged(error: Exception) -> bool:
    """Return True if an error says that an answer broke off on its way, or stopped arriving."""
    return isinstance(read_failure(error), (ConnectionLostError, ImageTimeoutError)) or isinstance(
        error, json.JSONDecodeError
    )


def is_cut(answers: Sequence[BaseMessage]) -> bool:
    """Return True if the stream of an answer ended before its last event, which `ChatOpenAI` does not notice."""
    last = next((answer for answer in reversed(answers) if isinstance(answer, AIMessage)), None)
    return last is not None and "status" not in last.response_metadata


def _read(answer: Any) -> Generator[Step, Any, Any]:
    """Return the answer as it is, without further steps."""
    yield from ()
    return answer


def _warned(answer: AIMessage, warning: str) -> AIMessage:
    metadata = {**answer.response_metadata, "warnings": [*answer.response_metadata.get("warnings", ()), warning]}
    return answer.model_copy(update={"response_metadata": metadata})
