"""A model file comes back bit for bit or is refused in a sentence."""

import base64
import dataclasses
import hashlib
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fitted_models import NEW, PROBLEMS, N, every_problem, fitted, new_points
from hw4opt import (
    RBF,
    Bounds,
    Huber,
    InputError,
    ModelFileError,
    Poisson,
    Polynomial,
    Problem,
    Result,
    Ridge,
    Status,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.selection import select


@every_problem
def test_a_model_comes_back_bit_for_bit(name, tmp_path):
    result = fitted(name)
    result.save(tmp_path / "model.json")
    again = Result.load(tmp_path / "model.json")
    assert_array_equal(again.w, result.w)
    assert_array_equal(again.predict(new_points(name)), result.predict(new_points(name)))
    assert_array_equal(again.fitted, result.fitted)
    for method in ("bound",):
        one, other = (getattr(item, method)(new_points(name)) for item in (result, again))
        assert (one is None) == (other is None) and (one is None or np.array_equal(one, other))
    for attribute in ("dual_coef", "coef", "mean"):
        one, other = (getattr(item, attribute) for item in (result, again))
        assert (one is None) == (other is None) and (one is None or np.array_equal(one, other))
    for attribute in (
        "solver",
        "status",
        "certificate",
        "iterations",
        "seconds",
        "note",
        "intercept",
        "objective",
        "message",
        "rank",
    ):
        assert getattr(again, attribute) == getattr(result, attribute), attribute
    assert again.duals.keys() == result.duals.keys()
    assert all(np.array_equal(again.duals[term], u) for term, u in result.duals.items())
    for item in ("kernel", "loss", "regularizers", "constraints", "intercept", "standardize"):
        assert getattr(again.problem, item) == getattr(result.problem, item)
    for item in ("x", "y", "weights", "offset"):
        assert np.array_equal(getattr(again.problem, item), getattr(result.problem, item))


@every_problem
def test_verify_computes_the_proof_anew(name, tmp_path):
    result = fitted(name)
    assert result.status is Status.CERTIFIED
    result.save(tmp_path / "model.json")
    for item in (result, Result.load(tmp_path / "model.json")):
        fresh = item.verify()
        assert fresh.holds(1e-9)
        assert fresh.objective == pytest.approx(result.objective, rel=1e-13)
        assert fresh.gap == pytest.approx(result.certificate.gap, rel=1e-6, abs=1e-14 * abs(result.objective))
        assert fresh.violation <= 1e-9


def test_verify_believes_nothing_that_is_stored(tmp_path):
    result = fitted("rbf")
    assert dataclasses.replace(result, certificate=dataclasses.replace(result.certificate, gap=0.0)).verify().gap > 0
    for wrong in (
        dataclasses.replace(result, w=1.01 * result.w),
        dataclasses.replace(result, duals={k: 0 * u for k, u in result.duals.items()}),
    ):
        assert not wrong.verify().holds(1e-9)


def test_the_file_is_one_plain_json_object(tmp_path):
    """Readable without this package: no pickle, no NaN, arrays as base64 of little-endian float64."""
    path = tmp_path / "model.json"
    fitted("a bound on one side").save(path)
    stored = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert stored["format"] == 2
    w = np.frombuffer(base64.b64decode(stored["arrays"]["w"]["float64"]), "<f8")
    assert_array_equal(w, fitted("a bound on one side").w)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": RBF(np.int64(30))},
        {"kernel": RBF(np.float32(30))},
        {"kernel": Polynomial(1.0, np.int64(3), np.float64(1))},
        {"loss": Huber(np.float32(0.4))},
        {"regularizers": [Ridge(np.float64(0.1)), TotalVariation(np.int32(1))]},
        {"regularizers": [Ridge(0.1), Trend(0.1, order=np.int64(2))]},
        {"constraints": [Bounds(np.float32(-1), np.int64(2))]},
    ],
    ids=str,
)
def test_parameters_may_be_numpy_numbers(change, tmp_path):
    result = fit(dataclasses.replace(PROBLEMS["rbf"], **change))
    result.save(tmp_path / "model.json")
    assert_array_equal(Result.load(tmp_path / "model.json").predict(NEW), result.predict(NEW))


