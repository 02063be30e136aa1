"""Model files with a right checksum and contents of their own: read, or refused in a sentence; what is read predicts or
says why not."""

import copy
import json
import math

import numpy as np
import pytest

from hw4opt import (
    RBF,
    Huber,
    Hw4Error,
    Increasing,
    ModelFileError,
    Poisson,
    Polynomial,
    Problem,
    Result,
    Ridge,
    TotalVariation,
    fit,
)
from hw4opt.running.records import digest
from hw4opt.selection import select

X = np.linspace(0, 1, 12)
MODELS = {
    "kernel": Problem(
        X,
        np.sin(5 * X),
        RBF(20.0),
        Huber(0.5),
        [Ridge(0.1), TotalVariation(0.1)],
        [Increasing()],
        weights=np.arange(12),
    ),
    "slopes": Problem(
        np.column_stack([X, X**2]), X, Polynomial(1.0, 2, 1.0), regularizers=[Ridge(0.1)], constraints=[Increasing(0)]
    ),
    "counts": Problem(np.column_stack([X, X**2]), np.arange(12) % 4, loss=Poisson(), offset=X, intercept=True),
}
KEPT = Problem(X, np.sin(5 * X), RBF(20.0), Huber(0.5), [Ridge(0.1)], weights=np.arange(12))
MODELS["held-out fits"] = select(KEPT, [], method="kfold:4", keep_folds=True).problem
EMPTY = {"shape": [0], "float64": ""}
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    3,
    2.5,
    10**30,
    "",
    "abc",
    "huber",
    "1e5",
    [],
    [1],
    ["a"],
    [[]],
    {},
    {"name": "huber"},
    {"a": 1},
    EMPTY,
]
VALUES += [
    {"shape": [-1], "float64": "AAAAAAAAAAA="},
    {"shape": [2, 10**12], "float64": ""},
    {"shape": "x", "float64": 5},
    1e308,
    "x" * 200,
]


def places(node, path=()):
    """Every place in a JSON object, branches included."""
    yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*path, key))


def at(node, path):
    for key in path:
        node = node[key]
    return node


def stored(name, folder):
    path = folder / f"{name}.json"
    fit(MODELS[name]).save(path)
    whole = json.loads(path.read_text())
    del whole["sha256"]
    return whole


def attempts(whole):
    """The object with one place changed, or left out."""
    for path in places(whole):
        if not path:
            continue
        for value in [*VALUES, KeyError]:
            changed = copy.deepcopy(whole)
            parent = at(changed, path[:-1])
            if value is KeyError:
                del parent[path[-1]]
            else:
                parent[path[-1]] = value
            yield f"{'.'.join(map(str, path))} = {value!r}"[:120], changed


def fault(changed, path):
    """None, or what went wrong."""
    path.write_text(json.dumps({**changed, "sha256": digest(changed)}))
    try:
        result = Result.load(path)
    except ModelFileError as error:
        return (
            None if "\n" not in str(error) and len(str(error)) < 600 else f"a sentence of {len(str(error))} characters"
        )
    except Exception as error:
        return f"load: {type(error).__name__}: {error}"
    try:
        result.predict(result.problem.x)
        assert isinstance(result.message, str) and isinstance(result.column_names, list)
        assert result.certificate.holds(1e-3) in (True, False)
        assert math.isfinite(result.objective) and result.fitted.shape == result.problem.y.shape
        for name in ("coef", "intercept", "dual_coef", "inference", "prediction_error_bound"):
            getattr(result, name)
        result.verify()
        if result.problem.held_out is not None:
            assert result.predict_interval(result.problem.x, 0.5)[1].shape == (12, 2, 1)
            result.plot()
    except Hw4Error:
        return None
    except Exception as error:
        return f"then: {type(error).__name__}: {error}"
    return None


def faults(name, folder, step):
    whole = stored(name, folder)
    return [
        f"{said}: {wrong}"
        for place, (said, changed) in enumerate(attempts(whole))
        if place % step == 0 and (wrong := fault(changed, folder / "changed.json")) is not None
    ]


@pytest.mark.parametrize("name", MODELS)
def test_changed_models_are_told_sampled(name, tmp_path):
    assert not faults(name, tmp_path, step=11)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_changed_models_are_told(name, tmp_path):
    assert not faults(name, tmp_path, step=1)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "5", '"model"', "{}", '{"kind": "hw4opt model"}', "[" * 100_000, "9" * 5_000, "NaN"]
)
def test_other_files_are_told(text, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(ModelFileError, match=r"m\.json"):
        Result.load(path)
