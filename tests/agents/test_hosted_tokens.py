"""The image tokens of hosted calls, which chat models leave out of their messages, are counted, kept and traced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_imagegen import ImageGenerationMiddleware, ImageMemory
from langchain_imagegen.images.token_tables import output_tokens
from langchain_imagegen.simulator import failed, moderated, server_error
from tests.conversations import SMALL

LOW = output_tokens("gpt-image-2", "816x816", "low")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Set a tracer provider for the test, and yield the exporter that has its spans."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
@pytest.mark.parametrize("wire", [False, True], ids=["base64", "wire"])
def test_every_token_of_a_hosted_call_is_known(talks, wire, streaming):
    """The usage callback counts both models, and the thread's cost has both after its messages are gone."""
    counter = UsageMetadataCallbackHandler()
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=wire))
    config = {"configurable": {"thread_id": "one"}, "callbacks": [counter]}
    talk.say("draw a fox", config=config, streaming=streaming)

    partials = 100 if streaming else 0  # `ChatOpenAI` asks for one
    assert counter.usage_metadata["gpt-image-2"]["output_tokens"] == LOW + partials
    [chat] = [name for name in counter.usage_metadata if name != "gpt-image-2"]
    channel_alone = ImageMemory.from_state({"generated_images": talk.state["generated_images"]})
    cost = channel_alone.cost()
    assert cost.total == talk.memory.cost().total > 0
    assert cost.image_output == (LOW + partials) * 30 / cost.total.__class__(1_000_000)
    assert [price.model for price in cost.prices] == ["gpt-image-2", chat]


def test_a_thread_adds_up_over_turns(talks):
    """Each response of a thread is counted once, however many turns follow."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say("draw a fox")
    first = talk.memory.cost()
    talk.say("make it winter")
    second = talk.memory.cost()
    talk.say("thank you")

    assert second.image_output == 2 * first.image_output
    assert second.image_input > first.image_input == 0
    assert talk.memory.cost() == second


def test_a_hosted_drawing_is_one_span(talks, spans):
    """A turn that draws has one span `image_generation {model}`, and a turn of text has none."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say("draw a fox")
    talk.say("thank you")
    [span] = [span for span in spans.get_finished_spans() if span.name.startswith("image_generation")]

    assert span.name == "image_generation gpt-image-2"
    assert span.attributes["gen_ai.usage.output_tokens"] == LOW
    assert span.attributes["gen_ai.response.id"] == talk.memory.latest.response_id
    assert "fox" not in span.to_json()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (moderated("input", ["violence"]), "ModerationError"),
        (server_error(), "ServiceUnavailableError"),
        (failed(), "ServiceError"),
    ],
    ids=["refused", "status 500", "failed"],
)
def test_a_hosted_call_that_fails_is_a_failed_span(talks, spans, simulator, fault, error):
    """The span of a failed hosted call has the kind of its error and the attributes that are known, and no text."""
    simulator.script(fault)
    talk = talks.start(ImageGenerationMiddleware({**SMALL, "model": "gpt-image-2"}))
    with pytest.raises(Exception, match=r"\w"):
        talk.say("draw a fox")
    [span] = [span for span in spans.get_finished_spans() if span.name.startswith("image_generation")]

    assert span.name == "image_generation gpt-image-2"
    assert not span.status.is_ok
    told = {name: span.attributes[name] for name in ("error.type", "gen_ai.request.model", "gen_ai.provider.name")}
    assert told == {"error.type": error, "gen_ai.request.model": "gpt-image-2", "gen_ai.provider.name": "openai"}
    assert span.attributes["gen_ai.operation.name"] == "image_generation"
    assert span.attributes["server.address"] == "127.0.0.1"
    assert not {"gen_ai.response.model", "gen_ai.usage.output_tokens"} & span.attributes.keys()
    assert not [word for word in ("fox", "violence", "told to fail") if word in span.to_json()]


def test_a_failure_without_the_hosted_tool_is_no_span(talks, spans, simulator):
    """A call that cannot draw, since a limit has withheld the tool, has no span of a drawing when it fails."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, max_images={"thread": 1}))
    talk.say("draw a fox")
    simulator.script(server_error())
    with pytest.raises(Exception, match=r"\w"):
        talk.say("hello")

    assert len([span for span in spans.get_finished_spans() if span.name.startswith("image_generation")]) == 1
