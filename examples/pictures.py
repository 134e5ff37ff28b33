"""The store of the agents' pictures, and the app that gives each an address: `http.app` in langgraph.json.

The server loads this file on its own and the agents import it, so the secret that signs addresses is in the
environment, where both find it. Set `LANGCHAIN_IMAGEGEN_URL_SECRET` if several servers share the pictures.
"""

from __future__ import annotations

import os
import secrets

from starlette.applications import Starlette
from starlette.routing import Mount

from langchain_imagegen import ImageStore
from langchain_imagegen.web import UrlSigner, images_app

os.environ.setdefault("LANGCHAIN_IMAGEGEN_URL_SECRET", secrets.token_urlsafe(32))

store = ImageStore(public_url="/images/{sha256}.{ext}", url_signer=UrlSigner())
app = Starlette(routes=[Mount("/images", images_app(store))])
