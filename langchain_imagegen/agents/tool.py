"""`ImageGenerationTool`: drawing as a tool for any agent's model.

What the chat model reads of a result stands here; its arguments stand in `arguments`, and drawing in the generator.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config
from langchain_core.tools import BaseTool, InjectedToolArg, ToolException
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
)

from langchain_imagegen.agents.addresses import Addresses
from langchain_imagegen.agents.arguments import EXPOSED, arguments, refusal
from langchain_imagegen.agents.wording import without_paths
from langchain_imagegen.conversation.channel import CHANNEL, as_update, images_of_result
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.drawing.generator import ImageGenerator
from langchain_imagegen.errors import (
    AuthenticationError,
    ImageGenerationError,
    ImageStoreError,
    OptionError,
    OrganizationNotVerifiedError,
    QuotaError,
    RateLimitError,
    UnknownImageError,
)
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.options import drop_compression
from langchain_imagegen.options.text import replace_surrogates

if TYPE_CHECKING:
    from langchain_imagegen.drawing.request import FromToolCall

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Draw a picture from a prompt, or edit and combine pictures of this conversation. Say "draw" or "edit" in the prompt \
and describe the whole picture that is wanted. To edit, name the pictures in `images` by their handles (img_…) or \
"last". To combine, write for example "edit the first image by adding the hat of the second"; do not write "merge" or \
"combine". The picture is shown to the user by itself: do not make up a link to it."""

LONGEST_PROMPT = 400  # characters of a revised prompt that a chat model is told
LONGEST_REFERENCE = 200  # characters; every handle and id is shorter, a data URL is not
SHOWN_EDGE = 512  # pixels of the longer edge of a picture shown to the chat model

_IN_VAIN = "Do not try again: tell the user that no pictures can be drawn at the moment."
_TELL_THE_USER = "Do not try again: tell the user, with the id of the response if there is one."
_PERHAPS_PAID = "Ask the user before trying again: the picture may already have been paid for."
_ADVICE: tuple[tuple[type[ImageGenerationError], str], ...] = (
    (QuotaError, _IN_VAIN),
    (OrganizationNotVerifiedError, _IN_VAIN),
    (AuthenticationError, _IN_VAIN),
    (ImageStoreError, _IN_VAIN),
    (RateLimitError, "Wait before trying again, and ask for one picture at a time."),
    (OptionError, "Correct the arguments and call again."),
)


