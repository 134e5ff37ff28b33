"""Experiments in notebooks: variations drawn as one batch, seen as a contact sheet, kept by name. No page of an app."""

_MODULE_OF = {"Cell": "cell", "Experiment": "experiment", "Sheet": "experiment", "Variation": "plan"}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
