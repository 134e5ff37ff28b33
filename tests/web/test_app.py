"""`images_app` behind a real socket: pictures with the right headers, in parts, for those who may read them."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.exceptions import HTTPException

from langchain_imagegen import GeneratedImage, ImageStore, PartialImage
from langchain_imagegen.errors import OptionError
from langchain_imagegen.simulator.drawing import draw as paint
from langchain_imagegen.web import UrlSigner, images_app

PNG = paint("a fox", size=(64, 48))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><script>alert(1)</script></svg>'
OTHER = "0" * 64

Serve = Callable[[Any], httpx.Client]


def encoded(format: str) -> bytes:
    """Return a small picture in a format that Pillow writes."""
    data = io.BytesIO()
    Image.new("RGB", (16, 9), "orange").save(data, format)
    return data.getvalue()


PICTURES = {
    "png": (PNG, "image/png"),
    "jpg": (encoded("JPEG"), "image/jpeg"),
    "webp": (encoded("WEBP"), "image/webp"),
    "gif": (encoded("GIF"), "image/gif"),
    "svg": (SVG, "image/svg+xml"),
}


@pytest.fixture
def public(serve: Serve, image_store: ImageStore) -> httpx.Client:
    """A client of an app that serves every picture of `image_store`."""
    return serve(images_app(image_store, public=True))


@pytest.fixture
def fox(image_store: ImageStore) -> str:
    """The path of a picture that the store has."""
    return f"/{image_store.put(PNG).sha256}.png"


# --- the picture


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_has_its_bytes_and_type(public: httpx.Client, image_store: ImageStore, kind: str):
    """`GET` answers with the picture's bytes, with their type, and with headers that keep them for good."""
    data, mime_type = PICTURES[kind]
    sha256 = image_store.put(data).sha256

    answer = public.get(f"/{sha256}.{kind}")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, data, mime_type)
    assert answer.headers["etag"] == f'"{sha256}"'
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == str(len(data))


def test_the_type_is_that_of_the_bytes(public: httpx.Client, image_store: ImageStore):
    """A picture asked for with the extension of another format is served with the type that its bytes have."""
    sha256 = image_store.put(PICTURES["jpg"][0]).sha256

    assert public.get(f"/{sha256}.png").headers["content-type"] == "image/jpeg"
    assert public.get(f"/{sha256}.jpeg").headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("kind", PICTURES)
def test_nothing_runs_in_a_picture(public: httpx.Client, image_store: ImageStore, kind: str):
    """Every picture, an SVG with a script among them, is sandboxed and keeps the type that it was sent with."""
    answer = public.get(f"/{image_store.put(PICTURES[kind][0]).sha256}.{kind}")
    policy = [rule.strip() for rule in answer.headers["content-security-policy"].split(";")]

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert not [rule for rule in policy if "allow-scripts" in rule or "script-src" in rule]


def test_head_has_the_headers_alone(public: httpx.Client, fox: str):
    """`HEAD` answers as `GET` does, without the bytes."""
    told, whole = public.head(fox), public.get(fox)

    assert told.status_code == 200
    assert told.content == b""
    assert {**told.headers, "date": ""} == {**whole.headers, "date": ""}


def test_other_methods_are_refused(public: httpx.Client, fox: str):
    """A picture cannot be written or removed through the app."""
    assert [public.request(method, fox).status_code for method in ("POST", "PUT", "DELETE", "PATCH")] == [405] * 4


# --- parts


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=10-", 10, None), ("bytes=-5", -5, None), ("bytes=5-999999999", 5, None)],
)
def test_ranges(public: httpx.Client, fox: str, asked: str, start: int, stop: int | None):
    """A range is answered with its bytes and says which they are."""
    answer = public.get(fox, headers={"range": asked})
    first = start % len(PNG)

    assert (answer.status_code, answer.content) == (206, PNG[start:stop])
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(PNG)}"


