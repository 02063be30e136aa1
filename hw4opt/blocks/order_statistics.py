"""Exact order statistics of numbers that memory does not hold, by passes over them.

A double is a number of 64 bits, in whose order it is. A pass counts the numbers by the next 16 bits, which tells those
bits of the number of a rank; once few share what is known of it, the next pass collects them.   (Munro and Paterson
1980.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

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
        return self.count <= MAX_COLLECTED or self.bits == 64


@dataclass
class _Tally:
    """What a pass finds of the numbers with some leading bits: their counts by the next ones, or they themselves."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(1 << DIGIT_BITS, dtype=np.int64))
    held: list[np.ndarray] = field(default_factory=list)


def order_statistics(read: Callable[[], Iterable[Sequence[Array]]], ranks: Sequence[Ranks]) -> list[list[float]]:
    """For each quantity, the numbers of some ranks, from 0.

    read     gives, a block at a time, an array of every quantity; it is called once a pass
    ranks    for each quantity, the ranks from how many numbers it has; none of an empty one
    """
    counts = [0] * len(ranks)
    first = [_Tally() for _ in ranks]
    for block in read():
        for place, values in enumerate(block):
            counts[place] += len(values)
            _count(first[place], _keys(values), _RankSearch(place, 0, 0))
    found = [
        [_RankSearch(place, rank, count) for rank in (of(count) if count else ())]
        for place, (of, count) in enumerate(zip(ranks, counts, strict=True))
    ]
    searches = [one for of_quantity in found for one in of_quantity]
    for one in searches:
        _narrow(one, first[one.quantity])
    while any(one.value is None for one in searches):
        _pass(read, [one for one in searches if one.value is None])
    return [[float(one.value) for one in of_quantity if one.value is not None] for of_quantity in found]


def _pass(read: Callable[[], Iterable[Sequence[Array]]], searches: Sequence[_RankSearch]) -> None:
    tallies = {(one.quantity, one.prefix, one.bits): (one, _Tally()) for one in searches}
    for block in read():
        keys = {place: _keys(block[place]) for place in {one.quantity for one in searches}}
        for one, tally in tallies.values():
            _count(tally, keys[one.quantity], one)
    for one in searches:
        _, tally = tallies[one.quantity, one.prefix, one.bits]
        if one.collects:
            one.value = _value(np.partition(np.concatenate(tally.held), one.rank)[one.rank])
        else:
            _narrow(one, tally)


def _count(tally: _Tally, keys: np.ndarray, one: _RankSearch) -> None:
    """Add a block's numbers that share the bits that are known."""
    if one.bits:
        keys = keys[keys >> np.uint64(64 - one.bits) == np.uint64(one.prefix)]
    if one.bits and one.collects:
        tally.held.append(keys)
        return
    digits = (keys >> np.uint64(64 - one.bits - DIGIT_BITS)) & np.uint64((1 << DIGIT_BITS) - 1)
    tally.counts += np.bincount(digits.astype(np.int64), minlength=1 << DIGIT_BITS)


def _narrow(one: _RankSearch, tally: _Tally) -> None:
    """The next bits, from the counts."""
    below = np.cumsum(tally.counts)
    digit = int(np.searchsorted(below, one.rank, side="right"))
    one.rank -= int(below[digit - 1]) if digit else 0
    one.count = int(tally.counts[digit])
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
