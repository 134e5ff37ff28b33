"""The addresses that browsers use for pictures: a template, and a signature where there is a signer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from langchain_imagegen.errors import OptionError
from langchain_imagegen.storage.keys import name_of_scope


class LinkSigner(Protocol):
    """Makes the query that lets a browser read one picture for some time, such as `web.UrlSigner`."""

    def sign(self, sha256: str, *, scopes: Sequence[str] = (), expires: int = 3600) -> str:
        """Return the query of a link: to the picture with this digest, in this scope, for so many seconds."""


@dataclass(frozen=True)
class PublicUrls:
    """The addresses of one store's pictures.

    Args:
        template: An address with `{name}`, or `{sha256}` and `{ext}`, in place of what names a picture.
        signer: Adds a query to each address; the template must then hold `{sha256}`.

    Raises:
        OptionError: the template does not name the picture or has unknown fields, or the signer has no use for it.
    """

    template: str | None = None
    signer: LinkSigner | None = None

    def __post_init__(self) -> None:
        if self.template is not None and not _names_a_picture(self.template):
            raise OptionError(
                f"public_url={self.template!r} must hold {{name}}, or {{sha256}} and {{ext}}, and no other field"
            )
        if self.signer is not None and "{sha256}" not in (self.template or ""):
            raise OptionError(
                f"url_signer signs links to images_app, so public_url={self.template!r} must be that app's address: "
                "public_url='https://…/{sha256}.{ext}'"
            )

    def of(self, name: str, scopes: Sequence[str], expires: int) -> str | None:
        """Return the address of the picture with this key, in a scope within scopes of the place; None without one.

        Args:
            name: The key, such as `ab/abcd….png`.
            scopes: The scopes, the outermost first.
            expires: How many seconds a signed address works.
        """
        if self.template is None:
            return None
        path = "".join(f"{quote(name_of_scope(scope))}/" for scope in scopes) + name
        sha256, _, extension = name.rpartition("/")[2].partition(".")
        url = self.template.format(name=path, sha256=sha256, ext=extension)
        if self.signer is None:
            return url
        query = self.signer.sign(sha256, scopes=scopes, expires=expires)
        return f"{url}{'&' if '?' in url else '?'}{query}"


def _names_a_picture(template: str) -> bool:
    try:
        return "\0" in template.format(name="\0", sha256="\0", ext="")
    except (KeyError, IndexError, ValueError, AttributeError):
        return False
