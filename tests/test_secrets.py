"""Keys and passwords are in no log of any level, repr, error, trace, pickle or exported notebook."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from langchain.agents import create_agent
from langchain_core.load import dumps
from langchain_core.tracers.context import collect_runs
from langgraph.checkpoint.memory import InMemorySaver
from nbclient import NotebookClient
from pydantic import SecretStr

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageGenerator, ImageMemory, ImageStore
from langchain_imagegen.errors import AuthenticationError, ImageGenerationError
from langchain_imagegen.simulator import Simulator, answer, bad_key, cut_body, html_page, rate_limited
from tests.graphs import THREAD
from tests.scripted import DONE, image_call, scripted_model

KEY, PASSWORD = "sk-" + "Secret0" * 6, "pa55word-of-a-gateway"
SMALL = {"size": "816x816", "quality": "low"}
ECHO = answer({"error": {"message": f"Incorrect API key provided: {KEY} at user:{PASSWORD}@host"}}, 401)

Make = Callable[..., ImageGenerator]


def assert_hidden(*shown: object) -> None:
    """Assert that neither the key nor the password is in any of the texts."""
    for text in map(str, shown):
        assert KEY not in text
        assert PASSWORD not in text


@pytest.fixture
def keyed(simulator: Simulator, generator: Make) -> Make:
    """Return a function that makes generators with a key, and a password in their address."""
    address = simulator.base_url.replace("http://", f"http://user:{PASSWORD}@")
    return lambda **settings: generator(
        **{"api_key": KEY, "base_url": address, "options": SMALL, "max_retries": 0, **settings}
    )


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """Return a function that returns all that was logged at any level by us, the SDK and the HTTP clients."""
    with caplog.at_level(1):
        yield lambda: "\n".join([caplog.text, *(repr(vars(record)) for record in caplog.records)])


def test_logs_hold_no_key(keyed: Make, half: Any, simulator: Simulator, logged: Callable[[], str]):
    """Drawings, edits, streams and failures log neither key nor password at DEBUG, and the requests are logged."""
    draw = keyed(memory=ImageMemory())
    half.invoke(draw, "draw a fox")
    half.invoke(draw, "make it winter", images=["last"])
    half.stream(draw, "draw an owl")
    half.invoke(keyed(api="images"), "draw a fox")
    simulator.script(bad_key(), ECHO, html_page(), rate_limited(), cut_body())
    for _ in range(5):
        with pytest.raises(ImageGenerationError):
            half.invoke(keyed(store=False), "draw a fox")

    text = logged()
    assert_hidden(text)
    assert {"openai._base_client", "httpx2"} <= {name for name in logging.root.manager.loggerDict if name in text}
    assert simulator.requests[0].headers["authorization"].startswith("Basic ")


def test_the_ledger_of_an_agent_logs_and_keeps_no_key(
    keyed: Make, half: Any, image_store: ImageStore, logged: Callable[[], str]
):
    """A drawing in a graph with a checkpointer leaves no key in logs, state, checkpoints, traces or the store."""
    tool, saver = ImageGenerationTool(generator=keyed()), InMemorySaver()
    middleware = ImageGenerationMiddleware(tool=tool, hosted=False)
    agent = create_agent(scripted_model(image_call("a"), DONE), middleware=[middleware], checkpointer=saver)

    with collect_runs() as traces:
        state = half.invoke(agent, {"messages": "draw a fox"}, config=THREAD)
    files = [path.read_bytes() for path in Path(image_store.location).rglob("*") if path.is_file()]
    assert_hidden(logged(), state, vars(saver), files, *(run.model_dump_json() for run in traces.traced_runs))
    assert files


@pytest.mark.parametrize("fault", [bad_key(), ECHO, html_page(), None], ids=["401", "echo", "page", "refused"])
def test_errors_hold_no_key(fault: Any, keyed: Make, half: Any, simulator: Simulator):
    """An error, its causes, fields and traceback hold neither key nor password, even if the service repeats them."""
    draw = keyed() if fault else keyed(base_url=f"http://user:{PASSWORD}@127.0.0.1:9/v1")
    simulator.script(fault)

    with pytest.raises(ImageGenerationError) as caught:
        half.invoke(draw, "draw a fox")
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in repr(vars(caught.value))
    assert fault is ECHO or PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_reprs_hold_no_key(keyed: Make):
    """The repr of whatever holds a generator, and its form in LangChain's dumps, hold neither key nor password."""
    draw = keyed(memory=ImageMemory())
    tool = ImageGenerationTool(generator=draw)
    result = draw.invoke("draw a fox")
    chain = draw | draw.bind(prompt="at night")

    agents = (tool, ImageGenerationMiddleware(tool=tool))
    for shown in (draw, chain, draw.with_retry(), draw.memory, result, result.image, *agents):
        assert_hidden(repr(shown), str(shown))
    assert_hidden(dumps(draw), dumps(tool), draw.get_graph().to_json(), result.record(), tool.args_schema)


@pytest.mark.parametrize("given", [KEY, SecretStr(KEY)], ids=["text", "secret"])
def test_pickles_hold_no_key(given: Any, keyed: Make, monkeypatch: pytest.MonkeyPatch):
    """A pickle holds neither key nor password; where it is loaded, the key comes from the environment."""
    draw = keyed(api_key=given, memory=ImageMemory())
    tool = ImageGenerationTool(generator=draw)
    draw.invoke("draw a fox")
    pickles = [pickle.dumps(each) for each in (draw, tool, ImageGenerationMiddleware(tool=tool), draw.memory)]

    assert_hidden(*pickles)
    other = pickle.loads(pickles[0])
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        other.invoke("draw a fox")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-other-process")
    again = pickle.loads(pickles[0])
    assert again.invoke("draw a fox").image.handle
    again.close()


def key_of_a_function() -> str:
    """Return the key, as a function that a pickle names does."""
    return KEY


def test_a_pickle_keeps_the_function_that_gives_the_key(keyed: Make):
    """A pickled generator keeps a function for its key by name, and draws where it is loaded."""
    written = pickle.dumps(keyed(api_key=key_of_a_function))

    assert_hidden(written)
    other = pickle.loads(written)
    assert other.invoke("draw a fox").image.handle
    other.close()


CELLS = [
    "from langchain_imagegen import ImageGenerator, ImageMemory",
    "draw = ImageGenerator(memory=ImageMemory(), options={'size': '816x816', 'quality': 'low'}, max_retries=0)",
    "draw",
    "draw.invoke('draw a fox')",
    "draw.memory",
    "import logging, sys; logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, force=True)",
    "draw.invoke('make it winter', images=['last']).image",
    "draw.invoke('again', images=['img_00000000'])",
    "ImageGenerator(base_url='http://127.0.0.1:9/v1', max_retries=0).invoke('draw a fox')",
]


def test_exported_notebooks_hold_no_key(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A notebook that draws, logs at DEBUG and fails holds neither key nor password in any of its outputs."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url.replace("http://", f"http://user:{PASSWORD}@"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}

    NotebookClient(notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": tmp_path}}).execute()

    text = nbformat.writes(notebook)
    assert_hidden(text)
    assert "UnknownImageError" in text
    assert "NotConnectedError" in text
    assert "HTTP Request: POST" in text
