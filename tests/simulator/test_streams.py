"""The simulator's event streams and background responses, read by the unmodified SDK."""

from __future__ import annotations

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from langchain_imagegen.simulator import Simulator
from tests.sdk import JPEG, TOOL, data, edit_of, pictures, send, stream


def test_event_order_with_reasoning(call):
    """A stream without `partial_images` has the recorded order of events and one partial that equals the result."""
    events = stream(call)

    image = "response.image_generation_call"
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
        f"{image}.in_progress",
        f"{image}.generating",
        f"{image}.partial_image",
        f"{image}.completed",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(16))
    assert events[7].partial_image_b64 == events[9].item.result == pictures(events[-1].response)[0].result
    assert events[4].item.to_dict() == {
        "id": events[9].item.id,
        "type": "image_generation_call",
        "status": "in_progress",
    }


def test_one_partial_more_than_asked(call, simulator):
    """`partial_images=2` gives three different partials, the last one is the picture, and one picture is made."""
    events = stream(call, tools=[{**TOOL, "partial_images": 2}], model="gpt-4.1")

    partials = [event for event in events if event.type.endswith(".partial_image")]
    assert [event.partial_image_index for event in partials] == [0, 1, 2]
    assert len({event.partial_image_b64 for event in partials}) == 3
    assert partials[-1].partial_image_b64 == pictures(events[-1].response)[0].result
    assert "".join(event.delta for event in events if event.type.endswith("text.delta")) == (
        events[-1].response.output_text
    )
    assert events[-1].response.tool_usage.image_gen.output_tokens == 196 + 200
    assert simulator.pictures == 1


def test_streamed_pictures_can_be_edited(call):
    """A streamed response is stored: it can be retrieved and its picture edited."""
    first = stream(call)[-1].response
    second = stream(call, input=edit_of(pictures(first)[0].id))[-1].response

    assert pictures(second)[0].action == "edit"
    assert call("responses.retrieve", response_id=first.id).id == first.id


def test_first_event_comes_before_the_picture():
    """The first event, with the response id, arrives before the picture is made."""
    with Simulator(latency=30) as simulator, OpenAI(base_url=simulator.base_url, api_key="sk") as client:
        events = client.responses.create(model="gpt-5", input="Draw a fox", tools=[TOOL], stream=True)
        first = next(iter(events))
        events.close()

    assert first.response.id.startswith("resp_")
    assert first.response.status == "in_progress"


# Background


def test_background_goes_through_its_states(call, simulator):
    """A background response is queued, then in progress, then completed with one picture."""
    fields = {"model": "gpt-5", "input": "Draw a fox", "tools": [TOOL], "background": True}
    first = call("responses.create", **fields)
    states = [call("responses.retrieve", response_id=first.id) for _ in range(2)]

    assert [first.status, *(state.status for state in states)] == ["queued", "in_progress", "completed"]
    assert data(states[-1]).startswith(JPEG)
    assert simulator.pictures == 1


def test_background_finishes_unwatched(call, simulator):
    """A background picture is made without any poll, and the next turn can edit it."""
    first = call("responses.create", model="gpt-5", input="Draw a fox", tools=[TOOL], background=True)

    assert simulator.pictures == 1
    edit = call("responses.create", model="gpt-5", input="Make it red", tools=[TOOL], previous_response_id=first.id)
    assert pictures(edit)[0].action == "edit"


def test_cancelled_background_is_not_drawn():
    """A background response that is cancelled in time makes no picture."""
    with Simulator(latency=30) as simulator:
        fields = {"model": "gpt-5", "input": "Draw a fox", "tools": [TOOL], "background": True}
        first = send(simulator.base_url, "sk", "responses.create", **fields)
        cancelled = send(simulator.base_url, "sk", "responses.cancel", response_id=first.id)
        later = send(simulator.base_url, "sk", "responses.retrieve", response_id=first.id)

    assert cancelled.status == later.status == "cancelled"
    assert simulator.pictures == 0


def test_only_background_can_be_cancelled_or_resumed(call):
    """A foreground response can be neither cancelled nor streamed again."""
    first = call("responses.create", model="gpt-5", input="hi")

    with pytest.raises(BadRequestError):
        call("responses.cancel", response_id=first.id)
    with pytest.raises(NotFoundError):
        call("responses.retrieve", response_id=first.id, stream=True)


def test_background_stream_resumes(call):
    """A background stream starts as queued, and `starting_after` repeats the later events unchanged."""
    events = stream(call, background=True)
    again = call("responses.retrieve", response_id=events[0].response.id, stream=True, starting_after=4)

    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert [event.to_dict() for event in again] == [event.to_dict() for event in events[5:]]


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_obfuscation": False}}], ids=["default", "off"])
def test_obfuscation(call, options):
    """Each text delta has an `obfuscation` field, unless the request turns it off."""
    events = stream(call, input="Which bird is this?", **options)
    deltas = [event.to_dict() for event in events if event.type == "response.output_text.delta"]

    assert deltas
    assert {"obfuscation" in delta for delta in deltas} == {not options}
