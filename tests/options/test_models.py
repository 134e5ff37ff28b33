"""The tables of models: look-up, status, and agreement with the installed SDK."""

from __future__ import annotations

from datetime import date
from typing import get_args, get_type_hints

import pytest
from openai.types.responses.tool_param import ImageGeneration

from langchain_imagegen.options.models import (
    DEFAULT_IMAGE_MODEL,
    DEFAULT_MAINLINE_MODEL,
    IMAGE_MODELS,
    MAINLINE_MODELS,
    ImageModel,
    image_model,
    mainline_model,
)


def _sdk_models():
    """Return the names of the image models in the SDK's types."""
    kinds = get_args(get_type_hints(ImageGeneration)["model"])
    return [name for kind in kinds for name in get_args(kind)]


@pytest.mark.parametrize("name", _sdk_models())
def test_sdk_models_have_a_row(name):
    """Every image model that the installed SDK names has a row, snapshots included."""
    assert image_model(name) is not None


def test_sdk_models_are_found():
    """The list of models taken from the SDK is not empty, so that the test above compares something."""
    assert "gpt-image-2" in _sdk_models()


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("gpt-image-2", "gpt-image-2"),
        ("gpt-image-2-2026-04-21", "gpt-image-2"),
        ("gpt-image-1.5-2025-12-16", "gpt-image-1.5"),
        ("gpt-image-2.5-flare-2026-09-08", "gpt-image-2.5-flare"),
        ("gpt-image-1-mini", "gpt-image-1-mini"),
    ],
)
def test_snapshot_finds_its_model(name, row):
    """`image_model` returns the row of a dated snapshot's model, and never that of a shorter name."""
    found = image_model(name)

    assert found is not None
    assert found.name == row


@pytest.mark.parametrize("name", ["gpt-image-3", "gpt-image-2-codex", "gpt-image-2.7-flare", "flux", ""])
def test_unknown_image_model_has_no_row(name):
    """`image_model` returns None for an unknown model, however similar its name is to a known one."""
    assert image_model(name) is None


def test_mainline_snapshot_finds_its_model():
    """`mainline_model` returns the row of a dated snapshot's model, and None for an unknown model."""
    found = mainline_model("gpt-4.1-2025-04-14")

    assert found is not None
    assert found.name == "gpt-4.1"
    assert mainline_model("gpt-9") is None


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("gpt-image-2.6-sunburst", "active"),
        ("gpt-image-2", "active"),
        ("gpt-image-1.5", "deprecated"),
        ("chatgpt-image-latest", "deprecated"),
        ("gpt-image-1", "shut down"),
        ("dall-e-3", "shut down"),
    ],
)
def test_status(name, status):
    """A row's status says whether its model was active, deprecated or shut down when the row was checked."""
    assert image_model(name).status == status


def test_status_ignores_the_clock():
    """A model whose end is after the check stays deprecated, whatever today's date is."""
    row = ImageModel("x", "test", ends=date(2000, 1, 2), checked=date(2000, 1, 1))

    assert row.status == "deprecated"
    assert not row.shut_down


@pytest.mark.parametrize("row", [*IMAGE_MODELS, *MAINLINE_MODELS], ids=lambda row: row.name)
def test_rows_are_sourced(row):
    """Every row names where its facts come from and when they were checked."""
    assert row.source
    assert row.checked >= date(2026, 11, 22)


@pytest.mark.parametrize("row", IMAGE_MODELS, ids=lambda row: row.name)
def test_ending_models_name_an_active_successor(row):
    """A row with an end date names an active model to use instead."""
    if row.ends is None:
        assert row.instead is None
    else:
        assert image_model(row.instead).status == "active"


def test_default_models_are_available():
    """The default image model is active, and the default mainline model is not shut down."""
    assert image_model(DEFAULT_IMAGE_MODEL).status == "active"
    assert not mainline_model(DEFAULT_MAINLINE_MODEL).shut_down


def test_mainline_model_that_was_shut_down():
    """The table knows that gpt-4.1-nano was shut down and that gpt-5 was not."""
    assert mainline_model("gpt-4.1-nano").shut_down
    assert not mainline_model("gpt-5").shut_down
