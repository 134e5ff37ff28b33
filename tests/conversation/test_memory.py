"""`ImageMemory`: its order, its references, its family tree, and how records of the same image are merged."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_imagegen import GeneratedImage, ImageMemory, ImageResult, ImageStore, merge_images
from langchain_imagegen.conversation.channel import as_update, merge_record
from langchain_imagegen.errors import UnknownImageError
from langchain_imagegen.images.image import handle_of, name_of

MANY = 5_000


def image(id: str, **facts: Any) -> GeneratedImage:
    """Return an image without stored bytes; a memory never reads them."""
    known = {"sha256": "0" * 64, "size_bytes": 1, "mime_type": "image/png", "provider": "api.example"}
    return GeneratedImage(**{**known, "id": id, **facts})


def numbered(amount: int) -> list[GeneratedImage]:
    """Return the images `ig_1`, `ig_2` and so on."""
    return [image(f"ig_{n}") for n in range(1, amount + 1)]


def ids(images: Iterable[GeneratedImage]) -> list[str]:
    """Return the ids of the images, in order."""
    return [each.id for each in images]


@pytest.fixture(scope="module")
def twins() -> tuple[str, str]:
    """Return two ids whose handles have the same 8 digits; it takes about 80,000 tries to find them."""
    seen: dict[str, str] = {}
    for n in count():
        digits = name_of("api.example", f"ig_{n}")[:8]
        if digits in seen:
            return seen[digits], f"ig_{n}"
        seen[digits] = f"ig_{n}"
    raise AssertionError


# --- an ordered collection


def test_images_keep_the_order_of_adding():
    """A memory iterates over its images in the order of adding, and `latest` is the last one."""
    memory = ImageMemory(numbered(3))

    assert ids(memory) == ["ig_1", "ig_2", "ig_3"]
    assert len(memory) == 3
    assert memory.latest is not None
    assert memory.latest.id == "ig_3"


def test_an_empty_memory_is_empty():
    """A new memory has no images and no latest image."""
    memory = ImageMemory()

    assert (len(memory), memory.latest, list(memory), memory.to_records()) == (0, None, [], [])


def test_an_image_added_again_is_merged():
    """Adding an image again merges its new fields into the known one, which keeps its place."""
    memory = ImageMemory([image("ig_1", prompt="a fox"), image("ig_2")])

    memory.add(image("ig_1", revised_prompt="a red fox", dead_rungs=("call_id",)))

    assert ids(memory) == ["ig_1", "ig_2"]
    fox = memory.get("ig_1")
    assert (fox.prompt, fox.revised_prompt, fox.dead_rungs) == ("a fox", "a red fox", ("call_id",))


def test_get_returns_the_merged_image():
    """`get` returns the merged image even if it returned the unmerged one before."""
    memory = ImageMemory([image("ig_1")])
    assert memory.get("ig_1").stored is None

    memory.add({"id": "ig_1", "sha256": "0" * 64, "size_bytes": 1, "mime_type": "image/png", "stored": False})

    assert memory.get("ig_1").stored is False
    assert memory.get("ig_1").provider == "api.example"


def test_a_result_adds_its_sources_first():
    """Adding a result adds the sources of the edit before its images."""
    result = ImageResult(images=(image("ig_2", parents=("upload",)),), sources=(image("upload", origin="user"),))
    memory = ImageMemory()

    memory.add(result)

    assert ids(memory) == ["upload", "ig_2"]


def test_adding_anything_else_is_an_error():
    """Adding a value that is no image raises a `TypeError` that says what a memory accepts."""
    with pytest.raises(TypeError, match="GeneratedImage, ImageResult or records, not str"):
        ImageMemory().add("img_12345678")


def test_a_memory_copies_its_records():
    """Changing a record after adding it changes nothing in the memory."""
    record = image("ig_1", prompt="a fox").record()
    memory = ImageMemory([record])

    record["prompt"] = "a wolf"

    assert memory.get("ig_1").prompt == "a fox"


def test_records_round_trip():
    """`to_records` returns plain JSON from which the same memory is made again."""
    memory = ImageMemory([image("ig_1", prompt="a fox"), image("ig_2", parents=("ig_1",), stored=False)])

    again = ImageMemory(json.loads(json.dumps(memory.to_records())))

    assert list(again) == list(memory)
    assert ids(again.lineage("ig_2")) == ["ig_1", "ig_2"]


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda memory: pickle.loads(pickle.dumps(memory))])
def test_a_copy_is_independent(make_copy: Any):
    """A deep copy or an unpickled memory has the same images; adding to it does not change the original."""
    memory = ImageMemory(numbered(2))

    other = make_copy(memory)
    other.add(image("ig_3"))

    assert ids(other) == ["ig_1", "ig_2", "ig_3"]
    assert ids(memory) == ["ig_1", "ig_2"]


def test_images_read_from_the_store_of_the_memory(image_store: ImageStore):
    """The images of a memory read their bytes from the store of the memory."""
    blob = image_store.put(b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>')

    memory = ImageMemory([GeneratedImage.of(blob, id="ig_1")], image_store=image_store)

    assert memory.get("last").read().startswith(b"<svg")


def test_threads_can_add_at_once():
    """A memory lists each image that several threads add at once exactly once."""
    memory = ImageMemory()
    shared, own = image("upload"), numbered(400)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: (memory.add(shared, one), memory.get(one.handle)), own))

    assert sorted(ids(memory)) == sorted(["upload", *ids(own)])
    assert all(one.handle in memory for one in own)


# --- references


def test_an_image_is_found_by_each_of_its_names():
    """`get` finds an image by handle, unique start of the handle, ordinal, id, image and `last`."""
    memory = ImageMemory(numbered(3))
    third = memory.get("ig_3")

    for name in (third.handle, third.handle[:9], f" {third.handle} ", "3", 3, "last", "ig_3", third):
        assert memory.get(name).id == "ig_3", name


def test_a_longer_handle_is_accepted():
    """`get` accepts a handle with more digits than usual if every digit is right."""
    memory = ImageMemory(numbered(1))
    name = name_of("api.example", "ig_1")

    assert memory.get(f"img_{name[:20]}").id == "ig_1"
    assert f"img_{name[:8]}{'0' if name[8] != '0' else '1'}" not in memory


@pytest.mark.parametrize("name", ["4", "0", "-1", "img_", "img_zz", "ig_9", "the last one", "9" * 5_000, ""])
def test_an_unknown_name_lists_the_known_handles(name: str):
    """An unknown name raises `UnknownImageError`, which lists the known handles."""
    memory = ImageMemory(numbered(3))

    with pytest.raises(UnknownImageError, match="known here, oldest first: img_") as caught:
        memory.get(name)
    assert caught.value.known == [handle_of("api.example", f"ig_{n}") for n in (1, 2, 3)]
    assert name not in memory


def test_an_empty_memory_says_to_draw_first():
    """`get` on an empty memory raises an error that says to draw an image first."""
    with pytest.raises(UnknownImageError, match="no image in this conversation yet: draw one first"):
        ImageMemory().get("last")


def test_the_error_message_lists_twenty_handles():
    """The error message lists the latest twenty handles and counts the others, and `.known` holds all."""
    with pytest.raises(UnknownImageError, match="80 older, img_") as caught:
        ImageMemory(numbered(100)).get("img_nothing")
    assert len(caught.value.known) == 100
    assert str(caught.value).count("img_") == 21


def test_an_ambiguous_handle_lists_its_candidates():
    """The start of several handles raises an error that lists exactly those handles."""
    memory = ImageMemory(numbered(40))
    start = next(one.handle[:5] for one in memory if sum(two.handle[:5] == one.handle[:5] for two in memory) > 1)
    meant = [one.handle for one in memory if one.handle.startswith(start)]

    with pytest.raises(UnknownImageError) as caught:
        memory.get(start)
    assert f"names several images: {', '.join(meant)}; use more digits" in str(caught.value)
    assert start not in memory


def test_colliding_handles_get_more_digits(twins: tuple[str, str]):
    """Two images with the same first 8 digits are shown and found by longer handles."""
    one, two = (image(id) for id in twins)
    memory = ImageMemory([one, two, image("ig_other")])

    shown = [memory.handle(one), memory.handle(two)]

    assert one.handle == two.handle
    assert len(set(shown)) == 2
    assert all(handle.startswith(one.handle) and len(handle) > len(one.handle) for handle in shown)
    assert [memory.get(handle).id for handle in shown] == [*twins]
    assert memory.handle("ig_other") == handle_of("api.example", "ig_other")
    with pytest.raises(UnknownImageError, match=f"{shown[0]}, {shown[1]}; use more digits"):
        memory.get(one.handle)


def test_handle_accepts_any_reference():
    """`handle` accepts every reference that `get` accepts."""
    memory = ImageMemory(numbered(2))

    assert memory.handle("last") == memory.handle("2") == memory.handle(memory.get("ig_2"))
    with pytest.raises(UnknownImageError):
        memory.handle("ig_3")


def test_repr_shows_the_latest_handles():
    """The repr shows the latest five handles and the number of images."""
    shown = repr(ImageMemory(numbered(100)))

    assert shown.endswith("; 100 in all)")
    assert shown.count("img_") == 5


# --- the family tree


@pytest.fixture
def family() -> ImageMemory:
    """Return a memory of a fox, a cat, the fox in winter, both together, and both at night."""
    return ImageMemory(
        [
            image("fox", prompt="draw a fox"),
            image("cat", prompt="draw a cat"),
            image("winter", prompt="make it winter", parents=("fox",)),
            image("both", prompt="put both together", parents=("winter", "cat")),
            image("night", prompt="at night", parents=("both",)),
        ]
    )


def test_lineage_goes_from_root_to_leaf(family: ImageMemory):
    """`lineage` lists every ancestor before the images made from it, and the image itself last."""
    assert ids(family.lineage("winter")) == ["fox", "winter"]
    assert ids(family.lineage("last")) == ["fox", "winter", "cat", "both", "night"]
    assert ids(family.lineage("1")) == ["fox"]


def test_children_are_the_images_made_directly(family: ImageMemory):
    """`children` returns the images made directly from an image, without grandchildren."""
    assert ids(family.children("fox")) == ["winter"]
    assert ids(family.children("cat")) == ["both"]
    assert family.children("night") == []


def test_lineage_skips_unknown_parents():
    """`lineage` leaves out a parent that the memory does not know."""
    memory = ImageMemory([image("ig_1", parents=("ig_0",))])

    assert ids(memory.lineage("ig_1")) == ["ig_1"]


def test_circular_parents_are_harmless():
    """Images whose parents form a circle have a finite lineage and a notebook view."""
    memory = ImageMemory([image("a", parents=("b",)), image("b", parents=("a",)), image("c", parents=("c",))])

    assert set(ids(memory.lineage("a"))) == {"a", "b"}
    assert ids(memory.lineage("a"))[-1] == "a"
    assert ids(memory.lineage("c")) == ["c"]
    assert all(handle in memory._repr_mimebundle_()["text/plain"] for handle in map(memory.handle, memory))


def test_a_very_long_lineage_works():
    """A chain of 5,000 edits has a complete lineage, and one of 1,100 a notebook view."""
    edits = [image(f"ig_{n}", parents=(f"ig_{n - 1}",)) for n in range(MANY)]

    assert len(ImageMemory(edits).lineage("last")) == MANY
    assert ImageMemory(edits[:1100])._repr_mimebundle_()["text/plain"].count("\n") == 1099


def test_the_notebook_view_is_the_family_tree(family: ImageMemory):
    """The notebook view shows each image below its first parent, with handle, prompt, and that the bytes are gone."""
    shown = family._repr_mimebundle_()

    lines = shown["text/plain"].splitlines()
    indents = {line.split("  ")[-1].partition(" (")[0]: len(line) - len(line.lstrip()) for line in lines}
    assert [line.strip().split("  ")[0] for line in lines] == [
        family.handle(id) for id in ("fox", "winter", "both", "night", "cat")
    ]
    assert [indents[text] for text in ("draw a fox", "make it winter", "at night", "draw a cat")] == [0, 3, 9, 0]
    assert family.handle("cat") in lines[2]
    assert all("its bytes are not at hand" in line for line in lines)


def test_the_notebook_view_escapes_prompts():
    """The notebook view escapes markup in prompts."""
    shown = ImageMemory([image("ig_1", prompt="<script>alert(1)</script>")])._repr_mimebundle_()

    assert "<script>" not in shown["text/html"]
    assert "&lt;script&gt;" in shown["text/html"]


# --- many images


def odd_record(n: int) -> dict[str, Any]:
    """Return a record with an unreadable time, so that validating it logs a warning."""
    return image(f"ig_{n}").record() | {"created_at": "never"}


def test_adding_and_finding_validate_one_record(caplog: pytest.LogCaptureFixture):
    """Adding or finding one image among 5,000 validates only the record of that image."""
    memory = ImageMemory(map(odd_record, range(MANY)))

    memory.add(image("ig_new", parents=("ig_0",)))

    assert memory.get(handle_of("api.example", "ig_new")).id == "ig_new"
    assert memory.latest == memory.get("last") == memory.get(str(MANY + 1)) == memory.get("ig_new")
    assert memory.handle("ig_17") == handle_of("api.example", "ig_17")
    assert "ig_17" in memory
    assert ids(memory.children("ig_0")) == ["ig_new"]
    assert len(memory.to_records()) == MANY + 1
    assert not caplog.records
    assert memory.get("ig_17").created_at is None
    assert "ig_17" in caplog.text
    assert "created_at" in caplog.text


# --- merging

scalars = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))
several = st.one_of(st.none(), st.lists(st.sampled_from(["p", "q", "r"]), unique=True))
records = st.fixed_dictionaries(
    {},
    optional={
        "prompt": scalars,
        "stored": st.sampled_from([None, True, False]),
        "parents": several,
        "companion_ids": several,
        "dead_rungs": several,
    },
)
states = st.dictionaries(st.sampled_from(["ig_1", "ig_2", "ig_3"]), records)


@given(a=states, b=states, c=states)
@settings(deadline=None)
def test_merging_is_associative(a: Any, b: Any, c: Any):
    """Merging is associative, so parallel steps can be grouped in any way."""
    left, right = merge_images(merge_images(a, b), c), merge_images(a, merge_images(b, c))

    assert left == right
    assert list(left) == list(right)


@given(a=states, b=states)
@settings(deadline=None)
def test_merging_changes_no_input(a: Any, b: Any):
    """Merging changes neither input, and merging the same update again changes nothing."""
    before = copy.deepcopy((a, b))

    merged = merge_images(a, b)

    assert (a, b) == before
    assert merge_images(merged, b) == merge_images(merged, {}) == merged
    assert list(merged) == list(dict.fromkeys([*a, *b]))


@given(old=records, new=records)
@settings(deadline=None)
def test_merging_forgets_nothing(old: Any, new: Any):
    """Merging never replaces a value by None, and lists of ids only grow."""
    merged = merge_record(old, new)

    for key in {*old, *new}:
        if key in ("parents", "companion_ids", "dead_rungs"):
            grown = [*(old.get(key) or ()), *(new.get(key) or ())]
            assert list(merged.get(key) or ()) == list(dict.fromkeys(grown))
        else:
            assert merged.get(key) == (old.get(key) if new.get(key) is None else new[key])


@pytest.mark.parametrize("nothing", [None, {}])
def test_merging_with_nothing_changes_nothing(nothing: Any):
    """Merging with None or an empty dict changes nothing."""
    state = as_update(numbered(2))

    assert merge_images(state, nothing) == merge_images(nothing, state) == state
    assert merge_images(nothing, nothing) == {}


def test_as_update_returns_records_by_id():
    """`as_update` returns plain JSON with one record for each image."""
    update = as_update([image("ig_1", prompt="a fox"), image("ig_2"), image("ig_1", stored=False)])

    assert list(update) == ["ig_1", "ig_2"]
    assert (update["ig_1"]["prompt"], update["ig_1"]["stored"]) == ("a fox", False)
    assert json.loads(json.dumps(update)) == update
