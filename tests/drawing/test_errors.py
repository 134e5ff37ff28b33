"""Each way in which drawing can fail: which error is raised, what it advises, what was bought and which files stay.

Tests run sync and async, and for a JSON answer and a stream, where that makes a difference.
"""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from langchain_imagegen import ImageStore
from langchain_imagegen.errors import (
    AuthenticationError,
    ConnectionLostError,
    CorruptImageError,
    ImageTimeoutError,
    ModelNotFoundError,
    ModerationError,
    NoImageError,
    OptionRefusedError,
    OrganizationNotVerifiedError,
    QuotaError,
    RateLimitError,
    ServiceError,
    ServiceUnavailableError,
)
from langchain_imagegen.simulator import (
    answer,
    azure_stream,
    bad_key,
    corrupt_base64,
    cut_before_terminal,
    cut_body,
    delay,
    failed,
    flat_error_event,
    html_page,
    http_error,
    image,
    incomplete,
    keepalive,
    mislabelled,
    moderated,
    moderated_beside_good,
    nested_error_event,
    no_image,
    not_an_image,
    organization_not_verified,
    quota_exceeded,
    rate_limited,
    refusal,
    refuse_connection,
    server_error,
    unknown_event,
    xai_item,
)
from langchain_imagegen.simulator.faults import NOTHING, Delivery, Fault
from tests.loopback import JSON, SSE, serving

SMALL = {"size": "1024x1024", "quality": "low", "output_format": "jpeg"}


@pytest.fixture(params=["invoke", "stream"])
def way(request):
    """Return how to draw: `invoke` reads one JSON answer, `stream` reads events."""
    return request.param


@pytest.fixture
def draw(half, way, generator):
    """Return a function that draws a fox and returns the result."""

    def draw_fox(prompt="draw a fox", *, options=None, **settings):
        drawing = generator(**settings, options=SMALL | (options or {}))
        return half.invoke(drawing, prompt) if way == "invoke" else half.stream(drawing, prompt)[-1]

    return draw_fox


@pytest.fixture
def expect_error(draw, image_store):
    """Return a function that draws, expects this error with this advice and an empty store, and returns the error."""

    def draw_and_fail(kind, advice, **settings):
        with pytest.raises(kind, match=advice) as caught:
            draw(**settings)
        assert type(caught.value) is kind
        assert files(settings.get("image_store") or image_store) == []
        return caught.value

    return draw_and_fail


def png():
    """Return a PNG of a few KB."""
    data = io.BytesIO()
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 100).save(data, "png")
    return data.getvalue()


PNG = png()


def files(store):
    """Return all files of a store, including temporary ones."""
    return [path for path in Path(store.location).rglob("*") if path.is_file()]


def bought_once(simulator):
    """Return True if the service received one request and drew one picture."""
    return [request.method for request in simulator.requests].count("POST") == simulator.pictures == 1


# --- errors in place of a picture


def test_bad_key(expect_error, simulator):
    """A wrong key raises an `AuthenticationError` that names `OPENAI_API_KEY`, after one request."""
    simulator.script(bad_key())

    error = expect_error(AuthenticationError, "OPENAI_API_KEY")
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert error.request_id in str(error)
    assert len(simulator.requests) == 1


def test_no_key(half, generator, simulator):
    """Without a key, nothing is sent, and the error says how to set one and how to use the simulator instead."""
    with pytest.raises(AuthenticationError, match=r"OPENAI_API_KEY.*simulator"):
        half.invoke(generator(api_key=None), "draw a fox")
    assert simulator.requests == []


def test_unverified_organization(expect_error, simulator):
    """An image model that requires a verified organization raises an error with the address for verification."""
    simulator.script(organization_not_verified())

    assert expect_error(OrganizationNotVerifiedError, r"platform\.openai\.com/settings").status == 403


def test_quota(expect_error, simulator):
    """An account without credit raises a `QuotaError` after one request, although its status is 429."""
    simulator.script(quota_exceeded())

    assert expect_error(QuotaError, "no credit").code == "insufficient_quota"
    assert len(simulator.requests) == 1


