"""What a chain or a cell gives, as the fields of one request: text, fields, messages, or pictures to edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.prompt_values import PromptValue, StringPromptValue

from langchain_imagegen.conversation.messages import Conversation, read_conversation
from langchain_imagegen.conversation.references import Source
from langchain_imagegen.conversation.states import messages_of
from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.image import GeneratedImage, is_record
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.request import ImageRequest
from langchain_imagegen.storage.store import ImageStore

_ALONE = Conversation(turns=(), prompt="", images=(), earlier=())


def read_input(given: Any, store: ImageStore) -> tuple[dict[str, Any], Conversation]:
    """Any input of the runnable as fields of a request, and the earlier turns that it holds."""
    if isinstance(given, ImageRequest):
        return {name: getattr(given, name) for name in given.model_fields_set}, _ALONE
    if isinstance(given, (str, StringPromptValue)):
        return {"prompt": given if isinstance(given, str) else given.text}, _ALONE
    if isinstance(given, PromptValue):
        return _of_messages(given.to_messages(), store)
    if isinstance(given, BaseMessage):
        return _of_messages([given if isinstance(given, HumanMessage) else HumanMessage(given.content)], store)
    if isinstance(given, (ImageResult, GeneratedImage)) or is_record(given):
        return {"images": [given]}, _ALONE
    if isinstance(given, (list, tuple)) and given:
        if isinstance(given[0], (ImageResult, GeneratedImage)):
            return {"images": list(given)}, _ALONE
        return _of_messages(given, store)
    if isinstance(given, Mapping) and ("messages" not in given or given.keys() & {"prompt", "images"}):
        return dict(given), _ALONE
    if isinstance(given, Mapping) or hasattr(given, "messages"):  # a graph's state, where this is a node
        return _of_messages(messages_of(given, None), store)
    raise OptionError(
        f"an ImageGenerator cannot draw a {type(given).__name__}: give a str, a dict of request fields, an "
        "ImageRequest, a prompt value, messages, an ImageResult or a GeneratedImage"
    )


def joined(read: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The request fields of an input with those of the call or of `bind`.

    Raises:
        OptionError: a field is given twice; only `images` add up.
    """
    both = [name for name in fields if read.get(name) and name != "images"]
    if both:
        raise OptionError(
            *(f"{name} is given twice: as input {read[name]!r} and as argument {fields[name]!r}" for name in both)
        )
    images = [*_several(read.get("images")), *_several(fields.get("images"))]
    return {**read, **fields, **({"images": images} if images else {})}


def _of_messages(messages: Any, store: ImageStore) -> tuple[dict[str, Any], Conversation]:
    conversation = read_conversation(messages, store)
    return {"prompt": conversation.prompt, "images": list(conversation.images)}, conversation


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def one_of(sources: list[Source]) -> Source:
    """The image that a mask names.

    Raises:
        OptionError: there are none or several.
    """
    if len(sources) != 1:
        raise OptionError(f"mask must name one image, it names {len(sources)}")
    return sources[0]
