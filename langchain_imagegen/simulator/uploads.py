"""Reads the pictures sent with a request: data URLs, file ids, loopback URLs and multipart fields."""

from __future__ import annotations

import base64
import binascii
import contextlib
import http.client
import ipaddress
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from langchain_imagegen.simulator.errors import ApiError, invalid_image_file, invalid_value
from langchain_imagegen.simulator.storage import Account

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")


@dataclass(frozen=True)
class Field:
    """One field of a multipart body."""

    name: str
    data: bytes
    filename: str | None = None
    content_type: str = "text/plain"


def read_multipart(body: bytes, content_type: str) -> list[Field]:
    """Return the fields of a `multipart/form-data` body, in order."""
    boundary = _parse_header(content_type).get_param("boundary")
    if not isinstance(boundary, str):
        raise ApiError(400, "The multipart body has no boundary.")
    chunks = body.split(b"--" + boundary.encode())[1:-1]
    return [_parse_field(chunk) for chunk in chunks]


def _parse_field(chunk: bytes) -> Field:
    head, _, data = chunk.partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    headers = {name.lower(): value for name, value in lines.items()}
    disposition = _parse_header(headers["content-disposition"])
    return Field(
        str(disposition.get_param("name")),
        data.removesuffix(b"\r\n"),
        disposition.get_filename(),
        headers.get("content-type", "text/plain"),
    )


def _parse_header(value: str) -> Message:
    message = Message()
    message["content-type"] = value
    message["content-disposition"] = value
    return message


def load_image(source: Mapping[str, Any], account: Account, param: str) -> bytes:
    """Return the picture behind `image_url` or `file_id`. Raise the 400 of the Responses API if it cannot be read."""
    data = read_source(source, account, param)
    if is_picture(data):
        return data
    # The text is a guess; the code is in the service's list for failed responses.
    message = "You uploaded an unsupported image. It must be a png, jpeg, gif or webp."
    raise ApiError(400, message, code="invalid_image_format", param=param)


def read_source(source: Mapping[str, Any], account: Account, param: str) -> bytes:
    """Return the bytes behind `image_url` or `file_id`, without checking that they are a picture."""
    url, file_id = source.get("image_url"), source.get("file_id")
    if (url is None) == (file_id is None):
        raise invalid_value(param, f"Exactly one of 'image_url' and 'file_id' is needed in '{param}'.")
    if file_id is not None:
        return _read_file(str(file_id), account, param)
    address = url["url"] if isinstance(url, dict) else str(url)
    if address.startswith("data:"):
        return _decode_data_url(address, param)
    return _download(address, param)


def _read_file(file_id: str, account: Account, param: str) -> bytes:
    if (found := account.files.get(file_id)) is None:
        # Status, code and text are a guess.
        raise ApiError(400, f"File with id '{file_id}' not found.", code="image_file_not_found", param=param)
    return found.data


def _decode_data_url(url: str, param: str) -> bytes:
    match = re.match(r"data:image/[\w.+-]+;base64,", url)
    try:
        return base64.b64decode(url[match.end() :] if match else "!", validate=True)
    except binascii.Error:
        # The text is a guess; the code is in the service's list for failed responses.
        message = f"Invalid '{param}'. Expected a data URL with a base64-encoded image."
        raise ApiError(400, message, code="invalid_base64_image", param=param) from None


def _download(url: str, param: str) -> bytes:
    """Fetch from this machine only, without proxies or redirects, so that the simulator stays offline."""
    try:
        return _fetch(urllib.parse.urlsplit(url))
    except (OSError, ValueError, http.client.HTTPException):
        # The text is a guess.
        message = f"Error while downloading {url}."
        raise ApiError(400, message, code="failed_to_download_image", param=param) from None


def _fetch(url: urllib.parse.SplitResult) -> bytes:
    if url.scheme != "http" or not _is_loopback(url.hostname or ""):
        raise ValueError("not on this machine")
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", urllib.parse.urlunsplit(("", "", url.path or "/", url.query, "")))
        answer = connection.getresponse()
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        return answer.read()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_picture(data: bytes) -> bool:
    """Return True if the data starts like an image format that the service accepts."""
    return data.startswith(_MAGIC)


def edit_image(upload: Field, param: str) -> bytes:
    """Return the picture of a multipart edit. Raise `ApiError` if its media type or its bytes are not an image."""
    if upload.content_type not in {"image/png", "image/jpeg", "image/webp"}:
        message = (
            f"Invalid file '{param}': unsupported mimetype ('{upload.content_type}')."
            " Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'."
        )
        raise ApiError(400, message, code="unsupported_file_mimetype", param=param)
    if is_picture(upload.data):
        return upload.data
    raise invalid_image_file(param, "Invalid image file or mode for image 1, please check your image file.")
