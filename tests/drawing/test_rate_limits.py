"""`rate_limiter=`: each request that may be billed waits for its permission, and copies share the limiter."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter

from langchain_imagegen import ImageGenerationTool, ImageGenerator
from langchain_imagegen.errors import OptionError, RateLimitError
from langchain_imagegen.simulator import Simulator, http_error, rate_limited

Make = Callable[..., ImageGenerator]


class Counter(BaseRateLimiter):
    """A limiter of one's own that counts its permissions and gives out at most `limit`."""

    def __init__(self, limit: int = 100) -> None:
        self.given, self.limit = 0, limit

    def acquire(self, *, blocking: bool = True) -> bool:
        """Count one permission."""
        del blocking
        self.given += 1
        return self.given <= self.limit

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Async twin of `acquire`."""
        return self.acquire(blocking=blocking)


@pytest.mark.parametrize("how", ["invoke", "stream", "batch"])
def test_each_request_waits_for_a_permission(how: str, half: Any, low: Make, simulator: Simulator):
    """Retries need a permission too, so the limiter counts as many as the service receives requests."""
    limiter = Counter()
    simulator.script(rate_limited(0.01))
    drawing = low(rate_limiter=limiter)
    getattr(half, how)(drawing, ["a fox", "an owl"] if how == "batch" else "a fox")

    assert limiter.given == len(simulator.requests) == simulator.pictures + 1


def test_an_edit_that_falls_back_to_bytes_needs_two(half: Any, low: Make, simulator: Simulator):
    """An edit that is sent again because the service lost the picture waits for a second permission."""
    limiter = Counter()
    drawing = low(rate_limiter=limiter)
    fox = half.invoke(drawing, "draw a fox")
    simulator.script(http_error(404, message=f"Item with id '{fox.image.id}' not found."))
    half.invoke(drawing, "make it winter", images=[fox])

    assert limiter.given == len(simulator.requests) == 3


def test_the_limit_holds_across_a_batch(half: Any, low: Make, simulator: Simulator):
    """Four parallel pictures at 20 a second take at least 150 ms."""
    limiter = InMemoryRateLimiter(requests_per_second=20, check_every_n_seconds=0.005, max_bucket_size=1)
    start = time.monotonic()
    half.batch(low(rate_limiter=limiter), ["draw a fox"] * 4)

    assert time.monotonic() - start >= 0.15
    assert simulator.pictures == 4


def test_parallel_tool_calls_share_the_limit(half: Any, low: Make, simulator: Simulator):
    """The calls of a tool use the limiter of its generator."""
    limiter = Counter()
    half.batch(ImageGenerationTool(generator=low(rate_limiter=limiter)), [{"prompt": "a fox"}, {"prompt": "an owl"}])

    assert limiter.given == simulator.pictures == 2


def test_a_limiter_that_gives_up(half: Any, low: Make, simulator: Simulator):
    """If the limiter gives no permission, nothing is sent and the error says so."""
    with pytest.raises(RateLimitError, match="nothing was sent") as caught:
        half.invoke(low(rate_limiter=Counter(0), max_retries=0), "draw a fox")
    assert caught.value.may_be_billed is False
    assert simulator.requests == []


def test_copies_share_the_limiter(low: Make):
    """A copy of a generator shares its limiter, so that both together keep the limit."""
    limiter = InMemoryRateLimiter()
    drawing = low(rate_limiter=limiter)

    assert copy.copy(drawing).rate_limiter is limiter
    assert copy.deepcopy(drawing).rate_limiter is limiter
    assert drawing.model_copy(update={"model": "gpt-5"}).rate_limiter is limiter
    assert drawing.bind(quality="low").bound.rate_limiter is limiter


def test_a_pickle_keeps_the_rate(low: Make, generators: list[ImageGenerator]):
    """In another process an `InMemoryRateLimiter` starts anew at the same rate, since its lock cannot be pickled."""
    drawing = low(rate_limiter=InMemoryRateLimiter(requests_per_second=0.5, max_bucket_size=7))
    other = pickle.loads(pickle.dumps(drawing))
    generators.append(other)

    assert isinstance(other.rate_limiter, InMemoryRateLimiter)
    assert (other.rate_limiter.requests_per_second, other.rate_limiter.max_bucket_size) == (0.5, 7)
    assert drawing.rate_limiter.acquire(blocking=False) is False


def test_a_limiter_of_ones_own_is_pickled_itself(low: Make, generators: list[ImageGenerator]):
    """A limiter of another class goes into the pickle as it is."""
    other = pickle.loads(pickle.dumps(low(rate_limiter=Counter(3))))
    generators.append(other)

    assert other.rate_limiter.limit == 3


def test_the_limiter_is_in_no_dump(low: Make):
    """Dumps and `repr` leave the limiter out."""
    drawing = low(rate_limiter=InMemoryRateLimiter())

    assert "rate_limiter" not in drawing.model_dump()
    assert "RateLimiter" not in repr(drawing)


def test_another_object_is_refused():
    """What is no limiter is an `OptionError` that names the setting."""
    with pytest.raises(OptionError, match="rate_limiter"):
        ImageGenerator(rate_limiter=5)
