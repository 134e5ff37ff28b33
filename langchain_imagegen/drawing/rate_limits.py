"""The caller's rate limiter: its permission is taken before each request that may be billed, and it can be pickled."""

from __future__ import annotations

from functools import partial
from typing import Any

from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter

from langchain_imagegen.drawing.steps import Call, Step
from langchain_imagegen.errors import RateLimitError


class Permissions:
    """Takes the permission of a rate limiter for each step that may be billed; without a limiter there is no wait.

    Raises:
        RateLimitError: The limiter gave up waiting.
    """

    def __init__(self, limiter: BaseRateLimiter | None) -> None:
        self._limiter = limiter

    def acquire(self, step: Step) -> None:
        """Wait until the limiter permits the step. Only a `Call` may be billed."""
        if self._limiter is not None and isinstance(step, Call):
            _check(self._limiter.acquire())

    async def aacquire(self, step: Step) -> None:
        """Async twin of `acquire`."""
        if self._limiter is not None and isinstance(step, Call):
            _check(await self._limiter.aacquire())


def _check(permitted: object) -> None:
    if not permitted:
        raise RateLimitError("the rate limiter of rate_limiter= gave no permission, so nothing was sent")


class Remade:
    """Stands for an `InMemoryRateLimiter` in a pickle, since its lock cannot be pickled.

    Unpickling it gives a new limiter with the same rate, which counts the requests of its own process.
    """

    def __init__(self, limiter: InMemoryRateLimiter) -> None:
        self._limiter = limiter

    def __reduce__(self) -> tuple[Any, ...]:
        names = ("requests_per_second", "check_every_n_seconds", "max_bucket_size")
        return partial(InMemoryRateLimiter, **{name: getattr(self._limiter, name) for name in names}), ()


def for_pickle(limiter: BaseRateLimiter | None) -> object:
    """Return what stands for the limiter in a pickle; one of your own class must be picklable itself."""
    return Remade(limiter) if type(limiter) is InMemoryRateLimiter else limiter