def test_unknown_model(expect_error, simulator):
    """An unknown mainline model raises a `ModelNotFoundError` that says which name to check."""
    simulator.script(http_error(404, code="model_not_found", message="The model `gpt-9` does not exist."))

    expect_error(ModelNotFoundError, "name of the mainline model")


def test_option_refused_by_the_service(expect_error, simulator):
    """An option that the service refuses raises an `OptionRefusedError` with the service's message."""
    message = "Transparent background is not supported for this model."
    simulator.script(http_error(400, type="image_generation_user_error", param="tools", message=message))

    assert message in str(expect_error(OptionRefusedError, "the service refuses an option"))
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("status", [200, 403])
def test_html(expect_error, simulator, status):
    """An HTML page in place of an answer raises an error that quotes its beginning."""
    simulator.script(html_page(status))

    error = expect_error(AuthenticationError if status == 403 else ServiceError, "begins '<!doctype html>")
    assert error.status == status


def test_html_with_status_200_names_the_base_url(expect_error, simulator):
    """An HTML page with status 200 does not come from the API, so the error advises to check `base_url`."""
    simulator.script(html_page())

    expect_error(ServiceError, "base_url")
    assert len(simulator.requests) == 1


def test_error_of_a_proxy(expect_error, simulator):
    """A status 200 whose JSON has a text as `error` raises a `ServiceError` with that text."""
    simulator.script(answer({"error": "upstream says no"}))

    expect_error(ServiceError, "upstream says no")


# --- retried, since certainly nothing was drawn


def test_rate_limit(draw, simulator):
    """A rate limited request is repeated after the wait that the service asks for."""
    simulator.script(rate_limited(0.01), rate_limited(0.01))

    assert draw().image
    assert (len(simulator.requests), simulator.pictures) == (3, 1)


def test_rate_limit_without_a_delay(half, generator, simulator):
    """A rate limited request is repeated if the service asks for no particular wait."""
    simulator.script(rate_limited())

    assert half.invoke(generator(), "draw a fox").image
    assert len(simulator.requests) == 2


def test_rate_limit_exhausted(expect_error, simulator):
    """After the last retry the `RateLimitError` has the wait that the service asked for."""
    simulator.script(*[rate_limited(0.02)] * 3)

    assert expect_error(RateLimitError, "max_concurrency").retry_after == pytest.approx(0.02)
    assert len(simulator.requests) == 3


def test_no_retries(expect_error, simulator):
    """With `max_retries=0` a request is sent once."""
    simulator.script(rate_limited(0.02))

    expect_error(RateLimitError, "wait and try again", max_retries=0)
    assert len(simulator.requests) == 1


def test_rate_limit_with_its_delay_in_the_message(expect_error, simulator):
    """`retry_after` is read from the message if no header has it."""
    simulator.script(http_error(429, code="rate_limit_exceeded", message="Please try again in 467ms."))

    assert expect_error(RateLimitError, "wait", max_retries=0).retry_after == pytest.approx(0.467)


def test_rate_limit_of_minutes(expect_error, simulator):
    """If the service asks for more than two minutes, the error is raised at once."""
    simulator.script(rate_limited(121))

    assert expect_error(RateLimitError, "wait").retry_after == 121
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("status", [500, 503])
def test_server_error(draw, simulator, status):
    """A request is repeated after a 5xx that is the service's own error."""
    simulator.script(http_error(status, headers={"retry-after-ms": "5"}))

    assert draw().image
    assert (len(simulator.requests), simulator.pictures) == (2, 1)


def test_server_error_exhausted(expect_error, simulator):
    """After the last retry a 5xx raises a `ServiceUnavailableError` with its request id."""
    simulator.script(*[http_error(500, headers={"retry-after-ms": "5"})] * 3)

    error = expect_error(ServiceUnavailableError, "try again later")
    assert (error.status, bool(error.request_id)) == (500, True)
    assert len(simulator.requests) == 3


