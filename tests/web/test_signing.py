"""`UrlSigner`: its links, their lifetime, and that its secret stays with it."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from pydantic import SecretBytes, SecretStr

from langchain_imagegen import ImageStore
from langchain_imagegen.errors import OptionError
from langchain_imagegen.web import UrlSigner

SECRET = "a-very-secret-secret-of-the-server"
DIGEST = "ab" * 32


def seconds_of(signer: UrlSigner, query: str) -> int | None:
    """Return how many seconds a link works, or None if it does not."""
    grant = signer.check(DIGEST, parse_qsl(query, keep_blank_values=True))
    return None if grant is None else grant.seconds


@pytest.mark.parametrize("expires", [1, 59, 60.5, 599, 600, 3600, 86_400, 30 * 86_400])
def test_a_link_works_for_about_so_long(expires: float):
    """A link works for `expires` seconds; a long one for at least nine tenths of them, and none much longer."""
    seconds = seconds_of(UrlSigner(SECRET), UrlSigner(SECRET).sign(DIGEST, expires=expires))

    assert seconds is not None
    assert 0.9 * expires - 2 <= seconds <= expires + 1


def test_a_link_expires():
    """A link works no more once its time is over."""
    signer = UrlSigner(SECRET)
    query = signer.sign(DIGEST, expires=1)
    assert seconds_of(signer, query) is not None

    time.sleep(2.1)
    assert seconds_of(signer, query) is None


def test_a_link_stays_the_same_for_a_while():
    """Two links made one after the other are equal, so that a browser keeps the picture between two visits."""
    signer = UrlSigner(SECRET)
    links = {signer.sign(DIGEST, expires=86_400) for _ in range(2)}
    time.sleep(1.1)

    assert len({*links, signer.sign(DIGEST, expires=86_400)}) <= 2  # the border of a tenth may lie in this second


@pytest.mark.parametrize("expires", [0, -1, float("nan"), float("inf")])
def test_a_lifetime_is_positive(expires: float):
    """A link that would never work is not made."""
    with pytest.raises(OptionError, match="expires="):
        UrlSigner(SECRET).sign(DIGEST, expires=expires)


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode(), SecretStr(SECRET), SecretBytes(SECRET.encode())])
def test_forms_of_a_secret(secret: object):
    """A secret may be text, bytes or one of pydantic's secrets; the links are the same."""
    assert seconds_of(UrlSigner(secret), UrlSigner(SECRET).sign(DIGEST)) is not None


def test_a_secret_is_replaced():
    """With a new secret before the old one, new links need the new one and old links still work."""
    both = UrlSigner(["new", "old"])

    assert seconds_of(both, UrlSigner("old").sign(DIGEST)) is not None
    assert seconds_of(UrlSigner("new"), both.sign(DIGEST)) is not None
    assert seconds_of(UrlSigner("old"), both.sign(DIGEST)) is None


@pytest.mark.parametrize("secret", ["", b"", [], ["new", ""]])
def test_an_empty_secret_is_refused(secret: object):
    """A secret that everybody knows signs nothing."""
    with pytest.raises(OptionError, match="secret"):
        UrlSigner(secret)


def test_the_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    """Without a secret the environment variable is read when it is needed; the error names it."""
    signer = UrlSigner()
    with pytest.raises(OptionError, match="LANGCHAIN_IMAGEGEN_URL_SECRET"):
        signer.sign(DIGEST)

    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_URL_SECRET", SECRET)
    assert seconds_of(UrlSigner(SECRET), signer.sign(DIGEST)) is not None


def texts(*objects: object) -> Iterator[str]:
    """Yield how objects are shown."""
    for each in objects:
        yield from (repr(each), str(each), repr(vars(each)))


def test_the_secret_is_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No repr and no pickle of a signer or its store holds the secret; another process has its own."""
    monkeypatch.delenv("LANGCHAIN_IMAGEGEN_URL_SECRET", raising=False)
    signer = UrlSigner(SECRET)
    store = ImageStore(tmp_path, public_url="/{sha256}.{ext}", url_signer=signer)
    pickled = [pickle.dumps(each) for each in (signer, store, store.scoped("a"))]

    key = signer._keys[0].get_secret_value()
    assert not [text for text in texts(signer, store, store.scoped("a")) if SECRET in text or repr(key) in text]
    assert not [each for each in pickled if SECRET.encode() in each or key in each]
    other = pickle.loads(pickled[2])
    with pytest.raises(OptionError, match="does not carry its secret"):
        other.url(DIGEST, "image/png")
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_URL_SECRET", SECRET)
    assert other.url(DIGEST, "image/png").startswith(f"/{DIGEST}.png?scope=a&")


def test_a_copy_signs_too():
    """Copies, deep ones too, are the signer itself."""
    signer = UrlSigner(SECRET)

    assert copy.copy(signer) is copy.deepcopy(signer) is signer


def test_a_signer_needs_the_address_of_the_app(tmp_path: Path):
    """A store with a signer needs a `public_url` with the digest; the error shows one."""
    for template in (None, "https://example.org/{name}"):
        with pytest.raises(OptionError, match=r"public_url='https://…/\{sha256\}\.\{ext\}'"):
            ImageStore(tmp_path, public_url=template, url_signer=UrlSigner(SECRET))


def test_a_template_may_have_a_query(tmp_path: Path):
    """The signature goes behind a query that `public_url` has."""
    store = ImageStore(tmp_path, public_url="/{sha256}.{ext}?v=1", url_signer=UrlSigner(SECRET))

    assert store.url(DIGEST, "image/png").startswith(f"/{DIGEST}.png?v=1&expires=")
