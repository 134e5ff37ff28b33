"""Legal picture sizes: which rules a size breaks, and the nearest size that breaks none."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_imagegen.options.models import FIXED_SIZES, SizeLimits
from langchain_imagegen.options.sizes import edges, faults, nearest, nearest_ratio

LIMITS = SizeLimits()
EDGE = st.integers(1, 99_999)
GRID = st.integers(1, 240).map(lambda steps: steps * 16)


def _is_legal(width, height):
    """Return True if a size obeys the four rules, written independently of the package."""
    return (
        width % 16 == height % 16 == 0
        and max(width, height) <= 3840
        and 1 / 3 <= width / height <= 3
        and 655_360 <= width * height <= 8_294_400
    )


@given(EDGE, EDGE)
def test_nearest_is_legal(width, height):
    """The suggested size obeys every rule, whatever size was requested."""
    assert _is_legal(*nearest(width, height, LIMITS))


@given(GRID, GRID)
def test_legal_size_is_its_own_nearest(width, height):
    """A size has faults exactly if it breaks a rule, and a legal size is its own suggestion."""
    legal = _is_legal(width, height)

    assert (not any(faults(width, height, LIMITS))) == legal
    assert not legal or nearest(width, height, LIMITS) == (width, height)


@given(EDGE, EDGE, st.integers(2, 16))
@settings(max_examples=50)
def test_nearest_frame_is_legal(width, height, frames):
    """The suggested size for an animation keeps all frames together within the pixel limit."""
    frame = dataclasses.replace(LIMITS, min_pixels=0, max_pixels=8_294_400 // frames)

    w, h = nearest(width, height, frame)
    assert w * h * frames <= 8_294_400
    assert w % 16 == h % 16 == 0


@given(st.integers(300, 4000), st.floats(0.34, 2.9))
def test_nearest_keeps_the_ratio(width, ratio):
    """The suggested size keeps a legal ratio within 3.5 percent, since edges must be divisible by 16."""
    height = max(1, round(width / ratio))

    w, h = nearest(width, height, LIMITS)
    assert (w / h) / (width / height) == pytest.approx(1, abs=0.035)


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [
        ("1920x1080", "1920x1088"),
        ("2560x1080", "2560x1088"),
        ("1024x576", "1088x608"),
        ("512x512", "816x816"),
        ("800x800", "816x816"),
        ("1500x1500", "1504x1504"),
        ("4096x4096", "2880x2880"),
        ("7680x4320", "3840x2160"),
        ("4320x7680", "2160x3840"),
        ("4000x1000", "3456x1152"),
        ("1x99999", "480x1408"),
    ],
)
def test_nearest_of_common_sizes(asked, suggested):
    """Sizes that people often request get the suggestion that a person would make."""
    assert nearest(*edges(asked), LIMITS) == edges(suggested)


@pytest.mark.parametrize("size", ["816x816", "2880x2880", "3840x2160", "2160x3840", "1536x864", "3840x1280"])
def test_sizes_at_the_limits(size):
    """A size exactly at a limit has no fault."""
    assert list(faults(*edges(size), LIMITS)) == []


@pytest.mark.parametrize(
    ("size", "messages"),
    [
        ("1920x1080", ["height must be divisible by 16"]),
        ("1000x1000", ["width and height must be divisible by 16"]),
        ("3856x1600", ["the longest edge may have at most 3840 pixels"]),
        ("2048x640", ["the ratio must lie between 1:3 and 3:1"]),
        ("800x800", ["640,000 pixels are fewer than 655,360"]),
        ("3840x2176", ["8,355,840 pixels are more than 8,294,400"]),
    ],
)
def test_faults(size, messages):
    """Each broken rule gives one message with its number, and no other rule gives one."""
    assert list(faults(*edges(size), LIMITS)) == messages


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [
        ("1920x1080", "1536x1024"),
        ("1080x1920", "1024x1536"),
        ("512x512", "1024x1024"),
        ("1100x1000", "1024x1024"),
    ],
)
def test_nearest_ratio(asked, suggested):
    """The suggested fixed size is the one with the closest ratio."""
    assert nearest_ratio(*edges(asked), FIXED_SIZES) == suggested
