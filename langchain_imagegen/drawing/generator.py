"""`ImageGenerator`: drawing as a LangChain runnable.

It prepares requests and runs their flows. `request` reads the input, and `flows` decides what is sent.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, closing
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from langchain_core.runnables import RunnableConfig
from pydantic import ConfigDict

from langchain_imagegen.drawing.listeners import Listeners
from langchain_imagegen.drawing.live import LiveDrawing
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageResult

if TYPE_CHECKING:
    from langchain_imagegen.drawing.accounting import Account
    from langchain_imagegen.drawing.around import Asked
    from langchain_imagegen.drawing.calls import OwnedCall
    from langchain_imagegen.drawing.deleting import RemoteDeletion
    from langchain_imagegen.drawing.execution import Execution
    from langchain_imagegen.drawing.ladder import Drawing
    from langchain_imagegen.drawing.placed import Placed
    from langchain_imagegen.drawing.setting_fields import SettingFields
    from langchain_imagegen.images.image import GeneratedImage
    from langchain_imagegen.options.call_fields import CallFields


class ImageGenerator(LiveDrawing):
    """Draws and edits pictures with OpenAI's hosted image generation.

    The input is a `str`, a dict or `ImageRequest`, a `PromptValue`, messages, or an `ImageResult` or `GeneratedImage`
    to edit. The output is an `ImageResult`. Keyword arguments of a call are fields of `ImageRequest` or options.

    Examples:
        >>> draw = ImageGenerator(memory=ImageMemory())
        >>> fox = draw.invoke("draw a fox")
        >>> draw.invoke("make it winter", images=["last"]).image.save("winter.png")
    """

    model_config = ConfigDict(defer_build=False)

    if TYPE_CHECKING:

        def __init__(self, **settings: Unpack[SettingFields]) -> None: ...

    def invoke(  # type: ignore[override]  # typed for editors
        self, input: Any, config: RunnableConfig | None = None, **fields: Unpack[CallFields]
    ) -> ImageResult:
        """Draw or edit, and return the pictures.

        Args:
            input: What to draw or edit; see the class.
            config: LangChain's config. Tags, metadata and callbacks work; callbacks never see image bytes.
            fields: Fields of `ImageRequest`, or options, for this call only.

        Raises:
            ImageGenerationError: There is no picture. `errors` has a class for each kind of reason.
            ImageStoreError: There is one, and it cannot be stored: the error's `.result` has it in memory.
        """
        drawing = self._prepare(input, config, fields, stream=self.delivery == "stream")
        return self._call_with_config(lambda _, run_manager: self._last(drawing, run_manager), drawing.trace(), config)

    async def ainvoke(  # type: ignore[override]  # typed for editors
        self, input: Any, config: RunnableConfig | None = None, **fields: Unpack[CallFields]
    ) -> ImageResult:
        """Async twin of `invoke`."""
        drawing = await self._aprepare(input, config, fields, stream=self.delivery == "stream")

        async def last(_: Any, run_manager: Any) -> ImageResult:
            return await self._alast(drawing, run_manager)

        return await self._acall_with_config(last, drawing.trace(), config)

    def stream(  # type: ignore[override]  # partial pictures come before the result
        self, input: Any, config: RunnableConfig | None = None, **fields: Unpack[CallFields]
    ) -> Iterator[PartialImage | ImageResult]:
        """Draw; yield each partial picture as it arrives, and the result last.

        `options.partial_images` (1 to 3) asks for partial pictures; the service may send one without it. With
        `on_partial=` of the generator, `invoke` gives them to a function too.
        """
        drawing = self._prepare(input, config, fields, stream=True)
        with ExitStack() as stack:  # LangChain leaves the pieces to the collection of garbage, which may be late
            steps: Any = lambda _, run_manager: stack.enter_context(closing(self._run(drawing, run_manager)))  # noqa: E731
            yield from self._transform_stream_with_config(iter([drawing.trace()]), steps, config)

    async def astream(  # type: ignore[override]
        self, input: Any, config: RunnableConfig | None = None, **fields: Unpack[CallFields]
    ) -> AsyncIterator[PartialImage | ImageResult]:
        """Async twin of `stream`."""
        drawing = await self._aprepare(input, config, fields, stream=True)

        async def traced() -> AsyncIterator[Any]:
            yield drawing.trace()

        async with aclosing(  # else the event loop closes the generators late, and they hold the connection
            cast("Any", self._atransform_stream_with_config)(
                traced(), lambda _, run_manager: self._arun(drawing, run_manager), config
            )
        ) as pieces:
            async for piece in pieces:
                yield piece

    def batch(self, inputs: list[Any], *args: Any, **settings: Any) -> list[ImageResult]:
        """Draw several pictures concurrently. The memory keeps them in the order of the inputs.

        Ctrl-C ends it at once, also as a step of a chain's `batch`: requests that were sent go on, and their pictures
        reach memory and image store. `batch_as_completed` of a chain and the batch of a `RunnableParallel` are
        LangChain's: they send nothing more, and wait for the calls under way.
        """
        from langchain_imagegen.drawing.batches import interruptible

        placed, draw = self._placed(inputs), super().batch
        return list(interruptible(lambda: draw(placed, *args, **settings)))

    async def abatch(self, inputs: list[Any], *args: Any, **settings: Any) -> list[ImageResult]:
        """Async twin of `batch`."""
        return await super().abatch(self._placed(inputs), *args, **settings)

    def batch_as_completed(self, inputs: Sequence[Any], *args: Any, **settings: Any) -> Iterator[Any]:
        """Draw several pictures concurrently; yield each result with the index of its input as it finishes."""
        from langchain_imagegen.drawing.batches import interruptible

        placed, draw = self._placed(inputs), super().batch_as_completed
        return interruptible(lambda: draw(placed, *args, **settings))

    def abatch_as_completed(self, inputs: Sequence[Any], *args: Any, **settings: Any) -> AsyncIterator[Any]:
        """Async twin of `batch_as_completed`."""
        return super().abatch_as_completed(self._placed(inputs), *args, **settings)

    def resume(self, response_id: str, config: RunnableConfig | None = None) -> ImageResult:
        """Return the pictures of a response that was begun before, in this process or another; nothing is bought.

        Args:
            response_id: `resp_…`, from `ImageResult.response_id` or the `.response_id` of an error.
            config: LangChain's config.

        Raises:
            ImageTimeoutError: It is still being drawn after `timeout` seconds.
            ImageGenerationError: The service keeps no such response, or it holds no picture.
        """
        drawing = self._resumed(response_id)
        return self._call_with_config(lambda _, run_manager: self._last(drawing, run_manager), drawing.trace(), config)

    async def aresume(self, response_id: str, config: RunnableConfig | None = None) -> ImageResult:
        """Async twin of `resume`."""
        drawing = self._resumed(response_id)

        async def last(_: Any, run_manager: Any) -> ImageResult:
            return await self._alast(drawing, run_manager)

        return await self._acall_with_config(last, drawing.trace(), config)

    def cancel(self, response_id: str) -> str:
        """Stop a response of `delivery="background"`, and return its status, such as `cancelled` or `completed`.

        Raises:
            ServiceError: The service has no such response, or it was not begun in the background.
        """
        return str(self._ask(lambda client: client.responses.cancel(response_id)).status)

    async def acancel(self, response_id: str) -> str:
        """Async twin of `cancel`."""
        return str((await self._aask(lambda client: client.responses.cancel(response_id))).status)

    def delete_remote(self, image: GeneratedImage | ImageResult | str) -> bool:
        """Delete at the service the response that drew an image, with all that belongs to it: pictures and texts.

        The bytes in the image store and the records stay: see `ImageStore.delete` and `ImageMemory.forget`. The memory
        notes that the service no longer keeps the pictures, so that edits of them send their bytes.

        Args:
            image: An image, a result or the id of a response (`resp_…`).

        Returns:
            False if there is nothing to delete: the service knows no such response (any more), or never kept one.

        Raises:
            OptionError: Another service drew the image.
            ImageGenerationError: The service could not be reached, or refused.
        """
        deletion = self._deletion_of(image)
        with deletion:
            if deletion.response_id:
                self._ask(deletion.send)
        return self._note_deletion(deletion)

    async def adelete_remote(self, image: GeneratedImage | ImageResult | str) -> bool:
        """Async twin of `delete_remote`."""
        deletion = self._deletion_of(image)
        with deletion:
            if deletion.response_id:
                await self._aask(deletion.send)
        return self._note_deletion(deletion)

    def close(self) -> None:
        """Close the sync connections, except those of a given `client`; a later call opens new ones.

        Calls whose callers were interrupted go on, and are named in the log.
        """
        self._connections.calls.report()
        self._transport.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop; call it at the end of a script's `asyncio.run`.

        Its calls are waited for first, and sync ones whose callers have gone; those of other event loops are logged.
        """
        await self._connections.calls.wait()
        await self._transport.aclose()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return a copy with its own memory. Given clients and the rate limiter are shared."""
        given = (self.client, self.async_client, self.rate_limiter, self.on_partial)
        shared = {id(thing): thing for thing in given}
        return super().__deepcopy__({**(memo or {}), **shared})

    def _run(
        self, drawing: Drawing | Asked, manager: Any = None, *, partials: bool = True, owned: bool = True
    ) -> Generator[PartialImage | ImageResult]:
        listeners = Listeners(drawing.listeners)
        listeners.check_sync()
        execution = self._execution(partials=partials)
        pieces = execution.run(drawing)
        calls = self._connections.calls
        delivery = (calls.relay if owned else calls.watch)(self._call(drawing, execution), pieces)
        with closing(self._account(drawing, manager).follow(delivery)) as delivered:
            for piece in delivered:
                listeners.tell(piece)
                yield piece

    async def _arun(
        self, drawing: Drawing | Asked, manager: Any = None, *, partials: bool = True
    ) -> AsyncIterator[PartialImage | ImageResult]:
        listeners = Listeners(drawing.listeners)
        execution = self._execution(partials=partials)
        delivery = self._connections.calls.arelay(self._call(drawing, execution), execution.arun(drawing))
        async with aclosing(self._account(drawing, manager).afollow(delivery)) as delivered:
            async for piece in delivered:
                await listeners.atell(piece)
                yield piece

    def _last(self, drawing: Drawing | Asked, manager: Any) -> ImageResult:
        # Only in the main thread can a call be interrupted; a slow listener must not hold up its answer.
        owned = threading.current_thread() is threading.main_thread() or bool(drawing.listeners)
        pieces = self._run(drawing, manager, partials=drawing.asks_for_partials, owned=owned)
        return [piece for piece in pieces if isinstance(piece, ImageResult)][-1]

    async def _alast(self, drawing: Drawing | Asked, manager: Any) -> ImageResult:
        pieces = self._arun(drawing, manager, partials=drawing.asks_for_partials)
        return [piece async for piece in pieces if isinstance(piece, ImageResult)][-1]

    def _execution(self, *, partials: bool) -> Execution:
        from langchain_imagegen.drawing.execution import Execution
        from langchain_imagegen.drawing.runner import Runner

        return Execution(Runner(self._transport, self.rate_limiter), self, partials=partials)

    def _account(self, drawing: Drawing | Asked, manager: Any) -> Account:
        from langchain_imagegen.drawing.accounting import Account

        model = (drawing.options or self.options).model
        return Account(manager, drawing.prompt, model, lambda piece: self._remember(piece, drawing))

    def _call(self, drawing: Drawing | Asked, execution: Execution) -> OwnedCall:
        from langchain_imagegen.drawing.calls import OwnedCall

        keep = self.memory.keep_unclaimed if self.memory is not None else None
        return OwnedCall(drawing.prompt[:40], execution.presence, lambda: execution.response_id, keep)

    def _ask(self, method: Callable[[Any], Any]) -> Any:
        from langchain_imagegen.drawing.runner import Runner

        return Runner(self._transport).ask(method)

    async def _aask(self, method: Callable[[Any], Any]) -> Any:
        from langchain_imagegen.drawing.runner import Runner

        return await Runner(self._transport).aask(method)

    def _deletion_of(self, image: GeneratedImage | ImageResult | str) -> RemoteDeletion:
        from langchain_imagegen.drawing.deleting import RemoteDeletion

        return RemoteDeletion(image, self.provider)

    def _note_deletion(self, deletion: RemoteDeletion) -> bool:
        """Remember that the service no longer keeps the pictures of a response; return True if it was deleted."""
        if self.memory is not None and deletion.response_id:
            gone = [image for image in self.memory if image.response_id == deletion.response_id]
            self.memory.add(*(image.model_copy(update={"stored": False}) for image in gone))
        return deletion.done

    def _remember(self, piece: PartialImage | ImageResult, drawing: Drawing | Asked) -> PartialImage | ImageResult:
        if self.memory is not None and isinstance(piece, ImageResult):
            self.memory.add(piece, place=drawing.place)
        return piece

    # --- from an input to a drawing

    def _prepare(
        self, given: Any, config: RunnableConfig | None, fields: Mapping[str, Any], *, stream: bool
    ) -> Drawing | Asked:
        """Return a prepared request. Local image bytes are in the store from here on."""
        from langchain_imagegen.drawing.request import prepare

        return prepare(self._reserve_place(given, config, fields), fields, self, stream=stream)

    async def _aprepare(
        self, given: Any, config: RunnableConfig | None, fields: Mapping[str, Any], *, stream: bool
    ) -> Drawing | Asked:
        """Async twin of `_prepare`, in a thread unless the input is text only, since it may read or write pictures."""
        placed = self._reserve_place(given, config, fields)
        await self._transport.begin()
        if isinstance(given, str) and not fields and self.chosen_store.known_writable:
            return self._prepare(placed, config, fields, stream=stream)
        return await asyncio.to_thread(self._prepare, placed, config, fields, stream=stream)

    def _placed(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the inputs of a batch, each with its place in the memory."""
        return [self._reserve_place(given) for given in inputs]

    def _resumed(self, response_id: str) -> Drawing:
        from langchain_imagegen.drawing.request import prepare_resumed

        return prepare_resumed(response_id, self._reserve_place(None).place, self)

    def _reserve_place(
        self, given: Any, config: RunnableConfig | None = None, fields: Mapping[str, Any] | None = None
    ) -> Placed:
        """Return an input with its place in memory and run: in the order of the calls, or of the inputs of a batch."""
        from langchain_imagegen.drawing.placed import FromToolCall, Placed

        if isinstance(given, Placed):
            return given
        place, caller, call = None if self.memory is None else self.memory.reserve(), None, FromToolCall(given)
        if isinstance(given, FromToolCall):
            given, call = given.given, given
        if self.once and "langgraph" in sys.modules:
            from langchain_imagegen.drawing.executions import caller_of

            caller = caller_of([given, fields or {}], config, call.ids)
        return Placed(given, place, caller, call)
