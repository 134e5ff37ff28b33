"""Answers that break off are fetched again by response id; background responses survive whoever asked for them."""

from __future__ import annotations

import pytest

from langchain_imagegen import ImageGenerator, ImageMemory, ImageResult, PartialImage
from langchain_imagegen.errors import (
    ConnectionLostError,
    ImageTimeoutError,
    NoImageError,
    OptionError,
    ServiceError,
)
from langchain_imagegen.simulator import Simulator, cut_body, moderated, server_error

SMALL = {"size": "816x816", "quality": "low"}


def requests_of(simulator, method):
    """Return the requests of one method, in order."""
    return [request for request in simulator.requests if request.method == method]


@pytest.fixture
def slow_simulator():
    """Return a simulator that takes 0.3 seconds for a picture."""
    with Simulator(latency=0.3) as simulator:
        yield simulator


@pytest.mark.parametrize("delivery", ["direct", "stream", "background"])
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.6, 0.9, 0.999])
def test_a_cut_answer_is_fetched_again(half, generator, simulator, delivery, fraction):
    """A picture whose answer is cut anywhere behind its id is delivered, with a warning, and bought once."""
    simulator.script(cut_body(fraction=fraction))

    result = half.invoke(generator(options=SMALL, delivery=delivery), "draw a fox")
    assert result.image.read()
    assert result.response_id.startswith("resp_")
    assert result.image.prompt == "draw a fox"
    assert result.warnings
    assert simulator.pictures == 1


def test_a_cut_within_the_second_event(half, low, simulator):
    """The id that the first event told is not forgotten, wherever the second one is cut, which tells it again."""
    cuts = range(1380, 1620, 8)
    simulator.script(*(cut_body(after_bytes=cut) for cut in cuts))

    results = [half.stream(low(), f"draw {cut}")[-1] for cut in cuts]
    assert all("fetched again" in result.warnings[0] for result in results)
    assert simulator.pictures == len(cuts)


def test_a_cut_stream_still_ends_with_its_picture(half, generator, simulator):
    """A caller who streams gets the partial pictures that arrived and then the finished picture."""
    simulator.script(cut_body(fraction=0.2))

    pieces = half.stream(generator(options=SMALL | {"partial_images": 3}), "draw a fox")
    assert isinstance(pieces[-1], ImageResult)
    assert all(isinstance(piece, PartialImage) for piece in pieces[:-1])
    assert "fetched again" in pieces[-1].warnings[0]
    assert simulator.pictures == 1


def test_the_service_may_be_slow_to_answer_again(half, generator, simulator):
    """A service that is down for a moment is asked again, since asking costs nothing."""
    simulator.script(cut_body(fraction=0.5))
    simulator.script(server_error(503), cut_body(fraction=0.5), method="GET")

    assert half.invoke(generator(options=SMALL), "draw a fox").image.read()
    assert len(requests_of(simulator, "GET")) == 3
    assert simulator.pictures == 1


def test_a_picture_that_the_service_does_not_keep_is_lost(half, generator, simulator):
    """With `store=False` the error says so at once and carries the response id and the partial pictures."""
    simulator.script(cut_body(fraction=0.45))

    with pytest.raises(ConnectionLostError) as caught:
        half.stream(generator(options=SMALL | {"partial_images": 3}, store=False), "draw a fox")
    assert caught.value.response_id.startswith("resp_")
    assert all(partial.data for partial in caught.value.partials)
    assert caught.value.partials
    assert requests_of(simulator, "GET") == []


def test_invoke_carries_partial_pictures_too(half, generator, simulator):
    """The error of `invoke` carries the partial pictures if the caller asked for some."""
    simulator.script(cut_body(fraction=0.45))

    drawing = generator(options=SMALL | {"partial_images": 3}, store=False, delivery="stream")
    with pytest.raises(ConnectionLostError) as caught:
        half.invoke(drawing, "draw a fox")
    assert caught.value.partials


def test_an_expired_response_leaves_the_first_error(half, generator, simulator):
    """If the service no longer has the response, the caller learns that the connection broke, and why it stays lost."""
    simulator.script(cut_body(fraction=0.5))
    simulator.script(server_error(404), method="GET")

    with pytest.raises(ConnectionLostError) as caught:
        half.invoke(generator(options=SMALL), "draw a fox")
    assert isinstance(caught.value.__cause__, ServiceError)
    assert "could not be fetched either" in "".join(caught.value.__notes__)


