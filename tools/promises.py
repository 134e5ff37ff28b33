"""What the package promises with and without each extra, tried with the package as it is installed where this runs.

`python -I promises.py PROFILE`, where PROFILE is JSON: `extras`, those that are installed, and the addresses of a
simulated service (`service`) and of an S3 server (`s3`), both on this machine. Only the standard library, the package
and what its extras install are imported here.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import langchain_imagegen
from langchain_imagegen import GeneratedImage, ImageGenerationTool, ImageGenerator, ImageStore
from langchain_imagegen.errors import ImageGenerationError

PROFILE: dict[str, Any] = json.loads(sys.argv[1])
FOLDER = Path(tempfile.mkdtemp())
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64)
"""The head of a HEIC file, enough to be recognized."""


def generator(**settings: Any) -> ImageGenerator:
    """Return a generator that draws with the simulated service."""
    stored = {"image_store": ImageStore(FOLDER / "pictures"), **settings}
    return ImageGenerator(base_url=PROFILE["service"], api_key="none", **stored)


def fox() -> GeneratedImage:
    """Return a small picture."""
    return generator().invoke("Draw a fox", size="816x816", quality="low").image


def names_extra(extra: str, action: Callable[[], object]) -> None:
    """Check that an action fails with an error that says which extra to install."""
    said = "no error"
    try:
        action()
    except (ImportError, ImageGenerationError) as error:
        said = str(error)
    assert f"langchain_imagegen[{extra}]" in said, said


# --- with every installation


def draws() -> None:
    """It draws, edits, has the tool and writes galleries."""
    from langchain_imagegen.web import write_gallery

    picture = fox()
    assert picture.read().startswith(b"\x89PNG")
    assert generator().invoke("Make it winter", images=[picture]).image.parents == (picture.id,)
    assert "img_" in ImageGenerationTool(generator=generator()).invoke({"prompt": "draw a fox"})
    assert write_gallery([picture], FOLDER / "gallery.html").stat().st_size > 1000


# --- with an extra


def agents() -> None:
    """An agent draws, remembers and asks for approval."""
    from langchain.agents import create_agent
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage, ToolCall

    from langchain_imagegen import ImageGenerationMiddleware, ImageMemory, approval

    class Scripted(GenericFakeChatModel):
        def bind_tools(self, *_: Any, **__: Any) -> Any:
            return self

    call = ToolCall(name="generate_image", args={"prompt": "draw a fox"}, id="1", type="tool_call")
    model = Scripted(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("Here it is.")]))
    tool = ImageGenerationTool(generator=generator())
    agent = create_agent(model, middleware=[ImageGenerationMiddleware(tool=tool)])
    state = agent.invoke({"messages": ["Draw a fox"]})
    assert len(ImageMemory.from_state(state)) == 1
    ImageGenerationMiddleware(tool=tool, approval=approval("$0.10", tool=tool))


def pillow() -> None:
    """`to_pil` works."""
    assert fox().to_pil().size == (816, 816)


def heic() -> None:
    """A HEIC photo is edited."""
    from PIL import Image
    from pillow_heif import register_heif_opener

    register_heif_opener()
    data = io.BytesIO()
    Image.new("RGB", (816, 816), "orange").save(data, format="HEIF")
    assert generator().invoke("Make it winter", images=[data.getvalue()]).image.parents


def notebook() -> None:
    """Experiments show a progress bar, pictures their preview."""
    assert "picture/s" in _experiment() or "s/picture" in _experiment()
    assert {name for name in fox().view(edge=64).bundle if name.startswith("image/")}


def _experiment() -> str:
    from langchain_imagegen.experiments import Experiment

    with contextlib.redirect_stderr(io.StringIO()) as shown:
        Experiment("foxes", prompts=["Draw a fox"], options=[{"quality": "low"}]).run(generator())
    return shown.getvalue()


def simulator() -> None:
    """The simulator draws."""
    from langchain_imagegen.simulator import Simulator

    with Simulator() as service:
        draw = ImageGenerator(base_url=service.base_url, api_key="none", image_store=ImageStore(FOLDER / "simulated"))
        assert draw.invoke("Draw a fox").image.read()


def s3() -> None:
    """Pictures go into a bucket."""
    options = {"client_kwargs": {"endpoint_url": PROFILE["s3"], "region_name": "us-east-1"}, "key": "k", "secret": "s"}
    store = ImageStore(f"s3://pictures/{FOLDER.name}", **options)
    picture = generator(image_store=store).invoke("Draw a fox").image
    assert store.get(picture.sha256) == picture.read()


def cost() -> None:
    """Prices come from genai-prices."""
    assert any("genai-prices" in price.source for price in fox().cost().prices)


def otel() -> None:
    """Each drawing is a span."""
    from opentelemetry import trace

    class Tracer(trace.NoOpTracer):
        def start_span(self, name: str, *args: Any, **settings: Any) -> trace.Span:
            names.append(name)
            return super().start_span(name, *args, **settings)

    class Provider(trace.NoOpTracerProvider):
        def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
            return Tracer()

    names: list[str] = []
    trace.set_tracer_provider(Provider())
    fox()
    assert [name for name in names if name.startswith("image_generation ")]


def web() -> None:
    """`images_app` serves thumbnails."""
    import uvicorn  # noqa: F401  # `imagegen serve` and the recipes run the app with it

    from langchain_imagegen.web import images_app

    picture = fox()
    app = images_app(ImageStore(FOLDER / "pictures"), public=True)
    sent: list[Any] = []
    waiting: list[bool] = []

    async def get(path: str) -> None:
        async def receive() -> dict[str, Any]:
            if waiting:
                await asyncio.Event().wait()  # for a client that does not hang up
            waiting.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"w=320"}
        await app({**scope, "headers": [], "root_path": "", "scheme": "http", "http_version": "1.1"}, receive, send)

    asyncio.run(get(f"/{picture.sha256}.png"))
    assert sent[0]["status"] == 200, sent


def cli() -> None:
    """The command `imagegen` runs."""
    done = _imagegen("--help")
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout


def _imagegen(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = shutil.which("imagegen", path=sysconfig.get_path("scripts"))
    assert command, "there is no command imagegen"
    return subprocess.run([command, *arguments], capture_output=True, text=True, check=False, cwd=FOLDER)


# --- without it


def no_agents() -> None:
    """The middleware names the extra."""
    names_extra("agents", lambda: langchain_imagegen.ImageGenerationMiddleware)


def no_pillow() -> None:
    """`to_pil` names the extra."""
    names_extra("pillow", lambda: fox().to_pil())


def no_heic() -> None:
    """A HEIC photo names the extra."""
    names_extra("heic", lambda: generator().invoke("Make it winter", images=[HEIC]))


def no_notebook() -> None:
    """An experiment says what it draws, with or without a bar."""
    assert "1 picture" in _experiment()


def no_simulator() -> None:
    """The simulator names the extra."""

    def start() -> None:
        from langchain_imagegen.simulator import Simulator

        with Simulator():
            pass

    names_extra("simulator", start)


def no_s3() -> None:
    """A bucket names the extra."""
    names_extra("s3", lambda: ImageStore("s3://pictures").check_writable())


def no_cost() -> None:
    """Prices come from the package's table."""
    assert fox().cost().total is not None, "the dated table has no price"


