"""Arguments that are refused before the call of C."""

import ctypes

import numpy as np
import pytest

from hw4opt.core import INT32, NULL, apart, function, given, made, updated
from hw4opt.core.library import Pointer
from hw4opt.errors import InputError


def address(array):
    return array.ctypes.data


@pytest.mark.parametrize("shape", [5, (5,), (2, 3), (0,), (3, 0)])
def test_a_pointer_is_the_arrays_address(shape):
    array = np.ones(shape)
    assert given("x", array, shape).value == address(array)
    array.flags.writeable = False
    pointer = given("x", array, shape)
    assert pointer.value == address(array) and pointer.array is array
    new, pointer = made(shape)
    assert pointer.value == address(new) and not new.any() and new.size == array.size


@pytest.mark.parametrize(
    "array, sentence",
    [
        ([1.0, 2.0], "x must be a NumPy array of float64"),
        (np.ones(2, np.float32), "x must be a NumPy array of float64"),
        (np.ones(2, ">f8"), "x must be a NumPy array of float64"),
        (np.ones(3), r"x must have the shape 2; it has \(3,\)"),
        (np.ones((2, 1)), r"x must have the shape 2; it has \(2, 1\)"),
        (np.ones(4)[::2], "without gaps"),
        (np.array([1.0, np.nan]), r"x must be finite; its entry 1 \(from 0\) is nan"),
        (np.array([-np.inf, 1.0]), r"x must be finite; its entry 0 \(from 0\) is -inf"),
    ],
)
def test_what_c_cannot_read_is_refused(array, sentence):
    with pytest.raises(InputError, match=sentence):
        given("x", array, 2)


def test_columns_of_a_matrix_by_rows_are_refused():
    with pytest.raises(InputError, match="without gaps"):
        given("x", np.ones((3, 2)).T, (2, 3))


def test_infinite_bounds_and_integers_are_taken_where_they_are_asked_for():
    low, rows = np.full(3, -np.inf), np.arange(3, dtype=np.int32)
    assert given("low", low, 3, finite=False).array is low and given("rows", rows, 3, INT32).array is rows
    with pytest.raises(InputError, match="of int32"):
        given("rows", np.arange(3, dtype=np.int64), 3, INT32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_entry_that_is_not_finite_is_seen_wherever_it_stands(bad):
    finite = function("core_all_finite", Pointer, ctypes.c_size_t)
    assert finite(NULL, 0) == 1
    for size in range(40):
        assert finite(given("x", np.full(size, -1.7e308), size), size) == 1
        for place in range(size):
            x = np.full(size, -1.7e308)
            x[place] = bad
            assert finite(given("x", x, size, finite=False), size) == 0


def test_what_is_written_can_be_written():
    array = np.ones(3)
    assert updated("w", array, 3).value == address(array)
    array.flags.writeable = False
    with pytest.raises(InputError, match="w must be an array that can be written to"):
        updated("w", array, 3)


def test_what_is_written_shares_memory_with_nothing():
    x, y = np.ones(12), np.ones(12)
    whole, other = given("x", x, 12), updated("y", y, 12)
    low, middle, high = (updated("part", x[part], 6) for part in (slice(0, 6), slice(3, 9), slice(6, 12)))
    empty = updated("none", x[2:2], 0)
    for written, read in (([other], [whole, middle]), ([low, high, other], []), ([low], [high]), ([empty], [whole])):
        apart(written, read)
    for written, read in (
        ([low], [whole]),
        ([whole], [low]),
        ([low, middle], []),
        ([middle], [low]),
        ([high], [middle]),
    ):
        with pytest.raises(InputError, match="shares memory with another"):
            apart(written, read)


def test_an_array_that_was_not_checked_is_not_passed():
    finite = function("core_all_finite", Pointer, ctypes.c_size_t)
    for word in (np.ones(2), [1.0, 2.0], 3.5):
        with pytest.raises(ctypes.ArgumentError):
            finite(word, 2)
