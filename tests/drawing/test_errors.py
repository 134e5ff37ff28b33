"""Each way in which drawing can fail, over a socket: the error and its advice, what was paid, what is left.

Every test runs in both halves, for one JSON answer and for a stream, where that makes a difference.
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
    ModerationError,
    NoImageError,
    OptionError,
    OrganizationNotVerifiedError,
    QuotaError,
    RateLimitError,
    ServiceError,
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
    """One JSON answer, or a stream of events."""
    return request.param


@pytest.fixture
def draw(half, way, generator):
    """Draws a fox in each half and each way; gives the result."""

    def drawn(prompt="draw a fox", *, options=None, **settings):
        drawing = generator(**settings, options=SMALL | (options or {}))
        return half.invoke(drawing, prompt) if way == "invoke" else half.stream(drawing, prompt)[-1]

    return drawn


@pytest.fixture
def fails(draw, image_store):
    """Draws; expects exactly this error with this advice and an empty image store; returns the error."""

    def failing(kind, advice, **settings):
        with pytest.raises(kind, match=advice) as caught:
            draw(**settings)
        assert type(caught.value) is kind
        assert files(settings.get("image_store") or image_store) == []
        return caught.value

    return failing


def png():
    """Return a picture of a few KB."""
    data = io.BytesIO()
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 100).save(data, "png")
    return data.getvalue()


PNG = png()


def files(store):
    """Return all files of a store, temporary ones included."""
    return [path for path in Path(store.location).rglob("*") if path.is_file()]


def once(simulator):
    """Return True if exactly one picture was requested, once."""
    return len(simulator.requests) == simulator.pictures == 1


# --- answers in place of a picture


def test_bad_key(fails, simulator):
    """A wrong key is an `AuthenticationError` that names where the key comes from; it is not tried again."""
    simulator.script(bad_key())

    error = fails(AuthenticationError, "OPENAI_API_KEY")
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert error.request_id in str(error)
    assert len(simulator.requests) == 1


def test_no_key(half, generator, simulator):
    """Without a key nothing is sent; the error says how to give one, and how to go without."""
    with pytest.raises(AuthenticationError, match=r"OPENAI_API_KEY.*simulator"):
        half.invoke(generator(api_key=None), "draw a fox")
    assert simulator.requests == []


def test_unverified_organization(fails, simulator):
    """An image model for verified organizations only has its own error, with the address to verify at."""
    simulator.script(organization_not_verified())

    assert fails(OrganizationNotVerifiedError, r"platform\.openai\.com/settings").status == 403


def test_quota(fails, simulator):
    """An empty account is not tried again, although its status is 429."""
    simulator.script(quota_exceeded())

    assert fails(QuotaError, "no credit").code == "insufficient_quota"
    assert len(simulator.requests) == 1


def test_unknown_model(fails, simulator):
    """An unknown mainline model is a `ServiceError` that says which name to check."""
    simulator.script(http_error(404, code="model_not_found", message="The model `gpt-9` does not exist."))

    fails(ServiceError, "name of the mainline model")


def test_option_that_the_service_refuses(fails, simulator):
    """An option that only the service can judge is an `OptionError` in the service's words."""
    told = "Transparent background is not supported for this model."
    simulator.script(http_error(400, type="image_generation_user_error", param="tools", message=told))

    assert told in str(fails(OptionError, "the service refuses an option"))
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("status", [200, 403])
def test_html(fails, simulator, status):
    """A page in place of an answer is reported by its beginning and not taken for a picture."""
    simulator.script(html_page(status))

    error = fails(AuthenticationError if status == 403 else ServiceError, "begins '<!doctype html>")
    assert error.status == status


def test_html_with_status_200_points_at_the_base_url(fails, simulator):
    """A page with status 200 comes from something that is not the API; the advice is to look at `base_url`."""
    simulator.script(html_page())

    fails(ServiceError, "base_url")
    assert len(simulator.requests) == 1


def test_error_of_a_proxy(fails, simulator):
    """A body of status 200 with a plain text as `error` is that error."""
    simulator.script(answer({"error": "upstream says no"}))

    fails(ServiceError, "upstream says no")


