"""`once="poster-7"` names a picture, which is bought once in any script, thread or process."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from langchain_imagegen import ImageGenerator, ImageStore
from langchain_imagegen.errors import (
    ConnectionLostError,
    ImageGenerationError,
    ImageStoreError,
    OptionError,
    OptionRefusedError,
)
from langchain_imagegen.simulator import Simulator, cut_body, failed, html_page, http_error, rate_limited
from tests.s3 import Requests


@pytest.fixture
def poster(half, low):
    """Draws the picture of one name, in each half."""
    return partial(half.invoke, low(), once="poster-7")


def test_a_name_is_bought_once(half, low, poster, simulator):
    """The same name gives the same picture, from another generator too, and another name another."""
    first = poster("draw a fox")
    again = half.invoke(low(), "draw a fox", once="poster-7")
    other = half.invoke(low(), "draw a fox", once="poster-8")

    assert simulator.pictures == 2
    assert (first.from_ledger, again.from_ledger, other.from_ledger) == (False, True, False)
    assert again.image == first.image
    assert again.image.read() == first.image.read()
    assert not again.warnings


def test_another_request_under_the_name_is_told(poster, simulator):
    """A changed prompt gets the picture of the name all the same, and a warning that says how to get a new one."""
    poster("draw a fox")
    result = poster("draw an owl")

    assert simulator.pictures == 1
    assert "bought with another request; regenerate=True buys a new one" in result.warnings[0]


def test_regenerating(poster, simulator):
    """`regenerate=True` buys another picture, which is the one of the name from then on."""
    first = poster("draw a fox")
    second = poster("draw a fox", regenerate=True)

    assert poster("draw a fox").image == second.image != first.image
    assert simulator.pictures == 2


def test_it_expires(half, low, simulator):
    """After `ledger_expires` the name is bought again."""
    draw = low(ledger_expires=timedelta(seconds=1))
    half.invoke(draw, "draw a fox", once="poster-7")
    assert half.invoke(draw, "draw a fox", once="poster-7").from_ledger
    time.sleep(1.1)

    assert not half.invoke(draw, "draw a fox", once="poster-7").from_ledger
    assert simulator.pictures == 2


def test_a_name_belongs_to_an_account(half, low, simulator):
    """Another key buys its own picture of a name; a common namespace makes the two one."""
    for settings in ({"api_key": "one"}, {"api_key": "two"}):
        half.invoke(low(**settings), "draw a fox", once="poster-7")
        half.invoke(low(**settings, ledger_namespace="ours"), "draw a fox", once="poster-7")

    assert simulator.pictures == 3


def test_scoped_stores_keep_apart(half, low, simulator, image_store):
    """A name in one scope of a store is another in the next."""
    for tenant in ("one", "two", "one"):
        half.invoke(low(image_store=image_store.scoped(tenant)), "draw a fox", once="poster-7")

    assert simulator.pictures == 2


def test_what_broke_off_is_fetched(poster, simulator):
    """A script that failed within the drawing, and is run again, fetches the picture by its response."""
    simulator.script(cut_body(after_bytes=3000))
    simulator.script(*[html_page(502)] * 5, method="GET")
    with pytest.raises(Exception, match="broke off"):
        poster("draw a fox")

    assert poster("draw a fox").from_ledger
    assert simulator.pictures == 1


def test_an_id_in_a_cut_event_is_noted(half, low, simulator):
    """An answer that is cut within its first event, behind the id, is fetched by the next call."""
    simulator.script(cut_body(after_bytes=400))
    simulator.script(*[html_page(502)] * 5, method="GET")
    draw = low(delivery="stream")
    with pytest.raises(ConnectionLostError):
        half.invoke(draw, "draw a fox", once="poster-7")

    assert half.invoke(draw, "draw a fox", once="poster-7").from_ledger
    assert simulator.pictures == 1


def test_a_refused_option_is_not_remembered(half, low, simulator):
    """After a stream that says that an option cannot work, the corrected request is sent, under the same name."""
    simulator.script(failed("invalid_png_output_compression", "bad compression"))
    draw = low(delivery="stream")
    with pytest.raises(OptionRefusedError):
        half.invoke(draw, "draw a fox", once="poster-7")

    result = half.invoke(draw, "draw a fox", once="poster-7")
    assert not result.from_ledger
    assert simulator.pictures == 1
    assert [request.method for request in simulator.requests] == ["POST", "POST"]


def test_a_fallback_gets_its_turn_in_the_next_call(half, low, simulator):
    """A model that the service refuses within the stream is not taken for a response that may have a picture."""
    simulator.script(failed("invalid_png_output_compression", "bad compression"), rate_limited(3600))
    draw = low(delivery="stream", fallbacks=[{"model": "gpt-image-2.5-flare", "quality": "low"}])
    with pytest.raises(ImageGenerationError):
        half.invoke(draw, "draw a fox", once="poster-7")

    assert half.invoke(draw, "draw a fox", once="poster-7").image.read()
    assert simulator.pictures == 1


def test_a_response_that_may_not_be_read(half, low, simulator):
    """If the account may not look whether there is a picture, nothing is bought, but another one on demand."""
    simulator.script(cut_body(after_bytes=3000))
    simulator.script(*[http_error(403)] * 3, method="GET")
    draw = low()
    for _ in range(2):
        with pytest.raises(ImageGenerationError) as caught:
            half.invoke(draw, "draw a fox", once="poster-7")
        assert caught.value.may_be_billed
    assert "regenerate=True buys another picture" in "".join(caught.value.__notes__)
    assert simulator.pictures == 1

    assert not half.invoke(draw, "draw a fox", once="poster-7", regenerate=True).from_ledger
    assert simulator.pictures == 2


def test_a_picture_of_another_request_is_told_as_such(half, low, simulator):
    """What an earlier try has begun with another request is not given the prompt of the call that finds it."""
    simulator.script(cut_body(after_bytes=3000))
    simulator.script(*[html_page(502)] * 5, method="GET")
    draw = low()
    with pytest.raises(ConnectionLostError):
        half.invoke(draw, "draw a fox", once="poster-7")

    for _ in range(2):
        result = half.invoke(draw, "draw an owl", once="poster-7")
        assert result.image.prompt is None
        assert "bought with another request; regenerate=True buys a new one" in result.warnings[-1]
    assert not any("another request" in each for each in half.invoke(draw, "draw a fox", once="poster-7").warnings)
    assert simulator.pictures == 1


def test_a_lost_answer_without_an_id_is_bought_again(poster, simulator):
    """Where nothing tells which response a lost answer was, a person who asks again buys again."""
    simulator.script(html_page(502, drawn=True))
    with pytest.raises(Exception, match="502"):
        poster("draw a fox")

    assert not poster("draw a fox").from_ledger
    assert simulator.pictures == 2


def test_a_stream_of_a_known_picture(half, low, simulator):
    """Streaming the picture of a name that was bought gives the result alone."""
    options = {"size": "816x816", "quality": "low", "partial_images": 2}
    pieces = [half.stream(low(options=options), "draw a fox", once="poster-7") for _ in range(2)]

    assert [len(found) for found in pieces] == [4, 1]
    assert simulator.pictures == 1


def test_a_name_can_be_bound(half, low, simulator):
    """`draw.bind(once=…)` fixes the name, as in a chain."""
    chain = low().bind(once="poster-7") | (lambda result: result.image.id)

    assert half.invoke(chain, "draw a fox") == half.invoke(chain, "draw a fox")
    assert simulator.pictures == 1


@pytest.mark.parametrize("once", ["", "  ", True])
def test_what_names_nothing_is_refused(half, low, simulator, once):
    """An empty name, and `True`, are refused before anything is sent, with what to write."""
    with pytest.raises(OptionError, match="once='poster-7', or once=False"):
        half.invoke(low(), "draw a fox", once=once)
    with pytest.raises(OptionError, match="a name belongs to one call"):
        ImageGenerator(once="poster-7")
    with pytest.raises(OptionError, match="once=0: it takes text"):  # such as the first number of a loop
        half.invoke(low(), "draw a fox", once=0)
    assert not simulator.requests


def test_a_ledger_that_cannot_be_read_buys_nothing(half, low, simulator, tmp_path):
    """Where the ledger fails before the drawing, the caller gets the store's error, and nothing is bought."""
    draw = low()
    half.invoke(draw, "draw a fox")
    (tmp_path / "images" / "ledger").write_text("a file where a folder should be")

    with pytest.raises(ImageStoreError):
        half.invoke(draw, "draw a fox", once="poster-7")
    assert simulator.pictures == 1


