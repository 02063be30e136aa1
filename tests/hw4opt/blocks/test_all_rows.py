"""Fits with a dual variable per row, over rows in blocks, against the same fits in memory: the solver is the same, the
order of the rows and the location of arrays are not."""

import errno
import mmap
import os

import numpy as np
import pytest

from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    Concave,
    Convex,
    Decreasing,
    EpsilonInsensitive,
    Huber,
    Increasing,
    InputError,
    Logistic,
    Nonnegative,
    Problem,
    Quantile,
    RefusedError,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.between import breaks
from hw4opt.blocks import ArrayRows, all_rows, fit_blocks, load_blocks, rows, save_blocks, select_blocks
from hw4opt.design import basis
from hw4opt.problem import Model
from hw4opt.running import array_files

SIZE = 900
RIDGE = Ridge(0.1)


class Parts:
    """Rows in parts of an odd size."""

    def __init__(self, *columns, size=70):
        self.whole, self.size = ArrayRows.of(*columns), size

    def parts(self, with_x):
        (every,) = self.whole.parts(with_x)
        for low in range(0, len(every), self.size):
            yield every.cut(slice(low, low + self.size))


def data():
    """x in no order, the same in ties that blocks share, two columns, targets, weights (some 0), offsets."""
    draw = np.random.default_rng(3)
    x = draw.uniform(0, 1, SIZE)
    y = 3 * x + np.sin(8 * x) + 0.3 * draw.standard_normal(SIZE) + 9 * (draw.uniform(size=SIZE) < 0.05)
    weights = draw.uniform(0.5, 2, SIZE)
    weights[::17] = 0
    table = np.column_stack([x, draw.normal(500, 20, SIZE)])
    return x, np.round(x, 2), table, y, weights, 0.1 * draw.standard_normal(SIZE)


def cases():
    x, ties, table, y, weights, offset = data()
    kernel, tv = RBF(30.0), TotalVariation(0.3)
    labels = (y > 2).astype(float)
    return {
        "tv": (Model(kernel, Huber(0.5), [RIDGE, tv]), (x, y)),
        "tv, sorted": (Model(kernel, Huber(0.5), [RIDGE, tv]), (np.sort(x), y)),
        "tv, ties": (Model(kernel, Huber(0.5), [RIDGE, tv]), (ties, y)),
        "tv, ties, weights": (Model(kernel, Squared(), [RIDGE, tv], intercept=True), (ties, y, weights, offset)),
        "trend": (Model(kernel, Huber(0.5), [RIDGE, Trend(weight=0.01)]), (x, y)),
        "trend, ties, weights": (Model(kernel, Huber(0.5), [RIDGE, Trend(weight=0.01)]), (ties, y, weights)),
        "increasing": (Model(kernel, Huber(0.5), [RIDGE], [Increasing()]), (x, y)),
        "increasing, tv, ties": (Model(kernel, Huber(0.5), [RIDGE, tv], [Increasing()]), (ties, y, weights)),
        "decreasing": (Model(kernel, Squared(), [RIDGE], [Decreasing()]), (x, -y)),
        "convex": (Model(RBF(5.0), Squared(), [RIDGE], [Convex()]), (ties, y + 9 * x**2)),
        "concave": (Model(RBF(5.0), Squared(), [RIDGE], [Concave()]), (ties, y - 9 * x**2)),
        "bounds": (Model(kernel, Huber(0.5), [RIDGE], [Bounds(0.5, 2.5)]), (x, y, weights)),
        "nonnegative": (Model(kernel, Squared(), [RIDGE], [Nonnegative()]), (x, y - 2)),
        "quantile": (Model(kernel, Quantile(0.7), [RIDGE]), (x, y, weights, offset)),
        "absolute, tv": (Model(kernel, Absolute(), [RIDGE, tv], intercept=True), (ties, y)),
        "epsilon_insensitive": (Model(kernel, EpsilonInsensitive(0.1), [RIDGE]), (x, y)),
        "logistic, increasing": (Model(kernel, Logistic(), [RIDGE], [Increasing()]), (x, labels)),
        "two columns, one of them increasing": (
            Model(RBF(0.2), Huber(0.5), [Ridge(1.0)], [Increasing(column=0)], standardize=True),
            (table, y, weights),
        ),
        "linear quantile": (Model(None, Quantile(0.3), intercept=True), (table, y, weights)),
        "linear, l1, scaled": (Model(None, Huber(0.5), [L1(2.0)], intercept=True, standardize=True), (table, y)),
        "linear, bounded coefficients": (
            Model(None, Absolute(), [], [Bounds(0.0, 0.5)], intercept=True, standardize=True),
            (table, y),
        ),
    }