# --- sent again, since certainly nothing was drawn


def test_rate_limit(draw, simulator):
    """A rate limit is waited out, as long as the service says."""
    simulator.script(rate_limited(0.01), rate_limited(0.01))

    assert draw().image
    assert (len(simulator.requests), simulator.pictures) == (3, 1)


def test_rate_limit_without_a_time(half, generator, simulator):
    """A rate limit that names no time is waited out too."""
    simulator.script(rate_limited())

    assert half.invoke(generator(), "draw a fox").image
    assert len(simulator.requests) == 2


def test_rate_limit_exhausted(fails, simulator):
    """When no try is left, the error says how long the service asked to wait."""
    simulator.script(*[rate_limited(0.02)] * 3)

    assert fails(RateLimitError, "max_concurrency").retry_after == pytest.approx(0.02)
    assert len(simulator.requests) == 3


def test_no_retries(fails, simulator):
    """`max_retries=0` sends a request once."""
    simulator.script(rate_limited(0.02))

    fails(RateLimitError, "wait and try again", max_retries=0)
    assert len(simulator.requests) == 1


def test_rate_limit_told_in_the_message(fails, simulator):
    """A delay that is in the message alone is on the error."""
    simulator.script(http_error(429, code="rate_limit_exceeded", message="Please try again in 467ms."))

    assert fails(RateLimitError, "wait", max_retries=0).retry_after == pytest.approx(0.467)


def test_rate_limit_of_minutes(fails, simulator):
    """A service that asks for more than two minutes gets no second request; the caller decides."""
    simulator.script(rate_limited(121))

    assert fails(RateLimitError, "wait").retry_after == 121
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_error(draw, simulator, status):
    """A fault of the service before any answer is tried again."""
    simulator.script(http_error(status, headers={"retry-after-ms": "5"}))

    assert draw().image
    assert (len(simulator.requests), simulator.pictures) == (2, 1)


def test_server_error_exhausted(fails, simulator):
    """A fault that persists is a `ServiceError` with the request id that support asks for."""
    simulator.script(*[http_error(500, headers={"retry-after-ms": "5"})] * 3)

    error = fails(ServiceError, "try again later")
    assert (error.status, bool(error.request_id)) == (500, True)
    assert len(simulator.requests) == 3


def test_told_not_to_try_again(fails, simulator):
    """`x-should-retry: false` is obeyed."""
    simulator.script(http_error(503, headers={"x-should-retry": "false"}))

    assert fails(ServiceError, "try again later").retryable is False
    assert len(simulator.requests) == 1


def test_backoff(half, generator, simulator):
    """A fault without any advice is tried again after a pause of our own."""
    simulator.script(server_error())

    assert half.invoke(generator(), "draw a fox").image
    assert len(simulator.requests) == 2


def test_connection_refused(half, generator, image_store):
    """Where nobody listens, nothing was sent, and the error says so."""
    with pytest.raises(ConnectionLostError, match=r"check base_url") as caught:
        half.invoke(generator(base_url=f"http://127.0.0.1:{free_port()}/v1", max_retries=0), "draw a fox")
    assert caught.value.sent is False
    assert files(image_store) == []


def test_connection_refused_at_first(half, generator, simulator):
    """A refused connection is tried again, since it cannot have been paid for."""
    drawing = generator()
    simulator.stop()
    starting = threading.Timer(0.2, simulator.start)
    starting.start()

    assert half.invoke(drawing, "draw a fox").image
    starting.join()


def free_port():
    """Return a port at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# --- not sent again, since it may have been paid for


def test_closed_before_any_byte(fails, simulator):
    """A connection that closes without an answer may have been paid for: it is sent once, and the error says why."""
    simulator.script(refuse_connection())

    assert fails(ConnectionLostError, "not repeated by itself").sent is True
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("at", ["headers", "body"])
def test_timeout(fails, simulator, at):
    """No byte in time is an `ImageTimeoutError` that says what to raise; the picture was paid for, once."""
    simulator.script(delay(5, at=at))

    fails(ImageTimeoutError, r"timeout= \(seconds\)", timeout=0.4)
    assert once(simulator)


def test_stalled_within_a_picture(half, way, generator, image_store):
    """An answer that stalls within the picture's data is given up after `timeout`, and leaves nothing."""
    begun = answered(way, {"type": "image_generation_call", "id": "ig_1", "result": encoded(PNG).decode()})

    stalled = pytest.raises(ImageTimeoutError, match="may still finish and bill")
    with serving([begun[:900], 5.0], kind_of(way)) as server, stalled as caught:
        run(half, way, generator(base_url=server.base_url, timeout=0.4))
    assert caught.value.response_id == (None if way == "stream" else "resp_1")
    assert (files(image_store), server.posts) == ([], 1)