def test_context_travels_with_the_model(tmp_path):
    result = dataclasses.replace(fitted("rbf"), context={"columns": ["dose"], "seed": 3})
    result.save(tmp_path / "model.json")
    assert Result.load(tmp_path / "model.json").context == {"columns": ["dose"], "seed": 3}


def stored_model(tmp_path, change=lambda stored: stored, signed=False):
    """A model file with a change; `signed`: with the checksum of what it then holds, so that something else must
    notice."""
    path = tmp_path / "model.json"
    fitted("rbf").save(path)
    stored = change(json.loads(path.read_text()))
    if signed:
        stored.pop("sha256")
        stored["sha256"] = hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(stored))
    return path


def setting(*place, value):
    def change(stored):
        inner = stored
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        return stored

    return change


def dropping(*place):
    def change(stored):
        inner = stored
        for key in place[:-1]:
            inner = inner[key]
        del inner[place[-1]]
        return stored

    return change


def array(*values):
    return {"shape": [len(values)], "float64": base64.b64encode(np.array(values, "<f8").tobytes()).decode()}


DAMAGE = {
    "an array cut short": setting("arrays", "w", "float64", value="AAAA"),
    "an array that is no base64": setting("arrays", "x", "float64", value="¿?"),
    "a shape that does not fit": setting("arrays", "x", "shape", value=[3, 3]),
    "a shape that is text": setting("arrays", "x", "shape", value="many"),
    "no point": dropping("arrays", "w"),
    "a point of another rank": setting("arrays", "w", value=array(1.0, 2.0)),
    "x with a nan": setting("arrays", "x", value=array(*[float("nan")] * N)),
    "fewer targets": setting("arrays", "y", value=array(1.0, 2.0)),
    "no basis": dropping("basis"),
    "no factor": dropping("basis", "factor"),
    "a factor of another size": setting("basis", "factor", value=array(1.0)),
    "no kernel": dropping("kernel"),
    "a kernel that does not exist": setting("kernel", "name", value="nonsense"),
    "a kernel's parameter that does not exist": setting("kernel", "nonsense", value=1),
    "a parameter out of range": setting("kernel", "gamma", value=-1),
    "a loss that does not exist": setting("loss", "name", value="nonsense"),
    "a loss without a name": dropping("loss", "name"),
    "a loss's parameter that does not exist": setting("loss", "nonsense", value=1),
    "regularizers that are no list": setting("regularizers", value=3),
    "no duals": dropping("duals"),
    "duals of a term lost": dropping("duals", "tv"),
    "duals of another length": setting("duals", "tv", value=array(1.0, 2.0)),
    "no certificate": dropping("certificate"),
    "a certificate with a hole": dropping("certificate", "gap"),
    "a status that does not exist": setting("status", value="splendid"),
    "no format": dropping("format"),
    "a format that is no number": setting("format", value="one"),
    "no kind": dropping("kind"),
    "another kind": setting("kind", value="a scikit-learn model"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("signed", [False, True])
def test_a_damaged_model_is_refused_in_a_sentence(damage, signed, tmp_path):
    path = stored_model(tmp_path, DAMAGE[damage], signed)
    with pytest.raises(ModelFileError) as caught:
        Result.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_checksum_covers_everything(tmp_path):
    """Signed anew, an unchanged file loads; a number changed anywhere does not without."""
    assert_array_equal(Result.load(stored_model(tmp_path, signed=True)).w, fitted("rbf").w)
    for place, value in (
        (("seconds",), 7.0),
        (("status",), "uncertified"),
        (("certificate", "gap"), 0.0),
        (("standardize",), True),
    ):
        path = stored_model(tmp_path, setting(*place, value=value))
        with pytest.raises(ModelFileError, match="damaged"):
            Result.load(path)
    with pytest.raises(ModelFileError, match="damaged"):
        Result.load(stored_model(tmp_path, dropping("sha256")))


def test_a_newer_format_asks_for_a_newer_version(tmp_path):
    path = stored_model(tmp_path, setting("format", value=5))
    with pytest.raises(
        ModelFileError, match=r"model.json: its format 5 is newer than this hw4opt reads \(4\); upgrade hw4opt"
    ):
        Result.load(path)


def first_format(path, x, y, kernel, basis, regularizers, w, u, standardize=False):
    """A file as the first format wrote it, made from its description: f = B w with an intercept that is measured from
    0."""
    encode = lambda values: {  # noqa: E731
        "shape": list(np.shape(values)),
        "float64": base64.b64encode(np.ascontiguousarray(values, "<f8").tobytes()).decode(),
    }
    certificate = {
        "objective": 1.0,
        "dual_objective": 1.0,
        "gap": 0.0,
        "relative_gap": 0.0,
        "stationarity": 0.0,
        "violation": 0.0,
    }
    certificate |= {
        "largest_drop": None,
        "truncation": 0.0,
        "norm_bound": None,
        "reason": None,
        "norm_bound_reason": None,
    }
    stored = {
        "format": 1,
        "kind": "hw4opt model",
        "arrays": {"x": encode(x), "y": encode(y), "w": encode(w)},
        "kernel": kernel,
        "loss": {"name": "squared"},
        "regularizers": regularizers,
        "constraints": [],
        "intercept": True,
        "standardize": standardize,
        "basis": None
        if basis is None
        else {name: encode(one) if isinstance(one, np.ndarray) else one for name, one in basis.items()},
        "duals": {"squared": encode(u)},
        "solver": "newton",
        "status": "certified",
        "certificate": certificate,
        "iterations": 1,
        "seconds": 0.1,
        "note": None,
        "context": {},
        "existence": None,
        "columns": None,
    }
    digest = hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**stored, "sha256": digest}))
    return path


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("far", [0.0, 1e3], ids=["near 0", "a far column"])
def test_a_linear_model_of_the_first_format_is_the_same_fit(far, standardize, tmp_path):
    """Least squares on two columns, one of them perhaps far from 0, with targets at a level of 50."""
    draw = np.random.default_rng(6)
    x = draw.normal(size=(12, 2)) + np.array([0.0, far])
    y = 50 + x @ [1.0, -2.0] + draw.normal(size=12)
    used = (x - x.mean(axis=0)) / x.std(axis=0) if standardize else x
    w = np.linalg.lstsq(np.column_stack([used, np.ones(12)]), y)[0]
    fitted = used @ w[:2] + w[2]
    path = first_format(tmp_path / "old.json", x, y, None, None, [], w, 2 * (fitted - y), standardize)
    result = Result.load(path)
    assert_allclose(result.fitted, fitted, rtol=1e-12)
    assert_allclose(result.predict(x), fitted, rtol=1e-12)
    plain = np.linalg.lstsq(np.column_stack([x, np.ones(12)]), y)[0]
    assert_allclose(result.coef, plain[:2], rtol=1e-9)
    assert result.intercept == pytest.approx(plain[2], rel=1e-9)
    assert result.problem.level == np.sort(y)[5] and result.verify().holds(1e-9)
    result.save(tmp_path / "new.json")
    again = Result.load(tmp_path / "new.json")
    assert json.loads((tmp_path / "new.json").read_text())["format"] == 2
    assert_array_equal(again.fitted, result.fitted)