def test_a_picture_that_cannot_be_noted_is_delivered(image_store, tmp_path):
    """Where the ledger fails behind the drawing, the picture is delivered with a warning."""
    options = {"size": "816x816", "quality": "low", "partial_images": 2}
    with Simulator(latency=1.5) as slow:
        draw = ImageGenerator(base_url=slow.base_url, api_key="simulated", image_store=image_store, options=options)
        pieces = draw.stream("draw a fox", once="poster-7")
        next(pieces)
        [claim] = (tmp_path / "images" / "ledger").iterdir()
        claim.with_name(claim.name.replace("begun.0", "done")).mkdir()
        result = list(pieces)[-1]
        draw.close()

    assert result.image.read()
    assert "the ledger could not note the picture" in result.warnings[0]


def test_s3_is_asked_twice_by_a_drawing(half, low, s3):
    """A drawing whose pictures lie in S3 waits for two requests of the ledger, and so does the same call again.

    A third notes the id of the response while the picture is drawn.
    """
    store = ImageStore(f"s3://pictures/{uuid.uuid4().hex}", **s3)
    with Simulator(latency=0.3) as slow:
        draw = low(image_store=store, base_url=slow.base_url)
        half.invoke(draw, "draw a warm stone", once="warm")
        with Requests() as requests:
            half.invoke(draw, "draw a fox", once="poster-7")
        with Requests() as again:
            half.invoke(draw, "draw a fox", once="poster-7")

    assert requests.to("ledger") == ["PUT", "PUT", "PUT"]
    assert again.to("ledger") == ["PUT", "GET"]


