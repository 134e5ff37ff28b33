"""`ImageGenerationTool`: drawing as a tool for any agent's model.

Its arguments stand in `arguments`, what the chat model reads of a result in `tool_answer`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config
from langchain_core.tools import BaseTool, InjectedToolArg, ToolException
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
)

from langchain_imagegen.agents.addresses import Addresses
from langchain_imagegen.agents.arguments import EXPOSED, REGION, arguments, refusal, region_of
from langchain_imagegen.agents.budget import Budget, Limits, Register
from langchain_imagegen.agents.events import ImageEvent
from langchain_imagegen.agents.progress import Emitter, Partials, Progress, count_of
from langchain_imagegen.agents.runtime import ids_of_call, keeps_images, messages_key, state_of
from langchain_imagegen.agents.tool_answer import advice, beside, content_of, view, warned
from langchain_imagegen.conversation.channel import CHANNEL, as_update, images_of_result
from langchain_imagegen.conversation.display import WEEK, Form
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.drawing.generator import ImageGenerator
from langchain_imagegen.errors import ImageGenerationError, OptionError, UnknownImageError
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.options import drop_compression
from langchain_imagegen.options.text import replace_surrogates

if TYPE_CHECKING:
    from langchain_imagegen.agents.tool_fields import ToolFields
    from langchain_imagegen.agents.ui import UiMessages
    from langchain_imagegen.drawing.placed import FromToolCall

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Draw a picture from a prompt, or edit and combine pictures of this conversation. Say "draw" or "edit" in the prompt \
and describe the whole picture that is wanted. To edit, name the pictures in `images` by their handles (img_…) or \
"last". To combine, write for example "edit the first image by adding the hat of the second"; do not write "merge" or \
"combine". The picture is shown to the user by itself: do not make up a link to it."""

LONGEST_REFERENCE = 200  # characters; every handle and id is shorter, a data URL is not


