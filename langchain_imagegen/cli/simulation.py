"""The simulated service inside a command. Only this module and `simulate` start the simulator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SIMULATED_KEY = "sk-simulated"
"""The key that `imagegen simulate` prints. Commands that find it in the environment know that they are simulated."""

NOTICE = "simulated: no model is called; pictures are placeholders, and are kept apart from yours"


def is_simulated() -> bool:
    """Return True if the environment leads to `imagegen simulate`."""
    return os.environ.get("OPENAI_API_KEY", "").strip() == SIMULATED_KEY and bool(os.environ.get("OPENAI_BASE_URL"))


@contextmanager
def simulated_service() -> Iterator[str]:
    """Run a simulated service; give its base URL."""
    from langchain_imagegen.simulator import Simulator

    with Simulator(seed=None) as simulator:  # ids differ from those of earlier commands
        yield simulator.base_url
