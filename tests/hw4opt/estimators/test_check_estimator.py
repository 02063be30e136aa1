"""scikit-learn's own checks of an estimator, all of them: none is expected to fail."""

import warnings

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed (the extra sklearn)")

import sklearn
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

from hw4opt.estimators import PenalizedKernelClassifier, PenalizedKernelRegressor, PenalizedLinearRegressor

LOSSES = ["squared", "huber:delta=auto", "absolute", "quantile:tau=0.5", "epsilon_insensitive", "poisson:quasi=1"]
KERNEL_TERMS = {
    "ridge": {},
    "bounds": {"constraints": ["bounds:lower=-200,upper=200"]},
    "increasing": {"constraints": ["increasing:column=0"]},
}
LINEAR_TERMS = {
    "ridge": {"ridge": 0.1},
    "l1": {"ridge": None, "l1": 0.1},
    "bounds": {"ridge": 0.1, "constraints": ["coef_bounds:lower=-50,upper=50"]},
}
NEEDS_A_SWITCH = {"check_array_api_input"}  # runs only where SCIPY_ARRAY_API is set before SciPy is imported


WRONG_IN_1_6 = {  # it makes two classes of three by the class of the first row, which of the shuffled rows is another
    "check_sample_weight_equivalence_on_dense_data": "one fit gets 1 against 0 and 2, the other 0 against 1 and 2"
}


def check_all(estimator):
    """Every check passes; what scikit-learn itself leaves out is named."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that says what it lacks has passed
        warnings.filterwarnings("ignore", module="sklearn")  # checks give columns as targets, labels as numbers, …
        wrong = WRONG_IN_1_6 if sklearn.__version__ < "1.7" and is_classifier(estimator) else {}
        results = check_estimator(estimator, on_skip=None, expected_failed_checks=wrong)
    assert len(results) > 40
    assert {one["check_name"] for one in results if one["status"] != "passed"} <= NEEDS_A_SWITCH | wrong.keys()


def test_checks_of_the_linear_regressor_with_numbers_given():
    check_all(PenalizedLinearRegressor(ridge=0.1))


def test_checks_of_the_kernel_regressor_with_numbers_given():
    check_all(PenalizedKernelRegressor(gamma=0.05, ridge=0.1))


def test_checks_of_the_classifier_with_numbers_given():
    check_all(PenalizedKernelClassifier(gamma=0.1, ridge=0.1))


@pytest.mark.parametrize("kind", [PenalizedKernelRegressor, PenalizedKernelClassifier])
def test_checks_of_a_sum_of_functions(kind):
    check_all(kind(components="each", gamma=0.05, ridge=0.1))


@pytest.mark.slow
def test_checks_of_a_gamma_a_column():
    check_all(PenalizedKernelRegressor(gamma="each", cv=3, search="random:2"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [PenalizedKernelRegressor, PenalizedLinearRegressor])
def test_checks_at_the_defaults(kind):
    check_all(kind())


@pytest.mark.slow
def test_checks_of_a_classifier_that_chooses():
    check_all(PenalizedKernelClassifier(cv=3))


@pytest.mark.full  # eight minutes: exact leave-one-out of up to 300 rows, fit after fit
def test_checks_of_the_classifier_at_its_defaults():
    check_all(PenalizedKernelClassifier())


@pytest.mark.slow
@pytest.mark.parametrize("terms", KERNEL_TERMS)
@pytest.mark.parametrize("loss", LOSSES)
def test_checks_of_every_loss_and_term_with_a_kernel(loss, terms):
    check_all(PenalizedKernelRegressor(loss=loss, gamma=0.05, ridge=0.1, **KERNEL_TERMS[terms]))


@pytest.mark.slow
@pytest.mark.parametrize("terms", LINEAR_TERMS)
@pytest.mark.parametrize("loss", LOSSES)
def test_checks_of_every_loss_and_term_of_a_linear_design(loss, terms):
    check_all(PenalizedLinearRegressor(loss=loss, **LINEAR_TERMS[terms]))