@pytest.mark.parametrize("asked", [f"bytes={len(PNG)}-", "bytes=-0", "bytes=999999-1000000"])
def test_a_range_behind_the_end(public: httpx.Client, fox: str, asked: str):
    """A range that begins behind the end is answered with 416 and the size."""
    answer = public.get(fox, headers={"range": asked})

    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{len(PNG)}"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,4-5", "bytes=5-1", "lines=1-2", "bytes=-", "bytes=x", f"bytes={'9' * 30}-"]
)
def test_ranges_that_are_ignored(public: httpx.Client, fox: str, asked: str):
    """Several ranges, and a header that cannot be read, are answered with the whole picture."""
    answer = public.get(fox, headers={"range": asked})

    assert (answer.status_code, answer.content) == (200, PNG)


def test_a_range_of_another_version(public: httpx.Client, fox: str):
    """`If-Range` gives the part if it names this picture, and otherwise the whole picture."""
    part = {"range": "bytes=0-3"}

    assert public.get(fox, headers={**part, "if-range": f'"{fox[1:65]}"'}).status_code == 206
    assert public.get(fox, headers={**part, "if-range": '"another"'}).status_code == 200
    assert public.get(fox, headers={**part, "if-range": "Wed, 21 Oct 2015 07:28:00 GMT"}).status_code == 200


def test_a_download_is_resumed(public: httpx.Client, image_store: ImageStore):
    """A picture that is fetched in parts of 100,000 bytes is the same as the whole one."""
    data = paint("a large fox", size=(1024, 1024))
    path = f"/{image_store.put(data).sha256}.png"
    starts = range(0, len(data), 100_000)

    parts = [public.get(path, headers={"range": f"bytes={start}-{start + 99_999}"}).content for start in starts]
    assert len(parts) > 1
    assert b"".join(parts) == data == public.get(path).content


# --- what the browser has


@pytest.mark.parametrize("known", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
def test_a_known_picture_is_not_sent_again(public: httpx.Client, fox: str, known: str):
    """`If-None-Match` with the picture's ETag is answered with 304 and no bytes."""
    answer = public.get(fox, headers={"if-none-match": known.format(fox[1:65])})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{fox[1:65]}"'
    assert "immutable" in answer.headers["cache-control"]
    assert "content-type" not in answer.headers


def test_an_unknown_picture_is_sent(public: httpx.Client, fox: str):
    """`If-None-Match` with other ETags is answered with the picture."""
    assert public.get(fox, headers={"if-none-match": '"other", "another"'}).status_code == 200


def test_a_deleted_picture_is_not_confirmed(public: httpx.Client, fox: str, image_store: ImageStore):
    """A browser that asks again for a picture that was deleted is told that there is none."""
    image_store.delete(fox[1:65])

    assert public.get(fox, headers={"if-none-match": f'"{fox[1:65]}"'}).status_code == 404


# --- downloads


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?download", 'attachment; filename="image-{}.png"'),
        ("?download=fox", 'attachment; filename="fox.png"'),
        ("?download=fox.png", 'attachment; filename="fox.png"'),
        ("?download=virus.exe", 'attachment; filename="virus.exe.png"'),
        ("?download=../../.bashrc", 'attachment; filename="__.._.bashrc.png"'),
        ("?download=a%22%0d%0aX:%20y", 'attachment; filename="a_X_ y.png"'),
        ("?download=F%C3%BCchse", "attachment; filename=\"F_chse.png\"; filename*=UTF-8''F%C3%BCchse.png"),
    ],
)
def test_a_download_has_a_safe_name(public: httpx.Client, fox: str, query: str, expected: str):
    """`?download` makes a browser save the picture, under a name without paths and with the picture's extension."""
    answer = public.get(f"{fox}{query}")

    assert answer.headers["content-disposition"] == expected.format(fox[1:13])
    assert answer.content == PNG
    assert "content-disposition" not in public.get(fox).headers


# --- nothing else


