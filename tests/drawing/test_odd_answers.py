"""Answers as gateways and proxies spoil them: a picture that came is delivered with a warning and paid for once."""

from __future__ import annotations

import base64
import gzip
import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from langchain_imagegen.errors import ConnectionLostError, ImageGenerationError, OptionError, ServiceError
from langchain_imagegen.simulator import http_error
from tests.drawing.test_errors import PNG, frame
from tests.loopback import JSON, SSE, serving

BASE64 = base64.b64encode(PNG).decode()
LINES = "\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76))
FORMS: dict[str, Any] = {
    "data URL": f"data:image/png;base64,{BASE64}",
    "URL-safe": BASE64.replace("+", "-").replace("/", "_"),
    "unpadded": base64.b64encode(PNG + b"\0" * ((1 - len(PNG)) % 3)).decode().rstrip("="),
    "line breaks": LINES,
    "CRLF": LINES.replace("\n", "\r\n"),
    "line break behind": BASE64 + "\n",
    "data URL, URL-safe": "data:image/png;base64," + BASE64.replace("+", "-").replace("/", "_"),
    "b64_json": {"b64_json": BASE64},
    "nested": {"image": {"data": f"data:image/png;base64,{BASE64}"}},
    "list": [BASE64],
    "list of objects": [{"b64_json": BASE64}],
    "bytes": list(PNG),
}


def document(api: str, picture: Any) -> dict[str, Any]:
    """Return an answer with this in place of its base64."""
    if api == "images":
        return {"created": 1, "data": [{"b64_json": picture}]}
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": picture}
    return {"id": "resp_1", "output": [item], "status": "completed", "usage": {"input_tokens": 1.5}}


def events(picture: Any) -> bytes:
    """Return a stream whose finished picture stands in this form."""
    response = document("responses", picture)
    done = frame({"type": "response.output_item.done", "item": response["output"][0]})
    return done + frame({"type": "response.completed", "response": response})


@contextmanager
def answering(body: bytes, **headers: str) -> Iterator[str]:
    """Yield the base URL of a server that gives this answer with these headers alone, `_` for `-` in names."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name.strip("0").replace("_", "-"), value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("api", ["responses", "images"])
def test_odd_forms(half, generator, api, form):
    """A picture in any form that gateways give it is decoded, with a warning."""
    with serving([json.dumps(document(api, FORMS[form])).encode()], JSON) as server:
        result = half.invoke(generator(base_url=server.base_url, api=api), "a fox")

    assert result.image.read().startswith(PNG)
    assert any("plain base64" in warning for warning in result.warnings)


@pytest.mark.parametrize("form", FORMS)
def test_odd_forms_in_a_stream(half, generator, form):
    """The same in a stream, and the picture comes once."""
    with serving([events(FORMS[form])], SSE) as server:
        result = half.stream(generator(base_url=server.base_url), "a fox")[-1]

    assert [image.read()[: len(PNG)] for image in result.images] == [PNG]
    assert result.warnings


def test_list_of_pictures(half, generator):
    """A gateway that puts several pictures into one field loses none."""
    with serving([json.dumps(document("responses", [BASE64, LINES + "AAAA"])).encode()], JSON) as server:
        result = half.invoke(generator(base_url=server.base_url), "a fox")

    assert len({image.id for image in result.images}) == len(result.images) >= 1


TYPES: list[dict[str, str]] = [
    {},
    {"content_type": "text/plain"},
    {"content_type": "application/octet-stream"},
    {"content_type": "application/json, application/json"},
    {"content_type": "application/json", "content_type0": "text/html"},
    {"content_type": "text/html"},
    {"content_type": "text/event-stream"},
    {"content_type": "application/json"},
]


@pytest.mark.parametrize("headers", TYPES, ids=str)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\r\n\n", b": hello\n\n"], ids=repr)
@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_type_is_read_from_the_bytes(half, generator, headers, mark, way):
    """JSON and event streams are told apart by their bytes, whatever their content type says."""
    body = json.dumps(document("responses", BASE64)).encode() if way == "invoke" else events(BASE64)
    mark = mark if way == "stream" or not mark.startswith(b":") else b""
    with answering(mark + body, **headers) as base_url:
        drawing = generator(base_url=base_url, delivery="stream" if way == "stream" else "direct")
        assert half.invoke(drawing, "a fox").image.read() == PNG


@pytest.mark.parametrize("spoil", ["checksum", "length", "end", "plain", "deflate", "raw deflate", "good"])
@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_compression(half, generator, spoil, way):
    """A wrong checksum or a missing end of a compressed answer, or one that is not compressed, loses no picture."""
    body = json.dumps(document("responses", BASE64)).encode() if way == "invoke" else events(BASE64)
    packed = gzip.compress(body)
    raw = zlib.compressobj(wbits=-15)
    sent = {
        "checksum": packed[:-8] + b"\1\2\3\4" + packed[-4:],
        "length": packed[:-1] + b"\x7f",
        "end": packed[:-8],
        "plain": body,
        "deflate": zlib.compress(body),
        "raw deflate": raw.compress(body) + raw.flush(),
        "good": packed,
    }[spoil]
    encoding = "deflate" if "deflate" in spoil else "gzip"
    with answering(sent, content_type=JSON if way == "invoke" else SSE, content_encoding=encoding) as base_url:
        result = half.invoke(generator(base_url=base_url, delivery="stream" if way == "stream" else "direct"), "a fox")

    assert result.image.read() == PNG
    assert any("compression" in warning for warning in result.warnings) is (spoil in ("checksum", "length"))


def test_compressed_garbage(half, generator):
    """An answer whose compression is damaged before the picture is one of our errors."""
    packed = bytearray(gzip.compress(json.dumps(document("responses", BASE64)).encode()))
    packed[20:400] = b"\xaa" * 380
    damaged = answering(bytes(packed), content_type=JSON, content_encoding="gzip")
    with damaged as base_url, pytest.raises(ImageGenerationError):
        half.invoke(generator(base_url=base_url), "a fox")


def test_unknown_compression(half, generator):
    """An error of the HTTP library's decoder is one of ours, and the request is not repeated."""
    unreadable = answering(b"not brotli", content_type=JSON, content_encoding="br")
    with unreadable as base_url, pytest.raises((ConnectionLostError, ServiceError)):
        half.invoke(generator(base_url=base_url), "a fox")


