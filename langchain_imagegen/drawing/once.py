"""Which call it is: the key under which the ledger notes the picture that a call bought.

A key is the SHA-256 of

- the namespace: accounts, services and applications that share an image store buy their own pictures;
- the name that `once=` gives the call by hand, and then nothing else: it is that picture, whatever the request says;
- or else the thread id: without one nothing tells two calls apart, and nothing is looked up;
- the ids of message and tool call if a chat model asks for the picture. They are in the state, so that resumed runs,
  replays and branches have them too;
- or else the step of the run and the number of the equal call in it, as `executions` explains;
- the digest of the request: edited arguments of a tool call are another call.

The digest is that of the resolved request, with the pictures to edit named by the digests of their bytes, so that it
stays the same when the service loses an id. How the answer comes (`delivery`, partial pictures) is no part of it.
A reference such as `"last"` is resolved first. In a graph that keeps its images in its state it means the same picture
again; with an `ImageMemory` that several steps share it may not.
"""

from __future__ import annotations

import hashlib
import json

from langchain_imagegen.conversation.references import Source
from langchain_imagegen.drawing.executions import Caller, Key, numbers_of
from langchain_imagegen.drawing.ladder import Drawing
from langchain_imagegen.images.image import GeneratedImage


def key_of(drawing: Drawing, once: str, caller: Caller | None, namespace: str, *, regenerate: bool) -> Key | None:
    """Return the key of a call; None if it cannot be told from others."""
    request = digest_of(drawing)
    if once != "auto":
        return Key(_digest(namespace, "by hand", once), request, by_hand=once, regenerate=regenerate, caller=caller)
    if caller is None:
        return None
    thread = caller.step.thread
    if caller.tool_call is not None:
        name = _digest(namespace, "tool call", thread, *caller.tool_call, request)
        return Key(name, request, regenerate=regenerate, caller=caller)
    number = numbers_of(caller.step).take(request, caller.rank)

    def name_at(place: str) -> str:
        return _digest(namespace, "step", thread, place, request, number)

    original = caller.step.original and name_at(caller.step.original)
    name = name_at(caller.step.place)
    return Key(name, request, original, regenerate=regenerate, caller=caller, number=number)


def digest_of(drawing: Drawing) -> str:
    """Return the digest of a resolved request, which does not depend on how its pictures are named."""
    options = drawing.options.sent()
    options.pop("partial_images", None)
    fields = {
        "api": drawing.api,
        "model": drawing.model,
        "prompt": drawing.prompt,
        "options": options,
        "turns": drawing.turns,
        "earlier": [_named(image) for image in drawing.earlier],
        "sources": [_named(source) for source in drawing.sources],
        "mask": _mask_of(drawing),
        "tool_choice": drawing.tool_choice,
        "previous_response_id": drawing.previous_response_id,
        "conversation": drawing.conversation,
        "instructions": drawing.instructions,
        "store": drawing.store,
        "reasoning": drawing.reasoning,
        "model_kwargs": drawing.model_kwargs,
    }
    return _digest(fields)


def _mask_of(drawing: Drawing) -> object:
    """Return what tells a mask from others: its region, whose bytes differ between versions of Pillow, or its name."""
    if drawing.region is not None:
        return drawing.region.model_dump(mode="json")
    return _named(drawing.mask) if drawing.mask else None


def _named(source: Source) -> str:
    if isinstance(source, GeneratedImage):
        return source.sha256
    return source.call_id or source.file_id or source.url or ""


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
