"""Fits to rows in blocks against the same fits in memory, which share Newton's method, but not the code of basis,
scales, sums and certificate."""

import numpy as np
import pytest

from hw4opt import (
    RBF,
    Huber,
    InputError,
    Logistic,
    NotCertifiedError,
    Poisson,
    Precomputed,
    Problem,
    RefusedError,
    Ridge,
    Squared,
    Status,
    fit,
)
from hw4opt.blocks import ArrayRows, DataRows, fit_blocks, order_statistics, reference, rows, survey
from hw4opt.blocks import basis as block_basis
from hw4opt.blocks import certificate as block_certificate
from hw4opt.blocks.objective import BlockedRows, BlockForms
from hw4opt.form.answer import Status as AnswerStatus
from hw4opt.form.canonicalize import canonicalize
from hw4opt.problem import Model
from hw4opt.proof.certificate import certify
from hw4opt.running.threads import threads, tree_reduce

SIZE = 1_500


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Many blocks, and a sample that is a small part of the rows."""
    monkeypatch.setattr(rows, "BLOCK_ROWS", 128)
    monkeypatch.setattr(survey, "SAMPLE_ROWS", 100)


def series():
    """x, residual targets with outliers, counts, labels, weights (some 0), offsets, and three columns."""
    draw = np.random.default_rng(5)
    x = draw.uniform(0, 1, SIZE)
    y = 40 + np.sin(8 * x) + 0.3 * draw.standard_normal(SIZE) + 9 * (draw.uniform(size=SIZE) < 0.05)
    counts = draw.poisson(np.exp(0.5 + np.sin(6 * x)))
    labels = (draw.uniform(size=SIZE) < 1 / (1 + np.exp(-2 * np.sin(6 * x)))).astype(float)
    weights = draw.uniform(0.5, 2, SIZE)
    weights[::17], weights[5] = 0, 400
    table = np.column_stack([x, draw.normal(500, 1, SIZE), draw.normal(0, 100, SIZE)])
    return x, y, counts, labels, weights, 0.1 * draw.standard_normal(SIZE), table


def cases():
    x, y, counts, labels, weights, offset, table = series()
    kernel, ridge = RBF(30.0), [Ridge(0.1)]
    centered = table - [0, 500, 0]
    return {
        "squared": (Model(kernel, Squared(), ridge), (x, y)),
        "squared, intercept, weights": (Model(kernel, Squared(), ridge, intercept=True), (x, y, weights, offset)),
        "huber": (Model(kernel, Huber(0.5), ridge), (x, y)),
        "huber, intercept, weights": (Model(kernel, Huber(0.5), ridge, intercept=True), (x, y, weights, offset)),
        "poisson": (Model(kernel, Poisson(), ridge), (x, counts)),
        "poisson, intercept, weights": (Model(kernel, Poisson(), ridge, intercept=True), (x, counts, weights, offset)),
        "logistic": (Model(kernel, Logistic(), ridge, intercept=True), (x, labels, weights, offset)),
        "two columns, scaled": (
            Model(RBF(0.2), Huber(0.5), [Ridge(1.0)], standardize=True),
            (table[:, :2], y - 40, weights),
        ),
        "linear squared": (Model(None, Squared(), intercept=True), (table, y)),
        "linear huber": (Model(None, Huber(0.5), intercept=True), (table, y, weights)),
        "linear huber, ridge, scaled": (Model(None, Huber(0.5), [Ridge(3.0)], standardize=True), (table, y, weights)),
        "linear poisson": (Model(None, Poisson(), intercept=True), (centered, counts, weights, offset)),
        "linear logistic": (Model(None, Logistic(), intercept=True, standardize=True), (centered, labels, weights)),
        "collinear": (Model(None, Squared(), intercept=True), (np.column_stack([table, table[:, 0] * 2]), y)),
    }


@pytest.mark.parametrize("name", cases())
def test_blocks_give_the_fit_of_memory(name):
    model, data = cases()[name]
    found = fit_blocks(model, ArrayRows.of(*data)).raise_for_status()
    whole = fit(model.on(model.data_of(*data))).raise_for_status()
    f = whole.predict(data[0])
    assert np.abs(found.predict(data[0]) - f).max() <= 1e-8 * np.abs(f).max()
    ours, theirs = found.certificate, whole.certificate
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-11)
    assert ours.gap_scale == pytest.approx(theirs.gap_scale, rel=1e-7)
    assert model.kernel is not None or found.columns == np.linalg.matrix_rank(np.column_stack([data[0], 0 * f + 1])) - (
        not model.intercept
    )
    assert found.count == (len(f) if len(data) < 3 else np.count_nonzero(data[2]))
    assert (found.prediction_error_bound is None) == (whole.prediction_error_bound is None)
    if model.kernel is None:
        assert np.allclose(found.coef, whole.coef, rtol=1e-6, atol=1e-8)
        assert found.intercept is None or found.intercept == pytest.approx(whole.intercept, rel=1e-8)


@pytest.mark.parametrize("name", ["huber", "poisson, intercept, weights", "linear huber"])
def test_the_certificate_is_that_of_memory_away_from_the_optimum(name):
    """A point that is not optimal has the same gap as by the certificate in memory, above the tolerance."""
    model, data = cases()[name]
    source = ArrayRows.of(*data)
    found = fit_blocks(model, source)
    sums = rows.SourceSums(source)
    seen = survey.survey(model, sums)
    trivial = reference.trivial_fit(model, seen, sums)
    r = len(found.w)
    penalty = 2 * model.ridge * np.array([[1.0] * (r - model.intercept) + [0.0] * model.intercept])
    blocked = BlockedRows(BlockForms(model, found.design, penalty, trivial.level), sums, seen)
    wrong = found.w * 1.01
    ours = block_certificate.certify(blocked, wrong[None], trivial).certificate
    problem = model.on(model.data_of(*data))
    design = problem.design
    problem.share_design(
        design
        if model.kernel is None
        else type(design)(design.x, model.kernel, model.intercept, (), found.design.basis)
    )
    form = canonicalize(problem)
    theirs = certify(form, wrong[None], form.gradient(form.forward(wrong[None]))).certificates[0]
    assert not ours.holds(1e-9)
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-12)
    assert (ours.gap is None) == (theirs.gap is None)
    if ours.gap is not None:
        assert ours.gap == pytest.approx(theirs.gap, rel=0.02)
        assert ours.relative_gap > 1e-6


class Parts:
    """The rows of a source in parts of other sizes."""

    def __init__(self, source, sizes):
        self.source, self.sizes = source, sizes

    def parts(self, with_x):
        (whole,) = self.source.parts(with_x)
        low = 0
        while low < len(whole):
            size = self.sizes[low % len(self.sizes)]
            yield whole.cut(slice(low, low + size))
            low += size


@pytest.mark.parametrize("name", ["huber, intercept, weights", "linear logistic"])
def test_neither_parts_nor_threads_change_a_digit(name):
    model, data = cases()[name]
    source = ArrayRows.of(*data)
    with threads(1):
        alone = fit_blocks(model, source)
    with threads(3):
        several = fit_blocks(model, Parts(source, (7, 200, 1, 333)))
    assert (alone.w == several.w).all() and alone.certificate == several.certificate


def test_blocks_of_another_size_are_within_both_gaps(monkeypatch):
    model, data = cases()["huber"]
    found = []
    for size in (64, 1000):
        monkeypatch.setattr(rows, "BLOCK_ROWS", size)
        found.append(fit_blocks(model, ArrayRows.of(*data)).certificate)
    of_sums = len(data[1]) * np.finfo(float).eps * found[0].objective  # a sum of so many numbers, in another order
    rounding = of_sums + sum(one.gap + one.gap_rounding for one in found)
    assert abs(found[0].objective - found[1].objective) <= rounding


def test_the_basis_goes_on_over_rows_that_the_sample_misses():
    """Some rows far from all others, none of which is in the sample."""
    draw = np.random.default_rng(2)
    x = draw.uniform(0, 1, SIZE)
    far = [101, 703, 1111]
    x[far] = [9.0, 12.0, 15.5]
    y = np.sin(3 * x)
    model, source = Model(RBF(20.0), Squared(), [Ridge(1e-3)]), ArrayRows.of(x, y)
    sums = rows.SourceSums(source)
    seen = survey.survey(model, sums)
    assert seen.sample.x.max() < 2 and len(seen.sample) < SIZE / 5
    assert block_basis.design_of(model, seen, sums).base_x.max() == 15.5
    found = fit_blocks(model, source).raise_for_status()
    assert np.abs(found.predict(x[far]) - y[far]).max() < 0.01


def test_existence_is_settled():
    draw = np.random.default_rng(3)
    x = draw.standard_normal((SIZE, 2))
    group = (draw.uniform(size=SIZE) < 0.1).astype(float)
    counts = draw.poisson(2.0, SIZE) * (group == 0)
    table = np.column_stack([x, group])
    found = fit_blocks(Model(None, Poisson(), intercept=True), ArrayRows.of(table, counts))
    assert found.status is Status.NO_FINITE_MAXIMUM and found.existence.columns == (2,)
    assert np.isnan(found.w).all() and "x2" not in found.message
    with pytest.raises(NotCertifiedError, match="no finite maximum"):
        found.raise_for_status()
    counts[np.flatnonzero(group)[0]] = 1
    assert fit_blocks(Model(None, Poisson(), intercept=True), ArrayRows.of(table, counts)).existence.finite
    labels = (x[:, 0] > 0.2).astype(float)
    found = fit_blocks(Model(None, Logistic(), intercept=True), ArrayRows.of(x, labels))
    assert found.status is AnswerStatus.UNBOUNDED


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model(Precomputed(), Squared(), [Ridge(1.0)]), "no Gram matrix"),
        (Model(RBF(1.0), Huber("auto"), [Ridge(1.0)]), "needs numbers for delta"),
    ],
)
def test_what_blocks_cannot_take_is_refused_in_a_sentence(model, said):
    x, y, *_ = series()
    with pytest.raises(RefusedError, match=said):
        fit_blocks(model, ArrayRows.of(x, y))


class Given:
    """One part after the other."""

    def __init__(self, *given):
        self.given = given

    def parts(self, with_x):
        yield from self.given


def test_rows_that_are_none_are_named_by_their_place():
    x, y = np.linspace(0, 1, 300)[:, None], np.ones(300)
    counts = y.copy()
    counts[200] = 0.5
    with pytest.raises(InputError, match=r"whole counts; y holds 0\.5 in row 200") as caught:
        fit_blocks(Model(RBF(1.0), Poisson(), [Ridge(1.0)]), Given(DataRows(counts, x)))
    assert caught.value.row == 200
    weights = y.copy()
    weights[150] = -2
    with pytest.raises(InputError, match="weights holds -2 in row 150"):
        fit_blocks(Model(RBF(1.0), Squared(), [Ridge(1.0)]), Given(DataRows(y, x, weights)))
    with pytest.raises(InputError, match="fewer than two rows have a weight"):
        fit_blocks(Model(RBF(1.0), Squared(), [Ridge(1.0)]), Given(DataRows(y, x, (y > 2).astype(float))))
    with pytest.raises(InputError, match="x is constant"):
        fit_blocks(Model(RBF(1.0), Squared(), [Ridge(1.0)]), Given(DataRows(y, 0 * x)))
    labels = np.repeat([0.0, 1.0, -1.0], 100)  # each block alone holds labels of one kind
    with pytest.raises(InputError, match="logistic needs labels"):
        fit_blocks(Model(None, Logistic()), Given(*(DataRows(labels[k::3][:100], x[:100]) for k in range(3))))


@pytest.mark.parametrize("collected", [3, 10_000])
def test_order_statistics_are_those_of_sorted_numbers(monkeypatch, collected):
    monkeypatch.setattr(order_statistics, "MAX_COLLECTED", collected)
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.standard_normal(4_000), -1e300 * draw.uniform(size=40), np.zeros(50), [-0.0, 5e-324]])
    near = 1 + 1e-15 * draw.integers(0, 40, 700)
    draw.shuffle(values)

    blocks = [(values[:1000], near[:100], values[:0]), (values[1000:], near[100:], values[:0])]

    def total(act, combine):
        return tree_reduce(combine, map(act, blocks))

    def ranks(count):
        return [0, count // 3, count // 2, count - 1]

    found = order_statistics.order_statistics(total, [ranks, ranks, ranks])
    for got, given in zip(found, (values, near), strict=False):
        assert got == [np.sort(given)[rank] for rank in ranks(len(given))]
    assert found[2] == []


def test_sums_go_by_a_fixed_tree():
    assert tree_reduce(lambda a, b: f"({a}{b})", "abcdefg") == "(((ab)(cd))((ef)g))"
    assert tree_reduce(lambda a, b: a + b, []) is None


@pytest.mark.slow
@pytest.mark.parametrize("loss", [Squared(), Huber(0.5), Poisson()])
def test_a_million_rows_are_fitted_as_in_memory(monkeypatch, loss):
    monkeypatch.undo()
    draw = np.random.default_rng(0)
    x = draw.uniform(0, 1, 1_000_000)
    y = draw.poisson(np.exp(np.sin(8 * x))).astype(float)
    found = fit_blocks(Model(RBF(30.0), loss, [Ridge(0.1)]), ArrayRows.of(x, y)).raise_for_status()
    whole = fit(Problem(x, y, RBF(30.0), loss, [Ridge(0.1)])).raise_for_status()
    new = np.linspace(0, 1, 10_001)
    assert np.abs(found.predict(new) - whole.predict(new)).max() <= 1e-8
