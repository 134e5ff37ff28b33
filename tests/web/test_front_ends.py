"""Front ends from npm, as they are, with messages of real agents: a converter, a Markdown renderer, and our component.

Packages are installed into the test's folder. Without npm or its registry they are skipped; `.ci/run` forbids that.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.load import dumpd
from langchain_openai import ChatOpenAI

from langchain_imagegen import ImageGenerationMiddleware, ImageMemory, ImageStore
from tests.conversations import SMALL

COMPONENT = Path(__file__).parents[2] / "langchain_imagegen/web/ui.tsx"
UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "EAI_AGAIN", "ETIMEDOUT", "ENETUNREACH", "ECONNRESET", "EIDLETIMEOUT")
# Later versions of the converter name a package that the registry did not have when this was written.
CONVERTER = ("@assistant-ui/react-langgraph@0.14.25", "react@19", "@langchain/langgraph-sdk@1")
RENDERER = ("react@19", "react-dom@19", "react-markdown@10")
COMPILER = ("react@19", "react-dom@19", "typescript@5", "@types/react@19", "@types/react-dom@19")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder and return what it printed."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)


def install(folder: Path, *packages: str) -> None:
    """Install npm packages into a folder; skip the test where that is impossible."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("no npm: install Node.js")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    installed = run(folder, "npm", "install", *quiet, *packages)
    if installed.returncode and any(word in installed.stderr for word in UNREACHABLE):
        pytest.skip("the registry of npm cannot be reached")
    assert installed.returncode == 0, installed.stderr


def node(folder: Path, script: str) -> Any:
    """Run a module in a folder and return the JSON that it prints."""
    (folder / "test.mjs").write_text(script)
    ran = run(folder, "node", "test.mjs")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def shown_messages(folder: Path, simulator: Any) -> tuple[dict[str, Any], Any]:
    """Return the last answer of an agent for each form, as LangGraph's server sends it, and the picture."""
    store = ImageStore(str(folder / "images"), public_url="https://images.example.com/{sha256}.{ext}")
    answers = {}
    for form in ("markdown", "image_url", "image"):
        model = ChatOpenAI(model="gpt-5.4", base_url=simulator.base_url, api_key="sk-a", use_responses_api=True)
        agent = create_agent(model, middleware=[ImageGenerationMiddleware(SMALL, image_store=store, show=form)])
        state = agent.invoke({"messages": "draw a fox"})
        answers[form] = dumpd(state["messages"][-1])["kwargs"]
    return answers, ImageMemory.from_state(state)[-1]


def test_converter_of_assistant_ui(tmp_path, simulator):
    """The converter of `@assistant-ui/react-langgraph` turns `image_url` parts into images and keeps Markdown text."""
    install(tmp_path, *CONVERTER)
    answers, fox = shown_messages(tmp_path, simulator)
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    script = """
        import { readFileSync } from "node:fs";
        import { convertLangChainMessages } from "@assistant-ui/react-langgraph";
        const answers = JSON.parse(readFileSync("answers.json", "utf8"));
        const found = Object.entries(answers).map(([form, answer]) => [form, convertLangChainMessages(answer)]);
        console.log(JSON.stringify(Object.fromEntries(found)));
    """
    parts = {form: message["content"] for form, message in node(tmp_path, script).items()}
    address = f"https://images.example.com/{fox.sha256}.png#imagegen:img_"

    assert [part["image"][: len(address)] for part in parts["image_url"] if part["type"] == "image"] == [address]
    assert {part["type"] for part in parts["markdown"]} == {"text"}
    assert parts["markdown"][-1]["text"].strip().startswith("![draw a fox](https://images.example.com/")
    assert not [part for part in parts["image"] if part["type"] == "image"]  # it knows no v1 blocks


def test_markdown_is_a_picture(tmp_path, simulator):
    """`react-markdown`, with which agent-chat-ui shows text, makes a picture of the Markdown text."""
    install(tmp_path, *RENDERER)
    answers, fox = shown_messages(tmp_path, simulator)
    text = " ".join(block["text"] for block in answers["markdown"]["content"] if block.get("type") == "text")
    (tmp_path / "text.json").write_text(json.dumps(text))
    script = """
        import { readFileSync } from "node:fs";
        import { createElement } from "react";
        import { renderToStaticMarkup } from "react-dom/server";
        import Markdown from "react-markdown";
        const text = JSON.parse(readFileSync("text.json", "utf8"));
        console.log(JSON.stringify(renderToStaticMarkup(createElement(Markdown, null, text))));
    """
    page = node(tmp_path, script)

    assert f'<img src="https://images.example.com/{fox.sha256}.png#imagegen:img_' in page
    assert 'alt="draw a fox"' in page


def test_component(tmp_path):
    """`web/ui.tsx` has no type error, and renders each state of a picture, its prompts, versions and download."""
    install(tmp_path, *COMPILER)
    shutil.copy(COMPONENT, tmp_path)
    options = "--strict --noEmitOnError --jsx react-jsx --module nodenext --target es2022 --outDir ."
    compiled = run(tmp_path, "npx", "--no-install", "tsc", *options.split(), "ui.tsx")
    assert compiled.returncode == 0, compiled.stdout
    url = "https://images.example.com/fox.png"
    fox = {"handle": "img_2", "url": url, "prompt": "a fox", "revised_prompt": "A red fox", "mime_type": "image/png"}
    versions = [{"handle": "img_1", "url": f"{url}?1"}, {"handle": "img_2", "url": url}]
    states = [
        {"state": "started", "prompt": "a fox"},
        {"state": "partial", "prompt": "a fox", "url": url, "index": 0},
        {"state": "finished", **fox, "versions": versions},
        {"state": "finished", "url": "javascript:alert(1)"},
        {"state": "failed", "error": "refused"},
    ]
    script = f"""
        import {{ createElement }} from "react";
        import {{ renderToStaticMarkup }} from "react-dom/server";
        import ui from "./ui.js";
        const states = {json.dumps(states)};
        const pages = states.map((props) => renderToStaticMarkup(createElement(ui.generated_image, props)));
        console.log(JSON.stringify(pages));
    """
    started, partial, finished, unsafe, failed = node(tmp_path, script)

    assert "Drawing" in started
    assert f'<img src="{url}"' in partial
    assert 'aria-busy="true"' in partial
    assert all(told in finished for told in ("a fox", "A red fox", 'download="img_2.png"', f"{url}?1", "Versions"))
    assert "javascript" not in unsafe
    assert "refused" in failed