def test_everything_else_is_the_same_404(public: httpx.Client, image_store: ImageStore, fox: str):
    """What is no picture of the store gives one answer, which is not kept and tells nothing."""
    sha256 = fox[1:65]
    image_store.put_if_absent("a note", b"secret")
    (Path(image_store.location) / "ledger").mkdir()
    (Path(image_store.location) / "ledger" / f"{OTHER}.done").write_bytes(b"secret")
    paths = [
        f"/{OTHER}.png", f"/{sha256[:-1]}.png", f"/{sha256.upper()}.png", f"/{sha256}", f"/{sha256}.html",
        f"/{sha256}.json", f"/{sha256[:2]}/{sha256}.png", f"/ledger/{OTHER}.done", f"/{OTHER}.done", "/",
        f"/..%2f{sha256}.png", "/%2e%2e/secret.png", f"/{sha256}.png/", f"/{sha256}%00.png", "/notes", "/.partial",
    ]  # fmt: skip
    found = [public.get(path) for path in paths]

    assert {answer.status_code for answer in found} == {404}
    assert {answer.content for answer in found} == {b"Not Found"}
    assert found[0].headers["cache-control"] == "no-store"


@pytest.mark.parametrize("data", [b"<script>alert(1)</script>", b'{"paid": true}', PNG[:-20], b""])
def test_bytes_that_are_no_picture_are_not_served(
    public: httpx.Client, image_store: ImageStore, data: bytes, caplog: Any
):
    """A file that lies where a picture belongs, and has its digest, is served only if it is a whole picture."""
    sha256 = hashlib.sha256(data).hexdigest()
    place = Path(image_store.location) / sha256[:2] / f"{sha256}.png"
    place.parent.mkdir(parents=True)
    place.write_bytes(data)

    with caplog.at_level(logging.WARNING):
        assert public.get(f"/{sha256}.png").status_code == 404
    assert sha256 in caplog.text


def test_a_changed_picture_is_not_served(public: httpx.Client, image_store: ImageStore, fox: str):
    """A picture that was changed on disk is not served, even after it was served and with the file's times set back."""
    place = Path(image_store.location) / fox[1:3] / fox[1:]
    assert public.get(fox).status_code == 200
    before = place.stat()
    place.write_bytes(PNG[:-30] + bytes(12) + PNG[-18:])
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert public.get(fox).status_code == 404
    image_store.put(PNG)
    assert public.get(fox).content == PNG


def test_a_store_that_cannot_be_read(serve: Serve, tmp_path: Path, caplog: Any):
    """A failing store is answered with 503, which is not kept and tells nothing, and is logged."""
    (tmp_path / "file").write_text("no folder")
    client = serve(images_app(ImageStore(tmp_path / "file"), public=True))

    with caplog.at_level(logging.WARNING):
        answer = client.get(f"/{OTHER}.png")
    assert (answer.status_code, answer.text, answer.headers["cache-control"]) == (
        503,
        "Service Unavailable",
        "no-store",
    )
    assert "cannot be read" in caplog.text


def test_the_fallback_is_served(serve: Serve, tmp_path: Path):
    """A picture that is in the fallback of a store alone is served like the others."""
    store = ImageStore(
        tmp_path / "first", fallback=tmp_path / "second", public_url="/{sha256}.{ext}", url_signer=SIGNER
    )
    sha256 = ImageStore(tmp_path / "second").put(PNG).sha256
    client = serve(images_app(store))

    assert client.get(store.url(sha256, "image/png")).content == PNG


# --- who may read

SIGNER = UrlSigner("a secret of the server")


def test_somebody_must_say_who_may_read(image_store: ImageStore):
    """An app that nobody told who may read is not made; the error names the three ways."""
    with pytest.raises(OptionError, match=r"authorize=.*url_signer=.*public=True"):
        images_app(image_store)