def test_the_service_can_forbid_a_retry(expect_error, simulator):
    """A 5xx with `x-should-retry: false` is not retried."""
    simulator.script(http_error(503, headers={"x-should-retry": "false"}))

    assert expect_error(ServiceError, "try again later").retryable is False
    assert len(simulator.requests) == 1


def test_backoff(half, generator, simulator):
    """A request is repeated after our own backoff if a 5xx asks for no wait."""
    simulator.script(server_error())

    assert half.invoke(generator(), "draw a fox").image
    assert len(simulator.requests) == 2


def test_connection_refused(half, generator, image_store):
    """If no server listens, the error has `sent=False` and advises to check `base_url`."""
    with pytest.raises(ConnectionLostError, match=r"check base_url") as caught:
        half.invoke(generator(base_url=f"http://127.0.0.1:{free_port()}/v1", max_retries=0), "draw a fox")
    assert caught.value.sent is False
    assert files(image_store) == []


def test_connection_refused_at_first(half, generator, simulator):
    """A refused connection is retried, since nothing can have been billed."""
    drawing = generator()
    simulator.stop()
    starting = threading.Timer(0.2, simulator.start)
    starting.start()

    assert half.invoke(drawing, "draw a fox").image
    starting.join()


def free_port():
    """Return a port on which no server listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# --- not retried, since the picture may have been billed


def test_closed_before_any_byte(expect_error, simulator):
    """A request whose connection closes without an answer is sent once, and the error says why."""
    simulator.script(refuse_connection())

    assert expect_error(ConnectionLostError, "not repeated by itself").sent is True
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("at", ["headers", "body"])
def test_timeout(expect_error, simulator, at):
    """If nothing arrives in time, an `ImageTimeoutError` advises to raise `timeout=`, after one request."""
    simulator.script(delay(5, at=at))

    expect_error(ImageTimeoutError, r"timeout= \(seconds\)", timeout=0.4)
    assert bought_once(simulator)


def test_stalled_within_a_picture(half, way, generator, image_store):
    """An answer that stalls within its picture raises an `ImageTimeoutError` and leaves no file."""
    body = unfinished_answer(way, {"type": "image_generation_call", "id": "ig_1", "result": encode(PNG)})

    timeout = pytest.raises(ImageTimeoutError, match="may still finish and bill")
    with serving([body[:900], 5.0], content_type(way)) as server, timeout as caught:
        draw_with(half, way, generator(base_url=server.base_url, timeout=0.4))
    assert caught.value.response_id == (None if way == "stream" else "resp_1")
    assert (files(image_store), server.posts) == ([], 1)


def test_cut_within_the_picture(expect_error, simulator):
    """A cut answer that the service does not keep raises a `ConnectionLostError` with the response id."""
    simulator.script(cut_body(fraction=0.3))

    error = expect_error(ConnectionLostError, "response 'resp_", store=False)
    assert error.response_id.startswith("resp_")
    assert bought_once(simulator)


def test_cut_at_once(expect_error, simulator):
    """An answer that is cut before its id raises a `ConnectionLostError` without a response id."""
    simulator.script(cut_body(4))

    assert expect_error(ConnectionLostError, "broke").response_id is None
    assert bought_once(simulator)


def test_cut_after_the_picture(draw, simulator, image_store):
    """An answer that is cut after its picture returns the picture, with a warning."""
    simulator.script(cut_before_the_end(40))

    result = draw()
    assert image_store.get(result.image.sha256) == result.image.read()
    assert "broke off after the pictures had arrived" in result.warnings[0]
    assert bought_once(simulator)


def cut_before_the_end(byte_count):
    """Return a fault that closes the connection `byte_count` bytes before the end of the answer."""
    return Fault("cut", delivery=Delivery(cut=lambda total: total - byte_count))


def test_stalled_after_the_picture(half, way, generator):
    """An answer that stalls after its picture returns the picture, with a warning."""
    item = {"type": "image_generation_call", "id": "ig_1", "result": encode(PNG)}

    with serving([unfinished_answer(way, item), 5.0], content_type(way)) as server:
        result = draw_with(half, way, generator(base_url=server.base_url, timeout=0.4))
    assert result.image.read() == PNG
    assert "broke off" in result.warnings[0]
    assert server.posts == 1


@pytest.mark.parametrize("pause", [[], [5.0]], ids=["cut", "stalled"])
def test_stream_that_ends_after_the_last_partial(half, generator, pause):
    """A stream that ends after its last partial picture returns that picture, since it is the finished one."""
    kind = "response.image_generation_call.partial_image"
    partial = {"type": kind, "item_id": "ig_1", "partial_image_index": 0, "partial_image_b64": encode(PNG)}

    with serving([frame(partial), *pause], SSE) as server:
        result = draw_with(half, "stream", generator(base_url=server.base_url, timeout=0.4))
    assert (result.image.id, result.image.read()) == ("ig_1", PNG)
    assert result.warnings
    assert server.posts == 1


def test_stream_that_ends_after_an_earlier_partial(half, generator, image_store):
    """A stream that ends after an earlier partial picture raises an error, since that picture is unfinished."""
    kind = "response.image_generation_call.partial_image"
    partial = {"type": kind, "item_id": "ig_1", "partial_image_index": 0, "partial_image_b64": encode(PNG)}

    with serving([frame(partial)], SSE) as server, pytest.raises(ConnectionLostError):
        half.stream(generator(base_url=server.base_url), "draw a fox", partial_images=2)
    assert files(image_store) == []


@pytest.mark.parametrize("after_picture", [False, True])
def test_incomplete_json(half, generator, image_store, after_picture):
    """JSON that ends early in a complete HTTP response is treated like a cut connection."""
    item = {"id": "ig_1", "type": "image_generation_call", "result": encode(PNG)}
    body = json.dumps({"id": "resp_1", "output": [item], "status": "completed"}).encode()
    cut = body.index(b'"status"') + 4 if after_picture else 900

    with serving([body[:cut]], JSON) as server:
        drawing = generator(base_url=server.base_url)
        if after_picture:
            assert half.invoke(drawing, "draw").image.read() == PNG
        else:
            with pytest.raises(ConnectionLostError, match="resp_1"):
                half.invoke(drawing, "draw")
    assert len(files(image_store)) == int(after_picture)
    assert server.posts == 1


# --- moderation


@pytest.mark.parametrize("stage", ["input", "output"])
@pytest.mark.parametrize("at", ["request", "item", "stream", "response"])
def test_moderated(expect_error, simulator, at, stage):
    """A refusal of the safety system raises the same `ModerationError` wherever the service reports it."""
    simulator.script(moderated(stage, ["violence", "gore"], at=at))

    error = expect_error(ModerationError, "change what is asked for")
    assert (error.stage, error.categories) == (stage, ["violence", "gore"])
    assert len(simulator.requests) == 1


def test_moderated_without_details(expect_error, simulator):
    """A refusal with nothing but its code raises a `ModerationError` whose stage is `unknown`."""
    simulator.script(http_error(400, code="content_policy_violation", message="Rejected."))

    error = expect_error(ModerationError, "the same request is refused again")
    assert (error.stage, error.categories) == ("unknown", [])


def test_moderated_beside_a_good_one(draw, simulator):
    """If one of two pictures is refused, the other is returned, and the refused one is listed as a failure."""
    simulator.script(moderated_beside_good("output", ["violence"]))

    result = draw()
    (failure,) = result.failures
    assert len(result.images) == 1
    assert (failure.stage, failure.categories) == ("output", ("violence",))
    assert failure.id != result.image.id
    assert "safety system" in result.warnings[0]


# --- no picture


def test_text_answer(expect_error, simulator):
    """An answer in text raises a `NoImageError` that has the text and advises to set `tool_choice`."""
    simulator.script(no_image("A fox is a small mammal."))

    error = expect_error(NoImageError, "tool_choice")
    assert error.text == "A fox is a small mammal."
    assert error.response_id.startswith("resp_")


@pytest.mark.parametrize("part", ["output_text", "refusal"])
def test_refusal(expect_error, simulator, part):
    """A model's refusal raises a `NoImageError` that quotes it, from either kind of content part."""
    simulator.script(refusal("I cannot draw that.", part))

    assert expect_error(NoImageError, "I cannot draw that").text == "I cannot draw that."


