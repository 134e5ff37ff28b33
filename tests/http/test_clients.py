"""`http_clients`, and copies of a user's own clients and chat models: they give tokens and keep every other setting."""

from __future__ import annotations

import ast
import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from agents import Agent, ImageGenerationTool, OpenAIResponsesModel, Runner, set_tracing_disabled
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from langchain_imagegen import http_clients, images_from
from langchain_imagegen.errors import OptionError
from langchain_imagegen.http.clients import Private, wired
from langchain_imagegen.streaming.placeholders import read_token
from tests.conversations import VERSIONS, image_call_ids, photo, to_base64
from tests.framed import serve_body
from tests.scripted import scripted_model

TOOL = {"type": "image_generation", "size": "816x816", "quality": "low"}
BODY = json.dumps(
    {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5.4", "status": "completed",
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None,
        "output": [
            {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": to_base64(photo())}
        ],
    }
).encode()  # fmt: skip
LARGE = 4000


@pytest.fixture
def close_later(half: Any) -> Iterator[Any]:
    """Return a function that returns its HTTP clients unchanged and has them closed after the test."""
    stack = ExitStack()

    def register(clients: dict[str, Any]) -> dict[str, Any]:
        stack.enter_context(clients["http_client"])
        stack.callback(half.wait, clients["http_async_client"].aclose)
        return clients

    yield register
    stack.close()


@pytest.fixture
def plain_clients(close_later: Any) -> Any:
    """Return a function that makes a plain sync and a plain async client with the same settings."""
    return lambda **settings: close_later(
        {"http_client": httpx2.Client(**settings), "http_async_client": httpx2.AsyncClient(**settings)}
    )


def chat(base_url: str, **settings: Any) -> ChatOpenAI:
    """Return a chat model that uses the Responses API."""
    here = {"base_url": base_url, "api_key": "sk-a", "model": "gpt-5.4", "use_responses_api": True, "max_retries": 0}
    return ChatOpenAI(**{**here, **settings})


def size(message: Any) -> int:
    """Return the length of a message's repr."""
    return len(repr(message))


# `http_clients`


@pytest.mark.parametrize("version", VERSIONS)
def test_two_turns_without_a_middleware(half, close_later, simulator, image_store, version):
    """With `http_clients` messages stay small, `images_from` reads them, and the next request sends the id."""
    model = chat(simulator.base_url, output_version=version, **close_later(http_clients(image_store))).bind_tools(
        [TOOL]
    )
    fox = half.invoke(model, "draw a fox")
    winter = half.invoke(model, [("human", "draw a fox"), fox, ("human", "make it winter")])

    assert size(fox) < LARGE
    assert size(winter) < LARGE
    first, second = images_from([fox, winter], image_store=image_store)
    assert (first.width, first.provider, second.width) == (816, "", 816)
    assert image_call_ids(simulator.requests[-1].body["input"]) == [first.id]
    assert simulator.requests[-1].size < 3000
    assert simulator.orders[-1].sources == (first.read(),)


def test_defaults_are_those_of_the_sdk(half, close_later):
    """The clients have the SDK's timeout and follow redirects, unless the caller sets them."""
    default, made = openai.DefaultHttpxClient(), close_later(http_clients())
    other = close_later(http_clients(timeout=7, follow_redirects=False, headers={"x-team": "art"}))
    default.close()

    for client in made.values():
        assert (client.timeout, client.follow_redirects) == (default.timeout, True)
    for client in other.values():
        assert (client.timeout.read, client.follow_redirects, client.headers["x-team"]) == (7, False, "art")


def test_proxies_of_the_environment_are_used(half, close_later, image_store, monkeypatch):
    """Requests go through the proxy that the environment names, and answers hold tokens."""
    with serve_body(BODY) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        model = chat("http://images.example/v1", **close_later(http_clients(image_store)))
        answer = half.invoke(model, "draw a fox")

    assert [path for path, _ in proxy.requests] == ["http://images.example/v1/responses"]
    assert size(answer) < LARGE


def test_proxy_argument_is_used(half, close_later, image_store):
    """Requests go through the proxy of the `proxy` argument, and answers hold tokens."""
    with serve_body(BODY) as proxy:
        address = proxy.base_url.removesuffix("/v1")
        model = chat("http://images.example/v1", **close_later(http_clients(image_store, proxy=address)))

        assert size(half.invoke(model, "draw a fox")) < LARGE
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("settings", [{"socket_options": []}, {"verify": False, "http1": True}, {"trust_env": False}])
def test_connection_settings_are_used(half, close_later, image_store, monkeypatch, settings):
    """Connections use their settings; `socket_options` and `trust_env=False` ignore the environment's proxy."""
    if "verify" not in settings:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serve_body(BODY) as served:
        model = chat(served.base_url, **close_later(http_clients(image_store, **settings)))

        assert size(half.invoke(model, "draw a fox")) < LARGE


@pytest.mark.parametrize("name", ["transport", "mounts"])
def test_transport_argument_is_refused(name):
    """`http_clients` refuses a transport, which cannot serve both clients, and says what to do instead."""
    with pytest.raises(OptionError, match=rf"{name}= .*httpx2.Client\({name}=.*ImageTransport"):
        http_clients(**{name: {}})


def test_connections_are_kept_alive(half, close_later, image_store):
    """Idle connections use TCP keep-alive like those of `ChatOpenAI`, so a dead connection is noticed."""
    clients, options = close_later(http_clients(image_store)), []

    async def ask() -> None:
        if half.name == "async":
            async with clients["http_async_client"].stream("POST", served.base_url) as answer:
                options.extend(keepalive_options(answer))
            return
        with clients["http_client"].stream("POST", served.base_url) as answer:
            options.extend(keepalive_options(answer))

    with serve_body(BODY) as served:
        half.wait(ask)

    assert options == [1, 60]


def keepalive_options(answer: Any) -> list[int]:
    """Return whether keep-alive is on for the socket of an answer, and after how many idle seconds it probes."""
    connection = answer.extensions["network_stream"].get_extra_info("socket")
    idle = getattr(socket, "TCP_KEEPIDLE", None) or socket.TCP_KEEPALIVE
    return [
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        connection.getsockopt(socket.IPPROTO_TCP, idle),
    ]


def test_sdk_gets_tokens_from_every_endpoint(half, close_later, simulator, image_store):
    """The SDK gets tokens in responses, retrieved responses and answers of the Images API, streamed or not."""
    clients = close_later(http_clients(image_store))
    light = sdk_client(half, simulator.base_url, clients)
    fields = {"model": "gpt-5.4", "input": "draw a fox", "tools": [{**TOOL, "partial_images": 1}]}
    drawing = {"model": "gpt-image-2", "prompt": "draw a fox", "size": "816x816", "quality": "low"}

    answer = call_sdk(half, light.responses.create, **fields)
    events = call_sdk(half, light.responses.create, **fields, stream=True)
    later = call_sdk(half, light.responses.retrieve, answer.id)
    drawn = call_sdk(half, light.images.generate, **drawing)
    steps = call_sdk(half, light.images.generate, **drawing, stream=True, partial_images=1)

    for result in (answer, *events, later, drawn, *steps):
        assert len(result.model_dump_json()) < LARGE
    assert [image.id for image in images_from(later, image_store=image_store)] == [answer.output[-2].id]
    for result in (answer, events[-1].response, later, drawn):
        [image] = images_from(result, image_store=image_store)
        assert image.read().startswith(b"\x89PNG")
    texts = [event.partial_image_b64 for event in events if "partial" in event.type] + [step.b64_json for step in steps]
    assert len(texts) >= 4
    assert all(image_store.get(*read_token(text)).startswith(b"\x89PNG") for text in texts)


def sdk_client(half: Any, base_url: str, clients: Any) -> Any:
    """Return the SDK's client of a half."""
    if half.name == "sync":
        return OpenAI(base_url=base_url, api_key="sk-a", http_client=clients["http_client"])
    return AsyncOpenAI(base_url=base_url, api_key="sk-a", http_client=clients["http_async_client"])


def call_sdk(half: Any, method: Any, *args: Any, **fields: Any) -> Any:
    """Return the result of a method of an SDK client; a stream is returned as a list."""

    async def call() -> Any:
        result = method(*args, **fields)
        result = await result if half.name == "async" else result
        if isinstance(result, openai.AsyncStream):
            return [event async for event in result]
        return list(result) if isinstance(result, openai.Stream) else result

    return half.wait(call)


@pytest.mark.parametrize("streaming", [False, True], ids=["run", "stream"])
async def test_openai_agents_sdk_works(simulator, image_store, streaming):
    """The OpenAI Agents SDK draws and edits with a client of `http_clients`, and its history stays small."""
    set_tracing_disabled(disabled=True)
    http = http_clients(image_store)["http_async_client"]
    async with AsyncOpenAI(base_url=simulator.base_url, api_key="sk-a", http_client=http) as client:
        model = OpenAIResponsesModel("gpt-5", client)
        painter = Agent(name="painter", model=model, tools=[ImageGenerationTool(tool_config=TOOL)])
        drawn = await run_agent(painter, "draw a fox", streaming=streaming)
        history = [*drawn.to_input_list(), {"role": "user", "content": "make it winter"}]
        edited = await run_agent(painter, history, streaming=streaming)

    fox, winter = (read_token(token) for result in (drawn, edited) for token in picture_texts(result))
    assert len(json.dumps(edited.to_input_list())) < LARGE
    assert simulator.requests[-1].size < LARGE
    assert simulator.orders[-1].sources == (image_store.get(*fox),)
    assert image_store.get(*winter).startswith(b"\x89PNG")


async def run_agent(agent: Agent, prompt: Any, *, streaming: bool) -> Any:
    """Run an agent and return the result."""
    if not streaming:
        return await Runner.run(agent, prompt)
    result = Runner.run_streamed(agent, prompt)
    async for _ in result.stream_events():
        pass
    return result


def picture_texts(result: Any) -> list[str]:
    """Return the text in place of each picture in the result of an agent's run."""
    return [item.raw_item.result for item in result.new_items if item.type == "tool_call_item"]


def test_sync_client_closes_itself(image_store):
    """The sync client of `http_clients` closes its sockets when nothing refers to it any more."""
    with serve_body(BODY) as served, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = chat(served.base_url, **http_clients(image_store))
        assert size(model.invoke("draw a fox")) < LARGE
        del model
        gc.collect()

    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []


EXITING = """
from langchain_openai import ChatOpenAI
from langchain_imagegen import http_clients

model = ChatOpenAI(model="gpt-5.4", base_url={url!r}, api_key="sk-a", use_responses_api=True, **http_clients())
model.invoke("draw a fox", tools=[{tool!r}])
print("drawn")
"""
"""A program that ends while its clients are open."""


def test_sync_client_is_closed_at_exit(simulator):
    """A process that ends while its client is open exits without a warning of an unclosed socket."""
    program = EXITING.format(url=simulator.base_url, tool=TOOL)
    command = [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "drawn\n", "")
    assert simulator.pictures == 1


# Copies of a user's own clients and models


OWN_PRIVATE = {"memory._index", "bound._store", "other._fallback", "other._shelf", "experiment._settings"}
"""Private attributes that our modules read on other objects of their own classes."""
OVERRIDDEN = {"kind._convert_input"}
"""Private methods of other libraries that a class of ours overrides, and calls on its base."""


def test_only_one_class_touches_private_names_of_others():
    """Only the class `Private` reads or sets private attributes of other libraries' objects."""
    package = Path(http_clients.__code__.co_filename).parents[1]
    used = {
        ast.unparse(node)
        for path in package.rglob("*.py")
        for node in outside_private(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("_")
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }

    assert used == OWN_PRIVATE | OVERRIDDEN | {"os._exit"}  # that one is documented


def outside_private(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node of a module outside the class `Private`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.ClassDef) and child.name == "Private"):
            yield from outside_private(child)


@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
def test_private_names_of_others_still_exist(library):
    """A client that `Private` copies sends through wrapped transports, mounts included, and changes nothing else."""
    sent: list[str] = []

    class RecordingTransport(library.BaseTransport):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def handle_request(self, request: Any) -> Any:
            sent.append(type(self.inner).__name__)
            return library.Response(200)

    class Mounted(library.HTTPTransport):
        pass

    with library.Client(mounts={"http://mounted": Mounted(), "http://direct": None}) as client:
        copied = Private.with_transports(client, RecordingTransport)
        for host in ("mounted", "direct", "other"):
            copied.get(f"http://{host}/")
        with OpenAI(api_key="sk-a", http_client=client) as sdk:
            assert Private.http_client(sdk) is client
        changed = {name for name in vars(client) if vars(client)[name] is not vars(copied)[name]}

    assert sent == ["Mounted", "HTTPTransport", "HTTPTransport"]
    assert changed <= {"_transport", "_mounts", "_state"}


def test_copy_keeps_all_settings(half, plain_clients, image_store):
    """A copied model keeps headers, cookies, queries, hooks, timeouts, retries and the organization."""
    hooked: list[str] = []

    def hook(request: Any) -> None:
        hooked.append(request.url.host)

    async def ahook(request: Any) -> None:
        hooked.append(request.url.host)

    with serve_body(BODY, status=(429, 200)) as served:
        http = plain_clients(headers={"x-team": "art"}, params={"tag": "a"}, cookies={"c": "1"}, timeout=9)
        http["http_client"].event_hooks = {"request": [hook]}
        http["http_async_client"].event_hooks = {"request": [ahook]}
        user = {"organization": "org-1", "default_headers": {"x-own": "2"}, "default_query": {"q": "3"}}
        model = chat(served.base_url, **http, **user, max_retries=1, timeout=8)
        answer = half.invoke(wired(model, image_store), "draw a fox")

    path, headers = served.requests[-1]
    assert size(answer) < LARGE
    assert len(served.requests) == len(hooked) == 2
    assert "q=3" in path
    assert (headers["x-team"], headers["x-own"], headers["openai-organization"]) == ("art", "2", "org-1")
    assert headers["cookie"] == "c=1"
    copied = wired(model, image_store)
    for name in ("root_client", "root_async_client"):
        mine, theirs = getattr(model, name), getattr(copied, name)
        assert (mine.timeout, mine.max_retries, mine.base_url) == (theirs.timeout, theirs.max_retries, theirs.base_url)


def test_copy_keeps_the_proxy_of_the_client(half, plain_clients, image_store):
    """A copied model sends its requests through the proxy of the user's client."""
    with serve_body(BODY) as proxy:
        model = chat("http://images.example/v1", **plain_clients(proxy=proxy.base_url.removesuffix("/v1")))
        answer = half.invoke(wired(model, image_store), "draw a fox")

    assert [path for path, _ in proxy.requests] == ["http://images.example/v1/responses"]
    assert size(answer) < LARGE


def test_copy_keeps_the_openai_proxy(half, image_store):
    """A copied model sends its requests through the `openai_proxy` of `ChatOpenAI`."""
    with serve_body(BODY) as proxy:
        model = chat("http://images.example/v1", openai_proxy=proxy.base_url.removesuffix("/v1"))
        answer = half.invoke(wired(model, image_store), "draw a fox")
        model.http_client.close()
        half.wait(model.http_async_client.aclose)

    assert [path for path, _ in proxy.requests] == ["http://images.example/v1/responses"]
    assert size(answer) < LARGE


def test_copy_works_with_httpx_clients(half, close_later, image_store):
    """A copied model whose clients are of `httpx` gets tokens too."""
    with serve_body(BODY, encoding="gzip") as served:
        http = close_later({"http_client": httpx.Client(), "http_async_client": httpx.AsyncClient()})
        answer = half.invoke(wired(chat(served.base_url, **http), image_store), "draw a fox")

    assert size(answer) < LARGE
    assert images_from(answer, image_store=image_store)[0].width == 816


def test_copy_does_not_affect_models_that_share_its_client(simulator, image_store):
    """Copying one of two models that share a client leaves both models unchanged and their client open."""
    first, second = chat(simulator.base_url), chat(simulator.base_url)
    shared = Private.http_client(first.root_client)
    assert shared is Private.http_client(second.root_client)
    light = wired(first, image_store).bind_tools([TOOL]).invoke("draw a fox")
    gc.collect()  # collects the copy, which must not close the shared client

    assert size(light) < LARGE
    for model in (first, second):
        assert size(model.bind_tools([TOOL]).invoke("draw a fox")) > 50_000
    shared.close()


async def test_dropped_copies_begin_no_tasks(simulator, image_store):
    """A copy that is no longer used is collected without a task that closes it: it has no connections of its own."""
    model = ChatOpenAI(model="gpt-5.4", base_url=simulator.base_url, api_key="sk-simulated")
    wired(model, image_store)
    gc.collect()

    assert len(asyncio.all_tasks()) == 1


def test_copy_outlives_its_model(simulator, image_store):
    """A copy can still be called after its model has been garbage-collected."""
    copied = wired(chat(simulator.base_url, timeout=11), image_store)
    gc.collect()

    assert size(copied.bind_tools([TOOL]).invoke("draw a fox")) < LARGE
    copied.http_client._transport._inner._owner.close()


def test_copy_of_a_closed_client_fails_like_its_model(half, plain_clients, simulator, image_store):
    """A copy of a model whose client is closed raises the same error as the model."""
    model = chat(simulator.base_url, **plain_clients())
    copied = wired(model, image_store)
    model.http_client.close()
    half.wait(model.http_async_client.aclose)

    errors = []
    for each in (model, copied):
        with pytest.raises((RuntimeError, openai.APIConnectionError)) as caught:
            half.invoke(each, "draw a fox")
        errors.append((caught.type, str(caught.value), str(caught.value.__cause__)))
    assert errors[0] == errors[1]


def test_next_copy_has_changed_settings(half, plain_clients, simulator, image_store):
    """A new copy uses settings that the user changed on the model after an earlier copy."""
    model = chat(simulator.base_url, **plain_clients())
    half.invoke(wired(model, image_store), "hello")
    model.max_tokens, model.root_client.api_key, model.root_async_client.api_key = 77, "sk-b", "sk-b"
    half.invoke(wired(model, image_store), "hello")

    assert [request.body.get("max_output_tokens") for request in simulator.requests] == [None, 77]
    assert [request.headers["authorization"] for request in simulator.requests] == ["Bearer sk-a", "Bearer sk-b"]


@pytest.mark.parametrize(
    "bind", [lambda m: m.bind(temperature=0), lambda m: m.with_config(tags=["a"]), lambda m: m.bind_tools([TOOL])]
)
def test_bound_models_are_copied(half, plain_clients, simulator, image_store, bind):
    """A model with bound arguments, config or tools is copied, and the copy draws."""
    model = wired(bind(chat(simulator.base_url, **plain_clients())), image_store)

    answer = half.invoke(model, "draw a fox", tools=[TOOL])
    assert size(answer) < LARGE
    assert len(images_from(answer, image_store=image_store)) == 1


def test_other_models_are_returned_unchanged(image_store):
    """`wired` returns a chat model that is not OpenAI's unchanged."""
    model = scripted_model()
    assert wired(model, image_store) is model


AZURE = {"api_key": "az", "api_version": "preview", "max_retries": 0}
DEPLOYMENT = {"x-ms-oai-image-generation-deployment": "my-images"}


def test_azure_models_are_copied(half, plain_clients, simulator, image_store):
    """A copied `AzureChatOpenAI` gets tokens and keeps its paths, key and deployment."""
    root = simulator.base_url.removesuffix("/v1")
    fields = {"azure_endpoint": root, "azure_deployment": "gpt-5.4", "use_responses_api": True, "model": "gpt-5.4"}
    model = AzureChatOpenAI(**AZURE, **fields, **plain_clients(), default_headers=DEPLOYMENT)
    plain, light = (half.invoke(m.bind_tools([TOOL]), "draw a fox") for m in (model, wired(model, image_store)))

    assert size(light) < LARGE < size(plain)
    assert images_from(light, image_store=image_store)[0].width == 816
    first, second = simulator.requests
    assert (first.path, first.query, first.headers["api-key"]) == (second.path, second.query, second.headers["api-key"])


def test_azure_clients_of_the_sdk_get_tokens(half, close_later, simulator, image_store):
    """Azure clients of the SDK get tokens with the clients of `http_clients`."""
    clients = close_later(http_clients(image_store))
    kind, key = (AzureOpenAI, "http_client") if half.name == "sync" else (AsyncAzureOpenAI, "http_async_client")
    client = kind(azure_endpoint=simulator.base_url.removesuffix("/v1"), **AZURE, http_client=clients[key])

    answer = call_sdk(
        half, client.responses.create, model="gpt-5.4", input="draw a fox", tools=[TOOL], extra_headers=DEPLOYMENT
    )
    assert len(answer.model_dump_json()) < LARGE
    assert len(images_from(answer, image_store=image_store)) == 1
