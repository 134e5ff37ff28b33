"""The account of a model call that draws by itself: its image tokens, which chat models leave out of their answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain.agents.middleware.types import ModelRequest
from langchain_core.messages import AIMessage

from langchain_imagegen.agents.chat_models import is_hosted
from langchain_imagegen.agents.failures import read_failure
from langchain_imagegen.api.fields import Fields
from langchain_imagegen.api.responses import read_image_usage
from langchain_imagegen.drawing.accounting import ModelRun, areport, callbacks_here, image_run, report
from langchain_imagegen.drawing.telemetry import record_span
from langchain_imagegen.errors import ImageGenerationError
from langchain_imagegen.http.rewriter import Arrived
from langchain_imagegen.images.image import GeneratedImage, with_tokens
from langchain_imagegen.images.usage import ImageUsage, ResponseTokens


@dataclass
class HostedAccount:
    """Keeps the tokens of hosted calls with their pictures, and tells callbacks and tracers of them.

    Args:
        offered: True if the call offers the hosted tool.
        image_model: The image model that the hosted tool asks for, if it names one.
        began: When the model call began, in nanoseconds since 1970.
        drawn: The pictures of the answer.
        usage: The tokens that the service reports for them.
        prompt: What the user asked for.
    """

    offered: bool = False
    image_model: str | None = None
    began: int = field(default_factory=time.time_ns)
    drawn: list[GeneratedImage] = field(default_factory=list)
    usage: ImageUsage | None = None
    prompt: str = ""

    def sending(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """Note whether a request offers the hosted tool, and return it."""
        hosted = [tool for tool in request.tools if isinstance(tool, dict) and is_hosted(tool)]
        self.offered, self.image_model = bool(hosted), hosted[0].get("model") if hosted else None
        return request

    def enter(
        self, images: Sequence[GeneratedImage], answer: AIMessage, arrived: Arrived, prompt: str
    ) -> list[GeneratedImage]:
        """Return the pictures of an answer with the image model that drew them and the tokens of their response."""
        model = answer.response_metadata.get("model_name")
        self.usage, self.prompt = read_image_usage(Fields({"image_gen": arrived.tokens.usage}), "image_gen"), prompt
        named = [image.model_copy(update={"image_model": image.image_model or self.image_model}) for image in images]
        tokens = ResponseTokens.of(self.usage, answer.usage_metadata, model if isinstance(model, str) else None)
        self.drawn = list(with_tokens(named, tokens))
        return self.drawn

    def fail(self, error: Exception, host: str, prompt: str, response_id: str | None) -> None:
        """Record that a call which offered the hosted tool has failed; whether it would have drawn is not known.

        Errors of others than the service, such as of another middleware, are not recorded.
        """
        ours = error if isinstance(error, ImageGenerationError) else read_failure(error)
        if self.offered and isinstance(ours, ImageGenerationError):
            kind = type(ours).__name__
            record_span(self.image_model, self.began, host=host, prompt=prompt, response_id=response_id, error=kind)

    def report(self) -> None:
        """Tell callbacks and tracers what the hosted calls of the answer took."""
        report(callbacks_here(), self._runs())

    async def areport(self) -> None:
        """Async twin of `report`."""
        await areport(callbacks_here(), self._runs())

    def _runs(self) -> list[ModelRun]:
        """Return the run of the image model, and record its span; nothing if no picture was drawn."""
        if not self.drawn:
            return []
        first = self.drawn[0]
        host, prompt, id = first.provider, self.prompt, first.response_id
        record_span(first.image_model, self.began, host=host, prompt=prompt, response_id=id, usage=self.usage)
        return image_run(first.image_model, self.usage, host, prompt)
