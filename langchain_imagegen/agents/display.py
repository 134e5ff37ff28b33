"""Pictures shown in an agent's answers: which ones an answer shows, under which address, and for how long.

How a picture stands in a message, and how it is taken out again, is in `conversation/display`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_imagegen.conversation.channel import channel_of
from langchain_imagegen.conversation.display import WEEK, Form, Link, with_fresh_links, with_pictures
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.conversation.messages import found_in
from langchain_imagegen.conversation.states import messages_of
from langchain_imagegen.errors import ImageStoreError, OptionError
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.storage.store import ImageStore

logger = logging.getLogger(__name__)

BEFORE = "images_before_turn"
"""Private key of an agent's state: the user's last message, and how many images the channel held when it came."""

FORMS: tuple[Form, ...] = ("markdown", "image_url", "image")


@dataclass(frozen=True)
class Display:
    """How the answers of an agent show pictures.

    Args:
        form: How a picture stands in a message.
        seconds: How long an address works, where it is signed.
    """

    form: Form
    seconds: int = WEEK

    def check(self, store: ImageStore, setting: str = "") -> None:
        """Check that there are addresses.

        Raises:
            OptionError: `form` is unknown, or the store gives no addresses.
        """
        if self.form not in FORMS:
            raise OptionError(f"show={self.form!r} is unknown; accepted are {', '.join(map(repr, FORMS))} and None")
        try:
            store.url("0" * 64, "image/png", expires=self.seconds)
        except ImageStoreError as error:
            raise OptionError(
                f"{setting or f'show={self.form!r}'} needs an address for each picture: {error}"
            ) from error

    def link(self, image: GeneratedImage, handle: str) -> Link | None:
        """Return the link of an image; None, with a logged warning, if it has no address."""
        try:
            url = image.url(expires=self.seconds)
            signed = url != image.url(expires=self.seconds // 2)
        except ImageStoreError as error:
            logger.warning("the picture %s is not shown in the answer: %s", handle, error)
            return None
        # `UrlSigner` keeps a link for a while, which then works for nine tenths of the time.
        return Link.of(handle, url, int(time.time() + 0.9 * self.seconds) if signed else None)

    def show(self, answer: AIMessage, images: Iterable[GeneratedImage], memory: ImageMemory) -> AIMessage:
        """Return an answer that shows these images."""
        named = {image.id: (image, memory.handle(image)) for image in images}
        links = ((image, self.link(image, handle)) for image, handle in named.values())
        return with_pictures(answer, [(image, link) for image, link in links if link], self.form)

    def renew(self, messages: Iterable[BaseMessage], memory: ImageMemory) -> dict[str, BaseMessage]:
        """Return, by id, the answers whose links are past half their time, with new links.

        Pictures that were forgotten are taken out.
        """
        answers = [message for message in messages if isinstance(message, AIMessage) and message.id]
        renewed = {answer.id: with_fresh_links(answer, lambda link: self._fresh(link, memory)) for answer in answers}
        return {str(answer.id): renewed[answer.id] for answer in answers if renewed[answer.id] is not answer}

    def is_stale(self, until: int | None) -> bool:
        """Return True if a link that works until then, in seconds of the epoch, is past half its time."""
        return until is not None and until - time.time() < self.seconds / 2

    def _fresh(self, link: Link, memory: ImageMemory) -> Link | None:
        if memory.has_forgotten(link.handle):
            return None
        if link.handle not in memory or (link.until and not self.is_stale(link.until)):
            return link
        return self.link(memory.get(link.handle), link.handle) or link

    def complete(
        self, answers: Sequence[BaseMessage], update: Mapping[str, Any], state: Mapping[str, Any], memory: ImageMemory
    ) -> tuple[list[BaseMessage], dict[str, Any]]:
        """Return the answers of one model call with their pictures, and the update of the state that goes with them.

        Each answer shows what its own hosted calls drew; the one that ends the turn shows all pictures of the turn.
        """
        begun = turn_begin(state)
        more = {**update, **({BEFORE: begun} if begun and begun != state.get(BEFORE) else {})}
        shown: list[BaseMessage] = []
        for answer in answers:
            if not isinstance(answer, AIMessage):
                shown.append(answer)
                continue
            images = list(images_found([answer], memory))
            if not answer.tool_calls:
                light = {message.id: message for message in update.get("messages", ())}
                rewritten = [light.get(message.id, message) for message in messages_in(state)]
                renewed = self.renew(rewritten, memory)
                if renewed:
                    more["messages"] = list({**light, **renewed}.values())
                images = [*images_of_turn(state, memory, begun), *images]
            shown.append(self.show(answer, images, memory))
        return shown, more


def show_pictures(
    form: Form, *, image_store: ImageStore | None = None, seconds: int = WEEK, messages_key: str = "messages"
) -> Callable[[Any], dict[str, Any]]:
    """Return a node that lets the last answer of a graph show the pictures drawn since the user's last message.

    It is for graphs of one's own; agents have `ImageGenerationMiddleware(show=…)`. What it adds must not reach the
    chat model: use it with `hide_pictures(model)`.

    Raises:
        OptionError: `form` is unknown, or the store gives no addresses.
    """
    from langchain_imagegen.storage.store import default_store

    display = Display(form, seconds)
    display.check(image_store or default_store())

    def shown(state: Any) -> dict[str, Any]:
        memory = ImageMemory.from_state(state, image_store=image_store, messages_key=messages_key)
        messages = messages_in(state, messages_key)
        answer = messages[-1] if messages else None
        if not isinstance(answer, AIMessage) or answer.tool_calls:
            return {}
        new = display.show(answer, images_found(since_user(messages), memory), memory)
        return {messages_key: [*display.renew(messages[:-1], memory).values(), new]}

    return shown


def latest(old: Any, new: Any) -> Any:
    """Return the later of two values: the reducer of a channel that several sub-agents may write in one step."""
    return old if new is None else new


def turn_begin(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return which message of the user was the last one, and how many images the channel held when it came."""
    noted = state.get(BEFORE)
    users = list(filter(is_users, messages_in(state)))
    asked = users[-1].id or len(users) if users else None  # deepagents gives no ids
    if asked is None or (noted and noted.get("message") == asked):
        return noted
    return {"message": asked, "images": len(channel_of(state))}


