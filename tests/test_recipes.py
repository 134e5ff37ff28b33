"""The recipes do what their heads say, against the simulator: over real sockets, databases, buckets and processes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from langchain_imagegen.images.sniffing import sniff
from langchain_imagegen.simulator import Simulator, bad_key, moderated, start_without_key
from tests.asgi import serving
from tests.browser import launched

FOLDER = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(FOLDER.glob("*.py"))
COUNT_VERSIONS = """() => {
  window.versions = 0
  new MutationObserver(changes => { versions += changes.length })
    .observe(document.body, {subtree: true, attributeFilter: ['src']})
}"""
LOOP = {"lifespan": "on", "loop": "asyncio"}  # uvloop warns of the chat model's connections, which nobody closes


@pytest.fixture
def recipe(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return a function that loads a recipe, which works in an empty folder and draws at the simulator."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "simulated")
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_STORE", str(tmp_path / "store"))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"recipe_{name}", FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short_and_says_how_to_run_it(path: Path):
    """A recipe has 30 to 80 lines; its head has its command and what it needs, and the README lists it."""
    head = path.read_text(encoding="utf-8").split('"""')[1]

    assert 30 <= len(path.read_text(encoding="utf-8").splitlines()) <= 80
    assert f"python recipes/{path.name}" in head
    assert "Needs: pip install" in head
    assert "OpenAI draws" in head
    assert f"[{path.name}]({path.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_approval(recipe, simulator, tmp_path, capsys):
    """The agent asks with the price, and draws only after the approval, which another process may give."""
    main = recipe("approval").main

    main("Draw a map of an island")
    assert "**Price:** at most $0." in capsys.readouterr().out
    assert simulator.pictures == 0
    main("approve")
    [picture] = tmp_path.glob("img_*.png")
    assert f"{picture.name}, $0." in capsys.readouterr().out
    main("Draw a bear")
    main("reject", "No bears")
    assert "There is no picture this time" in capsys.readouterr().out
    assert simulator.pictures == 1


def test_deletion(recipe, simulator, tmp_path, capsys):
    """One picture leaves the thread, then all: no bytes are left, and no response at the service."""
    recipe("deletion").main()

    assert capsys.readouterr().out.splitlines() == [
        "left:",
        "- Draw a fox",
        "- Draw a bear",
        "0 pictures known, 0 left behind in the store",
    ]
    assert simulator.pictures == 3
    assert [request.method for request in simulator.requests].count("DELETE") == 3
    assert not [path for path in (tmp_path / "users").rglob("*") if path.is_file() and sniff(path.read_bytes()[:64])]


def test_s3(recipe, simulator, s3, monkeypatch, capsys):
    """The signed link leads to the picture in the bucket, and another worker finds it there and edits it."""
    module = recipe("s3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3["client_kwargs"]["endpoint_url"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3["secret"])
    monkeypatch.setenv("BUCKET", "s3://pictures/recipe")
    module.main()

    link, edited, _ = capsys.readouterr().out.splitlines()
    picture = httpx.get(link, trust_env=False).content
    assert sniff(picture).mime_type == "image/png"
    assert edited.endswith(".png edits the picture in s3://pictures/recipe")
    assert simulator.orders[1].sources == (picture,)


def test_resume(recipe, tmp_path, monkeypatch, capsys):
    """After a worker was killed while the service draws, the next one delivers the picture, bought once."""
    with Simulator(latency=2) as simulator:
        monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
        module = recipe("resume")
        monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
        path = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, str(FOLDER / "resume.py"), "Draw a fox in the snow"]
        worker = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
        deadline = time.monotonic() + 60
        while not any(b"resp_" in each.read_bytes() for each in (tmp_path / "store").rglob("*") if each.is_file()):
            assert worker.poll() is None, "the worker ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        worker.kill()
        worker.wait()
        module.main()
        module.main()

        [picture] = tmp_path.glob("img_*.png")
        assert capsys.readouterr().out.splitlines() == [
            f"{picture.name}: Draw a fox in the snow",
            "There is nothing to finish.",
        ]
        assert simulator.pictures == 1


def test_fastapi(recipe, simulator):
    """A picture is drawn once for a key, has a signed link, is edited by its handle, and a wrong wish is refused."""
    app = recipe("fastapi_app").app
    with serving(app, **LOOP) as address, httpx.Client(base_url=address, trust_env=False) as client:
        wish, key = {"prompt": "Draw a fox", "size": "816x816"}, {"idempotency-key": "fox-1"}
        fox = client.post("/pictures", json=wish, headers=key).json()
        again = client.post("/pictures", json=wish, headers=key).json()
        link = client.get(f"/pictures/{fox['handle']}").json()["url"]
        night = client.post("/pictures", json={"prompt": "Make it night", "edits": fox["handle"]}).json()
        simulator.script(moderated("input", ["violence"]))
        refused = [
            client.post("/pictures", json={"prompt": "Draw a fox", "size": "1x1"}),
            client.post("/pictures", json={"prompt": "Draw a battle"}),
            client.post("/pictures", json={"prompt": "Make it day", "edits": "img_00000000"}),
        ]

        assert (again["handle"], again["paid"]) == (fox["handle"], "$0.0000")
        assert client.get(link).headers["content-type"] == "image/png"
        assert client.get(link.partition("?")[0]).status_code == 404
        assert client.get(f"/pictures/{night['handle']}").json()["prompt"] == "Make it night"
        assert [answer.status_code for answer in refused] == [422, 422, 404]
        assert [order.prompt for order in simulator.orders] == ["Draw a fox", "Make it night"]


def test_web_chat(recipe, simulator):
    """In a browser, a message draws a picture that sharpens, and the next message of the thread edits it."""
    with serving(recipe("web_chat").app, **LOOP) as address, launched() as browser:
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        page.evaluate(COUNT_VERSIONS)
        for number, wish in enumerate(("Draw a lighthouse", "Make it night"), 1):
            page.fill("input", wish)
            page.press("input", "Enter")
            page.wait_for_selector(f"p >> nth={number - 1}")
        page.wait_for_function("[...document.images].every(each => each.naturalWidth)")

        assert page.eval_on_selector_all("img", "all => all.map(each => each.alt)") == [
            "Draw a lighthouse",
            "Make it night",
        ]
        assert page.inner_text("p >> nth=1").startswith("Here is your picture.")
        assert page.evaluate("versions") == 2 * 4  # of each picture two partials, the finished one, and its event
        simulator.script(bad_key())
        page.fill("input", "Draw a harbor")
        page.press("input", "Enter")
        page.wait_for_selector("text=No answer")
    assert [order.action for order in simulator.orders] == ["generate", "edit"]


def test_start_without_key(monkeypatch, tmp_path, capsys):
    """Without a key, OpenAI's clients of the process find a simulator, which says so; with a key nothing happens."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LANGCHAIN_IMAGEGEN_STORE"):
        monkeypatch.setenv(name, "")  # the values of before come back after the test
        monkeypatch.delenv(name)
    simulator: Any = start_without_key()
    try:
        assert (os.environ["OPENAI_BASE_URL"], start_without_key()) == (simulator.base_url, None)
        assert os.environ["LANGCHAIN_IMAGEGEN_STORE"] == "simulated-pictures"
        assert "No model is called." in capsys.readouterr().out
    finally:
        simulator.stop()