def needed(model, x):
    return all_rows.bytes_per_row(model, 1 if x.ndim == 1 else x.shape[1]) * SIZE


def in_file(array):
    """Whether an array is memory-mapped from a file."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


@pytest.fixture
def matrices(monkeypatch):
    """The design's matrix of each fit."""
    found, fit_here = [], all_rows.fit

    def recorded(problem, *given, **named):
        result = fit_here(problem, *given, **named)
        found.append(problem.design.matrix)
        return result

    monkeypatch.setattr(all_rows, "fit", recorded)
    return found


@pytest.mark.parametrize("name", cases())
def test_rows_in_blocks_give_the_fit_of_memory(name, monkeypatch, matrices):
    """With all large arrays in files."""
    monkeypatch.setattr(array_files, "SMALLEST_FILE", 0)
    monkeypatch.setattr(rows, "BLOCK_ROWS", 128)
    model, columns = cases()[name]
    found = fit_blocks(model, Parts(*columns), memory=needed(model, columns[0])).raise_for_status()
    whole = fit(model.on(model.data_of(*columns))).raise_for_status()
    f = whole.predict(columns[0])
    assert np.abs(found.predict(columns[0]) - f).max() <= 1e-8 * np.abs(f).max()
    ours, theirs = found.certificate, whole.certificate
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-11)
    if not model.intercept:  # whose trivial fit is looked for among some rows by their places
        assert ours.gap_scale == pytest.approx(theirs.gap_scale, rel=1e-7)
    assert found.count == (SIZE if len(columns) < 3 else np.count_nonzero(columns[2]))
    assert (found.prediction_error_bound is None) == (whole.prediction_error_bound is None)
    assert found.solver == whole.solver and found.passes == 2 and found.columns == whole.rank
    if model.kernel is None:
        assert np.allclose(found.coef, whole.coef, rtol=1e-6, atol=1e-8)
        assert found.intercept is None or found.intercept == pytest.approx(whole.intercept, rel=1e-8)
    else:
        assert in_file(matrices[0]) or len(matrices[0]) <= basis.MAX_WHOLE_GRAM_ROWS


def test_the_matrix_is_in_memory_where_there_is_room_and_else_in_a_file_without_a_name(matrices, monkeypatch, tmp_path):
    monkeypatch.setattr(array_files, "SMALLEST_FILE", 1_000)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    model, columns = cases()["tv"]
    states = all_rows.dual_bytes_per_row(model) * SIZE
    sizes, on_disk = [], array_files._on_disk
    monkeypatch.setattr(array_files, "_on_disk", lambda shape, size: sizes.append(size) or on_disk(shape, size))
    for more, in_files in ((0, 2), (states, 1), (10_000_000, 0)):
        sizes.clear()
        fit_blocks(model, Parts(*columns), memory=needed(model, columns[0]) + more).raise_for_status()
        assert in_file(matrices[-1]) == (in_files > 0)
        assert (max(sizes, default=0) > states) == (in_files == 2)  # all vectors of the solver are one block
    assert os.listdir(tmp_path) == []  # though the first matrix is there yet
    assert all(one.shape == matrices[0].shape and (one == matrices[0]).all() for one in matrices)


def test_room_is_given_back_with_the_last_view():
    with array_files.arrays_within(3 << 20) as files:
        kept = array_files.large_array(2 << 17)[5:]
        assert files.room == 1 << 20 and in_file(array_files.large_array(2 << 17))
        del kept
        assert files.room == 3 << 20 and not in_file(array_files.large_array(2 << 17))
    assert not in_file(array_files.large_array(1 << 20))