def test_a_kernel_model_of_the_first_format_is_the_same_fit(tmp_path):
    """Three pivots with the Cholesky factor of their Gram matrix: f = Σ w_j b_j + w_3, ridge 0.5 on the first three."""
    x, y = np.array([0.0, 0.4, 1.0]), np.array([107.0, 101.0, 105.0])
    gram = np.exp(-2 * (x[:, None] - x) ** 2)
    factor = np.linalg.inv(np.linalg.cholesky(gram)).T
    values = np.column_stack([gram @ factor, np.ones(3)])
    w = np.linalg.solve(values.T @ values + 0.5 * np.diag([1, 1, 1, 0.0]), values.T @ y)
    basis = {"points": x[:, None], "columns": [-1, -1, -1], "factor": factor, "complete": True}
    kernel, ridge = {"name": "rbf", "gamma": 2.0}, [{"name": "ridge", "weight": 0.5}]
    result = Result.load(
        first_format(tmp_path / "old.json", x[:, None], y, kernel, basis, ridge, w, 2 * (values @ w - y))
    )
    assert_allclose(result.fitted, values @ w, rtol=1e-12)
    assert_allclose(result.predict([0.7]), np.exp(-2 * (0.7 - x) ** 2) @ factor @ w[:3] + w[3], rtol=1e-12)
    assert (
        result.intercept == pytest.approx(w[3], rel=1e-12)
        and result.problem.level == 105
        and result.verify().holds(1e-9)
    )


