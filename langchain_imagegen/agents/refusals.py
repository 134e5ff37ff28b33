"""Why hosted calls were refused, for the next request of the same conversation.

A node that raises writes nothing into its graph's state, so the reasons are kept here: in this process alone, and the
latest of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_imagegen.agents.wording import no_picture, reason_in_words
from langchain_imagegen.conversation.message_forms import message_text
from langchain_imagegen.errors import ImageGenerationError

MOST = 1000
"""How many reasons are kept."""


class Refusals:
    """Keeps the reason for each message of a user whose hosted call was refused."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def add(self, message: BaseMessage | None, error: ImageGenerationError) -> None:
        """Keep why the call for a user's message was refused; a message without an id cannot be found again."""
        if message is None or not message.id:
            return
        self._reasons[_key_of(message)] = reason_in_words(error)
        for oldest in list(self._reasons)[:-MOST]:
            self._reasons.pop(oldest, None)

    def insert_into(self, messages: Sequence[BaseMessage], originals: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Return the messages of a request with the reason behind each refused one that the user wrote on after.

        Args:
            messages: As the chat model gets them.
            originals: The same messages as the state holds them.
        """
        told: list[BaseMessage] = []
        for message, original, following in zip(messages, originals, [*originals[1:], None], strict=True):
            told.append(message)
            reason = self._reasons.get(_key_of(original)) if isinstance(following, HumanMessage) else None
            if reason is not None:
                told.append(AIMessage(no_picture(reason)))
        return told


def _key_of(message: BaseMessage) -> str:
    """Return a message's key: clients may choose ids, and another thread's message of the same id has other words."""
    return hashlib.sha256(f"{message.id}\n{message_text(message)}".encode()).hexdigest()
