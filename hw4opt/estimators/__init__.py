"""Estimators with scikit-learn's manners over `Problem`, `select` and `fit`; they come with the extra `sklearn`.

A description in plain values becomes a `Problem`, what it leaves open is chosen by held-out error, and the fit's
`Result` stays in `result_`. scikit-learn 1.6 to 1.9.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "hw4opt.estimators needs scikit-learn; it comes with the extra: pip install 'hw4opt[sklearn]'"
    ) from error

from hw4opt.estimators.classifier import PenalizedKernelClassifier
from hw4opt.estimators.mixture import PoissonMixture
from hw4opt.estimators.regressors import PenalizedKernelRegressor, PenalizedLinearRegressor

__all__ = ["PenalizedKernelClassifier", "PenalizedKernelRegressor", "PenalizedLinearRegressor", "PoissonMixture"]