@pytest.mark.parametrize("reason", ["max_output_tokens", "max_messages", "steered"])
def test_incomplete(expect_error, simulator, reason):
    """A response that stopped before its picture raises a `NoImageError` that gives the reason."""
    simulator.script(incomplete(reason))

    expect_error(NoImageError, reason)


def test_incomplete_by_the_content_filter(expect_error, simulator):
    """A response that the content filter stopped raises a `ModerationError`."""
    simulator.script(incomplete("content_filter"))

    assert expect_error(ModerationError, "change what is asked for").stage == "output"


def test_incomplete_after_the_picture(draw, simulator):
    """A response that stopped after its picture returns the picture."""
    simulator.script(
        Fault("late", plan=lambda plan: replace(plan, status="incomplete", incomplete="max_output_tokens"))
    )

    assert draw().image


def test_unrelated_json(expect_error, simulator):
    """JSON that is not a response raises a `NoImageError`."""
    simulator.script(answer({"hello": "world"}))

    expect_error(NoImageError, "no picture")


# --- events


@pytest.mark.parametrize("event", [flat_error_event, nested_error_event, failed])
def test_error_within_a_stream(expect_error, simulator, event):
    """An error event or a failed response raises a `ServiceError`, after one request."""
    simulator.script(event("server_error", "The engine is overloaded."))

    assert expect_error(ServiceError, r"overloaded\. .*try again later").code == "server_error"
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("event", [flat_error_event, nested_error_event])
def test_rate_limit_within_a_stream(expect_error, simulator, event):
    """A rate limit within a stream raises a `RateLimitError` with the delay from its message."""
    simulator.script(event("rate_limit_exceeded", "Rate limit reached. Please try again in 12s."))

    assert expect_error(RateLimitError, "wait", max_retries=0).retry_after == 12
    assert len(simulator.requests) == 1


