"""A worker process: a graph of one drawing node, with its checkpoints in a file and its pictures in a folder.

    python tests/worker.py <folder> <base URL> <what comes behind the drawing>

It draws on the thread `one`, or goes on there if a run is open. It prints `drawn` and whether nothing was bought, and
at the end the number of pictures. Behind the drawing it goes on (`nothing`) or waits to be killed (`wait`). With `torn`
it kills itself when the ledger's note of the result is written but has no name yet. With `name` it draws the picture of
a name, without a graph.
"""

from __future__ import annotations

import operator
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from langchain_imagegen import ImageGenerator, ImageStore

THREAD = {"configurable": {"thread_id": "one"}}


class Drawn(TypedDict):
    """The digests of the pictures."""

    drawn: Annotated[list[str], operator.add]


def generator(folder: Path, base_url: str) -> ImageGenerator:
    """Return a generator of small pictures."""
    options = {"size": "816x816", "quality": "low"}
    return ImageGenerator(
        base_url=base_url, api_key="simulated", image_store=ImageStore(folder / "images"), options=options
    )


def tell(result: Any) -> None:
    """Print whether a picture was bought."""
    print("drawn", result.from_ledger, flush=True)  # noqa: T201


def die_at_the_note(event: str, details: tuple[Any, ...]) -> None:
    """Kill this process as it gives its name to a note of a result."""
    if event in ("os.rename", "os.link") and str(details[1]).endswith(".done"):
        os.kill(os.getpid(), signal.SIGKILL)


def graph(draw: ImageGenerator, behind: str, saver: Any) -> Any:
    """Return the graph."""

    def node(_: Drawn) -> dict[str, list[str]]:
        result = draw.invoke("draw a fox")
        tell(result)
        if behind == "wait":
            time.sleep(60)
        return {"drawn": [result.image.sha256]}

    builder = StateGraph(Drawn)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile(checkpointer=saver)


def main() -> None:
    """Draw, or go on."""
    folder, base_url, behind = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    draw = generator(folder, base_url)
    if behind == "torn":
        sys.addaudithook(die_at_the_note)
    if behind == "name":
        tell(draw.invoke("draw a fox", once="poster-7"))
        return
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        compiled = graph(draw, behind, saver)
        is_open = bool(compiled.get_state(THREAD).next)
        state = compiled.invoke(None if is_open else {"drawn": []}, THREAD)
    print(len(state["drawn"]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
