"""`ImageLibrary`: pictures are found again by their words, day, model, thread and tag, in folders and buckets.

`tests/drawing/test_cataloguing.py` has what generators add by themselves.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from langchain_imagegen import ImageLibrary, ImageStore
from langchain_imagegen.errors import OptionError, UnknownImageError


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    """Return a function that opens the same store again, as another process would."""
    if request.param == "folder":
        return lambda: ImageStore(tmp_path / "kept")
    options = request.getfixturevalue("s3")
    return lambda: ImageStore(f"s3://pictures/library-{tmp_path.name}", **options)


@pytest.fixture
def draw(low, place):
    """Return a generator that draws into the store of the test."""
    return low(image_store=place())


def test_found_by_words_in_another_process(draw, place):
    """All words must occur in prompt or revised prompt, in any order and case; the bytes are at hand."""
    library = ImageLibrary(draw.image_store)
    fox, owl = draw.invoke("draw a red fox"), draw.invoke("draw an owl in the snow")
    library.add(fox)
    library.add(owl)

    later = ImageLibrary(place())
    assert [image.handle for image in later.find("FOX red")] == [fox.image.handle]
    assert [image.handle for image in later.find("draw")] == [owl.image.handle, fox.image.handle]
    assert later.find("fox snow") == []
    assert later.find("fox")[0].read() == fox.image.read()
    assert later.find(owl.image.handle)[0].prompt == "draw an owl in the snow"


def test_latest_come_first(draw):
    """`latest` gives so many pictures, the last one first, and `len` counts all."""
    library = ImageLibrary(draw.image_store)
    handles = []
    for number in range(4):
        result = draw.invoke(f"draw hill {number}")
        library.add(result)
        handles.append(result.image.handle)

    assert [image.handle for image in library.latest(2)] == handles[:1:-1]
    assert len(library) == 4
    assert library.latest(0) == []


def test_found_by_model_thread_and_tag(draw):
    """Model, thread and tag narrow a search, and an entry tells them."""
    library = ImageLibrary(draw.image_store, tags=["drafts"])
    fox = draw.invoke("draw a fox")
    library.add(fox, thread="thread-1", tags=["animal"])
    library.add(draw.invoke("draw a hill"), thread="thread-2")

    assert [image.prompt for image in library.find(thread="thread-1")] == ["draw a fox"]
    assert [image.prompt for image in library.find(tag="animal")] == ["draw a fox"]
    assert len(library.find(tag="drafts", model=fox.image.image_model)) == 2
    assert len(library.find(model=fox.model, limit=1)) == 1
    assert library.find(model="another") == []
    assert library.entry(fox.image).tags == ("drafts", "animal")


def test_found_by_day(draw):
    """A day or a span of days, in UTC, narrows a search; anything else is an error that shows the form."""
    library = ImageLibrary(draw.image_store)
    library.add(draw.invoke("draw a fox"))
    today = datetime.now(UTC).date()

    assert len(library.find(day=(today - timedelta(days=1), today))) == 1
    assert library.find(day=date(2020, 1, 1)) == []
    assert library.find(day="2020-01-01") == []
    with pytest.raises(OptionError, match="2026-11-26"):
        library.find(day="yesterday")


def test_tags_can_change(draw, place):
    """Tags are added and removed, and another process sees it although it has read the entry before."""
    library, other = ImageLibrary(draw.image_store), ImageLibrary(place())
    fox = draw.invoke("draw a fox").image
    library.add(fox)
    assert other.find(tag="good") == []

    library.tag(fox, "good", "cover")
    assert other.entry(fox).tags == ("good", "cover")
    library.untag(fox.handle, "good")
    assert other.find(tag="good") == []
    assert len(other.find(tag="cover")) == 1


def test_removed_entries_keep_their_bytes(draw):
    """`remove` and `clear` take pictures out of the library alone."""
    library = ImageLibrary(draw.image_store)
    fox = draw.invoke("draw a fox").image
    library.add(fox)
    library.add(draw.invoke("draw an owl"))

    library.remove(fox)
    assert [image.prompt for image in library.latest()] == ["draw an owl"]
    library.clear()
    assert library.latest() == []
    assert fox.read()
    with pytest.raises(UnknownImageError, match="library="):
        library.entry(fox)


def test_deleted_pictures_leave_the_library(draw, place):
    """What `ImageStore.delete` and `prune` remove is found no more: neither its bytes nor its prompt."""
    library = ImageLibrary(draw.image_store)
    fox, owl = draw.invoke("draw a fox").image, draw.invoke("draw an owl").image
    library.add(fox)
    library.add(owl)

    draw.image_store.delete(fox)
    assert [image.prompt for image in ImageLibrary(place()).latest()] == ["draw an owl"]
    draw.image_store.prune(older_than=timedelta(seconds=-10))
    assert ImageLibrary(place()).latest() == []


def test_the_same_picture_is_added_once(draw):
    """A picture that is added again, or comes from the ledger, is in the library once."""
    library = ImageLibrary(draw.image_store)
    library.add(draw.invoke("draw a fox", once="fox"))
    again = draw.invoke("draw a fox", once="fox")
    library.add(again)
    library.add(again.image)

    assert again.from_ledger
    assert len(library) == 1


def test_damaged_notes_are_passed_over(draw, tmp_path):
    """A note that is no record hides no other entry."""
    store = ImageStore(tmp_path / "own")
    library = ImageLibrary(store)
    entry = library.add(draw.invoke("draw a fox"))[0]
    (tmp_path / "own" / "library" / entry.name.replace("-", "-0", 1)).write_text("{broken")
    (tmp_path / "own" / "library" / "README").write_text("not ours")

    assert [image.prompt for image in library.latest()] == ["draw a fox"]


def test_scopes_have_libraries_of_their_own(draw, place):
    """A tenant's library shows no picture of another."""
    library = ImageLibrary(place().scoped("tenant-7"))
    library.add(draw.invoke("draw a fox"))

    assert len(library) == 1
    assert ImageLibrary(place()).latest() == []
    assert ImageLibrary(place().scoped("tenant-8")).latest() == []