def test_error_as_the_last_event(half, generator, simulator):
    """An `error` event raises its error without a following `response.failed`."""
    lone = {"type": "error", "code": "server_error", "message": "Gone.", "param": None}
    simulator.script(answer(frame(lone).decode()))

    with pytest.raises(ServiceError, match="Gone"):
        half.stream(generator(), "draw a fox")


def test_error_event_before_a_cut(half, generator, simulator):
    """If a stream is cut after an error event, the service's error is raised."""
    lone = frame({"type": "error", "code": "rate_limit_exceeded", "message": "Wait.", "param": None})
    simulator.script(replace(answer(lone.decode()), delivery=Delivery(cut=lambda total: total)))

    with pytest.raises(RateLimitError, match="Wait"):
        half.stream(generator(max_retries=0), "draw a fox")


@pytest.mark.parametrize("form", ["flat", "nested", "text"])
def test_error_event_after_the_picture(half, generator, simulator, form):
    """If an error event follows the picture, the picture is returned with a warning."""
    forms = {"flat": {"message": "Late."}, "nested": {"error": {"message": "Late."}}, "text": {"error": "Late."}}
    last = {"type": "error", **forms[form]}
    simulator.script(replace(NOTHING, events=lambda events: [*events[:-1], last]))

    result = half.stream(generator(options=SMALL), "draw a fox")[-1]
    assert "Late." in result.warnings[0]
    assert bought_once(simulator)


@pytest.mark.parametrize("extra", [unknown_event(), keepalive(3)], ids=["unknown", "keepalive"])
def test_unknown_events_and_keepalives(draw, simulator, extra):
    """Unknown events and keepalives are ignored without a warning."""
    simulator.script(extra)

    assert draw().warnings == ()