def test_a_model_of_the_first_format_without_intercept_is_not_moved(tmp_path):
    assert not fitted("rbf").problem.intercept
    path = stored_model(tmp_path, setting("format", value=1), signed=True)
    assert_array_equal(Result.load(path).w, fitted("rbf").w)


def held_out_model(tmp_path):
    """A model of 24 rows with the fits without each of 4 folds."""
    path = tmp_path / "kept.json"
    fit(select(PROBLEMS["rbf"], [], method="kfold:4", keep_folds=True).problem).save(path)
    return path, json.loads(path.read_text())


def test_held_out_fits_are_compact_and_a_file_without_them_is_one_of_before(tmp_path):
    path, stored = held_out_model(tmp_path)
    fits = stored["held_out"]
    assert fits["w"]["shape"] == [4, len(Result.load(path).w)] and fits["fold_of"]["shape"] == [N]
    assert stored["format"] == 2 and sorted(fits) == ["fold_of", "grouped", "method", "unproven", "w"]
    before = stored_model(tmp_path, dropping("held_out"), signed=True)
    assert Result.load(before).problem.held_out is None
    assert_array_equal(Result.load(before).w, fitted("rbf").w)


HELD_OUT_DAMAGE = {
    "fits of another rank": ("w", lambda w: array(1.0, 2.0), "do not fit the basis"),
    "fewer folds": ("w", lambda w: {**w, "shape": [3, w["shape"][1]]}, "not a model file"),
    "a fit of nan": ("w", lambda w: {**w, "float64": matrix(np.full(w["shape"], np.nan))}, "do not fit the basis"),
    "fewer rows": ("fold_of", lambda _: array(0.0, 1.0, 2.0, 3.0), "do not fit the rows"),
    "a fold that holds nothing out": ("fold_of", lambda _: array(*np.arange(N) % 3), "do not fit the rows"),
    "a fold beyond the last": ("fold_of", lambda _: array(*np.arange(N) % 5), "do not fit the rows"),
    "a fold between two": ("fold_of", lambda _: array(*np.arange(N) % 4 + 0.5), "do not fit the rows"),
    "a row of no fold": ("fold_of", lambda _: array(*[np.nan] * N), "do not fit the rows"),
    "a method that is no text": ("method", lambda _: 3, "method is 3"),
    "a flag that is none": ("grouped", lambda _: "yes", "grouped is 'yes'"),
    "more without proof than there are": ("unproven", lambda _: 5, "without proof exceeds that of held-out fits"),
}


def matrix(values):
    return base64.b64encode(np.ascontiguousarray(values, "<f8").tobytes()).decode()


@pytest.mark.parametrize("damage", HELD_OUT_DAMAGE)
def test_damaged_held_out_fits_are_refused_in_a_sentence(damage, tmp_path):
    name, change, said = HELD_OUT_DAMAGE[damage]
    path, stored = held_out_model(tmp_path)
    stored["held_out"][name] = change(stored["held_out"][name])
    stored.pop("sha256")
    stored["sha256"] = hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(stored))
    with pytest.raises(ModelFileError, match=said):
        Result.load(path)


