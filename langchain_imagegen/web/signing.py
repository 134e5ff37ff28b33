"""`UrlSigner`: links that let whoever has them read one picture for some time. It knows no server and no store."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretBytes, SecretStr

from langchain_imagegen.errors import OptionError
from langchain_imagegen.storage.uncopied import Uncopied

ENVIRONMENT_VARIABLE = "LANGCHAIN_IMAGEGEN_URL_SECRET"

Secret = str | bytes | SecretStr | SecretBytes

_PURPOSE = b"langchain_imagegen.web.UrlSigner"  # so that a secret that signs other things too signs them differently
_SIGNED = 24  # bytes of the digest that a link has; half of it would do (RFC 2104, section 5)
_STEADY = 600  # seconds; links that work for longer change only ten times in this time
_LATEST = 10**12  # seconds since 1970


@dataclass(frozen=True)
class Grant:
    """What a valid link allows: to read a picture in a store's scope, for so many seconds from now."""

    scopes: tuple[str, ...]
    seconds: int


class UrlSigner(Uncopied):
    """Signs and checks links to pictures, with HMAC-SHA256 over digest, scope and time of expiry.

    The secret is in no repr, and in no pickle: another process takes it from its own environment.

    Args:
        secret: At least 32 random characters, as from `secrets.token_urlsafe(32)`. Of several, the first one signs and
            all are accepted, so that a secret can be replaced while links with the old one are in use. `None` is what
            the environment variable `LANGCHAIN_IMAGEGEN_URL_SECRET` says when a link is signed or checked.

    Raises:
        OptionError: A secret is empty.
    """

    def __init__(self, secret: Secret | Sequence[Secret] | None = None) -> None:
        given = () if secret is None else (secret,) if isinstance(secret, Secret) else tuple(secret)
        self._keys = tuple(_key_of(each) for each in given)
        if secret is not None and not self._keys:
            raise OptionError("UrlSigner() needs a secret: secrets.token_urlsafe(32) makes one")

    def sign(self, sha256: str, *, scopes: Sequence[str] = (), expires: int = 3600) -> str:
        """Return the query of a link, such as `expires=1767225600&signature=…`.

        Links that work for ten minutes or longer stay the same for a tenth of that time, so that browsers keep their
        pictures; they work for at least nine tenths of `expires`.

        Args:
            sha256: The digest of the picture.
            scopes: The scopes that lead to the store that has the picture, the outermost first.
            expires: How many seconds the link works.

        Raises:
            OptionError: `expires` is not positive, or there is no secret.
        """
        if not 0 < expires < _LATEST:
            raise OptionError(f"expires={expires!r} is no number of seconds for which a link works")
        last = math.ceil(time.time() + expires)
        if expires >= _STEADY:
            last -= last % (int(expires) // 10)
        signature = _signature(self._all_keys()[0], sha256, tuple(scopes), last)
        return urlencode([*(("scope", scope) for scope in scopes), ("expires", last), ("signature", signature)])

    def check(self, sha256: str, query: Iterable[tuple[str, str]]) -> Grant | None:
        """Return what a link allows, or None if it has expired or was not signed for this picture.

        Args:
            sha256: The digest of the picture that is asked for.
            query: Names and values in the query of the link, in order; unknown names are ignored.

        Raises:
            OptionError: There is no secret.
        """
        pairs = list(query)
        scopes = tuple(value for name, value in pairs if name == "scope")
        expires, signatures = ([value for name, value in pairs if name == each] for each in ("expires", "signature"))
        keys = self._all_keys()
        if len(expires) != 1 or len(signatures) != 1 or not _is_time(expires[0]):
            return None
        last, given = int(expires[0]), signatures[0].encode(errors="replace")
        valid = [hmac.compare_digest(_signature(key, sha256, scopes, last).encode(), given) for key in keys]
        seconds = math.floor(last - time.time())
        return Grant(scopes, seconds) if any(valid) and seconds >= 0 else None

    def _all_keys(self) -> tuple[SecretBytes, ...]:
        if self._keys:
            return self._keys
        secret = os.environ.get(ENVIRONMENT_VARIABLE)
        if not secret:
            raise OptionError(
                f"UrlSigner() has no secret: set the environment variable {ENVIRONMENT_VARIABLE}, or pass one; a "
                "pickled signer does not carry its secret to another process"
            )
        return (_key_of(secret),)

    def __repr__(self) -> str:
        return "UrlSigner()"

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        UrlSigner.__init__(self, **state)


def _key_of(secret: Secret) -> SecretBytes:
    """Return the key that a secret gives.

    Raises:
        OptionError: the secret is empty.
    """
    plain = secret.get_secret_value() if isinstance(secret, (SecretStr, SecretBytes)) else secret
    encoded = plain.encode() if isinstance(plain, str) else plain
    if not encoded:
        raise OptionError("the secret of UrlSigner is empty: secrets.token_urlsafe(32) makes one")
    return SecretBytes(hmac.digest(encoded, _PURPOSE, hashlib.sha256))


def _signature(key: SecretBytes, sha256: str, scopes: tuple[str, ...], last: int) -> str:
    """Return the signature; the JSON of the scopes keeps `("a", "b")` apart from every other list."""
    message = json.dumps([sha256, scopes, last]).encode()
    signed = hmac.digest(key.get_secret_value(), message, hashlib.sha256)
    return base64.urlsafe_b64encode(signed[:_SIGNED]).decode()


def _is_time(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 12 and str(int(text)) == text