def test_no_terminal_event(half, generator, simulator):
    """A stream that ends without its closing event returns the picture that arrived, with a warning."""
    simulator.script(cut_before_terminal())

    result = half.stream(generator(options=SMALL), "draw a fox")[-1]
    assert result.image.read()
    assert "without its closing event" in result.warnings[0]
    assert result.response_id.startswith("resp_")


def test_stream_that_ends_before_the_picture(half, generator, simulator, image_store):
    """A stream that ends before its picture raises a `ConnectionLostError` with the response id."""
    simulator.script(Fault("early", sent=lambda events: events[:3]))

    with pytest.raises(ConnectionLostError, match="before a picture had arrived") as caught:
        half.stream(generator(options=SMALL, store=False), "draw a fox")
    assert caught.value.response_id.startswith("resp_")
    assert files(image_store) == []


def test_corrupt_partial(half, generator, simulator):
    """Corrupt partial pictures are left out, and the finished picture is returned."""
    simulator.script(replace(NOTHING, events=lambda events: [_corrupt_partial(event) for event in events]))

    pieces = half.stream(generator(options=SMALL | {"partial_images": 2}), "draw a fox")
    assert len(pieces) == 1
    assert pieces[0].image.read()


def _corrupt_partial(event):
    if not event["type"].endswith("partial_image"):
        return event
    return event | {"partial_image_b64": event["partial_image_b64"][:200] + "!*!*"}


# --- other providers


@pytest.mark.parametrize("terminal", [True, False])
def test_azure(half, generator, simulator, terminal):
    """A stream of Azure returns its picture, although the item's status stays `generating`.

    Without its closing event the result has a warning.
    """
    simulator.script(azure_stream(terminal=terminal))

    *partials, result = half.stream(generator(options=SMALL | {"partial_images": 1}), "draw a fox")
    assert result.image.read() == partials[-1].data
    assert bool(result.warnings) is not terminal


def test_xai(draw, simulator):
    """An item of xAI is read, although it has `prompt` in place of `revised_prompt` and another kind of id."""
    simulator.script(xai_item())

    image = draw().image
    assert "fox" in image.revised_prompt
    assert not image.id.startswith("ig_")


# --- pictures


def test_corrupt_base64(expect_error, simulator):
    """Base64 with an illegal character raises a `CorruptImageError` that gives its position."""
    simulator.script(corrupt_base64())

    expect_error(CorruptImageError, "'!' at position .*nothing was saved")
    assert bought_once(simulator)


def test_not_an_image(expect_error, simulator):
    """Base64 of something other than a picture raises a `CorruptImageError`, and nothing is stored."""
    simulator.script(not_an_image())

    expect_error(CorruptImageError, "not a picture in a known format")


