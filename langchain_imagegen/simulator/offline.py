"""`start_without_key`: a simulator for a script or notebook that should run with or without a key."""

from __future__ import annotations

import os

from langchain_imagegen.simulator.simulator import Simulator

FOLDER = "simulated-pictures"


def start_without_key(*, latency: float = 0.0) -> Simulator | None:
    """Start a simulator, say so, and point this process at it, unless OPENAI_API_KEY is set.

    It sets OPENAI_BASE_URL and OPENAI_API_KEY, which OpenAI's clients read, and LANGCHAIN_IMAGEGEN_STORE, so that no
    simulated picture gets among real ones: they go to the folder `simulated-pictures` unless it names another store.

    Args:
        latency: Seconds that a simulated picture takes.

    Returns:
        The simulator, which runs until the process ends; None if there is a key.
    """
    if os.environ.get("OPENAI_API_KEY"):
        return None
    simulator = Simulator(latency=latency, seed=None).start()
    os.environ |= {"OPENAI_BASE_URL": simulator.base_url, "OPENAI_API_KEY": "simulated"}
    os.environ.setdefault("LANGCHAIN_IMAGEGEN_STORE", FOLDER)
    print("OPENAI_API_KEY is not set: a simulator draws placeholders and plays the chat model. No model is called.")
    return simulator
