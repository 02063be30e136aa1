"""Exact order statistics of numbers that memory does not hold, by passes over them.

A double is a number of 64 bits, in whose order it is. A pass counts the numbers by the next 16 bits, which tells those
bits of the number of a rank; once few share what is known of it, the next pass collects them.   (Munro and Paterson
1980.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hw4opt.terms.base import Array

DIGIT_BITS = 16
MAX_COLLECTED = 2_000_000  # numbers that are kept
SIGN = np.uint64(1 << 63)

Ranks = Callable[[int], Sequence[int]]


@dataclass
class _RankSearch:
    """One rank of one quantity: the leading bits of its number, the rank among those that share them, their count."""

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
        """What tells the numbers that are looked for."""
        return self.quantity, self.prefix, self.bits


class NumberPass(Protocol):
    """A pass over all numbers: `act` on every block's, an array of every quantity, and the results combined."""

    def __call__(
        self, act: Callable[[Sequence[Array]], Found], combine: Callable[[Found, Found], Found]
    ) -> Found | None: ...


Found = list[np.ndarray]  # of each search: counts by the next bits, or the numbers themselves


def order_statistics(total: NumberPass, ranks: Sequence[Ranks]) -> list[list[float]]:
    """For each quantity, the numbers of some ranks, from 0.

    ranks    for each quantity, the ranks from how many numbers it has; none of an empty one
    """
    first = _found(total, [_RankSearch(place, 0, 0) for place in range(len(ranks))])
    found: list[list[_RankSearch]] = []
    for place, (of, counts) in enumerate(zip(ranks, first, strict=True)):
        count = int(counts.sum())
        found.append([_RankSearch(place, rank, count) for rank in (of(count) if count else ())])
        for one in found[-1]:
            _narrow(one, counts)
    searches = [one for of_quantity in found for one in of_quantity]
    while left := [one for one in searches if one.value is None]:
        for one, mine in zip(left, _found(total, left), strict=True):
            if one.collects:
                one.value = _value(np.partition(mine, one.rank)[one.rank])
            else:
                _narrow(one, mine)
    return [[float(one.value) for one in of_quantity if one.value is not None] for of_quantity in found]


def _found(total: NumberPass, searches: Sequence[_RankSearch]) -> Found:
    """What a pass finds for each search; equal ones are looked for once."""
    places = {one.known: place for place, one in enumerate(searches)}
    different = [searches[place] for place in places.values()]

    def look(block: Sequence[Array]) -> Found:
        keys = {place: _keys(block[place]) for place in {one.quantity for one in different}}
        return [_of_block(keys[one.quantity], one) for one in different]

    def together(one: Found, other: Found) -> Found:
        pairs = zip(different, one, other, strict=True)
        return [np.concatenate([a, b]) if search.collects else a + b for search, a, b in pairs]

    found = total(look, together)
    if found is None:
        return [np.zeros(1, dtype=np.int64) for _ in searches]
    by_known = dict(zip(places, found, strict=True))
    return [by_known[one.known] for one in searches]


def _of_block(keys: np.ndarray, one: _RankSearch) -> np.ndarray:
    """A block's numbers that share the bits that are known: counted by the next ones, or they themselves."""
    if one.bits:
        keys = keys[keys >> np.uint64(64 - one.bits) == np.uint64(one.prefix)]
        if one.collects:
            return keys
    digits = (keys >> np.uint64(64 - one.bits - DIGIT_BITS)) & np.uint64((1 << DIGIT_BITS) - 1)
    return np.bincount(digits.astype(np.int64), minlength=1 << DIGIT_BITS)


def _narrow(one: _RankSearch, counts: np.ndarray) -> None:
    """The next bits, from the counts."""
    below = np.cumsum(counts)
    digit = int(np.searchsorted(below, one.rank, side="right"))
    one.rank -= int(below[digit - 1]) if digit else 0
    one.count = int(counts[digit])
    one.prefix, one.bits = (one.prefix << DIGIT_BITS) + digit, one.bits + DIGIT_BITS
    if one.bits == 64:
        one.value = _value(np.uint64(one.prefix))


def _keys(values: Array) -> np.ndarray:
    """Whole numbers in the order of the doubles."""
    bits = np.ascontiguousarray(values + 0.0).view(np.uint64)  # -0 counts as 0
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def _value(key: np.uint64) -> float:
    """The double of a whole number."""
    return float((key ^ SIGN if key & SIGN else ~key).view(np.float64))
