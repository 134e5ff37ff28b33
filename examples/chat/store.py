"""Where the chat keeps its pictures, and what they are drawn with unless the user asks for something else."""

from __future__ import annotations

import os
import secrets

from langchain_imagegen import ImageOptions, ImageStore
from langchain_imagegen.web import UrlSigner

OPTIONS = ImageOptions(quality="medium", size="1024x1024")

# Links work for an hour, and until the server starts again if there is no secret. The page asks for new ones.
signer = UrlSigner(os.environ.get("CHAT_SECRET") or secrets.token_urlsafe())
store = ImageStore(public_url="/images/{sha256}.{ext}", url_signer=signer)
