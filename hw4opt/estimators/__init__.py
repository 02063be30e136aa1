"""scikit-learn estimators on top of `Problem`, `select` and `fit`; they need the extra `sklearn`.

Parameters in plain values describe a `Problem`, those left open are chosen by held-out error, and `result_` keeps the
fit's `Result`. For scikit-learn 1.6 to 1.9.
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
