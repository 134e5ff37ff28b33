"""`ImageGenerator`: drawing as a LangChain runnable.

It makes a request out of what a chain or a cell gives, and hands it to a flow; nothing is sent or decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from langchain_core.runnables import RunnableConfig
from pydantic import (
    BaseModel,
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
from langchain_imagegen.options.request import ImageRequest
from langchain_imagegen.options.validation import complaints
from langchain_imagegen.storage.store import ImageStore, default_store

if TYPE_CHECKING:
    from langchain_imagegen.drawing.ladder import Drawing
    from langchain_imagegen.drawing.request import Placed
    from langchain_imagegen.drawing.transport import Transport

FORCED = {"type": "image_generation"}
AZURE_HEADER = "x-ms-oai-image-generation-deployment"


class ImageGenerator(OldPickles, Composable):
    """Draws and edits pictures with OpenAI's hosted image generation.

    It takes a `str`, a dict or `ImageRequest`, a `PromptValue`, messages, or an `ImageResult` or `GeneratedImage`
    to edit, and gives an `ImageResult`; keyword arguments of a call are fields of `ImageRequest` or options.

    Example:
        >>> draw = ImageGenerator(memory=ImageMemory())
        >>> fox = draw.invoke("draw a fox")
        >>> draw.invoke("make it winter", images=["last"]).image.save("winter.png")
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True
    )

    model: str = Field(default="gpt-5.4", description="the mainline model; never a GPT Image model")
    options: ImageOptions = Field(default_factory=ImageOptions, description="what every picture is drawn with")
    api: Api = Field(default="responses", description='`"images"`: the Images API, to draw without a mainline model')
    memory: ImageMemory | None = Field(default=None, description="remembers each picture; looks up handles and `last`")
    image_store: ImageStore | None = Field(default=None, description="where the bytes go; `None`: the default store")
    store: bool | None = Field(default=None, description="whether the service keeps the response; `None`: its default")
    tool_choice: Any = Field(default=FORCED, description="`None` or `auto` lets the mainline model choose to draw")
    instructions: str | None = Field(default=None, description="what the mainline model is told beside the prompt")
    reference: Reference = Field(
        default="auto", description="how an edit names its source first; see `ImageResult.rung`"
    )
    delivery: Literal["direct", "stream"] = Field(
        default="direct",
        description="`stream`: events also for `invoke`, so that a cut connection costs less",
    )
    prepare: bool = Field(
        default=True,
        description="make images fit that the service does not take (BMP, HEIC, CMYK, …; needs Pillow)",
    )
    reasoning: dict[str, Any] | None = Field(
        default=None,
        description='how hard the mainline model thinks, such as `{"effort": "low"}`; it decides time and price',
    )
    model_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="further fields of the request, sent as they are: metadata, tools, include, …"
    )
    check_options: bool = Field(default=True, description="refuse what can never work before anything is sent")
    api_key: SecretStr | Callable[[], Any] | None = Field(
        default=None, repr=False, description="or a function that gives it, sync or async; `None`: OPENAI_API_KEY"
    )
    base_url: str | None = Field(default=None, description="`None`: OPENAI_BASE_URL, else OpenAI")
    organization: str | None = None
    timeout: float | None = Field(
        default=300.0, gt=0, allow_inf_nan=False, description="seconds without a byte before a call is given up"
    )
    max_retries: int = Field(
        default=2, ge=0, description="how often a request that certainly drew nothing is sent again"
    )
    client: Any = Field(
        default=None, exclude=True, repr=False, description="an `OpenAI` or `AzureOpenAI` to use instead"
    )
    async_client: Any = Field(default=None, exclude=True, repr=False, description="its async twin")
    azure_image_deployment: str | None = Field(default=None, description="Azure's name of the image model's deployment")

    _connections: Connections = PrivateAttr()

    if not TYPE_CHECKING:  # checkers read the fields

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
        """Make ready to connect; nothing is opened yet."""
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

    def invoke(self, input: Any, config: RunnableConfig | None = None, **fields: Any) -> ImageResult:
        """Draw.

        Args:
            input: What to draw or edit; see the class.
            config: LangChain's; tags, metadata and callbacks work, and never see bytes.
            fields: Fields of `ImageRequest`, or options, for this call alone.

        Raises:
            ImageGenerationError: there is no picture; each kind of reason has its class in `errors`.
        """
        drawing = self._prepare(input, fields, stream=self.delivery == "stream")
        return self._call_with_config(lambda _: self._last(drawing), drawing.trace(), config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **fields: Any) -> ImageResult:
        """Async twin of `invoke`."""
        drawing = await self._aprepare(input, fields, stream=self.delivery == "stream")

        async def last(_: Any) -> ImageResult:
            return await self._alast(drawing)

        return await self._acall_with_config(last, drawing.trace(), config)

    def stream(  # type: ignore[override]  # partial pictures come before the result
        self,
        input: Any,
        config: RunnableConfig | None = None,
        **fields: Any,
    ) -> Iterator[PartialImage | ImageResult]:
        """Draw, with each partial picture as it arrives and the result last.

        Partials come as `options.partial_images` says (1 to 3); the service may send one unasked.
        """
        drawing = self._prepare(input, fields, stream=True)
        steps: Any = lambda _: self._run(drawing)  # noqa: E731
        yield from self._transform_stream_with_config(iter([drawing.trace()]), steps, config)

    async def astream(  # type: ignore[override]
        self,
        input: Any,
        config: RunnableConfig | None = None,
        **fields: Any,
    ) -> AsyncIterator[PartialImage | ImageResult]:
        """Async twin of `stream`."""
        drawing = await self._aprepare(input, fields, stream=True)

        async def traced() -> AsyncIterator[Any]:
            yield drawing.trace()

        async with aclosing(  # left to the event loop, they would keep the connection
            cast("Any", self._atransform_stream_with_config)(traced(), lambda _: self._arun(drawing), config)
        ) as pieces:
            async for piece in pieces:
                yield piece

    def batch(self, inputs: list[Any], *args: Any, **settings: Any) -> list[ImageResult]:
        """Draw several at once; a memory remembers them in the order of the inputs."""
        return super().batch([self._placed(given) for given in inputs], *args, **settings)

    async def abatch(self, inputs: list[Any], *args: Any, **settings: Any) -> list[ImageResult]:
        """Async twin of `batch`."""
        return await super().abatch([self._placed(given) for given in inputs], *args, **settings)

    def batch_as_completed(self, inputs: Sequence[Any], *args: Any, **settings: Any) -> Iterator[Any]:
        """Draw several at once and yield each as it is finished, with the number of its input."""
        return super().batch_as_completed([self._placed(given) for given in inputs], *args, **settings)

    def abatch_as_completed(self, inputs: Sequence[Any], *args: Any, **settings: Any) -> AsyncIterator[Any]:
        """Async twin of `batch_as_completed`."""
        return super().abatch_as_completed([self._placed(given) for given in inputs], *args, **settings)

    def close(self) -> None:
        """Close the connections of the sync half, those of a given `client` excepted; a later call opens new ones."""
        self._transport.close()

    async def aclose(self) -> None:
        """Async twin of `close`, for the running event loop: at the end of a script's `asyncio.run`."""
        await self._transport.aclose()

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """`ImageRequest`: what a dict as input may hold."""
        del config
        return ImageRequest

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy with a memory of its own; clients that were given are shared, since they hold connections."""
        clients = {id(client): client for client in (self.client, self.async_client)}
        return super().__deepcopy__({**(memo or {}), **clients})

    def _run(self, drawing: Drawing, *, partials: bool = True) -> Iterator[PartialImage | ImageResult]:
        from langchain_imagegen.drawing.flows import draw
        from langchain_imagegen.drawing.runner import Runner

        runner = Runner(self._transport)
        with closing(runner.run(draw(drawing), self._image_store(), partials=partials)) as pieces:
            for piece in pieces:
                yield self._remembered(piece, drawing)

    async def _arun(self, drawing: Drawing, *, partials: bool = True) -> AsyncIterator[PartialImage | ImageResult]:
        from langchain_imagegen.drawing.flows import draw
        from langchain_imagegen.drawing.runner import Runner

        runner = Runner(self._transport)
        async with aclosing(runner.arun(draw(drawing), self._image_store(), partials=partials)) as pieces:
            async for piece in pieces:
                yield self._remembered(piece, drawing)

    def _last(self, drawing: Drawing) -> ImageResult:
        return [piece for piece in self._run(drawing, partials=False) if isinstance(piece, ImageResult)][-1]

    async def _alast(self, drawing: Drawing) -> ImageResult:
        pieces = self._arun(drawing, partials=False)
        return [piece async for piece in pieces if isinstance(piece, ImageResult)][-1]

    def _remembered(self, piece: PartialImage | ImageResult, drawing: Drawing) -> PartialImage | ImageResult:
        if isinstance(piece, PartialImage):
            return piece
        drawn = tuple(image.bind(self._image_store()) for image in piece.images)
        result = piece.model_copy(update={"images": drawn})  # the sources stay in stores of their own
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
        """Return a request made ready, with local bytes in the store; after this nothing heavy is passed on."""
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
        return prepare(self._placed(given), fields, settings, stream=stream)

    async def _aprepare(self, given: Any, fields: Mapping[str, Any], *, stream: bool) -> Drawing:
        """`_prepare` in its turn, in a thread unless it gets words alone: pictures may have to be read or written."""
        placed = self._placed(given)
        await self._transport.begin()
        if isinstance(given, str) and not fields and self._image_store().known_writable:
            return self._prepare(placed, fields, stream=stream)
        return await asyncio.to_thread(self._prepare, placed, fields, stream=stream)

    def _placed(self, given: Any) -> Placed:
        """Return an input with its place in the memory, which is that of its call in time or in a batch."""
        from langchain_imagegen.drawing.request import Placed

        if isinstance(given, Placed):
            return given
        return Placed(given, None if self.memory is None else self.memory.reserve())
