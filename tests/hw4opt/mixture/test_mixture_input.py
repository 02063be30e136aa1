"""Input of a mixture that is wrong: a sentence for each fault, with the row counted from 0."""

import re

import numpy as np
import pytest

from hw4opt import InputError
from hw4opt.mixture.budget import Budget
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.selection import choose_k
from hw4opt.mixture.validation import Rows

QUICK = Budget(24, 40)
X, Y = np.arange(12.0) % 5, np.arange(12.0)


def row_named(error):
    """The row in the error's message."""
    found = re.search(r"in row (\d+)", str(error))
    return None if found is None else int(found[1])


@pytest.mark.parametrize(
    ("x", "y", "rows", "k", "sentence"),
    [
        (X, Y - 1, Rows(), 2, "y holds -1 in row 0; counts must be 0 or more"),
        (X, Y + 0.5, Rows(), 2, "y holds 0.5 in row 0, which is not a count"),
        (X, Y * np.nan, Rows(), 2, "y holds nan in row 0"),
        (np.where(X == 3, np.inf, X), Y, Rows(), 2, "x holds inf in row 3, column 0"),
        (X, 0 * Y, Rows(), 2, "every count in y is 0"),
        (X, Y, Rows(), 13, "k is 13 and there are 12 distinct rows"),
        (0 * X, Y % 3, Rows(names=["tempo"]), 2, "column 'tempo' is constant beside the intercept"),
        (X[:1], Y[:1] + 1, Rows(), 1, "there is one row"),
        (X, Y, Rows(weights=-X), 2, "weights holds -4 in row 4"),
        (X, Y, Rows(weights=0 * X), 2, "there are no rows"),
        (X, Y, Rows(offset=X[:3]), 2, "offset has shape"),
        (X, Y, Rows(groups=X % 2), 3, "k is 3 and there are 2 groups"),
        (["a"] * 12, Y, Rows(), 2, "x does not hold numbers: 'a' in row 0"),
    ],
)
def test_wrong_input_is_a_sentence(x, y, rows, k, sentence):
    with pytest.raises(InputError, match=sentence.replace("(", r"\(")) as raised:
        PoissonMixture(k).fit(x, y, rows)
    assert raised.value.row == row_named(raised.value)


def test_quasi_takes_fractions():
    assert np.isfinite(PoissonMixture(2, quasi=True, budget=QUICK).fit(X, Y + 0.25).log_likelihood)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [(X, "with k = 2 they must be whole numbers from 0 to 1"), (0 * X, "no row has the initial label 1")],
)
def test_wrong_labels_are_a_sentence(labels, sentence):
    with pytest.raises(InputError, match=sentence):
        PoissonMixture(2).fit_plain(X, Y, labels, 3)


@pytest.mark.parametrize(
    ("x", "y", "rows", "intercept", "sentence"),
    [
        (X * 1e-300, Y, Rows(names=["tempo"]), True, "column 'tempo' has no entry larger than 4e-300"),
        (X, Y * 1e18, Rows(), True, "y holds 2e+18 in row 2; counts must not exceed 1e+18"),
        (X, Y, Rows(weights=Y * 1e300), True, "weights holds 1e+300 in row 1"),
        (X, Y, Rows(offset=100 * Y), True, "offset holds 400 in row 4; it is the log of an exposure"),
        (0 * X, Y, Rows(), False, "every feature is 0 in every row"),
        (X, Y, Rows(groups=0 * X), True, "k is 2 and there is 1 group"),
    ],
)
def test_what_no_number_can_hold_is_a_sentence(x, y, rows, intercept, sentence):
    with pytest.raises(InputError, match=sentence.replace("+", r"\+")) as raised:
        PoissonMixture(2, intercept=intercept).fit(x, y, rows)
    assert raised.value.row == row_named(raised.value)


def test_labels_that_are_none_are_named_with_their_row():
    with pytest.raises(InputError, match="hold 7 in row 2") as raised:
        PoissonMixture(2).fit_plain(X, Y, np.r_[0, 1, 7, X[3:] % 2], 3)
    assert raised.value.row == 2


@pytest.mark.parametrize(
    ("ks", "rows", "criterion", "sentence"),
    [
        (range(1, 14), Rows(), "bic", "k is 13 and there are 12 distinct rows; k must be 12 or less"),
        (range(1, 10**12), Rows(), "bic", "k is 999999999999 and there are 12 distinct rows"),
        ([2, 1, 5], Rows(groups=X % 3), "bic", "k is 5 and there are 3 groups; k must be 3 or less"),
        ([1, 2], Rows(groups=X), "held_out", "held-out likelihood takes 5 folds"),
        ([2, 0], Rows(), "bic", "each 1 or more"),
        ([], Rows(), "bic", "at least one k"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_before_any_search(ks, rows, criterion, sentence):
    tried = []
    with pytest.raises(InputError, match=sentence):
        choose_k(PoissonMixture(1), X, Y, ks, rows, criterion, tried.append)
    assert not tried
