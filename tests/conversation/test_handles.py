"""Handles of images, in the many ways in which chat models write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_imagegen.conversation.handles import read_handles

FOX = "img_1a2b3c4d"
OWL = "img_5e6f7a8b"


@pytest.mark.parametrize(
    "written",
    [
        FOX,
        [FOX],
        [[FOX]],
        f"[{FOX}]",
        f'["{FOX}"]',
        f"`{FOX}`",
        f"'{FOX}'",
        f"<{FOX}>",
        f"image {FOX}",
        f"the image {FOX} of the fox",
        f"attachment://{FOX}",
        f"sandbox:/mnt/data/{FOX}.png",
        f"![fox]({FOX}.png)",
        f"/{FOX}.webp",
        FOX.upper(),
        {"handle": FOX},
        {"id": FOX},
        {"image": {"handle": FOX}},
        f'{{"handle": "{FOX}"}}',
        [{"handle": FOX}],
    ],
    ids=repr,
)
def test_a_handle_is_found_inside_other_text(written: Any):
    """`read_handles` finds a handle inside brackets, quotes, file names, URLs, sentences and JSON."""
    assert read_handles(written) == [FOX]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (1, "1"),
        (2.0, "2"),
        ("#1", "1"),
        ("1", "1"),
        ("image 3", "3"),
        ("Image #2", "2"),
        ("2nd", "2"),
        ("first", "1"),
        ("the third image", "3"),
        (-1, "last"),
        ("-1", "last"),
        ("last", "last"),
        ("Latest", "last"),
        ("previous", "last"),
        ("the previous picture", "last"),
        ("most recent", "last"),
        ("ig_0a1B", "ig_0a1B"),
        ("sha256:" + "a" * 64, "sha256:" + "a" * 64),
    ],
)
def test_ordinals_and_words_are_normalized(written: Any, name: str):
    """`read_handles` returns the number for any spelling of an ordinal, and `last` for any word for the newest."""
    assert read_handles(written) == [name]


@pytest.mark.parametrize(
    "written", [None, "", [""], "null", "None", " none ", "[]", "[null]", [None], [[]], [], '""', ["null", None]]
)
def test_nothing_is_no_handle(written: Any):
    """`read_handles` returns no handle for any spelling of nothing."""
    assert read_handles(written) == []


@pytest.mark.parametrize(
    "written", [[FOX, OWL], f"{FOX}, {OWL}", f"[{FOX}, {OWL}]", f"{FOX} and {OWL}", [[FOX], [[OWL]]], f"{FOX}\n{OWL}"]
)
def test_several_handles_keep_their_order(written: Any):
    """`read_handles` returns all handles of a list or a text in order."""
    assert read_handles(written) == [FOX, OWL]


@pytest.mark.parametrize("address", ["https://example.org/img_12345678.png", "HTTPS://example.org/1", " http://x/a,b"])
def test_urls_stay_whole(address: str):
    """`read_handles` does not extract a handle from a web address."""
    assert read_handles([address]) == [address.strip()]


@pytest.mark.parametrize("written", ["the fox", "fox.png", "img_", "img_zz", {"colour": "red"}, True, 1.5, -2])
def test_unknown_names_are_kept(written: Any):
    """`read_handles` keeps a value that it does not understand, so the memory can refuse it by name."""
    assert len(read_handles(written)) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_gives_names(written: Any):
    """`read_handles` returns a list of text for any JSON value and never raises."""
    assert all(isinstance(name, str) for name in read_handles(written))


def test_a_list_that_contains_itself_is_refused():
    """`read_handles` turns a list that contains itself into one name that no memory knows."""
    endless: list[Any] = []
    endless.append(endless)

    assert read_handles(endless) == ["list nested deeper than 8 levels"]
