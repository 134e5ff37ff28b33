"""Which modules are loaded by importing the package and making its objects: few besides LangChain's core."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LANGCHAIN = "from langchain_core.tools import BaseTool; from langchain_core.runnables import RunnableSerializable"
IMPORT = "from langchain_imagegen import ImageGenerator, ImageGenerationTool, ImageMemory, ImageStore"
SETTINGS = 'api_key="none", image_store=ImageStore("pictures"), memory=ImageMemory()'
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'

CLIENTS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "aiohttp")
AGENTS = ("langchain", "langgraph", "langchain_openai", "pydantic_ai", "agents")
FILES = ("fsspec", "s3fs", "gcsfs", "adlfs", "botocore", "requests")
UNUSED = ("drawing.transport", "streaming.extractor", "streaming.answer", "drawing.flows")
HEAVY = (*CLIENTS, *AGENTS, *FILES, "PIL", "IPython", "pybase64")


@pytest.fixture
def loaded_by(tmp_path: Path):
    """Return a function that runs a program in a new process and returns the modules that LangChain had not loaded."""

    def run(*program: str) -> set[str]:
        path = f"import json, sys; sys.path.insert(0, {str(ROOT)!r})"
        output = "print(json.dumps([*{*sys.modules} - before]))"
        code = "\n".join((path, LANGCHAIN, "before = {*sys.modules}", *program, output))
        return set(json.loads(subprocess.check_output([sys.executable, "-c", code], text=True, cwd=tmp_path)))

    return run


def packages_in(names: set[str], *packages: str) -> set[str]:
    """Return those of the packages that have a module in `names`."""
    return {name.partition(".")[0] for name in names} & set(packages)


@pytest.mark.parametrize(
    ("program", "needed"),
    [
        ("import langchain_imagegen", "errors"),
        (f"{IMPORT}; ImageGenerator({SETTINGS})", "drawing.generator"),
        (f"{IMPORT}; ImageGenerationTool()", "agents.tool"),
        (f"{IMPORT}; ImageGenerationTool(generator=ImageGenerator({SETTINGS})).args", "agents.tool"),
        (f"{IMPORT}; ImageStore('pictures').location", "storage.store"),
    ],
    ids=["import", "generator", "tool", "tool-of-a-generator", "store"],
)
def test_no_other_package_is_loaded_before_drawing(loaded_by, program, needed):
    """Importing the package and making its objects loads no SDK, HTTP library, LangGraph or file system."""
    names = loaded_by(program)

    others = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name.partition(".")[0] for name in others} <= {"langchain_imagegen", "langchain_core", "pydantic"}
    assert f"langchain_imagegen.{needed}" in names
    assert not {f"langchain_imagegen.{name}" for name in UNUSED} & names
    assert not packages_in(names, *HEAVY)


def test_the_default_store_loads_platformdirs_only(loaded_by):
    """Making the default store loads `platformdirs` and no file system."""
    names = loaded_by("import os; os.environ.pop('LANGCHAIN_IMAGEGEN_STORE', None)", f"{IMPORT}; ImageStore().location")

    assert "platformdirs" in names
    assert not packages_in(names, *HEAVY)


def test_a_bucket_loads_only_its_own_driver(loaded_by):
    """Making a store from a URL loads fsspec and that URL's driver, and no other driver."""
    names = loaded_by(f"{IMPORT}; ImageStore('memory://pictures').put_if_absent('key', b'')")

    drivers = {name.rpartition(".")[2] for name in names if name.startswith("fsspec.implementations.")}
    assert drivers <= {"memory", "local", "chained", "cached", "cache_mapper", "cache_metadata"}  # fsspec's own
    assert not packages_in(names, *HEAVY) - {"fsspec"}


def test_a_folder_needs_neither_pillow_nor_fsspec(loaded_by, tmp_path):
    """Writing a picture to a folder, measuring it and reading it loads neither Pillow nor fsspec."""
    put = f"{IMPORT}; store = ImageStore('pictures'); blob = store.put({SVG!r}); store.get(blob.sha256)"
    names = loaded_by(put, "assert (blob.width, blob.height) == (9, 9)")

    assert [path.suffix for path in tmp_path.glob("pictures/*/*")] == [".svg"]
    assert not packages_in(names, *HEAVY)


def test_only_the_middleware_loads_langchain(loaded_by):
    """`langchain` and `langgraph` are loaded when the middleware is first accessed."""
    before = loaded_by("import langchain_imagegen")
    after = loaded_by("import langchain_imagegen; langchain_imagegen.ImageGenerationMiddleware")

    assert not packages_in(before, "langchain", "langgraph")
    assert packages_in(after, "langchain", "langgraph", "openai") == {"langchain", "langgraph"}


@pytest.mark.parametrize("made", ["approval()", "ImageGenerationTool(max_cost=1)"])
def test_prices_are_loaded_by_what_looks_them_up(loaded_by, made):
    """A tool with a limit and an approval load the prices when they are made, since their calls run in event loops."""
    needed = f"{IMPORT}, ImageOptions, approval; from langchain_imagegen.drawing.estimate import estimate"
    look = "loaded = {*sys.modules}; estimate(ImageOptions.parse({}), sources=0, prompt='a fox')"

    assert "genai_prices" not in loaded_by(needed, "ImageGenerationTool(max_images=1)")
    assert "genai_prices" in loaded_by(needed, made, look, "assert {*sys.modules} == loaded, {*sys.modules} - loaded")


def test_importing_the_package_loads_no_room(loaded_by):
    """Importing the package loads only its errors, and `dir` lists every public name."""
    names = loaded_by("import langchain_imagegen as package", "assert {*package.__all__} <= {*dir(package)}")

    assert {name for name in names if "imagegen" in name} == {
        "langchain_imagegen",
        "langchain_imagegen._moved",
        "langchain_imagegen.errors",
    }