def test_a_signed_address_opens_its_picture(serve: Serve, tmp_path: Path):
    """`image.url()` of a store with a signer opens the picture, a partial one too, until it expires."""
    store = ImageStore(tmp_path, public_url="/{sha256}.{ext}", url_signer=SIGNER)
    image = GeneratedImage.of(store.put(PNG), id="ig_1").bind(store)
    partial = PartialImage(index=0, data=PNG, mime_type="image/png", id="ig_1").bind(store)
    client = serve(images_app(store))

    for address in (image.url(), partial.url(expires=60)):
        answer = client.get(address)
        assert (answer.status_code, answer.content) == (200, PNG)
        private, age, immutable = answer.headers["cache-control"].split(", ")
        assert (private, immutable) == ("private", "immutable")
        assert 0 < int(age.removeprefix("max-age=")) <= 3600
    assert client.get(image.url() + "&download").headers["content-disposition"]


def test_no_other_address_opens_it(serve: Serve, image_store: ImageStore, fox: str):
    """Without a signature, with another picture's, a changed or an old one, the answer is that of a missing picture."""
    client = serve(images_app(image_store, url_signer=SIGNER))
    sha256, other = fox[1:65], image_store.put(SVG).sha256
    good = SIGNER.sign(sha256)
    expires, signature = good.split("&")
    later = f"expires={int(expires.partition('=')[2]) + 1}"
    queries = [
        "", expires, signature, SIGNER.sign(other), f"{later}&{signature}", good[:-1], f"{good}A", f"{good}&{expires}",
        f"{good}&scope=a", f"expires=-1&{signature}", f"expires=1e9&{signature}", UrlSigner("another").sign(sha256),
        SIGNER.sign(sha256, scopes=["a"]), f"{expires}&signature=%00%ff",
    ]  # fmt: skip
    found = [client.get(f"{fox}?{query}") for query in queries] + [client.get(f"/{OTHER}.png?{SIGNER.sign(OTHER)}")]

    assert client.get(f"{fox}?{good}").status_code == 200
    assert {(answer.status_code, answer.content) for answer in found} == {(404, b"Not Found")}
    assert len({str({**answer.headers, "date": ""}) for answer in found}) == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_authorize_says_who_may_read(serve: Serve, image_store: ImageStore, fox: str, kind: str):
    """`authorize`, sync or async, sees request and digest; who may not read is told that there is no such picture."""
    asked = []

    def allow(request: Any, sha256: str) -> bool:
        asked.append(sha256)
        return request.headers.get("x-user") == "ann"

    async def aallow(request: Any, sha256: str) -> bool:
        return allow(request, sha256)

    client = serve(images_app(image_store, authorize=allow if kind == "sync" else aallow))

    ann, bob = (client.get(fox, headers={"x-user": name}) for name in ("ann", "bob"))
    missing = client.get(f"/{OTHER}.png", headers={"x-user": "ann"})
    assert (ann.status_code, ann.content) == (200, PNG)
    assert ann.headers["cache-control"].startswith("private, ")
    assert (bob.status_code, bob.content) == (missing.status_code, missing.content) == (404, b"Not Found")
    assert asked == [fox[1:65], fox[1:65], OTHER]


def test_authorize_may_answer_otherwise(serve: Serve, image_store: ImageStore, fox: str):
    """An `HTTPException` of `authorize` is the answer, such as 401 for somebody who is not logged in."""

    def ask_to_log_in(request: Any, sha256: str) -> bool:
        raise HTTPException(401, headers={"www-authenticate": "Basic"})

    assert serve(images_app(image_store, authorize=ask_to_log_in)).get(fox).status_code == 401


def test_a_failing_authorize_lets_nobody_read(serve: Serve, image_store: ImageStore, fox: str):
    """If `authorize` fails, the picture is not served."""

    def fail(request: Any, sha256: str) -> bool:
        raise RuntimeError("no database")

    answer = serve(images_app(image_store, authorize=fail)).get(fox)
    assert answer.status_code == 500
    assert PNG not in answer.content


def test_either_way_suffices(serve: Serve, image_store: ImageStore, fox: str):
    """With both a signer and `authorize`, a signed link works for everybody, and others are asked for."""
    client = serve(images_app(image_store, url_signer=SIGNER, authorize=lambda request, _: "cookie" in request.headers))

    assert client.get(f"{fox}?{SIGNER.sign(fox[1:65])}").status_code == 200
    assert client.get(fox, headers={"cookie": "a=b"}).status_code == 200
    assert client.get(fox).status_code == 404