def test_the_digest_does_not_hang_on_ids(half, low, simulator):
    """An edit whose source the service has lost meanwhile is still the same request."""
    draw = low()
    fox = half.invoke(draw, "draw a fox")
    first = half.invoke(draw, "make it winter", images=[fox], once="winter")
    simulator.expire(fox.image.id)
    lost = fox.image.model_copy(update={"dead_rungs": ("call_id",)})
    again = half.invoke(draw, "make it winter", images=[lost], once="winter")

    assert again.image == first.image
    assert not again.warnings


def test_a_rate_limit_is_not_remembered(half, low, simulator):
    """A name whose first call was refused by a rate limit is bought by the next."""
    simulator.script(rate_limited(0.01))
    draw = low(max_retries=0)
    with pytest.raises(Exception, match="limit"):
        half.invoke(draw, "draw a fox", once="poster-7")

    assert not half.invoke(draw, "draw a fox", once="poster-7").from_ledger
    assert simulator.pictures == 1


def test_the_fallback_keeps_notes_too(half, low, simulator, tmp_path):
    """While the store cannot be reached, its fallback has pictures and notes, and nothing is bought twice."""
    (tmp_path / "broken").write_text("a file where a folder should be")
    store = ImageStore(tmp_path / "broken", fallback=tmp_path / "other")
    results = [half.invoke(low(image_store=store), "draw a fox", once="poster-7") for _ in range(2)]

    assert [result.from_ledger for result in results] == [False, True]
    assert results[1].image.read()
    assert simulator.pictures == 1


def test_deleting_a_picture_forgets_its_call(half, low, simulator, image_store):
    """A picture that is deleted is gone from the ledger with its prompt; the same name then buys another one."""
    draw = partial(half.invoke, low())
    fox, cat = draw("draw a fox", once="poster-7"), draw("draw a cat", once="poster-8")
    image_store.delete(fox.image)

    notes = [path.read_text() for path in Path(image_store.location).glob("ledger/*")]
    assert not any(fox.image.sha256 in note or "draw a fox" in note for note in notes)
    assert draw("draw a cat", once="poster-8").image == cat.image
    assert not draw("draw a fox", once="poster-7").from_ledger
    assert simulator.pictures == 3


def test_deleting_a_source_keeps_its_edits(half, low, simulator, image_store):
    """The edits of a picture that was deleted are still in the store, and are not bought again."""
    draw = low()
    source = half.invoke(draw, "draw a fox").image
    edit = half.invoke(draw, "make it winter", images=[source], once="poster-7")
    image_store.delete(source)

    again = half.invoke(draw, "make it winter", images=[source], once="poster-7")
    assert (again.from_ledger, again.image, again.sources) == (True, edit.image, ())
    assert simulator.pictures == 2


def test_what_the_fallback_noted_is_found_when_the_store_is_back(half, low, simulator, tmp_path):
    """A picture that was bought while the store was down is not bought again when it can be reached."""
    place = tmp_path / "images"

    def draw(**settings):
        store = ImageStore(place, fallback=tmp_path / "fallback")
        return half.invoke(low(image_store=store), "draw a fox", once="poster-7", **settings)

    place.touch()
    down = draw()
    place.unlink()
    back = draw()

    assert (back.from_ledger, back.image) == (True, down.image)
    assert simulator.pictures == 1
    assert draw(regenerate=True).from_ledger is False
