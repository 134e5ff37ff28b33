"""Limits on pictures and dollars, for each run and each thread: what is drawn, what is being drawn, and what is left.

- A thread has drawn what its state holds. A branch of it has drawn what the branch's own past holds.
- A run is the user's last message with all that follows it: answers, resumptions after an interrupt, and executions of
  the same step again. LangGraph's server also names its runs, so that sub-agents count towards the run that they are
  in.
- What calls of the same step of the outermost graph draw is in no state yet, so this process counts it. A call keeps
  its one place when its step is executed again, and gives it back when it certainly drew nothing.

Outside a graph each tool counts the calls of its own. Another process's calls of the same step are not known here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, get_args

from langchain_imagegen.errors import LimitError, OptionError
from langchain_imagegen.images.cost import Cost, read_dollars
from langchain_imagegen.images.prices import load_prices
from langchain_imagegen.options.options import ImageOptions

Scope = Literal["run", "thread"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_REMEMBERED = 1024  # steps and runs whose calls are known


@dataclass(frozen=True)
class Limits:
    """The most pictures and dollars of a run and of a thread; a scope without a limit is not there."""

    images: Mapping[Scope, int] = field(default_factory=dict)
    dollars: Mapping[Scope, Decimal] = field(default_factory=dict)

    @classmethod
    def read(cls, max_images: Any = None, max_cost: Any = None) -> Limits:
        """Return the limits that a developer wrote: one value for a run, or `{"run": …, "thread": …}`.

        Raises:
            OptionError: It is no number of pictures, or no amount.
        """
        limits = cls(_by_scope("max_images", max_images, _count), _by_scope("max_cost", max_cost, read_dollars))
        if limits.dollars:
            load_prices()
        return limits

    def __bool__(self) -> bool:
        return bool(self.images or self.dollars)


@dataclass
class Entry:
    """What one call draws: pictures under way, or those that came; and dollars, estimated until they are known."""

    count: int = 0
    dollars: Decimal = Decimal(0)
    ids: frozenset[str] = frozenset()

    @property
    def is_under_way(self) -> bool:
        """True until the call has its pictures."""
        return not self.ids


Register = dict[Hashable, Entry]
"""The calls of one step or run, by what names them."""


@dataclass(frozen=True)
class Drawn:
    """What the state says was drawn: ids of pictures, and dollars, in the run and in the thread."""

    ids: Mapping[Scope, frozenset[str]]
    dollars: Callable[[Scope], Decimal]


class Budget:
    """What one call may draw; the calls beside it are counted too.

    Args:
        limits: The limits.
        drawn: What was drawn before.
        registers: The registers that the call is counted in, and the scopes that each of them counts for.
        call: What names the call; the same call made again has the same place.
    """

    def __init__(
        self, limits: Limits, drawn: Drawn, registers: Mapping[tuple[Scope, ...], Register], call: Hashable
    ) -> None:
        self._limits, self._drawn, self._registers, self._call = limits, drawn, registers, call
        self._entry = Entry()

    def take(self, options: ImageOptions, *, sources: int, prompt: str, model: str | None) -> None:
        """Count the picture of a request that is about to be sent; see `drawing.allowances.Allowance`."""
        price = self._price(options, sources=sources, prompt=prompt, model=model)
        with _here().counting:
            for problem in self._problems(price):
                raise problem
            self._entry.count += 1
            self._entry.dollars += price
            self._register()

    def give_back(self) -> None:
        """Note that the request certainly drew nothing."""
        with _here().counting:
            self._entry = Entry()
            for register in self._registers.values():
                register.pop(self._call, None)

    def take_all(self, options: ImageOptions, *, sources: int, model: str | None) -> int | None:
        """Count all pictures that are left, for a hosted call that may draw any number; return how many they are.

        Returns:
            None if only dollars are limited and the pictures cost nothing.

        Raises:
            LimitError: None is left.
        """
        price = self._price(options, sources=sources, prompt="", model=model)
        with _here().counting:
            self._entry = Entry()
            for problem in self._problems(price):
                raise problem
            left = [most - self._count(scope) for scope, most in self._limits.images.items()]
            if price:
                left += [int((most - self._spent(scope)) / price) for scope, most in self._limits.dollars.items()]
            most_left = min(left, default=None)
            self._entry = Entry(most_left or 0, price * (most_left or 0))
            self._register()
        return most_left

    def settle(self, ids: Iterable[str], cost: Callable[[], Cost] | None) -> None:
        """Note the pictures that the call has, and what they cost if that is known; else the estimate stays.

        Args:
            ids: The pictures.
            cost: Returns what they cost, and is called if dollars are limited. None if the call had bought them before;
                pictures from elsewhere are neither, and do not count.
        """
        dollars = cost().total if cost is not None and self._limits.dollars else None
        with _here().counting:
            if not self._entry.count and cost is not None:
                return
            self._entry.ids = frozenset(ids)
            if dollars is not None:
                self._entry.dollars = dollars
            self._register()

    def settle_all(self, ids: Iterable[str], dollars: Decimal | None) -> None:
        """Note the pictures of a hosted call, and give back what it did not draw."""
        drawn = frozenset(ids)
        if not drawn:
            self.give_back()
            return
        with _here().counting:
            price = self._entry.dollars / self._entry.count if self._entry.count else Decimal(0)
            self._entry = Entry(len(drawn), price * len(drawn) if dollars is None else dollars, drawn)
            self._register()

    def _price(self, options: ImageOptions, **facts: Any) -> Decimal:
        """Return what a picture costs at most; zero if dollars are not limited.

        Raises:
            LimitError: It is not known.
        """
        if not self._limits.dollars:
            return Decimal(0)
        from langchain_imagegen.drawing.estimate import estimate

        cost = estimate(options, **facts)
        if cost.total is None:
            raise LimitError(
                f"dollars are limited, and what this picture would cost is not known ({cost.reason}); tell the user",
                limit="max_cost",
                scope=next(iter(self._limits.dollars)),
            )
        return cost.total

    def _problems(self, price: Decimal) -> Iterator[LimitError]:
        from langchain_imagegen.images.cost import dollars

        for scope, most in self._limits.images.items():
            drawn = self._count(scope)
            if drawn >= most:
                how = "drawn or being drawn" if any(entry.is_under_way for entry in self._others(scope)) else "drawn"
                words = f"{drawn} of {most} pictures of this {scope} are {how}; tell the user"
                yield LimitError(words, limit="max_images", scope=scope)
        for scope, amount in self._limits.dollars.items():
            spent = self._spent(scope)
            if spent + price > amount:
                words = (
                    f"{dollars(spent)} of {dollars(amount)} of this {scope} are spent and the picture may cost "
                    f"{dollars(price)}; tell the user"
                )
                yield LimitError(words, limit="max_cost", scope=scope)

    def _count(self, scope: Scope) -> int:
        others = (max(entry.count, len(entry.ids)) for entry in self._others(scope))
        return len(self._drawn.ids[scope]) + self._entry.count + sum(others)

    def _spent(self, scope: Scope) -> Decimal:
        others = sum((entry.dollars for entry in self._others(scope)), Decimal(0))
        return self._drawn.dollars(scope) + self._entry.dollars + others

    def _others(self, scope: Scope) -> list[Entry]:
        """Return what other calls draw that the state does not know yet."""
        known = self._drawn.ids["thread"]
        calls = {
            call: entry
            for scopes, register in self._registers.items()
            if scope in scopes
            for call, entry in register.items()
        }
        return [entry for call, entry in calls.items() if call != self._call and not (entry.ids and entry.ids <= known)]

    def _register(self) -> None:
        for register in self._registers.values():
            register[self._call] = self._entry


class _Process:
    """What one process knows of calls under way. A forked child starts anew, with a lock of its own."""

    def __init__(self) -> None:
        self.counting = threading.Lock()
        self.registers: dict[Hashable, Register] = {}


_processes: dict[int, _Process] = {}


def _here() -> _Process:
    return _processes.setdefault(os.getpid(), _Process())


def register_of(name: Hashable) -> Register:
    """Return the register of a step or run in this process; the oldest ones are forgotten."""
    here = _here()
    with here.counting:
        register = here.registers.setdefault(name, {})
        while len(here.registers) > _REMEMBERED:
            here.registers.pop(next(iter(here.registers)))
    return register


def _by_scope(option: str, value: Any, read: Callable[[str, Any], Any]) -> dict[Scope, Any]:
    if value is None:
        return {}
    given = value if isinstance(value, Mapping) else {"run": value}
    if unknown := [name for name in given if name not in SCOPES]:
        raise OptionError(f"{option}={value!r}: {unknown[0]!r} is no scope, the scopes are 'run' and 'thread'")
    return {scope: read(option, given[scope]) for scope in SCOPES if given.get(scope) is not None}


def _count(option: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise OptionError(f"{option}={value!r}: it takes a number of pictures, or {{'run': 2, 'thread': 10}}")
    return value
