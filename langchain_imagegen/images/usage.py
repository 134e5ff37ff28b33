"""What a response took: `ImageUsage` as the service reports it, and `ResponseTokens`, the small form of the records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from langchain_imagegen.images.cost import Cost, cost_of_image_tokens, cost_of_mainline_tokens, unknown


class ImageUsage(BaseModel):
    """Tokens of the image model, summed over all pictures of a response (`tool_usage.image_gen`)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_token_details: dict[str, int] = Field(default_factory=dict)
    output_token_details: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def of(cls, usage: Mapping[str, Any] | None) -> Self | None:
        """Return the tokens that the service reports; None where it reports none, which is not zero."""
        if usage is None:
            return None
        return cls(
            input_tokens=usage.get("input_tokens") or 0,
            output_tokens=usage.get("output_tokens") or 0,
            total_tokens=usage.get("total_tokens") or 0,
            input_token_details=_counts(usage.get("input_tokens_details")),
            output_token_details=_counts(usage.get("output_tokens_details")),
        )

    def by_kind(self) -> dict[str, int]:
        """Return the tokens by the kinds that have a price of their own.

        What no detail accounts for counts as image tokens, which never cost less than text.
        """
        read, written = self.input_token_details, self.output_token_details
        text_in, text_out = read.get("text", 0), written.get("text", 0)
        image_in = max(self.input_tokens - text_in, 0)
        cached_text, cached_image = min(read.get("cached_text", 0), text_in), min(read.get("cached_image", 0), image_in)
        return {
            "text_in": text_in - cached_text,
            "text_cached": cached_text,
            "image_in": image_in - cached_image,
            "image_cached": cached_image,
            "text_out": text_out,
            "image_out": max(self.output_tokens - text_out, 0),
        }

    def cost(self, model: str | None, at: datetime | None = None) -> Cost:
        """Return what the tokens cost by the standard prices of an image model, such as `gpt-image-2`.

        Args:
            model: The image model, or a snapshot of it.
            at: When they were used; `None` means now. Only the extra `cost` knows earlier prices.

        Returns:
            A cost whose `total` is `None` if the price of the model is not known; its `reason` says so.
        """
        if model is None:
            return unknown("which image model drew is not known")
        return cost_of_image_tokens(self.by_kind(), model, at)


class ResponseTokens(BaseModel):
    """The tokens of the response that drew a picture, in its record: some 150 bytes of JSON.

    The service reports the sum over all pictures of a response. So the first picture has the tokens, and each other one
    says with `on` which picture that is.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    image: dict[str, NonNegativeInt] | None = Field(default=None, description="of the image model, by kind")
    mainline: dict[str, NonNegativeInt] | None = Field(default=None, description="of the mainline model, by kind")
    model: str | None = Field(default=None, description="the mainline model")
    on: str | None = Field(default=None, description="id of the picture that has the tokens of the same response")

    @classmethod
    def of(
        cls, image: ImageUsage | None, usage: Mapping[str, Any] | None, model: str | None, *, mainline: bool = True
    ) -> Self:
        """Return what a response reports.

        Args:
            image: The image model's tokens; zero for a picture that was drawn means not told.
            usage: The mainline model's, as LangChain counts them.
            model: The mainline model.
            mainline: Whether there is a mainline model; the Images API has none.
        """
        told = image.by_kind() if image is not None and image.output_tokens else None
        text = {} if not mainline else None if usage is None else mainline_by_kind(usage)
        return cls(image=told and _counted(told), mainline=text if text is None else _counted(text), model=model)

    def cost(self, image_model: str | None, at: datetime | None = None, *, calls: int = 1) -> Cost:
        """Return what the response, or so many of them, cost by the prices of an image model and its mainline model."""
        if self.image is None:
            drawn = unknown("the service does not report the image tokens")
        elif image_model is None:
            drawn = unknown("which image model drew is not known")
        else:
            drawn = cost_of_image_tokens(self.image, image_model, at)
        return drawn + self._cost_of_mainline(at, calls)

    def _cost_of_mainline(self, at: datetime | None, calls: int) -> Cost:
        if self.mainline == {}:
            return Cost(mainline=Decimal(0))
        if self.mainline is None or self.model is None:
            return unknown("the service does not report the mainline model's tokens")
        return cost_of_mainline_tokens(self.mainline, self.model, at, calls=calls)


def mainline_by_kind(usage: Mapping[str, Any]) -> dict[str, int]:
    """Return a mainline model's tokens, as LangChain counts them (`UsageMetadata`), by kind."""
    read, written = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
    cached = min((usage.get("input_token_details") or {}).get("cache_read") or 0, read)
    return {"text_in": read - cached, "text_cached": cached, "text_out": written}


def _counted(tokens: Mapping[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in tokens.items() if count}


def _counts(details: Mapping[str, Any] | None) -> dict[str, int]:
    return {key.removesuffix("_tokens"): count for key, count in (details or {}).items() if isinstance(count, int)}
