"""What cells of a real notebook show: `show` and `ashow`, views of every kind, their size, and markup in them."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from langchain_imagegen import ImageGenerator, ImageResult
from langchain_imagegen.simulator import Simulator, moderated
from tests.images.test_svg import Tags

ROOT = Path(__file__).parents[1]
START = """
from langchain_imagegen import *
from langchain_imagegen.errors import *
draw = ImageGenerator(memory=ImageMemory(), options={"size": "816x816", "quality": "low"})
"""
# Everything that a front end without widgets can show.
PLAIN = {"text/plain", "text/html", "image/png", "image/jpeg", "image/gif"}


class Cells:
    """Runs cells in a fresh kernel."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        self.simulator, self.folder = simulator, folder
        self.updates: list[dict[str, Any]] = []

    def run(self, *sources: str, allow_errors: bool = False) -> list[list[Any]]:
        """Return the outputs of each cell."""
        self.notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in (START, *sources)])
        client = NotebookClient(self.notebook, kernel_name="python3", timeout=120, allow_errors=allow_errors)
        client.extra_arguments = ["--log-level=ERROR"]
        process = client.process_message

        def noting(message: dict[str, Any], *arguments: Any) -> Any:
            if message["msg_type"] == "update_display_data":
                self.updates.append(message["content"]["data"])
            return process(message, *arguments)

        client.process_message = noting  # type: ignore[method-assign]
        here = {"PYTHONPATH": str(ROOT), "LANGCHAIN_IMAGEGEN_STORE": str(self.folder / "store")}
        service = {"OPENAI_BASE_URL": self.simulator.base_url, "OPENAI_API_KEY": "sk-simulated"}
        client.execute(env={**os.environ, **service, **here})
        return [cell.outputs for cell in self.notebook.cells[1:]]


@pytest.fixture
def cells(simulator: Simulator, tmp_path: Path) -> Cells:
    """Return a runner of notebook cells whose generator draws at the simulator."""
    return Cells(simulator, tmp_path)


def shown(output: Any) -> Image.Image:
    """Return the picture in an output."""
    (kind,) = (name for name in output["data"] if name.startswith("image/"))
    return Image.open(io.BytesIO(base64.b64decode(output["data"][kind])))


# Live


def test_show_sharpens_one_output(cells: Cells):
    """`show` and `ashow` replace the partial pictures in the one output of a cell, whose value is not shown twice."""
    live, again, awaited, later = cells.run(
        'fox = draw.show("draw a fox")',
        'draw.show("draw an owl")',
        'lake = await draw.ashow("draw a lake", partial_images=1)\nlake',
        "lake",
    )

    assert [output.output_type for output in live] == ["display_data"]
    assert shown(live[0]).size == (816, 816)
    assert [len(update) > 1 for update in cells.updates] == [True] * (3 + 3 + 2)
    assert len({json.dumps(update, sort_keys=True) for update in cells.updates}) == 8
    assert [output.output_type for output in again] == ["display_data", "execute_result"]
    assert again[1]["data"]["text/plain"].endswith("shown above")
    assert set(again[1]["data"]) == {"text/plain"}
    assert set(awaited[1]["data"]) == {"text/plain"}
    assert shown(later[0]).size == (816, 816)
    assert cells.simulator.pictures == 3


def test_show_of_a_format_without_partials(cells: Cells):
    """A GIF, which has no partial pictures, is shown when finished, and so is a picture with `partial_images=0`."""
    gif, none = cells.run(
        'animation = draw.show({"prompt": "draw a fox", "output_format": "gif", "size": "512x512"},'
        ' model="gpt-image-2.6-sunburst")',
        'fox = draw.show("draw a fox", partial_images=0)',
    )

    assert ["image/gif" in output["data"] for output in gif] == [True]
    assert len(none) == 1
    assert len(cells.updates) == 2


def test_show_shows_a_refusal(cells: Cells):
    """If there is no picture, the output says why in place of the progress, and the error is raised."""
    cells.simulator.script(moderated("output", ["violence"]))
    outputs, wrong = cells.run('draw.show("draw a fox")', 'draw.show("x", partial_images=5)', allow_errors=True)

    assert [output.output_type for output in outputs] == ["display_data", "error"]
    assert "categories: violence" in outputs[0]["data"]["text/html"]
    assert outputs[1].ename == "ModerationError"
    assert "it takes a whole number from 0 to 3" in wrong[0]["data"]["text/html"]


def test_show_in_a_script_is_invoke(half: Any, low: Any, simulator: Simulator, capsys: pytest.CaptureFixture[str]):
    """Without a notebook `show` returns the result, prints nothing and asks for no partial pictures."""
    draw: ImageGenerator = low()
    result = half.call(draw, "show", "draw a fox")

    assert isinstance(result, ImageResult)
    assert capsys.readouterr().out == ""
    assert "partial_images" not in simulator.requests[-1].body["tools"][0]
    assert simulator.pictures == 1


AGENT = """
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
chat = ChatOpenAI(model="gpt-5.4", use_responses_api=True)
agent = create_agent(chat, [ImageGenerationTool(generator=draw, partials=1)])
"""


