"""Turn the input of a call (text, fields, messages or pictures to edit) into one checked `Drawing`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.prompt_values import PromptValue, StringPromptValue
from pydantic import BaseModel

from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.conversation.messages import Conversation, read_conversation
from langchain_imagegen.conversation.references import Source, prepare_sources, resolve
from langchain_imagegen.conversation.states import messages_of
from langchain_imagegen.drawing.ladder import Drawing
from langchain_imagegen.drawing.masks import check_mask, resolve_mask
from langchain_imagegen.drawing.placed import Placed
from langchain_imagegen.drawing.presence import check_batch
from langchain_imagegen.drawing.settings import GeneratorSettings
from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.image import GeneratedImage, is_record
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.models import image_model
from langchain_imagegen.options.options import ImageOptions
from langchain_imagegen.options.request import ImageRequest
from langchain_imagegen.options.text import check_json, replace_surrogates
from langchain_imagegen.options.validation import listed
from langchain_imagegen.storage.store import ImageStore

if TYPE_CHECKING:
    from langchain_imagegen.drawing.around import Asked
    from langchain_imagegen.drawing.executions import Caller
    from langchain_imagegen.drawing.listeners import Listener

_NO_CONVERSATION = Conversation(turns=(), prompt="", images=(), earlier=())


def prepare(placed: Placed, fields: Mapping[str, Any], settings: GeneratorSettings, *, stream: bool) -> Drawing | Asked:
    """Return a prepared request: references resolved, local bytes in the store, options merged and checked.

    If an `around_image` function may still change it, it is only read, and `prepare_asked` prepares what it becomes.

    Raises:
        OptionError: The request can never work.
        UnknownImageError: A reference names no image.
    """
    with _returned(placed):
        check_batch()
        read, conversation = read_input(placed.given, settings.chosen_store)
        request = ImageRequest.parse(join_fields(read, fields))
        own = () if settings.around_image is None else (settings.around_image,)
        if not own and not placed.call.around:
            return _prepare(request, conversation, placed, settings, stream=stream)
        from langchain_imagegen.drawing.around import Asked

        request = request.override(options=settings.options.merge(request.options))
        around, listeners = (*placed.call.around, *own), listeners_of(placed, settings)
        return Asked(request, conversation, placed, settings.model, stream, around, listeners)


def listeners_of(placed: Placed, settings: GeneratorSettings) -> tuple[Listener, ...]:
    """Return the functions that are called with the partial pictures of a call."""
    return tuple(each for each in (settings.on_partial, placed.call.on_partial) if each is not None)


def prepare_asked(asked: Asked, request: ImageRequest, settings: GeneratorSettings) -> Drawing:
    """Return the prepared request that an `around_image` function calls for; see `prepare`."""
    with _returned(asked.placed):
        drawing = _prepare(request, asked.conversation, asked.placed, settings, stream=asked.stream)
    if drawing.key is not None:
        asked.keys.append(drawing.key)
    return drawing


@contextmanager
def _returned(placed: Placed) -> Generator[None]:
    """Give back the number of a call that cannot be made."""
    try:
        yield
    except BaseException:
        if placed.caller is not None:
            placed.caller.give_back()
        raise


def _prepare(
    request: ImageRequest, conversation: Conversation, placed: Placed, settings: GeneratorSettings, *, stream: bool
) -> Drawing:
    check_json(
        prompt=request.prompt,
        instructions=request.instructions,
        previous_response_id=request.previous_response_id,
        conversation=request.conversation,
        options=request.options.sent() if request.options else None,
    )
    options = settings.options.merge(request.options)
    listeners = listeners_of(placed, settings)
    stream = stream or bool(listeners and options.partial_images)
    sources = tuple(_resolve(request.images, settings))
    previous = _images_of(request.previous_response_id, settings.memory)
    mask, region = resolve_mask(
        request.mask, sources, previous, lambda named: _resolve(named, settings), settings.chosen_store
    )
    instructions = request.instructions or settings.instructions
    if settings.check_options:
        options.check(api=settings.api, mask=mask is not None, stream=stream)
    settings.chosen_store.check_writable()
    if settings.api == "images":
        _check_images_api(request, sources, conversation, instructions)
    elif mask is not None and region is None and settings.check_options:
        check_mask(mask, settings.chosen_store)
    drawing = replace(
        _without_input(settings, placed.place),
        prompt=request.prompt,
        options=_with_action(options, sources),
        fallbacks=tuple(_with_action(options.merge(other), sources) for other in settings.fallbacks),
        turns=conversation.turns,
        earlier=_prepare_earlier(conversation.earlier, sources, settings),
        sources=sources,
        mask=mask,
        region=region,
        previous_response_id=request.previous_response_id,
        previous=previous,
        conversation=request.conversation,
        instructions=instructions,
        stream=stream,
        edits=bool(sources) and options.action in (None, "edit"),
        allowance=placed.call.allowance,
        listeners=listeners,
    )
    once = settings.once if request.once is None else request.once
    return _named(drawing, str(once), placed.caller, settings, request) if once else drawing


def _named(
    drawing: Drawing, once: str, caller: Caller | None, settings: GeneratorSettings, request: ImageRequest
) -> Drawing:
    """Return a request with its key in the ledger. A stream answers it, since that tells the response id early."""
    if once == "auto" and caller is None:
        return drawing
    from langchain_imagegen.drawing.once import key_of

    key = key_of(drawing, once, caller, settings.namespace, regenerate=request.regenerate)
    return replace(drawing, key=key, stream=drawing.stream or drawing.api == "responses")


def prepare_resumed(response_id: str, place: int | None, settings: GeneratorSettings) -> Drawing:
    """Return the request for a response that was begun before.

    Raises:
        OptionError: There is no id, as in the error of a call whose answer had not begun.
    """
    if not isinstance(response_id, str) or not response_id.strip():
        raise OptionError(
            f"response_id={response_id!r} names no response, so nothing can be fetched. An error has no id if its "
            "answer had not begun; delivery='stream' or 'background' tells the id early"
        )
    check_json(response_id=response_id)
    settings.chosen_store.check_writable()
    return replace(_without_input(settings, place), resumed=response_id)


def _without_input(settings: GeneratorSettings, place: int | None) -> Drawing:
    """Return a request with what the settings say and no prompt."""
    return Drawing(
        model=settings.model,
        prompt="",
        options=settings.options,
        provider=settings.provider,
        api=settings.api,
        tool_choice=_tool_choice(settings.tool_choice),
        store=settings.store,
        reference=settings.reference,
        background=settings.delivery == "background",
        patience=settings.patience,
        max_retries=settings.max_retries,
        max_wait=settings.max_wait,
        check_options=settings.check_options,
        reasoning=settings.reasoning,
        model_kwargs=settings.model_kwargs,
        place=place,
    )


def _resolve(references: list[Any], settings: GeneratorSettings) -> list[Source]:
    sources = resolve(references, settings.memory, settings.chosen_store)
    return prepare_sources(sources, settings.chosen_store) if settings.prepare else sources


def _prepare_earlier(
    earlier: tuple[GeneratedImage, ...], sources: tuple[Source, ...], settings: GeneratorSettings
) -> tuple[GeneratedImage, ...]:
    """Return the images of earlier turns; the latest one that is no source goes along, and is prepared for it."""
    asked = {source.id for source in sources if isinstance(source, GeneratedImage)}
    unasked = {image.id: image for image in earlier if image.id not in asked}
    if not settings.prepare or not unasked:
        return earlier
    latest = list(unasked.values())[-1]
    (sent,) = prepare_sources([latest], settings.chosen_store)
    return tuple(sent if isinstance(sent, GeneratedImage) and image.id == latest.id else image for image in earlier)


def _check_images_api(
    request: ImageRequest, sources: tuple[Source, ...], conversation: Conversation, instructions: str | None
) -> None:
    given = {
        "images": sources,
        "mask": request.mask,
        "previous_response_id": request.previous_response_id,
        "conversation": request.conversation,
        "instructions": instructions,
        "earlier messages": conversation.turns,
    }
    if refused := [name for name, value in given.items() if value]:
        raise OptionError(f'api="images" only draws a prompt: for {listed(refused, "and")} use api="responses"')


def _with_action(options: ImageOptions, sources: tuple[Source, ...]) -> ImageOptions:
    """Return the options with `action="edit"` if there are sources and no action; not for unknown image models."""
    if not sources or options.action or not options.model or image_model(options.model) is None:
        return options
    return options.merge({"action": "edit"})


def _tool_choice(choice: Any) -> Any:
    return {"type": choice} if choice == "image_generation" else choice


def _images_of(response_id: str | None, memory: ImageMemory | None) -> tuple[GeneratedImage, ...]:
    if response_id is None or memory is None:
        return ()
    return tuple(image for image in memory if image.response_id == response_id)


def read_input(given: Any, store: ImageStore) -> tuple[dict[str, Any], Conversation]:
    """Return the request fields of an input, and the earlier turns of its conversation."""
    if isinstance(given, ImageRequest):
        return {name: getattr(given, name) for name in given.model_fields_set}, _NO_CONVERSATION
    if isinstance(given, (str, StringPromptValue)):
        return {"prompt": given if isinstance(given, str) else given.text}, _NO_CONVERSATION
    if isinstance(given, (ImageResult, GeneratedImage)) or is_record(given):
        return {"images": [given]}, _NO_CONVERSATION
    if isinstance(given, (list, tuple)) and given and isinstance(given[0], (ImageResult, GeneratedImage)):
        return {"images": list(given)}, _NO_CONVERSATION
    messages = _messages_of(given)
    if messages is not None:
        return _read_messages(messages, store)
    if isinstance(given, Mapping):
        return dict(given), _NO_CONVERSATION
    if isinstance(given, BaseModel):  # the user's own model with the same fields, for example from structured output
        values = {name: getattr(given, name) for name in type(given).model_fields}
        return {name: value for name, value in values.items() if value is not None}, _NO_CONVERSATION
    raise OptionError(
        f"an ImageGenerator cannot draw a {type(given).__name__}: give a str, a dict of request fields, an "
        "ImageRequest, a prompt value, messages, an ImageResult or a GeneratedImage"
    )


def _messages_of(given: Any) -> Any:
    """Return the messages of an input, or None if it is not made of messages."""
    if isinstance(given, PromptValue):
        return given.to_messages()
    if isinstance(given, BaseMessage):
        return [given if isinstance(given, HumanMessage) else HumanMessage(given.content)]
    if isinstance(given, (list, tuple)) and given:
        return given
    if isinstance(given, Mapping):  # a graph's state: the generator is a node
        return messages_of(given, None) if "messages" in given and not given.keys() & {"prompt", "images"} else None
    return messages_of(given, None) if hasattr(given, "messages") else None


def join_fields(read: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request fields of an input combined with those of the call or of `bind`; `images` add up.

    Raises:
        OptionError: Another field is given twice.
    """
    both = [name for name in fields if read.get(name) and name != "images"]
    if both:
        raise OptionError(
            *(f"{name} is given twice: as input {read[name]!r} and as argument {fields[name]!r}" for name in both)
        )
    images = [*_as_list(read.get("images")), *_as_list(fields.get("images"))]
    return {**read, **fields, **({"images": images} if images else {})}


def _read_messages(messages: Any, store: ImageStore) -> tuple[dict[str, Any], Conversation]:
    conversation = read_conversation(messages, store)
    return {"prompt": replace_surrogates(conversation.prompt), "images": list(conversation.images)}, conversation


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