def test_cut_within_the_picture(fails, simulator):
    """A cut answer is an error with the id under which the service may still have the picture."""
    simulator.script(cut_body(fraction=0.3))

    error = fails(ConnectionLostError, "response 'resp_")
    assert error.response_id.startswith("resp_")
    assert once(simulator)


def test_cut_at_once(fails, simulator):
    """An answer that breaks off before its id has none."""
    simulator.script(cut_body(4))

    assert fails(ConnectionLostError, "broke").response_id is None
    assert once(simulator)


def test_cut_behind_the_picture(draw, simulator, image_store):
    """A picture that had arrived whole is not lost with the rest of its answer."""
    simulator.script(cut_behind(40))

    result = draw()
    assert image_store.get(result.image.sha256) == result.image.read()
    assert "broke off after the pictures had arrived" in result.warnings[0]
    assert once(simulator)


def cut_behind(bytes_before_the_end):
    """Return a fault that closes the connection so many bytes before the end."""
    return Fault("cut", delivery=Delivery(cut=lambda total: total - bytes_before_the_end))


def test_stalled_behind_the_picture(half, way, generator):
    """A picture that had arrived whole is given out when the rest of its answer never comes."""
    item = {"type": "image_generation_call", "id": "ig_1", "result": encoded(PNG).decode()}

    with serving([answered(way, item), 5.0], kind_of(way)) as server:
        result = run(half, way, generator(base_url=server.base_url, timeout=0.4))
    assert result.image.read() == PNG
    assert "broke off" in result.warnings[0]
    assert server.posts == 1


@pytest.mark.parametrize("pause", [[], [5.0]], ids=["cut", "stalled"])
def test_stream_that_ends_behind_the_last_partial(half, generator, pause):
    """The last partial picture is the finished one: it is not lost with the event that would repeat it."""
    kind = "response.image_generation_call.partial_image"
    partial = {"type": kind, "item_id": "ig_1", "partial_image_index": 0, "partial_image_b64": encoded(PNG).decode()}

    with serving([frame(partial), *pause], SSE) as server:
        result = run(half, "stream", generator(base_url=server.base_url, timeout=0.4))
    assert (result.image.id, result.image.read()) == ("ig_1", PNG)
    assert result.warnings
    assert server.posts == 1


def test_stream_that_ends_behind_an_unfinished_partial(half, generator, image_store):
    """A partial picture that is not the last one asked for does not pass for the finished picture."""
    kind = "response.image_generation_call.partial_image"
    partial = {"type": kind, "item_id": "ig_1", "partial_image_index": 0, "partial_image_b64": encoded(PNG).decode()}

    with serving([frame(partial)], SSE) as server, pytest.raises(ConnectionLostError):
        half.stream(generator(base_url=server.base_url), "draw a fox", partial_images=2)
    assert files(image_store) == []


@pytest.mark.parametrize("behind", [False, True])
def test_json_that_ends_early(half, generator, image_store, behind):
    """JSON that is cut although the connection ended in good order is treated as a cut connection."""
    item = {"id": "ig_1", "type": "image_generation_call", "result": encoded(PNG).decode()}
    body = json.dumps({"id": "resp_1", "output": [item], "status": "completed"}).encode()
    cut = body.index(b'"status"') + 4 if behind else 900

    with serving([body[:cut]], JSON) as server:
        drawing = generator(base_url=server.base_url)
        if behind:
            assert half.invoke(drawing, "draw").image.read() == PNG
        else:
            with pytest.raises(ConnectionLostError, match="resp_1"):
                half.invoke(drawing, "draw")
    assert len(files(image_store)) == int(behind)
    assert server.posts == 1