def no_web() -> None:
    """`images_app` names the extra."""

    def load() -> object:
        from langchain_imagegen.web import images_app

        return images_app

    names_extra("web", load)


def no_cli() -> None:
    """The command names the extra."""
    done = _imagegen("--help")
    assert done.returncode == 1, done
    assert 'pip install "langchain_imagegen[cli]"' in done.stderr, done.stderr


EXTRAS = (agents, pillow, heic, notebook, simulator, s3, cost, otel, web, cli)
WITHOUT = (no_agents, no_pillow, no_heic, no_notebook, no_simulator, no_s3, no_cost, no_web, no_cli)
IMPLIED = {
    "notebook": {"pillow"},
    "simulator": {"pillow"},
    "heic": {"pillow"},
    "web": {"pillow"},
    "cli": {"web", "pillow"},
}


def main() -> None:
    """Try all promises, and print what holds; the first one that is broken ends this with its traceback."""
    here = Path(langchain_imagegen.__file__)
    assert here.is_relative_to(sys.prefix), f"{here} is not the installed package"
    extras = set(PROFILE["extras"])
    if "all" in extras:
        extras |= {promise.__name__ for promise in EXTRAS}
    for extra in tuple(extras):
        extras |= IMPLIED.get(extra, set())
    if "pillow" in extras:
        extras.add("simulator")  # Pillow is all that it needs
    held = [draws, *(promise for promise in EXTRAS if promise.__name__ in extras)]
    lacks = [lack for lack in WITHOUT if lack.__name__.removeprefix("no_") not in extras]
    for promise in (*held, *lacks):
        promise()
    shutil.rmtree(FOLDER)
    sys.stdout.write(" ".join(str(promise.__doc__) for promise in held) + "\n")


if __name__ == "__main__":
    main()