@pytest.mark.parametrize("behind", ["cut", "stalled"])
@pytest.mark.parametrize("event", ["response.output_item.done", "response.completed"])
def test_cut_within_a_copy(half, generator, event, behind):
    """A stream that breaks off within the copies behind the finished picture gives the picture, with a warning."""
    response = document("responses", BASE64)
    partial = {"type": "response.image_generation_call.partial_image", "item_id": "ig_1", "partial_image_index": 0}
    created = frame({"type": "response.created", "response": {"id": "resp_1", "output": [], "tool_usage": ZEROED}})
    whole = {
        "response.output_item.done": frame({**partial, "partial_image_b64": BASE64}),
        "response.completed": frame({"type": "response.output_item.done", "item": response["output"][0]}),
    }
    fields = {"item": response["output"][0]} if "item" in event else {"response": response}
    copy = frame({"type": event, **fields})
    pieces: list[bytes | float] = [created + whole[event] + copy[: copy.index(BASE64.encode()) + 900]]

    with serving([*pieces, *([5.0] if behind == "stalled" else [])], SSE, whole=behind != "cut") as server:
        result = half.stream(generator(base_url=server.base_url, timeout=0.4), "a fox")[-1]
    assert [image.read() for image in result.images] == [PNG]
    assert (result.image.id, result.response_id) == ("ig_1", "resp_1")
    assert result.warnings
    assert result.image_usage is None
    assert server.posts == 1


ZEROED = {"image_gen": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}}


def test_odd_field_is_named(half, generator):
    """A field of the wrong type is left out, and a warning names it."""
    with serving([json.dumps(document("responses", BASE64) | {"tools": [None]}).encode()], JSON) as server:
        result = half.invoke(generator(base_url=server.base_url), "a fox")

    assert result.usage["input_tokens"] == 0
    assert any("'input_tokens' of the answer is 1.5" in warning for warning in result.warnings)
    assert any("'tools[]' of the answer is null" in warning for warning in result.warnings)


def test_refused_option_keeps_the_facts(half, generator, simulator):
    """A 400 that becomes an `OptionError` keeps code, param and request id, and says which source is meant."""
    fault = {"code": "invalid_image_file", "param": "images[1].image_url", "type": "image_generation_user_error"}
    simulator.script(http_error(400, message="Invalid image data.", **fault))

    with pytest.raises(OptionError, match="source image 2") as caught:
        half.invoke(generator(), "a fox")
    assert (caught.value.code, caught.value.param) == (fault["code"], fault["param"])
    assert caught.value.request_id in str(caught.value)


def test_base_url_without_v1(half, generator, simulator):
    """A 404 on the endpoint itself says that `base_url` may lack `/v1`."""
    with pytest.raises(ServiceError, match="base_url may lack /v1"):
        half.invoke(generator(base_url=simulator.base_url.removesuffix("/v1")), "a fox")


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9/v1", "ftp://127.0.0.1/v1"])
def test_nothing_was_sent(half, generator, base_url):
    """Where nothing was sent, no error says that a picture may have been billed."""
    with pytest.raises(ImageGenerationError) as caught:
        half.invoke(generator(base_url=base_url, max_retries=0), "a fox")
    assert "billed" not in str(caught.value)
