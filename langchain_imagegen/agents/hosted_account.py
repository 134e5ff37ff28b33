"""The account of a model call that draws by itself: its image tokens, which chat models leave out of their answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage

from langchain_imagegen.api.fields import Fields
from langchain_imagegen.api.responses import read_image_usage
from langchain_imagegen.drawing.accounting import ModelRun, areport, callbacks_here, image_run, report
from langchain_imagegen.drawing.telemetry import record_span
from langchain_imagegen.http.rewriter import Arrived
from langchain_imagegen.images.image import GeneratedImage, with_tokens
from langchain_imagegen.images.usage import ImageUsage, ResponseTokens


@dataclass
class HostedAccount:
    """Keeps the tokens of hosted calls with their pictures, and tells callbacks and tracers of them.

    Args:
        image_model: The image model that the hosted tool asks for; None if the call offers no hosted tool.
        began: When the model call began, in nanoseconds since 1970.
        drawn: The pictures of the answer.
        usage: The tokens that the service reports for them.
        prompt: What the user asked for.
    """

    image_model: str | None = None
    began: int = field(default_factory=time.time_ns)
    drawn: list[GeneratedImage] = field(default_factory=list)
    usage: ImageUsage | None = None
    prompt: str = ""

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
