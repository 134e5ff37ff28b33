"""One model call of an agent: the request as the model gets it, and what the state keeps of the answer.

Pure but for the image store; the middleware calls the model in between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from langchain_imagegen.artifacts import GeneratedImage, Origin
from langchain_imagegen.failures import is_lost_reference
from langchain_imagegen.history import (
    call_ids,
    edited,
    inventory,
    light_answer,
    light_upload,
    named_ids,
    named_in,
    own_images,
    picture_blocks,
    shown_ids,
    text_block,
    whole_answer,
    whole_upload,
    with_images,
)
from langchain_imagegen.memory import CHANNEL, ImageMemory, Records
from langchain_imagegen.store import ImageStore

_REASONING = re.compile(r"\brs_\w+")


@dataclass
class Turn:
    """One model call.

    Args:
        messages: The request's messages, as the state has them.
        state: The graph's state.
        memory: The images of the conversation.
        store: Where bytes go.
        hosted: Whether the model draws by itself, with the hosted tool.
        stored: Whether its service keeps what it draws.
        provider: The host of its service.
        carry: How many of the latest images go along where the user names none.
    """

    messages: Sequence[BaseMessage]
    state: Mapping[str, Any]
    memory: ImageMemory
    store: ImageStore
    hosted: bool
    stored: bool
    provider: str
    carry: int = 1
    offload: bool = True
    _light: dict[str, BaseMessage] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)
    _sent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.messages = edited(self.messages, {HumanMessage: self._take_out})

    def request(self, system: SystemMessage | None) -> tuple[list[BaseMessage], SystemMessage | None]:
        """Messages and system message for the model: pictures back in, earlier ones named, the rest listed."""
        kept = self._kept()
        whole = edited(
            self.messages,
            {
                HumanMessage: lambda message: whole_upload(message, self.memory),
                AIMessage: lambda message: whole_answer(message, self.memory, kept, self._gone),
            },
        )
        shown = [id for id in shown_ids(self.messages) if id in kept or id not in self._calls()]
        missing = [image for image in self._wanted() if image.id not in shown]
        by_id = [image for image in missing if self._replayable(image)]
        by_bytes = [image for image in missing if not self._replayable(image)]
        self._sent = {id for message in whole for id in call_ids(message)} | {image.id for image in by_id}
        told = {*shown, *named_ids(whole, self.memory), *(image.id for image in missing)}
        added = [*self._numbered([*shown, *(image.id for image in by_id)]), *self._pictures(by_bytes)]
        return with_images(whole, by_id, added), _with_text(system, inventory(self.memory, told))

    def forget(self, error: Exception) -> bool:
        """Whether the request can be sent again without what the error says the service does not know."""
        if not self.hosted or not is_lost_reference(error):
            return False
        text = str(error)
        reasoning = set(_REASONING.findall(text)) - self._gone
        sent = [self.memory.get(id) for id in self._sent if id in self.memory]
        blamed = [image for image in sent if image.id in text or reasoning & set(image.companion_ids)]
        dead = [image for image in blamed or ([] if reasoning else sent) if "call_id" not in image.dead_rungs]
        self.memory.add(*(image.model_copy(update={"dead_rungs": (*image.dead_rungs, "call_id")}) for image in dead))
        self._gone |= reasoning
        return bool(dead or reasoning)

    def keep(self, answers: Sequence[BaseMessage]) -> tuple[list[BaseMessage], dict[str, Any]]:
        """The answer without base64, and the update of the state that goes with it."""
        light = [self._light_answer(answer) if isinstance(answer, AIMessage) else answer for answer in answers]
        update: dict[str, Any] = {}
        if self._light:
            update["messages"] = list(self._light.values())
        if records := self._unrecorded():
            update[CHANNEL] = records
        return light, update

    def _take_out(self, message: HumanMessage) -> BaseMessage:
        light, taken = light_upload(message, self.store)
        self.memory.add(*taken)
        if taken and self.offload and message.id:
            self._light[message.id] = light
        return light

    def _light_answer(self, answer: AIMessage) -> AIMessage:
        parents, named = tuple(image.id for image in self._wanted()), bool(self._meant())
        origin = Origin(self.provider, self._asked(), parents, named=named, stored=self.stored)
        light, images = light_answer(answer, self.store, origin)
        self.memory.add(*images)
        return light

    def _kept(self) -> set[str]:
        """Ids of image calls that may be sent back as they are."""
        return {image.id for image in self.memory if self._replayable(image)} if self.hosted and self.stored else set()

    def _replayable(self, image: GeneratedImage) -> bool:
        known = image.origin == "model" and image.stored is not False and "call_id" not in image.dead_rungs
        here = image.provider in ("", self.provider) and not image.id.startswith("sha256:")
        return self.hosted and self.stored and known and here

    def _wanted(self) -> list[GeneratedImage]:
        """The images that the user's last message is about: those that it names, else its own, else the latest."""
        if not self.hosted:
            return []
        return self._meant() or list(self.memory)[max(0, len(self.memory) - self.carry) :]

    def _meant(self) -> list[GeneratedImage]:
        last = self._last_of_user()
        return named_in(self._asked(), self.memory) or (own_images(last, self.memory) if last else [])

    def _numbered(self, shown: Sequence[str]) -> list[dict[str, Any]]:
        """Which of the pictures in sight a handle in the user's last message means; a hosted model sees no handles."""
        named = [image for image in named_in(self._asked(), self.memory) if image.id in shown] if self.hosted else []
        words = [f"{self.memory.handle(image)} is number {shown.index(image.id) + 1}" for image in named]
        return [text_block(f"(Of the images above, oldest first: {', '.join(words)}.)")] if words else []

    def _pictures(self, images: Sequence[GeneratedImage]) -> list[dict[str, Any]]:
        return [block for image in images for block in picture_blocks(image, self.memory.handle(image))]

    def _calls(self) -> set[str]:
        return {id for message in self.messages for id in call_ids(message)}

    def _last_of_user(self) -> HumanMessage | None:
        return next((m for m in reversed(self.messages) if isinstance(m, HumanMessage)), None)

    def _asked(self) -> str:
        message = self._last_of_user()
        return message.text if message else ""

    def _unrecorded(self) -> Records:
        known = self.state.get(CHANNEL) or {}
        return {record["id"]: record for record in self.memory.to_records() if known.get(record["id"]) != record}


def _with_text(system: SystemMessage | None, text: str) -> SystemMessage | None:
    if not text:
        return system
    if system is None:
        return SystemMessage(text)
    blocks = [text_block(system.content)] if isinstance(system.content, str) else list(system.content)
    return system.model_copy(update={"content": [*blocks, text_block(text)]})
