"""What each class of error says of repeating a request and of money: `except`, `isinstance` and attributes agree."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

import langchain_imagegen
from langchain_imagegen import errors
from langchain_imagegen.errors import (
    CorruptImageError,
    ImageFetchError,
    ImageGenerationError,
    ModerationError,
    NotConnectedError,
    OptionRefusedError,
    RateLimitError,
    ServiceError,
    drew_nothing,
    retry_on,
)

TREE = sorted(
    (kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ImageGenerationError)),
    key=lambda kind: len(kind.__mro__),
)


@pytest.mark.parametrize("kind", TREE)
def test_class_and_attributes_agree(kind: Any):
    """An `except` clause with `retry_on` or `drew_nothing` says the same as `.retryable` and `.may_be_billed`."""
    error = kind("it broke")

    assert error.retryable == isinstance(error, retry_on)
    assert not (error.retryable and error.may_be_billed)
    assert not (isinstance(error, drew_nothing) and error.may_be_billed)


@pytest.mark.parametrize("kind", TREE[1:])
def test_the_table_says_the_same(kind: type[ImageGenerationError]):
    """The head of `errors.py` has a row for each class, with what its attributes say."""
    rows = [row.lstrip("│├└─ ").replace("(also a ValueError)", "").split() for row in str(errors.__doc__).splitlines()]
    again, billed = next(row[1:3] for row in rows if row[:1] == [kind.__name__])

    assert again == ("yes" if kind.retryable else "no")
    assert billed in "¹²³" or billed == ("yes" if kind.may_be_billed else "no")


@pytest.mark.parametrize("kind", TREE)
def test_an_error_survives_a_pickle(kind: Any):
    """Errors cross processes whole, as pools of workers send them."""
    error = kind("it broke")
    error.note = "mine"
    other = pickle.loads(pickle.dumps(error))

    assert (type(other), str(other), vars(other)) == (kind, "it broke", vars(error))


@pytest.mark.parametrize(("stage", "billed"), [("input", False), ("output", True), ("unknown", True)])
def test_moderation_is_billed_after_the_drawing(stage: str, billed: bool):
    """A prompt that is refused draws nothing; a picture that is refused has been drawn."""
    assert ModerationError("no", stage=stage).may_be_billed is billed


def test_several_problems_are_a_list():
    """A notebook shows each problem of an `OptionError` on a line of its own, and a single one as the message."""
    several = errors.OptionError("the size is odd", "<b>blue</b> is no format")._repr_mimebundle_()
    single = errors.OptionError("the size is odd")._repr_mimebundle_()

    assert several["text/plain"].splitlines()[:3] == [
        "OptionError: 2 problems",
        "- the size is odd",
        "- <b>blue</b> is no format",
    ]
    assert "<li>&lt;b&gt;blue&lt;/b&gt; is no format</li>" in several["text/html"]
    assert single["text/plain"].startswith("OptionError: the size is odd\n")


def test_names():
    """`retry_on` is public; the classes that other rules are written with keep their parents."""
    assert langchain_imagegen.retry_on is retry_on
    assert issubclass(RateLimitError, ServiceError)
    assert issubclass(NotConnectedError, errors.ConnectionLostError)
    assert issubclass(OptionRefusedError, ValueError)
    assert (NotConnectedError("").sent, errors.ConnectionLostError("").sent) == (False, True)
    assert (CorruptImageError("").may_be_billed, ImageFetchError("", url="https://x").may_be_billed) == (False, True)