def test_events_of_an_agent_sharpen_its_pictures(cells: Cells):
    """`show_events` and `ashow_events` pass a stream on, and show each picture, or why there is none, in one output.

    The simulated chat model calls the tool twice for two pictures, and each call draws both.
    """
    cells.simulator.script(*[None] * 8, moderated("input", ["violence"]))
    _, single, four, refused = cells.run(
        AGENT,
        "for event in show_events(agent.stream({'messages': 'draw a fox'}, stream_mode='custom')):\n"
        "    print(event['type'])",
        "stream = agent.astream({'messages': 'draw two pictures of an owl'}, stream_mode=['custom', 'updates'])\n"
        "async for mode, chunk in ashow_events(stream):\n"
        "    last = (mode, *chunk)\n"
        "last",
        "for event in show_events(agent.stream({'messages': 'draw a cat'}, stream_mode='custom')):\n    pass",
    )

    assert [output.output_type for output in single] == ["display_data"] + ["stream"] * 4
    assert [output["text"].strip() for output in single[1:]] == [
        "image.started",
        "image.partial",
        "image.partial",
        "image.finished",
    ]
    assert single[0]["data"]["text/plain"].endswith(": A simulated picture: draw a fox")
    assert [output.output_type for output in four] == ["display_data"] * 4 + ["execute_result"]
    assert four[4]["data"]["text/plain"] == "('updates', 'model')"
    assert [shown(output).size for output in (single[0], *four[:4])] == [(816, 816)] * 5
    assert len({json.dumps(update, sort_keys=True) for update in cells.updates}) > 5
    assert len(refused) == 1
    assert "violence" in refused[0]["data"]["text/html"]


# Views


VIEWS = {
    "image": "draw('draw a fox').image",
    "result": "fox",
    "several": "ImageResult(images=(fox.image, owl.image), warnings=('beware',))",
    "partial": "next(iter(draw.stream('draw a cat', partial_images=1)))",
    "memory": "draw.memory",
    "refusal": "ModerationError('refused', stage='output', categories=['violence'])",
    "unknown": "UnknownImageError('no image', known=['img_12345678'])",
    "preview": "box(10, 10, 300, 300).preview(fox)",
    "region": "box(10, 10, 300, 300).feathered(20)",
    "gone": "GeneratedImage.model_validate({**fox.image.record(), 'sha256': '0' * 64})",
}


def test_everything_shows_itself_without_widgets(cells: Cells):
    """Images, results, partials, memories, errors and previews have a short text and what every front end can show."""
    outputs = cells.run(
        "fox = draw.invoke('draw a fox')\nowl = draw.invoke('draw an owl', output_format='webp')",
        *(code.replace("draw('", "draw.invoke('") for code in VIEWS.values()),
    )[1:]
    bundles = {name: output[0]["data"] for name, output in zip(VIEWS, outputs, strict=True)}

    assert all(set(bundle) <= PLAIN for bundle in bundles.values())
    assert all(len(bundle["text/plain"]) < 600 for bundle in bundles.values())
    assert all(set(bundle) - {"text/plain"} for name, bundle in bundles.items() if name != "region")
    assert bundles["refusal"]["text/plain"].splitlines()[1:3] == ["- stage: output", "- categories: violence"]
    assert "<li>stage: output</li><li>categories: violence</li>" in bundles["refusal"]["text/html"]
    assert bundles["several"]["text/html"].count("<img") == 2
    assert "warning: beware" in bundles["several"]["text/html"]
    assert "is not at hand" in bundles["gone"]["text/html"]
    assert "img_12345678" in bundles["unknown"]["text/html"]


def test_a_large_picture_does_not_swell_the_notebook(cells: Cells):
    """A picture of many megabytes is shown as a preview that says so, in full size by choice alone."""
    noise = (
        "import os\nfrom PIL import Image\n"
        "photo = Image.frombytes('RGB', (2400, 1800), os.urandom(2400 * 1800 * 3))\n"
        "import io; data = io.BytesIO(); photo.save(data, format='PNG')\n"
        "from langchain_imagegen.storage.store import default_store\n"
        "image = GeneratedImage.of(default_store().put(data.getvalue()), id='ig_1', prompt='noise')\n"
    )
    preview, result, tree, full = cells.run(
        f"{noise}image", "ImageResult(images=(image,))", "ImageMemory([image])", "image.view(edge=None)"
    )

    sizes = [len(json.dumps(output)) for output in (preview, result, tree)]
    assert max(sizes) < 1_000_000
    assert shown(preview[0]).size == (1024, 768)
    assert preview[0]["data"]["text/plain"] == "noise (preview of 13.0 MB)"
    assert shown(full[0]).size == (2400, 1800)


HOSTILE = "</p></code><script>document.title='hit'</script><img src=x onerror=\"document.title='hit'\">'\"<!--"


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_exported_views_run_no_markup(cells: Cells, tmp_path: Path):
    """As HTML exported by nbconvert, no prompt, handle, MIME type, category or text of any view runs in a browser."""
    nbconvert = pytest.importorskip("nbconvert")
    hostile = f"""
h = {HOSTILE!r}
image = draw.invoke("draw a fox").image
bad = GeneratedImage.model_validate({{**image.record(), **dict.fromkeys(
    ("id", "provider", "prompt", "revised_prompt", "quality", "size", "image_model", "mime_type"), h)}})
partial = PartialImage(index=0, data=image.read(), mime_type=h, id=h, provider=h)
error = ModerationError(h, stage=h, categories=[h])
error.partials, error.response_id = (partial,), h
"""
    cells.run(
        hostile, "bad", "ImageResult(images=(bad, bad), text=h, warnings=(h,))", "partial", "error",
        "ImageMemory([bad.record() | {'mime_type': 'image/png'}])", "UnknownImageError(h, known=[h])",
    )  # fmt: skip
    page = tmp_path / "page.html"
    page.write_text(nbconvert.HTMLExporter().from_notebook_node(cells.notebook)[0], encoding="utf-8")

    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    blocked = ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"]
    dom = subprocess.run(
        [*command, *blocked, page.as_uri()], capture_output=True, text=True, timeout=90, check=True
    ).stdout

    assert "draw a fox" in dom
    assert "ModerationError" in dom
    assert "<title>hit</title>" not in dom
    assert not [attributes for _, attributes in Tags(dom).found if "onerror" in attributes]
