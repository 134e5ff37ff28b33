"""The page `docs/events.md`, made from runs with the simulator: `python -m tests.events_page` writes it anew."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent

from langchain_imagegen import ImageGenerationTool, ImageGenerator, ImageStore
from langchain_imagegen.simulator import Simulator, moderated
from tests.scripted import DONE, image_call, scripted_model

PAGE = Path(__file__).parents[1] / "docs" / "events.md"
SMALL = {"size": "816x816", "quality": "low"}

HEAD = """\
# Events of a picture

While the function tool draws, whoever follows the run gets these events, as plain JSON: in `stream_mode="custom"` (of
subgraphs with `subgraphs=True`), as custom callback events, in `astream_events(version="v2")`, and as output of the
tool in the `tools` stream and `astream_events(version="v3")`. A follower that fails is logged and does
not harm the drawing.

The runs below are against the simulator. A test makes this page again and compares it.
"""

RUNS: list[tuple[str, dict[str, Any], bool]] = [
    ("With `partials=2`, in a store with addresses; the last partial has the finished bytes", {"partials": 2}, False),
    ('With `partials="inline"`, here one partial; `data` is base64, cut here', {"partials": "inline"}, False),
    ("Refused by the service", {"partials": 2}, True),
]


def page() -> str:
    """Return the text of the page."""
    return "\n".join([HEAD, *(f"## {title}\n\n```json\n{_transcript(*run)}\n```\n" for title, *run in RUNS)])


def _transcript(settings: dict[str, Any], refused: bool) -> str:
    with Simulator() as simulator, tempfile.TemporaryDirectory() as folder:
        if refused:
            simulator.script(moderated("input", ["violence"]))
        options = {**SMALL, "partial_images": 1} if settings["partials"] == "inline" else SMALL
        store = ImageStore(folder, public_url=None if options is not SMALL else "https://pictures.example/{name}")
        draw = ImageGenerator(base_url=simulator.base_url, api_key="sk-a", image_store=store, options=options)
        agent = create_agent(
            scripted_model(image_call("call_1"), DONE), [ImageGenerationTool(generator=draw, **settings)]
        )
        events = list(agent.stream({"messages": "draw a fox"}, stream_mode="custom"))
        draw.close()
    return "\n".join(json.dumps(_short(event)) for event in events)


def _short(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "data": f"{event['data'][:16]}…"} if "data" in event else event


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
