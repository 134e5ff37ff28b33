"""OpenTelemetry: one span for each drawing, by the semantic conventions for generative AI; no picture is in it.

Nothing is imported here unless the application has imported OpenTelemetry, and nothing is recorded unless it has set a
tracer provider. The prompt is recorded only if OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT asks for content.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from langchain_imagegen.images.usage import ImageUsage, ResponseTokens

OPERATION = "image_generation"
AZURE_HOST = ".openai.azure.com"
_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_NO = ("", "false", "no_content", "event_only", "0")


def provider_name(host: str) -> str:
    """Return the provider as the conventions name it."""
    return "azure.ai.openai" if host.endswith(AZURE_HOST) else "openai"


def record_span(
    model: str | None,
    began: int,
    *,
    host: str = "",
    prompt: str = "",
    response_id: str | None = None,
    usage: ImageUsage | None = None,
    tokens: ResponseTokens | None = None,
    error: str | None = None,
) -> None:
    """Record the span `image_generation {model}`, which ends now.

    Args:
        model: The image model.
        began: When the drawing began, in nanoseconds since 1970.
        host: The host of the service.
        prompt: What was to be drawn.
        response_id: The id of the response.
        usage: The tokens of the image model.
        tokens: The tokens of the response, of which those of the mainline model are told.
        error: The name of the error that ended the drawing.
    """
    if "opentelemetry" not in sys.modules:
        return
    from opentelemetry import trace

    span = trace.get_tracer("langchain_imagegen").start_span(
        f"{OPERATION} {model}" if model else OPERATION, kind=trace.SpanKind.CLIENT, start_time=began
    )
    if span.is_recording():
        told = {
            "gen_ai.operation.name": OPERATION,
            "gen_ai.provider.name": provider_name(host),
            "gen_ai.output.type": "image",
            "gen_ai.request.model": model,
            "gen_ai.response.model": None if error else model,
            "gen_ai.response.id": response_id,
            "gen_ai.input.messages": _messages(prompt),
            "server.address": host or None,
            "error.type": error,
            **_tokens(usage, tokens),
        }
        span.set_attributes({name: value for name, value in told.items() if value is not None})
        if error:
            span.set_status(trace.Status(trace.StatusCode.ERROR))
    span.end()


def _tokens(usage: ImageUsage | None, tokens: ResponseTokens | None) -> Mapping[str, Any]:
    """Return the tokens of both models; the conventions have no names for a second model."""
    told: dict[str, Any] = {}
    if usage is not None:
        told = {"gen_ai.usage.input_tokens": usage.input_tokens, "gen_ai.usage.output_tokens": usage.output_tokens}
    if tokens is not None and tokens.mainline:
        read = tokens.mainline.get("text_in", 0) + tokens.mainline.get("text_cached", 0)
        told["langchain_imagegen.mainline.model"] = tokens.model
        told["langchain_imagegen.mainline.input_tokens"] = read
        told["langchain_imagegen.mainline.output_tokens"] = tokens.mainline.get("text_out", 0)
    return told


def _messages(prompt: str) -> str | None:
    if os.environ.get(_CAPTURE, "").strip().lower() in _NO or not prompt:
        return None
    return json.dumps([{"role": "user", "parts": [{"type": "text", "content": prompt}]}], ensure_ascii=False)