class ImageGenerationTool(BaseTool):
    """Draws and edits pictures for an agent, whichever chat model it runs on.

    The model gets typed arguments and one short JSON text back; the message's artifact is `ImageResult.record()`,
    plain JSON without bytes. In a graph whose state has the channel `generated_images` the pictures are recorded there,
    and the sources of an edit there alone unless a way of naming them has failed.

    Args:
        generator: Draws the pictures, with the options that the model cannot change; made on first use if `None`.
        exposed: Names of the options that the model may choose.
        note: What the model is told beside the handles.
        allow_urls: Whether the model may name pictures by web address; see `addresses` for which are fetched.
        show_to_model: Whether the message also shows the picture, downscaled, to a model that can see; needs Pillow.
        mask: Confines edits to a part of the first image: any reference to a picture that is transparent where to edit,
            or a function that gives one, or `None`, of LangGraph's runtime (`runtime.state`, `runtime.context`; outside
            a graph the runtime is `None`). Drawing afresh has no mask.
        url_for: Gives a link for a picture, which goes into content and artifact; if it fails, the result says so.
        trust: `"channel"` believes the state's channel alone, not the messages; for servers whose clients write those.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = "generate_image"
    description: str = DESCRIPTION
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_tool_error: bool | str | Callable[[ToolException], str] | None = True

    generator: ImageGenerator | None = None
    exposed: tuple[str, ...] = EXPOSED
    note: str = "The image is attached for the user."
    allow_urls: bool = False
    show_to_model: bool = False
    mask: Any = Field(default=None, repr=False)
    url_for: Callable[[GeneratedImage], str] | None = None
    trust: Literal["all", "channel"] = "all"

    _made: ImageGenerator | None = PrivateAttr(default=None)

    def __init__(self, *, exposed: Iterable[str] = EXPOSED, allow_urls: bool = False, **fields: Any) -> None:
        exposed = tuple(exposed)
        schema = fields.setdefault("args_schema", arguments(exposed, urls=allow_urls))
        fields.setdefault("handle_validation_error", partial(refusal, schema=schema))
        super().__init__(exposed=exposed, allow_urls=allow_urls, **fields)

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        """Return a function that makes the tool again, for `pickle`, which cannot hold a schema made at run time."""
        made = {"args_schema"} if getattr(self.args_schema, "__module__", "") == arguments.__module__ else set()
        if isinstance(self.handle_validation_error, partial) and self.handle_validation_error.func is refusal:
            made.add("handle_validation_error")
        fields = {name: getattr(self, name) for name in self.model_fields_set - made}
        return partial(type(self), **fields), ()

    def _run(
        self,
        prompt: str,
        images: list[str] | None = None,
        *,
        runtime: Annotated[Any, InjectedToolArg] = None,
        config: RunnableConfig,
        run_manager: CallbackManagerForToolRun | None = None,
        **options: Any,
    ) -> tuple[Any, dict[str, Any] | None]:
        try:
            request, ignored = self._request(prompt, self._addresses().fetch(images), options, runtime)
            result = self._generator().invoke(request, child(config, run_manager))
            result = warned(result, ignored)
            return self._answer(result, runtime)
        except ImageGenerationError as error:
            raise ToolException(advice(error)) from error

    async def _arun(
        self,
        prompt: str,
        images: list[str] | None = None,
        *,
        runtime: Annotated[Any, InjectedToolArg] = None,
        config: RunnableConfig,
        run_manager: AsyncCallbackManagerForToolRun | None = None,
        **options: Any,
    ) -> tuple[Any, dict[str, Any] | None]:
        try:
            named = await self._addresses().afetch(images)
            request, ignored = await asyncio.to_thread(self._request, prompt, named, options, runtime)
            result = await self._generator().ainvoke(request, child(config, run_manager))
            result = warned(result, ignored)
            return await asyncio.to_thread(self._answer, result, runtime)
        except ImageGenerationError as error:
            raise ToolException(advice(error)) from error

    def _request(
        self, prompt: str, images: Iterable[str | GeneratedImage], options: Mapping[str, Any], runtime: Any
    ) -> tuple[FromToolCall, tuple[str, ...]]:
        """Return the request for the generator, and a warning about each option that is left out of it.

        Handles are looked up in this conversation alone.
        """
        from langchain_imagegen.drawing.request import FromToolCall  # imports are to be quick

        memory = self._memory(runtime)
        named = [each if isinstance(each, GeneratedImage) else memory.get(each[:LONGEST_REFERENCE]) for each in images]
        chosen = {name: replace_surrogates(value) for name, value in options.items() if value is not None}
        chosen, ignored = drop_compression(self._generator().options, chosen)
        mask = self._mask(runtime, memory) if named else None
        request = {"prompt": replace_surrogates(prompt), "images": named, "mask": mask, "options": chosen}
        return FromToolCall(request, *ids_of_call(runtime)), ignored

    def _addresses(self) -> Addresses:
        return Addresses(self._generator().chosen_store, allowed=self.allow_urls)

    def _mask(self, runtime: Any, memory: ImageMemory) -> Any:
        try:
            mask = self.mask(runtime) if callable(self.mask) else self.mask
        except Exception as error:  # it is the caller's function, and siblings must not be cancelled by it
            raise UnknownImageError(f"the mask could not be made ({type(error).__name__})") from error
        return memory.get(mask) if isinstance(mask, str) and mask in memory else mask

    def _memory(self, runtime: Any) -> ImageMemory:
        state, generator = state_of(runtime), self._generator()
        if state is not None:
            return ImageMemory.from_state(state, image_store=generator.image_store, trust=self.trust)
        return ImageMemory() if generator.memory is None else generator.memory

    def _answer(self, result: ImageResult, runtime: Any) -> tuple[Any, dict[str, Any] | None]:
        """Return content and artifact, or one `Command` for a graph whose state has the channel.

        Never return a list: other people's `wrap_tool_call` takes a `ToolMessage` or a `Command` and fails on
        anything else, after the picture is paid for.
        """
        links, result = beside(result, self.url_for, "link")
        views, result = beside(result, view if self.show_to_model else None, "view")
        content, artifact = self._content(result, links, views), result.record()
        for record, link in zip(artifact["images"], links, strict=False):
            record["url"] = link
        state, call_id = state_of(runtime), getattr(runtime, "tool_call_id", None)
        key = messages_key(state, call_id)
        if key is None or not keeps_images(state):
            return content, artifact
        # The channel has the sources, and a checkpoint repeats each message at every step. But an agent within a graph
        # reads the messages alone, and must not try a dead rung again.
        artifact["sources"] = [record for record in artifact["sources"] if record.get("dead_rungs")]
        message = ToolMessage(content, artifact=artifact, tool_call_id=call_id, name=self.name)
        return _command({key: [message], CHANNEL: as_update(images_of_result(result))}), None

    def _content(self, result: ImageResult, links: list[Any], views: list[Any]) -> Any:
        text = content_of(result, self.note, links)
        return [{"type": "text", "text": text}, *filter(None, views)] if self.show_to_model else text

    def _generator(self) -> ImageGenerator:
        if self.generator is not None:
            return self.generator
        if self._made is None:
            self._made = ImageGenerator()
        return self._made


def warned(result: ImageResult, warnings: tuple[str, ...]) -> ImageResult:
    """Return the result with more warnings."""
    return result.model_copy(update={"warnings": (*result.warnings, *warnings)}) if warnings else result


def content_of(result: ImageResult, note: str, links: Iterable[str]) -> str:
    """Return what the chat model reads of a result: short JSON."""
    told = [_entry_of(image) for image in result.images]
    for entry, link in zip(told, links, strict=False):
        entry["url"] = link
    content: dict[str, Any] = {"images": told}
    if note:
        content["note"] = note
    if result.failures:
        content["failed"] = [without_paths(failure.message)[:LONGEST_PROMPT] for failure in result.failures]
    if result.warnings:
        content["warnings"] = [without_paths(warning)[:LONGEST_PROMPT] for warning in result.warnings]
    return json.dumps(content, ensure_ascii=False)


def beside(
    result: ImageResult, make: Callable[[GeneratedImage], Any] | None, what: str
) -> tuple[list[Any], ImageResult]:
    """Return what `make` returns for each picture, and the result.

    If `make` raises, the result keeps its pictures, which are paid for, and carries a warning.
    """
    if make is None:
        return [], result
    try:
        return [make(image) for image in result.images], result
    except Exception as error:  # noqa: BLE001 - it is the caller's function, and may raise anything
        logger.warning("there is no %s of a picture, it could not be made: %r", what, error)
        warning = f"there is no {what}, it could not be made ({type(error).__name__})"
        return [], warned(result, (warning,))


def view(image: GeneratedImage) -> dict[str, Any] | None:
    """Return a picture as a downscaled image block; None for SVG, which Pillow cannot read."""
    if image.mime_type == "image/svg+xml":
        return None
    picture = image.to_pil().convert("RGB")
    picture.thumbnail((SHOWN_EDGE, SHOWN_EDGE))
    data = io.BytesIO()
    picture.save(data, format="JPEG", quality=80)
    return {"type": "image", "base64": base64.b64encode(data.getvalue()).decode(), "mime_type": "image/jpeg"}


def advice(error: ImageGenerationError) -> str:
    """Return an error in words that a chat model can act on."""
    if isinstance(error, ImageStoreError) and error.result is not None:
        return _advice_on_unsaved(error)
    told = next((words for kind, words in _ADVICE if isinstance(error, kind)), "")
    if error.may_be_billed and not told:
        told = _PERHAPS_PAID
    return f"No picture was made: {without_paths(str(error)).rstrip('. ')}. {told}".strip()


def _advice_on_unsaved(error: ImageStoreError) -> str:
    """Return what the chat model reads if pictures were paid for and cannot be stored."""
    why = without_paths(str(error.__cause__ or error)).rstrip(". ")
    kept = error.response_id
    where = f" The service keeps it as response {kept}, from which a developer can fetch it." if kept else ""
    return f"The picture was drawn and paid for, but cannot be stored: {why}.{where} {_TELL_THE_USER}"


def child(config: RunnableConfig, run_manager: Any) -> RunnableConfig:
    """Return the configuration of a run that is a child of the tool's own run."""
    return patch_config(config, callbacks=run_manager.get_child() if run_manager else None)