# --- scopes


def test_a_link_does_not_leave_its_scope(serve: Serve, tmp_path: Path):
    """A link to a tenant's picture opens it, and none of another tenant or of the whole store."""
    store = ImageStore(tmp_path, public_url="/{sha256}.{ext}", url_signer=SIGNER)
    ann, bob = store.scoped("ann"), store.scoped("bob")
    sha256 = ann.put(PNG).sha256
    root, of_ann, of_bob = (serve(images_app(each)) for each in (store, ann, bob))

    link = ann.url(sha256, "image/png")
    assert root.get(link).content == of_ann.get(link).content == PNG
    assert of_bob.get(link).status_code == 404
    for other in (store, bob, ann.scoped("inner"), store.scoped("bob").scoped("ann")):
        assert [client.get(other.url(sha256, "image/png")).status_code for client in (root, of_ann, of_bob)] == [
            404
        ] * 3


def test_scopes_cannot_be_changed(serve: Serve, tmp_path: Path):
    """A link whose scopes were changed, split, joined or left out opens nothing, though the picture is there too."""
    store = ImageStore(tmp_path, public_url="/{sha256}.{ext}", url_signer=SIGNER)
    a, b = store.scoped("a"), store.scoped("b")
    everywhere = [store, a, b, a.scoped("b"), b.scoped("a"), a.scoped("b").scoped("c"), store.scoped("a,b")]
    sha256 = {each.put(PNG).sha256 for each in everywhere}.pop()
    link = a.scoped("b").url(sha256, "image/png")
    client = serve(images_app(store))
    assert client.get(link).status_code == 200

    for changed in ("scope=b&scope=a", "scope=a", "", "scope=a&scope=b&scope=c", "scope=a,b", "scope=../x"):
        assert client.get(link.replace("scope=a&scope=b", changed)).status_code == 404


def test_a_store_for_each_request(serve: Serve, image_store: ImageStore):
    """A function can choose the store by request, so that each tenant reaches its own pictures alone."""

    async def store_of(request: Any) -> ImageStore:
        return image_store.scoped(request.headers["x-tenant"])

    client = serve(images_app(store_of, authorize=lambda request, sha256: True))
    path = f"/{image_store.scoped('ann').put(PNG).sha256}.png"

    assert client.get(path, headers={"x-tenant": "ann"}).content == PNG
    assert client.get(path, headers={"x-tenant": "bob"}).status_code == 404


# --- pages of other origins


def test_other_origins_are_named(serve: Serve, image_store: ImageStore, fox: str):
    """Scripts of the origins that were named, and of no others, may read pictures and their ranges."""
    client = serve(images_app(image_store, public=True, allow_origins=["https://chat.example"]))
    preflight = {"access-control-request-method": "GET", "access-control-request-headers": "range"}

    mine, other = (client.get(fox, headers={"origin": f"https://{host}.example"}) for host in ("chat", "evil"))
    assert mine.headers["access-control-allow-origin"] == "https://chat.example"
    assert "Content-Range" in mine.headers["access-control-expose-headers"]
    assert mine.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in other.headers
    asked = client.options(fox, headers={"origin": "https://chat.example", **preflight})
    assert asked.status_code == 200
    assert "Range" in asked.headers["access-control-allow-headers"]
    assert client.options(fox, headers={"origin": "https://evil.example", **preflight}).status_code == 400


@pytest.mark.parametrize(("origins", "expected"), [(["https://chat.example"], "true"), (["*"], None)])
def test_cookies_of_other_origins(serve: Serve, image_store: ImageStore, fox: str, origins: list[str], expected: str):
    """Cookies may be sent from origins that were named, and never from all origins."""
    client = serve(images_app(image_store, authorize=lambda request, sha256: True, allow_origins=origins))
    answer = client.get(fox, headers={"origin": "https://chat.example"})

    assert answer.headers.get("access-control-allow-credentials") == expected
