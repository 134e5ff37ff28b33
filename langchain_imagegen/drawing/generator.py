"""`ImageGenerator`: drawing as a LangChain runnable.

It prepares requests and runs their flows. `request` reads the input, and `flows` decides what is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, cast

from langchain_core.runnables import RunnableConfig
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from langchain_imagegen._moved import OldPickles
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.drawing.composition import Composable
from langchain_imagegen.drawing.connections import Connections
from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.image import PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.options import Api, ImageOptions, Reference
from langchain_imagegen.options.validation import complaints
from langchain_imagegen.storage.store import ImageStore, default_store

if TYPE_CHECKING:
    from langchain_imagegen.drawing.ladder import Drawing
    from langchain_imagegen.drawing.request import Placed
    from langchain_imagegen.drawing.transport import Transport
    from langchain_imagegen.options.call_fields import CallFields

FORCED = {"type": "image_generation"}
AZURE_HEADER = "x-ms-oai-image-generation-deployment"


class ImageGenerator(OldPickles, Composable):
    """Draws and edits pictures with OpenAI's hosted image generation.

    The input is a `str`, a dict or `ImageRequest`, a `PromptValue`, messages, or an `ImageResult` or `GeneratedImage`
    to edit. The output is an `ImageResult`. Keyword arguments of a call are fields of `ImageRequest` or options.

    Example:
        >>> draw = ImageGenerator(memory=ImageMemory())
        >>> fox = draw.invoke("draw a fox")
        >>> draw.invoke("make it winter", images=["last"]).image.save("winter.png")
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True
    )

    model: str = Field(default="gpt-5.4", description="the mainline model, which is never a GPT Image model")
    options: ImageOptions = Field(default_factory=ImageOptions, description="options for every picture")
    api: Api = Field(
        default="responses", description='`"images"` uses the Images API, which draws without a mainline model'
    )
    memory: ImageMemory | None = Field(
        default=None, description="remembers each picture and resolves handles and `last`"
    )
    image_store: ImageStore | None = Field(
        default=None, description="where image bytes are stored; `None` means the default store"
    )
    store: bool | None = Field(
        default=None, description="whether the service keeps the response; `None` leaves it to the service"
    )
    tool_choice: Any = Field(default=FORCED, description="`None` or `auto` lets the mainline model choose to draw")
    instructions: str | None = Field(
        default=None, description="instructions for the mainline model, besides the prompt"
    )
    reference: Reference = Field(
        default="auto", description="the first way in which an edit names its source; see `ImageResult.rung`"
    )
    delivery: Literal["direct", "stream"] = Field(
        default="direct",
        description="`stream` makes `invoke` read events too, so that less is lost with a broken connection",
    )
    prepare: bool = Field(
        default=True,
        description="convert images that the service does not accept (BMP, HEIC, CMYK, …; needs Pillow)",
    )
    reasoning: dict[str, Any] | None = Field(
        default=None,
        description='how hard the mainline model thinks, such as `{"effort": "low"}`; this affects time and price',
    )
    model_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="further request fields, sent as they are: metadata, tools, include, …"
    )
    check_options: bool = Field(default=True, description="reject options that can never work before anything is sent")
    api_key: SecretStr | Callable[[], Any] | None = Field(
        default=None,
        repr=False,
        description="the key, or a sync or async function that returns it; `None` reads OPENAI_API_KEY",
    )
    base_url: str | None = Field(default=None, description="`None` reads OPENAI_BASE_URL, else OpenAI is used")
    organization: str | None = None
    timeout: float | None = Field(
        default=300.0, gt=0, allow_inf_nan=False, description="seconds without a byte after which a call fails"
    )
    max_retries: int = Field(default=2, ge=0, description="how often to resend a request that certainly drew nothing")
    client: Any = Field(
        default=None, exclude=True, repr=False, description="an `OpenAI` or `AzureOpenAI` to use instead"
    )
    async_client: Any = Field(default=None, exclude=True, repr=False, description="the same for async calls")
    azure_image_deployment: str | None = Field(default=None, description="Azure's deployment of the image model")

    _connections: Connections = PrivateAttr()

    if not TYPE_CHECKING:  # type checkers read the fields

        def __init__(self, **settings: Any) -> None:
            try:
                super().__init__(**settings)
            except ValidationError as error:
                from langchain_imagegen.drawing.request import SETTING_HINTS

                raise OptionError(*complaints(error, type(self), hints=SETTING_HINTS)) from None

    @field_validator("model")
    @classmethod
    def _mainline(cls, value: str) -> str:
        from langchain_imagegen.options.rules import check_mainline

        check_mainline(value)
        return value

    @field_validator("options", mode="before")
    @classmethod
    def _parsed(cls, value: Any) -> ImageOptions:
        return ImageOptions.parse(value)

    @field_validator("api_key", mode="before")
    @classmethod
    def _sendable_key(cls, value: Any) -> Any:
        from langchain_imagegen.drawing.credentials import clean_key

        key = value.get_secret_value() if isinstance(value, SecretStr) else value
        return key if key is None or callable(key) else SecretStr(clean_key(key))

    @field_validator("organization", "azure_image_deployment", "base_url", "client", "async_client")
    @classmethod
    def _sendable(cls, value: Any, info: ValidationInfo) -> Any:
        from langchain_imagegen.drawing.credentials import check_setting

        return None if value is None else check_setting(value, str(info.field_name))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        from langchain_imagegen.drawing.credentials import redact_url

        for name, value in super().__repr_args__():
            yield name, redact_url(value) if name == "base_url" and value else value

    def model_post_init(self, context: Any, /) -> None:
        """Check the settings and prepare the connections; nothing is opened yet."""
        super().model_post_init(context)
        from langchain_imagegen.options.text import check_json

        check_json(model=self.model, tool_choice=self.tool_choice, instructions=self.instructions)
        if self.model_kwargs or self.reasoning:
            from langchain_imagegen.drawing.request import check_model_kwargs

            check_model_kwargs(self.model_kwargs, self.reasoning, self.api)
        key = self.api_key.get_secret_value() if isinstance(self.api_key, SecretStr) else self.api_key
        self._connections = Connections(
            {"api_key": key, "base_url": self.base_url, "organization": self.organization},
            client=self.client,
            async_client=self.async_client,
            timeout=self.timeout,
            headers={AZURE_HEADER: self.azure_image_deployment} if self.azure_image_deployment else None,
        )

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
        """
        drawing = self._prepare(input, fields, stream=self.delivery == "stream")
        return self._call_with_config(lambda _: self._last(drawing), drawing.trace(), config)

    async def ainvoke(  # type: ignore[override]  # typed for editors
        self, input: Any, config: RunnableConfig | None = None, **fields: Unpack[CallFields]
    ) -> ImageResult:
        """Async twin of `invoke`."""
        drawing = await self._aprepare(input, fields, stream=self.delivery == "stream")

        async def last(_: Any) -> ImageResult:
            return await self._alast(drawing)

        return await self._acall_with_config(last, drawing.trace(), config)

    def stream(  # type: ignore[override]  # partial pictures come before the result
        self,
        input: Any,
        config: RunnableConfig | None = None,
        **fields: Unpack[CallFields],
    ) -> Iterator[PartialImage | ImageResult]:
        """Draw; yield each partial picture as it arrives, and the result last.

        `options.partial_images` (1 to 3) asks for partial pictures; the service may send one without it.
        """
        drawing = self._prepare(input, fields, stream=True)
        steps: Any = lambda _: self._run(drawing)  # noqa: E731
        yield from self._transform_stream_with_config(iter([drawing.trace()]), steps, config)

    async def astream(  # type: ignore[override]
        self,
        input: Any,
        config: RunnableConfig | None = None,
        **fields: Unpack[CallFields],
    ) -> AsyncIterator[PartialImage | ImageResult]:
        """Async twin of `stream`."""
        drawing = await self._aprepare(input, fields, stream=True)

        async def traced() -> AsyncIterator[Any]:
            yield drawing.trace()

        async with aclosing(  # else the event loop closes the generators late, and they hold the connection
            cast("Any", self._atransform_stream_with_config)(traced(), lambda _: self._arun(drawing), config)
        ) as pieces:
            async for piece in pieces:
                yield piece

    def batch(self, inputs: list[Any], *args: Any, **settings: Any) -> list[ImageResult]:
        """Draw several pictures concurrently. The memory keeps them in the order of the inputs."""
        return super().batch([self._reserve_place(given) for given in inputs], *args, **settings)

    async def abatch(self, inputs: list[Any], *args: Any, **settings: Any) -> list[ImageResult]:
        """Async twin of `batch`."""
        return await super().abatch([self._reserve_place(given) for given in inputs], *args, **settings)

    def batch_as_completed(self, inputs: Sequence[Any], *args: Any, **settings: Any) -> Iterator[Any]:
        """Draw several pictures concurrently; yield each result with the index of its input as it finishes."""
        return super().batch_as_completed([self._reserve_place(given) for given in inputs], *args, **settings)

    def abatch_as_completed(self, inputs: Sequence[Any], *args: Any, **settings: Any) -> AsyncIterator[Any]:
        """Async twin of `batch_as_completed`."""
        return super().abatch_as_completed([self._reserve_place(given) for given in inputs], *args, **settings)

    def close(self) -> None:
        """Close the sync connections, except those of a given `client`; a later call opens new ones."""
        self._transport.close()

    async def aclose(self) -> None:
        """Async twin of `close`, for the running event loop; call it at the end of a script's `asyncio.run`."""
        await self._transport.aclose()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return a copy with its own memory. Given clients are shared because they hold connections."""
        clients = {id(client): client for client in (self.client, self.async_client)}
        return super().__deepcopy__({**(memo or {}), **clients})

    def _run(self, drawing: Drawing, *, partials: bool = True) -> Iterator[PartialImage | ImageResult]:
        from langchain_imagegen.drawing.flows import draw
        from langchain_imagegen.drawing.runner import Runner

        runner = Runner(self._transport)
        with closing(runner.run(draw(drawing), self._image_store(), partials=partials)) as pieces:
            for piece in pieces:
                yield self._remember(piece, drawing)

    async def _arun(self, drawing: Drawing, *, partials: bool = True) -> AsyncIterator[PartialImage | ImageResult]:
        from langchain_imagegen.drawing.flows import draw
        from langchain_imagegen.drawing.runner import Runner

        runner = Runner(self._transport)
        async with aclosing(runner.arun(draw(drawing), self._image_store(), partials=partials)) as pieces:
            async for piece in pieces:
                yield self._remember(piece, drawing)

    def _last(self, drawing: Drawing) -> ImageResult:
        return [piece for piece in self._run(drawing, partials=False) if isinstance(piece, ImageResult)][-1]

    async def _alast(self, drawing: Drawing) -> ImageResult:
        pieces = self._arun(drawing, partials=False)
        return [piece async for piece in pieces if isinstance(piece, ImageResult)][-1]

    def _remember(self, piece: PartialImage | ImageResult, drawing: Drawing) -> PartialImage | ImageResult:
        if isinstance(piece, PartialImage):
            return piece
        drawn = tuple(image.bind(self._image_store()) for image in piece.images)
        result = piece.model_copy(update={"images": drawn})  # sources stay bound to their own stores
        if self.memory is not None:
            self.memory.add(result, place=drawing.place)
        return result

    @property
    def _transport(self) -> Transport:
        return self._connections.transport

    def _image_store(self) -> ImageStore:
        return self.image_store or default_store()

    # --- from an input to a drawing

    def _prepare(self, given: Any, fields: Mapping[str, Any], *, stream: bool) -> Drawing:
        """Return a prepared request. Local image bytes are in the store from here on."""
        from langchain_imagegen.drawing.request import Settings, prepare

        settings = Settings(
            reasoning=self.reasoning,
            model_kwargs=self.model_kwargs,
            model=self.model,
            options=self.options,
            provider=self._transport.provider,
            api=self.api,
            memory=self.memory,
            image_store=self._image_store(),
            store=self.store,
            tool_choice=self.tool_choice,
            instructions=self.instructions,
            reference=self.reference,
            max_retries=self.max_retries,
            check_options=self.check_options,
            prepare=self.prepare,
        )
        return prepare(self._reserve_place(given), fields, settings, stream=stream)

    async def _aprepare(self, given: Any, fields: Mapping[str, Any], *, stream: bool) -> Drawing:
        """Async twin of `_prepare`, in a thread unless the input is text only, since it may read or write pictures."""
        placed = self._reserve_place(given)
        await self._transport.begin()
        if isinstance(given, str) and not fields and self._image_store().known_writable:
            return self._prepare(placed, fields, stream=stream)
        return await asyncio.to_thread(self._prepare, placed, fields, stream=stream)

    def _reserve_place(self, given: Any) -> Placed:
        """Return an input with its place in the memory: in the order of the calls, or of the inputs of a batch."""
        from langchain_imagegen.drawing.request import Placed

        if isinstance(given, Placed):
            return given
        return Placed(given, None if self.memory is None else self.memory.reserve())
