"""LangChain's counters, tracers and OpenTelemetry see every token of a drawing, and neither pictures nor more runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler, get_usage_metadata_callback
from langchain_core.tracers import BaseTracer
from langchain_core.tracers.context import collect_runs, register_configure_hook
from langchain_core.tracers.schemas import Run
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_imagegen import ImageGenerator
from langchain_imagegen.errors import ImageGenerationError
from langchain_imagegen.simulator import Simulator, moderated

Make = Callable[..., ImageGenerator]


class Tracer(BaseTracer):
    """Collects each root run that ends, with its child runs."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Set a tracer provider for the test, and yield the exporter that has its spans."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def test_the_usage_callback_counts_both_models(low: Make, half: Any):
    """`UsageMetadataCallbackHandler` counts the tokens of the mainline model and of the image model, each by name."""
    counter = UsageMetadataCallbackHandler()
    result = half.invoke(low(), "a fox", config={"callbacks": [counter]})

    seen = counter.usage_metadata
    assert set(seen) == {result.model, "gpt-image-2"}
    assert seen[result.model]["total_tokens"] == result.usage["total_tokens"]
    assert seen["gpt-image-2"]["output_tokens"] == result.image_usage.output_tokens
    assert seen["gpt-image-2"]["input_tokens"] == result.image_usage.input_tokens > 0


def test_a_stream_is_counted_once(low: Make, half: Any):
    """A streamed drawing with partial pictures is counted once, at its end."""
    counter = UsageMetadataCallbackHandler()
    pieces = half.stream(low(), "a fox", config={"callbacks": [counter]}, partial_images=2)

    assert counter.usage_metadata["gpt-image-2"]["output_tokens"] == pieces[-1].image_usage.output_tokens


def test_the_context_counts_a_batch(low: Make):
    """`get_usage_metadata_callback` counts every picture of a batch."""
    with get_usage_metadata_callback() as counter:
        results = low().batch(["a fox", "an owl"])

    total = sum(result.image_usage.total_tokens for result in results)
    assert counter.usage_metadata["gpt-image-2"]["total_tokens"] == total


def test_the_ledgers_pictures_are_not_counted_again(low: Make):
    """A picture that the ledger had takes no tokens."""
    counter = UsageMetadataCallbackHandler()
    draw = low()
    draw.invoke("a fox", once="fox")
    again = draw.invoke("a fox", once="fox", config={"callbacks": [counter]})

    assert again.from_ledger
    assert counter.usage_metadata == {}


def test_tracers_get_what_langsmith_prices(low: Make, half: Any):
    """A tracer sees a model run for each model, with provider, model name and usage, below the drawing's own run."""
    tracer = Tracer()
    result = half.invoke(low(), "a fox", config={"callbacks": [tracer]})
    [root] = tracer.runs

    told = [
        (run.run_type, run.extra["metadata"]["ls_provider"], run.extra["metadata"]["ls_model_name"])
        for run in root.child_runs
    ]
    assert told == [("llm", "openai", result.model), ("llm", "openai", "gpt-image-2")]
    usage = root.child_runs[1].outputs["generations"][0][0]["message"]["kwargs"]["usage_metadata"]
    assert usage["total_tokens"] == result.image_usage.total_tokens


def test_a_span_tells_model_and_tokens(low: Make, half: Any, spans: InMemorySpanExporter):
    """One span `image_generation {model}` has the attributes of the conventions, and neither prompt nor picture."""
    result = half.invoke(low(), "a secret fox")
    [span] = spans.get_finished_spans()

    assert span.name == "image_generation gpt-image-2"
    assert span.kind is trace.SpanKind.CLIENT
    assert span.end_time > span.start_time
    told = dict(span.attributes)
    assert told["gen_ai.operation.name"] == "image_generation"
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == told["gen_ai.response.model"] == "gpt-image-2"
    assert told["gen_ai.response.id"] == result.response_id
    assert told["gen_ai.output.type"] == "image"
    assert told["gen_ai.usage.output_tokens"] == result.image_usage.output_tokens
    assert told["langchain_imagegen.mainline.output_tokens"] == result.usage["output_tokens"]
    assert "fox" not in span.to_json()
    assert len(span.to_json()) < 3000


def test_the_prompt_is_recorded_if_asked_for(low: Make, spans: InMemorySpanExporter, monkeypatch):
    """The variable of the conventions adds the prompt to the span."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    low().invoke("a fox")
    [span] = spans.get_finished_spans()

    [message] = json.loads(span.attributes["gen_ai.input.messages"])
    assert message == {"role": "user", "parts": [{"type": "text", "content": "a fox"}]}


def test_a_refused_drawing_is_a_failed_span(low: Make, half: Any, simulator: Simulator, spans: InMemorySpanExporter):
    """The span of a drawing that fails names the kind of the error and not its text."""
    simulator.script(moderated("input", ["violence"]))
    with pytest.raises(ImageGenerationError):
        half.invoke(low(), "a fox")
    [span] = spans.get_finished_spans()

    assert span.attributes["error.type"] == "ModerationError"
    assert not span.status.is_ok
    assert "violence" not in span.to_json()


def test_spans_hang_below_the_callers(low: Make, half: Any, spans: InMemorySpanExporter):
    """The span is a child of the span that is current where the picture is asked for."""
    with trace.get_tracer("app").start_as_current_span("request") as parent:
        half.invoke(low(), "a fox")
    drawing, _ = spans.get_finished_spans()

    assert drawing.parent.span_id == parent.get_span_context().span_id


def test_followers_that_are_not_inherited_see_the_tokens(low: Make, half: Any):
    """`collect_runs`, and a handler that LangChain adds to each run anew, see the runs of the models too."""
    here: ContextVar[UsageMetadataCallbackHandler | None] = ContextVar("here", default=None)
    register_configure_hook(here, inheritable=False)
    counter = UsageMetadataCallbackHandler()
    added = here.set(counter)
    with collect_runs() as collected:
        result = half.invoke(low(), "a fox")
    here.reset(added)

    assert [len(run.child_runs) for run in collected.traced_runs] == [2]
    assert set(counter.usage_metadata) == {result.model, "gpt-image-2"}
