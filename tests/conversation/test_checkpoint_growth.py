"""What one turn writes into the checkpoints does not depend on how many images the channel holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph

from langchain_imagegen.conversation.channel import as_update
from tests.conversation.test_growth import images
from tests.conversations import database_sizes
from tests.graphs import THREAD, Gallery

FEW, MANY = 1_000, 100_000


def bytes_of_a_turn(count: int, file: Path) -> int:
    """Return the bytes of checkpoints and writes that a turn adds, which draws one image after `count` others."""
    *earlier, new = images(count + 1)
    builder = StateGraph(Gallery)
    builder.add_node("draw", lambda _: {"generated_images": as_update([new])})
    builder.add_edge(START, "draw")
    with SqliteSaver.from_conn_string(str(file)) as saver:
        graph: Any = builder.compile(checkpointer=saver)
        graph.update_state(THREAD, {"generated_images": as_update(earlier)}, as_node="draw")
        before = database_sizes(file)
        state = graph.invoke({"messages": "one more"}, THREAD)
        after = database_sizes(file)
    assert len(state["generated_images"]) == count + 1
    return sum((after[part] or 0) - (before[part] or 0) for part in ("checkpoints", "writes"))


def test_a_turn_writes_as_much_after_many_images_as_after_few(tmp_path: Path):
    """A turn after 100,000 images writes less than twice the bytes of one after 1,000."""
    few, many = (bytes_of_a_turn(count, tmp_path / f"{count}.sqlite") for count in (FEW, MANY))

    assert 0 < many < 2 * few
    assert many < 20_000
