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
    """Return an image whose bytes do not exist; a memory never reads them."""
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


def test_images_come_in_the_order_of_their_appearance():
    """Iteration, length and `latest` follow the order in which images were added."""
    memory = ImageMemory(numbered(3))

    assert ids(memory) == ["ig_1", "ig_2", "ig_3"]
    assert len(memory) == 3
    assert memory.latest is not None
    assert memory.latest.id == "ig_3"


def test_an_empty_memory_is_empty():
    """A new memory has no images and no latest image."""
    memory = ImageMemory()

    assert (len(memory), memory.latest, list(memory), memory.to_records()) == (0, None, [], [])


def test_an_image_added_again_keeps_its_place_and_gains_what_is_new():
    """A record added again is merged into the known one; the image is not listed twice."""
    memory = ImageMemory([image("ig_1", prompt="a fox"), image("ig_2")])

    memory.add(image("ig_1", revised_prompt="a red fox", dead_rungs=("call_id",)))

    assert ids(memory) == ["ig_1", "ig_2"]
    fox = memory.get("ig_1")
    assert (fox.prompt, fox.revised_prompt, fox.dead_rungs) == ("a fox", "a red fox", ("call_id",))


def test_what_was_looked_at_before_is_seen_anew_after_a_merge():
    """After a merge, `get` returns the merged image and not the one returned before."""
    memory = ImageMemory([image("ig_1")])
    assert memory.get("ig_1").stored is None

    memory.add({"id": "ig_1", "sha256": "0" * 64, "size_bytes": 1, "mime_type": "image/png", "stored": False})

    assert memory.get("ig_1").stored is False
    assert memory.get("ig_1").provider == "api.example"


def test_a_result_brings_its_sources_before_its_pictures():
    """The source of an edit is remembered too, before the edit."""
    result = ImageResult(images=(image("ig_2", parents=("upload",)),), sources=(image("upload", origin="user"),))
    memory = ImageMemory()

    memory.add(result)

    assert ids(memory) == ["upload", "ig_2"]


def test_what_is_no_image_is_refused():
    """Adding anything else is a `TypeError` that says what a memory holds."""
    with pytest.raises(TypeError, match="GeneratedImage, ImageResult or records, not str"):
        ImageMemory().add("img_12345678")


def test_a_record_given_is_not_shared_with_its_giver():
    """Changing the dict afterwards changes nothing in the memory."""
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


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda memory: pickle.loads(pickle.dumps(memory))])
def test_a_copy_stands_for_itself(copied: Any):
    """A deep copy or an unpickled memory has the same images; adding to it does not change the original."""
    memory = ImageMemory(numbered(2))

    other = copied(memory)
    other.add(image("ig_3"))

    assert ids(other) == ["ig_1", "ig_2", "ig_3"]
    assert ids(memory) == ["ig_1", "ig_2"]


def test_images_read_from_the_store_of_the_memory(image_store: ImageStore):
    """The images of a memory read their bytes from its store."""
    blob = image_store.put(b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>')

    memory = ImageMemory([GeneratedImage.of(blob, id="ig_1")], image_store=image_store)

    assert memory.get("last").read().startswith(b"<svg")


def test_threads_may_add_at_once():
    """Each image that several threads add is listed once and found by its handle."""
    memory = ImageMemory()
    shared, own = image("upload"), numbered(400)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: (memory.add(shared, one), memory.get(one.handle)), own))

    assert sorted(ids(memory)) == sorted(["upload", *ids(own)])
    assert all(one.handle in memory for one in own)


# --- references


def test_an_image_is_found_by_each_of_its_names():
    """Handle, unique beginning of it, ordinal, id, the image itself and `last` all name it."""
    memory = ImageMemory(numbered(3))
    third = memory.get("ig_3")

    for name in (third.handle, third.handle[:9], f" {third.handle} ", "3", 3, "last", "ig_3", third):
        assert memory.get(name).id == "ig_3", name


def test_an_image_has_more_than_eight_digits_to_be_named_by():
    """More digits than the handle has name the image too, if every digit is right."""
    memory = ImageMemory(numbered(1))
    name = name_of("api.example", "ig_1")

    assert memory.get(f"img_{name[:20]}").id == "ig_1"
    assert f"img_{name[:8]}{'0' if name[8] != '0' else '1'}" not in memory


@pytest.mark.parametrize("name", ["4", "0", "-1", "img_", "img_zz", "ig_9", "the last one", "9" * 5_000, ""])
def test_a_name_of_nothing_is_an_error_that_lists_the_known(name: str):
    """An unknown reference raises `UnknownImageError` with the handles there are, and nothing else."""
    memory = ImageMemory(numbered(3))

    with pytest.raises(UnknownImageError, match="known here, oldest first: img_") as caught:
        memory.get(name)
    assert caught.value.known == [handle_of("api.example", f"ig_{n}") for n in (1, 2, 3)]
    assert name not in memory


def test_an_empty_memory_says_that_there_is_nothing_yet():
    """The error of an empty memory says to draw a picture first."""
    with pytest.raises(UnknownImageError, match="no image in this conversation yet: draw one first"):
        ImageMemory().get("last")


def test_a_long_list_of_known_images_is_cut_in_the_message_only():
    """The error's message lists the latest twenty handles and counts the others; `.known` has all."""
    with pytest.raises(UnknownImageError, match="80 older, img_") as caught:
        ImageMemory(numbered(100)).get("img_nothing")
    assert len(caught.value.known) == 100
    assert str(caught.value).count("img_") == 21


