"""Pictures added to messages for the eyes of the user, and taken out again before a chat model reads them.

Each picture has an address whose fragment, `#imagegen:img_1a2b3c4d`, says which picture it is and that it was added
here. The fragment never reaches a server, and stays with the address through checkpoints and front ends, which may drop
any other mark. No chat model sees it, so none can write it. Pure: addresses come from the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_imagegen.images.image import GeneratedImage

Form = Literal["markdown", "image_url", "image"]
"""How a picture is added: as Markdown text, as OpenAI's `image_url` part, or as a v1 `image` block with its `url`."""

WEEK = 7 * 24 * 3600
"""Seconds for which addresses are signed, unless told otherwise: the longest that Amazon S3 signs for."""

Message = TypeVar("Message", bound=BaseMessage)

_LONGEST_ALT = 100  # characters of a prompt that stand for a picture that cannot be loaded
_SIGN = "#imagegen:"
_MARK = r"#imagegen:(?P<handle>img_[0-9a-f]{4,64})(?:@(?P<until>\d{1,12}))?"
_BORDERS = frozenset(" \t\r\n()<>\"'")  # of an address in a text
_MARKED = re.compile(rf"{_MARK}\Z")
_MARKDOWN = re.compile(
    rf"(?:\n\n)?!\[[^\[\]]*\]\(\s*<?(?P<address>[^\s()<>]*?){_MARK}>?(?:\s+[\"'(][^\n]*?[\"')])?\s*\)"
)
_XML = re.compile(
    rf"\s?<image\b[^<>]*{_MARK}[^<>]*/?>"
)  # as LangChain writes a picture into the text of a conversation
_SUMMARY = "summarization"


@dataclass(frozen=True)
class Link:
    """An address of the picture that a handle names.

    Args:
        handle: The picture.
        url: The address, without a fragment.
        until: The second of the epoch at which it stops working; `None`: never, as far as known.
    """

    handle: str
    url: str
    until: int | None = None

    @classmethod
    def of(cls, handle: str, url: str, until: int | None = None) -> Link:
        """Return the link of an address, without the characters that would end it in Markdown."""
        url = re.sub(r"[\s()<>\\\"']", lambda found: f"%{ord(found[0]):02X}", url.partition("#")[0])
        return cls(handle, url, until)

    def __str__(self) -> str:
        return f"{self.url}{_SIGN}{self.handle}{'' if self.until is None else f'@{self.until}'}"


def with_pictures(message: AIMessage, pictures: Iterable[tuple[GeneratedImage, Link]], form: Form) -> AIMessage:
    """Return an answer that also shows these pictures; those that it already shows are not added again."""
    known = {link.handle for link in links_in(message)}
    new = {link.handle: (image, link) for image, link in pictures if link.handle not in known}
    if not new:
        return message
    if form == "markdown":
        texts = [f"![{_alt(image)}]({link})" for image, link in new.values()]
        if isinstance(message.content, str):
            return _with(message, "\n\n".join(filter(None, [message.content, *texts])))
        return _with(message, [*message.content, *({"type": "text", "text": f"\n\n{text}"} for text in texts)])
    own: list[Any] = [{"type": "text", "text": message.content}] if isinstance(message.content, str) else []
    own = [block for block in own if block["text"]] if own else list(message.content)
    return _with(message, [*own, *(_block(image, str(link), form) for image, link in new.values())])


def without_pictures(message: Message) -> Message:
    """Return a message as a chat model reads it: without the pictures that were added, everything else as it is.

    The answer of a sub-agent, which comes as a tool's message, names a picture by its handle in place of the picture.
    What a user writes or attaches stays, but for the marks in its addresses, so that no answer can repeat them.
    """
    parts = [message.content] if isinstance(message.content, str) else message.content
    if not any(_SIGN in (_text(part) or _address(part)) for part in parts):
        return message
    if isinstance(message, HumanMessage) and message.additional_kwargs.get("lc_source") != _SUMMARY:
        return _with(message, _each(message, _unmarked_part))
    named = isinstance(message, ToolMessage)
    content = _each(message, lambda part: _part_without_pictures(part, named=named))
    return _with(message, content if isinstance(content, str) else _unwrapped(content))


def without_pictures_in_text(text: str, *, named: bool = False) -> str:
    """Return a text, such as a conversation to be summarized, without the pictures that were added to its messages.

    Args:
        text: The text.
        named: Whether the handle of a picture stands in its place.
    """
    if _SIGN not in text:
        return text
    text = _MARKDOWN.sub(lambda found: f" ({found['handle']})" if named else "", text)
    return _without_addresses(_XML.sub("", text))


