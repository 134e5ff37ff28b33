"""`start_without_key`: a simulator for a script or notebook that should run with or without a key."""

from __future__ import annotations

import os

from langchain_imagegen.simulator.simulator import Simulator

FOLDER = "simulated-pictures"
SAID = (
    "OPENAI_API_KEY is not set, so a simulator on this machine draws placeholders and plays the chat model.\n"
    "No model is called."
)


def start_without_key(*, latency: float = 0.0) -> Simulator | None:
    """Start a simulator, say so, and point this process at it, unless OPENAI_API_KEY is set.

    It sets OPENAI_BASE_URL and OPENAI_API_KEY, which OpenAI's clients read when they are made. So that no simulated
    picture gets among real ones, it also sets LANGCHAIN_IMAGEGEN_STORE, whatever it was: the default store is then the
    folder `simulated-pictures`.

    Args:
        latency: Seconds that a simulated picture takes.

    Returns:
        The simulator, which runs until the process ends; None if there is a key.
    """
    if os.environ.get("OPENAI_API_KEY"):
        return None
    simulator = Simulator(latency=latency, seed=None).start()
    os.environ |= {"OPENAI_BASE_URL": simulator.base_url, "OPENAI_API_KEY": "simulated"}
    os.environ["LANGCHAIN_IMAGEGEN_STORE"] = FOLDER
    print(SAID)
    return simulator
