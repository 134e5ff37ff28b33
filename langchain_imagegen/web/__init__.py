"""What a browser sees: the addresses of pictures and the app that serves them. Nothing here draws.

Names are loaded when they are first used, since the app needs the extra `web`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from langchain_imagegen.web.app import images_app as images_app
    from langchain_imagegen.web.gallery import write_gallery as write_gallery
    from langchain_imagegen.web.signing import Grant as Grant
    from langchain_imagegen.web.signing import UrlSigner as UrlSigner

__all__ = ["Grant", "UrlSigner", "images_app", "write_gallery"]

_MODULE_OF = {"images_app": "app", "Grant": "signing", "UrlSigner": "signing", "write_gallery": "gallery"}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(f'{name} needs {error.name}: pip install "langchain_imagegen[web]"') from error
