"""The settings of `ImageGenerator`: its fields, their checks, and the connections that they describe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Unpack

from langchain_core.rate_limiters import BaseRateLimiter
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
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.options.options import Api, ImageOptions, Reference
from langchain_imagegen.options.validation import complaints, shown
from langchain_imagegen.storage.library import ImageLibrary
from langchain_imagegen.storage.store import ImageStore, default_store, store_at

if TYPE_CHECKING:
    from langchain_imagegen.drawing.calls import UnderWay
    from langchain_imagegen.drawing.setting_fields import SettingFields
    from langchain_imagegen.drawing.transport import Transport

FORCED = {"type": "image_generation"}
AZURE_HEADER = "x-ms-oai-image-generation-deployment"

SETTING_HINTS = {
    "store": "it is True or False, whether the service keeps the response; a folder for pictures goes into "
    "image_store=ImageStore('pictures')",
    **{
        name: f"it is an option: ImageGenerator(options={{{name!r}: …}}), or draw.invoke(prompt, {name}=…)"
        for name in ImageOptions.model_fields
        if name != "model"
    },
    "once": "it is 'auto', False or None; a name belongs to one call: draw.invoke(prompt, once='poster-7')",
    **{name: f"it belongs to a request: draw.invoke(prompt, {name}=…)" for name in ("images", "mask", "conversation")},
}
"""Advice for arguments that people expect `ImageGenerator` to take."""


class GeneratorSettings(OldPickles, Composable):
    """The fields of `ImageGenerator`, checked when it is made."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True
    )

    model: str = Field(default="gpt-5.4", description="the mainline model, which is never a GPT Image model")
    options: ImageOptions = Field(default_factory=ImageOptions, description="options for every picture")
    fallbacks: list[ImageOptions] = Field(
        default_factory=list,
        description="options, such as another image model, that a call tries in turn over its own; only after an "
        "error that certainly drew nothing and that another image model may not have",
    )
    api: Api = Field(
        default="responses", description='`"images"` uses the Images API, which draws without a mainline model'
    )
    memory: ImageMemory | None = Field(
        default=None, description="remembers each picture and resolves handles and `last`"
    )
    image_store: ImageStore | None = Field(
        default=None, description="where image bytes are stored, or its folder or URL; `None` means the default store"
    )
    library: ImageLibrary | None = Field(
        default=None, description="where each picture is noted, to be found again by its words, day, model or thread"
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
    delivery: Literal["direct", "stream", "background"] = Field(
        default="direct",
        description="how the answer comes: with `stream`, `invoke` reads events too and knows the response id early; "
        "with `background`, the service draws on by itself, and nothing is lost with a connection or a process",
    )
    once: Literal["auto", False] | None = Field(
        default="auto",
        description="`auto` asks the ledger inside LangGraph runs with a thread id, so that a step that is run again "
        "gets the picture that it has bought; `None` or `False` asks it only for a call with a name of its own",
    )
    ledger_expires: timedelta = Field(
        default=timedelta(days=30), gt=timedelta(0), description="how long the ledger remembers what was bought"
    )
    ledger_namespace: str | None = Field(
        default=None,
        description="tells the calls of this application from others in the same image store; `None`: base URL and key",
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
        description="the key, or a sync or async function that returns it; `None` reads OPENAI_API_KEY. "
        "A pickle holds the function and no key",
    )
    base_url: str | None = Field(default=None, description="`None` reads OPENAI_BASE_URL, else OpenAI is used")
    organization: str | None = None
    timeout: float | None = Field(
        default=300.0, gt=0, allow_inf_nan=False, description="seconds without a byte after which a call fails"
    )
    max_retries: int = Field(default=2, ge=0, description="how often to resend a request that certainly drew nothing")
    max_wait: float = Field(
        default=120.0,
        ge=0,
        allow_inf_nan=False,
        description="the longest wait, in seconds, that the service may ask for before a retry; "
        "its error is raised at once if it asks for more",
    )
    rate_limiter: BaseRateLimiter | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="LangChain's rate limiter, asked before each request that may be billed, retries included; "
        "copies share it, so that it holds for batches and parallel tool calls",
    )
    around_image: Callable[..., Any] | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="called as `around_image(request, call)` around every drawing: it may change the request, answer "
        "with an `ImageResult` from elsewhere, or refuse by raising; async functions serve async drawings alone",
    )
    on_partial: Callable[[PartialImage], Any] | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="called with each partial picture of every call, also of `invoke`, if `options.partial_images` "
        "asks for some; a sync or async function (async calls only). If it fails, the picture is drawn all the same",
    )
    client: Any = Field(
        default=None, exclude=True, repr=False, description="an `OpenAI` or `AzureOpenAI` to use instead"
    )
    async_client: Any = Field(default=None, exclude=True, repr=False, description="the same for async calls")
    azure_image_deployment: str | None = Field(default=None, description="Azure's deployment of the image model")

    _connections: Connections = PrivateAttr()

    def __init__(self, **settings: Unpack[SettingFields]) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
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

    @field_validator("image_store", mode="before")
    @classmethod
    def _opened(cls, value: Any) -> ImageStore | None:
        return store_at(value)

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _parsed_each(cls, value: Any) -> Any:
        options = value if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(each, (ImageOptions, Mapping)) for each in options):
            raise OptionError(
                f"fallbacks={shown(value)}: it takes a list of options, such as [ImageOptions(model='gpt-image-2')]"
            )
        return [ImageOptions.parse(each) for each in options]

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
        if self.api == "images" and self.delivery == "background":
            raise OptionError('api="images" draws nothing in the background: use api="responses" or another delivery=')
        if self.library is not None:
            from langchain_imagegen.drawing.cataloguing import check_library

            check_library(self.library, self.chosen_store)
        if self.model_kwargs or self.reasoning:
            from langchain_imagegen.drawing.model_kwargs import check_model_kwargs

            check_model_kwargs(self.model_kwargs, self.reasoning, self.api)
        key = self.api_key.get_secret_value() if isinstance(self.api_key, SecretStr) else self.api_key
        self._connections = Connections(
            {"api_key": key, "base_url": self.base_url, "organization": self.organization},
            client=self.client,
            async_client=self.async_client,
            timeout=self.timeout,
            headers={AZURE_HEADER: self.azure_image_deployment} if self.azure_image_deployment else None,
        )

    def __getstate__(self) -> dict[Any, Any]:
        """Return the state for `pickle`, in which an `InMemoryRateLimiter` is replaced by its rate.

        It holds no key and no password, like the pickle of an image store: another process takes them from its own
        environment. A function that gives the key is kept.
        """
        from langchain_imagegen.drawing.connections import without_secrets
        from langchain_imagegen.drawing.rate_limits import for_pickle

        state = super().__getstate__()
        fields = {**without_secrets(state["__dict__"]), "rate_limiter": for_pickle(self.rate_limiter)}
        return {**state, "__dict__": fields}

    @property
    def patience(self) -> float:
        """Seconds for which a response that the service is still drawing is waited for."""
        return math.inf if self.timeout is None else self.timeout

    @property
    def provider(self) -> str:
        """The host of the service's base URL."""
        return self._transport.provider

    @property
    def namespace(self) -> str:
        """What tells the calls of this generator from others in the ledger."""
        return self.ledger_namespace or " ".join(self._transport.account)

    @property
    def under_way(self) -> tuple[UnderWay, ...]:
        """The calls that have no answer yet; a response id lets `resume` fetch the picture later."""
        return self._connections.calls.under_way()

    @property
    def chosen_store(self) -> ImageStore:
        """The image store: `image_store`, or the default one."""
        return self.image_store or default_store()

    @property
    def _transport(self) -> Transport:
        return self._connections.transport
