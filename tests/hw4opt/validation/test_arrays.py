"""What an array may be: the same numbers in other containers, and what is refused in a sentence."""

import datetime
import decimal
import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from foreign_arrays import Data, Foreign, N, Sparse, X, Y
from hw4opt import (
    InputError,
    Problem,
)
from hw4opt.validation.arrays import finite_array, group_numbers


@pytest.mark.parametrize(
    "values",
    [
        X.tolist(),
        tuple(X),
        Data(X),
        X.astype(">f8"),
        X.astype(np.longdouble),
        np.repeat(X, 2)[::2],
        np.ma.array(X, mask=False),
        np.ma.array(X),
        X + 0j,
        [decimal.Decimal(float(one)) for one in X],
        np.array(X.tolist(), dtype=object),
        memoryview(X),
    ],
    ids=lambda values: type(values).__name__,
)
def test_arrays_of_the_same_numbers_are_the_same(values):
    assert_array_equal(finite_array("x", values), X)


def test_bool_is_0_and_1_and_short_floats_keep_their_value():
    assert_array_equal(finite_array("x", X > 0.5), 1.0 * (X > 0.5))
    assert_array_equal(finite_array("x", X.astype(np.float16)), X.astype(np.float16).astype(float))
    assert_array_equal(finite_array("x", np.arange(3, dtype=np.uint8)), [0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ma.masked_greater(X, 0.5), r"^x is masked in row 5; fill the value in or drop the row$"),
        ([[1.0, np.ma.masked], [1.0, 2.0]], "^x is masked in row 0"),
        ([np.ma.masked_greater(X, 0.5), X], "^x is masked in row 0"),
        (X + 1j * (X > 0.8), "^x holds complex numbers in row 8; give real ones$"),
        (np.full(N, np.datetime64("NaT")), "^x holds dates; give days or seconds as numbers$"),
        ([datetime.timedelta(1)] * N, "^x holds dates or times; give days or seconds as numbers$"),
        ([1.0, "2", "b"], r"^x does not hold numbers: 'b' in row 2; give numbers, or drop the row$"),
        ([1.0, None, 2.0], "^x does not hold numbers: None in row 1"),
        ([10**400, 1], "^x does not hold numbers: .*too large"),
        (Sparse(), r"^x is a sparse matrix; give x\.toarray\(\)$"),
        ({1.0, 2.0}, r"^x is \{1\.0, 2\.0\}; give an array of numbers$"),
        (Foreign(), "^x does not hold numbers: can't convert a device tensor$"),
        ([0.0, np.inf], "^x holds inf in row 1; give finite numbers or drop the row$"),
    ],
)
def test_other_arrays_are_refused_with_what_stands_where(values, said):
    with pytest.raises(InputError, match=said) as raised:
        finite_array("x", values)
    row = re.search(r"in row (\d+)", str(raised.value))
    assert raised.value.row == (None if row is None else int(row[1]))


def test_sparse_matrices_and_tensors():
    sparse = pytest.importorskip("scipy.sparse")
    for kind in (sparse.csr_matrix, sparse.coo_array):
        with pytest.raises(InputError, match="sparse"):
            Problem(kind(np.eye(N)), Y)
    torch = pytest.importorskip("torch")
    assert_array_equal(finite_array("x", torch.tensor(X)), X)
    with pytest.raises(InputError, match="x does not hold numbers"):
        finite_array("x", torch.tensor(X, requires_grad=True))


def test_labels_of_groups_are_complete_and_of_one_kind():
    assert_array_equal(group_numbers("groups", ["b", "a", "b"], 3), [1, 0, 1])
    for labels, row in (
        (np.array(["a", None, "b"], dtype=object), 1),
        ([1.0, 2.0, np.nan], 2),
        (np.ma.array([1, 2, 3], mask=[1, 0, 0]), 0),
    ):
        with pytest.raises(InputError, match=f"row {row}"):
            group_numbers("groups", labels, 3)