def test_labels_cannot_have_held_out_fits(tmp_path):
    path, stored = held_out_model(tmp_path)
    fitted("logistic").save(path)
    stored = {**json.loads(path.read_text()), "held_out": stored["held_out"]}
    stored["held_out"]["w"] = {"shape": [1, len(fitted("logistic").w)], "float64": matrix(fitted("logistic").w)}
    used = len(fitted("logistic").problem.active_x)
    stored["held_out"]["fold_of"] = array(*[0.0] * used)
    stored.pop("sha256")
    stored["sha256"] = hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(stored))
    with pytest.raises(ModelFileError, match="the targets of logistic are labels of two classes"):
        Result.load(path)


def test_a_term_of_a_newer_version_is_named(tmp_path):
    path = stored_model(tmp_path, setting("loss", value={"name": "tukey"}))
    with pytest.raises(ModelFileError, match="it names a loss 'tukey' that this hw4opt does not have; upgrade hw4opt"):
        Result.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n\x00\xff\xfe",
        b"x,y\n1,2\n",
        b"null",
        b"[]",
        b"3",
        b'"text"',
        b"{}",
        b'{"kind": "hw4opt model"}',
        b"[" * 100_000,
    ],
    ids=lambda content: content[:12].decode("latin1") or "empty",
)
def test_another_file_is_no_model(content, tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="model"):
        Result.load(path)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = stored_model(tmp_path)
    content = path.read_bytes()
    for share in np.linspace(0, 1, 40, endpoint=False):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ModelFileError, match=str(path)):
            Result.load(path)


def test_a_flipped_character_is_noticed(tmp_path):
    """A changed digit deep in an array still decodes; the file says it is certified, so it must not load as if it
    were."""
    path = stored_model(tmp_path)
    text = path.read_text()
    for key in ('"w": {', '"x": {', '"factor": {', '"tv": {'):
        place = text.index('"float64": "', text.index(key)) + len('"float64": "') + 9
        flipped = text[:place] + ("B" if text[place] != "B" else "C") + text[place + 1 :]
        path.write_text(flipped)
        with pytest.raises(ModelFileError, match="damaged"):
            Result.load(path)


@pytest.mark.parametrize("missing", ["no such file", "a folder"])
def test_a_file_that_cannot_be_read_is_named(missing, tmp_path):
    path = tmp_path if missing == "a folder" else tmp_path / "none.json"
    with pytest.raises(ModelFileError, match=f"cannot read the model file {path}"):
        Result.load(path)


def test_nothing_is_half_written(tmp_path):
    """A model that cannot be serialized leaves the old file as it is, and no other file beside it."""
    path = tmp_path / "model.json"
    path.write_text("precious")
    for context in ({"when": object()}, {"score": float("nan")}):
        with pytest.raises((TypeError, ValueError)):
            dataclasses.replace(fitted("rbf"), context=context).save(path)
        assert path.read_text() == "precious"
        assert [entry.name for entry in tmp_path.iterdir()] == ["model.json"]


def test_a_result_without_numbers_is_not_saved(tmp_path):
    result = fit(Problem([0, 0, 1, 1, 1], [1, 2, 0, 0, 0], None, Poisson(), intercept=True))
    assert result.status is Status.NO_FINITE_MAXIMUM
    with pytest.raises(
        InputError, match=r"^a model file holds finite numbers only and this result \(no_finite_maximum\) has others"
    ):
        result.save(tmp_path / "model.json")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.json"
    path.write_text("precious")

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("hw4opt.running.files.os.replace", full)
    with pytest.raises(OSError, match="no space"):
        fitted("rbf").save(path)
    assert path.read_text() == "precious" and [entry.name for entry in tmp_path.iterdir()] == ["model.json"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    for path, sentence in (
        (tmp_path, "is a folder; give a file name"),
        (tmp_path / "none" / "m.json", "the folder .* does not exist"),
    ):
        with pytest.raises(InputError, match=sentence):
            fitted("rbf").save(path)
