"""Delete pictures for good: one of a thread, a whole thread, and everything that a user has.

    python recipes/deletion.py

A picture leaves four traces: its bytes in the image store, the response at the service with its texts, the record in
the thread's state, and the messages and checkpoints of the thread. Each user has a store apart from the others.

Needs: pip install '.[agents,simulator]' langchain-openai langgraph-checkpoint-sqlite
OpenAI draws if OPENAI_API_KEY is set, otherwise a simulator.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageGenerator, ImageMemory, ImageStore
from langchain_imagegen.simulator import start_without_key


class Artist:
    """The agent of one user. The function tool draws, so that each picture has a response of its own."""

    def __init__(self, user: str, saver: SqliteSaver) -> None:
        self.store = ImageStore("users").scoped(user)
        self.draw = ImageGenerator(options={"quality": "low"}, image_store=self.store)
        pictures = ImageGenerationMiddleware(tool=ImageGenerationTool(generator=self.draw), hosted=False)
        model = ChatOpenAI(model="gpt-5.4", use_responses_api=True)
        self.agent: Any = create_agent(model, middleware=[pictures], checkpointer=saver)

    def memory(self, thread: dict[str, Any]) -> ImageMemory:
        """Return the pictures of a thread."""
        return ImageMemory.from_state(self.agent.get_state(thread), image_store=self.store)

    def delete_picture(self, thread: dict[str, Any], reference: str) -> None:
        """Delete a picture, named by its handle, its number or "last". Later turns of the thread do not know it."""
        memory = self.memory(thread)
        image = memory.get(reference)
        self.draw.delete_remote(image)  # first, since it needs the record: the response at the service
        self.store.delete(image)
        self.agent.update_state(thread, {"generated_images": memory.forget(image)})

    def delete_thread(self, thread: dict[str, Any]) -> None:
        """Delete the pictures of a thread, and with its checkpoints all that was said in it."""
        for image in list(self.memory(thread)):
            self.delete_picture(thread, image.id)
        self.agent.checkpointer.delete_thread(thread["configurable"]["thread_id"])

    def delete_all(self) -> int:
        """Delete what is left in the user's store, such as pictures of lost threads; return how many."""
        left = self.store.prune(older_than=timedelta(0))
        for sha256 in left:
            self.store.delete(sha256)  # its traces in the ledger too, by which a step would fetch it again
        return len(left)


def main() -> None:
    """Draw three pictures, and delete one, then the rest."""
    start_without_key()
    thread = {"configurable": {"thread_id": "zoo"}}
    with SqliteSaver.from_conn_string("deletion.db") as saver:
        artist = Artist("anna", saver)
        for animal in ("fox", "owl", "bear"):
            artist.agent.invoke({"messages": f"Draw a {animal}"}, thread)
        artist.delete_picture(thread, "2")
        print("left:", *(image.prompt for image in artist.memory(thread)), sep="\n- ")
        artist.delete_thread(thread)
        print(len(artist.memory(thread)), "pictures known,", artist.delete_all(), "left behind in the store")


if __name__ == "__main__":
    main()