# --- moderation


@pytest.mark.parametrize("stage", ["input", "output"])
@pytest.mark.parametrize("at", ["request", "item", "stream", "response"])
def test_moderated(fails, simulator, at, stage):
    """A refusal of the safety system is the same error wherever the service puts it."""
    simulator.script(moderated(stage, ["violence", "gore"], at=at))

    error = fails(ModerationError, "change what is asked for")
    assert (error.stage, error.categories) == (stage, ["violence", "gore"])
    assert len(simulator.requests) == 1


def test_moderated_without_details(fails, simulator):
    """An older refusal tells nothing but its code; its stage is unknown."""
    simulator.script(http_error(400, code="content_policy_violation", message="Rejected."))

    error = fails(ModerationError, "the same request is refused again")
    assert (error.stage, error.categories) == ("unknown", [])


def test_moderated_beside_a_good_one(draw, simulator):
    """A finished picture is delivered, and the refused one is listed as a failure."""
    simulator.script(moderated_beside_good("output", ["violence"]))

    result = draw()
    (failure,) = result.failures
    assert len(result.images) == 1
    assert (failure.stage, failure.categories) == ("output", ("violence",))
    assert failure.id != result.image.id
    assert "safety system" in result.warnings[0]


# --- no picture


def test_words_only(fails, simulator):
    """When the model answers in words, the error has them, and says how to make it draw."""
    simulator.script(no_image("A fox is a small mammal."))

    error = fails(NoImageError, "tool_choice")
    assert error.text == "A fox is a small mammal."
    assert error.response_id.startswith("resp_")


@pytest.mark.parametrize("part", ["output_text", "refusal"])
def test_refusal(fails, simulator, part):
    """A model that refuses in its own words is quoted, in whichever part it says so."""
    simulator.script(refusal("I cannot draw that.", part))

    assert fails(NoImageError, "I cannot draw that").text == "I cannot draw that."


@pytest.mark.parametrize("reason", ["max_output_tokens", "max_messages", "steered"])
def test_incomplete(fails, simulator, reason):
    """A response that stopped before a picture says why."""
    simulator.script(incomplete(reason))

    fails(NoImageError, reason)


def test_incomplete_by_the_content_filter(fails, simulator):
    """A response that the content filter stopped is a `ModerationError`."""
    simulator.script(incomplete("content_filter"))

    assert fails(ModerationError, "change what is asked for").stage == "output"


def test_incomplete_behind_a_picture(draw, simulator):
    """A response that stopped after its picture gives the picture."""
    simulator.script(
        Fault("late", plan=lambda plan: replace(plan, status="incomplete", incomplete="max_output_tokens"))
    )

    assert draw().image


def test_nothing_at_all(fails, simulator):
    """JSON that is no response holds no picture."""
    simulator.script(answer({"hello": "world"}))

    fails(NoImageError, "no picture")


# --- events


@pytest.mark.parametrize("event", [flat_error_event, nested_error_event, failed])
def test_error_within_a_stream(fails, simulator, event):
    """An error inside a stream is an error in each of its forms, and the request is not sent again."""
    simulator.script(event("server_error", "The engine is overloaded."))

    assert fails(ServiceError, r"overloaded\. .*try again later").code == "server_error"
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("event", [flat_error_event, nested_error_event])
def test_rate_limit_within_a_stream(fails, simulator, event):
    """A rate limit that comes after the stream has opened tells the delay of its message."""
    simulator.script(event("rate_limit_exceeded", "Rate limit reached. Please try again in 12s."))

    assert fails(RateLimitError, "wait").retry_after == 12
    assert len(simulator.requests) == 1


def test_error_as_the_last_event(half, generator, simulator):
    """An `error` event is enough; no `response.failed` has to follow."""
    lone = {"type": "error", "code": "server_error", "message": "Gone.", "param": None}
    simulator.script(answer(frame(lone).decode()))

    with pytest.raises(ServiceError, match="Gone"):
        half.stream(generator(), "draw a fox")


