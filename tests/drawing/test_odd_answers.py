"""Answers that gateways and proxies alter: a picture that arrived is returned with a warning, after one request."""

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
from tests.framed import serve_body
from tests.loopback import JSON, SSE, serving

BASE64 = base64.b64encode(PNG).decode()
LINES = "\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76))
FORMS: dict[str, Any] = {
    "data URL": f"data:image/png;base64,{BASE64}",
    "URL-safe": BASE64.replace("+", "-").replace("/", "_"),
    "unpadded": base64.b64encode(PNG + b"\0" * ((1 - len(PNG)) % 3)).decode().rstrip("="),
    "line breaks": LINES,
    "CRLF": LINES.replace("\n", "\r\n"),
    "trailing line break": BASE64 + "\n",
    "data URL, URL-safe": "data:image/png;base64," + BASE64.replace("+", "-").replace("/", "_"),
    "b64_json": {"b64_json": BASE64},
    "nested": {"image": {"data": f"data:image/png;base64,{BASE64}"}},
    "list": [BASE64],
    "list of objects": [{"b64_json": BASE64}],
    "bytes": list(PNG),
}


def document(api: str, picture: Any) -> dict[str, Any]:
    """Return an answer of the API that has `picture` where its base64 belongs."""
    if api == "images":
        return {"created": 1, "data": [{"b64_json": picture}]}
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": picture}
    return {"id": "resp_1", "output": [item], "status": "completed", "usage": {"input_tokens": 1.5}}


def events(picture: Any) -> bytes:
    """Return a stream of events that has `picture` where the base64 of its finished picture belongs."""
    response = document("responses", picture)
    done = frame({"type": "response.output_item.done", "item": response["output"][0]})
    return done + frame({"type": "response.completed", "response": response})


@contextmanager
def serve_exactly(body: bytes, **headers: str) -> Iterator[str]:
    """Yield the base URL of a server that answers with this body and only these headers.

    In a header's name `_` stands for `-`, and a trailing `0` is dropped, so that a header can be sent twice.
    """

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
def test_other_encodings_of_a_picture(half, generator, api, form):
    """A picture in any encoding that gateways were seen to use is decoded, with a warning."""
    with serving([json.dumps(document(api, FORMS[form])).encode()], JSON) as server:
        result = half.invoke(generator(base_url=server.base_url, api=api), "a fox")

    assert result.image.read().startswith(PNG)
    assert any("plain base64" in warning for warning in result.warnings)


@pytest.mark.parametrize("form", FORMS)
def test_other_encodings_of_a_streamed_picture(half, generator, form):
    """A streamed picture in any such encoding is decoded once, with a warning."""
    with serving([events(FORMS[form])], SSE) as server:
        result = half.stream(generator(base_url=server.base_url), "a fox")[-1]

    assert [image.read()[: len(PNG)] for image in result.images] == [PNG]
    assert result.warnings


def test_several_pictures_in_one_field(half, generator):
    """If the field of one picture holds a list of two, both are returned."""
    comment = b"tEXta\0b"
    other = PNG[:-12] + b"\0\0\0\3" + comment + zlib.crc32(comment).to_bytes(4) + PNG[-12:]
    answer = document("responses", [BASE64, base64.b64encode(other).decode()])
    with serving([json.dumps(answer).encode()], JSON) as server:
        result = half.invoke(generator(base_url=server.base_url), "a fox")

    assert [image.read() for image in result.images] == [PNG, other]
    assert len({image.id for image in result.images}) == 2


CONTENT_TYPES: list[dict[str, str]] = [
    {},
    {"content_type": "text/plain"},
    {"content_type": "application/octet-stream"},
    {"content_type": "application/json, application/json"},
    {"content_type": "application/json", "content_type0": "text/html"},
    {"content_type": "text/html"},
    {"content_type": "text/event-stream"},
    {"content_type": "application/json"},
]


@pytest.mark.parametrize("headers", CONTENT_TYPES, ids=str)
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf", b"\r\n\n", b": hello\n\n"], ids=repr)
@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_content_type_is_ignored(half, generator, headers, prefix, way):
    """JSON and event streams are recognized by their bytes, whatever their content type says."""
    body = json.dumps(document("responses", BASE64)).encode() if way == "invoke" else events(BASE64)
    prefix = prefix if way == "stream" or not prefix.startswith(b":") else b""
    with serve_exactly(prefix + body, **headers) as base_url:
        drawing = generator(base_url=base_url, delivery="stream" if way == "stream" else "direct")
        assert half.invoke(drawing, "a fox").image.read() == PNG


