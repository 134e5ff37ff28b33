"""Keys, headers, addresses and environment variables: checked before anything is sent, and never quoted in errors."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import openai
import pytest

from langchain_imagegen import ImageGenerator
from langchain_imagegen.errors import AuthenticationError, ImageGenerationError, OptionError
from langchain_imagegen.simulator import Simulator

Make = Callable[..., ImageGenerator]
SECRET = "sk-REAL"
UNSENDABLE = ["a\nb", "a\r\nb", "a\x00b", "“a”", "a—b", "a\u00a0b", "ключ", "a\ud83d"]


def full_traceback(error: BaseException | None) -> str:
    """Return the error's traceback with its causes and contexts, and its attributes."""
    return "".join(traceback.format_exception(error)) + repr(vars(error))


@pytest.mark.parametrize("space", ["\n", " ", "\r\n", "\t", "\u00a0"])
def test_white_space_around_a_key_is_stripped(space: str, half: Any, low: Make, simulator: Simulator):
    """White space around the key and the organization is stripped, such as the newline of a file."""
    half.invoke(low(api_key=space + SECRET + space, organization=f"org-1{space}"), "draw a fox")

    assert simulator.requests[-1].headers["authorization"] == f"Bearer {SECRET}"
    assert simulator.requests[-1].headers["openai-organization"] == "org-1"


@pytest.mark.parametrize("ending", UNSENDABLE)
def test_a_key_that_no_header_can_hold_is_refused(ending: str):
    """A key that no header can hold is refused when the generator is made, and the error does not contain it."""
    with pytest.raises(AuthenticationError, match=r"api_key holds U\+") as caught:
        ImageGenerator(api_key=SECRET + ending)
    assert SECRET not in str(caught.value) + repr(vars(caught.value))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("field", ["organization", "azure_image_deployment"])
@pytest.mark.parametrize("ending", UNSENDABLE)
def test_a_header_that_cannot_be_sent_is_refused(field: str, ending: str):
    """A setting that is sent as a header is checked like the key, and the error names its field."""
    with pytest.raises(OptionError, match=field) as caught:
        ImageGenerator(**{field: SECRET + ending})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("settings", [{"api_key": SECRET + "\n"}, {"default_headers": {"x-token": SECRET + "\n"}}])
@pytest.mark.parametrize("field", ["client", "async_client"])
def test_a_client_whose_headers_cannot_be_sent_is_refused(settings: Any, field: str):
    """A given client is never changed, so a newline in its key or headers is refused."""
    make = openai.OpenAI if field == "client" else openai.AsyncOpenAI
    client = make(**{"api_key": "sk-a", **settings})

    with pytest.raises(ImageGenerationError, match=field) as caught:
        ImageGenerator(**{field: client})
    assert SECRET not in str(caught.value)