def test_truncated_picture(expect_error, simulator):
    """A truncated picture in valid base64 raises a `CorruptImageError`, and nothing is stored."""
    simulator.script(image(PNG[: len(PNG) // 2]))

    expect_error(CorruptImageError, "the PNG breaks off")


def test_mislabelled(draw, simulator):
    """A picture's MIME type is read from its bytes, whatever the service says."""
    simulator.script(mislabelled("webp"))

    image = draw(options={"output_format": "png"}).image
    assert (image.mime_type, image.output_format) == ("image/webp", "png")


def test_mislabelled_partial(half, generator, simulator):
    """A partial picture's MIME type is read from its bytes, whatever the service says."""
    simulator.script(mislabelled("webp"))

    partials = half.stream(generator(options=SMALL | {"partial_images": 1}), "draw a fox")[:-1]
    assert {partial.mime_type for partial in partials} == {"image/webp"}


def test_too_large(expect_error, simulator, tmp_path):
    """A picture above the store's `max_bytes` raises a `CorruptImageError` that says what to raise."""
    expect_error(CorruptImageError, "max_bytes=1000", image_store=ImageStore(tmp_path / "tight", max_bytes=1000))
    assert bought_once(simulator)


def test_several_pictures(draw, simulator):
    """All pictures of one answer are returned."""
    result = draw("draw two pictures of a fox")

    assert len({image.sha256 for image in result.images}) == len(result.images) == simulator.pictures == 2


def test_one_of_two_is_corrupt(half, generator, simulator, image_store):
    """If one of two pictures is corrupt, the other is returned, and the corrupt one is a failure with a warning."""
    simulator.script(_corrupt_second_copy())

    result = half.invoke(generator(options=SMALL), "draw two pictures of a fox")
    assert [path.stem for path in files(image_store)] == [result.image.sha256]
    assert "corrupt" in result.warnings[0]
    assert len(result.failures) == 1


def test_one_of_two_is_corrupt_in_a_stream(half, generator, simulator):
    """If the finished copy of a streamed picture is corrupt, its last partial copy is returned, with a warning."""
    simulator.script(_corrupt_second_copy())

    result = half.stream(generator(options=SMALL), "draw two pictures of a fox")[-1]
    assert len({image.sha256 for image in result.images}) == 2
    assert all(image.read() for image in result.images)
    assert "another copy was taken" in result.warnings[0]


def _corrupt_second_copy():
    changes = iter([lambda text: text, lambda text: text[:-8] + "!*!*!*!*"])
    return replace(NOTHING, item=lambda item: item | {"result": next(changes)(item["result"])})


# --- the Images API


@pytest.mark.parametrize(
    ("fault", "kind", "advice"),
    [
        (moderated("input", ["gore"]), ModerationError, "change what is asked for"),
        (corrupt_base64(), CorruptImageError, "nothing was saved"),
        (not_an_image(), CorruptImageError, "not a picture"),
        (cut_body(fraction=0.3), ConnectionLostError, "may have been drawn and billed|keeps nothing|broke off"),
        (delay(5), ImageTimeoutError, "timeout="),
        (bad_key(), AuthenticationError, "OPENAI_API_KEY"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_images_api(expect_error, simulator, fault, kind, advice):
    """Failures of the Images API raise the same errors, after one request each."""
    simulator.script(fault)

    expect_error(kind, advice, api="images", timeout=0.5)
    assert len(simulator.requests) == 1


def test_images_api_cut_after_the_picture(draw, simulator):
    """An answer of the Images API that is cut after its picture returns the picture, with a warning."""
    simulator.script(cut_before_the_end(4))

    assert "broke off" in draw(api="images").warnings[0]
    assert bought_once(simulator)


@pytest.mark.parametrize("api", ["responses", "images"])
def test_event_that_is_cut_after_its_picture(half, generator, api):
    """A stream that is cut within an event, but after its picture, returns the picture, with a warning."""
    item = {"type": "image_generation_call", "id": "ig_1", "result": encode(PNG), "status": "completed"}
    events = {
        "responses": {"type": "response.output_item.done", "item": item},
        "images": {"type": "image_generation.completed", "b64_json": encode(PNG), "size": "1024x1024"},
    }

    with serving([frame(events[api])[:-9]], SSE) as server:
        result = half.stream(generator(base_url=server.base_url, api=api), "draw a fox")[-1]
    assert result.image.read() == PNG
    assert "stream ended" in result.warnings[0]


# --- answers that the simulator cannot give


def encode(data):
    """Return bytes as base64 text."""
    return base64.b64encode(data).decode()


def unfinished_answer(way, item):
    """Return the bytes of an answer up to the end of its first item."""
    if way == "stream":
        return frame({"type": "response.output_item.done", "item": item})
    return b'{"id": "resp_1", "output": [' + json.dumps(item).encode()


def frame(event):
    """Return the bytes of an event on the wire."""
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())


def content_type(way):
    """Return the content type of an answer."""
    return JSON if way == "invoke" else SSE


def draw_with(half, way, drawing):
    """Draw and return the result."""
    return half.invoke(drawing, "draw a fox") if way == "invoke" else half.stream(drawing, "draw a fox")[-1]