def test_files_take_their_room_before_they_are_written_where_the_system_cannot_reserve_it(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    with (tmp_path / "a").open("wb") as file:
        array_files._reserve(file.fileno(), (1 << 20) + 24)
    assert (tmp_path / "a").stat().st_size == (1 << 20) + 24


def test_files_lie_where_tmpdir_says_and_else_in_the_folder_of_large_ones(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(array_files, "LARGE_FILES", tmp_path / "large")
    (tmp_path / "large").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert array_files.disk_folder() == str(tmp_path)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    assert array_files.disk_folder() == str(tmp_path / "large")
    (tmp_path / "large").rmdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    assert array_files.disk_folder() != str(tmp_path / "large")


def test_too_little_memory_or_disk_is_one_sentence_with_numbers(monkeypatch):
    model, columns = cases()["tv"]
    few = needed(model, columns[0]) - 1
    with pytest.raises(
        RefusedError,
        match=r"tv over rows in blocks needs \d+ bytes of memory per row.*: 115 kB for 900 rows, .* limit is 115 kB;",
    ):
        fit_blocks(model, Parts(*columns), memory=few)

    def full(file, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(array_files, "SMALLEST_FILE", 0)
    monkeypatch.setattr(array_files, "_reserve", full)
    for smallest in (0, 1 << 30):  # where the matrix has no room, and where the solver's vectors have none
        monkeypatch.setattr(array_files, "SMALLEST_FILE", smallest)
        with pytest.raises(RefusedError, match=r"memory does not hold an array of .*B, and neither does .* are free"):
            fit_blocks(model, Parts(*columns), memory=few + 1)


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/a/b\n", ("memory.max", "memory.current", "inactive_file")),
        ("3:cpu:/\n2:memory:/a/b\n", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
    ],
)
def test_free_memory_is_what_the_control_groups_leave(own, files, monkeypatch, tmp_path):
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(array_files, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(array_files, "GROUPS", tmp_path)
    whole = array_files.free_memory()
    outer = tmp_path / ("memory/a" if "memory" in own else "a")
    for folder, limit in ((outer, "1000000"), (outer / "b", "max")):
        folder.mkdir(parents=True)
        for name, text in zip(files[:2], (limit, "300000"), strict=True):
            (folder / name).write_text(f"{text}\n")
        (folder / "memory.stat").write_text(f"anon 200000\n{files[2]} 100000\n")
    assert array_files.free_memory() == 800_000 < whole
    (outer / files[0]).write_text("100000\n")
    assert array_files.free_memory() == 1  # more is in use than may be


def test_the_model_file_says_the_same(tmp_path):
    model, columns = cases()["two columns, one of them increasing"]
    found = fit_blocks(model, Parts(*columns))
    save_blocks(found, tmp_path / "m.json")
    again = load_blocks(tmp_path / "m.json")
    x = columns[0][:20]
    assert (again.predict(x) == found.predict(x)).all() and again.solver == "interior"
    assert (again.bound(x) == found.bound(x)).all()


def test_advice_names_no_other_solver():
    model, columns = cases()["quantile"]
    for limits in ({"max_iterations": 1}, {"tol": 1e-30}):
        found = fit_blocks(model, Parts(*columns), **limits)
        assert (
            found.status.word != "certified" and "solver" not in found.message and "`max_iterations`" in found.message
        )


def test_what_a_source_may_not_do():
    class Shrinks(Parts):
        def parts(self, with_x):
            self.size += 30
            for part in super().parts(with_x):
                yield part.cut(slice(0, 71))

    class Grows(Parts):
        passes = 0

        def parts(self, with_x):
            self.passes += 1
            for part in super().parts(with_x):
                yield from [part] * self.passes

    model, columns = cases()["tv"]
    for source in (Shrinks(*columns, size=50), Grows(*columns)):
        with pytest.raises(InputError, match="the rows differ from those of the first pass"):
            fit_blocks(model, source)
    with pytest.raises(InputError, match="memory is -5; it must be 1 byte or more"):
        fit_blocks(model, Parts(*columns), memory=-5)


def test_shapes_that_fail_between_the_rows_are_told():
    x = np.repeat(np.linspace(0, 1, 8), 200)
    y = np.floor(4 * x) + 0.1 * np.random.default_rng(0).standard_normal(x.size)
    model = Model(RBF(300.0), Squared(), (Ridge(0.001),), (Increasing(),))
    found, whole = (
        fit_blocks(model, Parts(x, y)),
        fit(Problem(x, y, RBF(300.0), Squared(), [Ridge(0.001)], [Increasing()])),
    )
    (one,), (other,) = found.breaks, breaks(whole)
    assert one.sentence("x") == other.sentence("x") and "between them the curve falls by up to" in one.sentence("x")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model(RBF(1.0), Squared(), [RIDGE], [Increasing(everywhere=True)]), "at every x cannot be fitted"),
        (Model(RBF(1.0), Quantile((0.1, 0.9)), [RIDGE]), "quantile of several levels cannot be fitted"),
    ],
)
def test_what_cannot_be_had_is_a_sentence(model, said):
    with pytest.raises(RefusedError, match=said):
        fit_blocks(model, Parts(*data()[::3]))


def test_hyperparameters_are_chosen_on_a_sample(monkeypatch):
    monkeypatch.setattr("hw4opt.blocks.survey.SAMPLE_ROWS", 100)
    model, columns = cases()["tv"]
    found = select_blocks(model, Parts(*columns), ("tv",), grid={"tv": (0.1, 1.0, 2)}, search="grid")
    assert len(found.table) == 2 and found.notes[0].startswith("hyper-parameters were chosen on ")
    assert found.notes[0].endswith("select kfold:K chooses on all rows, with a fit for every fold of every setting")
    assert fit_blocks(found.model, Parts(*columns)).raise_for_status().model.hyperparameters["tv"] in (0.1, 1.0)
