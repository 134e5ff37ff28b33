"""Fixtures of the tests of experiments."""

from __future__ import annotations

import pytest


@pytest.fixture
def run(half):
    """Return a function that runs an experiment in the half of the test, without a progress bar."""

    def run(experiment, draw, **settings):
        settings = {"progress": False, **settings}
        if half.name == "sync":
            return experiment.run(draw, **settings)
        return half.wait(lambda: experiment.arun(draw, **settings))

    return run


@pytest.fixture
def draw(low):
    """Return a generator of small pictures."""
    return low()
