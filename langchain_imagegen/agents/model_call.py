"""One model call of an agent: what the request holds, when it is repeated, and what the state keeps of the answer.

Pure but for the image store; the middleware calls the model and waits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_imagegen.agents.broken_answers import completed_answers, rescued_answer
from langchain_imagegen.agents.chat_models import Service
from langchain_imagegen.agents.failures import as_both, read_failure
from langchain_imagegen.agents.history import (
    calls_of,
    inventory,
    item_ids,
    light_answer,
    light_pictures,
    named_ids,
    named_in,
    own_images,
    picture_blocks,
    rewrite_messages,
    seen_ids,
    text_block,
    whole_answer,
    whole_pictures,
    with_images,
)
from langchain_imagegen.agents.hosted_account import HostedAccount
from langchain_imagegen.agents.hosted_progress import HostedProgress
from langchain_imagegen.agents.refetching import Refetch, is_cut, is_damaged
from langchain_imagegen.agents.refusals import Refusals
from langchain_imagegen.agents.wording import valid_message
from langchain_imagegen.api.service_errors import SERVICE_ID, is_lost_reference
from langchain_imagegen.conversation.channel import CHANNEL, Records
from langchain_imagegen.conversation.display import without_pictures
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.conversation.message_forms import message_text
from langchain_imagegen.conversation.references import prepare_sources
from langchain_imagegen.drawing.flows import retry_delay
from langchain_imagegen.errors import ImageGenerationError, ModerationError, OptionError
from langchain_imagegen.http.rewriter import Arrived
from langchain_imagegen.images.image import GeneratedImage, Origin
from langchain_imagegen.storage.call_store import CallStore

logger = logging.getLogger(__name__)


@dataclass
class Turn:
    """One model call.

    Args:
        messages: The request's messages as the state holds them.
        state: The graph's state.
        memory: The images of the conversation.
        store: Where bytes go; what it cannot store stays in the messages.
        service: What the model's service can do.
        carry: How many of the latest images go along if the user names none.
        offload: True if the user's own pictures leave the state too.
        refusals: Why earlier hosted calls were refused.
        account: Keeps what hosted calls took.
        staying: The messages that the state must keep as they are, since a picture of them is in no store.
        arrived: What has arrived of the answer, as an `ImageTransport` notes it.
        limits: What hosted calls may draw, if that is limited.
        refetch: The attempts to get an answer again that broke off.
        progress: Tells of hosted calls; None: nobody is told.
    """

    messages: Sequence[BaseMessage]
    state: Mapping[str, Any]
    memory: ImageMemory
    store: CallStore
    service: Service
    carry: int = 1
    offload: bool = True
    refusals: Refusals = field(default_factory=Refusals)
    arrived: Arrived = field(default_factory=Arrived)
    limits: Any = None
    account: HostedAccount = field(default_factory=HostedAccount)
    staying: list[BaseMessage] = field(default_factory=list)
    refetch: Refetch | None = None
    progress: HostedProgress | None = None
    _light: dict[str, BaseMessage] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)
    _sent: set[str] = field(default_factory=set)
    _attempts: int = 0

    def __post_init__(self) -> None:
        lighten: dict[type[BaseMessage], Any] = {
            HumanMessage: self._take_out,
            ToolMessage: self._take_out,
            AIMessage: self._slim,
        }
        self.messages = rewrite_messages(self.messages, lighten)

    def request(self, system: SystemMessage | None) -> tuple[list[BaseMessage], SystemMessage | None]:
        """Return messages and system message for the model, with pictures restored and all others listed by handle."""
        self.arrived.clear()
        self._prepare_uploads()
        kept = {image.id for image in self.memory if self.service.resolves(image)}
        seen = seen_ids(self.messages, self.memory, kept)
        missing = [image for image in self._wanted() if image.id not in seen]
        by_id = [image for image in missing if image.id in kept]
        by_bytes = [image for image in missing if image.id not in kept]
        whole = self._whole(kept)
        told = {*seen, *named_ids(whole, self.memory), *(image.id for image in missing)}
        messages = with_images(whole, calls_of(by_id), self._pictures(by_bytes))
        self._sent = item_ids(messages)
        return self._numbered(messages, kept), with_text(system, inventory(self.memory, told))

    def after_error(self, error: Exception) -> tuple[list[BaseMessage] | None, float]:
        """Return the answer as far as it had arrived, or None and the seconds to wait before it is asked for again.

        Raises:
            Exception: Neither is possible; the error itself, or ours for it.
        """
        if self.refetch is not None and not self.refetch.given_up:
            delay = self.refetch.delay_after(error)
            if delay is not None:
                return None, delay
        if self.refetch is not None:
            self.arrived.response_id = self.refetch.response_id
            if self.refetch.fallback is not None:
                return list(self.refetch.fallback), 0.0
            error = self.refetch.lost or error
        else:
            rescued = rescued_answer(error, self.arrived.calls)
            fallback: list[BaseMessage] | None = [rescued] if rescued is not None else None
            if is_damaged(error) and self._begin_refetch(error, fallback):
                return None, 0.0
            if fallback is not None:
                return fallback, 0.0
            delay = self.retry_delay(error)
            if delay is not None:
                return None, delay
        failure = self.failure(error)
        if self.limits is not None:
            self.limits.fail(failure)
        if self.service.hosted:
            self.account.fail(failure, self.service.provider, self.asked(), self.arrived.response_id)
        raise failure from failure.__cause__

    def after_answer(self, answers: Sequence[BaseMessage]) -> tuple[list[BaseMessage] | None, float]:
        """Return the answer, or None and the seconds to wait before it is asked for again, since it is not whole."""
        if self.refetch is None:
            whole = completed_answers(answers, self.arrived.calls)
            return (None, 0.0) if is_cut(answers) and self._begin_refetch(None, whole) else (whole, 0.0)
        delay = self.refetch.delay_while_unfinished(answers)
        return (None, delay) if delay is not None else (self.refetch.with_warning(answers), 0.0)

    def _begin_refetch(self, lost: Exception | None, fallback: Sequence[BaseMessage] | None) -> bool:
        """Return True if the answer that broke off can be had again: its id had arrived, and the service keeps it."""
        if self.arrived.response_id is None or not self.service.stored:
            return False
        self.refetch = Refetch(
            self.arrived.response_id,
            self.service.patience,
            lost=lost,
            fallback=fallback,
            has_picture=bool(self.arrived.calls),
        )
        return True

    def retry_delay(self, error: Exception) -> float | None:
        """Return the seconds to wait before the request is sent again; None if it must not be, it may be paid for."""
        ours = read_failure(error) if self.service.hosted else error
        if not isinstance(ours, ImageGenerationError) or isinstance(ours, (ModerationError, OptionError)):
            return None
        if self.forget(ours):
            return 0.0
        if self._attempts >= self.service.retries:
            return None
        self._attempts += 1
        return retry_delay(ours, self._attempts - 1)

    def light_messages(self, given: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Return the messages that the turn was given with references in place of base64, where they are stored."""
        pairs = zip(given, self.messages, strict=True)
        return [message if any(message is each for each in self.staying) else light for message, light in pairs]

    def failure(self, error: Exception) -> Exception:
        """Return the error to raise: ours for a refusal, else the chat model's, also ours if a retry matters."""
        ours = read_failure(error) if self.service.hosted else error
        if isinstance(ours, (ModerationError, OptionError)):
            self.refusals.add(self._last_of_user(), ours)
            ours.__cause__ = error
            return ours
        if isinstance(ours, ImageGenerationError) and (ours.retryable or ours.may_be_billed):
            ours.response_id = self.arrived.response_id if self.service.stored else None
            return as_both(ours, error)
        return error

    def forget(self, error: Exception) -> bool:
        """Return True if the service rejected a reference to an earlier image and can be asked without it."""
        if not is_lost_reference(error):
            return False
        text = str(error)
        blamed = {id for id in self._sent if id in text}
        if not blamed and not SERVICE_ID.search(text):  # else the error is about something else, such as a file
            blamed = set(self._sent)
        blamed -= self._lost  # what was left out once cannot be the reason again
        dead = [image for image in self.memory if blamed & {image.id, *image.companion_ids}]
        self.memory.add(*(image.model_copy(update={"dead_rungs": (*image.dead_rungs, "call_id")}) for image in dead))
        self._lost |= blamed
        return bool(blamed)

    def keep(self, answers: Sequence[BaseMessage]) -> tuple[list[BaseMessage], dict[str, Any]]:
        """Return the answer without base64, and the update of the state that goes with it."""
        light = [self._light_answer(answer) if isinstance(answer, AIMessage) else answer for answer in answers]
        update: dict[str, Any] = {}
        if self._light:
            update["messages"] = list(self._light.values())
        if records := self._unrecorded():
            update[CHANNEL] = records
        return light, update

    def _take_out(self, message: BaseMessage) -> BaseMessage:
        light, taken = light_pictures(message, self.store)
        self.memory.add(*taken)
        self._replace(message, light, taken, update=self.offload or not isinstance(message, HumanMessage))
        return light

    def _prepare_uploads(self) -> None:
        """Give the uploads that the request shows a copy that the service of the hosted tool takes, where it must."""
        if not self.service.hosted:
            return
        images = [*self._wanted(), *(image for message in self.messages for image in own_images(message, self.memory))]
        at_hand = {image.id: image for image in images if image.sha256 in self.store}
        for image in at_hand.values():
            try:
                sources = prepare_sources([image], self.store)
            except ImageGenerationError as error:  # one odd upload must not end the conversation: the service judges it
                logger.warning("the upload %s is sent as it is: %s", image.handle, error)
            else:
                self.memory.add(*(new for new in sources if isinstance(new, GeneratedImage) and new != image))

    def _slim(self, message: AIMessage) -> BaseMessage:
        """Return an answer without the base64 that it still holds from a time before the middleware."""
        slim, drawn = light_answer(message, self.store, Origin())
        light, taken = light_pictures(slim, self.store)
        self.memory.add(*taken)
        self._replace(message, light, [*drawn, *taken])
        return light

    def _replace(
        self, message: BaseMessage, light: BaseMessage, images: Sequence[GeneratedImage], *, update: bool = True
    ) -> None:
        """Let the light form of a message take its place in the state, unless one of its pictures is in no store."""
        if must_stay(images, self.store):
            self.staying.append(message)
        elif update and message.id and light is not message and light != message:
            self._light[message.id] = light

    def _light_answer(self, answer: AIMessage) -> AIMessage:
        parents, named = tuple(image.id for image in self._wanted()), bool(self._meant())
        origin = Origin(self.service.provider, self.asked(), parents, named=named, stored=self.service.stored)
        light, images = light_answer(valid_message(answer), self.store, origin)
        images = self.account.enter(images, answer, self.arrived, self.asked()) if self.service.hosted else images
        images = self.progress.keep(images, answer) if self.progress else images
        light, drawn = light_pictures(light, self.store)  # by a chat model that gives no ids
        told = {"prompt": origin.prompt, "parents": parents if named else ()}
        self.memory.add(*images, *(image.model_copy(update=told) for image in drawn))
        return answer if must_stay([*images, *drawn], self.store) else light

    def _whole(self, kept: set[str]) -> list[BaseMessage]:
        gone = self._gone(kept)
        whole = rewrite_messages(
            list(map(without_pictures, self.messages)),
            {
                HumanMessage: lambda message: whole_pictures(message, self.memory),
                ToolMessage: lambda message: whole_pictures(message, self.memory),
                AIMessage: lambda message: whole_pictures(whole_answer(message, self.memory, kept, gone), self.memory),
            },
        )
        return self.refusals.insert_into(whole, self.messages)

    def _gone(self, kept: set[str]) -> set[str]:
        """Return the ids of reasoning that is left out: the service lost it, or its pictures are all left out."""
        needed = {id for image in self.memory if image.id in kept for id in image.companion_ids}
        led = {id for image in self.memory if image.id not in kept for id in image.companion_ids}
        return self._lost | (led - needed)

    def _wanted(self) -> list[GeneratedImage]:
        """Return the images that the user's last message brings or names, or the latest ones if there are none."""
        if not self.service.hosted:
            return []
        return self._meant() or list(self.memory)[max(0, len(self.memory) - self.carry) :]

    def _meant(self) -> list[GeneratedImage]:
        last = self._last_of_user()
        if last is None:
            return []
        meant = [*named_in(message_text(last), self.memory), *own_images(last, self.memory)]
        return list({image.id: image for image in meant}.values())

    def _numbered(self, messages: list[BaseMessage], kept: set[str]) -> list[BaseMessage]:
        """Return the messages with the position of each image that the user names; images sent by id show no handle."""
        seen = list(dict.fromkeys(seen_ids(messages, self.memory, kept)))
        named = [image for image in named_in(self.asked(), self.memory) if image.id in seen]
        words = [f"{self.memory.handle(image)} is number {seen.index(image.id) + 1}" for image in named]
        told = [text_block(f"(Of the images drawn above, oldest first: {', '.join(words)}.)")] if words else []
        return with_images(messages, [], told)

    def _pictures(self, images: Sequence[GeneratedImage]) -> list[dict[str, Any]]:
        return [block for image in images for block in picture_blocks(image, self.memory.handle(image))]

    def _last_of_user(self) -> HumanMessage | None:
        return next((m for m in reversed(self.messages) if isinstance(m, HumanMessage)), None)

    def asked(self) -> str:
        """Return what the user's last message says."""
        message = self._last_of_user()
        return message_text(message) if message else ""

    def _unrecorded(self) -> Records:
        known = self.state.get(CHANNEL) or {}
        return {record["id"]: record for record in self.memory.to_records() if known.get(record["id"]) != record}


def must_stay(images: Iterable[GeneratedImage], store: CallStore) -> bool:
    """Return True if a message must keep its pictures, because one of them is in no store; log why."""
    errors = {image.handle: error for image in images if (error := store.why_unsaved(image.sha256))}
    for handle, error in errors.items():
        logger.warning("the picture %s stays in its message as base64, since %s", handle, error)
    return bool(errors)


def with_text(system: SystemMessage | None, text: str) -> SystemMessage | None:
    """Return the system message with more text; the message itself if there is no text."""
    if not text:
        return system
    if system is None:
        return SystemMessage(text)
    blocks = [text_block(system.content)] if isinstance(system.content, str) else list(system.content)
    return system.model_copy(update={"content": [*blocks, text_block(text)]})
