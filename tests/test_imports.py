"""What importing and constructing loads: little beside LangChain's core, until something is drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BASES = "from langchain_core.tools import BaseTool; from langchain_core.runnables import RunnableSerializable"
FROM = "from langchain_imagegen import ImageGenerator, ImageGenerationTool, ImageMemory, ImageStore"
SETTINGS = 'api_key="none", image_store=ImageStore("pictures"), memory=ImageMemory()'
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'

CLIENTS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "aiohttp")
AGENTS = ("langchain", "langgraph", "langchain_openai", "pydantic_ai", "agents")
FILES = ("fsspec", "s3fs", "gcsfs", "adlfs", "botocore", "requests")
UNUSED = ("drawing.transport", "streaming.extractor", "streaming.answer", "drawing.flows")
HEAVY = (*CLIENTS, *AGENTS, *FILES, "PIL", "IPython", "pybase64")


@pytest.fixture
def loaded(tmp_path: Path):
    """What a program loads in a process of its own, beyond what LangChain's bases load by themselves."""

    def run(*program: str) -> set[str]:
        path = f"import json, sys; sys.path.insert(0, {str(ROOT)!r})"
        told = "print(json.dumps([*{*sys.modules} - held]))"
        code = "\n".join((path, BASES, "held = {*sys.modules}", *program, told))
        return set(json.loads(subprocess.check_output([sys.executable, "-c", code], text=True, cwd=tmp_path)))

    return run


def of(names: set[str], *packages: str) -> set[str]:
    """Those packages of which `names` has a module."""
    return {name.partition(".")[0] for name in names} & set(packages)


@pytest.mark.parametrize(
    ("program", "needed"),
    [
        ("import langchain_imagegen", "errors"),
        (f"{FROM}; ImageGenerator({SETTINGS})", "drawing.generator"),
        (f"{FROM}; ImageGenerationTool()", "agents.tool"),
        (f"{FROM}; ImageGenerationTool(generator=ImageGenerator({SETTINGS})).args", "agents.tool"),
        (f"{FROM}; ImageStore('pictures').location", "storage.store"),
    ],
    ids=["import", "generator", "tool", "tool-of-a-generator", "store"],
)
def test_before_something_is_drawn_only_this_package_is_loaded(loaded, program, needed):
    """Importing and constructing load nothing but this package: no SDK, no HTTP, no graphs, no file systems."""
    names = loaded(program)

    others = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name.partition(".")[0] for name in others} <= {"langchain_imagegen", "langchain_core", "pydantic"}
    assert f"langchain_imagegen.{needed}" in names
    assert not {f"langchain_imagegen.{name}" for name in UNUSED} & names
    assert not of(names, *HEAVY)


def test_the_default_store_needs_no_more_than_where_it_lies(loaded):
    """The store of those who name none loads what knows the user's folders, and no file systems."""
    names = loaded("import os; os.environ.pop('LANGCHAIN_IMAGEGEN_STORE', None)", f"{FROM}; ImageStore().location")

    assert "platformdirs" in names
    assert not of(names, *HEAVY)


def test_a_bucket_loads_its_own_driver_alone(loaded):
    """A store behind a URL loads fsspec and the driver of that URL, no other."""
    names = loaded(f"{FROM}; ImageStore('memory://pictures').put_if_absent('key', b'')")

    drivers = {name.rpartition(".")[2] for name in names if name.startswith("fsspec.implementations.")}
    assert drivers <= {"memory", "local", "chained"}  # the last two are what fsspec loads to look at any URL
    assert not of(names, *HEAVY) - {"fsspec"}


def test_pictures_in_a_folder_need_no_library_of_pictures_or_files(loaded, tmp_path):
    """A picture is put into a folder, measured and read again without Pillow and without fsspec."""
    put = f"{FROM}; store = ImageStore('pictures'); blob = store.put({SVG!r}); store.get(blob.sha256)"
    names = loaded(put, "assert (blob.width, blob.height) == (9, 9)")

    assert [path.suffix for path in tmp_path.glob("pictures/*/*")] == [".svg"]
    assert not of(names, *HEAVY)


def test_only_the_middleware_loads_agents(loaded):
    """`langchain` is loaded when the middleware is first named."""
    before = loaded("import langchain_imagegen")
    after = loaded("import langchain_imagegen; langchain_imagegen.ImageGenerationMiddleware")

    assert not of(before, "langchain", "langgraph")
    assert of(after, "langchain", "langgraph", "openai") == {"langchain", "langgraph"}


def test_importing_alone_loads_almost_nothing(loaded):
    """Each name is loaded with what it needs when it is first used, and all are told by `dir`."""
    names = loaded("import langchain_imagegen as package", "assert {*package.__all__} <= {*dir(package)}")

    assert {name for name in names if "imagegen" in name} == {
        "langchain_imagegen",
        "langchain_imagegen._moved",
        "langchain_imagegen.errors",
    }