def links_in(message: BaseMessage) -> list[Link]:
    """Return the links of the pictures that were added to a message."""
    found: list[Link] = []
    for part in [message.content] if isinstance(message.content, str) else message.content:
        if (text := _text(part)) is not None:
            found += map(_link, _MARKDOWN.finditer(text))
        elif marked := _MARKED.search(_address(part)):
            found.append(_link(marked, _address(part)[: marked.start()]))
    return found


def with_fresh_links(message: Message, fresh: Callable[[Link], Link | None]) -> Message:
    """Return a message whose pictures have other addresses.

    Args:
        message: The message; it is not changed.
        fresh: Gives the link for one of its links: the same one to leave it, `None` to take the picture out.
    """
    chosen = {link: fresh(link) for link in links_in(message)}
    if all(new == old for old, new in chosen.items()):
        return message

    def in_text(found: re.Match[str]) -> str:
        new = chosen[_link(found)]
        return "" if new is None else found[0].replace(str(_link(found)), str(new))

    def in_part(part: Any) -> Any:
        if (text := _text(part)) is not None:
            return _filled(part, text, _MARKDOWN.sub(in_text, text))
        if not (marked := _MARKED.search(_address(part))):
            return part
        new = chosen[_link(marked, _address(part)[: marked.start()])]
        return None if new is None else _with_address(part, str(new))

    return _with(message, _each(message, in_part))


def _each(message: BaseMessage, change: Callable[[Any], Any]) -> Any:
    """Return the content of a message with each part changed; parts for which `change` gives `None` are left out."""
    if isinstance(message.content, str):
        return change(message.content)
    return [part for part in map(change, message.content) if part is not None]


def _unmarked_part(part: Any) -> Any:
    """Return a part of a user's message with addresses that end with the handle alone."""
    if (text := _text(part)) is not None:
        return _with_text(part, re.sub(_MARK, lambda found: f"#{found['handle']}", text))
    return _with_address(part, re.sub(_MARK, "", address)) if _SIGN in (address := _address(part)) else part


def _part_without_pictures(part: Any, *, named: bool) -> Any:
    if (text := _text(part)) is not None:
        return _filled(part, text, without_pictures_in_text(text, named=named))
    marked = _MARKED.search(_address(part))
    if not marked:
        return part
    return {"type": "text", "text": f"({marked['handle']})"} if named else None


def _without_addresses(text: str) -> str:
    """Return a text with the handle in place of each marked address that somebody put into another form."""
    kept, done = [], 0
    for found in re.finditer(_MARK, text):
        start = found.start()
        while start > done and text[start - 1] not in _BORDERS:
            start -= 1
        kept += [text[done:start], found["handle"]]
        done = found.end()
    return "".join([*kept, text[done:]])


def _unwrapped(blocks: Sequence[Any]) -> Any:
    """Return plain text as the text that it was before a picture was put beside it."""
    match blocks:
        case []:
            return ""
        case [{"type": "text", "text": str(text), **rest}] if not rest:
            return text
    return list(blocks)


def _block(image: GeneratedImage, url: str, form: Form) -> dict[str, Any]:
    if form == "image_url":  # with this detail the counters of tokens do not fetch the picture
        return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    return {"type": "image", "url": url, "mime_type": image.mime_type}


def _link(found: re.Match[str], address: str | None = None) -> Link:
    until = found["until"]
    return Link(found["handle"], found["address"] if address is None else address, int(until) if until else None)


def _alt(image: GeneratedImage) -> str:
    """Return what stands for a picture that cannot be loaded, without characters that mean something in Markdown."""
    words = re.sub(r"[\[\]\\`<>!\s]+", " ", image.prompt or image.revised_prompt or "").strip()
    return words[:_LONGEST_ALT].rstrip() or image.handle


def _text(part: Any) -> str | None:
    """Return the text of a part of a message; None for a part that is not text."""
    if isinstance(part, str):
        return part
    text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None
    return text if isinstance(text, str) else None


def _with_text(part: Any, text: str) -> Any:
    return text if isinstance(part, str) else {**part, "text": text}


def _filled(part: Any, old: str, new: str) -> Any:
    """Return a part with other text; None for a block that loses all of it, since services refuse empty blocks."""
    return _with_text(part, new) if new or not old or isinstance(part, str) else None


def _address(part: Any) -> str:
    """Return the address of a picture block; empty for any other part."""
    if not isinstance(part, Mapping):
        return ""
    url = part.get(_key_of_address(part))
    url = url.get("url") if isinstance(url, Mapping) else url
    return url if isinstance(url, str) else ""


def _with_address(part: Mapping[str, Any], url: str) -> dict[str, Any]:
    key = _key_of_address(part)
    return {**part, key: {**part[key], "url": url} if isinstance(part[key], Mapping) else url}


def _key_of_address(part: Mapping[str, Any]) -> str:
    return {"image_url": "image_url", "image": "url"}.get(str(part.get("type")), "")


def _with(message: Message, content: Any) -> Message:
    return message.model_copy(update={"content": content})
