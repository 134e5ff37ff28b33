"""Answers of a chat model that broke off behind a picture which an `ImageTransport` had stored already.

The picture was paid for, so it is delivered as the image call that brought it. Nothing is sent and nothing is stored.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage

from langchain_imagegen.agents.failures import read_failure
from langchain_imagegen.agents.history import text_block
from langchain_imagegen.api.responses import CALL
from langchain_imagegen.conversation.messages import hosted_items
from langchain_imagegen.errors import ImageGenerationError, ModerationError

if TYPE_CHECKING:
    from langchain_imagegen.http.rewriter import StoredCall

logger = logging.getLogger(__name__)


def rescued_answer(error: Exception, stored: Iterable[StoredCall]) -> AIMessage | None:
    """Return an answer of the stored image calls in place of one that ended in an error.

    None if no picture was stored, if the safety system refused the call, or if the error is not about the answer.
    """
    calls, ours = _calls_of(stored), read_failure(error)
    broken = isinstance(ours, ImageGenerationError) or isinstance(error, json.JSONDecodeError)
    if not calls or not broken or isinstance(ours, ModerationError):
        return None
    return _with_calls(AIMessage([]), calls, f"the rest of it is missing ({error})")


def completed_answers(answers: Sequence[BaseMessage], stored: Iterable[StoredCall]) -> list[BaseMessage]:
    """Return the answers with the stored image calls that they lack.

    `ChatOpenAI` takes a stream that ends in the middle for a whole one, and leaves out the event that was cut.
    """
    named = {name for answer in answers for name in _names_in(answer)}
    missing = [call for call in _calls_of(stored) if named.isdisjoint((call.get("id"), call["result"]))]
    last = max((n for n, answer in enumerate(answers) if isinstance(answer, AIMessage)), default=None)
    if not missing or last is None:
        return list(answers)
    whole = _with_calls(answers[last], missing, "its last event is cut")
    return [*answers[:last], whole, *answers[last + 1 :]]


def _calls_of(stored: Iterable[StoredCall]) -> list[dict[str, Any]]:
    """Return the image calls, each once: a stream repeats them at its end."""
    calls = {call.id or call.token: call for call in stored}
    return [
        {"type": CALL, **({"id": call.id} if call.id else {}), "status": "completed", "result": call.token}
        for call in calls.values()
    ]


def _with_calls(answer: Any, calls: Sequence[dict[str, Any]], reason: str) -> AIMessage:
    """Return an answer with the image calls before its own content, and with a warning, which is logged too."""
    warning = f"the answer broke off after its picture had arrived: {reason}"
    logger.warning(warning)
    own = [text_block(answer.content)] if isinstance(answer.content, str) and answer.content else answer.content or []
    metadata = {**answer.response_metadata, "warnings": [warning]}
    whole: AIMessage = answer.model_copy(update={"content": [*calls, *own], "response_metadata": metadata})
    return whole


def _names_in(answer: BaseMessage) -> Iterable[object]:
    """Yield the ids and tokens of the image calls and image blocks of an answer."""
    blocks = answer.content if isinstance(answer.content, list) else []
    items = hosted_items(answer) if isinstance(answer, AIMessage) else ()
    for block in (*items, *(block for block in blocks if isinstance(block, Mapping))):
        yield from (value for name in ("id", "result", "base64") if isinstance(value := block.get(name), str))