def test_error_and_then_a_cut(half, generator, simulator):
    """The service's error is raised, and not the cut connection after it."""
    lone = frame({"type": "error", "code": "rate_limit_exceeded", "message": "Wait.", "param": None})
    simulator.script(replace(answer(lone.decode()), delivery=Delivery(cut=lambda total: total)))

    with pytest.raises(RateLimitError, match="Wait"):
        half.stream(generator(), "draw a fox")


@pytest.mark.parametrize("form", ["flat", "nested", "text"])
def test_error_behind_the_picture(half, generator, simulator, form):
    """A picture that had arrived is given out with a warning when an error follows it."""
    told = {"flat": {"message": "Late."}, "nested": {"error": {"message": "Late."}}, "text": {"error": "Late."}}
    last = {"type": "error", **told[form]}
    simulator.script(replace(NOTHING, events=lambda events: [*events[:-1], last]))

    result = half.stream(generator(options=SMALL), "draw a fox")[-1]
    assert "Late." in result.warnings[0]
    assert once(simulator)


@pytest.mark.parametrize("noise", [unknown_event(), keepalive(3)], ids=["unknown", "keepalive"])
def test_noise(draw, simulator, noise):
    """Events that mean nothing to us, and keepalives in both forms, change nothing."""
    simulator.script(noise)

    assert draw().warnings == ()


def test_no_terminal_event(half, generator, simulator):
    """A stream that ends without its closing event gives the picture that had arrived, with a warning."""
    simulator.script(cut_before_terminal())

    result = half.stream(generator(options=SMALL), "draw a fox")[-1]
    assert result.image.read()
    assert "without its closing event" in result.warnings[0]
    assert result.response_id.startswith("resp_")


def test_stream_that_ends_before_the_picture(half, generator, simulator, image_store):
    """A stream that ends in good order before its picture is a lost connection, with the response's id."""
    simulator.script(Fault("early", sent=lambda events: events[:3]))

    with pytest.raises(ConnectionLostError, match="before a picture had arrived") as caught:
        half.stream(generator(options=SMALL), "draw a fox")
    assert caught.value.response_id.startswith("resp_")
    assert files(image_store) == []


def test_corrupt_partial(half, generator, simulator):
    """A partial that is corrupt is left out; the finished picture, which was paid for, still comes."""
    simulator.script(replace(NOTHING, events=lambda events: [_spoiled(event) for event in events]))

    pieces = half.stream(generator(options=SMALL | {"partial_images": 2}), "draw a fox")
    assert len(pieces) == 1
    assert pieces[0].image.read()


def _spoiled(event):
    spoil = event["type"].endswith("partial_image")
    return event | {"partial_image_b64": event["partial_image_b64"][:200] + "!*!*"} if spoil else event


# --- other providers


@pytest.mark.parametrize("terminal", [True, False])
def test_azure(half, generator, simulator, terminal):
    """Azure's stream leaves pictures at `generating` and may lack its closing event; the picture is there."""
    simulator.script(azure_stream(terminal=terminal))

    *partials, result = half.stream(generator(options=SMALL | {"partial_images": 1}), "draw a fox")
    assert result.image.read() == partials[-1].data
    assert bool(result.warnings) is not terminal


def test_xai(draw, simulator):
    """An item with `prompt` in place of `revised_prompt`, and an id of another form, is read all the same."""
    simulator.script(xai_item())

    image = draw().image
    assert "fox" in image.revised_prompt
    assert not image.id.startswith("ig_")


# --- pictures


def test_corrupt_base64(fails, simulator):
    """Base64 with foreign characters is no picture; the error says where it breaks."""
    simulator.script(corrupt_base64())

    fails(CorruptImageError, "'!' at position .*nothing was saved")
    assert once(simulator)


def test_not_an_image(fails, simulator):
    """Base64 of something that is no picture is not stored."""
    simulator.script(not_an_image())

    fails(CorruptImageError, "not a picture in a known format")


