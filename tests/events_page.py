"""The page `docs/events.md`, made from runs with the simulator: `python -m tests.events_page` writes it anew."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx2
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from PIL import Image

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageGenerator, ImageStore
from langchain_imagegen.simulator import Simulator, image, moderated
from tests.scripted import DONE, image_call, scripted_model

PAGE = Path(__file__).parents[1] / "docs" / "events.md"
SMALL = {"size": "816x816", "quality": "low"}


def _png(gray: int) -> bytes:
    """Return a picture of one pixel, which has the same bytes with each version of Pillow and zlib."""
    file = io.BytesIO()
    Image.new("L", (1, 1), gray).save(file, "PNG", compress_level=0)
    return file.getvalue()


PICTURES = _png(0), (_png(170), _png(85))  # the finished one, and those before it

HEAD = """\
# Events of a picture

While a picture is drawn, whoever follows the run gets these events, as plain JSON: in `stream_mode="custom"` (of
subgraphs with `subgraphs=True`), as custom callback events, in `astream_events(version="v2")`, and in
`astream_events(version="v3")` with LangGraph's `CustomTransformer`. A follower that fails is logged and does not harm
the drawing.

- **The function tool** sends them by itself. They are also output of the tool in the `tools` stream and in
  `astream_events(version="v3")`.
- **Hosted calls** send them with `ImageGenerationMiddleware(wire=True)`. A transport beneath `ChatOpenAI` reads its
  answer while it arrives. `partials` asks for partial pictures there and keeps them from the chat model; a request
  that is not streamed becomes a streamed one, and `ChatOpenAI` gets its JSON. Without `partials` no request is
  changed, and the events of an answer that is not streamed come at its end. Such an agent does not need
  `CustomTransformer`.

In a notebook, `show_events(agent.stream(…, stream_mode="custom"))` passes the events on and shows each picture in one
output, which sharpens; `ashow_events` is its async twin.

The runs below are against the simulator. A test makes this page again and compares it.
"""

RUNS: list[tuple[str, dict[str, Any], bool]] = [
    ("With `partials=2`, in a store with addresses; the last partial has the finished bytes", {"partials": 2}, False),
    ('With `partials="inline"`, here one partial; `data` is base64, cut here', {"partials": "inline"}, False),
    ("Refused by the service", {"partials": 2}, True),
    (
        "A hosted call with `wire=True` and `partials=2`; `tool_call_id` is its own id, and the prompt is the user's",
        {"partials": 2, "wire": True},
        False,
    ),
]


def page() -> str:
    """Return the text of the page."""
    return "\n".join([HEAD, *(f"## {title}\n\n```json\n{_transcript(*run)}\n```\n" for title, *run in RUNS)])


def _transcript(settings: dict[str, Any], refused: bool) -> str:
    with Simulator() as simulator, tempfile.TemporaryDirectory() as folder:
        simulator.script(moderated("input", ["violence"]) if refused else image(*PICTURES))
        options = {**SMALL, "partial_images": 1} if settings["partials"] == "inline" else SMALL
        store = ImageStore(folder, public_url=None if options is not SMALL else "https://pictures.example/{name}")
        run = _hosted if "wire" in settings else _with_tool
        events = run(simulator.base_url, options=options, image_store=store, **settings)
    return "\n".join(json.dumps(_short(event)) for event in events)


def _with_tool(base_url: str, *, partials: Any, **settings: Any) -> list[Any]:
    draw = ImageGenerator(base_url=base_url, api_key="sk-a", **settings)
    tool = ImageGenerationTool(generator=draw, partials=partials)
    agent = create_agent(scripted_model(image_call("call_1"), DONE), [tool])
    events = list(agent.stream({"messages": "draw a fox"}, stream_mode="custom"))
    draw.close()
    return events


def _hosted(base_url: str, **settings: Any) -> list[Any]:
    with httpx2.Client() as client:
        model = ChatOpenAI(
            model="gpt-5.4", use_responses_api=True, base_url=base_url, api_key="sk-a", http_client=client
        )
        agent = create_agent(model, middleware=[ImageGenerationMiddleware(**settings)])
        return list(agent.stream({"messages": "draw a fox"}, stream_mode="custom"))


def _short(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "data": f"{event['data'][:16]}…"} if "data" in event else event


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