# --- in the background


def test_background_pictures_are_polled_for(half, generator, slow_simulator):
    """With `delivery="background"`, the request returns at once and the picture is asked for until it is there."""
    drawing = generator(options=SMALL, delivery="background", base_url=slow_simulator.base_url)

    result = half.invoke(drawing, "draw a fox")
    assert result.image.read()
    assert result.warnings == ()
    assert requests_of(slow_simulator, "POST")[0].body["background"] is True
    assert len(requests_of(slow_simulator, "GET")) >= 2


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5])
def test_a_dropped_stream_resumes(half, generator, simulator, fraction):
    """A background stream that drops is read on behind its last event: each partial picture comes once."""
    simulator.script(cut_body(fraction=fraction))
    drawing = generator(options=SMALL | {"partial_images": 3}, delivery="background")

    *partials, result = half.stream(drawing, "draw a fox")
    assert [partial.index for partial in partials] == [0, 1, 2, 3]
    assert result.image.read()
    (again,) = requests_of(simulator, "GET")
    assert int(again.query["starting_after"]) >= 0
    assert simulator.pictures == 1


def test_a_stream_that_drops_again_and_again(half, generator, simulator):
    """A stream that brings nothing new any more is given up, and the response is polled for."""
    simulator.script(cut_body(fraction=0.3))
    simulator.script(cut_body(3), cut_body(3), method="GET")
    drawing = generator(options=SMALL | {"partial_images": 3}, delivery="background")

    assert half.stream(drawing, "draw a fox")[-1].image.read()
    assert simulator.pictures == 1


def test_resume_in_another_generator(half, generator, slow_simulator):
    """A picture that takes too long is an error with its id, and any generator picks it up later."""
    there = {"options": SMALL, "base_url": slow_simulator.base_url}
    with pytest.raises(ImageTimeoutError, match=r"draw\.resume") as caught:
        half.invoke(generator(**there, delivery="background", timeout=0.1), "draw a fox")

    memory = ImageMemory()
    later = generator(**there, memory=memory)
    result = half.call(later, "resume", caught.value.response_id)
    assert memory.latest == result.image
    assert slow_simulator.pictures == 1


def test_resume_of_a_finished_response(half, generator, simulator):
    """`resume` gives the same picture again and buys nothing."""
    first = half.invoke(generator(options=SMALL), "draw a fox")

    again = half.call(generator(), "resume", first.response_id)
    assert (again.image.id, again.image.sha256) == (first.image.id, first.image.sha256)
    assert simulator.pictures == 1


def test_resume_of_an_unknown_response(half, generator):
    """An id that the service does not know is an error with status 404."""
    with pytest.raises(ServiceError, match="not found") as caught:
        half.call(generator(), "resume", "resp_unknown")
    assert caught.value.status == 404


@pytest.mark.parametrize("id", [None, "", " "])
def test_resume_without_an_id(half, generator, simulator, id):
    """An error without a response id names nothing to fetch, and nothing is sent."""
    with pytest.raises(OptionError, match="names no response, so nothing can be fetched"):
        half.call(generator(), "resume", id)
    assert not simulator.requests


def test_cancel(half, generator):
    """A cancelled response draws nothing, and `resume` says that it was cancelled."""
    with Simulator(latency=600) as simulator:
        drawing = generator(options=SMALL, delivery="background", base_url=simulator.base_url, timeout=2.0)
        with pytest.raises(ImageTimeoutError) as caught:
            half.invoke(drawing, "draw a fox")

        patient = generator(base_url=simulator.base_url)
        assert half.call(patient, "cancel", caught.value.response_id) == "cancelled"
        with pytest.raises(NoImageError, match="cancelled"):
            half.call(patient, "resume", caught.value.response_id)
        assert simulator.pictures == 0


def test_a_background_refusal_says_why(half, generator, simulator):
    """What the service refuses in the background is the same error as elsewhere, not a lost connection."""
    simulator.script(moderated("output", ["violence"]))

    with pytest.raises(Exception, match="safety system") as caught:
        half.invoke(generator(options=SMALL, delivery="background"), "draw a fight")
    assert caught.value.categories == ["violence"]


def test_the_images_api_has_no_background():
    """`api="images"` draws nothing in the background, which is said when the generator is made."""
    with pytest.raises(OptionError, match="background"):
        ImageGenerator(api="images", delivery="background")
