"""The simulator as a server: files, keys, paths, recorded requests, start and stop."""

from __future__ import annotations

import asyncio
import functools
import re
import signal
import subprocess
import sys
import threading
import warnings
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from openai import AsyncOpenAI, AuthenticationError, AzureOpenAI, BadRequestError, NotFoundError

from langchain_imagegen.simulator import Simulator
from tests.sdk import PNG, TOOL, data, pictures, send


def test_files_come_back(call):
    """An uploaded file can be retrieved, read and deleted."""
    file = call("files.create", file=("fox.png", PNG + b"\r\n--x", "image/png"), purpose="vision")

    assert (file.filename, file.bytes, file.purpose) == ("fox.png", 13, "vision")
    assert call("files.content", file_id=file.id).content == PNG + b"\r\n--x"
    assert call("files.delete", file_id=file.id).deleted
    with pytest.raises(NotFoundError):
        call("files.retrieve", file_id=file.id)


def test_loopback_urls_are_fetched(ask, simulator, tmp_path):
    """A picture URL on this machine is fetched."""
    picture = data(ask())
    (tmp_path / "fox.jpg").write_bytes(picture)
    folder = functools.partial(_QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), folder) as files:
        threading.Thread(target=files.serve_forever, args=(0.01,)).start()
        url = f"http://127.0.0.1:{files.server_port}/fox.jpg"
        ask([{"role": "user", "content": [{"type": "input_image", "image_url": url}, TEXT]}])
        files.shutdown()

    assert simulator.orders[-1].sources == (picture,)


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


TEXT = {"type": "input_text", "text": "Make it winter"}


@pytest.mark.parametrize("url", ["https://example.com/fox.png", "http://127.0.0.1:1/fox.png", "file:///etc/hosts"])
def test_other_urls_are_not_fetched(ask, url):
    """A URL that is on another machine, does not answer or is not http is rejected as a failed download."""
    with pytest.raises(BadRequestError) as caught:
        ask([{"role": "user", "content": [{"type": "input_image", "image_url": url}, TEXT]}])
    assert caught.value.code == "failed_to_download_image"


@pytest.mark.parametrize("key", ["sk-invalid", ""])
def test_needs_a_key(simulator, key):
    """A missing or wrong key gets a 401 with an error object."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = httpx.post(f"{simulator.base_url}/responses", json={}, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_wrong_key_is_an_authentication_error(ask):
    """The SDK raises `AuthenticationError` for a wrong key."""
    with pytest.raises(AuthenticationError) as caught:
        ask(key="sk-invalid")
    assert caught.value.code == "invalid_api_key"


def test_azure_paths(simulator):
    """Azure's paths and key header work if a header names the deployment of the image model."""
    root = simulator.base_url.removesuffix("/v1")
    with AzureOpenAI(azure_endpoint=root, api_key="az", api_version="preview", max_retries=0) as client:
        fields = {"model": "my-gpt", "input": "Draw a fox", "tools": [TOOL]}
        with pytest.raises(BadRequestError, match="There was an issue with your request"):
            client.responses.create(**fields)
        named = {"x-ms-oai-image-generation-deployment": "my-image"}
        response = client.responses.create(**fields, extra_headers=named)
        images = client.images.generate(model="gpt-image-2", prompt="a fox", quality="low")

    assert pictures(response)
    assert images.data[0].b64_json


def test_records_requests(ask, simulator):
    """Each request is recorded with its method, path, headers, body and size."""
    ask("Draw a fox")

    request = simulator.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == "Bearer sk-a"
    assert request.body["input"] == "Draw a fox"
    assert request.size == int(request.headers["content-length"])


def test_lists_models(call):
    """The model list has both chat models and image models."""
    names = [model.id for model in call("models.list").data]

    assert {"gpt-5.4", "gpt-image-2"} <= set(names)


def test_unknown_paths(simulator):
    """An unknown path gets a 404 in the service's format."""
    answer = httpx.get(f"{simulator.base_url}/nothing", headers={"authorization": "Bearer sk"})

    assert answer.status_code == 404
    assert "Invalid URL" in answer.json()["error"]["message"]


def test_stop_leaves_nothing_behind():
    """`stop` ends every thread without a warning, even with open keep-alive connections."""
    before = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            with Simulator(latency=60) as simulator, httpx.Client() as client:
                client.get(f"{simulator.base_url}/models")

    assert threading.active_count() == before


def test_command_line(interruptible):
    """The command prints the base URL and says that it is a simulation, and serves until Ctrl-C."""
    command = [sys.executable, "-m", "langchain_imagegen.simulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline() for _ in range(4)]
        url = re.search(r"OPENAI_BASE_URL=(\S+)", "".join(lines))[1]
        names = send(url, "sk", "models.list").data
        process.send_signal(signal.SIGINT)
        process.wait(10)

    assert "simulation" in lines[0]
    assert names
    assert process.returncode == 0


def test_state_survives_a_restart():
    """After `stop` and `start` the simulator still has its port, its responses and its pictures."""
    with Simulator() as simulator:
        first = send(simulator.base_url, "sk", "responses.create", model="gpt-5", input="Draw", tools=[TOOL])
        address = simulator.base_url
        simulator.stop()
        simulator.start()
        again = send(address, "sk", "responses.retrieve", response_id=first.id)

    assert again.id == first.id
    assert simulator.pictures == 1


def test_many_at_once(simulator):
    """64 concurrent requests are all answered, each with its own ids."""

    async def draw_all():
        async with AsyncOpenAI(base_url=simulator.base_url, api_key="sk", max_retries=0) as client:
            request = {"model": "gpt-5", "input": "Draw a fox", "tools": [TOOL]}
            return await asyncio.gather(*(client.responses.create(**request) for _ in range(64)))

    responses = asyncio.run(draw_all())

    assert len({pictures(response)[0].id for response in responses}) == 64
    assert simulator.pictures == 64
