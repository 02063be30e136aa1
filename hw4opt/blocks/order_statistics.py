"""Exact order statistics of more numbers than memory holds, by several passes over them (a radix selection).

Doubles are mapped to 64-bit keys of the same order. Each pass counts the keys by their next 16 bits, which determines
these bits of the key of a given rank; once at most MAX_COLLECTED keys share the prefix found, the next pass collects
them.   (Munro and Paterson 1980.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hw4opt.terms.base import Array

DIGIT_BITS = 16  # bits of a key that one pass determines
MAX_COLLECTED = 2_000_000  # keys with the same prefix that a pass may collect
SIGN = np.uint64(1 << 63)

Ranks = Callable[[int], Sequence[int]]


@dataclass
class _RankSearch:
    """The search for one rank of one quantity: the known prefix of its key, the rank among the keys with this prefix,
    and their count."""

    quantity: int
    rank: int
    count: int
    prefix: int = 0
    bits: int = 0
    value: float | None = None

    @property
    def collects(self) -> bool:
        return bool(self.bits) and (self.count <= MAX_COLLECTED or self.bits == 64)

    @property
    def known(self) -> tuple[int, int, int]:
        """Identifies the keys that the next pass looks at."""
        return self.quantity, self.prefix, self.bits


class NumberPass(Protocol):
    """A pass over all numbers: `act` on each block's arrays, one per quantity, with the results combined."""

    def __call__(
        self, act: Callable[[Sequence[Array]], Found], combine: Callable[[Found, Found], Found]
    ) -> Found | None: ...


Found = list[np.ndarray]  # for each search: counts by the next bits, or the collected keys


def order_statistics(total: NumberPass, ranks: Sequence[Ranks]) -> list[list[float]]:
    """For each quantity, the numbers of the given ranks, counted from 0.

    ranks    for each quantity, a function from the count of its numbers to ranks; an empty quantity has none
    """
    first = _pass_results(total, [_RankSearch(quantity, 0, 0) for quantity in range(len(ranks))])
    found: list[list[_RankSearch]] = []
    for quantity, (ranks_of, counts) in enumerate(zip(ranks, first, strict=True)):
        count = int(counts.sum())
        found.append([_RankSearch(quantity, rank, count) for rank in (ranks_of(count) if count else ())])
        for one in found[-1]:
            _narrow(one, counts)
    searches = [one for of_quantity in found for one in of_quantity]
    while open_searches := [one for one in searches if one.value is None]:
        for one, result in zip(open_searches, _pass_results(total, open_searches), strict=True):
            if one.collects:
                one.value = _value(np.partition(result, one.rank)[one.rank])
            else:
                _narrow(one, result)
    return [[float(one.value) for one in of_quantity if one.value is not None] for of_quantity in found]


def _pass_results(total: NumberPass, searches: Sequence[_RankSearch]) -> Found:
    """The result of one pass for each search; searches for the same keys share it."""
    places = {one.known: place for place, one in enumerate(searches)}
    distinct = [searches[place] for place in places.values()]

    def block_results(block: Sequence[Array]) -> Found:
        keys = {place: _keys(block[place]) for place in {one.quantity for one in distinct}}
        return [_block_result(keys[one.quantity], one) for one in distinct]

    def merged(one: Found, other: Found) -> Found:
        pairs = zip(distinct, one, other, strict=True)
        return [np.concatenate([a, b]) if search.collects else a + b for search, a, b in pairs]

    found = total(block_results, merged)
    if found is None:
        return [np.zeros(1, dtype=np.int64) for _ in searches]
    by_known = dict(zip(places, found, strict=True))
    return [by_known[one.known] for one in searches]


def _block_result(keys: np.ndarray, one: _RankSearch) -> np.ndarray:
    """The block's keys with the known prefix: collected, or counted by their next bits."""
    if one.bits:
        keys = keys[keys >> np.uint64(64 - one.bits) == np.uint64(one.prefix)]
        if one.collects:
            return keys
    digits = (keys >> np.uint64(64 - one.bits - DIGIT_BITS)) & np.uint64((1 << DIGIT_BITS) - 1)
    return np.bincount(digits.astype(np.int64), minlength=1 << DIGIT_BITS)


def _narrow(one: _RankSearch, counts: np.ndarray) -> None:
    """Determine the next bits from the counts."""
    below = np.cumsum(counts)
    digit = int(np.searchsorted(below, one.rank, side="right"))
    one.rank -= int(below[digit - 1]) if digit else 0
    one.count = int(counts[digit])
    one.prefix, one.bits = (one.prefix << DIGIT_BITS) + digit, one.bits + DIGIT_BITS
    if one.bits == 64:
        one.value = _value(np.uint64(one.prefix))


def _keys(values: Array) -> np.ndarray:
    """Unsigned integers in the order of the doubles."""
    bits = np.ascontiguousarray(values + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def _value(key: np.uint64) -> float:
    """The double of a key."""
    return float((key ^ SIGN if key & SIGN else ~key).view(np.float64))