def test_a_key_of_the_environment_is_checked(
    half: Any, low: Make, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    """`OPENAI_API_KEY` is stripped, and one that no header can hold raises an error that names the variable."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET + "\n")
    half.invoke(low(api_key=None), "draw a fox")
    monkeypatch.setenv("OPENAI_API_KEY", f"“{SECRET}”")

    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as caught:
        half.invoke(low(api_key=None), "draw a fox")
    assert SECRET not in str(caught.value)
    assert len(simulator.requests) == 1


def test_a_password_in_the_address_is_not_shown():
    """Neither a generator's repr nor an error about its address contains the address's password."""
    assert "hunter2" not in repr(ImageGenerator(base_url="https://me:hunter2@proxy.example/v1"))
    with pytest.raises(OptionError) as caught:
        ImageGenerator(base_url="ftp://me:hunter2@proxy.example/v1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://[",
        "https://a.example/v1\nx",
        "",
        "api.openai.com/v1",
        "ftp://a/v1",
        "'https://a/v1'",
        "https://",
        "http://localhost:99999/v1",
        "https://api..example/v1",
        f"https://{'a' * 64}.example/v1",
    ],
)
def test_an_address_that_cannot_work_is_refused(url: str):
    """A `base_url` that cannot work is refused when the generator is made, and the error shows a valid one."""
    with pytest.raises(OptionError, match=r"base_url=.*such as 'https://api\.openai\.com/v1'"):
        ImageGenerator(base_url=url)


@pytest.mark.parametrize("url", ["http://localhost:99999/v1", "https://api..example/v1"])
def test_a_client_whose_address_cannot_work_is_refused(url: str):
    """The address of a given client is checked when the generator is made."""
    with pytest.raises(OptionError, match="the base_url of async_client="):
        ImageGenerator(async_client=openai.AsyncOpenAI(base_url=url, api_key="simulated"))


@pytest.mark.parametrize(
    ("settings", "quoted"),
    [
        ({"timeout": -1}, "timeout=-1"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": 0}, "timeout=0"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"client": 5}, r"client takes an openai\.OpenAI, not a int"),
        ({"async_client": object()}, r"async_client takes an openai\.AsyncOpenAI, not a object"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: Any, quoted: str):
    """A setting that cannot work raises an `OptionError` that names it when the generator is made."""
    with pytest.raises(OptionError, match=quoted):
        ImageGenerator(**settings)


def test_an_async_client_as_client_is_refused():
    """An async client given as `client` raises an error that says to give it as `async_client`."""
    with pytest.raises(OptionError, match="give it as async_client="):
        ImageGenerator(client=openai.AsyncOpenAI(api_key="sk-a"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks://localhost:1"),
        ("HTTPS_PROXY", "https://["),
        ("SSL_CERT_FILE", "nowhere.pem"),
        ("OPENAI_BASE_URL", ""),
        ("OPENAI_BASE_URL", "'https://api.openai.com/v1'"),
        ("OPENAI_BASE_URL", "api.openai.com/v1"),
        ("OPENAI_BASE_URL", "https://api.openai.com /v1"),
        ("OPENAI_ORG_ID", "org-\n1"),
    ],
)
def test_an_environment_variable_that_cannot_work_is_named(
    variable: str, value: str, half: Any, low: Make, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    """A proxy, certificate or address in the environment that cannot work raises an error that names its variable."""
    monkeypatch.setenv(variable, value)
    drawing = low(base_url=None) if variable == "OPENAI_BASE_URL" else low()

    with pytest.raises(OptionError, match=variable):
        half.invoke(drawing, "draw a fox")
    assert simulator.requests == []


# --- keys that a function returns


def test_the_key_can_be_a_function(half: Any, low: Make, simulator: Simulator):
    """A key function is called for each request, and its key is stripped."""
    keys = iter(["sk-1\n", "sk-2"])
    drawing = low(api_key=lambda: next(keys))

    half.invoke(drawing, "draw a fox")
    half.invoke(drawing, "draw a fox")

    assert [request.headers["authorization"] for request in simulator.requests] == ["Bearer sk-1", "Bearer sk-2"]


def test_the_key_can_be_an_async_function(low: Make, simulator: Simulator):
    """An async key function works for async calls, and a sync call raises an error that says what to do."""

    async def key() -> str:
        return "sk-async"

    drawing = low(api_key=key)

    async def draw_fox() -> None:
        await drawing.ainvoke("draw a fox")
        await drawing.aclose()

    asyncio.run(draw_fox())

    assert simulator.requests[-1].headers["authorization"] == "Bearer sk-async"
    with pytest.raises(OptionError, match="call ainvoke, or give a sync function"):
        drawing.invoke("draw a fox")


@pytest.mark.parametrize("key", ["sk-\nREAL", "", None])
def test_the_key_of_a_function_is_checked(key: Any, half: Any, low: Make, simulator: Simulator):
    """A function's key that cannot be sent is refused without being quoted, and nothing is sent."""
    with pytest.raises(AuthenticationError, match="the key that api_key returns") as caught:
        half.invoke(low(api_key=lambda: key), "draw a fox")
    assert "REAL" not in full_traceback(caught.value)
    assert simulator.requests == []


def test_a_key_function_that_fails(half: Any, low: Make, simulator: Simulator):
    """An exception of the key function is the cause of an `AuthenticationError`, and nothing is sent."""

    def key() -> str:
        raise LookupError

    with pytest.raises(AuthenticationError, match="failed with LookupError; nothing was sent") as caught:
        half.invoke(low(api_key=key), "draw a fox")
    assert isinstance(caught.value.__cause__, LookupError)
    assert simulator.requests == []
