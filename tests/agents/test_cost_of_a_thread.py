"""What a thread cost is known after a restart, on each of its branches, and when its messages are summarized."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory
from langchain_imagegen.images.token_tables import output_tokens
from tests.conversations import SMALL, open_saver
from tests.graphs import THREAD
from tests.scripted import DONE, ScriptedModel, image_call, scripted_model

PRICE = Decimal(30) / 1_000_000 * output_tokens("gpt-image-2", "816x816", "low")
"""Dollars that the image tokens of one drawing cost."""

OPTIONS = {**SMALL, "model": "gpt-image-2"}


class Thread:
    """A thread of an agent that draws one picture a turn, on a checkpoint file that can be opened again."""

    def __init__(self, agent: Any, half: Any, model: Any) -> None:
        self._agent, self._half, self._model = agent, half, model

    def draw(self, prompt: str, *images: str, config: Any = THREAD) -> ImageMemory:
        """Have a picture drawn in one turn, and return the memory after it."""
        if isinstance(self._model, ScriptedModel):
            call = image_call(f"call-{prompt}", prompt, **({"images": list(images)} if images else {}))
            self._model.messages = scripted_model(call, DONE).messages
        self._half.invoke(self._agent, {"messages": [("user", f"draw: {prompt}")]}, config=config)
        return self.memory()

    def memory(self, config: Any = THREAD) -> ImageMemory:
        """Return the images of a checkpoint, by default the latest one."""
        return ImageMemory.from_state(self.state(config).values)

    def state(self, config: Any = THREAD) -> Any:
        """Return a snapshot of a checkpoint."""
        if self._half.name == "sync":
            return self._agent.get_state(config)
        return self._half.wait(self._agent.aget_state, config)

    def history(self) -> list[Any]:
        """Return the snapshots of the thread, the latest first."""

        async def collect() -> list[Any]:
            return [snapshot async for snapshot in self._agent.aget_state_history(THREAD)]

        return list(self._agent.get_state_history(THREAD)) if self._half.name == "sync" else self._half.wait(collect)


@pytest.fixture(params=["function", "hosted"])
def open_agent(request: pytest.FixtureRequest, talks: Any, generator: Any) -> Callable[..., Thread]:
    """Return a function that makes an agent on a checkpointer, with the function tool or with the hosted one."""

    def make(saver: Any, half: Any, *others: Any) -> Thread:
        if request.param == "hosted":
            model, own = talks.model(), ImageGenerationMiddleware(OPTIONS)
        else:
            tool = ImageGenerationTool(generator=generator(options=OPTIONS))
            model, own = scripted_model(), ImageGenerationMiddleware(tool=tool, hosted=False)
        return Thread(create_agent(model, middleware=[own, *others], checkpointer=saver), half, model)

    return make


def test_a_branch_costs_what_was_drawn_on_it(half: Any, open_agent: Any, tmp_path: Path):
    """After a restart a thread costs what it did before, and each of two branches what its own pictures cost."""
    with open_saver(tmp_path / "checkpoints.sqlite", half) as saver:
        thread = open_agent(saver, half)
        one = thread.draw("a fox").cost()
        three = [thread.draw(f"an owl {number}").cost() for number in range(2)][-1]
    with open_saver(tmp_path / "checkpoints.sqlite", half) as saver:
        thread = open_agent(saver, half)
        reopened = thread.memory().cost()
        before, after_fox = thread.state().config, first_with_images(thread.history(), 1)
        forked = thread.draw("a cat", config=after_fox).cost()
    with open_saver(tmp_path / "checkpoints.sqlite", half) as saver:
        thread = open_agent(saver, half)
        latest, other = thread.memory().cost(), thread.memory(before).cost()

    assert [cost.image_output for cost in (one, three, forked)] == [PRICE, 3 * PRICE, 2 * PRICE]
    assert (reopened, latest, other) == (three, forked, three)
    assert one.total < forked.total < three.total


def test_summaries_leave_the_cost(half: Any, open_agent: Any, tmp_path: Path):
    """A thread whose earlier messages became a summary costs what all of its pictures cost, also after a restart."""
    summarizer = scripted_model(*[AIMessage("Pictures were drawn.")] * 9)
    summaries = SummarizationMiddleware(summarizer, trigger=("messages", 4), keep=("messages", 2))
    with open_saver(tmp_path / "checkpoints.sqlite", half) as saver:
        thread = open_agent(saver, half, summaries)
        costs = [thread.draw(f"an owl {number}").cost() for number in range(4)]
        messages = thread.state().values["messages"]
    with open_saver(tmp_path / "checkpoints.sqlite", half) as saver:
        reopened = open_agent(saver, half).memory().cost()

    assert "Pictures were drawn." in messages[0].text
    assert not [message for message in messages if "an owl 0" in message.text]
    assert [cost.image_output for cost in costs] == [PRICE, 2 * PRICE, 3 * PRICE, 4 * PRICE]
    assert reopened == costs[-1]


def first_with_images(history: list[Any], count: int) -> Any:
    """Return the config of the latest finished turn after which the thread had so many images."""
    return next(
        each.config for each in history if not each.next and len(each.values.get("generated_images", ())) == count
    )
