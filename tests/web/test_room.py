"""What using `langchain_imagegen.web` loads and needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import langchain_imagegen.web

ROOT = Path(__file__).parents[2]

SIGN = (
    "from langchain_imagegen import ImageStore; from langchain_imagegen.web import UrlSigner; "
    "store = ImageStore('pictures', public_url='/{sha256}.{ext}', url_signer=UrlSigner('a secret')); "
    "assert 'signature=' in store.url('ab' * 32, 'image/png'); "
)


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_to_sign_an_address_needs_no_server():
    """Making signed addresses loads neither Starlette nor Pillow, which the extra `web` brings."""
    ended = run(f"{SIGN}print(*{{name.partition('.')[0] for name in sys.modules}})")

    assert not ended.stderr
    assert not {"starlette", "anyio", "uvicorn", "PIL", "itsdangerous"} & set(ended.stdout.split())


def test_the_app_names_its_extra():
    """Without Starlette `images_app` says what to install, and `UrlSigner` works."""
    ended = run(f"sys.modules['starlette'] = None; {SIGN}from langchain_imagegen.web import images_app")

    assert 'ImportError: images_app needs starlette: pip install "langchain_imagegen[web]"' in ended.stderr


def test_names():
    """The room has these names, and no others."""
    assert langchain_imagegen.web.__all__ == ["Grant", "UrlSigner", "images_app"]
    assert all(callable(getattr(langchain_imagegen.web, name)) for name in langchain_imagegen.web.__all__)
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        langchain_imagegen.web.other  # noqa: B018 - the access is what is tested