@pytest.mark.parametrize("defect", ["checksum", "length", "end", "plain", "deflate", "raw deflate", "none"])
@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_defects_of_compression(half, generator, defect, way):
    """A picture survives a wrong checksum, a missing trailer and a false `content-encoding`."""
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
        "none": packed,
    }[defect]
    encoding = "deflate" if "deflate" in defect else "gzip"
    with serve_exactly(sent, content_type=JSON if way == "invoke" else SSE, content_encoding=encoding) as base_url:
        result = half.invoke(generator(base_url=base_url, delivery="stream" if way == "stream" else "direct"), "a fox")

    assert result.image.read() == PNG
    assert any("compression" in warning for warning in result.warnings) is (defect in ("checksum", "length"))


def test_compressed_garbage(half, generator):
    """Compressed data that is damaged before the picture raises an `ImageGenerationError`."""
    packed = bytearray(gzip.compress(json.dumps(document("responses", BASE64)).encode()))
    packed[20:400] = b"\xaa" * 380
    damaged = serve_exactly(bytes(packed), content_type=JSON, content_encoding="gzip")
    with damaged as base_url, pytest.raises(ImageGenerationError):
        half.invoke(generator(base_url=base_url), "a fox")


def test_unknown_compression(half, generator):
    """A body that cannot be decompressed raises one of our errors, after one request."""
    with serve_body(b"not brotli", JSON, encoding="br", mislabelled=True) as server:
        with pytest.raises((ConnectionLostError, ServiceError)):
            half.invoke(generator(base_url=server.base_url), "a fox")
        assert len(server.requests) == 1


@pytest.mark.parametrize("end", ["cut", "stalled"])
@pytest.mark.parametrize("event", ["response.output_item.done", "response.completed"])
def test_cut_within_a_copy_of_the_picture(half, generator, event, end):
    """A stream that ends within a second copy of its finished picture returns the picture, with a warning."""
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

    with serving([*pieces, *([5.0] if end == "stalled" else [])], SSE, whole=end != "cut") as server:
        result = half.stream(generator(base_url=server.base_url, timeout=0.4), "a fox")[-1]
    assert [image.read() for image in result.images] == [PNG]
    assert (result.image.id, result.response_id) == ("ig_1", "resp_1")
    assert result.warnings
    assert result.image_usage is None
    assert server.posts == 1


ZEROED = {"image_gen": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}}


def test_field_of_the_wrong_type(half, generator):
    """A field of the wrong type is ignored, and a warning names it."""
    with serving([json.dumps(document("responses", BASE64) | {"tools": [None]}).encode()], JSON) as server:
        result = half.invoke(generator(base_url=server.base_url), "a fox")

    assert result.usage["input_tokens"] == 0
    assert any("'input_tokens' of the answer is 1.5" in warning for warning in result.warnings)
    assert any("'tools[]' of the answer is null" in warning for warning in result.warnings)


def test_option_error_keeps_code_and_request_id(half, generator, simulator):
    """A 400 that becomes an `OptionError` keeps its code, param and request id, and names the refused source."""
    fault = {"code": "invalid_image_file", "param": "images[1].image_url", "type": "image_generation_user_error"}
    simulator.script(http_error(400, message="Invalid image data.", **fault))

    with pytest.raises(OptionError, match="source image 2") as caught:
        half.invoke(generator(), "a fox")
    assert (caught.value.code, caught.value.param) == (fault["code"], fault["param"])
    assert caught.value.request_id in str(caught.value)


def test_base_url_without_v1(half, generator, simulator):
    """A 404 of the endpoint itself raises an error that says `base_url` may lack `/v1`."""
    with pytest.raises(ServiceError, match="base_url may lack /v1"):
        half.invoke(generator(base_url=simulator.base_url.removesuffix("/v1")), "a fox")


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9/v1", "ftp://127.0.0.1/v1"])
def test_unsent_request_is_not_called_billed(half, generator, base_url):
    """If nothing could be sent, the error does not say that a picture may have been billed."""
    with pytest.raises(ImageGenerationError) as caught:
        half.invoke(generator(base_url=base_url, max_retries=0), "a fox")
    assert "billed" not in str(caught.value)
