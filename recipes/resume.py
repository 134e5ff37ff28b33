"""A worker dies while a picture is drawn; the next one finishes the answer and buys nothing twice.

    python recipes/resume.py "Draw a fox in the snow"   # kill it while it draws (Ctrl-C, kill -9, power off)
    python recipes/resume.py                            # any later process, until the answer is there

The service draws in the background and keeps the response. The thread is in resume.db, and the id of the response in
the image store. With PostgreSQL and a bucket in their place, the next worker may be another machine.

Needs: pip install '.[agents]' langchain-openai langgraph-checkpoint-sqlite
OpenAI draws. To try it without a key, run a simulator in another shell and do what it prints; pictures take 20 seconds:
    python -m langchain_imagegen.simulator --latency 20
"""

from __future__ import annotations

import sys
from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_imagegen import (
    GeneratedImage,
    ImageGenerationMiddleware,
    ImageGenerationTool,
    ImageGenerator,
    ImageMemory,
)

THREAD: Any = {"configurable": {"thread_id": "one"}}


def answer(wish: str | None) -> GeneratedImage | None:
    """Answer a message, or else finish what is open; return the latest picture, or None if nothing is open."""
    draw = ImageGenerator(delivery="background", options={"quality": "low"})
    pictures = ImageGenerationMiddleware(tool=ImageGenerationTool(generator=draw), hosted=False)
    with SqliteSaver.from_conn_string("resume.db") as saver:
        agent = create_agent(
            ChatOpenAI(model="gpt-5.4", use_responses_api=True), middleware=[pictures], checkpointer=saver
        )
        given: Any = {"messages": wish} if wish else None
        if given is None and not agent.get_state(THREAD).next:
            return None
        # "sync" saves the chat model's call before the picture is bought.
        state = agent.invoke(given, THREAD, durability="sync")
    return ImageMemory.from_state(state).latest


def main(*arguments: str) -> None:
    """Answer what the command line says, or finish what was begun; save the picture."""
    image = answer(" ".join(arguments) or None)
    print(f"{image.save('./')}: {image.prompt}" if image else "There is nothing to finish.")


if __name__ == "__main__":
    main(*sys.argv[1:])