def images_of_turn(
    state: Mapping[str, Any], memory: ImageMemory, begun: Mapping[str, Any] | None
) -> list[GeneratedImage]:
    """Return the pictures drawn since the user's last message, in order.

    The messages show them, or the channel alone, as for a sub-agent whose messages stay with it.
    """
    told = list(images_found(since_user(messages_in(state)), memory))
    ids = list(channel_of(state))[begun["images"] if begun else None :] if begun else []
    recorded = [image for image in map(memory.get, filter(memory.__contains__, ids)) if image.origin != "user"]
    sources = {parent for image in (*told, *recorded) for parent in image.parents}
    new = (image for image in recorded if image.origin == "model" or image.id not in sources)
    return list({image.id: image for image in (*told, *new)}.values())


def images_found(messages: Iterable[object], memory: ImageMemory) -> Iterator[GeneratedImage]:
    """Yield the pictures in messages that the conversation knows, other than those of the user."""
    for found in found_in(messages, memory.image_store, sources=False):
        id = found.id if isinstance(found, GeneratedImage) else found["id"]
        if id in memory and memory.get(id).origin != "user":
            yield memory.get(id)


def messages_in(state: object, key: str | None = None) -> list[BaseMessage]:
    """Return the messages of a graph's state."""
    return [message for message in messages_of(state, key) if isinstance(message, BaseMessage)]


def since_user(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """Return the messages after the user's last one."""
    last = max((n for n, message in enumerate(messages) if is_users(message)), default=-1)
    return messages[last + 1 :]


def is_users(message: object) -> bool:
    """Return True if a message is the user's, and not a summary in the form of one."""
    return isinstance(message, HumanMessage) and message.additional_kwargs.get("lc_source") != "summarization"
