"""`SettingFields`: the arguments of `ImageGenerator`, typed for editors and type checkers.

Some arguments take more types than their fields keep, such as a dict for `options`. Nothing is validated here;
`GeneratorSettings` owns the fields.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypedDict

from langchain_core.rate_limiters import BaseRateLimiter
from pydantic import SecretStr

from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.options.options import Api, ImageOptions, Reference
from langchain_imagegen.storage.library import ImageLibrary
from langchain_imagegen.storage.store import ImageStore


class SettingFields(TypedDict, total=False):
    """The fields of `GeneratorSettings` and of LangChain's runnables, as `ImageGenerator` takes them."""

    name: str | None
    model: str
    options: ImageOptions | Mapping[str, Any] | None
    fallbacks: Sequence[ImageOptions | Mapping[str, Any]]
    api: Api
    memory: ImageMemory | None
    image_store: ImageStore | str | os.PathLike[str] | None
    library: ImageLibrary | None
    store: bool | None
    tool_choice: Any
    instructions: str | None
    reference: Reference
    delivery: Literal["direct", "stream", "background"]
    once: Literal["auto", False] | None
    ledger_expires: timedelta
    ledger_namespace: str | None
    prepare: bool
    reasoning: dict[str, Any] | None
    model_kwargs: dict[str, Any]
    check_options: bool
    api_key: str | SecretStr | Callable[[], Any] | None
    base_url: str | None
    organization: str | None
    timeout: float | None
    max_retries: int
    max_wait: float
    rate_limiter: BaseRateLimiter | None
    around_image: Callable[..., Any] | None
    on_partial: Callable[[PartialImage], Any] | None
    client: Any
    async_client: Any
    azure_image_deployment: str | None