def test_half_a_picture(fails, simulator):
    """A picture that lacks its end is not stored, although its base64 is right."""
    simulator.script(image(PNG[: len(PNG) // 2]))

    fails(CorruptImageError, "the PNG breaks off")


def test_mislabelled(draw, simulator):
    """What a picture is, is read from its bytes, whatever the service calls it."""
    simulator.script(mislabelled("webp"))

    image = draw(options={"output_format": "png"}).image
    assert (image.mime_type, image.output_format) == ("image/webp", "png")


def test_mislabelled_partial(half, generator, simulator):
    """What a partial picture is, is read from its bytes too."""
    simulator.script(mislabelled("webp"))

    partials = half.stream(generator(options=SMALL | {"partial_images": 1}), "draw a fox")[:-1]
    assert {partial.mime_type for partial in partials} == {"image/webp"}


def test_too_large(fails, simulator, tmp_path):
    """A picture larger than the store allows is refused while it arrives; the error says what to raise."""
    fails(CorruptImageError, "max_bytes=1000", image_store=ImageStore(tmp_path / "tight", max_bytes=1000))
    assert once(simulator)


def test_several_pictures(draw, simulator):
    """Several pictures of one answer are all given out, in order."""
    result = draw("draw two pictures of a fox")

    assert len({image.sha256 for image in result.images}) == len(result.images) == simulator.pictures == 2


def test_one_of_two_is_corrupt(half, generator, simulator, image_store):
    """A corrupt picture does not spoil the one beside it, which is named in a warning and not stored."""
    simulator.script(_second_spoiled())

    result = half.invoke(generator(options=SMALL), "draw two pictures of a fox")
    assert [path.stem for path in files(image_store)] == [result.image.sha256]
    assert "corrupt" in result.warnings[0]
    assert len(result.failures) == 1


def test_one_of_two_is_corrupt_in_a_stream(half, generator, simulator):
    """In a stream the last partial of a picture whose later copies are corrupt is the picture."""
    simulator.script(_second_spoiled())

    result = half.stream(generator(options=SMALL), "draw two pictures of a fox")[-1]
    assert len({image.sha256 for image in result.images}) == 2
    assert all(image.read() for image in result.images)
    assert "another copy was taken" in result.warnings[0]


def _second_spoiled():
    spoiled = iter([lambda text: text, lambda text: text[:-8] + "!*!*!*!*"])
    return replace(NOTHING, item=lambda item: item | {"result": next(spoiled)(item["result"])})


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
def test_images_api(fails, simulator, fault, kind, advice):
    """The Images API's failures are the same errors, and each request is sent once."""
    simulator.script(fault)

    fails(kind, advice, api="images", timeout=0.5)
    assert len(simulator.requests) == 1


def test_images_api_cut_behind_the_picture(draw, simulator):
    """A picture of the Images API that had arrived whole is not lost with the rest of its answer."""
    simulator.script(cut_behind(4))

    assert "broke off" in draw(api="images").warnings[0]
    assert once(simulator)


@pytest.mark.parametrize("api", ["responses", "images"])
def test_event_that_broke_off_behind_its_picture(half, generator, api):
    """A picture is whole as soon as its data is, even if its event or its stream is not."""
    item = {"type": "image_generation_call", "id": "ig_1", "result": encoded(PNG).decode(), "status": "completed"}
    whole = {
        "responses": {"type": "response.output_item.done", "item": item},
        "images": {"type": "image_generation.completed", "b64_json": encoded(PNG).decode(), "size": "1024x1024"},
    }

    with serving([frame(whole[api])[:-9]], SSE) as server:
        result = half.stream(generator(base_url=server.base_url, api=api), "draw a fox")[-1]
    assert result.image.read() == PNG
    assert "stream ended" in result.warnings[0]


# --- what is served by hand


def encoded(data):
    """Return base64 as the service writes it."""
    return base64.b64encode(data)


def answered(way, item):
    """Return an answer up to the end of its first item."""
    if way == "stream":
        return frame({"type": "response.output_item.done", "item": item})
    return b'{"id": "resp_1", "output": [' + json.dumps(item).encode()


def frame(event):
    """Return an event as it goes over the wire."""
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())


def kind_of(way):
    """Return the content type of an answer."""
    return JSON if way == "invoke" else SSE


def run(half, way, drawing):
    """Draw and return the result."""
    return half.invoke(drawing, "draw a fox") if way == "invoke" else half.stream(drawing, "draw a fox")[-1]