def state_of(runtime: Any) -> Any:
    """Return the graph's state; None without a graph, and for a `runtime` that a model made up."""
    state = getattr(runtime, "state", None)
    return {"messages": state} if isinstance(state, list) else state


def keeps_images(state: Any) -> bool:
    """Return True if a graph's state has the channel for images."""
    return CHANNEL in state if isinstance(state, Mapping) else hasattr(state, CHANNEL)


def messages_key(state: Any, call_id: str | None) -> str | None:
    """Return the state's key whose messages make a tool call; None without a graph or if no messages make it.

    `ToolNode` takes an update only if it holds the answer under the key of the messages that it was given.
    """
    values = state if isinstance(state, Mapping) else getattr(state, "__dict__", {})
    keys = sorted(values, key=lambda key: key != "messages")  # another key may hold a copy of the messages
    return next((key for key in keys if call_id and _message_of_call(values[key], call_id)), None)


def ids_of_call(runtime: Any) -> tuple[str | None, str | None]:
    """Return the ids of the message that makes a tool call and of the call, as far as a graph tells them."""
    state, call_id = state_of(runtime), getattr(runtime, "tool_call_id", None)
    key = messages_key(state, call_id)
    if key is None:
        return None, call_id
    messages = state[key] if isinstance(state, Mapping) else getattr(state, key)
    return getattr(_message_of_call(messages, str(call_id)), "id", None), call_id


def _message_of_call(messages: Any, call_id: str) -> AIMessage | None:
    said = reversed(messages) if isinstance(messages, list) else ()
    made = (m for m in said if isinstance(m, AIMessage) and any(call["id"] == call_id for call in m.tool_calls))
    return next(made, None)


def _entry_of(image: GeneratedImage) -> dict[str, Any]:
    size = f"{image.width}x{image.height}" if image.width else image.size
    told = {"handle": image.handle, "revised_prompt": (image.revised_prompt or "")[:LONGEST_PROMPT], "size": size}
    return {key: value for key, value in told.items() if value}


def _command(update: dict[str, Any]) -> Any:
    from langgraph.types import Command

    return Command(update=update)
