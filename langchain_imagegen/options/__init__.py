"""What can be asked for: options, requests, rules, sizes, and facts about image models. Pure values."""


def __getattr__(name: str) -> object:
    """Pickles of version 0.1 name this room as the module of `ImageOptions` and `ImageRequest`."""
    from langchain_imagegen._moved import look_up

    return look_up("options", name)
