"""A person approves each picture that may cost more than five cents, even in another process and days later.

    python recipes/approval.py "Draw a map of an island"      # says what it would draw, and for how much
    python recipes/approval.py approve                        # draws it
    python recipes/approval.py reject "The coast is missing"  # tells the agent why not

Needs: pip install '.[agents,simulator]' langchain-openai langgraph-checkpoint-sqlite
OpenAI draws if OPENAI_API_KEY is set, otherwise a simulator. The question waits in the file approval.db.
"""

from __future__ import annotations

import sys
from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command

from langchain_imagegen import ImageGenerationMiddleware, ImageMemory
from langchain_imagegen.simulator import start_without_key

THREAD: Any = {"configurable": {"thread_id": "islands"}}


def answer(given: Any) -> str:
    """Give the agent a message or a decision; return what it asks, or else what it drew or says."""
    pictures = ImageGenerationMiddleware({"quality": "high"}, approval="$0.05")
    with SqliteSaver.from_conn_string("approval.db") as saver:
        agent = create_agent(
            ChatOpenAI(model="gpt-5.4", use_responses_api=True), middleware=[pictures], checkpointer=saver
        )
        before = len(ImageMemory.from_state(agent.get_state(THREAD)))
        state = agent.invoke(given, THREAD)
    if "__interrupt__" in state:
        return str(state["__interrupt__"][0].value["description"])
    drawn = list(ImageMemory.from_state(state))[before:]
    files = [f"{image.save('./')}, {image.cost()}" for image in drawn]
    return "\n".join([*files, state["messages"][-1].text])


def main(*arguments: str) -> None:
    """Send what the command line says to the agent, and print its answer."""
    start_without_key()
    match arguments:
        case ["approve"]:
            given: Any = Command(resume={"type": "approve"})
        case ["reject", reason]:
            given = Command(resume={"type": "reject", "message": reason})
        case [wish]:
            given = {"messages": wish}
        case _:
            raise SystemExit(__doc__)
    print(answer(given))


if __name__ == "__main__":
    main(*sys.argv[1:])