class ImageGenerationTool(BaseTool):
    """Draws and edits pictures for an agent, whichever chat model it runs on.

    The model gets typed arguments and one short JSON text back; the message's artifact is `ImageResult.record()`,
    plain JSON without bytes. In a graph whose state has the channel `generated_images` the pictures are recorded there,
    and the sources of an edit there alone unless a way of naming them has failed.

    Args:
        generator: Draws the pictures, with the options that the model cannot change; made on first use if `None`.
        exposed: Names of the options that the model may choose. `"region"` lets it confine an edit to parts of the
            first image, as boxes and outlines in fractions of its width and height; needs Pillow, and no `mask`.
        note: What the model is told beside the handles.
        allow_urls: Whether the model may name pictures by web address; see `addresses` for which are fetched.
        show_to_model: Whether the message also shows the picture, downscaled, to a model that can see; needs Pillow.
        mask: Confines edits to a part of the first image: a region (`box(…)`, `polygon(…)`), any reference to a picture
            that is transparent where to edit, or a function that gives one, or `None`, of LangGraph's runtime
            (`runtime.state`, `runtime.context`; outside a graph the runtime is `None`). Drawing afresh has no mask.
        url_for: Gives a link for a picture, which goes into content and artifact; if it fails, the result says so.
        show: Puts the address of each picture into the artifact, for the front end alone. `ImageGenerationMiddleware`
            lets the answer show it in this form; graphs of one's own have `show_pictures` for that.
        ui: Whether each call pushes LangGraph's `ui` messages for the component in `web/ui.tsx`. They stay if the
            graph's state has the key `ui`.
        trust: `"channel"` believes the state's channel alone, not the messages; for servers whose clients write those.
        around_image: Called as `around_image(request, call)` around every drawing, outside the generator's own. It may
            change the request, answer with an `ImageResult` from elsewhere, or refuse: the chat model reads the message
            of any error that it raises.
        max_images: How many pictures a run may draw, or `{"run": 2, "thread": 10}`; see `budget` for what counts. The
            chat model reads that the limit is reached; nothing is sent. A call draws one picture then.
        max_cost: The same in dollars: `"$0.50"`, `Decimal("0.5")` or one for each. A call is counted with its estimate
            until it has its picture. Where no estimate is possible, nothing is sent.
        partials: How many partial pictures a call asks for, 0 to 3; `None`: the `partial_images` of the generator's
            options. They go into the image store. `"inline"` puts their base64 into the events too (see `events`), and
            asks for 2 unless the options say how many.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

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
    show: Form | None = None
    ui: bool = False
    trust: Literal["all", "channel"] = "all"
    around_image: Callable[..., Any] | None = Field(default=None, repr=False)
    max_images: Any = None
    max_cost: Any = None
    partials: Partials | None = None

    _made: ImageGenerator | None = PrivateAttr(default=None)
    _calls: Register = PrivateAttr(default_factory=dict)

    def __init__(
        self, *, exposed: Iterable[str] = EXPOSED, allow_urls: bool = False, **fields: Unpack[ToolFields]
    ) -> None:
        exposed = tuple(exposed)
        if REGION in exposed and fields.get("mask") is not None:
            raise OptionError("mask= and an exposed region exclude each other: only one can say where to edit")
        schema = fields.setdefault("args_schema", arguments(exposed, urls=allow_urls))
        fields.setdefault("handle_validation_error", partial(refusal, schema=schema))
        Limits.read(fields.get("max_images"), fields.get("max_cost"))
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
        progress, config = self._progress(runtime, run_manager, config)
        progress.start(prompt)
        try:
            named = self._addresses().fetch(images)
            request, ignored = self._request(prompt, named, options, runtime, config)
            result = self._generator().invoke(replace(request, on_partial=progress.show), config)
            result = warned(progress.keep(result), ignored)
            answer, last = self._answer(result, runtime, request, progress)
        except ImageGenerationError as error:
            if ui := self._ui(runtime):
                ui.fail(runtime.tool_call_id, prompt, error)
            progress.fail(error)
            raise ToolException(advice(error)) from error
        progress.tell(last)
        return answer

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
        progress, config = self._progress(runtime, run_manager, config)
        await progress.astart(prompt)
        try:
            named = await self._addresses().afetch(images)
            request, ignored = await asyncio.to_thread(self._request, prompt, named, options, runtime, config)
            result = await self._generator().ainvoke(replace(request, on_partial=progress.ashow), config)
            result = warned(progress.keep(result), ignored)
            answer, last = await asyncio.to_thread(self._answer, result, runtime, request, progress)
        except ImageGenerationError as error:
            if ui := self._ui(runtime):
                ui.fail(runtime.tool_call_id, prompt, error)
            await progress.afail(error)
            raise ToolException(advice(error)) from error
        await progress.atell(last)
        return answer

    def _request(
        self,
        prompt: str,
        images: Iterable[str | GeneratedImage],
        options: Mapping[str, Any],
        runtime: Any,
        config: RunnableConfig,
    ) -> tuple[FromToolCall, tuple[str, ...]]:
        """Return the request for the generator, and a warning about each option that is left out of it.

        Handles are looked up in this conversation alone.
        """
        from langchain_imagegen.drawing.placed import FromToolCall  # imports are to be quick

        memory = self._memory(runtime)
        if ui := self._ui(runtime):
            ui.start(runtime.tool_call_id, prompt)
        named = [each if isinstance(each, GeneratedImage) else memory.get(each[:LONGEST_REFERENCE]) for each in images]
        areas = options.get(REGION)
        chosen = {name: replace_surrogates(options[name]) for name in options if options[name] is not None}
        chosen.pop(REGION, None)
        chosen, ignored = drop_compression(self._generator().options, chosen)
        if areas and not named:
            raise OptionError("region needs the image to edit: name it in images, or leave region out to draw anew")
        locked = self._generator().options
        count = count_of(self.partials, locked.merge(chosen))
        if count != (locked.partial_images or 0):
            chosen["partial_images"] = count or None
        mask = region_of(areas) if areas else self._mask(runtime, memory) if named else None
        request = {"prompt": replace_surrogates(prompt), "images": named, "mask": mask, "options": chosen}
        around = () if self.around_image is None else (self.around_image,)
        call = ids_of_call(runtime)
        return FromToolCall(request, call, around, self._budget(call, memory, runtime, config)), ignored

    def _progress(self, runtime: Any, run_manager: Any, config: RunnableConfig) -> tuple[Progress, RunnableConfig]:
        """Return the events of a call, and the configuration of the generator's run."""
        config = child(config, run_manager, self._ui(runtime))
        run_id = str(run_manager.run_id) if run_manager else None
        call_id = getattr(runtime, "tool_call_id", None) or run_id
        emitter, store = Emitter(runtime, config), self._generator().chosen_store
        return Progress(emitter, call_id, store, inline=self.partials == "inline"), config

    def _ui(self, runtime: Any) -> UiMessages | None:
        if not self.ui:
            return None
        from langchain_imagegen.agents.display import Display
        from langchain_imagegen.agents.ui import UiMessages

        return UiMessages.of_call(Display("markdown"), runtime)

    def _budget(
        self, call: tuple[str | None, str | None], memory: ImageMemory, runtime: Any, config: RunnableConfig
    ) -> Budget | None:
        limits = Limits.read(self.max_images, self.max_cost)
        if not limits:
            return None
        from langchain_imagegen.agents.drawn import budget_of

        return budget_of(limits, state_of(runtime), memory, config, call=call, own=self._calls)

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

    def _answer(
        self, result: ImageResult, runtime: Any, request: FromToolCall, progress: Progress
    ) -> tuple[tuple[Any, dict[str, Any] | None], list[ImageEvent]]:
        """Return the answer and the last events of a call.

        The answer is content and artifact, or one `Command` for a graph whose state has the channel.

        Never return a list: other people's `wrap_tool_call` takes a `ToolMessage` or a `Command` and fails on
        anything else, after the picture is paid for.
        """
        if request.allowance is not None:
            request.allowance.settle([image.id for image in result.images], None if result.from_ledger else result.cost)
        self._remember(result)
        links, result = beside(result, self.url_for, "link")
        last = progress.last(result, links)
        if ui := self._ui(runtime):
            memory = ImageMemory(self._memory(runtime), image_store=self._generator().image_store)
            memory.add(result)
            ui.finish(runtime.tool_call_id, result.images, memory)
        views, result = beside(result, view if self.show_to_model else None, "view")
        content, artifact = self._content(result, links, views), result.record()
        if self.show and not links:
            links, _ = beside(result, lambda image: image.url(expires=WEEK), "address")
        for record, link in zip(artifact["images"], links, strict=False):
            record["url"] = link
        state, call_id = state_of(runtime), getattr(runtime, "tool_call_id", None)
        key = messages_key(state, call_id)
        if key is None or not keeps_images(state):
            return (content, artifact), last
        # The channel has the sources, and a checkpoint repeats each message at every step. But an agent within a graph
        # reads the messages alone, and must not try a dead rung again.
        artifact["sources"] = [record for record in artifact["sources"] if record.get("dead_rungs")]
        message = ToolMessage(content, artifact=artifact, tool_call_id=call_id, name=self.name)
        return (_command({key: [message], CHANNEL: as_update(images_of_result(result))}), None), last

    def _remember(self, result: ImageResult) -> None:
        """Note the partial pictures in the generator's memory, which has the pictures."""
        memory = self._generator().memory
        if memory is not None and any(image.partials for image in result.images):
            memory.add(*result.images)

    def _content(self, result: ImageResult, links: list[Any], views: list[Any]) -> Any:
        text = content_of(result, self.note, links)
        return [{"type": "text", "text": text}, *filter(None, views)] if self.show_to_model else text

    def _generator(self) -> ImageGenerator:
        if self.generator is not None:
            return self.generator
        if self._made is None:
            self._made = ImageGenerator()
        return self._made


def with_settings(tool: ImageGenerationTool, **settings: Any) -> ImageGenerationTool:
    """Return the tool, or a copy of it, with those settings that are not None."""
    changed = {name: value for name, value in settings.items() if value is not None and getattr(tool, name) != value}
    return tool.model_copy(update=changed) if changed else tool


def child(config: RunnableConfig, run_manager: Any, ui: UiMessages | None = None) -> RunnableConfig:
    """Return the configuration of a run that is a child of the tool's own run, and whose events `ui` follows."""
    manager = run_manager.get_child() if run_manager else None
    if manager is not None and ui is not None:
        manager.add_handler(ui.follow())
    return patch_config(config, callbacks=manager)


def _command(update: dict[str, Any]) -> Any:
    from langgraph.types import Command

    return Command(update=update)