def test_an_ambiguous_beginning_lists_its_candidates():
    """Digits that several handles begin with are refused, and the error lists exactly these handles."""
    memory = ImageMemory(numbered(40))
    start = next(one.handle[:5] for one in memory if sum(two.handle[:5] == one.handle[:5] for two in memory) > 1)
    meant = [one.handle for one in memory if one.handle.startswith(start)]

    with pytest.raises(UnknownImageError) as caught:
        memory.get(start)
    assert f"names several images: {', '.join(meant)}; use more digits" in str(caught.value)
    assert start not in memory


def test_handles_lengthen_where_they_collide(twins: tuple[str, str]):
    """Handles with the same 8 digits get as many more as tell them apart, and are found by these."""
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


def test_a_handle_is_shown_for_any_reference():
    """`handle` takes whatever `get` takes."""
    memory = ImageMemory(numbered(2))

    assert memory.handle("last") == memory.handle("2") == memory.handle(memory.get("ig_2"))
    with pytest.raises(UnknownImageError):
        memory.handle("ig_3")


def test_a_memory_shows_the_latest_handles():
    """The repr shows the latest handles alone, however many images there are."""
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
    """Every ancestor comes before the images made from it, and the image itself comes last."""
    assert ids(family.lineage("winter")) == ["fox", "winter"]
    assert ids(family.lineage("last")) == ["fox", "winter", "cat", "both", "night"]
    assert ids(family.lineage("1")) == ["fox"]


def test_children_are_the_images_made_directly(family: ImageMemory):
    """`children` returns no grandchildren."""
    assert ids(family.children("fox")) == ["winter"]
    assert ids(family.children("cat")) == ["both"]
    assert family.children("night") == []


def test_a_parent_that_is_not_remembered_is_passed_over():
    """A lineage begins with the first known ancestor."""
    memory = ImageMemory([image("ig_1", parents=("ig_0",))])

    assert ids(memory.lineage("ig_1")) == ["ig_1"]


def test_images_that_claim_to_be_their_own_ancestors_do_no_harm():
    """Records whose parents form a circle have a finite lineage and a view."""
    memory = ImageMemory([image("a", parents=("b",)), image("b", parents=("a",)), image("c", parents=("c",))])

    assert set(ids(memory.lineage("a"))) == {"a", "b"}
    assert ids(memory.lineage("a"))[-1] == "a"
    assert ids(memory.lineage("c")) == ["c"]
    assert all(handle in memory._repr_mimebundle_()["text/plain"] for handle in map(memory.handle, memory))


def test_a_very_long_lineage_is_no_problem():
    """Five thousand edits in a row have a lineage, and a view."""
    memory = ImageMemory([image(f"ig_{n}", parents=(f"ig_{n - 1}",)) for n in range(MANY)])

    assert len(memory.lineage("last")) == MANY
    assert memory._repr_mimebundle_()["text/plain"].count("\n") == MANY - 1


def test_the_notebook_view_is_the_family_tree(family: ImageMemory):
    """The view shows each image below its first parent, with handle and prompt."""
    shown = family._repr_mimebundle_()

    lines = shown["text/plain"].splitlines()
    indents = {line.split("  ")[-1]: len(line) - len(line.lstrip()) for line in lines}
    assert [line.strip().split("  ")[0] for line in lines] == [
        family.handle(id) for id in ("fox", "winter", "both", "night", "cat")
    ]
    assert [indents[text] for text in ("draw a fox", "make it winter", "at night", "draw a cat")] == [0, 3, 9, 0]
    assert family.handle("cat") in lines[2]


def test_the_notebook_view_escapes_prompts():
    """Markup in a prompt is escaped."""
    shown = ImageMemory([image("ig_1", prompt="<script>alert(1)</script>")])._repr_mimebundle_()

    assert "<script>" not in shown["text/html"]
    assert "&lt;script&gt;" in shown["text/html"]


# --- many images


def odd(n: int) -> dict[str, Any]:
    """Return a record whose time cannot be read, so that making its image logs a warning."""
    return image(f"ig_{n}").record() | {"created_at": "never"}


def test_adding_and_resolving_look_at_no_other_image(caplog: pytest.LogCaptureFixture):
    """Adding and finding one image among thousands validates the record of that image alone."""
    memory = ImageMemory(map(odd, range(MANY)))

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
    """Merging is associative, so parallel steps may be grouped in any way."""
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
def test_what_is_known_is_never_forgotten(old: Any, new: Any):
    """`None` never replaces a value, and lists of ids only grow."""
    merged = merge_record(old, new)

    for key in {*old, *new}:
        if key in ("parents", "companion_ids", "dead_rungs"):
            grown = [*(old.get(key) or ()), *(new.get(key) or ())]
            assert list(merged.get(key) or ()) == list(dict.fromkeys(grown))
        else:
            assert merged.get(key) == (old.get(key) if new.get(key) is None else new[key])


@pytest.mark.parametrize("nothing", [None, {}])
def test_nothing_is_neutral(nothing: Any):
    """Merging with None or an empty dict changes nothing."""
    state = as_update(numbered(2))

    assert merge_images(state, nothing) == merge_images(nothing, state) == state
    assert merge_images(nothing, nothing) == {}


def test_images_as_an_update_are_records_by_id():
    """An update of the channel is plain JSON and holds each image once."""
    update = as_update([image("ig_1", prompt="a fox"), image("ig_2"), image("ig_1", stored=False)])

    assert list(update) == ["ig_1", "ig_2"]
    assert (update["ig_1"]["prompt"], update["ig_1"]["stored"]) == ("a fox", False)
    assert json.loads(json.dumps(update)) == update
